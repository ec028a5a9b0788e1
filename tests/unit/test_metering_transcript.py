"""What a model wrote, within a bound."""

import pytest
from hypothesis import given, strategies as st

from gateway.metering import transcript as under_test
from gateway.metering.prompt import NOTHING_OBSERVED, ToolCall
from gateway.metering.transcript import Transcript


@given(pieces=st.lists(st.text(max_size=20)))
def test_text_is_what_was_written_in_order(pieces: list[str]) -> None:
    transcript = Transcript()
    for piece in pieces:
        transcript.write(piece)
    assert transcript.observed().text == "".join(pieces)


def test_nothing_seen_is_nothing() -> None:
    transcript = Transcript()
    transcript.write(None)
    transcript.think("")
    assert transcript.observed() == NOTHING_OBSERVED


def test_pieces_of_a_call_belong_together() -> None:
    transcript = Transcript()
    transcript.call(1, "look")
    transcript.call(2, "hear", "{}")
    transcript.call(1, None, '{"at":')
    transcript.call(1, None, '"it"}')
    assert transcript.observed().tool_calls == (
        ToolCall("look", '{"at":"it"}'),
        ToolCall("hear", "{}"),
    )


def test_beyond_the_bound_text_is_cut_and_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(under_test, "CHARS_MAX", 10)
    transcript = Transcript()
    transcript.write("1234567")
    transcript.think("8901234")
    transcript.write("more")
    observed = transcript.observed()
    assert (observed.text, observed.reasoning, observed.clipped) == ("1234567", "890", True)


def test_calls_without_end_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(under_test, "CALLS_MAX", 2)
    transcript = Transcript()
    for key in range(4):
        transcript.call(key, "look")
    observed = transcript.observed()
    assert (len(observed.tool_calls), observed.clipped) == (2, True)


def test_an_emoji_cut_in_two_is_whole_again() -> None:
    transcript = Transcript()
    transcript.write("\ud83d")
    transcript.write("\udc4b")
    transcript.think("\ud83d")
    observed = transcript.observed(choices=2)
    assert (observed.text, observed.reasoning, observed.choices) == ("👋", "\ufffd", 2)
