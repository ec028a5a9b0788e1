"""What the kernel knows of a connection and no byte says: whether something waits to be read, and what has arrived there.

Answers carry the acknowledgement of all that their sender's host has received before them. So an answer that is read
while a request is not acknowledged was sent before that request came: it answers something else.
"""

import asyncio
import select
import struct
from fcntl import ioctl
from termios import (
    TIOCOUTQ,
)  # on a socket: bytes handed to the kernel that the peer's host has not acknowledged
from typing import Final

_COUNT: Final = struct.Struct("i")


class Line:
    """A socket, as the kernel sees it; where it cannot be asked, nothing is waiting and all has arrived."""

    __slots__ = ("_count", "_fd", "_poll")

    def __init__(self, transport: asyncio.BaseTransport) -> None:
        sock = transport.get_extra_info("socket")
        self._fd: int = -1 if sock is None else sock.fileno()
        self._poll = select.poll()
        # Filled in place: for a copy ioctl takes three times as long.
        self._count = bytearray(_COUNT.size)
        if self._fd >= 0:
            self._poll.register(self._fd, select.POLLIN)

    def is_waiting(self) -> bool:
        """Whether there are bytes, or the end, that were not read yet (some 500 ns)."""
        return bool(self._poll.poll(0))

    def unacknowledged(self) -> int:
        """Bytes that were written and have not arrived, as far as is known here (some 500 ns)."""
        try:
            ioctl(self._fd, TIOCOUTQ, self._count)
        except OSError:
            return 0
        (count,) = _COUNT.unpack(self._count)
        return int(count)
