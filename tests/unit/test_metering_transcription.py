"""What a transcription is billed in: tokens as they are said, or whole seconds, half up."""

from decimal import ROUND_HALF_UP, Decimal
from math import inf, nan, nextafter

import pytest
from hypothesis import example, given, settings, strategies as st

from gateway.metering.inclusive import Inclusive
from gateway.metering.transcription import duration, read_transcription
from gateway.metering.usage import COUNT_MAX, UsageInvalid
from gateway.wire.jsondoc import Json


def seconds(counts: int) -> Inclusive:
    return Inclusive({"audio_seconds": counts}, None, whole=True)


@given(st.integers(0, COUNT_MAX) | st.floats(0, COUNT_MAX) | st.floats(0, 4))
@example(nextafter(0.5, 0))
@example(nextafter(2.5, 0))
@example(COUNT_MAX)
@settings(max_examples=100)
def test_a_duration_is_rounded_to_whole_seconds_half_up(said: float) -> None:
    whole = int(Decimal(said).to_integral_value(ROUND_HALF_UP))
    found = duration(said)
    assert found == seconds(whole)
    assert found is not None
    assert type(found.counts["audio_seconds"]) is int


@pytest.mark.parametrize("said", [True, False, "3", [], -1, -0.1, nan, inf, COUNT_MAX + 1])
def test_what_is_no_duration_is_refused(said: Json) -> None:
    with pytest.raises(UsageInvalid, match="not a duration"):
        duration(said)
    with pytest.raises(UsageInvalid, match="not a duration"):
        read_transcription({"type": "duration", "seconds": said})


def test_what_is_not_said_is_not_zero() -> None:
    assert duration(None) is None
    assert read_transcription({"type": "duration"}) is None
    assert read_transcription({}) is None
    assert duration(0) == seconds(0)


@pytest.mark.parametrize("usage", [None, "duration", [3]])
def test_what_is_no_usage_is_refused(usage: Json) -> None:
    with pytest.raises(UsageInvalid):
        read_transcription(usage)


def test_the_type_says_in_what_it_is_billed() -> None:
    assert read_transcription({"type": "duration", "seconds": 3.5, "total_tokens": 9}) == seconds(4)
    tokens: dict[str, Json] = {"input_tokens": 14, "output_tokens": 101, "total_tokens": 115}
    for usage in (tokens, {"type": "tokens", **tokens}, {"seconds": 3, **tokens}):
        found = read_transcription(usage)
        assert found is not None
        assert found.counts == {"input_audio": 14, "output_text": 101}


def test_text_beside_the_sound_stays_text() -> None:
    found = read_transcription(
        {
            "type": "tokens",
            "input_tokens": 14,
            "input_token_details": {"text_tokens": 4, "audio_tokens": 10},
            "output_tokens": 1,
            "total_tokens": 15,
        }
    )
    assert found is not None
    assert found.counts == {"input_text": 4, "input_audio": 10, "output_text": 1}
