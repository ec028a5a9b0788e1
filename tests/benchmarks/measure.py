"""The loads of the benchmark: each runs one target once, checks its books, and returns plain figures.

All targets but the one at work are paused. The CPU time of a run lasts until its rows are in the database. To
add a load: a coroutine here, its rounds in ``plan``, its verdict in ``report``.
"""

import asyncio
import gc
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from statistics import median, quantiles
from typing import Final, NamedTuple

from tests.benchmarks import accounting, driver, shapes, turns
from tests.benchmarks.driver import Failed
from tests.benchmarks.mock_upstream import Stats
from tests.benchmarks.targets import Target, cpu_ns, memory_bytes, pause, resume

_PENDING: Final = b"weighbridge_spool_pending "
_SETTLE_S: Final = 30
_US: Final = 1_000
_MS: Final = 1_000_000
_S: Final = 1_000_000_000


class Saturation(NamedTuple):
    """A closed loop: CPU microseconds per request, requests per second, busy share of the core."""

    cpu_us: float
    per_second: float
    busy: float


class Pace(NamedTuple):
    """Paced streams: offered and delivered chunks per second, CPU and lag.

    sent, came  chunks per second in the window, by the mock's and by the driver's count
    cpu_us      per chunk, over the whole run
    busy        share of the core in the window
    transit_ms  p50 and p99 from the mock's write to the driver's read
    """

    sent: float
    came: float
    cpu_us: float
    busy: float
    transit_p50_ms: float
    transit_p99_ms: float


class Burst(NamedTuple):
    """Streams that come at once: chunks per second, CPU microseconds per chunk."""

    per_second: float
    cpu_us: float


class Crowd(NamedTuple):
    """Many open streams: memory per 1,000 of them, and how long after all clients left the upstream knew."""

    mb_per_1000: float
    left_s: float
    closed: int


