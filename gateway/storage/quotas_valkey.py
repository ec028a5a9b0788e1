"""Quotas on Valkey: a batch is one script, which decides over counters that it keeps in memory.

SQL stays the truth of what is posted: a counter that Valkey does not know is read there first, and every
flush tells how its counters stand (storage/valkey_truth.py). What is in flight is kept here, and
registered again where Valkey has forgotten it (storage/valkey_epoch.py). To hand over a further field of
a line: ``_Packed`` and the script ADMIT.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import msgspec

from gateway.exchange.ports import Observer
from gateway.kernel.clock import Clock, SystemClock
from gateway.quota import gcra
from gateway.quota.counters import Counter, Counters
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
from gateway.storage import valkey_prelude as prelude, valkey_scripts as scripts
from gateway.storage.engine import Database
from gateway.storage.errors import RowRefused, StoreUnavailable
from gateway.storage.quota_batch import ASKS_PER_CALL_MAX, PATIENCE_S, BatchedQuotas, Fix, Wish
from gateway.storage.valkey_epoch import GRACE_MS, Epoch
from gateway.storage.valkey_server import ValkeyServer
from gateway.storage.valkey_truth import Truth, ValkeyHolds

TRIES_MAX: Final = 4  # cold counters, then newer budgets, then once more of each
_US_PER_MS: Final = 1_000


@dataclass(frozen=True, slots=True)
class ValkeyQuotas:
    """The engine's parts: the port, the sweeper's side of its holds, and what SQL tells it."""

    quotas: BatchedQuotas
    holds: ValkeyHolds
    truth: Truth
    epoch: Epoch


def valkey_quotas(
    url: str,
    database: Database,
    *,
    clock: Clock | None = None,
    observer: Observer | None = None,
    asks_per_call: int = ASKS_PER_CALL_MAX,
    patience_s: float = PATIENCE_S,
    grace_ms: int = GRACE_MS,
) -> ValkeyQuotas:
    """The engine on a Valkey server, with ``database`` as its truth. Raises ConfigurationError.

    ``truth.posted`` is to be told what the ledger posts, and ``truth.step`` to be run for ever.
    """
    timer = clock or SystemClock()
    epoch = Epoch(ValkeyServer(url), database, grace_ms=grace_ms)
    truth = Truth(epoch, database, clock=timer, observer=observer)
    quotas = BatchedQuotas(
        ValkeyStore(epoch, truth),
        clock=timer,
        observer=observer,
        asks_per_call=asks_per_call,
        patience_s=patience_s,
    )
    return ValkeyQuotas(quotas, ValkeyHolds(epoch, truth, database), truth, epoch)


class ValkeyStore:
    """Implements quota_batch.Store."""

    def __init__(self, epoch: Epoch, truth: Truth) -> None:
        self._epoch = epoch
        self._truth = truth

    async def admit(self, wishes: Sequence[Wish], now_us: int) -> Sequence[Verdict]:
        """Decide on each in turn. Raises StoreUnavailable, RowRefused."""
        packed = _Packed(self._epoch, wishes, now_us)
        for _ in range(TRIES_MAX):
            status, *rest = await self._epoch.ask(scripts.ADMIT, packed.request, packed.entries)
            if status == prelude.OK:
                verdicts = packed.verdicts(*rest)
                self._remember(wishes, verdicts)
                return verdicts
            if status == prelude.WAIT:
                raise StoreUnavailable(
                    f"Valkey had lost its memory: holds are granted again in {-(-rest[0] // _US_PER_MS)} ms"
                )
            if status == prelude.MISS:
                await self._truth.tell([packed.keys[at - 1] for at in rest[0]])
            else:
                await self._truth.resync()
        raise StoreUnavailable("counters vanish while they are asked for: try again")

    def _remember(self, wishes: Sequence[Wish], verdicts: Sequence[Verdict]) -> None:
        for wish, verdict in zip(wishes, verdicts, strict=True):
            if not isinstance(verdict, Granted):
                continue
            if isinstance(wish, Hold):
                if wish.request_id not in self._epoch.kept:
                    self._epoch.keep(wish)
            else:
                self._raise(wish.request_id, wish.lines)

    def _raise(self, request_id: UUID, lines: Sequence[HoldLine]) -> None:
        kept = self._epoch.kept.get(request_id)
        if kept is None:
            return
        for line in lines:
            name = self._epoch.name(line.key)
            if name in kept.lines:
                amount, rate = kept.lines[name]
                kept.lines[name] = (max(amount, line.amount), rate)

    async def fix(self, fixes: Sequence[Fix]) -> None:
        """Settle or void. Raises StoreUnavailable, RowRefused."""
        request = [
            [str(request_id), used is None, [[self._epoch.name(k), _exact(n)] for k, n in (used or {}).items()]]
            for request_id, used in fixes
        ]  # fmt: skip
        await self._epoch.ask(scripts.FIX, [request])
        for request_id, used in fixes:
            kept = self._epoch.kept.get(request_id)
            if used is None:
                self._epoch.drop([request_id])
            elif kept is not None:
                spent = {self._epoch.name(key): amount for key, amount in used.items()}
                kept.lines = {
                    name: (spent.get(name, 0), rate) for name, (_, rate) in kept.lines.items()
                }

    async def extend(self, request_ids: Collection[UUID], expires_us: int) -> None:
        """Keep these holds until then. Raises StoreUnavailable."""
        for request_id in request_ids:  # first: they live on, also where Valkey cannot be told now
            kept = self._epoch.kept.get(request_id)
            if kept is not None:
                kept.expires_us = max(kept.expires_us, expires_us)
        ids = [str(one) for one in request_ids]
        await self._epoch.ask(scripts.EXTEND, [expires_us, ids])

    async def balances(self, lines: Sequence[HoldLine], now_us: int) -> tuple[Balance, ...]:
        """How the counters of these lines stand. Raises StoreUnavailable."""
        keys = {line.key for line in lines}
        keys |= {key for key in map(_carry_key, lines) if key is not None}
        model = Counters()
        model.counters |= await self._truth.states(sorted(keys))
        return model.balances(lines, now_us)

    async def close(self) -> None:
        """Close the connections."""
        await self._epoch.close()


def _carry_key(line: HoldLine) -> CounterKey | None:
    if line.carry is None:
        return None
    return CounterKey(line.key.budget, line.key.subject, line.carry.window_us)


def _exact(amount: int) -> int:
    if not 0 <= amount <= prelude.EXACT_MAX:
        raise RowRefused(f"an amount on Valkey is at most {prelude.EXACT_MAX}, found {amount}")
    return amount


def _limit(limit: int) -> int:
    """A limit past what Lua counts is as good as the most it counts: a counter never gets there."""
    return min(limit, prelude.EXACT_MAX)


class _Packed:
    """A batch as the script's arrays, and its answer as verdicts. Raises RowRefused."""

    def __init__(self, epoch: Epoch, wishes: Sequence[Wish], now_us: int) -> None:
        self._wishes = wishes
        self._now_us = now_us
        self._at: dict[CounterKey, int] = {}
        self.keys: list[CounterKey] = []
        packed = [self._wish(wish) for wish in wishes]
        self.request = [now_us, [epoch.name(key) for key in self.keys], packed]
        self.entries = [wish.entry if isinstance(wish, Hold) else b"" for wish in wishes]

    def _wish(self, wish: Wish) -> list[Any]:
        lines = [self._line(line) for line in wish.lines]
        if isinstance(wish, Hold):
            return [str(wish.request_id), False, wish.version, wish.expires_us, lines]
        return [str(wish.request_id), True, 0, 0, lines]

    def _line(self, line: HoldLine) -> list[Any]:
        rate, carry = line.rate, line.carry
        per_minute = min(rate.per_minute, prelude.RATE_MAX) if rate else 0
        return [
            self._position(line.key),
            _exact(line.amount),
            _limit(line.limit),
            self._position(_carry_key(line)),
            _limit(carry.limit) if carry else 0,
            _limit(carry.most) if carry else 0,
            per_minute,
            _limit(gcra.burst_us(rate)) if rate else 0,
            line.enforce,
        ]

    def _position(self, key: CounterKey | None) -> int:
        """Counted from 1, as Lua does; 0: none."""
        if key is None:
            return 0
        found = self._at.get(key)
        if found is None:
            self.keys.append(key)
            found = self._at[key] = len(self.keys)
        return found

    def verdicts(self, told: Sequence[Any], version: int) -> list[Verdict]:
        """The verdicts, in the wishes' order."""
        found: list[Verdict] = []
        for wish, (status, answers) in zip(self._wishes, told, strict=True):
            if status == prelude.STALE:
                found.append(Stale(version))
            elif status == prelude.GONE:
                found.append(Granted(()))
            else:
                found.append(self._decided(status, wish.lines, answers))
        return found

    def _decided(
        self, status: int, lines: Sequence[HoldLine], answers: Sequence[Sequence[Any]]
    ) -> Granted | Exhausted:
        model, full = Counters(), []
        for line, (posted, pending, tat_us, before, is_full, asked) in zip(
            lines, answers, strict=True
        ):
            model.counters[line.key] = Counter(int(posted), pending, tat_us)
            carried = _carry_key(line)
            if carried is not None:
                model.counters[carried] = Counter(int(before))
            if is_full:
                full.append(msgspec.structs.replace(line, amount=asked))
        if status == prelude.EXHAUSTED:
            short = [line for line in full if line.enforce]
            return Exhausted(model.balances(short, self._now_us, asked=True))
        balances = model.balances(lines, self._now_us)
        return Granted(balances, tuple([line.key for line in full]))
