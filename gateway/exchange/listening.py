"""What the tap does beside metering a good answer: a refusal's body is kept, a compressed body is caught up with."""

import asyncio
from collections.abc import Callable
from typing import Final

from gateway.metering.meter import Meter, Reading
from gateway.metering.usage import Source
from gateway.wire.encoding import Decoded

REFUSAL_BYTES_MAX: Final = 64 * 1024  # a refusal is a sentence
PROMPT_CHARGED: Final = "prompt_charged"


class RefusalMeter:
    """Keeps a refusal's body for the provider to say whether the prompt is charged all the same."""

    def __init__(self, charges: Callable[[bytes], bool]) -> None:
        self._charges = charges
        self._body = bytearray()

    def feed(self, chunk: bytes) -> None:
        """See Meter."""
        self._body += chunk[: max(0, REFUSAL_BYTES_MAX - len(self._body))]

    def read(self) -> Reading:
        """See Meter; a refusal is the whole of its answer, whatever of it arrived."""
        flags = (PROMPT_CHARGED,) if self._charges(bytes(self._body)) else ()
        return Reading(source=Source.NONE, final=True, flags=flags)


async def catch_up(decoded: Decoded | None, meter: Meter | None) -> None:
    """Give the meter what is still to be inflated, letting others run in between; a cancelled wait goes on at once."""
    if decoded is None or meter is None:
        return
    is_patient = True
    while decoded.is_behind:
        meter.feed(decoded.more())
        if is_patient:
            try:
                await asyncio.sleep(0)
            except asyncio.CancelledError:
                is_patient = False
