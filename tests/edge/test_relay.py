"""The relay's laws: bytes identical, sent first and looked at second, no end before the durable row."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from gateway.edge.abandon import Abandonment, Policy
from gateway.edge.passing import passing_headers, planned
from gateway.edge.presence import ClientPresence
from gateway.edge.relay import Relayed, Way, relay
from gateway.kernel.errors import SpoolFull, UpstreamFailed, UpstreamMalformed
from gateway.wire.messages import Head, Headers

CUTS = st.lists(st.binary(max_size=12), max_size=8)


class Upstream:
    """A Response whose body is a list: bytes, an error to die of, or a callable to run in between."""

    def __init__(
        self,
        parts: list[Any],
        *headers: tuple[bytes, bytes],
        status: int = 200,
        arrived: bool = False,
    ) -> None:
        """``arrived``: all of it is here before anybody asks."""
        self.head = Head(status, headers)
        self.parts = parts
        self.arrived = arrived
        self.pulled = 0
        self.closed = asyncio.Event()

    def whole(self, length: int) -> bytes | None:
        body = b"".join(self.parts) if self.arrived else b""
        if len(body) != length or not body:
            return None
        self.closed.set()
        return body

    async def body(self) -> AsyncIterator[bytes]:
        for part in self.parts:
            self.pulled += 1
            if isinstance(part, Exception):
                raise part
            if isinstance(part, bytes):
                yield part
            elif part is None:
                await self.closed.wait()
            else:
                part()
            if self.closed.is_set():
                raise UpstreamFailed("the response was closed")

    async def close(self) -> None:
        self.closed.set()


class Stage:
    """A client and everything around a relay, writing down what happened in which order."""

    def __init__(self) -> None:
        self.events: list[tuple[str, Any]] = []
        self.presence = ClientPresence(self)
        self.settled: list[Relayed] = []
        self.settle_error: Exception | None = None

    def truncate(self) -> None:
        self.events.append(("truncate", b""))

    async def send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.events.append(("head", message))
        else:
            self.events.append(("body" if message["more_body"] else "end", message["body"]))

    def tap(self, chunk: bytes) -> None:
        self.events.append(("tap", chunk))

    async def settle(self, relayed: Relayed) -> None:
        self.events.append(("settle", relayed.outcome))
        self.settled.append(relayed)
        if self.settle_error is not None:
            raise self.settle_error

    async def run(self, upstream: Upstream, policy: Policy = "cancel", **way: Any) -> Relayed:
        return await relay(
            upstream,
            self.send,
            self.presence,
            Way(tap=self.tap, settle=self.settle, policy=policy, **way),
            abandonment=Abandonment(asyncio.get_running_loop().create_task),
        )

    def sent(self) -> bytes:
        return b"".join(value for kind, value in self.events if kind in ("body", "end"))

    def tapped(self) -> bytes:
        return b"".join(value for kind, value in self.events if kind == "tap")

    def kinds(self) -> list[str]:
        return [kind for kind, _ in self.events]


def play(parts: list[Any], *headers: tuple[bytes, bytes], **options: Any) -> Stage:
    async def story() -> Stage:
        stage = Stage()
        stage.settle_error = options.pop("settle_error", None)
        upstream = Upstream(
            parts,
            *headers,
            status=options.pop("status", 200),
            arrived=options.pop("arrived", False),
        )
        failure: Exception | None = None
        try:
            await stage.run(upstream, **options)
        except SpoolFull as error:
            failure = error
        assert upstream.closed.is_set()
        assert (failure is None) == (stage.settle_error is None)
        return stage

    return asyncio.run(story())


def announced(parts: list[bytes]) -> tuple[bytes, bytes]:
    return (b"Content-Length", str(sum(map(len, parts))).encode())


@settings(max_examples=100)
@given(parts=CUTS, with_length=st.booleans())
def test_bytes_out_are_bytes_in_at_every_cut(parts: list[bytes], *, with_length: bool) -> None:
    headers = [announced(parts)] if with_length else []
    stage = play(list(parts), *headers)
    assert stage.sent() == stage.tapped() == b"".join(parts)
    (relayed,) = stage.settled
    assert relayed.outcome == "complete"
    assert relayed.whole
    assert relayed.bytes_in == relayed.bytes_out == len(b"".join(parts))


@settings(max_examples=100)
@given(parts=CUTS, with_length=st.booleans())
def test_nothing_is_looked_at_before_it_was_sent(parts: list[bytes], *, with_length: bool) -> None:
    """At every tap the bytes sent so far cover all tapped so far, but for the one byte of the law."""
    stage = play(list(parts), *([announced(parts)] if with_length else []))
    sent = tapped = 0
    for kind, value in stage.events:
        if kind == "tap":
            assert tapped + len(value) - sent <= (1 if with_length else 0)
            tapped += len(value)
        elif kind in ("body", "end"):
            sent += len(value)


@settings(max_examples=100)
@given(parts=CUTS, with_length=st.booleans())
def test_no_complete_response_before_it_is_settled(
    parts: list[bytes], *, with_length: bool
) -> None:
    stage = play(list(parts), *([announced(parts)] if with_length else []))
    settled = stage.kinds().index("settle")
    before = stage.events[:settled]
    assert "end" not in [kind for kind, _ in before]
    body = b"".join(value for kind, value in before if kind == "body")
    if with_length and b"".join(parts):
        assert body == b"".join(parts)[:-1]
    elif with_length:
        assert "head" not in [kind for kind, _ in before], "a head of length 0 is a whole response"
    else:
        assert body == b"".join(parts)
    assert stage.kinds().count("settle") == 1


def test_an_unframed_chunk_is_passed_as_the_object_it_is() -> None:
    chunk = b"data: 1\n\n"
    stage = play([chunk])
    assert next(value for kind, value in stage.events if kind == "body") is chunk


def test_the_head_goes_out_before_any_body_came() -> None:
    async def story() -> None:
        stage = Stage()
        seen: list[list[str]] = []
        await stage.run(Upstream([lambda: seen.append(stage.kinds()), b"x"]))
        assert seen == [["head"]]

    asyncio.run(story())


@pytest.mark.parametrize(
    ("status", "headers", "options"),
    [
        (204, [], {}),
        (304, [(b"content-length", b"9")], {}),
        (200, [(b"content-length", b"0")], {}),
        (200, [(b"content-length", b"9")], {"bodiless": True}),
    ],
)
def test_an_answer_without_a_body_waits_with_its_head(
    status: int, headers: list[tuple[bytes, bytes]], options: dict[str, Any]
) -> None:
    stage = play([], *headers, status=status, **options)
    assert stage.kinds() == ["settle", "head", "end"]


def test_a_row_that_cannot_be_made_durable_ends_in_a_visible_break() -> None:
    stage = play([b"abc"], settle_error=SpoolFull("disk full"))
    assert stage.kinds() == ["head", "body", "tap", "settle", "truncate"]


def test_a_row_that_cannot_be_made_durable_leaves_an_unsent_head_to_the_refusal() -> None:
    stage = play([], status=204, settle_error=SpoolFull("disk full"))
    assert stage.kinds() == ["settle"]


@pytest.mark.parametrize("headers", [[], [(b"content-length", b"9")]])
def test_an_upstream_that_dies_is_seen_to_have_died(headers: list[tuple[bytes, bytes]]) -> None:
    stage = play([b"abc", UpstreamFailed("reset")], *headers)
    assert stage.kinds() == ["head", "body", "tap", "truncate", "settle"]
    assert stage.sent() == b"abc"
    (relayed,) = stage.settled
    assert relayed.outcome == "upstream_failed"
    assert not relayed.whole
    assert str(relayed.failure) == "reset"


@pytest.mark.parametrize("parts", [[b"abc"], [b"abcd", b"ef"]], ids=["short", "long"])
def test_a_body_of_another_length_than_announced_is_a_failure(parts: list[bytes]) -> None:
    stage = play(list(parts), (b"content-length", b"5"))
    (relayed,) = stage.settled
    assert relayed.outcome == "upstream_failed"
    assert isinstance(relayed.failure, UpstreamMalformed)
    assert "end" not in stage.kinds()


@settings(max_examples=50)
@given(parts=CUTS)
def test_a_whole_that_is_here_already_is_settled_before_any_of_it_goes_out(
    parts: list[bytes],
) -> None:
    body = b"".join(parts)
    stage = play(list(parts), announced(parts), arrived=True)
    if body:
        assert stage.kinds() == ["tap", "settle", "head", "end"]
    assert stage.sent() == stage.tapped() == body
    (relayed,) = stage.settled
    assert (relayed.outcome, relayed.whole, relayed.bytes_late) == ("complete", True, 0)
    assert relayed.bytes_in == relayed.bytes_out == len(body)


def test_a_whole_that_cannot_be_settled_leaves_everything_to_the_refusal() -> None:
    stage = play([b"abc"], announced([b"abc"]), arrived=True, settle_error=SpoolFull("disk full"))
    assert stage.kinds() == ["tap", "settle"]
    assert not stage.presence.started


@pytest.mark.parametrize(
    ("headers", "options"),
    [
        ([], {}),
        ([(b"transfer-encoding", b"chunked")], {}),
        ([(b"content-length", b"4")], {}),
        ([(b"content-length", b"3")], {"strip": "a filter"}),
        ([(b"content-length", b"3")], {"growth": "a hold"}),
    ],
    ids=["until the end", "chunked", "incomplete", "filtered", "growing"],
)
def test_nothing_else_is_held_back(
    headers: list[tuple[bytes, bytes]], options: dict[str, Any]
) -> None:
    """A stream, what is not all there, what is filtered or may be stopped: sent first, looked at second."""
    if "strip" in options:
        options = {"strip": DropLetters()}
    if "growth" in options:
        options = {"growth": Unbounded()}
    stage = play([b"ab\n"], *headers, arrived=True, **options)
    assert stage.kinds()[:3] == ["head", "body", "tap"]


class Unbounded:
    """A hold that always has room to grow."""

    ending = None

    async def step(self, size: int) -> bool:
        return True


def test_who_has_left_before_a_whole_came_is_recorded_as_gone() -> None:
    async def story() -> None:
        stage = Stage()
        stage.presence.leave()
        upstream = Upstream([b"abc"], (b"content-length", b"3"), arrived=True)
        relayed = await stage.run(upstream, policy="finish")
        assert (relayed.outcome, relayed.whole, relayed.bytes_late) == ("client_left", True, 3)
        assert stage.tapped() == b"abc"
        assert stage.sent() == b""
        assert upstream.closed.is_set()

    asyncio.run(story())


def test_who_leaves_while_a_whole_is_settled_does_not_undo_its_row() -> None:
    async def story() -> None:
        stage = Stage()
        plain = stage.settle

        async def settle(relayed: Relayed) -> None:
            stage.presence.leave()
            await plain(relayed)

        stage.settle = settle  # type: ignore[method-assign]  # the stage's own books
        upstream = Upstream([b"abc"], (b"content-length", b"3"), arrived=True)
        relayed = await stage.run(upstream)
        assert (relayed.outcome, len(stage.settled)) == ("complete", 1)
        assert "truncate" not in stage.kinds()

    asyncio.run(story())


def test_a_length_that_is_no_number_is_refused_before_anything_is_sent() -> None:
    async def story() -> None:
        stage, upstream = Stage(), Upstream([b"a"], (b"content-length", b"1,1"))
        with pytest.raises(UpstreamMalformed):
            await stage.run(upstream)
        assert stage.events == []
        assert upstream.closed.is_set()

    asyncio.run(story())


class DropLetters:
    """A filter that holds back everything until a newline and drops lines that start with 'x'."""

    def __init__(self) -> None:
        self.held = b""

    def feed(self, chunk: bytes) -> bytes:
        *lines, self.held = (self.held + chunk).split(b"\n")
        return b"".join(line + b"\n" for line in lines if not line.startswith(b"x"))

    def flush(self) -> bytes:
        held, self.held = self.held, b""
        return held


@settings(max_examples=50)
@given(st.lists(st.sampled_from([b"a", b"x", b"\n", b"bc\n", b"xx\n"]), max_size=10))
def test_a_filtered_stream_loses_only_what_the_filter_takes(parts: list[bytes]) -> None:
    text = b"".join(parts)
    stage = play(list(parts), announced(parts), strip=DropLetters())
    wanted = DropLetters()
    assert stage.sent() == wanted.feed(text) + wanted.flush()
    assert stage.tapped() == text
    head = next(value for kind, value in stage.events if kind == "head")
    assert b"content-length" not in [name.lower() for name, _ in head["headers"]]


def test_what_a_filter_held_back_still_goes_out_when_the_upstream_dies() -> None:
    stage = play([b"ab\ncd", UpstreamFailed("reset")], strip=DropLetters())
    assert stage.sent() == b"ab\ncd"
    assert stage.kinds()[-2:] == ["truncate", "settle"]


def test_a_slow_client_stops_the_reading_of_the_upstream() -> None:
    async def story() -> None:
        stage, gate = Stage(), asyncio.Event()
        upstream = Upstream([b"x"] * 50)
        plain = stage.send

        async def slow(message: Any) -> None:
            if message["type"] == "http.response.body" and stage.tapped() == b"xxx":
                await gate.wait()
            await plain(message)

        stage.send = slow  # type: ignore[method-assign]  # the stage's own client
        async with asyncio.TaskGroup() as group:
            task = group.create_task(stage.run(upstream))
            for _ in range(20):
                await asyncio.sleep(0)
            assert upstream.pulled == 4
            gate.set()
            assert (await task).bytes_out == 50

    asyncio.run(story())


def names(headers: Headers, *, framed: bool = True) -> list[bytes]:
    return [name for name, _ in passing_headers(headers, planned(headers), framed=framed)]


def test_only_the_hop_and_the_origin_lose_their_headers() -> None:
    headers = (
        (b"Content-Type", b"text/event-stream"),
        (b"Date", b"x"),
        (b"server", b"envoy"),
        (b"Set-Cookie", b"a=b"),
        (b"Transfer-Encoding", b"chunked"),
        (b"Connection", b"close, X-Hop"),
        (b"x-hop", b"1"),
        (b"Strict-Transport-Security", b"max-age=1"),
        (b"x-request-id", b"1"),
        (b"X-Amzn-Bedrock-Input-Token-Count", b"7"),
        (b"x-request-id", b"2"),
        (b"content-length", b"3"),
    )
    kept = [b"Content-Type", b"x-request-id", b"X-Amzn-Bedrock-Input-Token-Count", b"x-request-id"]
    assert names(headers) == [*kept, b"content-length"]
    assert names(headers, framed=False) == kept


@given(st.binary(max_size=6), st.binary(max_size=6))
def test_a_header_no_client_could_take_apart_is_dropped_alone(name: bytes, value: bytes) -> None:
    headers = ((b"a", b"1"), (name, value), (b"z", b"2"))
    kept = passing_headers(headers, planned(headers), framed=True)
    assert kept[0] == (b"a", b"1")
    assert kept[-1] == (b"z", b"2")
    for each_name, each_value in kept:
        assert each_name
        assert not set(each_name) & set(b"\x00\r\n: \t")
        assert not set(each_value) & {0, 10, 13, 127}
