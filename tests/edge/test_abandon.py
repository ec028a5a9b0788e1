"""The client leaves: the policy decides what is still read, within its bounds, and the row tells the truth."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from gateway.edge.abandon import Abandonment, Bounds, Policy
from gateway.edge.presence import ClientPresence
from gateway.edge.relay import Relayed, Way, relay
from gateway.kernel.errors import UpstreamFailed
from gateway.wire.messages import Head


class Stream:
    """An upstream that sends a chunk whenever asked to, until it is told to end or is closed."""

    def __init__(self) -> None:
        self.head = Head(200, ())
        self.queue: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.closed = False

    async def body(self) -> AsyncIterator[bytes]:
        while (chunk := await self.queue.get()) is not None:
            yield chunk
        if self.closed:
            raise UpstreamFailed("the response was closed")

    def whole(self, length: int) -> bytes | None:
        return None

    async def close(self) -> None:
        self.closed = True
        self.queue.put_nowait(None)

    async def say(self, chunk: bytes | None) -> None:
        self.queue.put_nowait(chunk)
        for _ in range(5):
            await asyncio.sleep(0)


class Call:
    def __init__(self, policy: Policy, abandonment: Abandonment) -> None:
        self.nearly_done = False
        self.stream = Stream()
        self.presence = ClientPresence()
        self.sent: list[bytes] = []
        self.tapped: list[bytes] = []
        self.settled: list[Relayed] = []
        self._policy = policy
        self._abandonment = abandonment

    async def run(self) -> Relayed:
        return await relay(
            self.stream,
            self._send,
            self.presence,
            Way(
                tap=self.tapped.append,
                settle=self._settle,
                policy=self._policy,
                outlasts=lambda: self.nearly_done,
            ),
            abandonment=self._abandonment,
        )

    async def _send(self, message: Any) -> None:
        if message["type"] == "http.response.body":
            self.sent.append(message["body"])

    async def _settle(self, relayed: Relayed) -> None:
        self.settled.append(relayed)


Story = Callable[[Callable[[Policy], tuple[Call, asyncio.Task[Relayed]]], Abandonment], Any]


def play(story: Story, **options: Any) -> None:
    async def whole() -> None:
        async with asyncio.TaskGroup() as group:
            abandonment = Abandonment(group.create_task, **options)

            def start(policy: Policy) -> tuple[Call, asyncio.Task[Relayed]]:
                call = Call(policy, abandonment)
                return call, group.create_task(call.run())

            await story(start, abandonment)

    asyncio.run(whole())


def test_cancel_closes_the_upstream_though_it_is_silent() -> None:
    async def story(start: Any, _abandonment: Abandonment) -> None:
        call, task = start("cancel")
        await call.stream.say(b"one")
        call.presence.leave()
        relayed = await task
        assert call.stream.closed
        assert (relayed.outcome, relayed.whole, relayed.bytes_in) == ("client_left", False, 3)
        assert call.settled == [relayed]

    play(story)


@pytest.mark.parametrize("policy", ["drain", "finish"])
def test_an_answer_without_a_reader_is_read_to_its_end(policy: Policy) -> None:
    async def story(start: Any, abandonment: Abandonment) -> None:
        call, task = start(policy)
        await call.stream.say(b"one")
        call.presence.leave()
        assert abandonment.reading_on[policy] == 1
        await call.stream.say(b"two")
        await call.stream.say(b"usage")
        assert not task.done()
        await call.stream.say(None)
        relayed = await task
        assert call.tapped == [b"one", b"two", b"usage"]
        assert call.sent == [b"one"]
        assert (relayed.outcome, relayed.whole) == ("client_left", True)
        assert abandonment.reading_on[policy] == 0

    play(story)


def test_a_client_that_left_before_the_head_is_treated_the_same() -> None:
    async def story(start: Any, _abandonment: Abandonment) -> None:
        drained, cancelled = start("drain"), start("cancel")
        for call, _task in (drained, cancelled):
            call.presence.leave()
        await drained[0].stream.say(b"usage")
        await drained[0].stream.say(None)
        assert (await drained[1]).whole
        assert drained[0].tapped == [b"usage"]
        assert drained[0].sent == []
        assert not (await cancelled[1]).whole

    play(story)


def test_a_stream_that_has_only_its_usage_left_to_say_is_not_cancelled() -> None:
    async def story(start: Any, abandonment: Abandonment) -> None:
        call, task = start("cancel")
        await call.stream.say(b"the last word")
        call.nearly_done = True
        call.presence.leave()
        assert abandonment.reading_on["drain"] == 1
        await call.stream.say(b"usage")
        await call.stream.say(None)
        relayed = await task
        assert call.tapped == [b"the last word", b"usage"]
        assert (relayed.outcome, relayed.whole) == ("client_left", True)
        assert abandonment.reading_on["drain"] == 0

    play(story)


def test_a_drain_is_bounded_in_bytes() -> None:
    async def story(start: Any, _abandonment: Abandonment) -> None:
        call, task = start("drain")
        await call.stream.say(b"before it left nothing counts")
        call.presence.leave()
        await call.stream.say(b"12345678")
        assert not call.stream.closed
        await call.stream.say(b"9AB")
        relayed = await task
        assert (relayed.outcome, relayed.whole) == ("client_left", False)
        assert call.tapped[1:] == [b"12345678", b"9AB"]

    play(story, drain=Bounds(60, 10))


def test_a_drain_is_bounded_in_time_though_nothing_comes() -> None:
    async def story(start: Any, abandonment: Abandonment) -> None:
        call, task = start("drain")
        await call.stream.say(b"one")
        call.presence.leave()
        relayed = await task
        assert (relayed.outcome, relayed.whole) == ("client_left", False)
        assert abandonment.reading_on["drain"] == 0

    play(story, drain=Bounds(0, 1000))


def test_drains_are_bounded_in_number_and_finishing_is_not() -> None:
    async def story(start: Any, abandonment: Abandonment) -> None:
        calls = [start("drain") for _ in range(3)] + [start("finish")]
        for call, _task in calls:
            await call.stream.say(b"one")
            call.presence.leave()
        assert abandonment.reading_on == {"drain": 2, "finish": 1}
        for _ in range(5):
            await asyncio.sleep(0)
        assert [call.stream.closed for call, _ in calls] == [False, False, True, False]
        for call, _task in calls:
            await call.stream.say(None)
        assert [(await task).whole for _, task in calls] == [True, True, False, True]
        assert abandonment.reading_on == {"drain": 0, "finish": 0}

    play(story, streams_max=2)


def test_an_upstream_that_dies_while_draining_is_the_clients_departure_still() -> None:
    async def story(start: Any, _abandonment: Abandonment) -> None:
        call, task = start("drain")
        await call.stream.say(b"one")
        call.presence.leave()
        call.stream.closed = True
        await call.stream.say(None)
        relayed = await task
        assert (relayed.outcome, relayed.whole) == ("client_left", False)
        assert isinstance(relayed.failure, UpstreamFailed)

    play(story)


def test_leaving_while_a_send_waits_is_noticed_after_it() -> None:
    async def story(start: Any, _abandonment: Abandonment) -> None:
        call, task = start("drain")
        gate = asyncio.Event()
        plain = call._send

        async def stuck(message: Any) -> None:
            await plain(message)
            if message["type"] == "http.response.body":
                await gate.wait()

        call._send = stuck
        await call.stream.say(b"one")
        call.presence.leave()  # uvicorn then releases the send that waits on flow control
        gate.set()
        await call.stream.say(b"two")
        await call.stream.say(None)
        assert (await task).whole
        assert call.sent == [b"one"]
        assert call.tapped == [b"one", b"two"]

    play(story)


def test_a_cancelled_relay_gives_its_upstream_and_its_place_back() -> None:
    async def story(start: Any, abandonment: Abandonment) -> None:
        call, task = start("drain")
        await call.stream.say(b"one")
        call.presence.leave()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert call.stream.closed
        assert abandonment.reading_on["drain"] == 0
        assert call.settled == [], "closing after a cancellation is the exchange's own"

    play(story)


def test_rows_of_a_crowd_that_leaves_wait_until_the_upstreams_are_stopped() -> None:
    noted: list[int] = []

    async def leave() -> None:
        async with asyncio.TaskGroup() as group:
            abandonment = Abandonment(group.create_task)
            calls = [Call("cancel", abandonment) for _ in range(60)]
            for call in calls:
                call.settled = _Noting(calls, noted)
            running = [group.create_task(call.run()) for call in calls]
            for call in calls:
                await call.stream.say(b"x")
            for number, call in enumerate(calls):
                call.presence.leave()
                if number % 10 == 9:  # as the loop finds them: some in each of its turns
                    await asyncio.sleep(0)
            await asyncio.wait(running)

    asyncio.run(leave())
    assert len(noted) == 60
    assert sum(still_open > 0 for still_open in noted) <= 6  # one for each turn


def test_a_departure_that_is_cancelled_while_it_waits_for_its_turn_holds_nobody_up() -> None:
    async def wait() -> list[bool]:
        async with asyncio.TaskGroup() as group:
            abandonment = Abandonment(group.create_task)
            waiting = [group.create_task(abandonment.turn()) for _ in range(10)]
            await asyncio.sleep(0)
            for task in waiting[::2]:
                task.cancel()
        return [task.cancelled() for task in waiting]

    assert asyncio.run(wait()) == [True, False] * 5


class _Noting(list[Relayed]):
    """Notes at each settling how many upstreams are still open."""

    def __init__(self, calls: list[Call], noted: list[int]) -> None:
        super().__init__()
        self._calls = calls
        self._noted = noted

    def append(self, relayed: Relayed, /) -> None:
        self._noted.append(sum(not call.stream.closed for call in self._calls))
        super().append(relayed)
