"""A loop ends though what it awaits has swallowed its cancellation."""

import asyncio

import pytest

from gateway.exchange.ending import end_if_cancelled, within
from gateway.jobs.supervise import forever
from gateway.ledger.entry import Entry

pytestmark = pytest.mark.anyio


class Deaf:
    """What a driver does that loses a cancellation: its call returns as if nothing had been."""

    def __init__(self) -> None:
        self.calls = 0
        self.is_asked = asyncio.Event()

    async def step(self) -> int:
        self.calls += 1
        self.is_asked.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            return 0
        return 0


class Silent:
    """An observer that must hear nothing."""

    def settled(self, entry: Entry) -> None:
        raise AssertionError(entry)

    def refused(self, provider: str, code: str) -> None:
        raise AssertionError(code)

    def failed(self, what: str, error: BaseException) -> None:
        raise AssertionError(what) from error


async def test_a_job_whose_step_swallows_the_cancellation_ends_after_it() -> None:
    deaf = Deaf()
    async with asyncio.timeout(10):
        async with asyncio.TaskGroup() as group:
            task = group.create_task(forever("deaf", deaf.step, Silent(), pause_ms=1))
            await deaf.is_asked.wait()
            task.cancel()
    assert task.cancelled()
    assert deaf.calls == 1


async def test_a_task_that_nobody_cancelled_goes_on_also_after_a_time_limit_inside_it() -> None:
    end_if_cancelled()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await asyncio.sleep(60)
    end_if_cancelled()


async def test_what_hangs_and_will_not_be_cancelled_is_left_behind_in_time() -> None:
    asked, released = asyncio.Event(), asyncio.Event()

    async def hanging() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            asked.set()
            await released.wait()

    began = asyncio.get_running_loop().time()
    assert not await within(0.05, hanging(), asyncio.sleep(0))
    assert asyncio.get_running_loop().time() - began < 5
    await asked.wait()
    released.set()


async def test_what_ends_in_time_has_ended_and_what_it_raises_is_raised() -> None:
    async def failing() -> None:
        raise ValueError("its own")

    assert await within(5, asyncio.sleep(0))
    with pytest.raises(ValueError, match="its own"):
        await within(5, failing())
