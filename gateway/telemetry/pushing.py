"""Pushing figures to an OpenTelemetry collector, beside the scrape: every so often, and once more at the end.

A collector that is away costs a line of the log and a count, never a request: everything that blocks is in a thread
of its own.
"""

import asyncio
import importlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Any, Final

import msgspec

from gateway.exchange.ports import Observer
from gateway.kernel.clock import Clock
from gateway.kernel.errors import ConfigurationError
from gateway.telemetry.collector import CollectorTimedOut
from gateway.telemetry.metrics import Histogram, Reading

STEP: Final = "otlp"  # of weighbridge_failures_total
WAIT_S: Final = 6.0  # the exporter itself gives up after five


class Push(msgspec.Struct, frozen=True):
    """Figures pushed to an OpenTelemetry collector beside the scrape; no endpoint, no push.

    otlp_endpoint  of its metrics, whole: https://collector:4318/v1/metrics
    otlp_headers   sent with each push; secrets by reference
    otlp_seconds   between pushes
    """

    otlp_endpoint: str = ""
    otlp_headers: dict[str, str] = {}
    otlp_seconds: Annotated[int, msgspec.Meta(ge=1)] = 60


class Pusher:
    """A job. Raises ConfigurationError where it has somewhere to push to, and nothing to do so with."""

    def __init__(
        self,
        to: Push,
        sources: Sequence[Callable[[], list[Reading]]],
        clock: Clock,
        observer: Observer,
    ) -> None:
        """``sources``: what is read at each push, in the event loop. Without an endpoint nothing is pushed."""
        self._to = to
        self._sources = sources
        self._clock = clock
        self._observer = observer
        self._otlp = _otlp() if to.otlp_endpoint else None

    async def run(self) -> None:
        """Push until cancelled, and once more then; at once done where there is nowhere to push to."""
        if self._otlp is None:
            return
        collector = self._otlp.Collector(
            self._to.otlp_endpoint, self._to.otlp_headers, self._clock.wall_us()
        )
        thread = ThreadPoolExecutor(1, "otlp")
        try:
            while True:
                await asyncio.sleep(self._to.otlp_seconds)
                await self._push(collector, thread)
        finally:
            await self._push(collector, thread)
            collector.close()
            thread.shutdown(wait=False, cancel_futures=True)

    async def _push(self, collector: Any, thread: ThreadPoolExecutor) -> None:
        """Push what is read now. Whatever fails there is told, and ends nothing."""
        try:
            readings = [
                (name, labels, value.copy() if isinstance(value, Histogram) else value)
                for source in self._sources
                for name, labels, value in source()
            ]
        except OSError as error:  # a gauge asks the disk
            self._observer.failed(STEP, error)
            return
        loop, now_us = asyncio.get_running_loop(), self._clock.wall_us()
        pushed = loop.run_in_executor(thread, collector.push, readings, now_us)
        pushed.add_done_callback(_heard)
        await asyncio.wait([pushed], timeout=WAIT_S)
        failure = pushed.exception() if pushed.done() else CollectorTimedOut()
        if failure is not None:
            self._observer.failed(STEP, failure)


def _heard(pushed: "asyncio.Future[None]") -> None:
    """At the end nobody waits for it any more, and what it failed with is not to be reported as forgotten."""
    if not pushed.cancelled():
        pushed.exception()


def _otlp() -> Any:
    """Loaded only here: a tenth of a second and 5 MiB that a gateway without a collector does not pay."""
    try:
        return importlib.import_module("gateway.telemetry.otlp")
    except ModuleNotFoundError as error:
        problem = "telemetry.otlp_endpoint: it needs its extra: pip install 'weighbridge[otlp]'"
        raise ConfigurationError((problem,)) from error
