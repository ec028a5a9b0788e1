"""tiktoken's counts: the provider-reported golden counts, the shipped vocabulary, and text that hurts tokenizers."""

import gzip
import socket
from collections.abc import Iterator
from hashlib import sha256
from random import Random

import pytest
from hypothesis import given, settings, strategies as st

from gateway.metering.count import (
    VOCABULARY_NAMES,
    Confidence,
    Counter,
    Vocabulary,
    VocabularyDamaged,
)
from gateway.metering.prompt import Function, Image, Observed, Prompt, Schema, ToolCall, Turn
from gateway.wire.jsondoc import Json
from tests.unit.golden_counts import CITY, GOLDEN, HELPFUL, PARIS, chat, said

OBJECT: Json = {
    "properties": {"city": {"type": "string"}, "country": {"type": "string"}},
    "required": ["city", "country"],
    "type": "object",
}


@pytest.mark.parametrize("case", GOLDEN)
def test_a_golden_request_counts_what_its_provider_reported(counter: Counter, case: str) -> None:
    model, prompt, reported = GOLDEN[case]
    assert counter.input(prompt, model).tokens == reported


@pytest.mark.parametrize(
    ("model", "turns", "reported"),
    [
        ("gemini-2.5-flash-lite", said("What is the capital of France?"), 8),
        (
            "gemini-2.5-pro",
            (
                Turn("system", "You are a helpful chatbot."),
                *said("What is the capital of France?"),
            ),
            15,
        ),
        (
            "gemini-2.0-flash",
            (
                Turn("system", "You are a helpful chatbot."),
                *said("What is the capital of France?"),
            ),
            13,
        ),
    ],
)
def test_a_family_counted_by_ratio_comes_within_two_tokens_on_a_short_prompt(
    counter: Counter, model: str, turns: tuple[Turn, ...], reported: int
) -> None:
    count = counter.input(Prompt("chat", turns), model)
    assert abs(count.tokens - reported) <= 2
    assert count.confidence is Confidence.ESTIMATE


def test_decoration_of_the_name_does_not_change_the_count(counter: Counter) -> None:
    prompt = chat(HELPFUL, *said("How do I cross the street?"))
    for plain, decorated in (
        ("gpt-5.6-luna", "us.openai.gpt-5.6-luna"),
        ("gpt-4o", "ft:gpt-4o-2024-08-06:org-0001::abc"),
        ("claude-sonnet-4-5", "us.anthropic.claude-sonnet-4-5-20250929-v1:0"),
    ):
        assert counter.input(prompt, decorated) == counter.input(prompt, plain)


@pytest.mark.parametrize(
    ("prompt", "model", "confidence"),
    [
        (chat(*said("hi")), "gpt-4o", Confidence.EXACT),
        (chat(PARIS, functions=(Function("f", None, CITY),)), "gpt-4o", Confidence.FORMULA),
        (Prompt("chat", (PARIS,), schema=Schema("s", None, CITY)), "gpt-4o", Confidence.FORMULA),
        (
            chat(Turn("assistant", tool_calls=(ToolCall("f", "{}"),))),
            "gpt-4o",
            Confidence.FORMULA,
        ),
        (chat(Turn("user", images=(Image(width=9, height=9),))), "gpt-4o", Confidence.FORMULA),
        (chat(Turn("user", images=(Image(detail="low"),))), "gpt-4o", Confidence.FORMULA),
        (chat(Turn("user", images=(Image(),))), "gpt-4o", Confidence.ESTIMATE),
        (chat(Turn("user", opaque=1)), "gpt-4o", Confidence.ESTIMATE),
        (chat(*said("hi")), "claude-opus-4-7", Confidence.ESTIMATE),
        (chat(*said("hi")), "somebody-s-own-model", Confidence.ESTIMATE),
    ],
)
def test_a_count_says_how_far_it_may_be_trusted(
    counter: Counter, prompt: Prompt, model: str, confidence: Confidence
) -> None:
    assert counter.input(prompt, model).confidence is confidence


def test_a_schema_beside_tools_costs_its_own_text_only(counter: Counter) -> None:
    tools = (Function("get_user_country", "", {"type": "object", "properties": {}}),)
    with_tools = Prompt("chat", (PARIS,), tools, Schema("result", None, OBJECT))
    alone = Prompt("chat", (PARIS,), schema=Schema("result", None, OBJECT))
    bare = counter.input(chat(PARIS), "gpt-4o").tokens
    tools_only = counter.input(chat(PARIS, functions=tools), "gpt-4o").tokens
    assert counter.input(with_tools, "gpt-4o").tokens - tools_only == 29
    assert counter.input(alone, "gpt-4o").tokens - bare == 29 + 20
    with_system = Prompt("chat", (HELPFUL, PARIS), schema=Schema("result", None, OBJECT))
    assert (
        counter.input(with_system, "gpt-4o").tokens
        - counter.input(chat(HELPFUL, PARIS), "gpt-4o").tokens
        == 29 + 16
    )


