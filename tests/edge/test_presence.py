"""A client's departure is noticed, whatever its form and whenever it comes, and never by the next request."""

import asyncio
import threading
import time
from typing import Any

import pytest

from gateway.edge.limits import Limits
from gateway.edge.presence import SCOPE_KEY, ClientPresence

NOTICED_S = 1.0  # the promise is 0.1 s; a busy machine gets more
ASK = b"POST /%s HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi"


class Watch:
    """Answers as the path says; notes when its client left."""

    def __init__(self) -> None:
        self.gone_at: list[float] = []
        self.begun = threading.Event()
        self.hook_calls: list[bytes] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await receive()
        presence: ClientPresence = scope[SCOPE_KEY]
        path = scope["raw_path"]
        presence.arm(lambda: self.hook_calls.append(path))
        if path == b"/quick":
            await self._answer(send, b"done")
            return
        if path != b"/before-head":
            await send({"type": "http.response.start", "status": 200, "headers": []})
        if path == b"/flowing":
            self.begun.set()
            while not presence.gone:
                await send({"type": "http.response.body", "body": bytes(8192), "more_body": True})
                await asyncio.sleep(0.001)
        elif path == b"/stalled":
            await send({"type": "http.response.body", "body": b"begun", "more_body": True})
        self.begun.set()
        await presence.wait()
        self.gone_at.append(time.monotonic())

    async def _answer(self, send: Any, body: bytes) -> None:
        length = [(b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": length})
        await send({"type": "http.response.body", "body": body})


class Switch:
    """Passes requests to the application of the current test."""

    def __init__(self) -> None:
        self.app = Watch()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.app(scope, receive, send)


@pytest.fixture(scope="module")
def watch(serve: Any) -> Any:
    switch = Switch()
    served = serve(switch, Limits(sweep_ms=50))
    served.switch = switch
    return served


@pytest.fixture
def app(watch: Any) -> Watch:
    watch.switch.app = Watch()
    fresh: Watch = watch.switch.app
    return fresh


LEAVE = {
    "FIN": lambda wire: wire.socket.close(),
    "RST": lambda wire: wire.reset(),
    "half-close": lambda wire: wire.half_close(),
}
EXTRA = {
    "nothing": b"",
    "a second request": ASK % b"quick",
    "garbage": b"\x00\x01garbage\r\n\r\n",
    "100 kB": b"GET /" + b"a" * 100_000,
}


@pytest.mark.parametrize("form", LEAVE)
@pytest.mark.parametrize("moment", ["before-head", "stalled", "flowing"])
@pytest.mark.parametrize("extra", EXTRA)
def test_a_departure_is_noticed(watch: Any, app: Watch, form: str, moment: str, extra: str) -> None:
    with watch.connect() as wire:
        wire.send(ASK % moment.encode() + (EXTRA[extra] if len(EXTRA[extra]) < 9999 else b""))
        assert app.begun.wait(5)
        if len(EXTRA[extra]) > 9999:
            wire.send(EXTRA[extra])
        left_at = time.monotonic()
        LEAVE[form](wire)
        while not app.gone_at and time.monotonic() < left_at + 5:
            time.sleep(0.002)
    assert app.gone_at
    assert app.gone_at[0] - left_at <= NOTICED_S
    assert app.hook_calls == [b"/" + moment.encode()]


def test_a_half_closed_client_that_does_not_read_is_noticed_too(watch: Any, app: Watch) -> None:
    """The write buffer is full: the departure must not wait for it to run empty."""
    with watch.connect() as wire:
        wire.send(ASK % b"flowing")
        assert app.begun.wait(5)
        time.sleep(0.3)
        left_at = time.monotonic()
        wire.half_close()
        while not app.gone_at and time.monotonic() < left_at + 5:
            time.sleep(0.002)
    assert app.gone_at[0] - left_at <= NOTICED_S


def test_a_stale_hook_never_fires_for_the_next_request(watch: Any, app: Watch) -> None:
    with watch.connect() as wire:
        wire.send(ASK % b"quick")
        wire.read_until(b"done")
        wire.send(ASK % b"stalled")
        wire.read_until(b"begun")
    while not app.gone_at:
        time.sleep(0.002)
    assert app.hook_calls == [b"/stalled"]


def test_leaving_after_the_whole_response_is_no_departure(watch: Any, app: Watch) -> None:
    with watch.connect() as wire:
        wire.send(ASK % b"quick")
        wire.read_until(b"done")
    while watch.server.server_state.connections:
        time.sleep(0.002)
    assert app.hook_calls == []


def test_a_hook_is_called_once_and_at_once_where_it_comes_too_late() -> None:
    calls: list[str] = []
    presence = ClientPresence()
    presence.arm(lambda: calls.append("early"))
    presence.leave()
    presence.leave()
    assert calls == ["early"]
    presence.arm(lambda: calls.append("late"))
    assert calls == ["early", "late"]


def test_a_disarmed_or_detached_hook_is_silent() -> None:
    calls: list[str] = []
    presence = ClientPresence()
    presence.arm(lambda: calls.append("one"))
    presence.disarm()
    presence.arm(lambda: calls.append("two"))
    presence.detach()
    presence.leave()
    assert calls == []


def test_every_waiter_wakes() -> None:
    async def story() -> int:
        presence = ClientPresence()
        async with asyncio.TaskGroup() as group:
            waiters = [group.create_task(presence.wait()) for _ in range(3)]
            await asyncio.sleep(0)
            presence.leave()
        await presence.wait()
        return sum(waiter.done() for waiter in waiters)

    assert asyncio.run(story()) == 3
