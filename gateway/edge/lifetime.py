"""When a connection has to end: its phases, and one deadline per connection that the sweep looks at.

    accept → HEAD → BODY → ANSWER → IDLE → HEAD …     the response runs beside BODY and ANSWER
    refused: any → LINGER → closed                    what follows is read and dropped, never parsed
    closing: any → CLOSING → closed                   only the write buffer is still going out

To add a phase, say here what its deadline means, and in http1.py what a byte means in it.
"""

import asyncio
from abc import abstractmethod
from typing import Any, ClassVar, Final

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from gateway.edge.limits import Limits
from gateway.edge.sweep import NEVER, Sweep, Sweeps

MS_PER_S: Final = 1000


# What the next received byte belongs to. Plain numbers: they are compared several times per read, and an
# enum's member costs more to look up than to compare.
HEAD: Final = 0
BODY: Final = 1
ANSWER: Final = 2
IDLE: Final = 3
LINGER: Final = 4
CLOSING: Final = 5


class TimedProtocol(HttpToolsProtocol):
    """A connection that knows its phase and ends in time. ``deadline`` is in the loop's seconds."""

    limits: ClassVar[Limits] = Limits()
    sweeps: ClassVar[Sweeps] = Sweeps(limits.sweep_ms / MS_PER_S)

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.phase: int = HEAD
        self.deadline = NEVER
        self._begun = False
        self._body_deadline = NEVER
        self._unsent_bytes = 0
        self._sweep: Sweep = self.sweeps.of(self.loop)

    @abstractmethod
    def _refuse(self, status: int) -> None:
        """Answer with the status and its reason, where no response has started, and take nothing more."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn does
        super().connection_made(transport)
        self._sweep.add(self)
        self._arm(self.limits.head_ms)

    def connection_lost(self, exc: Exception | None) -> None:
        self._sweep.discard(self)
        self.phase = CLOSING
        self.deadline = NEVER
        super().connection_lost(exc)

    def _arm(self, ms: int) -> None:
        self.deadline = self.loop.time() + ms / MS_PER_S

    def _arm_body(self) -> None:
        """A body did not come with its head: bounded as a whole, and between any two reads."""
        now = self.loop.time()
        self._body_deadline = now + self.limits.body_total_ms / MS_PER_S
        self.deadline = now + self.limits.body_idle_ms / MS_PER_S

    def _touch_body(self) -> None:
        idle = self.loop.time() + self.limits.body_idle_ms / MS_PER_S
        self.deadline = min(idle, self._body_deadline)

    def _arm_outlasting(self) -> None:
        """An upload that outlives its answer: bounded as a whole, whatever its pace."""
        self._arm(self.limits.linger_ms)
        self._body_deadline = self.deadline

    def _close(self) -> None:
        self._closing()
        self.transport.close()

    def _closing(self) -> None:
        """From here on only the write buffer matters, and how long a client may leave it standing."""
        self.phase = CLOSING
        self._watch_writing()

    def _watch_writing(self) -> None:
        self._unsent_bytes = self.transport.get_write_buffer_size()
        self._arm(self.limits.write_stall_ms)

    def pause_writing(self) -> None:
        super().pause_writing()
        if self.phase == ANSWER:
            self._watch_writing()

    def resume_writing(self) -> None:
        super().resume_writing()
        if self.phase == ANSWER:
            self.deadline = NEVER

    def expire(self, now: float) -> None:
        """The deadline of the current phase has passed (called by the sweep)."""
        phase = self.phase
        if phase == HEAD:
            self._expire_head()
        elif phase == IDLE:
            self._close()
        elif phase == BODY:
            self._expire_body(now)
        elif phase == LINGER:
            self.transport.abort()
        else:
            self._expire_writing()

    def _expire_head(self) -> None:
        if self._begun or self.cycle is None:
            self._refuse(408)
        else:
            # Blank bytes after a response: a 408 could be taken for the answer to the next request.
            self._close()

    def _expire_body(self, now: float) -> None:
        if self.flow.read_paused and now < self._body_deadline:
            self._touch_body()  # we are the slow one: a paused client cannot send
        else:
            self._close()

    def _expire_writing(self) -> None:
        unsent = self.transport.get_write_buffer_size()
        if unsent < self._unsent_bytes:  # something left: the client reads, if slowly
            self._watch_writing()
        else:
            self.transport.abort()
