"""Budget around an exchange: hold before it is sent, settle or void after, and say so in words and headers.

What is held, and when it is refused, is decided in quota/ and by the engine behind the port Quotas; here
is what follows from it for one request. To add a store-down policy: quota.budget.StoreDown and ``_without``.
"""

from collections.abc import Callable, Collection, Mapping
from uuid import UUID

import msgspec

from gateway.dialects.contract import NAME_KEPT_CHARS_MAX
from gateway.exchange import remaining
from gateway.exchange.ports import Budgets, Observer, Quotas
from gateway.kernel.clock import Clock
from gateway.kernel.errors import BudgetSpent, QuotaUnavailable, TooManyRequests, Unavailable
from gateway.ledger.entry import FAIL_OPEN, OVER_HOLD, SHADOW_REFUSED, Entry
from gateway.quota.amount import Estimate
from gateway.quota.budget import CONCURRENT, Budget, Subject
from gateway.quota.demand import demand, used
from gateway.quota.hold import (
    Balance,
    CounterKey,
    Exhausted,
    Granted,
    Hold,
    HoldLine,
    Stale,
    Verdict,
)
from gateway.quota.window import window_of
from gateway.wire.messages import Headers

STALE_TRIES_MAX = 3  # budgets that change faster than they can be read
RETRY_AFTER_MS = 1_000
HOLD_US = 900_000_000
ALLOWANCES_MAX = 4096
ANY_VERSION = 2**53 - 1  # of the budgets: what has been used counts, whatever they are by now
_US_PER_MS = 1_000
_ENCODER = msgspec.json.Encoder()


class Held(msgspec.Struct, frozen=True):
    """What a request holds: nothing at all where no hard budget covers it.

    ``lines`` is empty where nothing is held; ``flags`` go on the row; ``is_open``: it passes without its
    hold, since the store is away.
    """

    request_id: UUID
    subject: Subject
    budgets: tuple[Budget, ...]
    lines: tuple[HoldLine, ...] = ()
    balances: tuple[Balance, ...] = ()
    flags: tuple[str, ...] = ()
    is_open: bool = False


class Refused(msgspec.Struct, frozen=True):
    """The budgets that have no room, with what was asked of each."""

    held: Held
    balances: tuple[Balance, ...]


