"""Answers made of choices: which usage counts, what is final, and what each choice was seen to write."""

import json
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from gateway.metering.choices import CHOICES_MAX, TRANSCRIPTS_MAX, ChoicesReader
from gateway.metering.meter import Reading
from gateway.metering.prompt import Observed, ToolCall
from gateway.metering.usage import Component, Source
from gateway.wire.documents import Document, Seen

USAGE = {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12}
COUNTS = {"input_text": 5, "output_text": 7}
STREAM, BODY = Seen(), Seen(whole=True)


def taken(reader: ChoicesReader, *values: dict[str, Any]) -> ChoicesReader:
    for value in values:
        reader.take(Document(value))
    return reader


def read(*values: dict[str, Any], seen: Seen = STREAM, **how: Any) -> Reading:
    return taken(ChoicesReader(**how), *values).reading(seen)


def chunk(finish: str | None = None, index: int | None = 0, **delta: Any) -> dict[str, Any]:
    choice = {"delta": delta, "finish_reason": finish}
    return {"choices": [choice if index is None else {"index": index, **choice}]}


def said(**message: Any) -> Observed:
    return read({"choices": [{"message": message}]}, seen=BODY).observed


# -- usage ----------------------------------------------------------------------------------------


def test_the_last_usage_that_is_not_null_counts_wherever_it_stands() -> None:
    first = {"prompt_tokens": 5, "completion_tokens": 1, "total_tokens": 6}
    null: dict[str, Any] = {"choices": [], "usage": None}
    for values in (
        ({"choices": [], "usage": first}, {"choices": [], "usage": USAGE}),
        ({"choices": [], "usage": first}, {"choices": [], "usage": USAGE}, null),
        (null, {"choices": [], "usage": USAGE}),
        ({"usage": USAGE}, null, chunk(content="late")),
    ):
        found = read(*values)
        assert found.components == (Component("main", COUNTS),)
        assert (found.stated_total, found.flags) == (12, ())
        assert json.loads(found.usage_raw or b"") == USAGE


def test_without_usage_nothing_is_known_and_a_count_of_ours_is_asked_for() -> None:
    found = read(chunk("stop", content="Hi"))
    assert (found.components, found.source, found.final) == ((), Source.NONE, False)


def test_a_usage_beside_unfinished_choices_is_a_running_count_and_final_once_they_end() -> None:
    running = {**chunk(content="Hi"), "usage": USAGE}
    assert (read(running).final, read(running).source) == (False, Source.PARTIAL)
    assert read(running, chunk("stop")).final
    assert read(running, seen=BODY).final
    for alone in ({"usage": USAGE}, {"choices": [], "usage": USAGE}):
        assert read(chunk(content="Hi"), alone).final, "it stands behind them: nobody repeats it"
        assert read(running, alone).final


def test_a_count_that_falls_is_told_and_stays_told() -> None:
    less = {**USAGE, "completion_tokens": 6, "total_tokens": 11}
    assert read({"usage": USAGE}, {"usage": less}).flags == ("count_mismatch",)
    assert read({"usage": USAGE}, {"usage": less}, {"usage": USAGE}).flags == ("count_mismatch",)
    assert read({"usage": less}, {"usage": USAGE}).flags == ()


def test_thoughts_between_the_sides_and_the_total_are_reasoning_only_where_that_is_known() -> None:
    beyond = {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 20}
    named = read({"usage": beyond}, unnamed_thoughts=True)
    assert named.components == (Component("main", {**COUNTS, "output_reasoning": 8}),)
    assert read({"usage": beyond}).components == (Component("main", COUNTS),)


# -- its end --------------------------------------------------------------------------------------


def test_an_answer_is_written_once_every_choice_has_its_reason() -> None:
    reader = ChoicesReader()
    for step, is_written in (
        ({"choices": []}, False),
        (chunk(content="a"), False),
        (chunk(content="b", index=1), False),
        (chunk("stop", index=1), False),
        (chunk("length"), True),
        (chunk(content="c", index=2), False),
        (chunk("stop", index=2), True),
    ):
        assert taken(reader, step).written is is_written, step


def test_it_is_complete_with_its_body_or_with_its_reasons_and_its_usage() -> None:
    assert read(chunk("stop"), {"usage": USAGE}).complete
    assert not read(chunk("stop")).complete
    assert not read(chunk(content="Hi"), {"usage": USAGE}).complete
    assert read(chunk(content="Hi"), seen=BODY).complete


