"""The loop under every job: a failure is reported and waited out, never the end of the job.

A job is a class with ``async run()``; app.py gives it to the lifespan's task group. To add one: a module
here with a ``step`` that returns how long to pause, and one line in app.py.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from gateway.exchange.ending import end_if_cancelled
from gateway.exchange.ports import Observer

MS_PER_S: Final = 1000
PAUSE_MS_MAX: Final = 5_000
T = TypeVar("T")


async def forever(
    what: str, step: Callable[[], Awaitable[int]], observer: Observer, *, pause_ms: int
) -> None:
    """Call ``step`` again and again, pausing as many ms as it says; on failure doubling from ``pause_ms``.

    Ends only by cancellation.
    """
    failed_ms = pause_ms
    while True:
        try:
            wait_ms = await step()
            failed_ms = pause_ms
        except Exception as error:  # noqa: BLE001 - the one supervised place: a job outlives any failure
            observer.failed(what, error)
            failed_ms = wait_ms = min(2 * failed_ms, PAUSE_MS_MAX)
        end_if_cancelled()
        await asyncio.sleep(wait_ms / MS_PER_S)


async def attempted(what: str, part: Awaitable[T], observer: Observer) -> T | None:
    """Await one of several parts of a step: its failure is reported, and keeps none of the others; then None."""
    try:
        return await part
    except Exception as error:  # noqa: BLE001 - the same, for a part
        observer.failed(what, error)
        return None
