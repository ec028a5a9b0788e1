"""The simulated upstream: recorded answers, with every way of going wrong; it keeps the truth of what it was sent."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from functools import cache
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from gateway.kernel.errors import UpstreamFailed, UpstreamTimeout, UpstreamUnreachable
from gateway.providers.contract import Target, Upstream
from gateway.wire.messages import Head

TRANSCRIPTS: Final = Path(__file__).parents[1] / "transcripts"
CALL_ID: Final = "amz-sdk-invocation-id"  # on the row
CALL: Final = b"x-call"  # for the upstream
IDLE_S: Final = 300.0
FIRST: Final = "azure-all"  # of the two places of the model that the chat cases ask for
SECOND: Final = "azure-spare"
GARBAGE: Final = b'\xff\x00data: {"usage": -1\r\n\r\n{{{{'
CHAT: Final = "/azure/openai/deployments/gpt-4o/chat/completions"
CONVERSE: Final = "/bedrock/model/us.anthropic.claude-sonnet-4-5-20250929-v1%3A0/converse-stream"
GEMINI: Final = "/google/v1/models/gemini-2.5-flash:streamGenerateContent"
_HI: Final = [{"role": "user", "content": "hi"}]


class Case(NamedTuple):
    """A call and the answer that was recorded for it."""

    path: str
    body: dict[str, Any]
    recorded: tuple[str, str]


CASES: Final[dict[str, Case]] = {
    "chat": Case(CHAT, {"messages": _HI}, ("azure", "chat-basic")),
    "chat-stream": Case(
        CHAT,
        {"messages": _HI, "stream": True, "stream_options": {"include_usage": True}},
        ("azure", "chat-stream-usage"),
    ),
    "chat-stream-stripped": Case(
        CHAT, {"messages": _HI, "stream": True}, ("azure", "chat-stream-usage")
    ),
    "converse-stream": Case(
        CONVERSE,
        {"messages": [{"role": "user", "content": [{"text": "hi"}]}]},
        ("bedrock", "converse-stream"),
    ),
    "gemini-stream": Case(
        GEMINI,
        {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]},
        ("google", "gemini-stream-nonmonotone"),
    ),
    "refused": Case(CHAT, {"messages": _HI}, ("azure", "error-429-ratelimit")),
}


class Fault(msgspec.Struct, frozen=True):
    """What goes wrong in an answer, at which of its chunks; '' is nothing."""

    kind: str = ""  # unreachable | reset | stall | garbage
    at: int = 0


class Plan(msgspec.Struct, frozen=True):
    """One call: what is asked, how fast it is answered, and what goes wrong on either side.

    first  what the first of two places does with it: refused | unreachable; '' is what is answered
    """

    call: str
    case: str
    pause_s: float
    fault: Fault = Fault()
    leaves_s: float | None = None
    cancelled_s: float | None = None
    first: str = ""

    @property
    def is_smooth(self) -> bool:
        """Whether nothing goes wrong but in our own house."""
        return not self.fault.kind and self.leaves_s is None and self.cancelled_s is None


@cache
def recorded(provider: str, case: str) -> tuple[Head, list[bytes]]:
    """The head and the chunks of a transcript."""
    meta = json.loads((TRANSCRIPTS / provider / f"{case}.meta.json").read_text())
    body = (TRANSCRIPTS / provider / f"{case}.response").read_bytes()
    headers = tuple((k.encode(), v.encode()) for k, v in meta["http"]["headers"])
    chunks, start = [], 0
    for length in meta["chunk_lengths"] or [len(body)]:
        chunks.append(body[start : start + length])
        start += length
    return Head(meta["http"]["status"], headers), chunks


class Forwarded(NamedTuple):
    """An attempt that reached a provider."""

    call: str
    upstream: str


class SimUpstreams:
    """``forwarded``: what reached the provider, in order, by every worker there was."""

    def __init__(self, plans: dict[str, Plan]) -> None:
        self._plans = plans
        self.forwarded: list[Forwarded] = []

    def calls(self) -> set[str]:
        """The calls of which any attempt reached the provider."""
        return {one.call for one in self.forwarded}

    async def send(
        self, upstream: Upstream, target: Target, leaving: Callable[[], None]
    ) -> "SimResponse":
        call = next(value.decode() for name, value in target.headers if name == CALL)
        plan = self._plans[call]
        if plan.first and upstream.name == FIRST:
            fault = Fault("unreachable" if plan.first == "unreachable" else "")
            plan = msgspec.structs.replace(plan, case="refused", fault=fault)
        await asyncio.sleep(plan.pause_s)
        if plan.fault.kind == "unreachable":
            raise UpstreamUnreachable("no route")
        leaving()
        self.forwarded.append(Forwarded(call, upstream.name))
        await asyncio.sleep(plan.pause_s)
        if plan.fault.kind == "reset" and plan.fault.at == 0:
            raise UpstreamFailed("reset before the head")
        return SimResponse(plan)


class SimResponse:
    """An answer on its way."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self.head, self._chunks = recorded(*CASES[plan.case].recorded)
        self._closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def body(self) -> AsyncIterator[bytes]:
        fault = self._plan.fault
        for number, chunk in enumerate(self._chunks, start=1):
            hits = fault.at == number
            if hits and fault.kind == "stall":
                await self._pause(IDLE_S)
                raise UpstreamTimeout("the upstream stalled")
            await self._pause(self._plan.pause_s)
            if hits and fault.kind == "reset":
                raise UpstreamFailed("reset")
            yield GARBAGE + chunk if hits and fault.kind == "garbage" else chunk
        await self._pause(self._plan.pause_s)

    async def _pause(self, seconds: float) -> None:
        done, _ = await asyncio.wait([self._closed], timeout=seconds)
        if done:
            raise UpstreamFailed("closed")

    def whole(self, length: int) -> bytes | None:
        """Where nothing is to go wrong on its way, an answer that is not streamed is all there with its head."""
        body = b"".join(self._chunks)
        if self._plan.fault.kind or len(body) != length or self._closed.done():
            return None
        self._closed.set_result(None)
        return body

    async def close(self) -> None:
        if not self._closed.done():
            self._closed.set_result(None)
        await asyncio.sleep(0)
