"""Families without a formula: the kind of a text chooses its weight, the template its constants."""

import pytest

from gateway.metering.count import Counter
from gateway.metering.estimate import OPAQUE
from gateway.metering.prompt import Function, Image, Prompt, Schema, ToolCall, Turn

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
