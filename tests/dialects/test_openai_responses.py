"""The Responses API: items of the request, the terminal event, what hosted tools add."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from gateway.dialects.openai_responses import MADE_MAX, RESPONSES
from gateway.kernel.errors import MalformedBody, OperationRefused
from gateway.metering.meter import Reading
from gateway.metering.prompt import Function, Image, Schema, ToolCall, Turn
from gateway.metering.usage import Source
from gateway.wire.documents import DOCUMENT_BYTES_MAX
from tests.dialects.answers import SSE, asked, counts, events, head, odd_values, read, whole

USAGE = {"input_tokens": 900, "output_tokens": 120, "total_tokens": 1020}
DRAWN = {
    "input_tokens": 50,
    "input_tokens_details": {"text_tokens": 50, "image_tokens": 0},
    "output_tokens": 4160,
    "output_tokens_details": {"image_tokens": 4160, "text_tokens": 0},
    "total_tokens": 4210,
}
BODY = {"model": "m", "object": "response", "status": "completed", "service_tier": "default"}


def answered(**members: Any) -> Reading:
    return read(RESPONSES, whole({**BODY, **members}))


def streamed(*documents: dict[str, Any]) -> Reading:
    return read(RESPONSES, events(*documents), head(SSE))


def terminal(kind: str = "response.completed", **members: Any) -> dict[str, Any]:
    return {"type": kind, "response": {**BODY, **members}}


# ── the request ──────────────────────────────────────────────────────────────────────────────────


def test_text_input_and_instructions_are_turns() -> None:
    request = asked(
        RESPONSES,
        {
            "model": "m",
            "input": "hi",
            "instructions": "be kind",
            "max_output_tokens": 9,
            "stream": True,
            "service_tier": "flex",
        },
    )
    assert request.prompt.turns == (Turn("system", "be kind"), Turn("user", "hi"))
    assert (request.model, request.stream, request.output_ceiling) == ("m", True, 9)
    assert (request.tier, request.opted_body) == ("flex", None)


def test_every_kind_of_item_is_a_turn_or_opaque() -> None:
    items = [
        {"role": "user", "content": "a"},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "b"}]},
        {
            "role": "user",
            "content": [
                {"type": "input_image", "image_url": "https://example.org/a.png", "detail": "high"},
                {"type": "input_file", "file_id": "f"},
            ],
        },
        {"type": "function_call", "name": "f", "arguments": "{}", "call_id": "1"},
        {"type": "function_call_output", "call_id": "1", "output": "sunny"},
        {"type": "custom_tool_call", "name": "c", "input": "x"},
        {"type": "custom_tool_call_output", "output": [{"type": "input_text", "text": "y"}]},
        {"type": "reasoning", "encrypted_content": "…", "summary": []},
        {"type": "item_reference", "id": "i"},
        {"id": "j"},
    ]
    assert asked(RESPONSES, {"input": items}).prompt.turns == (
        Turn("user", "a"),
        Turn("user", "b"),
        Turn("user", images=(Image("high"),), opaque=1),
        Turn("assistant", tool_calls=(ToolCall("f", "{}"),)),
        Turn("tool", "sunny"),
        Turn("assistant", tool_calls=(ToolCall("c", "x"),)),
        Turn("tool", "y"),
        Turn("user", opaque=1),
        Turn("user", opaque=1),
    )


def test_tools_and_schema_are_read_in_their_flat_form() -> None:
    prompt = asked(
        RESPONSES,
        {
            "input": "a",
            "tools": [
                {"type": "function", "name": "f", "description": "d", "parameters": {}},
                {"type": "web_search"},
            ],
            "text": {"format": {"type": "json_schema", "name": "s", "schema": {"type": "object"}}},
        },
    ).prompt
    assert prompt.functions == (Function("f", "d", {}),)
    assert prompt.schema == Schema("s", None, {"type": "object"})
    assert prompt.turns[0].opaque == 1


@pytest.mark.parametrize("name", ["previous_response_id", "conversation", "prompt"])
def test_context_kept_by_the_provider_is_opaque(name: str) -> None:
    assert asked(RESPONSES, {name: "x"}).prompt.turns == (Turn("user", opaque=1),)


@pytest.mark.parametrize(
    "wrong", [{"model": 1}, {"stream": "true"}, {"input": {"role": "user"}}, {"input": 1}]
)
def test_what_cannot_be_read_one_way_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(MalformedBody):
        asked(RESPONSES, {"input": "a", **wrong})


@settings(max_examples=100)
@given(
    st.dictionaries(
        st.sampled_from(["input", "instructions", "tools", "text", "stream", "prompt"]),
        odd_values
        | st.lists(st.dictionaries(st.sampled_from(["type", "role", "content"]), odd_values)),
    )
)
def test_no_request_makes_the_reader_fail_otherwise_than_by_refusal(body: dict[str, Any]) -> None:
    with suppress(MalformedBody):
        assert asked(RESPONSES, body).prompt.shape == "responses"


# ── the answer ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kind", ["response.completed", "response.incomplete"])
def test_a_terminal_event_states_the_usage(kind: str) -> None:
    reading = streamed(
        {"type": "response.created", "response": {**BODY, "usage": None, "service_tier": "auto"}},
        terminal(kind, usage=USAGE),
    )
    assert counts(reading) == {"input_text": 900, "output_text": 120}
    assert (reading.model, reading.tier, reading.complete) == ("m", "default", True)


def test_a_cut_stream_has_what_was_written_and_no_usage() -> None:
    reading = streamed(
        {"type": "response.created", "response": {**BODY, "usage": None}},
        {"type": "response.reasoning_summary_text.delta", "output_index": 0, "delta": "hm"},
        {"type": "response.output_text.delta", "output_index": 1, "delta": "a"},
        {
            "type": "response.output_item.added",
            "output_index": 2,
            "item": {"type": "function_call", "name": "f"},
        },
        {"type": "response.function_call_arguments.delta", "output_index": 2, "delta": "{}"},
    )
    assert (reading.source, reading.final, reading.complete) == (Source.NONE, False, False)
    assert (reading.observed.text, reading.observed.reasoning) == ("a", "hm")
    assert reading.observed.tool_calls == (ToolCall("f", "{}"),)


OUTPUT = [
    {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}]},
    {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "a"}]},
    {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "said"}]},
    {"type": "function_call", "name": "f", "arguments": "{}"},
]


def test_a_whole_answer_is_observed_and_a_stream_only_once() -> None:
    seen = answered(usage=USAGE, output=OUTPUT).observed
    assert (seen.text, seen.reasoning, seen.tool_calls) == ("a", "hm", (ToolCall("f", "{}"),))
    delta = {"type": "response.output_text.delta", "output_index": 1, "delta": "a"}
    assert streamed(delta, terminal(usage=USAGE, output=OUTPUT)).observed.text == "a"


@pytest.mark.parametrize(
    "last",
    [
        {"type": "error", "message": "no"},
        terminal("response.failed", status="failed", usage=None, error={"code": "server_error"}),
    ],
    ids=["error", "failed"],
)
def test_a_failed_stream_is_flagged(last: dict[str, Any]) -> None:
    reading = streamed(last)
    assert reading.flags == ("error_event",)
    assert (reading.source, reading.final) == (Source.NONE, False)


def test_a_background_request_is_refused_because_its_usage_would_pass_unweighed() -> None:
    with pytest.raises(OperationRefused, match="background"):
        RESPONSES.read_request(b'{"model":"m","input":"hi","background":true}', b"application/json")


def test_a_background_response_is_not_finished() -> None:
    reading = answered(status="queued", background=True, usage=None)
    assert (reading.source, reading.final, reading.flags) == (Source.NONE, False, ("unfinished",))


def test_hosted_tools_stand_beside_the_usage() -> None:
    tools = {"image_gen": {**DRAWN, "model": "image-model"}, "web_search": {"num_requests": 2}}
    reading = answered(usage=USAGE, tool_usage=tools)
    assert counts(reading) == {"input_text": 900, "output_text": 120, "web_search_requests": 2}
    assert counts(reading, "tool_image_gen") == {"input_text": 50, "output_image": 4160}
    assert [part.model for part in reading.components] == [None, "image-model"]
    assert (reading.stated_total, reading.uncovered) == (1020, 4210)
    assert reading.balances()
    assert json.loads(reading.usage_raw or b"") == {"usage": USAGE, "tool_usage": tools}


def test_unused_tools_add_nothing() -> None:
    nothing = {"image_gen": dict.fromkeys(("input_tokens", "output_tokens", "total_tokens"), 0)}
    reading = answered(usage=USAGE, tool_usage={**nothing, "web_search": {"num_requests": 0}})
    assert len(reading.components) == 1
    assert (reading.uncovered, reading.flags) == (0, ())


def test_a_tool_nobody_reads_yet_is_flagged() -> None:
    reading = answered(usage=USAGE, tool_usage={"teleport": {"num_requests": 1}})
    assert reading.flags == ("tool_usage_unread",)
    assert counts(reading) == {"input_text": 900, "output_text": 120}


def test_impossible_tool_usage_leaves_the_rest_as_a_part() -> None:
    reading = answered(usage=USAGE, tool_usage={"web_search": {"num_requests": -1}})
    assert reading.flags == ("usage_invalid",)
    assert (reading.source, reading.final) == (Source.PARTIAL, False)
    assert counts(reading) == {"input_text": 900, "output_text": 120}


def test_tools_without_usage_are_a_part() -> None:
    reading = answered(usage=None, tool_usage={"web_search": {"num_requests": 2}})
    assert (reading.source, reading.final) == (Source.PARTIAL, False)
    assert counts(reading) == {"web_search_requests": 2}


def test_a_compaction_is_metered() -> None:
    body = {"object": "response.compaction", "output": [{"type": "compaction"}], "usage": USAGE}
    assert counts(read(RESPONSES, whole(body))) == {"input_text": 900, "output_text": 120}


def test_usage_behind_a_huge_result_is_found() -> None:
    picture = {"type": "image_generation_call", "result": "A" * 34_000_000}
    tools = {"image_gen": DRAWN}
    stream = events(terminal(output=[picture], usage=USAGE, tool_usage=tools))
    reading = read(
        RESPONSES, [stream[at : at + 65536] for at in range(0, len(stream), 65536)], head(SSE)
    )
    assert counts(reading) == {"input_text": 900, "output_text": 120}
    assert counts(reading, "tool_image_gen") == {"input_text": 50, "output_image": 4160}
    assert (reading.complete, reading.flags) == (True, ("body_clipped",))


@settings(max_examples=150)
@given(
    members=st.dictionaries(
        st.sampled_from(["usage", "tool_usage", "output", "model", "status", "error", "type"]),
        odd_values,
    ),
    kind=st.sampled_from(
        ["response.completed", "response.output_text.delta", "response.output_item.added"]
    ),
    tools=st.dictionaries(st.sampled_from(["image_gen", "web_search"]), odd_values),
)
def test_no_answer_makes_the_meter_fail(
    members: dict[str, Any], kind: str, tools: dict[str, Any]
) -> None:
    response = {**members, "tool_usage": tools, "usage": USAGE}
    for body in (whole(members), whole(response)):
        assert read(RESPONSES, body).components is not None
    for event in ({"type": kind, "response": members}, {**response, "type": kind, "item": members}):
        assert streamed(event).components is not None


# ── hosted tools that bill by themselves ─────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "kind",
    ["web_search_call", "code_interpreter_call", "image_generation_call"],
)
def test_a_hosted_tool_that_no_usage_speaks_of_is_flagged(kind: str) -> None:
    output = [{"type": kind, "status": "completed"}]
    for reading in (
        answered(usage=USAGE, output=output),
        streamed(terminal(usage=USAGE, output=output)),
    ):
        assert "tool_usage_unsaid" in reading.flags
        assert counts(reading) == {"input_text": 900, "output_text": 120}


def test_a_hosted_tool_whose_usage_is_said_is_not_flagged() -> None:
    said = {"web_search": {"num_requests": 2}, "image_gen": DRAWN}
    output = [{"type": "web_search_call"}, {"type": "image_generation_call"}, {"type": "message"}]
    assert answered(usage=USAGE, tool_usage=said, output=output).flags == ()


@pytest.mark.parametrize("background", [True, 1, "true", [0], {}, "", 0])
def test_no_spelling_of_background_passes(background: object) -> None:
    asking = {"model": "m", "input": "hi", "background": background}
    if background in (0, False):
        assert asked(RESPONSES, asking).model == "m"
        return
    with pytest.raises(OperationRefused):
        asked(RESPONSES, asking)


SEARCH = {"type": "file_search_call", "status": "completed"}


def ran(container: str | None) -> dict[str, Any]:
    return {"type": "code_interpreter_call", "status": "completed", "container_id": container}


def used(reading: Reading) -> dict[str, int]:
    return counts(reading, "hosted_tool")


def done(item: dict[str, Any]) -> dict[str, Any]:
    return {"type": "response.output_item.done", "output_index": 0, "item": item}


def test_file_searches_are_counted_by_the_call_and_code_by_the_container() -> None:
    output = [SEARCH, ran("cntr_1"), SEARCH, ran("cntr_1"), ran("cntr_2"), SEARCH]
    both = {"file_search_calls": 3, "code_interpreter_sessions": 2}
    whole_, of_stream = (
        answered(usage=USAGE, output=output),
        streamed(*map(done, output), terminal(usage=USAGE, output=output)),
    )
    for reading in (whole_, of_stream):
        assert used(reading) == both
        assert counts(reading) == {"input_text": 900, "output_text": 120}
        assert (reading.flags, reading.final, reading.balances()) == ((), True, True)


@given(
    items=st.lists(
        st.one_of(st.just(SEARCH), st.sampled_from("abc").map(ran), st.just({"type": "message"})),
        max_size=12,
    ),
    seen=st.integers(0, 12),
)
def test_a_cut_stream_bills_the_uses_that_passed_and_never_more_than_the_whole(
    items: list[dict[str, Any]], seen: int
) -> None:
    cut = used(streamed(*map(done, items[:seen])))
    whole_ = used(streamed(*map(done, items), terminal(usage=USAGE, output=items)))
    assert whole_ == used(answered(usage=USAGE, output=items))
    assert all(count <= whole_[unit] for unit, count in cut.items())
    assert cut.get("file_search_calls", 0) == items[:seen].count(SEARCH)


def test_a_terminal_event_without_items_leaves_what_the_stream_said() -> None:
    reading = streamed(done(SEARCH), done(ran("cntr_1")), terminal(usage=USAGE, output=[]))
    assert used(reading) == {"file_search_calls": 1, "code_interpreter_sessions": 1}


def test_code_that_ran_in_no_named_container_is_flagged_and_not_counted() -> None:
    reading = answered(usage=USAGE, output=[ran(None), {"type": "code_interpreter_call"}])
    assert (used(reading), reading.flags) == ({}, ("tool_usage_unsaid",))


@pytest.mark.parametrize(
    "request_",
    [
        {"tools": [{"type": "code_interpreter", "container": "cntr_1"}]},
        {"previous_response_id": "resp_1"},
        {"input": [{"type": "code_interpreter_call", "id": "ci", "container_id": "cntr_1"}]},
    ],
)
def test_a_session_that_may_have_been_booked_by_an_earlier_row_is_flagged(
    request_: dict[str, Any],
) -> None:
    request = asked(RESPONSES, request_)
    meter = RESPONSES.meter(request, head())
    meter.feed(whole({**BODY, "usage": USAGE, "output": [ran("cntr_1")]}))
    reading = meter.read()
    assert request.is_tied
    assert (used(reading), reading.flags) == (
        {"code_interpreter_sessions": 1},
        ("session_continued",),
    )


def test_an_answer_too_large_to_look_at_says_that_its_tools_are_not_counted() -> None:
    request = asked(RESPONSES, {"tools": [{"type": "file_search"}]})
    filler = {**SEARCH, "results": [{"text": "x" * DOCUMENT_BYTES_MAX}]}
    meter = RESPONSES.meter(request, head())
    meter.feed(whole({**BODY, "output": [filler], "usage": USAGE}))
    assert meter.read().flags == ("tool_usage_unsaid", "body_clipped")


def test_hosted_tools_are_held_as_often_as_they_may_be_used() -> None:
    tools = [{"type": "file_search"}, {"type": "code_interpreter", "container": {"type": "auto"}}]
    units = ("file_search_calls", "code_interpreter_sessions")
    assert asked(RESPONSES, {"tools": tools}).tool_units == dict.fromkeys(units, 10)
    limited = asked(RESPONSES, {"tools": tools, "max_tool_calls": 3})
    assert limited.tool_units == dict.fromkeys(units, 3)


def test_what_was_made_is_the_stored_answer_its_items_and_what_code_wrote() -> None:
    cited = {"type": "container_file_citation", "container_id": "cntr_1", "file_id": "cfile_1"}
    mine = {"type": "file_citation", "file_id": "file-mine"}
    items = [
        {"type": "code_interpreter_call", "id": "ci_1", "container_id": "cntr_1"},
        {
            "type": "message",
            "id": "msg_1",
            "content": [{"text": "x", "annotations": [cited, mine]}],
        },
    ]
    body = whole({"id": "resp_1", "object": "response", "status": "completed", "output": items})

    def made(request: dict[str, Any]) -> tuple[str, ...]:
        meter = RESPONSES.meter(asked(RESPONSES, request), head())
        meter.feed(body)
        return meter.read().made

    assert made({"store": False}) == ("cntr_1", "cfile_1")
    assert made({}) == ("resp_1", "ci_1", "cntr_1", "msg_1", "cfile_1")


def test_of_many_items_each_is_made_up_to_a_bound() -> None:
    for count in (1_000, MADE_MAX + 10):
        items = [{"type": "web_search_call", "id": f"ws_{number}"} for number in range(count)]
        meter = RESPONSES.meter(asked(RESPONSES, {}), head())
        meter.feed(whole({"id": "resp_1", "status": "completed", "output": items}))
        made = meter.read().made
        assert made[:2] == ("resp_1", "ws_0")
        assert len(set(made)) == len(made) == min(count + 1, MADE_MAX)


def test_an_item_of_a_stream_that_is_cut_is_made() -> None:
    item = {"type": "web_search_call", "id": "ws_1", "status": "completed"}
    meter = RESPONSES.meter(asked(RESPONSES, {"stream": True}), head(SSE))
    meter.feed(
        events(
            {"type": "response.created", "response": {"id": "resp_1", "status": "in_progress"}},
            {"type": "response.output_item.done", "output_index": 0, "item": item},
        )
    )
    assert meter.read().made == ("resp_1", "ws_1")
