"""Ending in time: a cancellation that a driver swallowed still ends its task, and what hangs is left behind.

Loops that run until cancelled look here once a turn. Seen of ``asyncio.wait_for`` on Python 3.11, which drivers
use: where the cancellation comes in the same turn of the event loop as the result, the result is returned and the
cancellation is lost (python/cpython#86296).
"""

import asyncio
from collections.abc import Coroutine


def end_if_cancelled() -> None:
    """Raises CancelledError where the running task was asked to end and goes on."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


async def within(seconds: float, *works: Coroutine[object, None, object]) -> bool:
    """Whether all have ended in that time; one that has not is cancelled and left behind. Raises what they raise.

    For the end of a process: the native time limits would wait until what they cancelled has cleaned up,
    which a driver whose server does not answer never is.
    """
    loop = asyncio.get_running_loop()
    tasks = [loop.create_task(work) for work in works]
    try:
        await asyncio.wait(tasks, timeout=seconds)
    finally:
        late = [task for task in tasks if not task.done()]
        for task in late:
            task.add_done_callback(_left_behind)
            task.cancel()
    for task in tasks:
        if task not in late:
            task.result()
    return not late


def _left_behind(task: asyncio.Task[object]) -> None:
    if not task.cancelled():
        task.exception()  # nobody waits for it any more: it is heard, so that nobody reports it
