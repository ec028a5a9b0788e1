"""What a row says of the tokens its provider reported: the call's own, and each once."""

import msgspec
from hypothesis import given, settings, strategies as st

from gateway.ledger.entry import Entry, Line, reported_input, reported_tokens
from gateway.metering.units import UNITS
from tests.unit.ledger_rows import PLAIN

PROMPT = {name for name, unit in UNITS.items() if unit.is_token and unit.direction == "input"}
WRITTEN = {name for name, unit in UNITS.items() if unit.is_token and unit.direction == "output"}
LINES = st.builds(
    Line, st.sampled_from([*UNITS, "tokens_of_tomorrow"]), st.integers(-9, 9),
    st.none(), st.none(), st.none(),
    role=st.sampled_from(["main", "advisor_message"]), model=st.sampled_from([None, "other"]),
)  # fmt: skip


def row(*lines: Line) -> Entry:
    return msgspec.structs.replace(PLAIN, lines=lines)


def test_by_hand() -> None:
    lines = (
        Line("input_text", 1, None, None, None),
        Line("cache_read_text", 20, None, None, None),
        Line("cache_write_1h", 300, None, None, None),
        Line("output_text", 4_000, None, None, None),
        Line("output_reasoning", 50_000, None, None, None),
        Line("web_search_requests", 7, None, None, None),
        Line("audio_seconds", 7, None, None, None),
        Line("input_text", 600_000, None, None, None, role="compaction"),
        Line("output_text", 600_000, None, None, None, model="other"),
        Line("tokens_of_tomorrow", 7, None, None, None),
    )
    assert reported_tokens(row(*lines)) == (321, 54_000)
    assert reported_input(row(*lines)) == 321
    assert reported_tokens(row()) == (0, 0)
    assert reported_input(row()) == 0


@given(st.lists(LINES, max_size=8))
@settings(max_examples=60)
def test_only_tokens_of_the_call_itself_count_each_on_its_side(lines: list[Line]) -> None:
    own = [line for line in lines if line.role == "main" and line.model is None]
    into = sum(line.quantity for line in own if line.unit in PROMPT)
    out = sum(line.quantity for line in own if line.unit in WRITTEN)
    assert reported_tokens(row(*lines)) == (into, out)
    assert reported_input(row(*lines)) == into


def test_a_row_is_of_the_first_attempt_standard_and_unpriced_until_it_is_said() -> None:
    made = row()
    assert (made.attempt, made.tier, made.price_status, made.stream) == (1, "standard", "unpriced", False)  # fmt: skip
