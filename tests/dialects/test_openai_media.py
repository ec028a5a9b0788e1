"""Embeddings, images, transcription and speech: what they bill, and that nothing large is held."""

import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from gateway.dialects.contract import Dialect
from gateway.dialects.openai_media import EMBEDDINGS, IMAGE_EDITS, IMAGES, SPEECH, TRANSCRIPTION
from gateway.kernel.errors import MalformedBody
from gateway.metering.usage import Source
from gateway.wire.messages import Head
from tests.dialects.answers import SSE, asked, counts, events, head, odd_values, read, whole

FORM = b"multipart/form-data; boundary=xyz"
PIECE = 65536


def form(*parts: tuple[str, bytes]) -> bytes:
    heads = (
        b'--xyz\r\nContent-Disposition: form-data; name="%b"\r\n\r\n%b\r\n' % (name.encode(), value)
        for name, value in parts
    )
    sound = (
        b'--xyz\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\nRIFF\r\n'
    )
    return b"".join(heads) + sound + b"--xyz--\r\n"


# ── embeddings ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("given_input", "texts", "token_ids"),
    [
        ("hello", ("hello",), 0),
        (["hello", "world"], ("hello", "world"), 0),
        ([1, 2, 3], (), 3),
        ([[1, 2], [3, 4, 5]], (), 5),
    ],
)
def test_embedding_input_is_text_or_already_tokens(
    given_input: object, texts: tuple[str, ...], token_ids: int
) -> None:
    prompt = asked(EMBEDDINGS, {"model": None, "input": given_input}).prompt
    assert (prompt.shape, prompt.token_ids) == ("embeddings", token_ids)
    assert tuple(turn.text for turn in prompt.turns) == texts


@pytest.mark.parametrize("wrong", [{"a": 1}, [{"a": 1}], [["a"]], 1.5, [[1, [2]]]])
def test_other_embedding_input_is_refused(wrong: object) -> None:
    with pytest.raises(MalformedBody):
        asked(EMBEDDINGS, {"input": wrong})


def test_embeddings_have_no_output_side() -> None:
    reading = read(
        EMBEDDINGS, whole({"model": "m", "usage": {"prompt_tokens": 8, "total_tokens": 8}})
    )
    assert (counts(reading), reading.source, reading.final) == (
        {"input_text": 8},
        Source.PROVIDER,
        True,
    )
    assert reading.balances()


def test_embeddings_beyond_the_bound_still_state_their_usage() -> None:
    row = b'{"object":"embedding","embedding":[' + b"0.1," * 250_000 + b"0]},"
    body = b'{"data":[' + row * 8 + b'{}],"model":"m","usage":{"prompt_tokens":8,"total_tokens":8}}'
    reading = read(EMBEDDINGS, [body[at : at + PIECE] for at in range(0, len(body), PIECE)])
    assert (counts(reading), reading.complete) == ({"input_text": 8}, True)


# ── images ───────────────────────────────────────────────────────────────────────────────────────

PAINTED = {
    "input_tokens": 340,
    "input_tokens_details": {"text_tokens": 17, "image_tokens": 323},
    "output_tokens": 1160,
    "output_tokens_details": {"image_tokens": 1056, "text_tokens": 104},
    "total_tokens": 1500,
}


@pytest.mark.parametrize("dialect", [IMAGES, IMAGE_EDITS], ids=lambda dialect: dialect.name)
def test_image_tokens_are_told_from_text(dialect: Dialect) -> None:
    reading = read(dialect, whole({"data": [{"b64_json": "aGk="}], "usage": PAINTED}))
    assert counts(reading) == {
        "input_text": 17,
        "input_image": 323,
        "output_image": 1056,
        "output_text": 104,
    }


def test_a_vector_drawing_is_another_model_s() -> None:
    vectors = {"model": "svg-model", "input_tokens": 3, "output_tokens": 4, "total_tokens": 7}
    reading = read(IMAGES, whole({"usage": PAINTED, "svg_usage": vectors}))
    assert counts(reading, "svg") == {"input_text": 3, "output_text": 4}
    assert [part.model for part in reading.components] == [None, "svg-model"]
    assert reading.balances()
    assert reading.uncovered == 7


def test_impossible_vector_usage_is_flagged() -> None:
    reading = read(IMAGES, whole({"usage": PAINTED, "svg_usage": {"input_tokens": -1}}))
    assert (reading.final, reading.flags) == (False, ("usage_invalid",))
    assert counts(reading, "svg") == {}


def test_pictures_without_usage_are_counted() -> None:
    reading = read(IMAGES, whole({"data": [{"url": "a"}, {"url": "b"}]}))
    assert (counts(reading), reading.source) == ({"images_out": 2}, Source.SHAPE)


