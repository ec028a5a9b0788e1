"""What a transcription is billed in: tokens, or the sound's duration in whole seconds.

To follow another kind of transcription usage: its ``type`` in ``read_transcription``.
"""

from typing import Final

from gateway.metering.inclusive import Inclusive, read_inclusive
from gateway.metering.usage import COUNT_MAX, UsageInvalid
from gateway.wire.jsondoc import Json

SECONDS: Final = "audio_seconds"
HALF: Final = 0.5


def read_transcription(usage: Json) -> Inclusive | None:
    """Carve one transcription usage; None where it says nothing. Raises UsageInvalid."""
    if isinstance(usage, dict) and usage.get("type") == "duration":
        return duration(usage.get("seconds"))
    return read_inclusive(usage, input_rest="input_audio")


def duration(seconds: Json) -> Inclusive | None:
    """A duration as a count: rounded to whole seconds, half up. Raises UsageInvalid on anything else."""
    if seconds is None:
        return None
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        raise UsageInvalid(f"not a duration: {seconds!r}")
    if not 0 <= seconds <= COUNT_MAX:
        raise UsageInvalid(f"not a duration: {seconds!r}")
    whole = int(seconds)  # half a second is not added first: a float so close to it would round up
    return Inclusive({SECONDS: whole + (seconds - whole >= HALF)}, None, whole=True)
