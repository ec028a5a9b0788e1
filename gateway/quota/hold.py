"""The hold: what one request may use at most, reserved on every budget in scope, all or nothing.

Two phases: reserve → settle | void | expire, each named by the request id and safe to repeat. Settling
fixes the hold to what was really used; the ledger's own transaction then posts the row to the counters
and removes the hold, so that posted always equals the rows.
"""

from uuid import UUID

import msgspec


class CounterKey(msgspec.Struct, frozen=True, order=True):
    """One counter: a budget, the value it is split by ('' where it is not), the start of its window (epoch us).

    ``window_us`` is 0 where the window never ends or rolls (minute, always).
    """

    budget: str
    subject: str
    window_us: int


class Carry(msgspec.Struct, frozen=True):
    """What may come over from the window before: at most ``most`` of what its ``limit`` had left."""

    window_us: int
    limit: int
    most: int


class Rate(msgspec.Struct, frozen=True):
    """A rolling minute: ``per_minute`` units, at most ``burst`` units ahead of the even rate (GCRA)."""

    per_minute: int
    burst: int


class HoldLine(msgspec.Struct, frozen=True):
    """What a hold takes of one counter.

    limit    what posted + pending may reach, raises included; the carry-over is added by the engine
    rate     where the window rolls: then ``limit`` is not looked at
    enforce  False: counted, and reported when exceeded, but never refused (shadow)
    rank     lock order, then the key: the most specific counter first, the hottest last
    """

    key: CounterKey
    amount: int
    limit: int
    carry: Carry | None = None
    rate: Rate | None = None
    enforce: bool = True
    rank: int = 0


class Hold(msgspec.Struct, frozen=True):
    """All that one request reserves.

    lines       one per counter, in lock order (rank, key)
    expires_us  when it is given up, unless extended
    entry       the journal's entry of the first attempt, encoded: what becomes an ``unconfirmed`` row
                when nothing else is ever heard of the request
    version     of the budgets it was made from: an engine that knows a newer one answers Stale
    """

    request_id: UUID
    lines: tuple[HoldLine, ...]
    expires_us: int
    entry: bytes
    version: int


class Balance(msgspec.Struct, frozen=True):
    """A counter as the engine saw it. ``limit`` with carry-over; ``wait_us``: where it rolls, until it would pass."""

    key: CounterKey
    posted: int
    pending: int
    limit: int
    wait_us: int | None = None

    @property
    def left(self) -> int:
        """What is neither used nor held."""
        return max(0, self.limit - self.posted - self.pending)


class Granted(msgspec.Struct, frozen=True):
    """Held. ``balances`` after the hold, in its lines' order; ``exceeded``: shadow lines that would have refused."""

    balances: tuple[Balance, ...]
    exceeded: tuple[CounterKey, ...] = ()


class Exhausted(msgspec.Struct, frozen=True):
    """Nothing is held: these counters, before the hold, have no room for it."""

    balances: tuple[Balance, ...]


class Stale(msgspec.Struct, frozen=True):
    """Nothing is held: the budgets have changed since the hold was made. Load them and ask again."""

    version: int


Verdict = Granted | Exhausted | Stale
