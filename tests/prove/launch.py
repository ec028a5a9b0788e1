"""Serving processes that die at a named system call, and whose disk says what it has synced.

    python -m tests.prove.launch CONFIG LOG SYNCED      a line "POINT NTH" on stdin → one child, whose pid is printed

A child is ``weighbridge serve`` over modules, prices and vocabulary that are in memory already. The product
is as it is: the child is composed with another Disk (the spool's port), and with a ledger, a pool and an
adopter (and what holds budget) that ask for the kill before or after they do what they do. To add a point: its name in ``POINTS``
and a ``hit`` where it happens.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

from gateway import app as composition, shipped
from gateway.commands.serve import serve
from gateway.exchange.holding import Held, Holding
from gateway.ledger.entry import Entry
from gateway.providers.contract import Target, Upstream
from gateway.quota.hold import Hold, Verdict
from gateway.storage.books import Books
from gateway.storage.disk import Disk
from gateway.storage.ledger import Ledger
from gateway.storage.orphans import Orphan, orphans
from gateway.storage.segment import Kind
from gateway.storage.spool import Spool
from gateway.upstream.pool import UpstreamPool
from gateway.upstream.transport import nobody
from tests.faults.gateways import ENVIRONMENT
from tests.faults.nursery import Nursery

NEVER: Final = "never"
POINTS: Final = (
    "hold: before it is asked for",
    "hold: granted, nothing written",
    "hold: before it is fixed",
    "zeros: before they are laid",
    "zeros: laid, nothing written over them",
    "intent: before it is written",
    "intent: half of it is written",
    "intent: written",
    "send: before the provider is asked",
    "send: its head has come",
    "settle: before it is written",
    "settle: half of it is written",
    "settle: written, not synced",
    "sync: before",
    "sync: done, nobody told",
    "segment: a new one is open",
    "flush: before the transaction",
    "flush: rows and counters in, not committed",
    "flush: committed, not marked",
    "adopt: booked, not removed",
)
_KIND_AT: Final = 8  # offset of a record's kind
_NAMES: Final = {int(Kind.INTENT): "intent", int(Kind.SETTLE): "settle"}


class Trigger:
    """kill -9 by its own hand, the ``nth`` time the point is reached."""

    def __init__(self, point: str, nth: int) -> None:
        self._point = point
        self._left = nth

    def is_next(self, point: str) -> bool:
        return point == self._point and self._left == 1

    def hit(self, point: str) -> None:
        if point == self._point:
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)


class TellingDisk(Disk):
    """The real disk; writes down how much of which file is durable, and dies where it is told to."""

    def __init__(self, trigger: Trigger, synced: Path) -> None:
        self._trigger = trigger
        self._paths: dict[int, Path] = {}
        self._written: dict[int, int] = {}
        self._log = os.open(synced, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def open(self, path: Path) -> int:
        fd = super().open(path)
        self._paths[fd] = path
        self._written[fd] = 0
        self._trigger.hit("segment: a new one is open")
        return fd

    def write(self, fd: int, record: bytes, at: int) -> int:
        name = _NAMES.get(record[_KIND_AT], "void")
        self._trigger.hit(f"{name}: before it is written")
        torn = f"{name}: half of it is written"
        if self._trigger.is_next(torn):
            super().write(fd, record[: len(record) // 2], at)
        self._trigger.hit(torn)
        taken = super().write(fd, record, at)
        self._written[fd] = at + taken
        self._trigger.hit(f"{name}: written")
        self._trigger.hit(f"{name}: written, not synced")
        return taken

    def lay(self, fd: int, size: int, at: int) -> int:
        self._trigger.hit("zeros: before they are laid")
        laid = super().lay(fd, size, at)
        self._trigger.hit("zeros: laid, nothing written over them")
        return laid

    def sync(self, fd: int) -> None:
        self._trigger.hit("sync: before")
        written = self._written[fd]
        super().sync(fd)
        os.write(self._log, f"{written} {self._paths[fd]}\n".encode())
        self._trigger.hit("sync: done, nobody told")


def composed(trigger: Trigger, synced: Path) -> dict[str, Any]:
    """What the composition root is to use instead of its own names."""

    class DyingPool(UpstreamPool):
        async def send(
            self, upstream: Upstream, target: Target, leaving: Callable[[], None] = nobody
        ) -> Any:
            trigger.hit("send: before the provider is asked")
            response = await super().send(upstream, target, leaving)
            trigger.hit("send: its head has come")
            return response

    class DyingOrphan(Orphan):
        def remove(self) -> None:
            trigger.hit("adopt: booked, not removed")
            super().remove()

    def found(*args: Any, **named: Any) -> Iterator[Orphan]:
        for orphan in orphans(*args, **named):
            orphan.__class__ = DyingOrphan
            yield orphan

    return {
        "Spool": partial(Spool, disk=TellingDisk(trigger, synced)),
        "Ledger": dying_ledger(trigger),
        "Holding": dying_holding(trigger),
        "UpstreamPool": DyingPool,
        "orphans": found,
    }


def dying_ledger(trigger: Trigger) -> type[Ledger]:
    """Dies before, in and after its transaction."""

    class DyingLedger(Ledger):
        async def append(self, entries: Iterable[Entry]) -> int:
            given = list(entries)
            if given:
                trigger.hit("flush: before the transaction")
            booked = await super().append(given)
            if given:
                trigger.hit("flush: committed, not marked")
            return booked

        async def _link(self, books: Books, booked: Iterable[Entry]) -> None:
            await super()._link(books, booked)
            trigger.hit("flush: rows and counters in, not committed")

    return DyingLedger


def dying_holding(trigger: Trigger) -> type[Holding]:
    """Dies before and after it holds, and before it gives back."""

    class DyingHolding(Holding):
        async def _asked(self, hold: Hold) -> Verdict:
            trigger.hit("hold: before it is asked for")
            verdict = await super()._asked(hold)
            trigger.hit("hold: granted, nothing written")
            return verdict

        def settle(self, held: Held | None, entry: Entry) -> None:
            trigger.hit("hold: before it is fixed")
            super().settle(held, entry)

    return DyingHolding


def main(config: Path, log: Path, synced: Path) -> None:
    """The launcher itself, in a process of its own."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # whoever started us looks after them
    counter, book = shipped.counter(), shipped.price_book(shipped.configured(config))
    vars(composition).update(counter=lambda: counter, price_book=lambda _config: book)
    for line in sys.stdin:
        nth, _, point = line.strip().partition(" ")
        pid = os.fork()
        if pid == 0:
            vars(composition).update(composed(Trigger(point, int(nth)), synced))
            _bear(config, log)
        print(pid, flush=True)


def _bear(config: Path, log: Path) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    with log.open("ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    serve(config=config)
    os._exit(0)


class Launcher(Nursery):
    """The handle of a running launcher."""

    def begin(self, point: str = NEVER, nth: int = 1) -> int:
        """One more serving process, that dies the ``nth`` time it reaches ``point``; its pid."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{nth} {point}\n")
        self._process.stdin.flush()
        pid = int(self._process.stdout.readline())
        self.alive.append(pid)
        return pid


@contextmanager
def launcher(config: Path, log: Path, synced: Path) -> Iterator[Launcher]:
    """A launcher for the gateway of a configuration file; all its children end with it."""
    command = [sys.executable, "-m", "tests.prove.launch", str(config), str(log), str(synced)]
    with subprocess.Popen(
        command,
        env={**os.environ, **ENVIRONMENT},
        cwd=Path(__file__).parents[2],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        found = Launcher(process, log)
        try:
            yield found
        finally:
            found.end()
            assert process.stdin is not None
            process.stdin.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]))
