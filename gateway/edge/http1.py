"""Strict HTTP/1.1 on top of uvicorn: llhttp does the syntax; this refuses, bounds and times the rest.

One rule per place: heads in grammar.py, figures in limits.py, byte counts in tally.py, phases and timers
in lifetime.py, what a head has in common with the last one in heads.py. To refuse something new, add it there;
this module only decides when each is asked.
"""

import asyncio
from typing import Any, ClassVar, Final, NoReturn, cast
from urllib.parse import unquote

import httptools
from uvicorn.config import Config
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.server import ServerState

from gateway.edge import grammar
from gateway.edge.cycle import Cycle, Outlet
from gateway.edge.heads import PATIENCE, SeenHead, seen_head
from gateway.edge.lifetime import (
    ANSWER,
    BODY,
    CLOSING,
    HEAD,
    IDLE,
    LINGER,
    MS_PER_S,
    TimedProtocol,
)
from gateway.edge.limits import Limits
from gateway.edge.presence import SCOPE_KEY, ClientPresence
from gateway.edge.refusing import Asking, Refused, Words, unheard
from gateway.edge.sweep import NEVER, Sweeps
from gateway.edge.tally import Tally

_BLANK: Final = b"\r\n"
# Only in these does the current cycle belong to the request being read.
_SERVING: Final = (BODY, ANSWER)


class _Stop(Exception):
    """Raised in a parser callback to stop the parser; the protocol holds the reason."""


