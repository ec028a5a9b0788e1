"""Micro-batching in front of a store of quotas: what queues while one call is in flight goes in the next.

There is no timer: an idle store is asked at once, a busy one is asked for many at a time. To put a store
under it: the four methods of Store. Settlements and voids are queued and repeated until the store has
taken them; whoever asks waits two seconds at most, then hears that the store is away.
"""

import asyncio
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from typing import Final, Protocol, TypeAlias, TypeVar
from uuid import UUID

import msgspec

from gateway.exchange.ending import end_if_cancelled
from gateway.exchange.ports import Observer
from gateway.kernel.clock import Clock, SystemClock
from gateway.quota.gcra import MINUTE_US
from gateway.quota.hold import Balance, CounterKey, Granted, Hold, HoldLine, Verdict
from gateway.storage.errors import RowRefused, StoreUnavailable

ASKS_PER_CALL_MAX: Final = 64
FIXES_PER_CALL_MAX: Final = 256
ASKS_MAX: Final = 10_000  # waiting: more than a store could answer before they lose patience
FIXES_MAX: Final = 100_000  # some 100 MB: half an hour of a store that is away, at 50 requests/s
PATIENCE_S: Final = 2.0  # a request is rather refused than hung
RETRY_S: Final = 0.25
_AWAY: Final = "the store of budgets does not answer"
_T = TypeVar("_T")


class Growth(msgspec.Struct, frozen=True):
    """A hold's amounts are to be raised to these lines'."""

    request_id: UUID
    lines: tuple[HoldLine, ...]


Wish: TypeAlias = Hold | Growth
Fix: TypeAlias = tuple[UUID, Mapping[CounterKey, int] | None]  # None: void


class Store(Protocol):
    """One transaction per call, each whole or not at all. Raise StoreUnavailable, RowRefused."""

    async def admit(self, wishes: Sequence[Wish], now_us: int) -> Sequence[Verdict]:
        """Decide on each in turn; their request ids are distinct."""
        ...

    async def fix(self, fixes: Sequence[Fix]) -> None:
        """Settle or void; their request ids are distinct."""
        ...

    async def extend(self, request_ids: Collection[UUID], expires_us: int) -> None:
        """Keep these holds until then, none of them shorter than before."""
        ...

    async def balances(self, lines: Sequence[HoldLine], now_us: int) -> tuple[Balance, ...]:
        """How the counters of these lines stand."""
        ...

    async def close(self) -> None:
        """Give back what it has open."""
        ...


class _Ask:
    """A wish and those who wait for its verdict (twins of one id wait together)."""

    __slots__ = ("waiting", "wish")

    def __init__(self, wish: Wish) -> None:
        self.wish = wish
        self.waiting: list[asyncio.Future[Verdict]] = []

    @property
    def is_wanted(self) -> bool:
        return any(not future.done() for future in self.waiting)

    def answer(self, verdict: Verdict) -> None:
        for future in self.waiting:
            if not future.done():
                future.set_result(verdict)

    def fail(self, error: StoreUnavailable | RowRefused) -> None:
        for future in self.waiting:
            if not future.done():
                future.set_exception(error)


