"""The clients of the soak on raw sockets: well-behaved ones, and every kind of rude, broken and curious one.

What was got whole is remembered by name; names, keys and models are new in every odd call, as only clients choose them.
To behave in another way: a method of Load and its line in ``ODD``.
"""

import asyncio
import itertools
import json
import random
import secrets
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any, Final
from urllib.parse import quote

from gateway.identity.keys import mint
from tests.faults.visitor import LEAVINGS, Got, Visitor, post
from tests.prove.load import CALL_ID

STEADY: Final = (
    ("json", "", 30), ("chat", "", 14), ("responses", "", 8), ("kept", "", 4), ("messages", "", 8),
    ("converse", "", 8), ("gemini", "", 8), ("embeddings", "", 6), ("claude", "", 4),
    ("json", "429", 2), ("chat", "500", 2), ("json", "reset", 1), ("chat", "cut", 2), ("converse", "cut", 1),
    ("json", "slow", 1), ("gemini", "slow", 1), ("json", "closing", 2),
)  # fmt: skip
LEAVABLE: Final = ("chat", "responses", "converse", "gemini", "messages")
ANSWERED: Final = 300
IDLE_S: Final = (20.0, 150.0)
MALFORMED: Final = (
    b"GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n",
    b"POST /azure/x HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 64,
    b"POST /google/v1beta HTTP/1.1\r\nhost : a\r\n\r\n",
    b"G\x00T / HTTP/1.1\r\n\r\n",
    b"POST /bedrock/model HTTP/1.1\r\nhost: a\r\ncontent-length: -1\r\n\r\n",
    b"GET / HTTP/9.9\r\nhost: a\r\n\r\n",
    b"GET /" + b"a" * 9_000 + b" HTTP/1.1\r\nhost: a\r\n\r\n",
    b"POST /azure HTTP/1.1\r\nhost: a\r\nx: " + b"y" * 40_000 + b"\r\n\r\n",
)
DEPLOYED: Final = "/azure/openai/deployments"
PATHS: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    "json": (f"{DEPLOYED}/gpt-4o/chat/completions?api-version=2024-10-21", {"max_tokens": 300}),
    "chat": (
        f"{DEPLOYED}/gpt-4o/chat/completions?api-version=2024-10-21",
        {"max_tokens": 300, "stream": True},
    ),
    "responses": (
        "/azure/openai/v1/responses",
        {"model": "gpt-5.4", "max_output_tokens": 300, "stream": True},
    ),
    "kept": ("/azure/openai/v1/responses", {"model": "gpt-5.4", "max_output_tokens": 300}),
    "messages": (
        "/azure/anthropic/v1/messages",
        {"model": "claude-sonnet-4-5", "max_tokens": 99, "stream": True},
    ),
    "converse": (
        "/bedrock/model/us.amazon.nova-lite-v1%3A0/converse-stream",
        {"inferenceConfig": {"maxTokens": 300}},
    ),
    "claude": (
        "/bedrock/model/us.anthropic.claude-sonnet-4-5-20250929-v1%3A0/invoke",
        {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 99},
    ),
    "embeddings": (
        f"{DEPLOYED}/text-embedding-3-small/embeddings?api-version=2024-10-21",
        {},
    ),
    "gemini": (
        "/google/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse",
        {"generationConfig": {"maxOutputTokens": 300}},
    ),
}
TURN: Final = "How much does a lorry weigh, call"


def asked(kind: str, word: str) -> tuple[str, dict[str, Any]]:
    """Path and body of a call; ``word`` makes its text unlike the others'."""
    text = f"{TURN} {word}?"
    turns: list[Any] = [{"role": "user", "content": text}]
    path, body = PATHS[kind]
    if kind in {"responses", "kept"}:
        said: dict[str, Any] = {"input": text}
    elif kind == "embeddings":
        said = {"input": [text]}
    elif kind == "gemini":
        said = {"contents": [{"role": "user", "parts": [{"text": text}]}]}
    elif kind == "converse":
        said = {"messages": [{"role": "user", "content": [{"text": text}]}]}
    else:
        said = {"messages": turns}
    return path, {**body, **said}


