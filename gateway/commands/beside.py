"""Which gateways stand beside this one: on its folder, or on its port, which the kernel shares out without a word.

Each ``serve`` leaves a note in the folder, locked for as long as it or a worker of its lives. Two on one folder are what
a restart without a gap needs, and neither loses nor doubles a row: their journals are apart, and a lock decides who
adopts a dead one's. But whoever did not want it has to hear of it. To note a further thing: a field of ``Note``.
"""

import errno
import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Final
from uuid import uuid4

import msgspec

from gateway.config import Config

_FOLDER: Final = "serving"
_SUFFIX: Final = ".json"
_MODE: Final = 0o600


class Note(msgspec.Struct, frozen=True):
    """What a gateway says of itself; ``settings``: a digest of its configuration file."""

    pid: int
    host: str
    port: int
    settings: str


def note_of(host: str, port: int, path: Path | None) -> Note:
    """This process's own, for that address and configuration file. Raises OSError where that cannot be read."""
    text = b"" if path is None else path.read_bytes()
    return Note(os.getpid(), host, port, sha256(text).hexdigest())


def leave(folder: Path, note: Note) -> int:
    """Leave a note; the descriptor that keeps it, through forks too, until it is closed. Raises OSError."""
    home = folder / _FOLDER
    home.mkdir(parents=True, exist_ok=True)
    name = uuid4().hex
    newborn = home / f".{name}"
    held = os.open(newborn, os.O_RDWR | os.O_CREAT | os.O_EXCL, _MODE)
    fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.write(held, msgspec.json.encode(note))
    newborn.rename(home / f"{name}{_SUFFIX}")
    return held


def others(folder: Path) -> list[Note]:
    """The gateways that serve on a folder now; the notes of dead ones are removed."""
    return list(_living(folder / _FOLDER))


def _living(home: Path) -> Iterator[Note]:
    for path in sorted(home.glob(f"*{_SUFFIX}")):
        with suppress(OSError, msgspec.DecodeError):
            found = os.open(path, os.O_RDWR)
            try:
                fcntl.flock(found, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()
            except BlockingIOError:
                yield msgspec.json.decode(os.read(found, 4096), type=Note)
            finally:
                os.close(found)


def is_taken(host: str, port: int) -> bool:
    """Whether somebody listens there already, who would share the port with us."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind((host, port))
        except OSError as error:
            return error.errno == errno.EADDRINUSE
    return False


def told(note: Note, beside: list[Note], *, taken: bool) -> list[str]:
    """What is to be said of those beside us, with the cure; [] where we are alone. ``taken``: our port was."""
    said = [_told(note, one) for one in beside]
    if taken and all(one.port != note.port for one in beside):
        said.append(
            f"another process listens on port {note.port}, no gateway of this folder, and the kernel shares the calls out "
            "between the two; end it, or set another server.port"
        )
    return said


def _told(note: Note, one: Note) -> str:
    if one.port != note.port:
        return (
            f"gateway {one.pid} serves on this folder too, on port {one.port}: no row is lost or doubled, but what one "
            "leaves the other books; give each its own storage.folder, unless that is wanted"
        )
    if one.settings != note.settings:
        return (
            f"gateway {one.pid} listens on port {one.port} too, with another configuration: a call is answered by one or "
            "the other; end it with SIGTERM"
        )
    return (
        f"gateway {one.pid} serves the same configuration on port {one.port}: the two share the calls until it ends; "
        "end it with SIGTERM, if it is being replaced"
    )


def beside_health(configured: Config, path: Path | None) -> list[tuple[str, str, str]]:
    """What the doctor says of those that serve on the folder: state, found, cure; [] where nobody does."""
    server, found = configured.server, others(configured.folder())
    if not found:
        return []
    first = found[0]
    shown = " · ".join(f"gateway {one.pid} on port {one.port}" for one in found)
    said = told(first, found[1:], taken=False)
    own = note_of(server.host, server.port, path)
    if not said and first.settings != own.settings:
        cure = "start it again where the file was changed since, or give each file its own storage.folder"
        return [("warn", f"{shown}, with another configuration than this", cure)]
    return [("warn", *_apart(one)) for one in said] or [("ok", shown, "")]


def _apart(sentence: str) -> tuple[str, str]:
    found, _, cure = sentence.rpartition("; ")
    return found, cure
