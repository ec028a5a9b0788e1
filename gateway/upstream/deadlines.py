"""How long an upstream may take, step by step, and how a call carries it.

To add a limit: a field in both classes, its key in ``extension`` and ``Limits.of``, and the place that
compares it (``Limits.overdue`` for a connection at work, the sweep of connections.py for the rest).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import httpx

NEVER: Final = float("inf")


@dataclass(frozen=True, slots=True)
class Deadlines:
    """Seconds a step may take; None: no limit.

    connect_s  name look-up, TCP and TLS of a new connection
    pool_s     waiting for a connection while all allowed ones are in use
    write_s    the upstream takes no further byte of the request
    head_s     from the last byte sent to the final response head
    idle_s     between two reads of the body; not counted while our own reader is the slow side
    total_s    the whole call
    """

    connect_s: float | None = 5.0
    pool_s: float | None = 10.0
    write_s: float | None = 60.0
    head_s: float | None = 600.0
    idle_s: float | None = 300.0
    total_s: float | None = None

    def extension(self) -> dict[str, float | None]:
        """The ``timeout`` extension of a request: httpx's four keys, and ours (head, total)."""
        return {
            "connect": self.connect_s,
            "pool": self.pool_s,
            "write": self.write_s,
            "head": self.head_s,
            "read": self.idle_s,
            "total": self.total_s,
        }


@dataclass(frozen=True, slots=True)
class Limits:
    """A call's ``timeout`` extension, read once: seconds, infinity where there is no limit."""

    connect_s: float
    pool_s: float
    write_s: float
    head_s: float
    idle_s: float
    total_s: float

    @classmethod
    def of(cls, extension: Mapping[str, float | None]) -> "Limits":
        """Read an extension; httpx's own has no head limit, there the read limit rules it as well."""

        def seconds(key: str) -> float:
            value = extension.get(key)
            return NEVER if value is None else value

        return cls(
            connect_s=seconds("connect"),
            pool_s=seconds("pool"),
            write_s=seconds("write"),
            head_s=seconds("head" if "head" in extension else "read"),
            idle_s=seconds("read"),
            total_s=seconds("total"),
        )

    @property
    def shortest_s(self) -> float:
        """The shortest of them: how often somebody has to look."""
        return min(
            self.connect_s, self.pool_s, self.write_s, self.head_s, self.idle_s, self.total_s
        )

    def overdue(
        self, still_s: float, *, writing: bool, head: bool
    ) -> httpx.TimeoutException | None:
        """The error of a step that has not moved for ``still_s`` seconds, or None while it is in time.

        ``writing``: the request is not out yet. ``head``: the final response head has arrived.
        """
        if writing:
            late = still_s >= self.write_s
            return httpx.WriteTimeout(f"no byte taken for {self.write_s:g} s") if late else None
        if not head and still_s >= self.head_s:
            return httpx.ReadTimeout(f"no response head after {self.head_s:g} s")
        if head and still_s >= self.idle_s:
            return httpx.ReadTimeout(f"the body stood still for {self.idle_s:g} s")
        return None
