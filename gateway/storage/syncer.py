"""Group fdatasync: one thread of its own takes everybody who waits, syncs each file once, tells them all."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import Final, TypeAlias

from gateway.storage.backlog import Segment, Settled, Written
from gateway.storage.disk import Disk

JOIN_S_MAX: Final = 30
# With so many exchanges open, a settlement waits so long for company (as Postgres' commit_delay does).
SIBLINGS_MIN: Final = 8
PATIENCE_S: Final = 0.002
_GO_ON: Final = "go on"
_END: Final = "end"
# What was asked and whose segment is synced now, or has failed (segment.failed says which).
Waited: TypeAlias = Settled | Written
Done: TypeAlias = Callable[[Sequence[Waited]], None]


class Syncer:
    """The thread and its queue. A settlement's result reaches the loop that its future belongs to."""

    def __init__(self, home: Path, disk: Disk, done: Done) -> None:
        self._home = home
        self._disk = disk
        self._done = done
        self._asked: deque[Waited | Segment] = deque()
        self._tokens: SimpleQueue[str] = SimpleQueue()
        self._is_roused = False
        self.syncs = 0  # fdatasync calls: to be compared with the rows they made durable
        self._start()

    def _start(self) -> None:
        self._thread = Thread(target=self._run, name="spool-sync", daemon=True)
        self._thread.start()

    def ask(self, what: Waited | Segment, siblings: int = 0) -> None:
        """Have what somebody waits for (or a segment as it is now) synced; its bytes are written already.

        ``siblings``: how many others are under way. The thread is woken once for all that settle in a turn of
        the loop, or, where enough are under way, within PATIENCE_S: a switch of threads and a sync cost more
        than the settlement itself.
        """
        self._asked.append(what)
        if isinstance(what, Segment):
            self._tokens.put(_GO_ON)
        elif not self._is_roused:
            self._is_roused = True
            loop = what.future.get_loop()
            if siblings < SIBLINGS_MIN:
                loop.call_soon(self._tokens.put, _GO_ON)
            else:
                loop.call_later(PATIENCE_S, self._tokens.put, _GO_ON)

    def close(self) -> None:
        """Finish what was asked and end the thread."""
        self._tokens.put(_END)
        self._thread.join(JOIN_S_MAX)

    def _run(self) -> None:
        is_open = True
        while is_open:
            is_open = self._tokens.get() is _GO_ON
            # Before looking: who asks from here on rouses us again, who asked until now is seen.
            self._is_roused = False
            asked = [self._asked.popleft() for _ in range(len(self._asked))]
            if asked:
                self._sync(asked)

    def _sync(self, asked: Sequence[Waited | Segment]) -> None:
        segments = [one if isinstance(one, Segment) else one.segment for one in asked]
        for segment in dict.fromkeys(one for one in segments if one is not None):
            size = segment.size  # at least what the asking wrote: they wrote before they asked
            if segment.failed is None:
                try:
                    self._sync_one(segment)
                    segment.synced = size
                except OSError as error:
                    segment.failed = error
        waited = [one for one in asked if not isinstance(one, Segment)]
        if waited:
            _call(waited[0].future.get_loop(), self._done, waited)

    def _sync_one(self, segment: Segment) -> None:
        self.syncs += 1
        self._disk.sync(segment.fd)
        if not segment.is_linked:
            self._disk.sync_directory(self._home)
            segment.is_linked = True


def _call(loop: asyncio.AbstractEventLoop, done: Done, waited: Sequence[Waited]) -> None:
    try:
        loop.call_soon_threadsafe(done, waited)
    except RuntimeError:
        # The loop is closed: nobody waits any more, and the records are on disk for the adopter.
        return