def test_pictures_too_large_to_count_are_as_many_as_were_asked_for() -> None:
    body = whole({"data": [{"b64_json": "A" * 400_000}]})
    reading = read(IMAGES, body, head(), asked(IMAGES, {"prompt": "x", "n": 3}))
    assert (counts(reading), reading.source) == ({"images_out": 3}, Source.REQUEST)


def image_stream(megabytes: int) -> Iterator[bytes]:
    partial = events(
        {"type": "image_generation.partial_image", "b64_json": "A" * (megabytes << 20)}
    )
    last = events(
        {
            "type": "image_generation.completed",
            "b64_json": "A" * (megabytes << 20),
            "usage": PAINTED,
        }
    )
    for stream in (partial, partial, last):
        yield from (stream[at : at + PIECE] for at in range(0, len(stream), PIECE))


def test_large_image_events_are_metered_in_constant_memory() -> None:
    chunks = list(image_stream(4))
    meter = IMAGES.meter(asked(IMAGES, {"prompt": "x", "stream": True}), head(SSE))
    tracemalloc.start()
    for chunk in chunks:
        meter.feed(chunk)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    reading = meter.read()
    assert counts(reading)["output_image"] == 1056
    assert reading.complete
    assert peak < 2 << 20


def test_a_stream_cut_before_its_picture_is_unknown() -> None:
    stream = events({"type": "image_generation.partial_image", "b64_json": "A"})
    reading = read(IMAGES, stream, head(SSE), asked(IMAGES, {"prompt": "x", "stream": True}))
    assert (reading.source, reading.final, reading.complete) == (Source.NONE, False, False)


def test_the_image_request_is_read_from_json_and_form() -> None:
    wanted = ("m", True, 2)
    in_json = asked(IMAGES, {"model": "m", "stream": True, "n": 2, "prompt": "x"})
    body = form(("model", b"m"), ("stream", b"true"), ("n", b"2"), ("prompt", "ü".encode()))
    in_form = IMAGE_EDITS.read_request(body, FORM)
    assert (in_json.model, in_json.stream, in_json.choices) == wanted
    assert (in_form.model, in_form.stream, in_form.choices) == wanted
    assert (in_form.prompt.turns[0].text, in_form.prompt.turns[0].opaque) == ("ü", 1)
    assert asked(IMAGE_EDITS, {"model": "m", "stream": True, "n": 2}).model == "m"


@pytest.mark.parametrize(
    "body",
    [
        form(("model", b"a"), ("model", b"b")),
        form(("model", b"\xff")),
        form(("stream", b"yes")),
        b"--xyz--",
        b"no form",
    ],
)
def test_a_form_that_cannot_be_read_one_way_is_refused(body: bytes) -> None:
    content_type = FORM if body != b"--xyz--" else b"multipart/form-data"
    with pytest.raises(MalformedBody):
        TRANSCRIPTION.read_request(body, content_type)


# ── transcription ────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("seconds", "whole_seconds"), [(9, 9), (8.47, 8), (8.5, 9), (0.2, 0), (3600, 3600)]
)
def test_a_duration_is_rounded_half_up(seconds: float, whole_seconds: int) -> None:
    reading = read(
        TRANSCRIPTION, whole({"text": "a", "usage": {"type": "duration", "seconds": seconds}})
    )
    assert counts(reading) == ({"audio_seconds": whole_seconds} if whole_seconds else {})
    assert (reading.source, reading.final) == (Source.PROVIDER, True)


@pytest.mark.parametrize("seconds", [-1, "9", True, [], 2**60])
def test_an_impossible_duration_is_flagged(seconds: object) -> None:
    reading = read(TRANSCRIPTION, whole({"usage": {"type": "duration", "seconds": seconds}}))
    assert (reading.components, reading.flags) == ((), ("usage_invalid", "unmeasured"))


def test_tokens_tell_sound_from_text() -> None:
    usage = {
        "type": "tokens",
        "input_tokens": 26,
        "input_token_details": {"text_tokens": 12, "audio_tokens": 14},
        "output_tokens": 45,
        "total_tokens": 71,
    }
    reading = read(TRANSCRIPTION, whole({"text": "hello", "usage": usage}))
    assert counts(reading) == {"input_text": 12, "input_audio": 14, "output_text": 45}
    assert reading.observed.text == "hello"


def test_a_measured_duration_without_usage_is_shape() -> None:
    reading = read(TRANSCRIPTION, whole({"text": "a", "duration": 8.6}))
    assert (counts(reading), reading.source) == ({"audio_seconds": 9}, Source.SHAPE)