def test_several_calls_of_one_turn_count_as_one_wrapped_call(counter: Counter) -> None:
    calls = (
        ToolCall("delete_file", '{"path": ".env"}'),
        ToolCall("create_file", '{"path": "test.txt"}'),
    )
    turn = Turn("assistant", tool_calls=calls)
    bare = counter.input(chat(Turn("assistant")), "gpt-4o").tokens
    assert counter.input(chat(turn), "gpt-4o").tokens - bare == 48
    weather = tuple(
        ToolCall(name, '{"city": "New York"}') for name in ("get_weather", "get_population")
    )
    small = counter.input(chat(Turn("assistant", tool_calls=weather)), "gpt-4o-mini").tokens
    assert small - bare == 46


def test_names_and_legacy_calls_are_counted(counter: Counter) -> None:
    bare = counter.input(chat(Turn("user", "hi")), "gpt-4o").tokens
    named = counter.input(chat(Turn("user", "hi", name="alice")), "gpt-4o").tokens
    tool = counter.input(chat(Turn("tool", "hi", name="alice")), "gpt-4o").tokens
    legacy = chat(Turn("assistant", legacy_call=ToolCall("f", "{}")))
    assert named == bare + counter.text(":alice", "gpt-4o").tokens
    assert tool == bare
    assert (
        counter.input(legacy, "gpt-4o").tokens
        == counter.input(chat(Turn("assistant")), "gpt-4o").tokens + 1 + 1 + 3
    )


def test_token_ids_the_client_encoded_count_as_they_are(counter: Counter) -> None:
    prompt = Prompt("embeddings", said("hello"), token_ids=7)
    assert counter.input(prompt, "text-embedding-3-large").tokens == 8


# ── output ───────────────────────────────────────────────────────────────────────────────────────


def test_an_answer_counts_its_text_its_calls_and_what_stands_around_them(counter: Counter) -> None:
    text = Observed("The weather in Paris is sunny.")
    one = Observed(tool_calls=(ToolCall("get_weather", '{"city":"Paris"}'),))
    two = Observed(tool_calls=one.tool_calls * 2)
    assert counter.output(text, "gpt-4o").tokens == counter.text(text.text, "gpt-4o").tokens
    call = counter.text('get_weather{"city":"Paris"}', "gpt-4o").tokens
    assert counter.output(one, "gpt-4o").tokens == call + 7
    assert counter.output(two, "gpt-4o").tokens == 2 * (call + 14)
    assert counter.output(one, "gpt-5").tokens == call + 13
    assert counter.output(text, "gpt-5").tokens == counter.text(text.text, "gpt-5").tokens + 8


def test_nothing_written_is_nothing_used(counter: Counter) -> None:
    for model in ("gpt-4o", "gpt-5", "claude-sonnet-4-5", "gemini-2.5-pro"):
        assert counter.output(Observed(), model).tokens == 0


@pytest.mark.parametrize(
    ("observed", "model", "confidence"),
    [
        (Observed("text"), "gpt-4o", Confidence.FORMULA),
        (Observed("text", clipped=True), "gpt-4o", Confidence.ESTIMATE),
        (Observed("text", reasoning="so"), "gpt-4o", Confidence.ESTIMATE),
        (Observed("text"), "gpt-5", Confidence.ESTIMATE),
        (Observed("text"), "claude-haiku-4-5", Confidence.ESTIMATE),
    ],
)
def test_hidden_reasoning_and_clipped_text_make_an_answer_an_estimate(
    counter: Counter, observed: Observed, model: str, confidence: Confidence
) -> None:
    assert counter.output(observed, model).confidence is confidence


# ── the shipped vocabulary ───────────────────────────────────────────────────────────────────────


def test_the_shipped_vocabulary_counts_known_tokens(loaded_vocabulary: Vocabulary) -> None:
    o200k, cl100k = (loaded_vocabulary.encoders[name] for name in VOCABULARY_NAMES)
    assert o200k.encode_ordinary("hello world") == [24912, 2375]
    assert cl100k.encode_ordinary("hello world") == [15339, 1917]