class Holding:
    """One per worker; ``live`` are the requests whose holds it keeps from expiring."""

    def __init__(
        self,
        budgets: Budgets,
        quotas: Quotas,
        *,
        clock: Clock,
        observer: Observer,
        hold_us: int = HOLD_US,
    ) -> None:
        self._budgets = budgets
        self._quotas = quotas
        self._clock = clock
        self._observer = observer
        self._hold_us = hold_us
        self._live: set[UUID] = set()
        self._last: dict[CounterKey, Balance] = {}
        self._allowed: dict[CounterKey, int] = {}

    @property
    def live(self) -> Collection[UUID]:
        """The requests that hold something now."""
        return self._live

    def over(self, subject: Subject) -> tuple[Budget, ...]:
        """The budgets a request of ``subject`` has to hold; () where it may pass at once."""
        return tuple([budget for budget in self._budgets.over(subject) if budget.holds])

    async def reserve(
        self,
        request_id: UUID,
        subject: Subject,
        estimate: Estimate,
        entry: Entry,
    ) -> Held | Refused:
        """Hold the most a request may use. Raises QuotaUnavailable where the store is away and a budget says no."""
        for _ in range(STALE_TRIES_MAX):
            budgets = self.over(subject)
            lines = demand(budgets, subject, estimate, entry.occurred_us)
            held = Held(request_id, subject, budgets, lines)
            if not lines:
                return held
            expires_us = self._clock.wall_us() + self._hold_us
            hold = Hold(
                request_id, lines, expires_us, _ENCODER.encode(entry), self._budgets.version
            )
            try:
                verdict = await self._asked(hold)
                if isinstance(verdict, Stale):
                    await self._budgets.refresh()
                    continue
            except Unavailable as error:
                return self._without(held, error)
            return self._concluded(held, verdict)
        raise QuotaUnavailable(
            "the budgets are being changed: try again", retry_after_ms=RETRY_AFTER_MS
        )

    async def _asked(self, hold: Hold) -> Verdict:
        """Ask the engine; who is cancelled while waiting, or right after the verdict, holds nothing."""
        is_told = False
        try:
            verdict = await self._quotas.reserve(hold)
            is_told = True
            return verdict
        finally:
            if not is_told:
                self._quotas.void(hold.request_id)

    def _concluded(self, held: Held, verdict: Granted | Exhausted) -> Held | Refused:
        if isinstance(verdict, Exhausted):
            return Refused(held, verdict.balances)
        self._live.add(held.request_id)
        self._remember(verdict.balances)
        flags = (SHADOW_REFUSED,) if verdict.exceeded else ()
        return msgspec.structs.replace(held, balances=verdict.balances, flags=flags)

    async def grow(self, held: Held, estimate: Estimate, at_us: int) -> Held | None:
        """Hold more for a request that is running; None where there is no room.

        What began without its hold goes on without, and what runs while the store is away is marked.
        """
        if not held.lines or held.is_open:
            return held
        lines = demand(held.budgets, held.subject, estimate, at_us)
        try:
            verdict: Verdict = await self._quotas.grow(held.request_id, lines)
        except Unavailable as error:
            self._observer.failed("quota.grow", error)
            flags = tuple(dict.fromkeys((*held.flags, FAIL_OPEN)))
            return msgspec.structs.replace(held, flags=flags)
        if isinstance(verdict, Exhausted):
            return None
        return msgspec.structs.replace(held, lines=lines)

    def flagged(self, held: Held | None, entry: Entry) -> Entry:
        """The row of the request, with what there is to say about its hold."""
        flags = self._flags(held, entry)
        new = [flag for flag in flags if flag not in entry.flags]
        return msgspec.structs.replace(entry, flags=(*entry.flags, *new)) if new else entry

    def _flags(self, held: Held | None, entry: Entry) -> tuple[str, ...]:
        if held is None or not held.lines:
            return ()
        spent = used(held.lines, held.budgets, entry)
        over = any(
            line.rate is None and spent.get(line.key, 0) > line.amount for line in held.lines
        )
        return (*held.flags, OVER_HOLD) if over else held.flags

    def settle(self, held: Held | None, entry: Entry) -> None:
        """Fix the hold to what was used; idempotent, never raises."""
        if held is None or not held.lines:
            return
        self._live.discard(held.request_id)
        spent = used(held.lines, held.budgets, entry)
        if held.is_open:
            self._charge(held, spent, entry)
        else:
            self._quotas.settle(held.request_id, spent)

    def _charge(self, held: Held, spent: Mapping[CounterKey, int], entry: Entry) -> None:
        """What passed without its hold counts in its minute too; the row posts it on all other windows."""
        lines = [
            msgspec.structs.replace(line, amount=spent[line.key], enforce=False)
            for line in held.lines
            if line.rate is not None and spent[line.key]
        ]
        if lines:
            expires_us = self._clock.wall_us() + self._hold_us
            text = _ENCODER.encode(entry)
            self._quotas.charge(Hold(held.request_id, tuple(lines), expires_us, text, ANY_VERSION))

    def void(self, held: Held | None) -> None:
        """Nothing was used; idempotent, never raises."""
        if held is None or not held.lines:
            return
        self._live.discard(held.request_id)
        if not held.is_open:
            self._quotas.void(held.request_id)

    # -- the store is away ------------------------------------------------------------------------

    def _without(self, held: Held, error: Unavailable) -> Held:
        """Pass, or raise QuotaUnavailable, as every budget in scope says."""
        self._observer.failed("quota.reserve", error)
        by_id = {budget.id: budget for budget in held.budgets}
        lent: dict[CounterKey, int] = {}
        for line in held.lines:
            budget = by_id[line.key.budget]
            if not line.enforce or budget.store_down == "allow":
                continue
            if budget.store_down == "deny" or not self._lends(budget, line, lent):
                raise QuotaUnavailable(
                    f"the store of budgets cannot be asked and budget {budget.name!r} says: then refuse; "
                    "try again in a moment",
                    retry_after_ms=RETRY_AFTER_MS,
                ) from error
        for key, amount in lent.items():
            self._allowed[key] = self._allowed.get(key, 0) + amount
        return msgspec.structs.replace(held, flags=(FAIL_OPEN,), is_open=True)

    def _lends(self, budget: Budget, line: HoldLine, lent: dict[CounterKey, int]) -> bool:
        """Whether the share of what was left when the store was last seen still has room for a line."""
        last = self._last.get(line.key)
        if last is None:
            return False
        share = last.left * budget.store_down_percent // 100
        lent[line.key] = line.amount
        return self._allowed.get(line.key, 0) + line.amount <= share

    def _remember(self, balances: tuple[Balance, ...]) -> None:
        if self._allowed:
            self._allowed.clear()  # the store is back: what was lent is in the rows
        if len(self._last) >= ALLOWANCES_MAX:
            self._last.clear()
        for balance in balances:
            if len(balance.key.subject) <= NAME_KEPT_CHARS_MAX:  # a budget may be split by model
                self._last[balance.key] = balance

    # -- in words ---------------------------------------------------------------------------------

    def refusal(
        self, refused: Refused, at_us: int, unseen: int = 0
    ) -> BudgetSpent | TooManyRequests:
        """The refusal of the first budget in lock order that has no room, with its figures and the cure.

        ``unseen``: how many parts of the request nobody can tell anything of.
        """
        balance = refused.balances[0]
        line = next(line for line in refused.held.lines if line.key == balance.key)
        budget = next(one for one in refused.held.budgets if one.id == balance.key.budget)
        frees_us = window_of(budget, at_us).end_us
        words, details = remaining.refusal(budget, balance, line.amount, frees_us, unseen)
        if balance.wait_us is not None:
            wait_ms = -(-balance.wait_us // _US_PER_MS)
            return TooManyRequests(words, retry_after_ms=wait_ms, details=details)
        fits_later = (
            balance.posted + line.amount <= balance.limit and balance.posted < balance.limit
        )
        if budget.measure == CONCURRENT or fits_later:
            return TooManyRequests(words, retry_after_ms=RETRY_AFTER_MS, details=details)
        return BudgetSpent(words, details=details)

    def headers(self, held: Held, at_us: int) -> Headers:
        """What is left of each budget, for the answer."""
        return remaining.headers(
            held.budgets, held.balances, at_us, shown=_end_of(held.budgets, at_us)
        )


def _end_of(budgets: tuple[Budget, ...], at_us: int) -> Callable[[str], int | None]:
    ends = {budget.id: window_of(budget, at_us).end_us for budget in budgets}
    return ends.get
