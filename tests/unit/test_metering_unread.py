"""Text that no reader took for the prompt: all of a request's text but for what is known to cost nothing."""

import re
from typing import Any

import pytest
from hypothesis import given, strategies as st

from gateway.metering.prompt import EMPTY, Prompt, Turn
from gateway.metering.unread import unread_characters

WORDS = 64  # that settings may take
PICTURE = "A" * 600
NAMES = ("content", "Call_ID", "callId", "metadata", "summary", "image_url", "bytes", "n" * 40, "")
TEXTS = ("hi", PICTURE, f"{PICTURE} b", "é" * 20, f"data:image/png;base64,{PICTURE}", "x " * 600)
LABELS = {"id", "callid", "model", "role", "type"}
BYTES = {"bytes", "imageurl"}

documents: st.SearchStrategy[Any] = st.recursive(
    st.sampled_from((*TEXTS, None, 7, True)),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4)
    ),
    max_leaves=20,
)


def plainly(name: str, value: Any) -> int:
    """The same in plain words: a value, and the name of the member it stands under."""
    is_apart = name.lower() in {"metadata", "summary"}
    if isinstance(value, dict) and not is_apart:
        own = sum(len(inner) for inner in value if len(inner) > 32)
        return own + sum(plainly(inner, each) for inner, each in value.items())
    if isinstance(value, list) and not is_apart:
        return sum(plainly(name, each) for each in value)
    return len(value) if isinstance(value, str) and costs(name, value) else 0


def costs(name: str, text: str) -> bool:
    """Whether a text may be shown to the model."""
    known = name.lower().replace("_", "")
    if known in LABELS:
        return len(text) > 1024
    if known in BYTES:
        return " " in text or not text.isascii()
    bare = re.sub(r"^data:[^, ]*,", "", text)
    return len(text) < 512 or not re.fullmatch(r"[A-Za-z0-9+/\r\n]+={0,2}[\r\n]*", bare)


@given(st.dictionaries(st.sampled_from(NAMES), documents, max_size=5))
def test_every_text_counts_but_what_is_known_to_cost_nothing(asked: dict[str, Any]) -> None:
    assert unread_characters(asked, EMPTY) == max(plainly("", asked) - WORDS, 0)


@pytest.mark.parametrize(
    ("value", "unread"),
    [
        ("x " * 50, 36),
        ([["x " * 50], {"a": {"b": ["x " * 50]}}], 136),
        (PICTURE, 0),
        (PICTURE + "!", 537),
        ({"metadata": {"note": "x " * 500}}, 0),
        ({"metadata": "x " * 500}, 936),
        ({"id": "x" * 1024}, 0),
        ({"id": "x" * 1025}, 961),
        ({"signature": "x" * 5000}, 0),
        ({"signature": "x y" * 500}, 1436),
        ({"k" * 33: 1, "K" * 32: 1}, 0),
        ([{"k" * 33: 1}] * 3, 35),
    ],
)
def test_it_is_what_the_prompt_does_not_have_less_a_few_words(value: Any, unread: int) -> None:
    assert unread_characters({"novel": value}, EMPTY) == unread
    seen = Prompt("plain", (Turn("", "y" * 20),))
    found = unread_characters({"novel": value, "prompt": "y" * 20}, seen)
    assert found == max(unread - 16, 0)  # a turn counts as so many characters beside its text


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        *((name, "label") for name in (
            "id", "callId", "mime_type", "model", "object", "prompt_cache_key", "Role", "safety_identifier", "status",
            "toolCallId", "tool_use_id", "type", "user",
        )),
        *((name, "bytes") for name in (
            "bytes", "bytesBase64Encoded", "data", "encrypted_content", "file_data", "fileUri", "image", "image_url",
            "inputImage", "redacted_content", "signature", "thoughtSignature", "uri", "url",
        )),
        *((name, "apart") for name in (
            "client_metadata", "labels", "metadata", "requestMetadata", "summary",
        )),
        *((name, "text") for name in ("content", "ids", "note", "input", "file", "arguments")),
    ],
)  # fmt: skip
def test_a_name_decides_what_its_values_may_cost(name: str, kind: str) -> None:
    """By a long word, by words, and by an object of them."""
    word, words = "z" * 400, "two words " * 40
    values: list[Any] = [word, words, {"note": words}, [words]]
    beside = "w" * WORDS  # takes what settings may
    found = [unread_characters({"x": {name: value}, "y": beside}, EMPTY) for value in values]
    expected = {
        "label": [0, 0, 400, 0],
        "bytes": [0, 400, 400, 400],
        "apart": [400, 400, 0, 0],
        "text": [400, 400, 400, 400],
    }
    assert found == expected[kind]


@pytest.mark.parametrize(
    ("value", "counts"),
    [
        ("A" * 512, False),
        ("A" * 511, True),
        ("A" * 510 + "==", False),
        ("A" * 510 + "\r\n", False),
        ("A" * 511 + " ", True),
        ("A" * 511 + "-", True),
        ("A" * 509 + "===", True),
        ("data:image/png;base64," + "A" * 600, False),
        ("data:image/png;base64," + "A" * 600 + " !", True),
        ("data: two words," + "A" * 600, True),
        ("data:" + "a" * 201 + "," + "A" * 600, True),
    ],
)
def test_a_long_run_of_base64_is_no_text(value: str, *, counts: bool) -> None:
    for asked in ({"anything": value}, {"anything": [value]}, {"deep": [{"anything": value}]}):
        found = unread_characters(asked, EMPTY)  # type: ignore[arg-type]  # literal JSON
        assert found == (len(value) - WORDS if counts else 0)


def test_names_that_are_long_are_texts_and_numbers_are_none() -> None:
    assert unread_characters({"x": {"n" * 32: 1, "m" * 33: 1}, "y": "w" * WORDS}, EMPTY) == 33
    settings = {"temperature": 0.5, "stream": True, "stop": None, "n": [1, None], "tools": "auto"}
    assert unread_characters(settings, EMPTY) == 0  # type: ignore[arg-type]  # literal JSON
    assert unread_characters({"x": "w" * WORDS}, EMPTY) == 0
    assert unread_characters({"x": "w" * (WORDS + 1)}, EMPTY) == 1