class StrictProtocol(TimedProtocol):
    """One client connection. Make a subclass with other limits by ``strict_protocol``."""

    words: ClassVar[Words]

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        # uvicorn switches this leniency on; a request after "Connection: close" is not a request.
        self.parser.set_dangerous_leniencies(lenient_data_after_close=False)
        self._client: ClientPresence | None = None
        self._tally = Tally(self.limits)
        self._fields_max = self.limits.fields_max
        self._retiring = False
        self._seen: SeenHead | None = None
        self._patience = PATIENCE + 1
        self._reset()

    def _reset(self) -> None:
        """Back to the state before a request's first byte."""
        self._begun = False
        self._status = 400
        self._persistent = False
        self._pipelined = False

    # The connection

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn does
        super().connection_made(transport)
        self._outlet = Outlet(transport, self.loop, self.close_gently)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._lose_client()
        self._seen = None  # it holds the client's key
        self._outlet.close = self.transport.close  # no reference cycle through us

    def eof_received(self) -> None:
        """A half-closed client counts as gone, at once: not when our write buffer has run empty."""
        if self._serving():
            self.cycle.disconnected = True
            self.cycle.message_event.set()
            self.flow.resume_writing()
        self._lose_client()
        self._closing()

    def shutdown(self) -> None:
        self._retiring = True
        self._persistent = False
        super().shutdown()

    def truncate(self) -> None:
        """End the connection inside a response: what was sent arrives, the end does not."""
        if self._client is not None:
            self._client.detach()
            self._client = None
        if self._serving():
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self._close()

    def _close(self) -> None:
        self._outlet.flush()
        super()._close()

    def _serving(self) -> bool:
        return self.phase in _SERVING and not self.cycle.response_complete

    def _lose_client(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.leave()

    # Bytes in

    def data_received(self, data: bytes) -> None:
        phase = self.phase
        if phase == BODY:
            self._take_body(data)
        elif phase == HEAD:
            self._take_head(data)
        elif phase == IDLE:
            if self._seen is not None and self._take_again(self._seen, data):
                return
            # The head's time runs from its first byte, blank or not: a dripped CRLF holds nothing open.
            self.phase = HEAD
            self._arm(self.limits.head_ms)
            self._take_head(data)
        elif phase == ANSWER:
            self._take_early(data)
        elif phase == LINGER:
            self._take_spare(data)

    def _take_head(self, data: bytes) -> None:
        begun = self._begun
        if not begun and data[0] in _BLANK:
            text = data.lstrip(_BLANK)
            if status := self._tally.blank(len(data) - len(text)):
                self._refuse(status)
                return
            data = text
        if not data or not self._parse(data):
            return
        if self.phase == HEAD:
            self._unless(self._tally.head_read(len(data)))
        elif self.phase == BODY:
            self._arm_body()
            self._unless(self._tally.first_read(data))
        elif not begun:
            self._remember(data)

    def _remember(self, data: bytes) -> None:
        """The request came in one read, as nearly all do: the next one may be the same but for its body."""
        if self._patience and self._persistent and not self.cycle.waiting_for_100_continue:
            self._patience -= 1
            if self._patience < PATIENCE:  # who asks once pays for nothing
                scope = cast("dict[str, Any]", self.scope)
                self._seen = seen_head(data, scope, self.limits.head_bytes_max)

    def _take_again(self, seen: SeenHead, data: bytes) -> bool:
        """A whole request in one read, with the head of the last: nothing of it needs to be parsed."""
        again = None if self._retiring else seen.again(data, self.limits.body_bytes_max)
        if again is None:
            return False
        self._patience = PATIENCE
        self._begun = self._persistent = True
        self._client = ClientPresence(self)
        scope = seen.scope.copy()
        scope["state"] = self.app_state.copy()
        scope[SCOPE_KEY] = self._client
        scope["headers"], body = again
        self.cycle = self._cycle(scope, expects=False)
        self.cycle.take_whole(body)
        self.phase = ANSWER
        self.deadline = NEVER
        self._start_asgi_task(self.cycle, self.app)
        return True

    def _take_body(self, data: bytes) -> None:
        if not self.cycle.response_complete:
            self._touch_body()
        elif not self._tally.spare(len(data), self.limits.linger_bytes_max):
            self.transport.abort()
            return
        if self._parse(data) and self.phase == BODY:
            self._unless(self._tally.body_read(len(data)))

    def _take_early(self, data: bytes) -> None:
        """Bytes before the response is complete: blank ones are forgiven, a request is not served."""
        if self._pipelined or data.strip(_BLANK) or self._tally.blank(len(data)):
            self._ignore_pipelined(len(data))

    def _ignore_pipelined(self, count: int) -> None:
        self._pipelined = True
        self.cycle.keep_alive = False
        if not self._tally.spare(count, self.limits.pipelined_bytes_max):
            self._close()

    def _take_spare(self, data: bytes) -> None:
        if not self._tally.spare(len(data), self.limits.linger_bytes_max):
            self.transport.abort()

    def _unless(self, status: int) -> None:
        if status:
            self._refuse(status)

    def _parse(self, data: bytes) -> bool:
        """Feed the parser; on its objection or ours refuse. False where nothing more is to be done."""
        try:
            self.parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            if self.phase == ANSWER:
                # The request was whole; what objected is what came after it, at most one read.
                self._ignore_pipelined(0)
            else:
                self._refuse(self._status)
            return False
        return True

    def _stop(self, status: int) -> NoReturn:
        """In a parser callback: stop the parser and refuse."""
        self._status = status
        raise _Stop

    # Parser callbacks

    def on_message_begin(self) -> None:
        if self.phase != HEAD:
            raise _Stop  # pipelined: see _parse
        self._begun = True
        super().on_message_begin()
        self._client = ClientPresence(self)
        cast("dict[str, Any]", self.scope)[SCOPE_KEY] = self._client

    def on_url(self, url: bytes) -> None:
        self.url += url
        if len(self.url) > self.limits.url_bytes_max:
            self._stop(414)

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.phase != HEAD:
            if status := self._tally.trailer(name, value):
                self._stop(status)
            return
        headers = self.headers
        headers.append((name.lower(), value.strip(grammar.OWS)))
        if len(headers) > self._fields_max:
            self._stop(431)

    def on_headers_complete(self) -> None:
        parser, scope, headers = self.parser, self.scope, self.headers
        version, method = parser.get_http_version(), parser.get_method()
        fields, text = dict(headers), grammar.fields_text(headers)
        if status := (
            self._tally.head(len(text), len(headers))
            or grammar.line_status(method, self.url, version)
            or grammar.fields_status(version, headers, fields, text)
        ):
            self._stop(status)
        length = fields.get(b"content-length")
        if length is not None and int(length) > self.limits.body_bytes_max:
            self._stop(413)
        self._tally.chunked = b"transfer-encoding" in fields
        self._persistent = version != "1.0" and not self._retiring and parser.should_keep_alive()
        path, _, query = self.url.partition(b"?")
        decoded = path.decode("ascii")
        scope["http_version"] = version
        scope["method"] = method.decode("ascii")
        scope["raw_path"] = path
        scope["path"] = unquote(decoded) if "%" in decoded else decoded
        scope["query_string"] = query
        self._begin_body(expects=b"expect" in fields and version != "1.0")

    def _begin_body(self, *, expects: bool) -> None:
        self.phase = BODY
        self.cycle = self._cycle(self.scope, expects=expects)
        self._start_asgi_task(self.cycle, self.app)

    def _cycle(self, scope: Any, *, expects: bool) -> Cycle:
        return Cycle(
            scope=scope,
            transport=cast("asyncio.Transport", self._outlet),
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=self.access_log,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=expects,
            # Until the body is whole an answer has to say "connection: close": see on_message_complete.
            keep_alive=False,
            on_response=self.on_response_complete,
        )

    def on_chunk_header(self) -> None:
        self._tally.chunk()

    def on_body(self, body: bytes) -> None:
        if status := self._tally.content(len(body)):
            self._stop(status)
        cycle = self.cycle
        if cycle.response_complete:
            return
        cycle.body += body
        if len(cycle.body) > HIGH_WATER_LIMIT:
            self.flow.pause_reading()
        cycle.message_event.set()

    def on_message_complete(self) -> None:
        cycle = self.cycle
        self.phase = ANSWER
        self.deadline = NEVER
        if cycle.response_complete:  # an early answer, and now the upload has run out
            self._close()
            return
        if not cycle.response_started:
            cycle.keep_alive = self._persistent
        # The body is bounded and whole; reading goes on so that a FIN is seen while the response streams.
        self.flow.resume_reading()
        cycle.more_body = False
        cycle.message_event.set()

    # The response

    def on_response_complete(self) -> None:
        self.server_state.total_requests += 1
        if self._client is not None:
            self._client.detach()
            self._client = None
        if cast("Cycle", self.cycle).turned_away:
            self._seen = None
        if self.transport.is_closing() or self.phase in (LINGER, CLOSING):
            return
        if self.phase == BODY:
            self._outlast_upload()
            return
        self._reset()
        self._tally.reset()
        self.phase = IDLE
        self._arm(self.limits.keep_alive_ms)

    def close_gently(self) -> None:
        """What a response cycle calls to close: an unfinished upload is read on for a while first."""
        if self.phase != BODY or not self.cycle.response_complete:
            self._close()  # else on_response_complete follows at once

    def _outlast_upload(self) -> None:
        """Read on, bounded: closing now would reset the client before it has read the early answer."""
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.flow.resume_reading()
        self._arm_outlasting()

    def _asking(self) -> Asking:
        """What was read of the request that is refused."""
        if not self._begun:
            return Asking()
        return Asking(self.parser.get_method(), self.url, tuple(self.headers))

    def _refuse(self, status: int) -> None:
        """Answer with the status and its reason, where no response has started, and take nothing more."""
        if self.phase in (LINGER, CLOSING) or self.transport.is_closing():
            return
        if self._serving():
            self.cycle.disconnected = True
            self.cycle.message_event.set()
            self._lose_client()
            if self.cycle.response_started:
                self._close()
                return
        elif self.phase == BODY:  # an early answer is out already
            self._close()
            return
        self.transport.write(self.words.refusal(status, self._asking()))
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.phase = LINGER
        self._tally.restart_spare()
        self.flow.resume_reading()
        self._arm(self.limits.linger_ms)


def strict_protocol(limits: Limits, refused: Refused = unheard) -> type[StrictProtocol]:
    """The protocol class with these limits, to be given to uvicorn as ``http``; ``refused`` hears what it refuses."""
    sweeps, words = Sweeps(limits.sweep_ms / MS_PER_S), Words(refused=refused)
    own = {"limits": limits, "sweeps": sweeps, "words": words}
    return type("StrictProtocol", (StrictProtocol,), own)
