"""Canonical names: exact, by alias, or without an exact version or date suffix; never a near miss."""

import pytest
from hypothesis import given, settings, strategies as st

from gateway.pricing.resolve import Names, canonical, shortest

KNOWN = Names(
    frozenset(
        {
            "gpt-5.4",
            "gpt-4o",
            "gpt-4o-2024-05-13",
            "claude-s",
            "nova",
            "embed-v1",
            "embed-v4",
            "g-8",
        }
    ),
    {"gpt-5.6": "gpt-5.4", "mistral-v0:2": "nova", "bare-s": "claude-s"},
)


@pytest.mark.parametrize(
    ("names", "model"),
    [
        (("gpt-5.4",), "gpt-5.4"),
        (("gpt-5.4-2026-03-05",), "gpt-5.4"),
        (("gpt-5.4-20260305",), "gpt-5.4"),
        (("claude-s@20250929",), "claude-s"),
        (("claude-s-20250929-v1:0",), "claude-s"),
        (("claude-s-v1",), "claude-s"),
        (("nova-v1:0",), "nova"),
        (("nova:0",), "nova"),
        (("embed-v4:0",), "embed-v4"),
        (("embed-v1",), "embed-v1"),
        (("embed-v1:0",), "embed-v1"),
        (("gpt-5.6",), "gpt-5.4"),
        (("gpt-5.6-2026-06-10",), "gpt-5.4"),
        (("bare-s-20250929-v1:0",), "claude-s"),
        (("mistral-v0:2",), "nova"),
        (("unknown", "gpt-5.4"), "gpt-5.4"),
    ],
)
def test_a_known_spelling_gives_the_canonical_name(names: tuple[str, ...], model: str) -> None:
    assert canonical(KNOWN, names) == model


def test_a_dated_name_the_book_knows_is_a_model_of_its_own() -> None:
    assert canonical(KNOWN, ("gpt-4o-2024-05-13",)) == "gpt-4o-2024-05-13"
    assert canonical(KNOWN, ("gpt-4o-2024-11-20",)) == "gpt-4o"


def test_every_candidate_is_tried_as_it_stands_before_a_suffix_is_taken_off() -> None:
    assert canonical(KNOWN, ("gpt-4o-2024-11-20", "gpt-5.4")) == "gpt-5.4"


@pytest.mark.parametrize(
    "name",
    [
        "", "gpt-5", "gpt-5.4-mini", "gpt-5.4-preview", "g-8-cyber", "GPT-5.4", " gpt-5.4",
        "us.nova", "gpt-5.4-2026-13-05", "gpt-5.4-2026-03-32", "gpt-5.4-1999-01-01",
        "gpt-5.4@default", "gpt-5.4-latest", "nova-v2:0", "nova-v1:1", "nova:1", "mistral-v0:1",
        "claude-s-v1:0-20250929x", "gpt-5.4-2026-03-05-mini", "gpt-5.4-2026-03-05\n",
    ],
)  # fmt: skip
def test_a_near_miss_is_a_miss(name: str) -> None:
    assert canonical(KNOWN, (name,)) is None


def test_no_names_have_no_model() -> None:
    assert canonical(KNOWN, ()) is None


@settings(max_examples=200)
@given(st.text(max_size=30))
def test_whatever_resolves_is_a_model_of_the_book_and_begins_the_name(name: str) -> None:
    model = canonical(KNOWN, (name,))
    assert model is None or (model in KNOWN.models and (name.startswith(model) or KNOWN.aliases))


@pytest.mark.parametrize(
    ("name", "bare"),
    [
        ("gpt-5.4", "gpt-5.4"),
        ("nova:0", "nova"),
        ("claude-s-20250929-v1:0", "claude-s"),
        ("claude-s-v1-2026-01-02", "claude-s-v1"),
        ("claude-s-2026-13-02", "claude-s-2026-13-02"),
    ],
)
def test_a_new_models_name_is_bare_of_every_suffix(name: str, bare: str) -> None:
    assert shortest(name) == bare