@pytest.mark.parametrize("name", VOCABULARY_NAMES)
def test_a_damaged_vocabulary_is_refused_with_the_cure(
    vocabulary_files: dict[str, bytes], name: str
) -> None:
    content = gzip.decompress(vocabulary_files[name])
    swapped = gzip.compress(content.replace(b"\n", b" \n", 1), 1)
    for damaged in (b"", b"not gzip at all", swapped, vocabulary_files[name][:-1000]):
        with pytest.raises(VocabularyDamaged, match="reinstall the weighbridge package") as raised:
            Vocabulary.from_bytes({**vocabulary_files, name: damaged})
        assert raised.value.name == name
        assert raised.value.expected == sha256(content).hexdigest()
        assert raised.value.found != raised.value.expected


def test_a_missing_vocabulary_is_refused(vocabulary_files: dict[str, bytes]) -> None:
    with pytest.raises(VocabularyDamaged, match="no file"):
        Vocabulary.from_bytes({"o200k_base": vocabulary_files["o200k_base"]})


def test_loading_needs_neither_network_nor_cache_folder(
    vocabulary_files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> socket.socket:
        raise AssertionError("the tokenizer went to the network")

    monkeypatch.setattr(socket, "socket", refused)
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", "/nonexistent/weighbridge")
    counter = Counter(Vocabulary.from_bytes(vocabulary_files))
    assert counter.text("hello world", "gpt-4o").tokens == 2


# ── text that hurts tokenizers ───────────────────────────────────────────────────────────────────


def hostile(size: int) -> Iterator[tuple[str, str]]:
    random = Random(20261122)
    letters = "abcdefghijklmnopqrstuvwxyz"
    yield "prose", ("The quick brown fox jumps over the lazy dog. " * (size // 45 + 1))[:size]
    yield "letter", "a" * size
    yield "caret", "^" * size
    yield "newlines", "\n" * size
    yield "tabs", "\t" * size
    yield "spaces", " " * size
    yield "spaces and word", " " * (size - 1) + "x"
    yield "letters", "".join(random.choices(letters, k=size))
    yield "thai", "สวัสดี" * (size // 6)
    yield "emoji", "😀🎉" * (size // 2)
    yield "chinese", "你好世界" * (size // 4)
    yield "marks", "e\u0301\u0323" * (size // 3)
    yield "digits", "0123456789" * (size // 10)
    yield "surrogates", "\ud800" * size
    yield "special", "<|endofprompt|>" * (size // 15)


@pytest.mark.parametrize(
    ("model", "blank", "size"),
    [("gpt-4o", " ", 1_000_750), ("gpt-4o", "\t", 1_200_000), ("gpt-4", " ", 1_200_000)],
)
def test_a_million_blanks_in_a_row_are_counted(
    counter: Counter, model: str, blank: str, size: int
) -> None:
    count = counter.text(blank * size + "x", model)
    assert size // 200 < count.tokens <= size // 10
    assert count.confidence is Confidence.EXACT


def test_special_tokens_in_a_text_are_text(counter: Counter) -> None:
    for special in ("<|endofprompt|>", "<|endoftext|>", "<|fim_prefix|>"):
        assert counter.text(special, "gpt-4o").tokens > 1
        assert counter.text(special, "gpt-4").tokens > 1


def test_hostile_text_is_counted_within_a_percent_and_a_half(
    counter: Counter, loaded_vocabulary: Vocabulary
) -> None:
    whole = loaded_vocabulary.encoders["o200k_base"]
    for name, text in hostile(30_000):
        expected = len(whole.encode_ordinary(text))
        assert abs(counter.text(text, "gpt-4o").tokens - expected) * 1000 <= 15 * expected, name


@pytest.mark.slow
@pytest.mark.parametrize("model", ["gpt-4o", "gpt-4"])
def test_megabytes_of_hostile_text_are_counted_in_bounded_time(
    counter: Counter, model: str
) -> None:
    for size in (1_000_000, 4_000_000):
        for name, text in hostile(size):
            count = counter.text(text, model)
            assert count.tokens > 0, name
            assert (count.confidence is Confidence.ESTIMATE) == (size > 2 * 1024 * 1024), name


@settings(max_examples=150, deadline=None)
@given(
    texts=st.lists(st.text(max_size=300), max_size=4),
    role=st.text(max_size=12),
    name=st.none() | st.text(max_size=12),
    model=st.sampled_from(["gpt-4o", "gpt-5", "gpt-4", "claude-opus-4-7", "gemini-3-pro", "?"]),
)
def test_any_text_is_counted_twice_alike_and_never_below_the_empty_prompt(
    counter: Counter, texts: list[str], role: str, name: str | None, model: str
) -> None:
    prompt = Prompt("chat", tuple(Turn(role, text, name) for text in texts))
    count = counter.input(prompt, model)
    assert count == counter.input(prompt, model)
    assert count.tokens >= counter.input(Prompt("chat"), model).tokens
