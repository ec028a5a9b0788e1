"""InvokeModel bodies of every family: the runtime's counts are the truth, the body's own stand in or refine."""

from base64 import b64encode
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from gateway.dialects.bedrock_families import ASYNC, FAMILIES
from gateway.kernel.errors import MalformedBody
from gateway.metering.usage import Source
from gateway.wire.documents import DOCUMENT_BYTES_MAX
from tests.dialects.answers import (
    FRAMES,
    asked,
    chunk_frames,
    counts,
    damaged,
    head,
    odd_values,
    read,
    whole,
)

METRICS = {"amazon-bedrock-invocationMetrics": {"inputTokenCount": 8, "outputTokenCount": 3}}
TRUTH = {"input_text": 8, "output_text": 3}
HEADED = head(X_Amzn_Bedrock_Input_Token_Count="8", X_Amzn_Bedrock_Output_Token_Count="3")

# One answer per family, as its body comes, and the text it holds.
BODIES: dict[str, dict[str, Any]] = {
    "nova": {"output": {"message": {"content": [{"text": "Hello"}]}},
             "usage": {"inputTokens": 8, "outputTokens": 3, "totalTokens": 11}},
    "titan": {"inputTextTokenCount": 8.0, "results": [{"tokenCount": 3.0, "outputText": "Hello"}]},
    "llama": {"generation": "Hello", "prompt_token_count": 8, "generation_token_count": 3},
    "gpt-oss": {"choices": [{"message": {"content": "Hello"}, "finish_reason": "stop"}],
                "usage": {"prompt_tokens": 8, "completion_tokens": 3, "total_tokens": 11}},
}  # fmt: skip
SILENT: dict[str, dict[str, Any]] = {
    "mistral": {"outputs": [{"text": "Hello", "stop_reason": "stop"}]},
    "mistral chat": {"choices": [{"message": {"content": "Hello"}, "finish_reason": "stop"}]},
    "cohere command": {"generations": [{"text": "Hello"}]},
    "cohere chat": {"text": "Hello", "finish_reason": "COMPLETE"},
    "ai21": {"completions": [{"data": {"text": "Hello"}}]},
    "deepseek": {"choices": [{"text": "Hello", "stop_reason": "stop"}]},
}
STREAMS: dict[str, list[dict[str, Any]]] = {
    "nova": [{"contentBlockDelta": {"delta": {"text": "Hel"}}}, {"contentBlockDelta": {"delta": {"text": "lo"}}},
             {"metadata": {"usage": {"inputTokens": 8, "outputTokens": 3}}}],
    "titan": [{"outputText": "Hel", "inputTextTokenCount": 8}, {"outputText": "lo", "totalOutputTextTokenCount": 3}],
    "llama": [{"generation": "Hel", "prompt_token_count": 8, "generation_token_count": 1},
              {"generation": "lo", "prompt_token_count": None, "generation_token_count": 3, "stop_reason": "stop"}],
    "gpt-oss": [{"choices": [{"delta": {"content": "Hello"}, "finish_reason": "stop"}],
                 "usage": {"prompt_tokens": 8, "completion_tokens": 3, "total_tokens": 11}}],
}  # fmt: skip
SILENT_STREAMS: dict[str, list[dict[str, Any]]] = {
    "mistral": [{"outputs": [{"text": "Hel"}]}, {"outputs": [{"text": "lo", "stop_reason": "stop"}]}],
    "cohere": [{"text": "Hel", "is_finished": False}, {"text": "lo", "is_finished": False}],
    "qwen": [{"choices": [{"delta": {"content": "Hello"}}]}],
}  # fmt: skip


def with_metrics(documents: list[dict[str, Any]]) -> bytes:
    *first, last = documents
    return chunk_frames(*first, {**last, **METRICS})


# ── requests ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "body",
    [
        {"max_tokens": 50},
        {"max_completion_tokens": 50},
        {"max_gen_len": 50},
        {"maxTokens": 50},
        {"textGenerationConfig": {"maxTokenCount": 50}},
        {"inferenceConfig": {"maxTokens": 50}},
        {"inferenceConfig": {"max_new_tokens": 50}},
    ],
)
def test_every_family_names_its_limit_differently(body: dict[str, object]) -> None:
    assert asked(FAMILIES, body).output_ceiling == 50