class BatchedQuotas:
    """Implements the exchange's port Quotas over a Store. One per process; ``run`` has to be running."""

    def __init__(
        self,
        store: Store,
        *,
        clock: Clock | None = None,
        observer: Observer | None = None,
        asks_per_call: int = ASKS_PER_CALL_MAX,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._store = store
        self._clock = clock or SystemClock()
        self._observer = observer
        self._asks_per_call = asks_per_call
        self._patience_s = patience_s
        self._asks: deque[_Ask] = deque()
        self._reserving: dict[UUID, _Ask] = {}  # queued or in flight, by request
        self._fixes: dict[UUID, Mapping[CounterKey, int] | None] = {}
        self._charges: dict[UUID, tuple[Hold, int]] = {}
        self._fixing = 0
        self._asking = 0
        self._is_retrying = False
        self._is_overflowing = False
        self._roused = asyncio.Event()
        self._direct = asyncio.Lock()

    # The port.

    async def reserve(self, hold: Hold) -> Verdict:
        """Hold all lines or none. A known id is answered Granted again.

        Raises StoreUnavailable within two seconds, RowRefused where an amount is past 64 bits. Whoever is
        cancelled while waiting holds nothing.
        """
        ask = self._reserving.get(hold.request_id)
        if ask is None:
            ask = self._reserving[hold.request_id] = self._queued(hold)
        if self._is_retrying and self._fixes.get(hold.request_id, ask) is None:
            del self._fixes[
                hold.request_id
            ]  # a void that came too late would free what is asked now
        return await self._verdict(ask)

    async def grow(self, request_id: UUID, lines: tuple[HoldLine, ...]) -> Verdict:
        """Raise a hold's amounts to these, all or nothing. Raises as ``reserve``."""
        return await self._verdict(self._queued(Growth(request_id, lines)))

    def settle(self, request_id: UUID, used: Mapping[CounterKey, int]) -> None:
        """Fix the hold to what was used; queued, never raises."""
        if self._fixes.get(request_id, used) is not None:  # what is void stays void
            self._fix(request_id, used)

    def void(self, request_id: UUID) -> None:
        """Nothing was used: free the hold; queued, never raises."""
        self._fix(request_id, None)

    def charge(self, hold: Hold) -> None:
        """Count on rolling minutes what passed without its hold; queued, never raises."""
        if len(self._charges) < FIXES_MAX:
            self._charges[hold.request_id] = (hold, self._clock.wall_us())
            self._roused.set()

    async def extend(self, request_ids: Collection[UUID], expires_us: int) -> None:
        """Keep these holds until then, none shorter than before. Raises StoreUnavailable."""
        if request_ids:
            async with self._direct:
                await self._store.extend(request_ids, expires_us)

    async def balances(self, lines: Sequence[HoldLine]) -> tuple[Balance, ...]:
        """How these counters stand (amounts are not looked at). Raises StoreUnavailable."""
        async with self._direct:
            return await self._store.balances(lines, self._clock.wall_us())

    # Its owner's side.

    @property
    def waiting(self) -> int:
        """Settlements, voids and questions that the store has not taken yet."""
        queued = len(self._fixes) + len(self._charges) + len(self._asks)
        return queued + self._fixing + self._asking

    async def run(self) -> None:
        """Carry out what is queued, until cancelled."""
        while True:
            await self.step()
            end_if_cancelled()

    async def step(self) -> int:
        """Wait for work and carry one batch out; 0, the pause before the next (for jobs.supervise)."""
        if not self._has_work():
            self._roused.clear()
            await self._roused.wait()
        if self._fixes and not self._is_retrying:
            await self._carry_out_fixes()
        if self._charges and not self._fixes and not self._is_retrying:
            await self._carry_out_charges()
        if self._asks:
            await self._carry_out_asks()
        return 0

    async def drain(self) -> int:
        """At shutdown, after ``run`` was cancelled: settle what is left; how much the store did not take."""
        while self._fixes and not self._is_retrying:
            await self._carry_out_fixes()
        while self._charges and not self._is_retrying:
            await self._carry_out_charges()
        return len(self._fixes)

    async def close(self) -> None:
        """Give the store's connections back; whoever still waits hears that it is away."""
        for ask in self._asks:
            ask.fail(StoreUnavailable(_AWAY))
        self._asks.clear()
        await self._store.close()

    # Asking.

    def _queued(self, wish: Wish) -> _Ask:
        if len(self._asks) >= ASKS_MAX:
            raise StoreUnavailable(f"{_AWAY}: {ASKS_MAX} requests wait for it already")
        ask = _Ask(wish)
        self._asks.append(ask)
        self._roused.set()
        return ask

    async def _verdict(self, ask: _Ask) -> Verdict:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Verdict] = loop.create_future()
        ask.waiting.append(future)
        timer = loop.call_later(self._patience_s, _lose_patience, future)
        try:
            return await future
        finally:
            timer.cancel()
            # What it failed with knows this frame: who kept the other would keep both until a full collection.
            ask.waiting.remove(future)
            del future

    def _has_work(self) -> bool:
        return bool(self._asks) or (bool(self._fixes or self._charges) and not self._is_retrying)

    def _taken(self) -> list[_Ask]:
        """The next batch: distinct ids, and only what somebody still waits for."""
        batch: dict[UUID, _Ask] = {}
        while self._asks and len(batch) < self._asks_per_call:
            ask = self._asks[0]
            if ask.wish.request_id in batch:
                break
            self._asks.popleft()
            if ask.is_wanted:
                batch[ask.wish.request_id] = ask
            else:
                self._forget(ask)
        return list(batch.values())

    async def _carry_out_asks(self) -> None:
        batch = self._taken()
        self._asking = len(batch)
        pieces: list[Sequence[_Ask]] = [batch] if batch else []
        try:
            while pieces:
                piece = pieces[-1]
                rest = await self._ask(piece)
                pieces.pop()
                pieces += rest
        finally:
            # Reached with pieces left only by cancellation or a fault of our own.
            for ask in (ask for piece in pieces for ask in piece):
                self._undecided(ask, StoreUnavailable(_AWAY))
            self._asking = 0

    async def _ask(self, batch: Sequence[_Ask]) -> list[Sequence[_Ask]]:
        """Ask for a batch; what is to be asked again in parts, since one of them spoils it."""
        try:
            verdicts = await self._store.admit([ask.wish for ask in batch], self._clock.wall_us())
        except RowRefused as error:
            if len(batch) > 1:
                return _halves(batch)
            self._forget(batch[0])
            batch[0].fail(error)
        except StoreUnavailable as error:
            for ask in batch:
                self._undecided(ask, error)
        else:
            for ask, verdict in zip(batch, verdicts, strict=True):
                self._decided(ask, verdict)
        return []

    def _decided(self, ask: _Ask, verdict: Verdict) -> None:
        self._forget(ask)
        if isinstance(ask.wish, Hold) and isinstance(verdict, Granted) and not ask.is_wanted:
            self._fix(ask.wish.request_id, None)  # nobody is left to use it
        ask.answer(verdict)

    def _undecided(self, ask: _Ask, error: StoreUnavailable) -> None:
        """The store may have held it before its answer was lost: give it back when it is there again."""
        self._forget(ask)
        if isinstance(ask.wish, Hold):
            self._fix(ask.wish.request_id, None)
        ask.fail(error)

    def _forget(self, ask: _Ask) -> None:
        if self._reserving.get(ask.wish.request_id) is ask:
            del self._reserving[ask.wish.request_id]

    # Settling.

    def _fix(self, request_id: UUID, used: Mapping[CounterKey, int] | None) -> None:
        if len(self._fixes) >= FIXES_MAX and request_id not in self._fixes:
            # Not lost for good: the ledger's row frees the hold, or its expiry does.
            if not self._is_overflowing:
                self._report(StoreUnavailable(f"{_AWAY}: further settlements are dropped"))
            self._is_overflowing = True
            return
        self._fixes[request_id] = used
        self._roused.set()

    async def _carry_out_fixes(self) -> None:
        ids = list(self._fixes)[:FIXES_PER_CALL_MAX]
        pieces: list[Sequence[Fix]] = [[(one, self._fixes.pop(one)) for one in ids]]
        self._fixing = len(ids)
        try:
            while pieces:
                rest = await self._fix_all(pieces[-1])
                pieces.pop()
                pieces += rest
        except StoreUnavailable as error:
            self._retry_later(error)
        finally:
            self._fixing = 0
            if pieces:  # nothing was carried out, or nobody knows: both may be repeated
                undone = {one: used for piece in pieces for one, used in piece}
                self._fixes = {**undone, **self._fixes}
        self._is_overflowing = False

    async def _fix_all(self, fixes: Sequence[Fix]) -> list[Sequence[Fix]]:
        try:
            await self._store.fix(fixes)
        except RowRefused as error:
            if len(fixes) > 1:
                return _halves(fixes)
            self._report(error)
        return []

    async def _carry_out_charges(self) -> None:
        """After the voids of what could not be held: a void that came later would take the charge back."""
        now_us = self._clock.wall_us()
        due = list(self._charges.values())[: self._asks_per_call]
        holds = [hold for hold, made_us in due if now_us - made_us < MINUTE_US]
        try:
            if holds:
                await self._store.admit(holds, now_us)
        except StoreUnavailable as error:
            self._retry_later(error)
            return
        except RowRefused as error:
            self._report(error)
        for hold, _ in due:
            self._charges.pop(hold.request_id, None)

    def _retry_later(self, error: StoreUnavailable) -> None:
        self._report(error)
        self._is_retrying = True
        asyncio.get_running_loop().call_later(RETRY_S, self._retry)

    def _retry(self) -> None:
        self._is_retrying = False
        self._roused.set()

    def _report(self, error: Exception) -> None:
        if self._observer is not None:
            self._observer.failed("quota.settle", error)


def _halves(batch: Sequence[_T]) -> list[Sequence[_T]]:
    middle = len(batch) // 2
    return [batch[middle:], batch[:middle]]


def _lose_patience(future: asyncio.Future[Verdict]) -> None:
    if not future.done():
        future.set_exception(StoreUnavailable(_AWAY))