@pytest.mark.parametrize(
    "text", ["hello there", "1\n00:00:00,000 --> 00:00:01,000\nhello", "WEBVTT\n\n", ""]
)
def test_text_formats_say_nothing(text: str) -> None:
    reading = read(TRANSCRIPTION, text.encode(), head("text/plain; charset=utf-8"))
    assert (reading.source, reading.final) == (Source.NONE, False)
    assert "unmetered_format" in reading.flags


@pytest.mark.parametrize(
    ("dialect", "body"),
    [
        (IMAGES, {"model": "m", "prompt": "a cat", "stream": True}),
        (SPEECH, {"model": "m", "input": "hello", "stream_format": "sse"}),
        (TRANSCRIPTION, None),
    ],
)
def test_pictures_and_sound_cut_before_their_usage_are_said_to_be_unmeasured(
    dialect: Dialect, body: dict[str, Any] | None
) -> None:
    stream = events({"type": "something.partial", "b64": "AAAA"})
    request = None if body is None else asked(dialect, body)
    reading = read(dialect, stream, head(SSE), request)
    assert (reading.source, reading.final, reading.flags) == (Source.NONE, False, ("unmeasured",))


def test_a_cut_embedding_is_text_and_can_be_counted() -> None:
    assert read(EMBEDDINGS, b'{"data": [').flags == ("blind",)


def test_a_streamed_transcript_is_observed_once() -> None:
    stream = events(
        {"type": "transcript.text.delta", "delta": "hel"},
        {"type": "transcript.text.delta", "delta": "lo"},
        {
            "type": "transcript.text.done",
            "text": "hello",
            "usage": {"input_tokens": 14, "output_tokens": 2},
        },
    )
    reading = read(TRANSCRIPTION, stream, head(SSE))
    assert (reading.observed.text, counts(reading)) == (
        "hello",
        {"input_audio": 14, "output_text": 2},
    )
    assert reading.complete
    cut = read(TRANSCRIPTION, stream[: stream.index(b"event: transcript.text.done")], head(SSE))
    assert (cut.observed.text, cut.source, cut.final, cut.complete) == (
        "hello",
        Source.NONE,
        False,
        False,
    )


def test_whisper_s_form_names_model_and_nothing_else_is_read() -> None:
    request = TRANSCRIPTION.read_request(form(("model", b"whisper-1")), FORM)
    assert (request.model, request.stream) == ("whisper-1", False)


# ── speech ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("text", ["Hello wörld", "👩‍🚀", ""])
def test_speech_is_billed_by_code_points(text: str) -> None:
    request = asked(SPEECH, {"model": "tts", "input": text, "voice": "alloy"})
    assert request.units == {"characters_in": len(text)}
    sound = Head(200, ((b"Content-Type", b"audio/mpeg"),))
    reading = read(SPEECH, [b"ID3\x04" * 10_000], sound, request)
    assert (reading.source, reading.final, reading.complete) == (Source.REQUEST, True, True)
    assert counts(reading) == ({"characters_in": len(text)} if text else {})


def test_speech_in_events_states_tokens() -> None:
    request = asked(SPEECH, {"input": "hi", "stream_format": "sse"})
    assert request.stream
    usage = {"input_tokens": 14, "output_tokens": 101, "total_tokens": 115}
    stream = events(
        {"type": "speech.audio.delta", "audio": "AAAA" * 200_000},
        {"type": "speech.audio.done", "usage": usage},
    )
    reading = read(
        SPEECH, [stream[at : at + PIECE] for at in range(0, len(stream), PIECE)], head(SSE), request
    )
    assert counts(reading) == {"input_text": 14, "output_audio": 101}
    cut = read(SPEECH, stream[:5000], head(SSE), request)
    assert (cut.source, cut.final, cut.complete) == (Source.NONE, False, False)


@pytest.mark.parametrize("wrong", [{}, {"input": None}, {"input": ["a"]}])
def test_speech_needs_a_text(wrong: dict[str, Any]) -> None:
    with pytest.raises(MalformedBody):
        asked(SPEECH, wrong)


@settings(max_examples=150)
@given(
    document=st.dictionaries(
        st.sampled_from(
            ["usage", "svg_usage", "data", "type", "text", "duration", "model", "error"]
        ),
        odd_values,
    ),
    usage=st.dictionaries(
        st.sampled_from(["type", "seconds", "input_tokens", "output_tokens"]), odd_values
    ),
)
def test_no_answer_makes_a_meter_fail(document: dict[str, Any], usage: dict[str, Any]) -> None:
    for dialect in (EMBEDDINGS, IMAGES, TRANSCRIPTION, SPEECH):
        for body in (document, {**document, "usage": usage}, {**document, "svg_usage": usage}):
            assert read(dialect, whole(body)).components is not None
            assert read(dialect, events(body), head(SSE)).components is not None
