"""One timer for all deadlines: it fires what is due, runs only while there is something to watch."""

import asyncio

from gateway.edge.sweep import NEVER, Sweep, Sweeps


class Member:
    def __init__(self, deadline: float) -> None:
        self.deadline = deadline
        self.expired: list[float] = []

    def expire(self, now: float) -> None:
        self.expired.append(now)
        self.deadline = NEVER


def test_what_is_due_expires_once_and_the_rest_waits() -> None:
    async def story() -> None:
        loop = asyncio.get_running_loop()
        sweep = Sweep(loop, 0.01)
        due, later, never = Member(loop.time()), Member(loop.time() + 60), Member(NEVER)
        for member in (due, later, never):
            sweep.add(member)
        await asyncio.sleep(0.1)
        assert [len(each.expired) for each in (due, later, never)] == [1, 0, 0]

    asyncio.run(story())


def test_a_member_may_leave_while_the_pass_runs() -> None:
    async def story() -> None:
        loop = asyncio.get_running_loop()
        sweep = Sweep(loop, 0.01)

        class Leaving(Member):
            def expire(self, now: float) -> None:
                super().expire(now)
                sweep.discard(self)

        members = [Leaving(0.0) for _ in range(3)]
        for member in members:
            sweep.add(member)
        await asyncio.sleep(0.05)
        assert [len(each.expired) for each in members] == [1, 1, 1]

    asyncio.run(story())


def test_an_empty_sweep_stops_and_starts_again() -> None:
    async def story() -> None:
        loop = asyncio.get_running_loop()
        sweep = Sweep(loop, 0.01)
        first = Member(NEVER)
        sweep.add(first)
        sweep.discard(first)
        await asyncio.sleep(0.05)
        second = Member(loop.time())
        sweep.add(second)
        await asyncio.sleep(0.05)
        assert len(second.expired) == 1

    asyncio.run(story())


def test_every_loop_has_its_own() -> None:
    sweeps = Sweeps(1.0)

    async def mine() -> Sweep:
        assert sweeps.of(asyncio.get_running_loop()) is sweeps.of(asyncio.get_running_loop())
        return sweeps.of(asyncio.get_running_loop())

    assert asyncio.run(mine()) is not asyncio.run(mine())
