"""How far beyond what is counted of it a request may go: figures from recorded traffic (exchange/README.md).

To cover another thing that nobody can count: a field of ``Margins`` with its reason.
"""

from typing import Final

import msgspec

from gateway.metering.count import Confidence

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
    unseen             tokens of one part that tiktoken cannot see (sound, files, kept conversations), and of one
                       tool that the provider runs itself; together at most the model's context, where it is known
    sealed_characters  of sealed thoughts that are one token at the most
    unread_characters  of text that no reader took for the prompt; together at most the model's context
    picture            tokens of one picture, where a ceiling is below it: that cuts no picture
    bytes_per_second   the thinnest sound there is: what tells how long a file lasts at most
    seconds            how long sound lasts at most whose size is not known
    trusts_discounts   whether a discounted tier is taken at its word; False: it may be served and charged as standard
    """

    exact: Slack = Slack(tokens=8)
    formula: Slack = Slack(percent=5, tokens=512)
    estimate: Slack = Slack(percent=25, tokens=1024)
    image: int = 4096
    unseen: int = 32_768
    sealed_characters: int = 4
    unread_characters: int = 1
    picture: int = 8192
    bytes_per_second: int = 500
    seconds: int = 7200
    trusts_discounts: bool = False

    def slack(self, confidence: Confidence) -> Slack:
        """The slack of a count."""
        if confidence is Confidence.EXACT:
            return self.exact
        return self.formula if confidence is Confidence.FORMULA else self.estimate


MARGINS: Final = Margins()