def test_an_error_inside_a_stream_is_flagged_and_so_is_what_stands_beside_the_answer() -> None:
    assert read({"error": {"message": "overloaded"}}).flags == ("error_event",)
    assert read({"error": None}).flags == ()
    assert read({"error": {}}, chunk(content="Hi"), beside=("a", "b")).flags == (
        "error_event", "a", "b",
    )  # fmt: skip
    contradicting = {**USAGE, "completion_tokens": -1}
    found = read({"usage": contradicting}, {"error": {}}, beside=("a",))
    assert found.flags == ("usage_invalid", "error_event", "a")


# -- names ----------------------------------------------------------------------------------------


def test_the_first_model_and_the_last_tier_that_are_said_count() -> None:
    found = read(
        {"model": "", "service_tier": "auto"},
        {"model": 7, "service_tier": "flex"},
        {"model": "gpt-4o-2024-11-20", "service_tier": None},
        {"model": "other", "service_tier": 3},
    )
    assert (found.model, found.tier) == ("gpt-4o-2024-11-20", "flex")
    assert (read({}).model, read({}).tier) == (None, None)


@pytest.mark.parametrize(
    ("extra", "tier"),
    [
        ({"google": {"traffic_type": "PROVISIONED_THROUGHPUT"}}, "PROVISIONED_THROUGHPUT"),
        ({"a": {"traffic_type": ""}, "b": 1, "c": {"traffic_type": "ON_DEMAND"}}, "ON_DEMAND"),
        ({"google": {}}, None),
        ([], None),
    ],
)
def test_a_tier_may_be_said_inside_the_usage(extra: object, tier: str | None) -> None:
    usage = {**USAGE, "extra_properties": extra}
    assert read({"usage": usage}).tier == tier
    assert read({"usage": usage, "service_tier": "flex"}).tier == "flex"


def test_a_usage_of_another_shape_says_no_tier() -> None:
    assert read({"usage": [USAGE]}).tier is None
    assert read({"usage": USAGE}).tier is None


def test_a_kept_answer_is_made_under_its_first_id_and_sounds_under_theirs() -> None:
    sound = {"choices": [{"message": {"audio": {"id": "audio_1"}}}]}
    assert read({"id": "a", **sound}, {"id": "b"}, stored=True).made == ("a", "audio_1")
    assert read({"id": "a", **sound}).made == ("audio_1",)
    assert read({"id": "a"}, chunk(content="Hi"), chunk(audio={"data": "UklGR"})).made == ()
    assert read(sound, {"id": "late"}, stored=True).made == ("late", "audio_1")
    again = [chunk(audio={"id": name}) for name in ("audio_1", "audio_1", "audio_2")]
    assert read(*again).made == ("audio_1", "audio_2")


def test_sounds_are_bounded() -> None:
    many = [chunk(audio={"id": f"audio_{n}"}) for n in range(CHOICES_MAX + 5)]
    made = read(*many).made
    assert len(made) == CHOICES_MAX == 1024
    assert made[-1] == "audio_1023"


# -- what was written -----------------------------------------------------------------------------


def test_every_member_of_a_message_is_written_where_it_belongs() -> None:
    assert said(content="Hi ", refusal="no") == Observed("Hi no")
    assert said(reasoning_content="hm ", reasoning="so", content="Hi") == Observed("Hi", "hm so")
    assert said(reasoning={"text": "x"}, content=7) == Observed()
    assert said(function_call={"name": "f", "arguments": "{}"}).tool_calls == (ToolCall("f", "{}"),)


def test_what_a_message_leaves_empty_is_nothing_written() -> None:
    empty = {"content": None, "refusal": None, "tool_calls": None, "function_call": None}
    assert said(**empty) == Observed()
    assert said(content="", tool_calls=[], function_call={}) == Observed()


def test_content_may_come_in_parts_of_text_and_thinking() -> None:
    thought = {"type": "thinking", "thinking": [{"text": "hm "}, {"text": "so"}, "x"]}
    assert said(content=[thought, {"text": "Hi"}, "y"]) == Observed("Hi", "hm so")


