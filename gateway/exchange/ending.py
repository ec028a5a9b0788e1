"""A cancellation that a driver swallowed still ends its task: loops that run until cancelled look here once a turn.

Seen of ``asyncio.wait_for`` on Python 3.11, which drivers use: where the cancellation comes in the same turn
of the event loop as the result, the result is returned and the cancellation is lost (python/cpython#86296).
"""

import asyncio


def end_if_cancelled() -> None:
    """Raises CancelledError where the running task was asked to end and goes on."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
