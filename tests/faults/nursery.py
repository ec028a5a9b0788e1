"""Serving processes in a moment instead of four seconds: what is only read is read once, then forked.

    python -m tests.faults.nursery CONFIG LOG        a line on stdin → one more child, whose pid is printed

A child runs what ``python -m gateway serve --config CONFIG`` runs, over modules, prices and vocabulary that
are in memory already; it is a process of its own, to be killed by its pid. At the end of stdin the nursery ends and leaves its children to whoever started it.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from gateway import app as composition, shipped
from gateway.commands.serve import serve
from tests.faults.gateways import ENVIRONMENT, is_listening

READY_S_MAX: Final = 60.0


def main(config: Path, log: Path) -> None:
    """The nursery itself, in a process of its own."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # whoever started us looks after them
    counter, book = shipped.counter(), shipped.price_book(shipped.configured(config))
    vars(composition).update(counter=lambda: counter, price_book=lambda _config: book)
    for _ in sys.stdin:
        pid = os.fork()
        if pid == 0:
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


class Nursery:
    """The handle of a running nursery."""

    def __init__(self, process: "subprocess.Popen[str]", log: Path) -> None:
        self._process = process
        self._log = log
        self.alive: list[int] = []

    def begin(self) -> int:
        """One more serving process; its pid."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        pid = int(self._process.stdout.readline())
        self.alive.append(pid)
        return pid

    def until_listening(self, pid: int) -> None:
        deadline = time.monotonic() + READY_S_MAX
        while not is_listening(pid):
            assert time.monotonic() < deadline, self._log.read_text()
            assert Path(f"/proc/{pid}").exists(), self._log.read_text()
            time.sleep(0.02)

    def kill(self, pid: int) -> None:
        """kill -9, and nothing more is heard of it."""
        self.alive.remove(pid)
        os.kill(pid, signal.SIGKILL)

    def end(self) -> None:
        """SIGTERM to all that live, and wait for their end."""
        for pid in self.alive:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + 20
        while any(Path(f"/proc/{pid}").exists() for pid in self.alive):
            if time.monotonic() > deadline:
                for pid in self.alive:
                    with suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                break
            time.sleep(0.05)
        self.alive.clear()


@contextmanager
def nursery(config: Path, log: Path) -> Iterator[Nursery]:
    """A nursery for the gateway of a configuration file; all its children end with it."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.faults.nursery", str(config), str(log)],
        env={**os.environ, **ENVIRONMENT},
        cwd=Path(__file__).parents[2],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        found = Nursery(process, log)
        try:
            yield found
        finally:
            found.end()
            assert process.stdin is not None
            process.stdin.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