def test_tool_calls_are_told_apart_by_index_else_by_place_and_their_pieces_joined() -> None:
    def piece(arguments: str, **more: Any) -> dict[str, Any]:
        return {"function": {"arguments": arguments, **more}}

    whole = said(tool_calls=[piece("1", name="f"), piece("2", name="g")])
    assert whole.tool_calls == (ToolCall("f", "1"), ToolCall("g", "2"))
    streamed = read(
        chunk(tool_calls=[{"index": 3, **piece("{", name="f")}]),
        chunk(tool_calls=[{"index": 8, **piece("[", name="g")}, {"index": 3, **piece("}")}]),
        chunk(tool_calls=[{"index": 8, **piece("]")}, "noise"]),
    ).observed
    assert streamed.tool_calls == (ToolCall("f", "{}"), ToolCall("g", "[]"), ToolCall("", ""))
    assert said(tool_calls={"index": 0, **piece("1")}).tool_calls == ()


def test_a_custom_call_is_one_call() -> None:
    custom = {"type": "custom", "custom": {"name": "sql", "input": "select 1"}}
    assert said(tool_calls=[custom]).tool_calls == (ToolCall("sql", "select 1"),)


def test_text_completions_are_written_too() -> None:
    found = read(
        {"choices": [{"text": "a", "index": 0}, "noise", {"text": "b", "index": 1}]},
        {"choices": [{"text": "c", "index": 1, "finish_reason": "stop"}, {"text": 9, "index": 0}]},
    ).observed
    assert found == Observed("abc", choices=2)
    assert read({"choices": {"text": "a"}}).observed == Observed()


def test_a_message_hides_no_text_of_another_kind_and_an_empty_delta_no_message() -> None:
    odd = {"delta": {}, "message": {"content": "m"}, "text": "t"}
    assert read({"choices": [odd]}).observed == Observed("m")


@given(
    st.lists(
        st.tuples(st.integers(0, TRANSCRIPTS_MAX - 1), st.text(max_size=5), st.text(max_size=5)),
        max_size=30,
    )
)
@settings(max_examples=40)
def test_choices_are_observed_one_after_the_other_however_their_pieces_arrive(
    pieces: list[tuple[int, str, str]],
) -> None:
    found = read(
        *(chunk(index=at, content=text, reasoning=thought) for at, text, thought in pieces)
    ).observed
    in_order = sorted(pieces, key=lambda piece: piece[0])  # stable: of one choice as they came
    assert found.text == "".join(text for _, text, _ in in_order)
    assert found.reasoning == "".join(thought for _, _, thought in in_order)
    seen = len({at for at, _, _ in pieces})
    assert found.choices == max(seen, 1) or not (found.text or found.reasoning)


def test_a_choice_without_an_index_is_the_first() -> None:
    noise = {"choices": [{"index": "1", "text": "b"}]}
    assert read(chunk(index=None, content="a"), noise).observed == Observed("ab")
    assert taken(ChoicesReader(), chunk(content="a"), chunk("stop", index=None)).written


def test_choices_beyond_the_transcripts_share_the_last_and_all_count() -> None:
    many = [chunk(index=n, content=f"{n},") for n in range(TRANSCRIPTS_MAX + 3)]
    found = read(*many, chunk(index=2, content="!")).observed
    assert found.choices == TRANSCRIPTS_MAX + 3 == 19
    assert found.text == "0,1,2,!" + "".join(f"{n}," for n in range(3, 19))


def test_sixteen_choices_are_told_apart() -> None:
    call = {"index": 0, "function": {"name": "f", "arguments": "1"}}
    many = [chunk(index=n, tool_calls=[call]) for n in range(17)]
    assert read(*many[:16]).observed.tool_calls == (ToolCall("f", "1"),) * 16
    assert read(*many).observed.tool_calls == (*(ToolCall("f", "1"),) * 15, ToolCall("ff", "11"))


def test_choices_are_bounded_and_nothing_they_write_is_lost() -> None:
    many = [chunk(index=n, content="x") for n in range(CHOICES_MAX + 5)]
    reader = taken(ChoicesReader(), *many)
    found = reader.reading(STREAM).observed
    assert (found.choices, len(found.text)) == (CHOICES_MAX, CHOICES_MAX + 5)
    assert taken(reader, chunk(content="!")).reading(STREAM).observed.text.startswith("x!x")
    ends = [chunk("stop", index=n) for n in range(CHOICES_MAX)]
    assert taken(reader, *ends).written


def test_one_clipped_choice_clips_the_answer() -> None:
    calls = [{"index": n, "function": {"name": "f"}} for n in range(1025)]
    few, many = chunk(content="x", index=1), chunk(tool_calls=calls)
    assert read(many, few).observed.clipped
    assert read(few, many).observed.clipped
    assert not read(few, chunk(tool_calls=calls[:-1])).observed.clipped