@pytest.mark.parametrize("name", ["n", "num_generations", "numResults"])
def test_every_family_names_its_alternatives_differently(name: str) -> None:
    assert asked(FAMILIES, {name: 4}).choices == 4


@pytest.mark.parametrize(
    ("body", "texts", "shape"),
    [
        ({"prompt": "one"}, ["one"], "plain"),
        ({"inputText": "one", "textGenerationConfig": {}}, ["one"], "plain"),
        ({"message": "two", "chat_history": [{"role": "USER", "message": "one"}]}, ["two", "one"], "plain"),
        ({"messages": [{"role": "user", "content": "one"}]}, ["one"], "chat"),
        ({"messages": [{"role": "user", "content": [{"text": "one"}]}], "system": [{"text": "two"}]},
         ["two", "one"], "chat"),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": "one"}]}]}, ["one"], "chat"),
        ({"messages": [{"content": [{"toolResult": {"content": [{"text": "one"}]}}]}]}, ["one"], "chat"),
        ({"texts": ["one", "two"]}, ["one\ntwo"], "embeddings"),
        ({"singleEmbeddingParams": {"text": {"value": "one"}}}, ["one"], "embeddings"),
        ({"query": "one", "documents": ["two", {"text": "three"}]}, ["one", "two\nthree"], "plain"),
        ({"textToImageParams": {"text": "one"}}, ["one"], "plain"),
    ],
)  # fmt: skip
def test_text_is_found_wherever_a_family_puts_it(
    body: dict[str, object], texts: list[str], shape: str
) -> None:
    prompt = asked(FAMILIES, body).prompt
    assert [turn.text for turn in prompt.turns] == texts
    assert prompt.shape == shape


def test_tools_pictures_and_media_are_seen() -> None:
    content = [
        {"image": {"format": "png", "source": {"bytes": "AA=="}}},
        {"video": {"format": "mp4"}},
        {"toolUse": {"name": "look", "input": {"at": "it"}}},
    ]
    prompt = asked(
        FAMILIES,
        {
            "messages": [{"role": "user", "content": content}],
            "toolConfig": {"tools": [{"toolSpec": {"name": "look"}}]},
            "tools": [{"type": "function", "function": {"name": "hear"}}],
        },
    ).prompt
    (turn,) = prompt.turns
    assert (len(turn.images), turn.opaque, turn.tool_calls[0].name) == (1, 1, "look")
    assert [function.name for function in prompt.functions] == ["hear", "look"]
    assert len(asked(FAMILIES, {"inputImage": "AA=="}).prompt.turns[0].images) == 1


@pytest.mark.parametrize(
    "name", ["max_tokens", "max_gen_len", "inferenceConfig", "num_generations"]
)
def test_a_member_that_decides_the_price_may_not_come_twice(name: str) -> None:
    with pytest.raises(MalformedBody, match=name):
        FAMILIES.read_request(f'{{"{name}": 1, "{name}": 2}}'.encode(), b"")


@given(body=st.dictionaries(
    st.sampled_from(["messages", "system", "prompt", "texts", "documents", "query", "tools", "toolConfig",
                     "imageGenerationConfig", "fooParams", "inputImage", "modelInput", "inferenceConfig"]),
    odd_values))  # fmt: skip
@settings(max_examples=150, deadline=None)
def test_a_wrong_type_is_the_providers_to_refuse(body: dict[str, object]) -> None:
    for dialect in (FAMILIES, ASYNC):
        assert asked(dialect, body).choices == 1


# ── answers ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("family", [*BODIES, *SILENT])
def test_headers_meter_every_family(family: str) -> None:
    reading = read(FAMILIES, whole({**BODIES, **SILENT}[family]), HEADED)
    assert counts(reading) == TRUTH
    assert (reading.source, reading.final, reading.complete) == (Source.PROVIDER, True, True)
    assert (reading.flags, reading.observed.text, reading.model) == ((), "Hello", None)


