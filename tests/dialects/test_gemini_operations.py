"""Gemini's other operations: embeddings, predictions, Live turns, interactions."""

from typing import Any

import pytest

from gateway.dialects.gemini import EMBED, INTERACTIONS, LIVE, PREDICT, live
from gateway.metering.meter import Reading
from gateway.metering.usage import Source
from tests.dialects.answers import SSE, asked, counts, head, read, whole


def sse(*documents: object) -> bytes:
    return b"".join(b"data: " + whole(each) + b"\r\n\r\n" for each in documents)


# ── the other operations ─────────────────────────────────────────────────────────────────────────


def test_an_embedding_without_usage_is_left_to_be_counted() -> None:
    reading = read(EMBED, b'{"embedding":{"values":[0.1]}}')
    assert (reading.source, reading.final, reading.complete) == (Source.NONE, False, True)


def test_predicted_embeddings_sum_their_statistics() -> None:
    each = [{"embeddings": {"statistics": {"token_count": n}}} for n in (3.0, 4)]
    reading = read(
        PREDICT, whole({"predictions": each, "metadata": {"billableCharacterCount": 14}})
    )
    assert counts(reading) == {"input_text": 7, "characters_in": 14}


def imagined(*predictions: object, samples: int | None = 4) -> Reading:
    parameters = {} if samples is None else {"sampleCount": samples}
    request = asked(PREDICT, {"instances": [{"prompt": "x"}], "parameters": parameters})
    return read(PREDICT, whole({"predictions": list(predictions)}), request=request)


def test_images_are_counted_and_filtered_ones_are_not() -> None:
    image = {"bytesBase64Encoded": "aGk=", "mimeType": "image/png"}
    reading = imagined(image, {"raiFilteredReason": "no"}, {"gcsUri": "gs://a/b.png"})
    assert counts(reading) == {"images_out": 2}
    assert (reading.source, reading.final) == (Source.SHAPE, True)


def test_an_answer_with_every_image_filtered_bills_nothing() -> None:
    reading = imagined({"raiFilteredReason": "no"})
    assert (reading.components, reading.source, reading.final) == ((), Source.SHAPE, True)


def test_as_many_images_are_held_as_the_service_would_make() -> None:
    assert asked(PREDICT, {"instances": [{"prompt": "x"}]}).units == {"images_out": 4}
    one = {"instances": [{"prompt": "x"}], "parameters": {"sampleCount": 1}}
    assert asked(PREDICT, one).units == {"images_out": 1}


def test_an_unknown_prediction_is_not_booked_as_free() -> None:
    reading = read(PREDICT, whole({"predictions": [{"imageEmbedding": [0.1]}]}))
    assert (reading.source, reading.final) == (Source.NONE, False)


def test_live_turns_are_components_of_their_own_and_thoughts_lie_outside_the_total() -> None:
    turn = {
        "serverContent": {"turnComplete": True},
        "usageMetadata": {
            "promptTokenCount": 10, "responseTokenCount": 5, "thoughtsTokenCount": 3, "totalTokenCount": 15,
        },
    }  # fmt: skip
    spoken = {"serverContent": {"modelTurn": {"parts": [{"text": "hi"}]}}}
    ended = read(LIVE, b"\n".join(whole(each) for each in (spoken, turn, spoken, turn)))
    assert [part.counts for part in ended.components] == [
        {"input_text": 10, "output_text": 5, "output_reasoning": 3}
    ] * 2
    assert (ended.balances(), ended.uncovered, ended.stated_total) == (True, 6, 30)
    assert (ended.source, ended.final, ended.complete) == (Source.PROVIDER, True, True)
    cut = read(LIVE, b"\n".join(whole(each) for each in (spoken, turn, spoken)))
    assert (cut.source, cut.final, cut.complete) == (Source.PARTIAL, False, False)


def interaction(**usage: object) -> dict[str, Any]:
    steps = [{"type": "model_output", "content": [{"type": "text", "text": "Hi"}]}]
    return {"model": "gemini-3-pro", "status": "completed", "service_tier": "flex", "steps": steps,
            "usage": {"total_input_tokens": 9, "total_output_tokens": 13, "total_thought_tokens": 207,
                      "total_tokens": 229, **usage}}  # fmt: skip


def test_an_interaction_as_one_document() -> None:
    reading = read(INTERACTIONS, whole(interaction()))
    assert counts(reading) == {"input_text": 9, "output_text": 13, "output_reasoning": 207}
    assert (reading.model, reading.tier, reading.observed.text) == ("gemini-3-pro", "flex", "Hi")
    assert reading.balances()


def test_an_interaction_as_events() -> None:
    delta = {"event_type": "step.delta", "index": 1, "delta": {"type": "text", "text": "Hi"}}
    done = {"event_type": "interaction.completed", "interaction": interaction()}
    reading = read(INTERACTIONS, sse(delta, done) + b"event: done\ndata: [DONE]\n\n", head(SSE))
    assert (reading.complete, reading.observed.text) == (True, "Hi")
    assert read(INTERACTIONS, sse(delta), head(SSE)).source is Source.NONE


def test_a_grounding_tool_without_a_unit_is_flagged() -> None:
    used = [
        {"type": "google_search", "count": 2},
        {"type": "google_maps", "count": 1},
        {"type": "tarot", "count": 1},
    ]
    reading = read(INTERACTIONS, whole(interaction(grounding_tool_count=used)))
    assert counts(reading)["grounding_google_search"] == 2
    assert counts(reading)["grounding_google_maps"] == 1
    assert reading.flags == ("unknown_unit",)


def test_what_an_interaction_did_is_observed() -> None:
    steps = [
        {"type": "thought", "content": [{"type": "thought", "text": "hm"}]},
        {"type": "function_call", "name": "look", "arguments": {"at": "it"}},
    ]
    observed = read(INTERACTIONS, whole({**interaction(), "steps": steps})).observed
    assert observed.reasoning == "hm"
    assert [(call.name, call.arguments) for call in observed.tool_calls] == [
        ("look", '{"at":"it"}')
    ]


def test_a_failing_interaction_says_so() -> None:
    failed = {"event_type": "error", "error": {"code": "no"}}
    reading = read(INTERACTIONS, sse(failed), head(SSE))
    assert (reading.flags, reading.complete, reading.final) == (("error_event",), False, False)


@pytest.mark.parametrize("member", ["total_input_tokens", "total_tokens"])
def test_impossible_usage_is_flagged_and_left_to_be_counted(member: str) -> None:
    turn = {"usageMetadata": {"promptTokenCount": -1, "totalTokenCount": 1}}
    predicted = {"predictions": [{"embeddings": {"statistics": {"token_count": -1}}}]}
    for reading in (
        read(INTERACTIONS, whole(interaction(**{member: -1}))),
        read(EMBED, whole(turn)),
        read(PREDICT, whole(predicted)),
        read(LIVE, whole(turn)),
    ):
        assert (reading.flags, reading.components, reading.final) == (("usage_invalid",), (), False)


def test_turns_without_end_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "TURNS_MAX", 2)
    turn = {"usageMetadata": {"promptTokenCount": 1, "totalTokenCount": 1}}
    reading = read(LIVE, b"\n".join([whole(turn)] * 3))
    assert (len(reading.components), reading.final, reading.flags) == (2, False, ("blind",))
