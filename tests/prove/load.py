"""Clients and provider of the proofs: every call is told apart by its usage, both sides keep the truth."""

import asyncio
import itertools
import random
import time
from typing import Any, Final

from gateway.commands.demo import answers
from gateway.commands.demo.answers import Counts
from tests.faults.origin import Asked, Step, json_answer
from tests.faults.streams import BUILDERS, CHAT, Stream
from tests.faults.visitor import ask, post

CALL_ID: Final = "amz-sdk-invocation-id"
JSON: Final = "json"
KINDS: Final = (*BUILDERS, JSON, JSON)
PAUSE_S: Final = 0.004
OUTPUT: Final = 47
NOT_AN_ANSWER: Final = 300


def counts(number: int) -> Counts:
    """Usage that tells every call from every other."""
    return Counts(input=1000 + number, cached=0, output=OUTPUT)


def answer(asked: Asked) -> list[Step]:
    """What the provider says, at a pace that leaves room for a kill."""
    name, _, number = (asked.header("x-call") or "").partition("-")
    if name == JSON:
        return [PAUSE_S, *json_answer(answers.chat("gpt-4o-2024-11-20", counts(int(number))))]
    return BUILDERS[name](counts(int(number))).steps(PAUSE_S)


class Load:
    """Clients that call until told to stop.

    whole      the calls that came to their clean end with an answer of the provider's
    refused    refusals of the gateway's own, by status; ``unhelpful``: those without Retry-After
    broken     calls that were cut off
    """

    def __init__(self, port: int, key: str, seed: int, *, pause_s: float = 0.05) -> None:
        self.whole: set[str] = set()
        self.refused: dict[int, int] = {}
        self.unhelpful = 0
        self.wrong: list[str] = []
        self.broken = 0
        self.stopping = False
        self.took_s: list[float] = []
        self._port = port
        self._key = key
        self._pause_s = pause_s
        self._chance = random.Random(seed)
        self._numbers = itertools.count()

    async def run(self, clients: int) -> None:
        """So many clients, each one call after the other."""
        async with asyncio.TaskGroup() as group:
            for _ in range(clients):
                group.create_task(self._client())

    async def _client(self) -> None:
        while not self.stopping:
            name, number = self._chance.choice(KINDS), next(self._numbers)
            await asyncio.sleep(self._chance.random() * 2 * self._pause_s)
            try:
                await self._call(name, number)
            except (OSError, TimeoutError):
                self.broken += 1
                await asyncio.sleep(0.05)

    async def _call(self, name: str, number: int) -> None:
        call = f"{name}-{number}"
        stream = CHAT if name == JSON else BUILDERS[name](counts(number))
        began = time.monotonic()
        named = {CALL_ID: call, "x-call": call}
        got = await ask(self._port, post(*_asked(name, stream), self._key, named))
        if not got.clean:
            self.broken += 1
        elif got.status >= NOT_AN_ANSWER:
            self.refused[got.status] = self.refused.get(got.status, 0) + 1
            self.unhelpful += b"\r\nretry-after: " not in got.head.lower()
            await asyncio.sleep(0.05)
        else:
            if name != JSON and got.body != stream.content():
                self.wrong.append(call)
            self.whole.add(call)
            self.took_s.append(time.monotonic() - began)


def _asked(name: str, stream: Stream) -> tuple[str, Any]:
    body = {key: value for key, value in stream.body.items() if not key.startswith("stream")}
    return stream.path, body if name == JSON else stream.body


def usage_of(call: str) -> dict[str, int]:
    """What the row of a call has to charge for."""
    return {"input_text": counts(int(call.partition("-")[2])).input, "output_text": OUTPUT}