@pytest.mark.parametrize("family", BODIES)
def test_a_bodys_own_numbers_stand_in_for_headers(family: str) -> None:
    reading = read(FAMILIES, whole(BODIES[family]))
    assert (counts(reading), reading.source, reading.final) == (TRUTH, Source.PROVIDER, True)


@pytest.mark.parametrize("family", SILENT)
def test_a_silent_body_without_headers_is_left_to_be_counted(family: str) -> None:
    reading = read(FAMILIES, whole(SILENT[family]))
    assert (reading.source, reading.final, reading.observed.text) == (Source.NONE, False, "Hello")


@pytest.mark.parametrize("family", ["nova", "titan", "llama"])
def test_headers_that_contradict_the_body_win_and_are_flagged(family: str) -> None:
    odd = head(X_Amzn_Bedrock_Input_Token_Count="9", X_Amzn_Bedrock_Output_Token_Count="3")
    reading = read(FAMILIES, whole(BODIES[family]), odd)
    assert (counts(reading)["input_text"], reading.flags) == (9, ("count_mismatch",))


def test_headers_are_enough_where_the_body_is_cut() -> None:
    reading = read(FAMILIES, whole(BODIES["titan"])[:30], HEADED)
    assert (counts(reading), reading.final, reading.complete) == (TRUTH, True, False)


def test_an_inclusive_body_that_balances_is_carved_finer_than_the_headers() -> None:
    usage = {
        "prompt_tokens": 8,
        "completion_tokens": 3,
        "total_tokens": 11,
        "prompt_tokens_details": {"cached_tokens": 6},
        "completion_tokens_details": {"reasoning_tokens": 2},
    }
    body = {"choices": [{"message": {"content": "Hello"}}], "usage": usage}
    reading = read(FAMILIES, whole(body), HEADED)
    assert counts(reading) == {
        "input_text": 2, "cache_read_text": 6, "output_text": 1, "output_reasoning": 2,
    }  # fmt: skip
    assert reading.balances()


def test_an_inclusive_body_that_does_not_balance_gives_way_to_the_headers() -> None:
    usage = {"prompt_tokens": 8, "completion_tokens": 3, "total_tokens": 10}
    body = {"choices": [{"message": {"content": "Hello"}}], "usage": usage}
    assert counts(read(FAMILIES, whole(body), HEADED)) == TRUTH


@pytest.mark.parametrize(
    "body",
    [
        {"inputTextTokenCount": 5.5, "results": []},
        {"inputTextTokenCount": 5, "results": [{"tokenCount": 7}, {"tokenCount": -1}]},
        {"generation": "x", "prompt_token_count": -1, "generation_token_count": 1},
        {"usage": {"inputTokens": "8", "outputTokens": 3}},
    ],
)
def test_impossible_usage_is_flagged_and_left_to_be_counted(body: dict[str, object]) -> None:
    reading = read(FAMILIES, whole(body))
    assert (reading.flags, reading.components, reading.final) == (("usage_invalid",), (), False)


@given(body=st.dictionaries(
    st.sampled_from(["usage", "results", "generation", "metadata", "choices", "images", "output", "contentBlockDelta",
                     "prompt_token_count", "inputTextTokenCount", "amazon-bedrock-trace", "contentBlockStart",
                     "amazon-bedrock-invocationMetrics", "message", "outputs"]),
    odd_values))  # fmt: skip
@settings(max_examples=200, deadline=None)
def test_no_answer_makes_a_meter_raise(body: dict[str, object]) -> None:
    for answer, kind in ((whole(body), head()), (chunk_frames(body, body), head(FRAMES))):
        reading = read(FAMILIES, answer, kind)
        assert all(count >= 0 for part in reading.components for count in part.counts.values())


# ── streams ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("family", [*STREAMS, *SILENT_STREAMS])
def test_metrics_meter_every_stream(family: str) -> None:
    stream = with_metrics({**SILENT_STREAMS, **STREAMS}[family])
    reading = read(FAMILIES, stream, head(FRAMES))
    assert counts(reading) == TRUTH
    assert (reading.source, reading.final, reading.complete) == (Source.PROVIDER, True, True)
    assert (reading.flags, reading.observed.text) == ((), "Hello")


