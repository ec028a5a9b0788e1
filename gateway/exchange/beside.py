"""What is billed beside any model in a call, at most: guardrails, and tools of the provider's at one price for all models.

Each under the name that its role is charged by. A new such tool is a unit of ``metering.hosted.OWN_UNITS``.
"""

from collections.abc import Mapping
from typing import Final

import msgspec
from msgspec.structs import replace

from gateway.dialects.contract import Request
from gateway.exchange import guarding
from gateway.metering import guardrails, hosted
from gateway.pricing.book import Book
from gateway.pricing.charged import Price
from gateway.pricing.contract import Bargain
from gateway.pricing.dimensions import STANDARD, Circumstances, key_of
from gateway.pricing.rate import charge_of, name_of


class Beside(msgspec.Struct, frozen=True):
    """The most units of it, what they cost by list and net in pico-USD, and a tool's unit that has no price."""

    units: dict[str, int]
    list_pico: int = 0
    net_pico: int = 0
    wanting: str | None = None


_NOTHING: Final = Beside({})


def most(
    book: Book,
    under: Circumstances,
    request: Request,
    written: int,
    pictures: int,
    bargain: Bargain | None = None,
) -> Beside:
    """The most it may bill. ``written``: tokens of the answer; ``pictures``: of the prompt.

    What of a guardrail has no price adds nothing: its row will have none either.
    """
    if not (request.guarded or request.tool_units):
        return _NOTHING
    looked_at = guarding.most(request, written, pictures)
    used = {unit: uses for unit, uses in request.tool_units.items() if unit in hosted.OWN_UNITS}
    looking = _priced(book, under, guardrails.ROLE, looked_at, bargain)
    using = _priced(book, under, hosted.ROLE, used, bargain)
    return Beside(
        looked_at | used,
        looking.list_pico + using.list_pico,
        looking.net_pico + using.net_pico,
        using.wanting,
    )


def _priced(
    book: Book,
    under: Circumstances,
    role: str,
    units: Mapping[str, int],
    bargain: Bargain | None,
) -> Beside:
    """What so many units of a role cost, and the first of them that has no price."""
    if not units:
        return _NOTHING
    billed = replace(under, model=name_of(role), tier=STANDARD)
    ladder = book.ladder(billed)
    net = ladder if bargain is None else bargain.ladder(ladder, key_of(billed))
    by_list, by_net = (_sum(each.steps[0].prices, units) for each in (ladder, net))
    wanting = min(units.keys() - ladder.units, default=None)
    return Beside({}, by_list, by_net, wanting)


def _sum(prices: Mapping[str, Price], units: Mapping[str, int]) -> int:
    return sum(
        [
            charge_of(quantity, price.pico, price.per)
            for unit, quantity in units.items()
            if (price := prices.get(unit)) is not None
        ]
    )