class Load:
    """Clients that call until told to stop.

    whole     calls that came to their clean end with an answer of the provider's
    answers   by status, of every call whose answer had one; ``cut``: those that had none, or no end
    took_s    of the calls of kind ``json`` that were whole, since they were last taken
    """

    def __init__(self, port: int, keys: list[str], unpriced_key: str, seed: int = 1) -> None:
        self.keys = keys
        self.whole: set[str] = set()
        self.answers: Counter[str] = Counter()
        self.cut: Counter[str] = Counter()
        self.took_s: list[float] = []
        self.sent = 0
        self.stop = threading.Event()
        self._port = port
        self._unpriced_key = unpriced_key
        self._chance = random.Random(seed)
        self._numbers = itertools.count(1)
        self._stop = asyncio.Event()

    async def run(self, steady: int, rate: float) -> None:
        """So many steady clients, ``rate`` calls a second of them together, and the odd ones beside."""
        pause_s = steady / rate
        async with asyncio.TaskGroup() as group:
            for _ in range(steady):
                group.create_task(self._steady(pause_s))
            for _ in range(max(2, steady // 2)):
                group.create_task(self._idler())
            for every_s, behave in ODD:
                group.create_task(self._odd(every_s * 60 / rate, behave))
            await asyncio.to_thread(self.stop.wait)
            self._stop.set()

    async def _rest(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._stop.wait()
        except TimeoutError:
            pass

    def call(self, kind: str, how: str) -> tuple[str, bytes]:
        """A call's name and its octets."""
        call = f"{kind}.{how}-{next(self._numbers)}"
        path, body = asked(kind, call)
        self.sent += 1
        return call, post(
            path, body, self._chance.choice(self.keys), {CALL_ID: call, "x-call": call}
        )

    def _judge(self, call: str, got: Got, began: float) -> None:
        kind = call.partition(".")[0]
        if not got.clean:
            self.cut[call.rpartition("-")[0]] += 1
            return
        self.answers[f"{kind} {got.status}"] += 1
        if got.status < ANSWERED:
            self.whole.add(call)
            if call.startswith("json.-"):
                self.took_s.append(time.monotonic() - began)

    async def _steady(self, pause_s: float) -> None:
        """Keep-alive: one call after the other on one connection, as long as it lasts."""
        visitor: Visitor | None = None
        kinds, weights = [one[:2] for one in STEADY], [one[2] for one in STEADY]
        while not self._stop.is_set():
            await self._rest(self._chance.random() * 2 * pause_s)
            call, octets = self.call(*self._chance.choices(kinds, weights)[0])
            began = time.monotonic()
            try:
                visitor = visitor or await Visitor.connect(self._port)
                await visitor.send(octets)
                got = await visitor.rest()
            except (OSError, TimeoutError):
                got = Got(b"", b"", clean=False)
            self._judge(call, got, began)
            if visitor is not None and (not got.clean or b"connection: close" in got.head.lower()):
                visitor.close()
                visitor = None
        if visitor is not None:
            visitor.close()

    async def _idler(self) -> None:
        """One call, then minutes of nothing on an open connection."""
        while not self._stop.is_set():
            visitor = None
            try:
                visitor = await Visitor.connect(self._port)
                for _ in range(3):
                    call, octets = self.call("json", "")
                    began = time.monotonic()
                    await visitor.send(octets)
                    got = await visitor.rest()
                    self._judge(call, got, began)
                    if not got.clean:
                        break
                    await self._rest(self._chance.uniform(*IDLE_S))
            except (OSError, TimeoutError):
                await self._rest(0.5)
            if visitor is not None:
                visitor.close()

    async def _odd(self, every_s: float, behave: Callable[["Load"], Awaitable[None]]) -> None:
        async with asyncio.TaskGroup() as group:
            running: set[asyncio.Task[None]] = set()
            while not self._stop.is_set():
                await self._rest(self._chance.random() * 2 * every_s)
                if len(running) < 20:
                    task = group.create_task(self._suffered(behave))
                    running.add(task)
                    task.add_done_callback(running.discard)

    async def _suffered(self, behave: Callable[["Load"], Awaitable[None]]) -> None:
        try:
            await behave(self)
        except (OSError, TimeoutError, AssertionError) as error:
            self.cut[f"{behave.__name__} {type(error).__name__}"] += 1

    async def leaver(self) -> None:
        """A stream that is left in the middle, in one of three ways."""
        _, octets = self.call(self._chance.choice(LEAVABLE), self._chance.choice(("slow", "long")))
        visitor = await Visitor.connect(self._port)
        try:
            await visitor.send(octets)
            if self._chance.random() < 0.7:
                await visitor.read_until(b"\r\n\r\n")
            await self._rest(self._chance.random() * 0.5)
            visitor.leave(self._chance.choice(LEAVINGS))
            await self._rest(0.2)
        finally:
            visitor.close()

    async def slow_reader(self) -> None:
        """A long stream through a small window, read at its end's own pace."""
        call, octets = self.call(self._chance.choice(LEAVABLE), "long")
        visitor = await Visitor.connect(self._port, receive_buffer_bytes=4096)
        began = time.monotonic()
        try:
            await visitor.send(octets)
            await visitor.read_until(b"\r\n\r\n")
            await self._rest(self._chance.uniform(3, 15))
            self._judge(call, await visitor.rest(), began)
        finally:
            visitor.close()

    async def large(self) -> None:
        """One to five megabytes of prompt."""
        size = int(self._chance.uniform(1, 5) * 2**20)
        call = f"json.-{next(self._numbers)}"
        path, body = asked("json", call)
        line = (
            f"{TURN} {call} about dock {self._chance.random()} and lorry {self._chance.random()}. "
        )
        body["messages"][0]["content"] = line * (size // len(line))
        self.sent += 1
        named = {CALL_ID: call, "x-call": call}
        visitor = await Visitor.connect(self._port)
        try:
            await visitor.send(post(path, body, self._chance.choice(self.keys), named))
            got = await visitor.rest()
            if got.clean and got.status < ANSWERED:
                self.whole.add(call)
            self.answers[f"large {got.status}"] += 1
        finally:
            visitor.close()

    async def stranger(self) -> None:
        """A key that nobody made: well-formed, or not."""
        key = mint(secrets.token_bytes) if self._chance.random() < 0.5 else secrets.token_hex(30)
        path, body = asked("json", key[:9])
        await self._once("stranger", post(path, body, key))

    async def malformed(self) -> None:
        """What is no HTTP."""
        await self._once("malformed", self._chance.choice(MALFORMED))

    async def curious(self) -> None:
        """Names that nobody has used before, in every place a client may choose one."""
        word = secrets.token_hex(self._chance.choice((4, 16, 60)))
        key = self._unpriced_key if self._chance.random() < 0.7 else self._chance.choice(self.keys)
        turns = [{"role": "user", "content": word}]
        body: dict[str, Any] = {"messages": turns, "max_tokens": 9, "user": word, "model": word}
        google = {
            "contents": [{"role": "user", "parts": [{"text": word}]}],
            "labels": {word[:20]: "1"},
        }
        paths: list[tuple[str, dict[str, Any]]] = [
            (f"/azure/openai/deployments/{word}/chat/completions?api-version={word}", body),
            ("/azure/openai/v1/chat/completions", body),
            (f"/bedrock/model/{word}/converse", {"messages": [{"role": "user", "content": [{"text": word}]}]}),
            (f"/bedrock/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A123456789012%3Ainference-profile%2F{word}/converse",
             {"messages": [{"role": "user", "content": [{"text": word}]}]}),
            (f"/google/v1beta/models/{word}:generateContent", google),
            (f"/google/v1/projects/{word}/locations/{word}/publishers/google/models/{word}:generateContent", google),
            (f"/google/v1/projects/p/locations/us-central1/publishers/google/models/gemini-2.5-pro:generateContent?{word}={word}", google),
            ("/azure/openai/v1/responses", {"model": "gpt-5.4", "input": word, "previous_response_id": f"resp_{word}"}),
            ("/azure/openai/v1/responses", {"model": word, "input": word, "metadata": {word[:30]: word}}),
            (f"/{word}/{quote(word)}", {}),
            (f"/azure/{word}", {}),
        ]  # fmt: skip
        path, said = self._chance.choice(paths)
        call = f"json.-{next(self._numbers)}"
        headers = {
            CALL_ID: call,
            "x-call": call,
            f"x-{word[:40]}": word,
            "user-agent": f"sdk/{word}",
        }
        self.sent += 1
        got = await self._once("curious", post(path, said, key, headers))
        if got.clean and got.status < ANSWERED:
            self.whole.add(call)

    async def keeper(self) -> None:
        """Stored responses: one of its own is read and deleted; another's is not there."""
        key = self._chance.choice(self.keys)
        call = f"kept.-{next(self._numbers)}"
        path, body = asked("kept", call)
        self.sent += 1
        got = await self._once("keeper", post(path, body, key, {CALL_ID: call, "x-call": call}))
        if not got.clean or got.status >= ANSWERED:
            return
        self.whole.add(call)
        named = got.document()["id"]
        for method, which in (
            ("GET", named),
            ("GET", f"resp_{secrets.token_hex(9)}"),
            ("DELETE", named),
        ):
            lines = f"{method} {path}/{which} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {key}\r\n\r\n"
            await self._once(f"keeper {method}", lines.encode())

    async def unsigned(self) -> None:
        """SigV4 with an access key id that nobody has."""
        ident = "WBAK" + "".join(self._chance.choices("ABCDEFGHIJ0123456789", k=16))
        scope = f"{ident}/20261130/us-east-1/bedrock/aws4_request"
        signed = f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host;x-amz-date, Signature={secrets.token_hex(32)}"
        path, body = asked("converse", ident)
        octets = json.dumps(body).encode()
        moment = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        head = f"POST {path} HTTP/1.1\r\nhost: a\r\nx-amz-date: {moment}\r\nauthorization: {signed}\r\n"
        await self._once(
            "unsigned", f"{head}content-length: {len(octets)}\r\n\r\n".encode() + octets
        )

    async def upgrader(self) -> None:
        """A WebSocket, which is refused."""
        key = self._chance.choice(self.keys)
        lines = [
            "GET /azure/openai/v1/realtime?model=gpt-4o HTTP/1.1", "host: a", "connection: upgrade",
            "upgrade: websocket", "sec-websocket-version: 13", f"authorization: Bearer {key}",
            f"sec-websocket-key: {secrets.token_urlsafe(16)}",
        ]  # fmt: skip
        await self._once("websocket", "\r\n".join([*lines, "", ""]).encode())

    async def half_sent(self) -> None:
        """A body of which the half comes, then nothing, then the end of the connection."""
        _, octets = self.call("json", "")
        visitor = await Visitor.connect(self._port)
        try:
            await visitor.send(octets[: self._chance.randrange(1, len(octets) - 1)])
            await self._rest(self._chance.uniform(0.1, 14))
            visitor.leave(self._chance.choice(LEAVINGS))
            await self._rest(0.5)
        finally:
            visitor.close()

    async def _once(self, name: str, octets: bytes) -> Got:
        visitor = await Visitor.connect(self._port)
        try:
            await visitor.send(octets)
            got = await visitor.rest()
            self.answers[f"{name} {got.status}"] += 1
            return got
        finally:
            visitor.close()


# How often at 60 calls a second of the steady ones, in seconds.
ODD: Final[tuple[tuple[float, Callable[[Load], Awaitable[None]]], ...]] = (
    (0.4, Load.leaver),
    (3.0, Load.slow_reader),
    (10.0, Load.large),
    (0.4, Load.stranger),
    (0.6, Load.malformed),
    (0.25, Load.curious),
    (0.8, Load.keeper),
    (1.0, Load.unsigned),
    (1.0, Load.upgrader),
    (1.0, Load.half_sent),
)