@pytest.mark.parametrize("family", STREAMS)
def test_a_streams_own_numbers_stand_in_for_metrics(family: str) -> None:
    reading = read(FAMILIES, chunk_frames(*STREAMS[family]), head(FRAMES))
    assert (counts(reading), reading.source, reading.final) == (TRUTH, Source.PROVIDER, True)


@pytest.mark.parametrize("family", [*STREAMS, *SILENT_STREAMS])
def test_a_cut_stream_is_never_final(family: str) -> None:
    stream = with_metrics({**SILENT_STREAMS, **STREAMS}[family])
    for end in range(len(stream)):
        reading = read(FAMILIES, stream[:end], head(FRAMES))
        assert not reading.final
        found = counts(reading)
        assert all(found.get(unit, 0) <= count for unit, count in TRUTH.items())
        assert (reading.source is Source.PARTIAL) == bool(found)


def test_metrics_in_a_damaged_frame_are_not_final() -> None:
    *first, last = STREAMS["llama"]
    stream = chunk_frames(*first) + damaged(chunk_frames({**last, **METRICS}))
    reading = read(FAMILIES, stream, head(FRAMES))
    assert (reading.flags, reading.source, reading.final) == (("bad_crc",), Source.PARTIAL, False)


def test_a_blocked_prompt_has_its_numbers_in_the_only_chunk() -> None:
    assessment = {"invocationMetrics": {"usage": {"contentPolicyUnits": 1, "topicPolicyUnits": 1}}}
    blocked = {
        "outputText": "Input blocked",
        "totalOutputTextTokenCount": 3.0,
        "inputTextTokenCount": 6.0,
        "amazon-bedrock-trace": {"guardrail": {"input": {"g": assessment}}},
    }
    reading = read(FAMILIES, chunk_frames(blocked), head(FRAMES))
    assert counts(reading) == {"input_text": 6, "output_text": 3}
    assert counts(reading, "guardrail") == {"content_policy_units": 1, "topic_policy_units": 1}
    assert (reading.final, reading.complete) == (True, True)


def test_tools_and_thoughts_are_observed_whole_or_streamed() -> None:
    used = {"toolUseId": "t", "name": "look", "input": {"at": "it"}}
    thought = {"reasoningContent": {"reasoningText": {"text": "hm"}}}
    content = [thought, {"text": "Hello"}, {"toolUse": used}]
    at_once = read(FAMILIES, whole({"output": {"message": {"content": content}}})).observed
    pieces = ('{"at":', '"it"}')
    stream = chunk_frames(
        {"contentBlockDelta": {"delta": {"reasoningContent": {"text": "hm"}}}},
        {"contentBlockDelta": {"delta": {"text": "Hello"}}},
        {"contentBlockStart": {"contentBlockIndex": 1, "start": {"toolUse": {"name": "look"}}}},
        *({"contentBlockDelta": {"contentBlockIndex": 1, "delta": {"toolUse": {"input": p}}}} for p in pieces),
    )  # fmt: skip
    assert read(FAMILIES, stream, head(FRAMES)).observed == at_once
    assert (at_once.text, at_once.reasoning) == ("Hello", "hm")
    assert [(call.name, call.arguments) for call in at_once.tool_calls] == [("look", '{"at":"it"}')]


# ── by the piece ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("body", "units"),
    [
        (
            {"taskType": "TEXT_IMAGE", "imageGenerationConfig": {"numberOfImages": 3}},
            {"images_out_1024": 3},
        ),
        ({"taskType": "TEXT_IMAGE", "imageGenerationConfig": {}}, {"images_out_1024": 1}),
        ({"prompt": "x", "mode": "text-to-image", "samples": 2}, {"images_out": 2}),
        ({"messages": [], "taskType": "TEXT_IMAGE"}, {}),
        ({"prompt": "x", "aspect_ratio": "1:1"}, {"images_out": 1}),
        ({"image": "aGk=", "prompt": "x"}, {"images_out": 1}),
        ({"init_image": "aGk=", "style_image": "aGk="}, {"images_out": 1}),
        ({"prompt": "x", "negative_prompt": "y"}, {"images_out": 1}),
        ({"query": "q", "documents": ["d"] * 101}, {"search_units": 2}),
        ({"prompt": "x"}, {}),
    ],
)
def test_what_is_billed_by_the_piece_is_asked_by_the_piece(
    body: dict[str, object], units: dict[str, int]
) -> None:
    assert asked(FAMILIES, body).units == units


