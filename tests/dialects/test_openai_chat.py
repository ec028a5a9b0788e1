"""Chat and text completions: what is asked, the opt-in and its taking back, and what the answer says."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from gateway.dialects.contract import Request
from gateway.dialects.openai_chat import CHAT, COMPLETIONS, MISTRAL
from gateway.kernel.errors import MalformedBody
from gateway.metering.meter import Reading
from gateway.metering.prompt import Function, Image, Schema, ToolCall, Turn
from gateway.metering.usage import Source
from tests.dialects.answers import SSE, asked, counts, head, odd_values, read, whole

HELLO: dict[str, Any] = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hello"}]}
STREAM = {**HELLO, "stream": True}
USAGE = {"prompt_tokens": 19, "completion_tokens": 10, "total_tokens": 29}


def chunk(*choices: dict[str, Any], **members: Any) -> bytes:
    document = {
        "object": "chat.completion.chunk",
        "model": "m",
        "choices": list(choices),
        **members,
    }
    return b"data: %b\n\n" % whole(document)


def delta(text: str, index: int = 0, finish: str | None = None) -> dict[str, Any]:
    return {"index": index, "delta": {"content": text}, "finish_reason": finish}


def streamed(*events: bytes) -> Reading:
    return read(CHAT, b"".join(events), head(SSE), asked(CHAT, STREAM))


def answered(**members: Any) -> Reading:
    return read(CHAT, whole({"model": "m", "choices": [], **members}))


# ── the request ──────────────────────────────────────────────────────────────────────────────────


def test_a_null_model_is_the_path_s_to_name() -> None:
    assert asked(CHAT, {**HELLO, "model": None}).model is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"model": 1},
        {"stream": "true"},
        {"stream": 1},
        {"messages": "Hello"},
        {"messages": None},
        {"messages": ["Hello"]},
        {"stream": True, "stream_options": "include_usage"},
    ],
)
def test_what_two_servers_could_read_differently_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(MalformedBody):
        asked(CHAT, {**HELLO, **wrong})


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b'{"model":"a","model":"b","messages":[]}',
        b'{"model":"a","mod\\u0065l":"b","messages":[]}',
        b'{"messages":[],"stream":true,"stream":false}',
        b'{"messages":[],"stream":true,"stream_options":{"include_usage":true,"include_usage":false}}',
        b'{"messages":[],"Model":"b"}',
        b'\xef\xbb\xbf{"messages":[]}',
        b'{"messages":[],"n":NaN}',
    ],
)
def test_an_ambiguous_body_is_refused(body: bytes) -> None:
    with pytest.raises(MalformedBody):
        CHAT.read_request(body, b"application/json")


def test_what_the_request_asks_for_is_read() -> None:
    request = asked(
        CHAT, {**HELLO, "n": 3, "max_tokens": 5, "max_completion_tokens": 7, "service_tier": "flex"}
    )
    assert (request.choices, request.output_ceiling, request.tier) == (3, 7, "flex")


def test_turns_tools_images_and_schema_are_countable() -> None:
    png = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJ"
    request = asked(
        CHAT,
        {
            "messages": [
                {
                    "role": "system",
                    "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}],
                },
                {
                    "role": "user",
                    "name": "x",
                    "content": [
                        {"type": "image_url", "image_url": {"url": png, "detail": "low"}},
                        {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}},
                        {"type": "input_audio", "input_audio": {"data": "", "format": "wav"}},
                    ],
                },
                {
                    "role": "assistant",
                    "content": None,
                    "tool_calls": [{"id": "1", "function": {"name": "f", "arguments": '{"a":1}'}}],
                    "function_call": {"name": "g", "arguments": "{}"},
                },
            ],
            "tools": [
                {
                    "type": "function",
                    "function": {"name": "f", "description": "d", "parameters": {"type": "object"}},
                },
                {"type": "web_search"},
            ],
            "functions": [{"name": "g"}],
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "s", "schema": {"type": "object"}},
            },
        },
    )
    prompt = request.prompt
    assert prompt.turns == (
        Turn("system", "ab"),
        Turn("user", name="x", images=(Image("low", 1, 1), Image()), opaque=1),
        Turn("assistant", tool_calls=(ToolCall("f", '{"a":1}'),), legacy_call=ToolCall("g", "{}")),
    )
    assert prompt.functions == (Function("f", "d", {"type": "object"}), Function("g"))
    assert prompt.schema == Schema("s", None, {"type": "object"})


@pytest.mark.parametrize(
    ("prompt", "texts", "token_ids", "choices"),
    [
        ("a", ("a",), 0, 2),
        (["a", "b"], ("a", "b"), 0, 4),
        ([1, 2, 3], (), 3, 2),
        ([[1, 2], [3]], (), 3, 4),
        (None, (), 0, 2),
    ],
)
def test_a_text_completion_answers_every_prompt(
    prompt: object, texts: tuple[str, ...], token_ids: int, choices: int
) -> None:
    request = asked(COMPLETIONS, {"prompt": prompt, "n": 2})
    assert tuple(turn.text for turn in request.prompt.turns) == texts
    assert (request.prompt.token_ids, request.choices) == (token_ids, choices)


def test_the_best_of_many_pays_for_many() -> None:
    assert asked(COMPLETIONS, {"prompt": "a", "n": 1, "best_of": 5}).choices == 5


@settings(max_examples=100)
@given(
    st.dictionaries(
        st.sampled_from([*HELLO, "tools", "n", "stream", "prompt", "response_format"]), odd_values
    )
)
def test_no_request_makes_the_reader_fail_otherwise_than_by_refusal(
    body: dict[str, object],
) -> None:
    for dialect in (CHAT, COMPLETIONS, MISTRAL):
        with suppress(MalformedBody):
            assert asked(dialect, body).choices >= 1


# ── the answer ───────────────────────────────────────────────────────────────────────────────────


def test_the_last_usage_that_is_not_null_counts() -> None:
    first = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
    reading = streamed(
        chunk(delta("a"), usage=first), chunk(usage=USAGE), chunk(usage=None), b"data: [DONE]\n\n"
    )
    assert counts(reading) == {"input_text": 19, "output_text": 10}
    assert (reading.source, reading.final, reading.complete) == (Source.PROVIDER, True, True)
    assert json.loads(reading.usage_raw or b"") == USAGE


def test_running_usage_of_a_cut_stream_is_partial() -> None:
    reading = streamed(chunk(delta("a"), usage=USAGE), chunk(delta("b")))
    assert (reading.source, reading.final, reading.complete) == (Source.PARTIAL, False, False)
    assert counts(reading) == {"input_text": 19, "output_text": 10}


def test_a_stated_zero_is_known_and_absence_is_not() -> None:
    zero = answered(usage={"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0})
    assert (zero.source, zero.final, counts(zero)) == (Source.PROVIDER, True, {})
    for silent in (answered(), answered(usage=None), answered(usage={})):
        assert (silent.source, silent.final, silent.components) == (Source.NONE, False, ())


@pytest.mark.parametrize(
    "wrong",
    [
        {"prompt_tokens": -1},
        {"prompt_tokens": 1.5},
        {"prompt_tokens": "19"},
        {"prompt_tokens": True},
        {"prompt_tokens": 2**63},
        {"prompt_tokens": 2**70},
        {"completion_tokens": []},
        {"total_tokens": -3},
        {"prompt_tokens_details": {"cached_tokens": 20}},
        {"prompt_tokens_details": {"cached_tokens": 10, "cache_write_tokens": 10}},
        {"prompt_tokens_details": {"audio_tokens": 20}},
        {"prompt_tokens_details": [1]},
        {"completion_tokens_details": {"audio_tokens": 11}},
    ],
)
def test_impossible_usage_is_flagged_and_never_booked(wrong: dict[str, Any]) -> None:
    reading = answered(usage={**USAGE, **wrong})
    assert reading.flags == ("usage_invalid",)
    assert (reading.components, reading.source, reading.final) == ((), Source.NONE, False)


@pytest.mark.parametrize("usage", [[], "a", 29, True])
def test_usage_that_is_no_object_is_flagged(usage: object) -> None:
    assert answered(usage=usage).flags == ("usage_invalid",)


def test_a_total_that_does_not_add_up_does_not_balance() -> None:
    reading = answered(usage={**USAGE, "total_tokens": 40, "completion_tokens_details": {}})
    assert not reading.balances()
    assert counts(reading) == {"input_text": 19, "output_text": 10}


def test_the_served_tier_is_the_answer_s() -> None:
    assert streamed(chunk(service_tier="auto"), chunk(service_tier="priority")).tier == "priority"
    nested = {**USAGE, "extra_properties": {"vendor": {"traffic_type": "PROVISIONED_THROUGHPUT"}}}
    assert answered(usage=nested).tier == "PROVISIONED_THROUGHPUT"


def test_an_error_inside_a_200_is_flagged() -> None:
    reading = streamed(chunk(delta("a")), b'data: {"error":{"message":"no"}}\n\n')
    assert reading.flags == ("error_event",)
    assert (reading.source, reading.final, reading.observed.text) == (Source.NONE, False, "a")


def test_what_was_written_is_observed_per_choice() -> None:
    call = {
        "index": 0,
        "delta": {"tool_calls": [{"index": 0, "function": {"name": "f", "arguments": "{"}}]},
    }
    more = {"index": 0, "delta": {"tool_calls": [{"index": 0, "function": {"arguments": "}"}}]}}
    thought = {"index": 0, "delta": {"reasoning_content": "hm"}}
    refused = {"index": 1, "delta": {"refusal": "no"}}
    seen = streamed(
        chunk(delta("a"), delta("x", 1)),
        chunk(delta("b")),
        chunk(call),
        chunk(more, thought),
        chunk(refused),
    ).observed
    assert (seen.text, seen.reasoning, seen.choices) == ("abxno", "hm", 2)
    assert seen.tool_calls == (ToolCall("f", "{}"),)


def test_a_whole_answer_is_observed_too() -> None:
    message = {
        "content": [
            {"type": "thinking", "thinking": [{"text": "hm"}]},
            {"type": "text", "text": "a"},
        ],
        "tool_calls": [{"custom": {"name": "c", "input": "i"}}],
        "function_call": {"name": "g", "arguments": "{}"},
    }
    seen = answered(choices=[{"message": message}, {"index": 1, "text": "b"}]).observed
    assert (seen.text, seen.reasoning) == ("ab", "hm")
    assert seen.tool_calls == (ToolCall("c", "i"), ToolCall("g", "{}"))


def test_many_choices_share_a_bounded_memory() -> None:
    choices = [delta("a", index) for index in range(2000)]
    seen = streamed(chunk(*choices)).observed
    assert seen.text == "a" * 2000
    assert seen.choices <= 1024


def test_text_completions_are_observed() -> None:
    stream = b'data: {"choices":[{"text":"a","index":0}]}\n\ndata: {"choices":[{"text":"b","index":0}]}\n\n'
    assert read(COMPLETIONS, stream, head(SSE)).observed.text == "ab"


def test_an_event_that_is_no_json_makes_blind_but_not_deaf() -> None:
    reading = streamed(b"data: {oops\n\n", chunk(usage=USAGE), b"data: [DONE]\n\n")
    assert reading.flags == ("blind",)
    assert counts(reading) == {"input_text": 19, "output_text": 10}


def test_usage_behind_a_huge_event_is_found() -> None:
    event = chunk(delta("x" * 34_000_000), usage=USAGE)
    reading = read(CHAT, [event[at : at + 65536] for at in range(0, len(event), 65536)], head(SSE))
    assert counts(reading) == {"input_text": 19, "output_text": 10}
    assert "body_clipped" in reading.flags


@settings(max_examples=150)
@given(
    document=st.dictionaries(
        st.sampled_from(["choices", "usage", "model", "service_tier", "error"]),
        odd_values
        | st.lists(
            st.dictionaries(
                st.sampled_from(["index", "delta", "message", "text", "finish_reason"]), odd_values
            )
        ),
    ),
    usage=st.dictionaries(
        st.sampled_from(
            ["prompt_tokens", "completion_tokens", "total_tokens", "prompt_tokens_details"]
        ),
        odd_values,
    ),
)
def test_no_answer_makes_the_meter_fail(document: dict[str, Any], usage: dict[str, Any]) -> None:
    for body in (document, {**document, "usage": usage}):
        for reading in (read(CHAT, whole(body)), streamed(b"data: %b\n\n" % whole(body))):
            assert all(count >= 0 for part in reading.components for count in part.counts.values())
            assert reading.final == (reading.source is Source.PROVIDER)


def test_the_request_decides_nothing_about_reading() -> None:
    body = whole({"model": "m", "choices": [], "usage": USAGE})
    assert read(CHAT, body, head(), Request()) == read(CHAT, body, head(), asked(CHAT, STREAM))


def test_the_sound_of_an_answer_is_kept_and_continued_where_it_is() -> None:
    said = {"index": 0, "message": {"role": "assistant", "audio": {"id": "audio_1", "data": ""}}}
    assert answered(choices=[said]).made == ("audio_1",)
    part = {"index": 0, "delta": {"audio": {"id": "audio_2", "transcript": "a"}}}
    assert streamed(chunk(part), chunk(part)).made == ("audio_2",)
    again = {"role": "assistant", "audio": {"id": "audio_1"}}
    request = asked(CHAT, {**HELLO, "messages": [again]})
    assert (request.is_tied, request.prompt.turns[0].opaque) == (True, 1)
    assert not asked(CHAT, HELLO).is_tied


@pytest.mark.parametrize(
    "searching", [{"web_search_options": {}}, {"tools": [{"google_search": {}}]}]
)
def test_what_a_provider_may_have_searched_and_no_answer_says_is_flagged(
    searching: dict[str, Any],
) -> None:
    body = whole({"model": "m", "choices": [], "usage": USAGE})
    flags = read(CHAT, body, head(), asked(CHAT, {**HELLO, **searching})).flags
    assert flags == ("tool_usage_unsaid",)
    own = {"tools": [{"type": "function", "function": {"name": "f"}}]}
    assert read(CHAT, body, head(), asked(CHAT, {**HELLO, **own})).flags == ()
    tools = {"tools": [{"type": "web_search"}]}
    assert asked(MISTRAL, {**HELLO, **tools}).hosted == 1
