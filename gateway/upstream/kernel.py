"""What the kernel knows of a connection and no byte says: whether something waits to be read, and what has arrived there.

Answers carry the acknowledgement of all that their sender's host has received before them. So an answer that is read
while a request is not acknowledged was sent before that request came: it answers something else.
"""

import asyncio
import select
import ssl
import struct
from fcntl import ioctl
from termios import (
    TIOCOUTQ,
)  # on a socket: bytes handed to the kernel that the peer's host has not acknowledged
from typing import Final

_COUNT: Final = struct.Struct("i")
# TLS wraps so many bytes into a record at most, and adds to each (RFC 8446 section 5.2, RFC 5288; else at least) these.
_RECORD_BYTES_MAX: Final = 16 * 1024
_ADDED_1_3: Final = 22
_ADDED_GCM: Final = 29
_ADDED_MIN: Final = 21


class Line:
    """A socket, as the kernel sees it; where it cannot be asked, nothing is waiting and all has arrived."""

    __slots__ = ("_added", "_count", "_fd", "_poll")

    def __init__(self, transport: asyncio.BaseTransport) -> None:
        sock = transport.get_extra_info("socket")
        tls = transport.get_extra_info("ssl_object")
        self._added = 0 if tls is None else _added(tls)
        self._fd: int = -1 if sock is None else sock.fileno()
        self._poll = select.poll()
        # Filled in place: for a copy ioctl takes three times as long.
        self._count = bytearray(_COUNT.size)
        if self._fd >= 0:
            self._poll.register(self._fd, select.POLLIN)

    def is_waiting(self) -> bool:
        """Whether there are bytes, or the end, that were not read yet (some 500 ns)."""
        return bool(self._poll.poll(0))

    def carried(self, size: int) -> int:
        """How many bytes the kernel gets of a write of that size, at least: TLS adds some to every record."""
        return size + -(-size // _RECORD_BYTES_MAX) * self._added if self._added else size

    def unacknowledged(self) -> int:
        """Bytes that were written and have not arrived, as far as is known here (some 500 ns)."""
        try:
            ioctl(self._fd, TIOCOUTQ, self._count)
        except OSError:
            return 0
        (count,) = _COUNT.unpack(self._count)
        return int(count)


def _added(tls: ssl.SSLObject) -> int:
    if tls.version() == "TLSv1.3":
        return _ADDED_1_3
    cipher = tls.cipher()
    return _ADDED_GCM if cipher is not None and "GCM" in cipher[0] else _ADDED_MIN
