"""Families without a formula: the kind of a text chooses its weight, the template its constants."""

from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from gateway.metering.count import Counter
from gateway.metering.estimate import OPAQUE, estimated_tokens, rounded, weighted
from gateway.metering.families import Family, Weights
from gateway.metering.prompt import Function, Image, Prompt, Schema, ToolCall, Turn
from gateway.metering.render import compact
from gateway.metering.tally import CountMemory, Tally

PROSE = "The lorry drove across the bridge, and the clerk wrote down what it weighed. " * 20
JSON_TEXT = '{"id": 7, "items": [{"a": "b"}, {"c": [1, 2, 3]}], "ok": true}' * 20
CHINESE = "卡车驶过大桥职员记下了它的重量。" * 20


def tokens(counter: Counter, model: str, *turns: Turn, prompt: Prompt | None = None) -> int:
    return counter.input(prompt or Prompt("chat", turns), model).tokens


@pytest.mark.parametrize(
    ("model", "text", "low", "high"),
    [
        ("claude-sonnet-4-5", PROSE, 1120, 1150),
        ("claude-sonnet-4-5", JSON_TEXT, 1260, 1280),
        ("claude-sonnet-4-5", CHINESE, 1460, 1480),
        ("claude-opus-4-7", PROSE, 1510, 1530),
        ("gemini-2.5-pro", PROSE, 1090, 1100),
        ("gemini-2.5-pro", JSON_TEXT, 1310, 1330),
        ("gemini-2.5-pro", CHINESE, 990, 1010),
        ("nova-pro", PROSE, 990, 1010),
        ("gpt-4o", JSON_TEXT, 1000, 1000),
    ],
)
def test_a_text_is_weighed_by_its_kind(
    counter: Counter, model: str, text: str, low: int, high: int
) -> None:
    plain = counter.text(text, "gpt-4o").tokens
    assert low * plain <= counter.text(text, model).tokens * 1000 <= high * plain


def test_code_and_a_foreign_word_do_not_make_a_text_foreign(counter: Counter) -> None:
    text = f"重量 {PROSE} f(x) = {{}}"
    plain = counter.text(text, "gpt-4o").tokens
    assert counter.text(text, "claude-sonnet-4-5").tokens < plain * 115 // 100


def test_a_template_adds_its_constants(counter: Counter) -> None:
    hi = Turn("user", "hi")
    one = tokens(counter, "claude-sonnet-4-5", hi)
    assert one == counter.text("hi", "claude-sonnet-4-5").tokens + 7
    assert tokens(counter, "claude-sonnet-4-5", hi, hi) - one == one - 7 + 3
    assert tokens(counter, "gemini-2.5-pro", hi, hi) == 2 * (1 + 1)
    assert tokens(counter, "gemini-2.0-flash", hi, hi) == 2
    assert tokens(counter, "claude-sonnet-4-5", prompt=Prompt("chat")) == 7


def test_tools_bring_their_preamble_and_their_own_json(counter: Counter) -> None:
    hi = (Turn("user", "hi"),)
    tool = Function("get_weather", "Get the weather", {"type": "object", "properties": {}})
    for model, preamble in (
        ("claude-sonnet-4-5", 500),
        ("claude-haiku-5-5", 300),
        ("nova-pro", 350),
    ):
        bare = tokens(counter, model, *hi)
        one = tokens(counter, model, prompt=Prompt("chat", hi, (tool,)))
        two = tokens(counter, model, prompt=Prompt("chat", hi, (tool, tool)))
        assert 0 < two - one <= 60
        assert abs((one - bare) - preamble - (two - one)) <= 1


def test_calls_images_schemas_and_unknown_parts_are_counted(counter: Counter) -> None:
    bare = tokens(counter, "claude-sonnet-4-5", Turn("user"))
    call = Turn("user", tool_calls=(ToolCall("f", '{"a":1}'),))
    assert tokens(counter, "claude-sonnet-4-5", call) > bare
    image = Turn("user", images=(Image(), Image()))
    assert tokens(counter, "claude-sonnet-4-5", image) == bare + 3200
    assert tokens(counter, "gemini-2.5-pro", image) == 1 + 2 * 258
    assert tokens(counter, "claude-sonnet-4-5", Turn("user", opaque=2)) == bare + 2 * OPAQUE
    schema = Prompt("chat", (Turn("user"),), schema=Schema("s", None, {"type": "object"}))
    assert tokens(counter, "claude-sonnet-4-5", prompt=schema) > bare
    assert tokens(counter, "gemini-2.5-pro", prompt=schema) == 1


def test_embeddings_of_other_families_have_no_template(counter: Counter) -> None:
    prompt = Prompt("embeddings", (Turn("", "Hello, world!"),))
    assert counter.input(prompt, "amazon.titan-embed-text-v2:0") == counter.text(
        "Hello, world!", "amazon.titan-embed-text-v2:0"
    )


# -- by hand: a tokenizer of one token per character, and a family whose figures are told apart ---


class Letters:
    """One token per character."""

    def encode_ordinary(self, text: str) -> list[int]:
        return [0] * len(text)


PLAIN = Family("plain")
TEMPLATE = Family(
    "template", opening=1_000, message=30, tools=7_000, declared=2_000_000, image=50_000
)
THREEFOLD = Family("threefold", weights=Weights(2_000_000, 3_000_000, 5_000_000))


def letters() -> Tally:
    return Tally(Letters(), CountMemory())


def estimated(family: Family, *turns: Turn, **more: Any) -> int:
    return estimated_tokens(Prompt("chat", turns, **more), "any", family, letters())