class Bench:
    """The mock and the targets of one run of the benchmark."""

    def __init__(self, mock_port: int, targets: Sequence[Target]) -> None:
        self._mock_port = mock_port
        self.targets = {target.name: target for target in targets}
        self._number = 0
        for target in targets:
            pause(target.pid)

    def _asking(self, target: Target, word: str, *, stream: bool = False) -> shapes.Asking:
        return shapes.asking(target.path, word, target.port, target.key, stream=stream)

    def _packets(self, target: Target, word: str, count: int) -> list[bytes]:
        asking = self._asking(target, word, stream=True)
        self._number += count
        return [asking.numbered(self._number - index) for index in range(count)]

    @asynccontextmanager
    async def _at_work(self, target: Target, *, whole: bool = True) -> AsyncIterator[None]:
        """Let a target run, alone; then wait for its rows and check them. Raises Void, Failed."""
        config = target.config
        since = accounting.latest_us(config) if config else 0
        before = await driver.mock_stats(self._mock_port)
        gc.collect()
        gc.disable()
        resume(target.pid)
        try:
            yield
            await self._settled(target)
        finally:
            pause(target.pid)
            gc.enable()
        if config and target.is_metered:
            after = await driver.mock_stats(self._mock_port)
            accounting.verify(accounting.booked(config, since), before, after, whole=whole)

    async def _settled(self, target: Target) -> None:
        """Until the gateway has nothing left to book."""
        if target.config is None:
            return
        for _ in range(_SETTLE_S * 10):
            text = await driver.fetched(target.port, "/-/metrics")
            line = next(line for line in text.splitlines() if line.startswith(_PENDING))
            if not int(line[len(_PENDING) :]):
                return
            await asyncio.sleep(0.1)
        raise Failed(f"{target.name}: rows wait unbooked")

    # ── the loads ────────────────────────────────────────────────────────────────────────────────

    async def saturate(self, target: Target, seconds: float, connections: int = 32) -> Saturation:
        """1 KB there, 1 KB back, as fast as it goes."""
        return await self._closed(target, self._asking(target, shapes.JSON), seconds, connections)

    async def turns(self, target: Target, seconds: float, connections: int = 8) -> Saturation:
        """An agent's long turn there, 1 KB back, as fast as it goes."""
        asking = turns.asking(target.path, target.port, target.key)
        return await self._closed(target, asking, seconds, connections)

    async def _closed(
        self, target: Target, asking: shapes.Asking, seconds: float, connections: int
    ) -> Saturation:
        self._number += 1_000_000_000
        async with self._at_work(target):
            before = cpu_ns(target.pid) if target.pid else 0
            run = await driver.closed(
                target.port, asking, connections=connections, seconds=seconds, first=self._number
            )
            busy = cpu_ns(target.pid) - before if target.pid else 0
            await self._settled(target)
            used = cpu_ns(target.pid) - before if target.pid else 0
        return Saturation(
            used / _US / run.requests, run.requests / run.seconds, busy / _S / run.seconds
        )

    async def sequential(self, target: Target, seconds: float) -> float:
        """The median latency of one client alone, in ms."""
        self._number += 1_000_000_000
        asking = self._asking(target, shapes.JSON)
        async with self._at_work(target):
            run = await driver.closed(
                target.port, asking, connections=1, seconds=seconds, first=self._number
            )
        return median(run.latencies) / _MS

    async def first_bytes(self, target: Target, streams: int, times: int) -> float:
        """The median time to the first byte of ``streams`` paced streams at a time, in ms."""
        first: list[int] = []
        async with self._at_work(target):
            for _ in range(times):
                packets = self._packets(target, shapes.stream_of(12, shapes.GAP_MS), streams)
                first += (await driver.streams(target.port, packets, ramp_s=0.05)).first
        return median(first) / _MS

    async def paced(self, target: Target, streams: int, window_s: float) -> Pace:
        """Streams of 100 chunks a second each."""
        ramp_s, tail_s = 1.0, 0.3
        chunks = int((ramp_s + window_s + tail_s) * 1000 / shapes.GAP_MS)
        packets = self._packets(target, shapes.stream_of(chunks, shapes.GAP_MS), streams)
        async with self._at_work(target):
            before = cpu_ns(target.pid) if target.pid else 0
            watch = asyncio.ensure_future(self._window(target, ramp_s, window_s))
            run = await driver.streams(
                target.port, packets, ramp_s=ramp_s, window_s=window_s, tail_s=tail_s + ramp_s
            )
            sent, busy = await watch
            await self._settled(target)
            used = cpu_ns(target.pid) - before if target.pid else 0
        if run.chunks != chunks * streams:
            raise Failed(f"{target.name}: {run.chunks} of {chunks * streams} chunks came")
        cuts = quantiles(run.transit, n=100)
        return Pace(
            sent / window_s, run.windowed / window_s, used / _US / run.chunks, busy,
            cuts[49] / _MS, cuts[98] / _MS,
        )  # fmt: skip

    async def _window(self, target: Target, ramp_s: float, window_s: float) -> tuple[int, float]:
        """Chunks the mock sent, and the busy share of the core, in the window."""
        await asyncio.sleep(ramp_s)
        loop = asyncio.get_running_loop()
        started = loop.time()
        cpu = cpu_ns(target.pid) if target.pid else 0
        before = (await driver.mock_stats(self._mock_port)).chunks
        await asyncio.sleep(window_s - (loop.time() - started))
        after = (await driver.mock_stats(self._mock_port)).chunks
        cpu = (cpu_ns(target.pid) if target.pid else 0) - cpu
        return after - before, cpu / _S / window_s

    async def burst(self, target: Target, times: int, chunks: int = 100) -> Burst:
        """Eight streams at a time whose chunks all come at once."""
        total, seconds = 0, 0.0
        async with self._at_work(target):
            before = cpu_ns(target.pid) if target.pid else 0
            for _ in range(times):
                packets = self._packets(target, shapes.stream_of(chunks, 0), 8)
                run = await driver.streams(target.port, packets)
                total += run.chunks
                seconds += run.seconds
            await self._settled(target)
            used = cpu_ns(target.pid) - before if target.pid else 0
        return Burst(total / seconds, used / _US / total)

    async def crowd(self, target: Target, streams: int) -> Crowd:
        """Open many slow streams, weigh the process, then let every client leave."""
        assert target.pid is not None
        async with self._at_work(target, whole=False):
            empty = memory_bytes(target.pid)
            packets = self._packets(target, shapes.stream_of(600, 1000), streams)
            broken = (await driver.mock_stats(self._mock_port)).broken
            async with driver.held(target.port, packets) as clients:
                await asyncio.sleep(1)
                full = memory_bytes(target.pid)
                left = driver.leave(clients)
                stats = await self._all_broken(broken + streams)
        return Crowd(
            (full - empty) / 1e6 * 1000 / streams,
            (stats.last_broken_ns - left) / _S,
            stats.broken - broken,
        )

    async def _all_broken(self, wanted: int) -> Stats:
        """The mock's figures once it has lost so many streams, or after a few seconds without."""
        stats = await driver.mock_stats(self._mock_port)
        for _ in range(60):
            if stats.broken >= wanted:
                break
            await asyncio.sleep(0.1)
            stats = await driver.mock_stats(self._mock_port)
        return stats
