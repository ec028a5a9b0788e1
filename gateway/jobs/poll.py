"""Batches are asked for what they used, so that they are booked whether or not their creator ever looks again.

Any number may run, in any processes: what is due is leased to one of them, and what a batch used is booked
under its once-only key. What has not ended after a week becomes an ``unconfirmed`` row, and what has ended while
the file that says what it used is gone, after an hour.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Final
from zlib import crc32

import msgspec

from gateway.exchange.ports import Observer
from gateway.jobs.ports import Books, Works
from gateway.jobs.supervise import attempted, forever
from gateway.kernel.clock import US_PER_SECOND, Clock
from gateway.kernel.errors import UpstreamTimeout
from gateway.kernel.ids import new_id
from gateway.ledger.entry import Entry, EntryKind, Outcome
from gateway.ledger.work import Due, Look, Work

PAUSE_MS: Final = 5_000
ASKED_AT_ONCE: Final = 8
ASK_S_MAX: Final = 600  # an output file may be large
LEASE_US: Final = 900 * US_PER_SECOND  # longer than an answer may take
FIRST_WAIT_US: Final = 60 * US_PER_SECOND
WAIT_US_MAX: Final = 30 * 60 * US_PER_SECOND
SPREAD_PERMILLE: Final = 200
GIVEN_UP_US: Final = 7 * 86_400 * US_PER_SECOND
LATE_US: Final = 15 * 60 * US_PER_SECOND
UNFINISHED: Final = "batch_unfinished"
LOST_US: Final = 3_600 * US_PER_SECOND  # a store may show a new file late
LOST_MAX: Final = 4_096  # remembered
LOST: Final = "batch_output_lost"

Ask = Callable[[Work], Awaitable[Look]]
"""Asks once and books what was used. Raises GatewayError."""
Zone = Callable[[str, int], tuple[str, int]]
"""(org, epoch µs) → (day, period)"""


class Poller:
    """``overdue``: batches that should have been asked a quarter of an hour ago, when last counted."""

    def __init__(
        self, works: Works, ask: Ask, books: Books, *, zone: Zone, clock: Clock, observer: Observer
    ) -> None:
        self._works = works
        self._ask = ask
        self._books = books
        self._zone = zone
        self._clock = clock
        self._observer = observer
        self._lost_us: OrderedDict[str, int] = OrderedDict()  # since when, by the name of the work
        self.overdue = 0

    async def run(self) -> None:
        """Ask what is due, every five seconds, until cancelled; a question that is cut short is asked again."""
        await forever("poll", self.step, self._observer, pause_ms=PAUSE_MS)

    async def step(self) -> int:
        """Ask once; how long to pause: not at all while there may be more. Raises Unavailable."""
        return 0 if await self.poll() == ASKED_AT_ONCE else PAUSE_MS

    async def poll(self) -> int:
        """Ask what is due; how many. Raises Unavailable."""
        now_us = self._clock.wall_us()
        due = await self._works.take(now_us, ASKED_AT_ONCE, LEASE_US)
        asked = [self._one(each, now_us) for each in due]
        # All are seen to their end: one that fails must not leave the others running unwatched.
        failures = [
            each
            for each in await asyncio.gather(*asked, return_exceptions=True)
            if each is not None
        ]
        if failures:
            raise failures[0]
        self.overdue = await self._works.overdue(self._clock.wall_us() - LATE_US)
        return len(due)

    async def _one(self, due: Due, begun_us: int) -> None:
        work = due.work
        look, now_us = await self._look(work), self._clock.wall_us()
        why = self._hopeless(work, look, now_us)
        if look is not Look.ENDED and why is None:
            await self._works.again(work.work, now_us + wait_us(due), begun_us)
            return
        if why is not None:
            day, period = self._zone(work.creator.org, now_us)
            await self._books.append([given_up(work, now_us, day, period, why)])
        await self._works.done(work.work)
        self._lost_us.pop(work.work, None)

    def _hopeless(self, work: Work, look: Look | None, now_us: int) -> str | None:
        """Why it is not asked any more, as a flag; None where it is, or has ended."""
        if look is Look.ENDED:
            return None
        if look is Look.LOST:
            since_us = self._lost_us.setdefault(work.work, now_us)
            while len(self._lost_us) > LOST_MAX:
                self._lost_us.popitem(last=False)
            if now_us - since_us > LOST_US:
                return LOST
        return UNFINISHED if now_us - work.made_us > GIVEN_UP_US else None

    async def _look(self, work: Work) -> Look | None:
        """None where there was no answer."""
        async with asyncio.TaskGroup() as group:
            # What one answer breaks, whatever it is, must not keep the others, nor keep it from being given up.
            asking = group.create_task(attempted("poll", self._ask(work), self._observer))
            await asyncio.wait((asking,), timeout=ASK_S_MAX)
            asking.cancel()
        if asking.cancelled():
            self._observer.failed("poll", UpstreamTimeout("no whole answer about a batch in time"))
            return None
        return asking.result()


def wait_us(due: Due) -> int:
    """How long until it is asked again: doubling from one minute to thirty, each a fifth more or less."""
    doubled = FIRST_WAIT_US << min(due.attempts - 1, 16)
    spread = crc32(f"{due.work.work}/{due.attempts}".encode()) % (2 * SPREAD_PERMILLE + 1)
    return min(doubled, WAIT_US_MAX) * (1000 - SPREAD_PERMILLE + spread) // 1000


def given_up(work: Work, now_us: int, day: str, period: int, why: str) -> Entry:
    """The row of work that never said what it used: at cost zero, for whoever compares the provider's bill."""
    return msgspec.structs.replace(
        work.creator,
        id=new_id(),
        request_id=new_id(),
        kind=EntryKind.UNCONFIRMED,
        outcome=Outcome.INTERRUPTED,
        occurred_us=now_us,
        booked_us=now_us,
        day=day,
        period=period,
        status=0,
        settles=f"{work.work}/unconfirmed",
        flags=(*work.creator.flags, why),
    )