@given(st.lists(st.text(max_size=20), max_size=6))
@settings(max_examples=30)
def test_the_template_is_added_once_and_per_further_message(texts: list[str]) -> None:
    turns = [Turn("user", text) for text in texts]
    expected = 1_000 + 30 * max(len(texts) - 1, 0) + sum(map(len, texts))
    assert estimated(TEMPLATE, *turns) == expected


def test_every_kind_of_part_is_counted_by_hand() -> None:
    call, legacy = ToolCall("fn", "{}"), ToolCall("old", "{1}")
    assert estimated(PLAIN, Turn("assistant", tool_calls=(call, call))) == 2 * len("fn {}")
    assert estimated(PLAIN, Turn("assistant", legacy_call=legacy)) == len("old {1}")
    both = Turn("assistant", "Hi", tool_calls=(call,), legacy_call=legacy)
    assert estimated(PLAIN, both) == len("Hi") + len("fn {}") + len("old {1}")
    assert estimated(TEMPLATE, Turn("user", images=(Image(),) * 3)) == 1_000 + 3 * 50_000
    assert estimated(PLAIN, Turn("user", "Hi", opaque=3)) == 2 + 3 * 220
    assert OPAQUE == 220


def test_a_large_call_of_either_form_is_large() -> None:
    call = ToolCall("f", "x" * 100)
    for turn in (Turn("assistant", tool_calls=(call,)), Turn("assistant", legacy_call=call)):
        assert Prompt("chat", (turn,)).characters() == 116


def test_tools_cost_their_preamble_once_and_their_compact_json_each() -> None:
    tool = Function("f", "d", {"type": "object"})
    json = '{"name":"f","description":"d","parameters":{"type":"object"}}'
    assert estimated(TEMPLATE, functions=(tool,)) == 1_000 + 7_000 + 2 * len(json)
    assert estimated(TEMPLATE, functions=(tool, tool)) == 1_000 + 7_000 + 4 * len(json)
    assert estimated(PLAIN, functions=(tool,)) == len(json)


def test_tools_are_remembered_and_told_from_texts_and_from_other_tools() -> None:
    memory = CountMemory()
    tools = [(Function("f", "x" * size, None),) for size in (10, 20, 10)]
    found = [
        estimated_tokens(Prompt("chat", (), one), "any", PLAIN, Tally(Letters(), memory))
        for one in tools
    ]
    assert found == [
        len(f'{{"name":"f","description":"{"x" * size}","parameters":null}}')
        for size in (10, 20, 10)
    ]


def test_tools_that_have_no_bytes_are_counted_without_being_remembered() -> None:
    for name in ("\ud800", "\ud801" * 3):
        tool = Function(name, "", None)
        expected = len(f'{{"name":"{name}","description":"","parameters":null}}')
        assert estimated(PLAIN, functions=(tool,)) == expected


def test_a_schema_counts_where_the_family_reads_it() -> None:
    schema = Schema("name", "description", {"type": "object"})
    shown = len(compact({"type": "object"}))
    assert estimated(PLAIN, Turn("user", "Hi"), schema=schema) == 2 + shown
    assert estimated(Family("deaf", schema=False), Turn("user", "Hi"), schema=schema) == 2
    assert estimated(THREEFOLD, schema=schema) == 3 * shown


@pytest.mark.parametrize(
    ("text", "weight"),
    [
        ("a" * 100, 2),
        ("{" * 12 + "a" * 88, 2),
        ("{" * 13 + "a" * 87, 3),
        ('{}[]"<>=_;' + "ab" + "a" * 71, 3),
        ("\u0250" * 30 + "a" * 70, 2),
        ("\u0250" * 31 + "a" * 69, 5),
        ("\u024f" * 100, 2),
        ("重" * 31 + "{" * 69, 5),
        ("重" * 30 + "{" * 70, 3),
        ("é" * 50 + "{" * 50, 3),
        ("a" * 1024 + "{" * 9999, 2),
        ("a" * 900 + "{" * 124 + "a" * 9999, 3),
        ("a" * 902 + "{" * 122 + "{" * 9999, 2),
        ("重" * 308 + "a" * 716 + "a" * 9999, 5),
        ("重" * 307 + "a" * 717 + "重" * 9999, 2),
    ],
)
def test_more_than_so_much_of_the_beginning_makes_the_kind_of_a_text(
    text: str, weight: int
) -> None:
    assert weighted(text, THREEFOLD, letters()) == weight * len(text)


def test_a_family_with_a_formula_weighs_nothing_and_no_text_is_nothing() -> None:
    exact = Family("exact", formula=True, weights=Weights(2_000_000, 3_000_000, 5_000_000))
    for text in ("aaaa", "{{{{", "重重重重"):
        assert weighted(text, exact, letters()) == 4
    assert weighted("", THREEFOLD, letters()) == 0


@given(st.integers(0, 10**12))
@settings(max_examples=50)
def test_millionths_are_rounded_half_up(millionths: int) -> None:
    assert abs(rounded(millionths) * 1_000_000 - millionths) <= 500_000
    assert (rounded(499_999), rounded(500_000), rounded(1_499_999)) == (0, 1, 1)


def test_a_text_s_weight_is_rounded_once_over_the_whole_text() -> None:
    family = Family("half", weights=Weights(1_100_000))
    assert [weighted("a" * n, family, letters()) for n in (1, 4, 5, 14, 15)] == [1, 4, 6, 15, 17]
