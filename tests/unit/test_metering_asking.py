"""Reading what requests ask: numbers in every spelling, turns part by part, ambiguity refused."""

import pytest
from hypothesis import given, strategies as st

from gateway.kernel.errors import MalformedBody
from gateway.metering.asking import (
    ASKED_MAX,
    TurnBuilder,
    as_json,
    asked_number,
    largest,
    read_object,
)
from gateway.metering.prompt import Turn


@pytest.mark.parametrize("text", ["8", "8.0", "8e0", "0.8E1", "80e-1", "00000000000008", "8.000"])
def test_a_number_in_quotes_is_read_however_protobuf_takes_it(text: str) -> None:
    assert asked_number(text) == 8


@given(number=st.integers(1, ASKED_MAX))
def test_a_number_means_the_same_in_every_spelling(number: int) -> None:
    assert (
        asked_number(number) == asked_number(float(number)) == asked_number(str(number)) == number
    )


@pytest.mark.parametrize(
    "value", [None, 0, -1, 1.5, True, "", "x", "+1", "\uff11", "9" * 11, 2**31, [], {}]
)
def test_what_is_no_positive_number_is_left_to_the_provider(value: object) -> None:
    assert asked_number(value) is None  # type: ignore[arg-type]  # any JSON value, also wrong ones


def test_the_largest_of_what_was_given() -> None:
    assert (largest(None, 3, 5), largest(None), largest()) == (5, None, None)


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"a":1,"a":2}', b"\xef\xbb\xbf{}"])
def test_a_body_that_two_readers_could_take_differently_is_refused(body: bytes) -> None:
    with pytest.raises(MalformedBody, match="send one JSON object"):
        read_object(body, ("a",))


def test_a_number_beyond_64_bit_is_still_shown_as_json() -> None:
    assert as_json({"n": 2**70}) == '{"n":1180591620717411303424}'


def test_a_turn_holds_its_parts() -> None:
    turn = TurnBuilder()
    turn.text("a")
    turn.text(None)
    turn.json({"b": 1})
    turn.json(None)
    turn.opaque()
    turn.image(None)
    assert turn.turn(None) == Turn("user", 'a\n{"b":1}', images=turn.turn("x").images, opaque=1)
    assert turn.turn("x").images[0].width is None
