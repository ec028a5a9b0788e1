"""What a call may use at most is held before it is sent: bound → hold, or clamp → hold, or the refusal.

``holding`` knows budgets and the engine, ``bounds`` what a call may cost; here the two meet for one call.
"""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Final
from uuid import UUID

import msgspec

from gateway.dialects.contract import Dialect, Request
from gateway.exchange.admission import Admitted, Place
from gateway.exchange.bound import Bound, highest
from gateway.exchange.bounds import OPEN, PRIORITY, most
from gateway.exchange.growth import STEP_TOKENS, Growth
from gateway.exchange.holding import Held, Holding, Refused
from gateway.exchange.margins import MARGINS, Margins
from gateway.kernel.errors import Unpriced
from gateway.ledger.entry import Entry
from gateway.metering.hosted import OWN_UNITS, ROLE
from gateway.pricing.book import Book
from gateway.pricing.ceilings import Ceilings
from gateway.pricing.rate import name_of
from gateway.quota.amount import Estimate, bounded
from gateway.quota.budget import MONEY, Budget, Subject
from gateway.quota.hold import Balance
from gateway.quota.subject import of_principal
from gateway.wire.jsonbounds import is_quick
from gateway.wire.messages import Headers

PLACES_MAX: Final = 10_000
# A batch's own cost is known when it has ended: it may not begin on a budget that has nothing left.
_BATCH: Final = Estimate(list_pico=1, net_pico=1, input_tokens=1, output_tokens=1)


class Clamped(msgspec.Struct, frozen=True):
    """A call whose output ceiling was lowered to what its budgets afford. ``output_tokens``: per choice."""

    output_tokens: int
    body: bytes
    request: Request


class Reserved(msgspec.Struct, frozen=True):
    """What is held for a call.

    admitted  the call as it may be sent now: clamped, and without the places that its budgets cannot hold
    headers   what is left, to say in its answer's head
    clamped   how it was changed, if it was
    tokens    the output that is held for; ``most``: what it may write. Where that is more, the hold has to grow
    """

    held: Held
    admitted: Admitted
    headers: Headers = ()
    clamped: Clamped | None = None
    tokens: int = 0
    most: int = 0


class Over(msgspec.Struct, frozen=True):
    """Who a call is of, and the budgets over it: at least one."""

    subject: Subject
    budgets: tuple[Budget, ...]


