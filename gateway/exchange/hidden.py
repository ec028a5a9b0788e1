"""How many tokens a prompt has beyond what is counted of it: of parts in bytes, of what the provider keeps and adds.

Together never more than the model's context has left, for no prompt is longer; one that is has shown that the context
is not what is known of it. To bound another kind of part: its measure in metering.sized, its tokens in ``_sized``.
"""

from gateway.dialects.contract import Request
from gateway.exchange.margins import Margins
from gateway.metering.families import family_of, plain_name
from gateway.metering.images import image_tokens_most
from gateway.metering.prompt import Image
from gateway.metering.sized import Sized

_PICTURE = Image()


def unsized(request: Request) -> int:
    """How many parts of a prompt nobody can tell anything of."""
    opaque = sized = 0
    for turn in request.prompt.turns:
        opaque += turn.opaque
        sized += len(turn.sized)
    return max(opaque - sized - (request.carried is not None), 0)


def hidden(
    request: Request, counted: int, model: str, context: int | None, margins: Margins
) -> int:
    """The most tokens that are hidden in a prompt of which ``counted`` are seen; ``context``: the model's, if known."""
    if context is not None and counted > context:
        context = None
    room = margins.context if context is None else context - counted
    parts, tools = unsized(request), request.hosted
    tokens = (request.carried or 0) + request.unread // margins.unread_characters
    for turn in request.prompt.turns:
        for sized in turn.sized:
            tokens += _sized(sized, model, margins)
            tools += sized.tools
    for times, allowance in ((parts, margins.unseen), (tools, margins.tool)):
        if times:
            tokens += room if allowance is None else times * allowance
    return tokens if context is None else min(tokens, room)


def _sized(sized: Sized, model: str, margins: Margins) -> int:
    """The most tokens of a part that is in the request."""
    tokens = sized.seconds * margins.sound + sized.characters
    if sized.pages:
        tokens += sized.pages * (margins.page + _picture(model, margins))
    return tokens


def _picture(model: str, margins: Margins) -> int:
    """The most tokens of a picture whose size nobody knows."""
    if not family_of(model).formula:
        return margins.image
    return image_tokens_most(plain_name(model), _PICTURE)
