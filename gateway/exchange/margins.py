"""How far beyond what is counted of it a request may go: figures from recorded traffic (exchange/README.md).

To cover another thing that nobody can count: a field of ``Margins`` with its reason.
"""

from typing import Final

import msgspec
from msgspec.structs import replace

from gateway.metering.count import Confidence
from gateway.metering.sized import BYTES_PER_SECOND

ALLOWANCE: Final = 32_768
_PERCENT: Final = 100


class Slack(msgspec.Struct, frozen=True, gc=False):
    """What a count may be below the provider's own: a percentage of it, and so many tokens."""

    percent: int = 0
    tokens: int = 0

    def over(self, counted: int) -> int:
        """The most a count may turn out to be."""
        return counted + -(-counted * self.percent // _PERCENT) + self.tokens


class Margins(msgspec.Struct, frozen=True):
    """How far beyond its count a request may go.

    exact, formula, estimate  by the confidence of the count
    image              tokens of one image beyond its count, where no formula is published
    unseen             tokens of one part of which nobody can tell anything (a file by its name, a conversation that is
                       kept, a video); None: whatever the model's context has room for
    tool               tokens that one tool of the provider's own adds; None: likewise
    context            of a model whose context is not known
    sound              tokens of a second of sound
    page               tokens of the text on one page of a document; its picture comes on top
    sealed_characters  of sealed thoughts that are one token at the most
    unread_characters  of text that no reader took for the prompt
    picture            tokens of one picture, where a ceiling is below it: that cuts no picture
    bytes_per_second   the thinnest sound there is: what tells how long a file lasts at most
    seconds            how long sound lasts at most whose size is not known
    trusts_discounts   whether a discounted tier is taken at its word; False: it may be served and charged as standard
    """

    exact: Slack = Slack(tokens=8)
    formula: Slack = Slack(percent=5, tokens=512)
    estimate: Slack = Slack(percent=25, tokens=1024)
    image: int = 4096
    unseen: int | None = None
    tool: int | None = ALLOWANCE
    context: int = 262_144
    sound: int = 32
    page: int = 3_072
    sealed_characters: int = 4
    unread_characters: int = 1
    picture: int = 8192
    bytes_per_second: int = BYTES_PER_SECOND
    seconds: int = 7200
    trusts_discounts: bool = False

    def slack(self, confidence: Confidence) -> Slack:
        """The slack of a count."""
        if confidence is Confidence.EXACT:
            return self.exact
        return self.formula if confidence is Confidence.FORMULA else self.estimate

    def allowing(self) -> "Margins":
        """The same with an allowance where a whole context would be held."""
        return replace(self, unseen=self.unseen or ALLOWANCE, tool=self.tool or ALLOWANCE)


MARGINS: Final = Margins()