class Reserving:
    """One per worker."""

    def __init__(
        self,
        holding: Holding,
        *,
        book: Callable[[], Book],
        ceilings: Ceilings,
        default_output: int,
        expose: bool,
        margins: Margins = MARGINS,
    ) -> None:
        self.holding = holding
        self._book = book
        self._ceilings = ceilings
        self._default_output = default_output
        self._expose = expose
        self._margins = margins
        self._dear: set[Place] = set()  # that serve as priority what names no tier

    def over(self, admitted: Admitted, provider: str) -> Over | None:
        """The budgets that a call has to hold; None where it may pass at once."""
        deployment = admitted.deployment
        model = None if deployment is None else deployment.model
        subject = of_principal(admitted.principal, provider, model)
        budgets = self.holding.over(subject)
        return Over(subject, budgets) if budgets else None

    async def reserve(
        self, request_id: UUID, over: Over, admitted: Admitted, body: bytes, entry: Entry
    ) -> Reserved:
        """Hold, on every budget over the call or on none.

        ``entry``: what a hold that nobody settles is booked as. Raises BudgetSpent, TooManyRequests,
        QuotaUnavailable, and Unpriced where a budget in money meets a model without a price.
        """
        subject, budgets = over.subject, over.budgets
        admitted = self._holdable(budgets, admitted)
        bound = self._most(admitted, admitted.request)
        begun = bound and self._begun(budgets, admitted, bound, streams=entry.stream)
        estimate = _BATCH if begun is None else begun.estimate
        _require_price(budgets, estimate, admitted.model, bound.wanting if bound else None)
        outcome = await self.holding.reserve(request_id, subject, estimate, entry)
        clamped = None
        if isinstance(outcome, Refused) and bound is not None:
            clamped = await self._clamped(outcome, admitted, body, bound)
            if clamped is not None:
                lowered = self._most(admitted, clamped.request)
                assert lowered is not None
                bound = begun = lowered
                admitted = msgspec.structs.replace(admitted, request=clamped.request)
                outcome = await self.holding.reserve(request_id, subject, lowered.estimate, entry)
        if isinstance(outcome, Refused):
            raise self.holding.refusal(outcome, entry.occurred_us, bound.unseen if bound else 0)
        headers = self._headers(outcome, entry.occurred_us, clamped)
        if bound is None or begun is None:
            return Reserved(outcome, admitted, headers)
        return Reserved(
            outcome, admitted, headers, clamped, begun.output_tokens, bound.output_tokens
        )

    def growth(
        self, reserved: Reserved, admitted: Admitted, at_us: int, written: Callable[[], int]
    ) -> Growth:
        """The growing hold of a stream that was held for its first step only."""

        async def grow(held: Held, tokens: int) -> Held | None:
            bound = self._most(admitted, _ceiled(admitted.request, tokens))
            assert bound is not None
            return await self.holding.grow(held, bound.estimate, at_us)

        return Growth(reserved.held, grow, written, tokens=reserved.tokens, most=reserved.most)

    def _begun(
        self, budgets: tuple[Budget, ...], admitted: Admitted, bound: Bound, *, streams: bool
    ) -> Bound:
        """What is held at first: a step only, where every budget that its length counts on stops a stream."""
        if not streams or bound.is_bounded or bound.output_tokens <= STEP_TOKENS:
            return bound
        step = self._most(admitted, _ceiled(admitted.request, STEP_TOKENS))
        assert step is not None
        for budget in budgets:
            grows = bounded(budget, step.estimate) != bounded(budget, bound.estimate)
            if grows and not (budget.stop or budget.shadow):
                return bound
        return step

    def _most(self, admitted: Admitted, request: Request) -> Bound | None:
        """The bound of a call wherever it goes; None for one that is metered by another call (a batch)."""
        counts = admitted.counts
        if counts is None or admitted.estimate is None:
            return None
        bounds = [
            most(
                self._book(),
                option.estimate.circumstances,
                self._tiered(option, request),
                counts,
                self._ceilings,
                self._default_output,
                admitted.bargain,
                self._margins,
            )
            for option in admitted.options
            if option.estimate is not None
        ]
        return highest(bounds)

    def _tiered(self, option: Admitted, request: Request) -> Request:
        """The request as a place takes it whose default is priority: one that names no tier leaves it open there."""
        deployment = option.deployment
        is_open = deployment is not None and deployment.tier == PRIORITY
        if request.tier or not (is_open or (self._dear and option.place in self._dear)):
            return request
        return msgspec.structs.replace(request, tier=OPEN)

    def flagged(self, held: Held | None, admitted: Admitted, entry: Entry) -> Entry:
        """The row of the request, with what there is to say about its hold.

        A place that served what named no tier as priority does so by default: it is held at that from now on.
        """
        if entry.tier == PRIORITY and not admitted.request.tier and len(self._dear) < PLACES_MAX:
            self._dear.add(admitted.place)
        return self.holding.flagged(held, entry)

    def _holdable(self, budgets: tuple[Budget, ...], admitted: Admitted) -> Admitted:
        """The call without the places that have no price, where a budget in money has to hold it elsewhere."""
        if not admitted.elsewhere or not _in_money(budgets):
            return admitted
        priced = [
            option
            for option in admitted.options
            if (bound := self._most(option, option.request)) is not None
            and bound.priced
            and bound.wanting is None
        ]
        return admitted.among(priced) if priced else admitted

    async def _clamped(
        self, refused: Refused, admitted: Admitted, body: bytes, bound: Bound
    ) -> Clamped | None:
        """The call with the highest ceiling that every budget without room still affords, if all of them clamp.

        A body that takes long to be read again is lowered in a thread, so that nobody else waits for it.
        """
        dialect = admitted.call.dialect
        named = {budget.id: budget for budget in refused.held.budgets}
        short = [(named[balance.key.budget], balance) for balance in refused.balances]
        if dialect is None or not all(budget.clamp for budget, _ in short):
            return None
        request, model = admitted.request, admitted.model or ""
        high = bound.output_tokens // max(1, request.choices)
        affords = self._affordable(short, admitted, high)
        if not affords:
            return None
        lower = partial(_lowered, dialect, (body, request.opted_body), affords, model)
        lowered, opted = lower() if is_quick(body) else await asyncio.to_thread(lower)
        if lowered is None:
            return None
        changed = msgspec.structs.replace(request, output_ceiling=affords, opted_body=opted)
        return Clamped(affords, lowered, changed)

    def _affordable(
        self, short: list[tuple[Budget, Balance]], admitted: Admitted, high: int
    ) -> int:
        """The highest output ceiling that fits; 0 where not even one token does."""
        low = 0
        while low < high:
            middle = (low + high + 1) // 2
            request = msgspec.structs.replace(admitted.request, output_ceiling=middle)
            bound = self._most(admitted, request)
            assert bound is not None
            if all(bounded(budget, bound.estimate) <= balance.left for budget, balance in short):
                low = middle
            else:
                high = middle - 1
        return low

    def _headers(self, held: Held, at_us: int, clamped: Clamped | None) -> Headers:
        said: Headers = self.holding.headers(held, at_us) if self._expose else ()
        if clamped is not None:
            said = (*said, (b"x-weighbridge-clamped", b"%d" % clamped.output_tokens))
        return said


def _lowered(
    dialect: Dialect, bodies: tuple[bytes, bytes | None], ceiling: int, model: str
) -> tuple[bytes | None, bytes | None]:
    """The body as it came and as it was opted in, if it was, each with that ceiling."""
    body, opted = bodies
    lowered = dialect.clamp(body, ceiling, model)
    if lowered is None or opted is None:
        return lowered, None
    return lowered, dialect.clamp(opted, ceiling, model)


def _ceiled(request: Request, tokens: int) -> Request:
    """The request with a ceiling of so many tokens over all its choices."""
    return msgspec.structs.replace(request, output_ceiling=-(-tokens // max(1, request.choices)))


def _require_price(
    budgets: tuple[Budget, ...], estimate: Estimate, model: str | None, wanting: str | None
) -> None:
    """A budget in money cannot hold what has no price: unpriced is unknown, never zero."""
    is_priced = estimate.net_pico is not None and estimate.list_pico is not None
    if is_priced and wanting is None:
        return
    limits = _in_money(budgets)
    if limits and is_priced:
        at = f"under {name_of(ROLE)!r}" if wanting in OWN_UNITS else f"beside {model!r}"
        raise Unpriced(
            f"the request offers a tool that is billed by {wanting!r}, which has no price here {at}, and "
            f"budget {limits[0].name!r} is a hard limit in money: name the tool's model, add a price row for it, or leave the tool out"
        )
    if limits:
        raise Unpriced(
            f"{model!r} has no price, and budget {limits[0].name!r} is a hard limit in money: add a price row "
            "(weighbridge price shows what is missing), or take the model out of the budget's scope"
        )


def _in_money(budgets: tuple[Budget, ...]) -> list[Budget]:
    return [budget for budget in budgets if budget.measure in MONEY and not budget.shadow]
