"""What the places of a call cost: worked out once for each while no price begins or ends, looked up for every request.

What is told is exact at every instant: a price may begin or end at any. To add to what a prospect tells: a field of
``Prospect``, filled in ``_looked_up`` from what its key names.
"""

from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

import msgspec
from msgspec.structs import replace

from gateway.dialects.contract import NAME_KEPT_CHARS_MAX
from gateway.exchange.booking import Priced, circumstances, priced, tier_of
from gateway.exchange.remedy import remedy
from gateway.metering.units import INPUT_TEXT
from gateway.metering.usage import component
from gateway.pricing.book import Book
from gateway.pricing.contract import Bargain
from gateway.pricing.cover import covers
from gateway.pricing.dimensions import Circumstances
from gateway.pricing.rate import Status, Steady, steady
from gateway.providers.contract import Deployment, Served

PROSPECTS_MAX: Final = 4096  # names come from clients: bounded, then started afresh
_UNHEARD: Final = Served()  # nothing is known yet of what will be served


class Prospect(msgspec.Struct, frozen=True):
    """A place at an asked tier, before anything is sent there.

    since_us, until_us  within which none of its prices begins or ends (half-open)
    under    as it was asked for, at some instant in it
    charged  the same at the tier that is charged if nothing more is heard
    status   whether it has any price
    remedy   what to add where it has no price, or several; None: it has its price
    steady   what input text costs there, where that follows from its quantity alone
    """

    deployment: Deployment | None
    bargain: Bargain | None
    book: Book
    since_us: int
    until_us: int
    under: Circumstances
    charged: Circumstances
    status: Status
    remedy: str | None
    steady: Steady | None

    def estimate(self, tokens: int, units: Mapping[str, int], at_us: int) -> Priced:
        """What is booked if nothing more is heard: so many tokens of input, or what the request bills itself."""
        under, price = replace(self.under, at_us=at_us), self.steady
        if price is not None and not units and price.stands(tokens, at_us):
            contract = None if self.bargain is None else self.bargain.id
            return Priced(price.charge(tokens), under, (), self.book.catalog, contract)
        asked = component(units or {INPUT_TEXT: tokens})
        estimate = priced(self.book, replace(self.charged, at_us=at_us), (asked,), self.bargain)
        return replace(estimate, circumstances=under)


# A prospect keeps its deployment and bargain alive, so that nothing else can have their identities meanwhile.
_Key: TypeAlias = tuple[str, int, str, int]


class Prospects:
    """One per worker; forgets everything when the book is another."""

    def __init__(self, book: Callable[[], Book]) -> None:
        self._book = book
        self._known: dict[_Key, Prospect] = {}
        self._known_by: Book | None = None

    def of(
        self,
        provider: str,
        deployment: Deployment | None,
        tier: str,
        bargain: Bargain | None,
        at_us: int,
    ) -> Prospect:
        """The prospect of a place at an asked tier, charged by a contract."""
        book = self._book()
        if book is not self._known_by:  # prices were imported: what was found before says nothing
            self._known_by = book
            self._known.clear()
        key = (provider, id(deployment), tier, id(bargain))
        known = self._known.get(key)
        if known is None or not known.since_us <= at_us < known.until_us:
            under = circumstances(provider, deployment, _UNHEARD, tier, at_us)
            known = _looked_up(book, under, deployment, bargain)
            if deployment is None or len(deployment.wire) <= NAME_KEPT_CHARS_MAX:
                if len(self._known) >= PROSPECTS_MAX:
                    self._known.clear()
                self._known[key] = known
        return known


def _looked_up(
    book: Book, under: Circumstances, deployment: Deployment | None, bargain: Bargain | None
) -> Prospect:
    charged = replace(under, tier=tier_of(None, under.tier)[0])
    (since_us, until_us), (since_too_us, until_too_us) = map(book.unchanged, (under, charged))
    status = covers(book, under).status
    is_open = status in (Status.AMBIGUOUS, Status.UNPRICED)
    upstream = "<name>" if deployment is None else deployment.upstream
    return Prospect(
        deployment=deployment,
        bargain=bargain,
        book=book,
        since_us=max(since_us, since_too_us),
        until_us=min(until_us, until_too_us),
        under=under,
        charged=charged,
        status=status,
        remedy=remedy(book, status, under, upstream) if is_open else None,
        steady=steady(book, charged, INPUT_TEXT, bargain),
    )