def test_images_are_counted_in_the_answer() -> None:
    request = asked(FAMILIES, {"imageGenerationConfig": {"numberOfImages": 3}})
    reading = read(FAMILIES, whole({"images": ["aGk=", "aGk="]}), request=request)
    assert (counts(reading), reading.source) == ({"images_out_1024": 2}, Source.SHAPE)


def png(width: int, height: int) -> str:
    """As much of a picture as says its size."""
    sides = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    header = b"\x89PNG\r\n\x1a\n" + b"\x00\x00\x00\rIHDR" + sides + b"\x08\x02\x00\x00\x00"
    return b64encode(header + bytes(40)).decode()


# Every size of Titan's with the one that AWS's guide (model-parameters-titan-image) says it is priced as, and sizes
# that only Nova Canvas makes.
_SMALL = (
    (512, 512), (768, 768), (384, 576), (576, 384), (384, 640), (640, 384), (448, 576), (576, 448), (384, 704),
    (704, 384), (320, 704), (704, 320),
)  # fmt: skip
_MEDIUM = (
    (1024, 1024), (768, 1152), (1152, 768), (768, 1280), (1280, 768), (896, 1152), (1152, 896), (640, 1408), (1408, 640),
    (1152, 640), (1173, 640),
)  # fmt: skip
_LARGE = ((768, 1408), (1408, 768), (1025, 1024), (2048, 2048), (4096, 1024), (1280, 1280))


@pytest.mark.parametrize(
    ("size", "unit"),
    [
        *((size, "images_out_512") for size in _SMALL),
        *((size, "images_out_1024") for size in _MEDIUM),
        *((size, "images_out_2048") for size in _LARGE),
    ],
)
@pytest.mark.parametrize(
    ("quality", "better"),
    [({}, ""), ({"quality": "standard"}, ""), ({"quality": "premium"}, "_premium")],
)
def test_a_picture_is_counted_by_its_size_and_its_quality(
    size: tuple[int, int], unit: str, quality: dict[str, str], better: str
) -> None:
    config = {"width": size[0], "height": size[1], "numberOfImages": 2, **quality}
    request = asked(FAMILIES, {"taskType": "TEXT_IMAGE", "imageGenerationConfig": config})
    assert request.units == {f"{unit}{better}": 2}
    reading = read(FAMILIES, whole({"images": [png(*size)]}), request=request)
    assert (counts(reading), reading.source) == ({f"{unit}{better}": 1}, Source.SHAPE)


def test_the_size_that_was_made_is_billed_whatever_was_asked_at_the_quality_asked() -> None:
    config = {"width": 512, "height": 512, "quality": "premium"}
    request = asked(FAMILIES, {"taskType": "INPAINTING", "imageGenerationConfig": config})
    made = [png(512, 512), png(2048, 2048), "aGk="]  # of the last nothing can be told
    reading = read(FAMILIES, whole({"images": made}), request=request)
    assert counts(reading) == {"images_out_512_premium": 2, "images_out_2048_premium": 1}


@pytest.mark.parametrize(
    ("config", "unit"),
    [
        ({"width": 2048}, "images_out_2048"),  # the other side is 1024 where it is not said
        ({"height": 512}, "images_out_512"),
        ({"width": "wide", "height": 8}, "images_out_2048"),
        ({"width": 0, "height": 8}, "images_out_2048"),
        ({"width": 512, "height": 512, "quality": "PREMIUM"}, "images_out_512_premium"),
        ({"width": 512, "height": 512, "quality": 7}, "images_out_512_premium"),
    ],
)
def test_a_size_or_quality_that_may_be_any_is_held_as_the_dearest(
    config: dict[str, object], unit: str
) -> None:
    body = {"taskType": "TEXT_IMAGE", "imageGenerationConfig": config}
    assert asked(FAMILIES, body).units == {unit: 1}


