"""Holds come to an end: a live worker extends its own, and what nobody extends is given up.

A hold that expires without a row becomes an ``unconfirmed`` row at zero cost: something may have been
sent, only the provider's bill can tell. The row frees the hold; the true row, should it still come, adds
an adjustment.
"""

from collections.abc import Callable, Collection, Sequence
from typing import Final
from uuid import UUID

import msgspec

from gateway.exchange.ports import Observer
from gateway.jobs.ports import Books, Expired, Extends, Holds
from gateway.jobs.supervise import forever
from gateway.kernel.clock import US_PER_SECOND, Clock
from gateway.kernel.errors import Unavailable
from gateway.ledger.entry import Entry, EntryKind, Outcome

SWEPT_PER_STEP_MAX: Final = 200
SWEEP_PAUSE_MS: Final = 5_000
# How long after the store was away nothing is given up: whoever lives extends its holds first, every five seconds then.
GRACE_US: Final = 30 * US_PER_SECOND
EXTENSIONS_PER_TTL: Final = 3  # two may fail before a hold expires
EXTENDED_PER_CALL_MAX: Final = 1_000
_US_PER_MS: Final = 1000
_ENTRY: Final = msgspec.json.Decoder(Entry)


class Sweeper:
    """Any number may run, in any processes: two that give up the same hold book it once."""

    def __init__(self, holds: Holds, books: Books, clock: Clock, observer: Observer) -> None:
        self._holds = holds
        self._books = books
        self._clock = clock
        self._observer = observer
        self._was_away = False
        self._rests_until_us = 0

    async def run(self) -> None:
        """Sweep at once and then every five seconds, until cancelled."""
        await forever("expire", self.step, self._observer, pause_ms=SWEEP_PAUSE_MS)

    async def step(self) -> int:
        """Sweep once; how long to pause: not at all while there may be more. Raises Unavailable."""
        return 0 if await self.sweep() == SWEPT_PER_STEP_MAX else SWEEP_PAUSE_MS

    async def sweep(self) -> int:
        """Give up what has expired; how many holds. Raises Unavailable, the rest is then given up later."""
        now_us = self._clock.wall_us()
        expired = await self._expired(now_us)
        unconfirmed = []
        for one in expired:
            entry = None if one.is_booked else await self._entry_of(one, now_us)
            if entry is not None:
                unconfirmed.append(entry)
        if unconfirmed:
            await self._books.append(unconfirmed)
        # What was booked is free already, unless its row went to the quarantine.
        await self._holds.free([one.request_id for one in expired])
        return len(expired)

    async def _expired(self, now_us: int) -> Sequence[Expired]:
        """What is to be given up: nothing for a while after nobody could extend what lives."""
        try:
            expired = await self._holds.expired(now_us, SWEPT_PER_STEP_MAX)
        except Unavailable:
            self._was_away = True
            raise
        if self._was_away:
            self._was_away, self._rests_until_us = False, now_us + GRACE_US
        return [] if now_us < self._rests_until_us else expired

    async def _entry_of(self, expired: Expired, now_us: int) -> Entry | None:
        try:
            entry = _ENTRY.decode(expired.entry)
        except msgspec.DecodeError as error:
            reason = f"the hold's entry cannot be read: {error}"
            await self._books.quarantine(expired.request_id, reason, expired.entry)
            return None
        return msgspec.structs.replace(
            entry,
            kind=EntryKind.UNCONFIRMED,
            outcome=Outcome.INTERRUPTED,
            booked_us=now_us,
            lines=(),
            list_pico=0,
            net_pico=0,
            price_status="free",
        )


class Extender:
    """Keeps this worker's own holds for as long as their requests run."""

    def __init__(
        self,
        live: Callable[[], Collection[UUID]],
        quotas: Extends,
        clock: Clock,
        observer: Observer,
        *,
        ttl_us: int,
    ) -> None:
        """``live``: the requests that hold something now. ``ttl_us``: how long a hold lasts unextended."""
        self._live = live
        self._quotas = quotas
        self._clock = clock
        self._observer = observer
        self._ttl_us = ttl_us

    async def run(self) -> None:
        """Extend three times in the life of a hold, until cancelled."""
        await forever("extend", self.step, self._observer, pause_ms=self._pause_ms)

    async def step(self) -> int:
        """Extend once; how long to pause. Raises Unavailable."""
        expires_us = self._clock.wall_us() + self._ttl_us
        ids = list(self._live())
        for start in range(0, len(ids), EXTENDED_PER_CALL_MAX):
            await self._quotas.extend(ids[start : start + EXTENDED_PER_CALL_MAX], expires_us)
        return self._pause_ms

    @property
    def _pause_ms(self) -> int:
        return max(1, self._ttl_us // EXTENSIONS_PER_TTL // _US_PER_MS)
