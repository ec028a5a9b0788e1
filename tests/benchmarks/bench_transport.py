"""CPU per call of the upstream transports: 1 KB out, 1 KB back, closed loop, 32 at once.

Run `python tests/benchmarks/bench_transport.py`; it prints one JSON line. Rounds are interleaved and the
figure is the median of the per-round ratios to httpx's client, since machines differ and neighbours make
noise. To add a contender: a line in ``contenders``.
"""

import asyncio
import json
import multiprocessing
import random
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from multiprocessing.connection import Connection
from typing import TypeAlias, cast

import httpx
import uvloop

from gateway.kernel.clock import SystemClock
from gateway.providers.contract import Target, Upstream
from gateway.upstream.pool import UpstreamPool
from gateway.upstream.stock import StockTransport
from gateway.upstream.tokens import FixedCredential
from gateway.upstream.transport import RelayTransport

AT_ONCE = 32
BODY = b"x" * 1024
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 1024\r\n\r\n" + BODY
FIELDS = [
    (b"content-type", b"application/json"),
    (b"accept", b"application/json"),
    (b"user-agent", b"sdk/1.0"),
    (b"x-request-id", b"0123456789abcdef"),
]

Call: TypeAlias = Callable[[], Awaitable[bytes]]


class Answering(asyncio.Protocol):
    """Answers whenever a request's last byte has come; knows their size, so it parses nothing."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.seen = b""

    def data_received(self, data: bytes) -> None:
        self.seen += data
        if self.seen.endswith(BODY):
            self.seen = b""
            self.transport.write(ANSWER)


def serve(pipe: Connection) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(Answering, "127.0.0.1", 0)
        pipe.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    uvloop.run(main())


def through(transport: httpx.AsyncBaseTransport, url: httpx.URL) -> Call:
    headers = [(b"host", url.netloc), *FIELDS, (b"content-length", b"1024")]

    async def call() -> bytes:
        request = httpx.Request("POST", url, headers=headers, stream=httpx.ByteStream(BODY))
        response = await transport.handle_async_request(request)
        body = b"".join([chunk async for chunk in response.aiter_raw()])
        await response.aclose()
        return body

    return call


def through_pool(url: str) -> Call:
    upstream = Upstream(name="u", provider="p", base_url=url)
    pool = UpstreamPool([upstream], {"u": FixedCredential(key="k")}, clock=SystemClock())
    target = Target(
        method=b"POST", path_and_query=b"/", headers=tuple(FIELDS), body=BODY, key_header=b"api-key"
    )

    async def call() -> bytes:
        response = await pool.send(upstream, target)
        body = b"".join([chunk async for chunk in response.body()])
        await response.close()
        return body

    return call


def through_client(url: str) -> Call:
    client = httpx.AsyncClient(trust_env=False, limits=httpx.Limits(max_connections=100))

    async def call() -> bytes:
        return (await client.post(url, content=BODY, headers=FIELDS)).content

    return call


def contenders(url: str) -> dict[str, Call]:
    where = httpx.URL(url)
    return {
        "relay transport": through(RelayTransport(), where),
        "upstream pool": through_pool(url),
        "stock transport, shielded": through(StockTransport(), where),
        "httpx transport": through(httpx.AsyncHTTPTransport(), where),
        "httpx client": through_client(url),
    }


async def cpu_us(call: Call, calls: int) -> float:
    """CPU microseconds of this process per call."""

    async def loop() -> None:
        for _ in range(calls // AT_ONCE):
            assert await call() == BODY

    await asyncio.gather(*(loop() for _ in range(AT_ONCE)))
    started = time.process_time()
    await asyncio.gather(*(loop() for _ in range(AT_ONCE)))
    return (time.process_time() - started) / (calls // AT_ONCE * AT_ONCE) * 1e6


async def measure(url: str, rounds: int) -> dict[str, dict[str, float]]:
    calls = contenders(url)
    taken: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name in random.sample(sorted(calls), len(calls)):
            quick = name in {"relay transport", "upstream pool"}
            taken[name].append(await cpu_us(calls[name], 3200 if quick else 640))
    reference = taken["httpx client"]
    return {
        name: {
            "cpu_us": round(statistics.median(figures), 1),
            "times_cheaper_than_httpx_client": round(
                statistics.median(b / a for a, b in zip(figures, reference, strict=True)), 2
            ),
        }
        for name, figures in taken.items()
    }


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    ours, theirs = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(theirs,), daemon=True)
    server.start()
    try:
        print(json.dumps(uvloop.run(measure(f"http://127.0.0.1:{ours.recv()}", rounds)), indent=1))
    finally:
        server.terminate()


if __name__ == "__main__":
    main()
