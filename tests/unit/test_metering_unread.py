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