@pytest.mark.parametrize(
    ("params", "unit"),
    [
        ({"backgroundRemovalParams": {"image": png(600, 600)}}, "images_out_1024"),
        ({"backgroundRemovalParams": {"image": png(1408, 1408)}}, "images_out_2048"),
        ({"virtualTryOnParams": {"sourceImage": png(2000, 1000)}}, "images_out_2048"),
        ({"imageVariationParams": {"images": [png(9, 9), png(1500, 1500)]}}, "images_out_2048"),
        ({"outPaintingParams": {"image": "aGk="}}, "images_out_2048"),
        ({"inPaintingParams": {}}, "images_out_1024"),
    ],
)
def test_a_picture_that_is_edited_may_keep_its_size(params: dict[str, object], unit: str) -> None:
    assert asked(FAMILIES, {"taskType": "BACKGROUND_REMOVAL", **params}).units == {unit: 1}


def test_pictures_too_large_to_look_at_are_billed_as_they_were_asked_for() -> None:
    config = {"numberOfImages": 2, "quality": "premium", "width": 2048, "height": 2048}
    request = asked(FAMILIES, {"taskType": "TEXT_IMAGE", "imageGenerationConfig": config})
    answer = whole({"images": ["A" * DOCUMENT_BYTES_MAX] * 2})
    reading = read(FAMILIES, answer, request=request)
    assert (counts(reading), reading.source) == ({"images_out_2048_premium": 2}, Source.REQUEST)


@pytest.mark.parametrize("name", ["Width", "HEIGHT", "Quality", "numberofimages"])
def test_what_decides_a_pictures_price_is_refused_in_another_case(name: str) -> None:
    with pytest.raises(MalformedBody, match="another case"):
        asked(FAMILIES, {"taskType": "TEXT_IMAGE", "imageGenerationConfig": {name: 9}})


def test_pictures_that_a_bare_prompt_brings_are_billed_by_the_piece() -> None:
    """It reads as text until the answer shows what was made."""
    request = asked(FAMILIES, {"prompt": "a bridge"})
    drawn = {"seeds": [7], "finish_reasons": [None], "images": ["aGk="]}
    reading = read(FAMILIES, whole(drawn), request=request)
    assert (counts(reading), reading.source, reading.final) == (
        {"images_out": 1}, Source.SHAPE, True,
    )  # fmt: skip


def test_pictures_of_the_clients_own_that_an_embedding_describes_are_not() -> None:
    request = asked(FAMILIES, {"images": ["aGk="], "input_type": "image"})
    described = {"embeddings": {"float": [[0.1]]}, "images": [{"width": 9, "height": 9}]}
    answer = head(x_amzn_bedrock_input_token_count="12")
    reading = read(FAMILIES, whole(described), answer, request)
    assert counts(reading) == {"input_text": 12}


def test_searches_are_known_from_the_request() -> None:
    request = asked(FAMILIES, {"query": "q", "documents": ["d"] * 101})
    reading = read(FAMILIES, whole({"results": [{"index": 0}]}), request=request)
    assert (counts(reading), reading.source, reading.final) == (
        {"search_units": 2}, Source.REQUEST, True,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("wanted", "seconds"),
    [
        ({"videoGenerationConfig": {"durationSeconds": 12}}, 12),
        ({"videoGenerationConfig": {}}, 6),
        ({"duration": "9s"}, 9),
        ({"multiShotManualParams": {"shots": [{}, {}, {}]}, "videoGenerationConfig": {}}, 18),
    ],
)
def test_a_video_is_priced_from_what_was_asked_and_settled_later(
    wanted: dict[str, object], seconds: int
) -> None:
    request = asked(ASYNC, {"modelId": "some.video-v1:0", "modelInput": wanted})
    assert request.model == "some.video-v1:0"
    reading = read(ASYNC, b'{"invocationArn":"arn:x"}', request=request)
    assert counts(reading) == {"video_seconds": seconds}
    assert (reading.source, reading.final) == (Source.REQUEST, False)


def test_work_of_unknown_length_is_not_priced() -> None:
    request = asked(ASYNC, {"modelId": "m", "modelInput": {"inputText": "x"}})
    reading = read(ASYNC, b"{}", request=request)
    assert (reading.components, reading.source, reading.final) == ((), Source.NONE, False)
