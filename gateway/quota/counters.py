"""The reference engine: holds and counters in memory, one process, time as an argument.

It says what every engine behind the port Quotas has to do, obviously; the real ones are tested against it.
"""

from collections.abc import Collection, Mapping, Sequence
from uuid import UUID

import msgspec

from gateway.quota import gcra
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


class Counter(msgspec.Struct):
    """One counter."""

    posted: int = 0
    pending: int = 0
    tat_us: int = 0


class Counters:
    """All counters and holds. ``version``: of the budgets it knows."""

    def __init__(self) -> None:
        self.counters: dict[CounterKey, Counter] = {}
        self.holds: dict[UUID, Hold] = {}
        self.version = 0

    def reserve(self, hold: Hold, now_us: int) -> Verdict:
        """Hold every line, or none."""
        if hold.version < self.version:
            return Stale(self.version)
        known = self.holds.get(hold.request_id)
        if known is not None:
            return Granted(self.balances(known.lines, now_us))
        short, exceeded = self._short(hold.lines, now_us)
        if short:
            return Exhausted(self.balances(short, now_us, asked=True))
        for line in hold.lines:
            self._take(line, line.amount, now_us)
        self.holds[hold.request_id] = hold
        return Granted(self.balances(hold.lines, now_us), tuple(line.key for line in exceeded))

    def grow(self, request_id: UUID, lines: Sequence[HoldLine], now_us: int) -> Verdict:
        """Raise a hold's amounts to these, all or nothing; a hold that is gone has nothing to raise."""
        hold = self.holds.get(request_id)
        if hold is None:
            return Granted(())
        held = {line.key: line.amount for line in hold.lines}
        more = [
            msgspec.structs.replace(line, amount=line.amount - held[line.key])
            for line in lines
            if line.key in held and line.amount > held[line.key]
        ]
        short, exceeded = self._short(more, now_us)
        if short:
            return Exhausted(self.balances(short, now_us, asked=True))
        for line in more:
            self._take(line, line.amount, now_us)
        grown = {line.key: line.amount + held[line.key] for line in more}
        self._amend(hold, {**held, **grown})
        return Granted(self.balances(lines, now_us), tuple(line.key for line in exceeded))

    def settle(self, request_id: UUID, used: Mapping[CounterKey, int]) -> None:
        """Fix the hold to what was used; what is not named is freed."""
        hold = self.holds.get(request_id)
        if hold is None:
            return
        for line in hold.lines:
            counter, spent = self._counter(line.key), used.get(line.key, 0)
            if line.rate is None:
                counter.pending += spent - line.amount
            else:
                counter.tat_us = gcra.refund(counter.tat_us, line.amount, spent, line.rate)
        self._amend(hold, {line.key: used.get(line.key, 0) for line in hold.lines})

    def void(self, request_id: UUID) -> None:
        """Nothing was used."""
        self.settle(request_id, {})
        self.holds.pop(request_id, None)

    def extend(self, request_ids: Collection[UUID], expires_us: int) -> None:
        """Keep these holds until then, and none of them shorter than before."""
        for request_id in request_ids:
            hold = self.holds.get(request_id)
            if hold is not None and hold.expires_us < expires_us:
                self.holds[request_id] = msgspec.structs.replace(hold, expires_us=expires_us)

    def expired(self, now_us: int) -> list[Hold]:
        """The holds that nobody extends any more."""
        return [hold for hold in self.holds.values() if hold.expires_us <= now_us]

    def post(self, amounts: Mapping[CounterKey, int], released: Collection[UUID]) -> None:
        """What the ledger's transaction does: rows to the counters, finished requests' holds away."""
        for key, added in amounts.items():
            self._counter(key).posted += added
        for request_id in released:
            hold = self.holds.pop(request_id, None)
            for line in () if hold is None else hold.lines:
                if line.rate is None:
                    self._counter(line.key).pending -= line.amount

    def balances(
        self, lines: Sequence[HoldLine], now_us: int, *, asked: bool = False
    ) -> tuple[Balance, ...]:
        """How the counters of these lines stand. ``asked``: say how long their amounts would wait."""
        return tuple(self._balance(line, now_us, asked=asked) for line in lines)

    def _balance(self, line: HoldLine, now_us: int, *, asked: bool) -> Balance:
        counter = self._counter(line.key)
        if line.rate is None:
            return Balance(line.key, counter.posted, counter.pending, self._limit(line))
        left = gcra.left(counter.tat_us, now_us, line.rate)
        wait_us = gcra.take(counter.tat_us, now_us, line.amount, line.rate)[1] if asked else 0
        return Balance(line.key, 0, line.rate.burst - left, line.rate.burst, wait_us)

    def _limit(self, line: HoldLine) -> int:
        carry = line.carry
        if carry is None:
            return line.limit
        before = CounterKey(line.key.budget, line.key.subject, carry.window_us)
        unspent = max(0, carry.limit - self._counter(before).posted)
        return line.limit + min(carry.most, unspent)

    def _short(
        self, lines: Sequence[HoldLine], now_us: int
    ) -> tuple[list[HoldLine], list[HoldLine]]:
        full = [line for line in lines if not self._fits(line, now_us)]
        return [line for line in full if line.enforce], [line for line in full if not line.enforce]

    def _fits(self, line: HoldLine, now_us: int) -> bool:
        counter = self._counter(line.key)
        if line.rate is not None:
            return not gcra.take(counter.tat_us, now_us, line.amount, line.rate)[1]
        spoken_for = counter.posted + counter.pending
        return spoken_for + max(1, line.amount) <= self._limit(line)

    def _take(self, line: HoldLine, amount: int, now_us: int) -> None:
        counter = self._counter(line.key)
        if line.rate is None:
            counter.pending += amount
        else:
            new_us = max(counter.tat_us, now_us) + gcra.cost_us(amount, line.rate)
            counter.tat_us = new_us

    def _amend(self, hold: Hold, amounts: Mapping[CounterKey, int]) -> None:
        lines = tuple(
            msgspec.structs.replace(line, amount=amounts[line.key]) for line in hold.lines
        )
        self.holds[hold.request_id] = msgspec.structs.replace(hold, lines=lines)

    def _counter(self, key: CounterKey) -> Counter:
        return self.counters.setdefault(key, Counter())
