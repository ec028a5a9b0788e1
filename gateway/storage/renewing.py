"""A snapshot that is loaded again for whoever misses something in it: one look at a time, however many ask."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from gateway.kernel.errors import Unavailable

RENEW_PAUSE_MS: Final = 200
RENEW_WAIT_S_MAX: Final = 1.0


class Renewing:
    """Looks for those who wait, then pauses; a look serves all who asked before it began. ``looks``: how many there were.

    The looking is a job of its own (``step``): whoever asks may be cancelled, and a database that does not answer
    keeps nobody for longer than ``RENEW_WAIT_S_MAX``.
    """

    def __init__(self, refresh: Callable[[], Awaitable[object]]) -> None:
        """``refresh`` may raise Unavailable: those who wait then have what there was."""
        self._refresh = refresh
        self._wanted = asyncio.Event()
        self._next: asyncio.Future[None] | None = None
        self._has_job = False
        self.looks = 0

    async def renewed(self) -> bool:
        """Whether a look that began after this call has ended, within the time that one waits. Never raises."""
        if not self._has_job:
            return False
        if self._next is None:
            self._next = asyncio.get_running_loop().create_future()
            self._wanted.set()
        done, _ = await asyncio.wait((self._next,), timeout=RENEW_WAIT_S_MAX)
        return bool(done)

    async def step(self) -> int:
        """Wait until somebody asks, and look; how many ms to pause."""
        self._has_job = True
        await self._wanted.wait()
        self._wanted.clear()
        asked, self._next = self._next, None
        self.looks += 1
        try:
            await self._refresh()
        except Unavailable:
            pass  # the poll, which looks as well, says so
        finally:
            if asked is not None and not asked.done():
                asked.set_result(None)
        return RENEW_PAUSE_MS
