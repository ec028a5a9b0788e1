"""Realtime conversations: every finished response and every transcription states its own usage."""

from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from gateway.dialects.openai_realtime import FRAME_BYTES_MAX, PARTS_MAX, REALTIME
from gateway.kernel.errors import OperationRefused
from gateway.metering.meter import Reading
from gateway.metering.usage import Source
from tests.dialects.answers import counts, odd_values, read, whole

USAGE = {"input_tokens": 5, "output_tokens": 2, "total_tokens": 7}
DONE = {"type": "response.done", "response": {"usage": USAGE}}
HEARD = "conversation.item.input_audio_transcription.completed"


def frames(*documents: object) -> Reading:
    return read(REALTIME, b"\n".join(map(whole, documents)))


def test_opening_a_conversation_is_refused() -> None:
    with pytest.raises(OperationRefused):
        REALTIME.read_request(b"", b"")


def test_every_response_is_a_part_of_its_own() -> None:
    reading = frames({"type": "session.created", "session": {"model": "m"}}, DONE, DONE)
    assert [part.counts for part in reading.components] == [{"input_text": 5, "output_text": 2}] * 2
    assert (reading.model, reading.stated_total, reading.balances()) == ("m", 14, True)


@pytest.mark.parametrize(
    "session",
    [
        {"audio": {"input": {"transcription": {"model": "asr"}}}},
        {"input_audio_transcription": {"model": "asr"}},
    ],
)
def test_a_transcription_is_billed_on_the_listening_model(session: dict[str, Any]) -> None:
    usage = {"type": "tokens", "input_tokens": 9, "output_tokens": 1, "total_tokens": 10}
    reading = frames(
        {"type": "session.updated", "session": session}, {"type": HEARD, "usage": usage}
    )
    assert counts(reading, "transcription") == {"input_audio": 9, "output_text": 1}
    assert reading.components[0].model == "asr"


def test_tokens_without_a_total_are_outside_the_stated_one() -> None:
    untotalled = {"input_tokens": 9, "output_tokens": 1}
    reading = frames(DONE, {"type": HEARD, "usage": untotalled})
    assert (reading.stated_total, reading.uncovered, reading.balances()) == (7, 10, True)


def test_a_long_conversation_keeps_its_sum_in_bounded_parts() -> None:
    reading = frames({"type": HEARD, "usage": {"type": "duration", "seconds": 1}}, *[DONE] * 1000)
    assert len(reading.components) <= PARTS_MAX
    assert sum(part.tokens() for part in reading.components) == 7000
    assert counts(reading, "transcription") == {"audio_seconds": 1}
    assert reading.balances()


def test_impossible_usage_makes_the_rest_a_part() -> None:
    wrong = {"type": "response.done", "response": {"usage": {"input_tokens": -1}}}
    reading = frames(DONE, wrong)
    assert (reading.source, reading.final, reading.flags) == (
        Source.PARTIAL,
        False,
        ("usage_invalid",),
    )


def test_a_frame_of_sound_too_large_is_passed_over() -> None:
    sound = b'{"type":"response.audio.delta","delta":"' + b"A" * FRAME_BYTES_MAX + b'"}\n'
    body = sound + whole(DONE)
    reading = read(REALTIME, [body[at : at + 65536] for at in range(0, len(body), 65536)])
    assert counts(reading) == {"input_text": 5, "output_text": 2}
    assert reading.flags == ("blind",)


def test_a_silent_conversation_bills_nothing() -> None:
    reading = frames({"type": "session.created", "session": {}})
    assert (reading.components, reading.source, reading.final) == ((), Source.NONE, True)


@settings(max_examples=100)
@given(
    st.lists(
        st.fixed_dictionaries(
            {"type": st.sampled_from([HEARD, "response.done", "session.created", "x"])},
            optional={"usage": odd_values, "response": odd_values, "session": odd_values},
        ),
        max_size=4,
    )
)
def test_no_frame_makes_the_meter_fail(documents: list[dict[str, Any]]) -> None:
    assert frames(*documents).components is not None
