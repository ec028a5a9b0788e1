"""The instruments measure what they say: faults happen at their byte, and answers arrive as they were sent."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

import pytest

from tests.faults.origin import Asked, Origin, Step, streamed
from tests.faults.proxy import FaultProxy, Faults, Harm, parse
from tests.faults.visitor import Got, Visitor, arrived, ask, until

T = TypeVar("T")
PARTS = [bytes([65 + index]) * 50 for index in range(10)]
ANSWER = streamed("text/plain", PARTS)
OCTETS = b"".join(step for step in ANSWER if isinstance(step, bytes))


def request(faults: str) -> bytes:
    return f"GET / HTTP/1.1\r\nhost: x\r\nx-fault: {faults}\r\n\r\n".encode()


def through(act: Callable[[FaultProxy, Origin], Awaitable[T]], seed: int = 0) -> T:
    def answer(asked: Asked) -> list[Step]:
        return ANSWER

    async def run() -> T:
        async with (
            Origin(answer).running() as origin,
            FaultProxy(origin.port, seed=seed).running() as proxy,
        ):
            return await act(proxy, origin)

    return asyncio.run(run())


@pytest.mark.parametrize("end", ["reset", "truncate"])
@pytest.mark.parametrize("at", [0, 1, 40, 200, len(OCTETS) - 1])
def test_an_answer_ends_before_its_byte(end: str, at: int) -> None:
    async def act(proxy: FaultProxy, origin: Origin) -> Got:
        return await ask(proxy.port, request(f"{end}@{at}"))

    assert through(act) == arrived(OCTETS[:at])


def test_a_stall_lasts_until_the_client_leaves() -> None:
    async def act(proxy: FaultProxy, origin: Origin) -> int:
        visitor = await Visitor.connect(proxy.port)
        await visitor.send(request("stall@100"))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await visitor.rest()
        visitor.leave()
        await until(lambda: not (proxy.open or origin.open))
        return proxy.opened

    assert through(act) == 1


def test_a_corrupted_byte_is_the_only_difference() -> None:
    async def act(proxy: FaultProxy, origin: Origin) -> Got:
        return await ask(proxy.port, request("corrupt@150"))

    spoiled = OCTETS[:150] + bytes([OCTETS[150] ^ 0xFF]) + OCTETS[151:]
    assert through(act) == arrived(spoiled)


def test_slices_and_pauses_change_no_byte() -> None:
    async def act(proxy: FaultProxy, origin: Origin) -> Got:
        return await ask(proxy.port, request("slice=3;latency=1"))

    assert through(act) == arrived(OCTETS)


def test_the_same_seed_cuts_the_same_slices() -> None:
    def slices(seed: int) -> list[bytes]:
        return list(Harm(Faults(slice_bytes=9), random.Random(seed)).feed(OCTETS))

    assert slices(1) == slices(1) != slices(2)
    assert b"".join(slices(1)) == OCTETS


def test_a_fault_ends_with_its_answer() -> None:
    async def act(proxy: FaultProxy, origin: Origin) -> list[bool]:
        visitor = await Visitor.connect(proxy.port)
        clean = []
        for faults in ("corrupt@150", "", "truncate@99"):
            await visitor.send(request(faults))
            clean.append((await visitor.rest()) == arrived(OCTETS))
        visitor.close()
        return clean

    assert through(act) == [False, True, False]


def test_an_unknown_fault_is_refused() -> None:
    with pytest.raises(ValueError, match="no such fault"):
        parse("explode@3")


def test_the_origin_knows_who_left_in_the_middle() -> None:
    async def act(proxy: FaultProxy, origin: Origin) -> int:
        origin.answer = lambda asked: [*ANSWER[:4], 9.0, *ANSWER[4:]]
        visitor = await Visitor.connect(origin.port)
        await visitor.send(request(""))
        await visitor.read_until(PARTS[2])
        visitor.leave("rst")
        await until(lambda: origin.left)
        return origin.open

    assert through(act) == 0
