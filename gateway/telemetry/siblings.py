"""One scrape, every worker: each listens on a socket in the folder and tells its siblings its samples.

Figures are told on asking, never kept in a file: they are as fresh as a worker's own, a full or failed disk does not
stop them, and a dead worker's end with it, since nobody accepts on its socket.
"""

import asyncio
import errno
import fcntl
import os
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Final, NamedTuple, cast

import msgspec

from gateway.exchange.ports import Observer
from gateway.telemetry.exposition import Labels, Sample, exposition
from gateway.telemetry.metrics import METRICS, Metrics

STEP: Final = "scrape"  # of weighbridge_failures_total
SLOTS_MAX: Final = 256
PATIENCE_S: Final = 1.0  # in which all siblings answer, or are left out
BYTES_MAX: Final = 1 << 20  # of one sibling's answer
_SOCKET: Final = ".sock"
_PATH_BYTES_MAX: Final = 100  # of sockaddr_un's 108, or 104 elsewhere
_ENCODER: Final = msgspec.json.Encoder()
_DECODER: Final = msgspec.json.Decoder(list[Sample])


class Siblings:
    """What a scrape shows: this worker's figures, and where there are several workers those of all."""

    def __init__(self, metrics: Metrics, observer: Observer, folder: Path | None) -> None:
        """``folder``: where the workers of one port meet; None where there is only one, which needs no label."""
        self._metrics = metrics
        self._observer = observer
        self._folder = folder
        self._slot: int | None = None

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Be found by the siblings, and find them. Where that fails (it is told), a scrape shows this worker alone."""
        if self._folder is None:
            yield
            return
        seat = server = None
        try:
            seat = _seated(self._folder)
            self._slot = seat.slot
            loop = asyncio.get_running_loop()
            server = await loop.create_unix_server(self._teller, sock=_bound(seat))
        except OSError as error:
            self._observer.failed(STEP, error)
        try:
            yield
        finally:
            if server is not None:
                server.close()
            if seat is not None:
                seat.leave()

    async def scrape(self) -> bytes:
        """Prometheus text, after ``PATIENCE_S`` at most. Its own figures are read last."""
        told = await self._told()
        if self._slot is None:
            return self._metrics.render().encode()
        told[self._slot] = self._metrics.samples()
        workers = [(_label(slot), told[slot]) for slot in sorted(told)]
        return exposition(METRICS, workers).encode()

    def _teller(self) -> "_Teller":
        return _Teller(_ENCODER.encode(self._metrics.samples()))

    async def _told(self) -> dict[int, list[Sample]]:
        """The samples of every sibling that answers, by slot."""
        if self._slot is None or self._folder is None:
            return {}
        asked = {}
        async with asyncio.TaskGroup() as group:
            for slot, path in _sockets(self._folder):
                if slot != self._slot:
                    asked[slot] = group.create_task(_asked(path))
            if asked:
                await asyncio.wait(asked.values(), timeout=PATIENCE_S)
            late = [slot for slot, task in asked.items() if task.cancel()]
        found = {}
        for slot, task in asked.items():
            answer = TimeoutError() if slot in late else task.result()
            if isinstance(answer, Exception):
                self._observer.failed(STEP, answer)
            elif answer is not None:
                found[slot] = answer
        return found


def _label(slot: int) -> Labels:
    return (("worker", str(slot)),)


async def _asked(path: Path) -> list[Sample] | Exception | None:
    """A sibling's samples; None where it is dead, or dies while it is asked; else what is wrong with it."""
    try:
        said = await _said(path)
        return _DECODER.decode(said) if said else None
    except (FileNotFoundError, ConnectionRefusedError, ConnectionResetError):
        return None
    except (OSError, msgspec.DecodeError) as error:
        return error


async def _said(path: Path) -> bytes:
    """All that a sibling says. Raises OSError."""
    with _address(path) as address:
        reader, writer = await asyncio.open_unix_connection(address)
    try:
        await reader.readexactly(BYTES_MAX)
    except asyncio.IncompleteReadError as whole:
        return whole.partial
    finally:
        writer.transport.abort()
    raise OSError(errno.EMSGSIZE, "a sibling says too much")


class _Teller(asyncio.Protocol):
    """Says everything at once and closes, whoever asks; the folder's mode decides who may."""

    def __init__(self, told: bytes) -> None:
        self._told = told

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        asker = cast("asyncio.Transport", transport)  # uvloop's is one by its methods only
        asker.write(self._told)
        asker.close()  # once it is written, for which there is a bounded time
        asyncio.get_running_loop().call_later(PATIENCE_S, asker.abort)


class _Seat(NamedTuple):
    """A slot, the path of its socket, and the lock that keeps it until the process ends."""

    slot: int
    path: Path
    lock: int

    def leave(self) -> None:
        """Give the slot to whoever comes next."""
        with suppress(OSError):
            self.path.unlink(missing_ok=True)
        os.close(self.lock)


def _seated(folder: Path) -> _Seat:
    """The lowest free slot: a worker that takes a dead one's place takes its number. Raises OSError."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for slot in range(SLOTS_MAX):
        lock = os.open(folder / f"{slot}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(lock)
            if not isinstance(error, BlockingIOError):
                raise
        else:
            return _Seat(slot, folder / f"{slot}{_SOCKET}", lock)
    raise BlockingIOError


def _bound(seat: _Seat) -> socket.socket:
    """The slot's own socket, mode 0600. Raises OSError."""
    seat.path.unlink(missing_ok=True)  # a dead worker's; the slot is ours
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        os.fchmod(bound.fileno(), 0o600)  # on Linux what is bound has this mode from the start
        with _address(seat.path) as address:
            bound.bind(address)
        seat.path.chmod(0o600)
    except OSError:
        bound.close()
        raise
    return bound


def _sockets(folder: Path) -> list[tuple[int, Path]]:
    """Every slot that has a socket, dead or alive."""
    found = [path for path in folder.glob(f"*{_SOCKET}") if path.stem.isdecimal()]
    return sorted((int(path.stem), path) for path in found)[:SLOTS_MAX]


@contextmanager
def _address(path: Path) -> Iterator[str]:
    """The path of a socket as the kernel takes it, which is short; Linux knows a way around that."""
    plain = str(path)
    if len(os.fsencode(plain)) <= _PATH_BYTES_MAX:
        yield plain
        return
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)
