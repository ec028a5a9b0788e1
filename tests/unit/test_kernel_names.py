"""What a name is: every script and emoji, nothing that cannot be seen, and nothing that reorders what is read."""

import json
import sys
import unicodedata
from hashlib import sha256

import pytest
from hypothesis import given, strategies as st

from gateway.kernel.names import (
    CODE_CHARS_MAX,
    HIDDEN,
    ID_CHARS_MAX,
    NAME_CHARS_MAX,
    escaped,
    hidden,
    known_by,
    nearest,
    unfit,
)

FAMILY = "\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466"
REFUSED = [chr(code) for code in range(sys.maxunicode + 1) if unicodedata.category(chr(code)) in HIDDEN]  # fmt: skip


@pytest.mark.parametrize(
    "name",
    [
        "search", "Ünïted Ångström", "東京 チーム", "فريق البحث", "צוות", "[prod] a/b", "a [/] b", "4100", "x", "!",
        FAMILY, f"Team {FAMILY}", "\U0001f469\U0001f3fd\u200d\U0001f680", "\u2764\ufe0f\u200d\U0001f525",
        "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f", "\U0001f1e9\U0001f1ea",
        "\u0639\u0644\u06cc\u200c\u0631\u0636\u0627", "क्\u200dष", "e\u0301quipe", "x" * NAME_CHARS_MAX,
    ],
)  # fmt: skip
def test_what_people_and_teams_are_called_is_a_name(name: str) -> None:
    assert unfit(name) == ""
    assert hidden(name) == ""


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("", "is empty"), ("   ", "is empty"), ("\u3000", "is empty"), ("\u3164", "shows nothing"),
        ("\u2800", "shows nothing"), ("\u0301", "shows nothing"), (" a", "spaces around"), ("a ", "spaces around"),
        ("a\x1b[31mb", "U+001B"), ("a\x9bb", "U+009B"), ("a\u202eb", "U+202E"), ("a\u2066b", "U+2066"),
        ("a\u200bb", "U+200B"), ("a\nb", "U+000A"), ("a\0", "U+0000"), ("\ud800", "U+D800"),
        ("te\u200dam", "U+200D"), ("\u200d", "U+200D"), (f"{FAMILY}\u200d", "U+200D"), ("a\U000e0061", "U+E0061"),
        ("a\u2028b", "U+2028"), ("x" * (NAME_CHARS_MAX + 1), "has 201 characters: at most 200"),
    ],
)  # fmt: skip
def test_what_nobody_could_read_or_type_again_is_refused_with_what_to_do(
    name: str, said: str
) -> None:
    assert said in unfit(name)


@given(st.sampled_from(REFUSED), st.text(st.characters(categories=("Lu", "Ll", "Nd")), max_size=5))
def test_no_hidden_character_stands_between_letters_that_are_not_joined(
    character: str, letters: str
) -> None:
    assert hidden(f"a{character}{letters}b") == character
    assert unfit(f"a{character}{letters}b")


@given(st.text(max_size=30))
def test_a_name_is_judged_whatever_it_is(text: str) -> None:
    said = unfit(text)
    assert said == "" or ":" in said
    assert not any(unicodedata.category(one) in HIDDEN for one in said)


def test_the_nearest_are_few_and_there() -> None:
    assert nearest("serch", ["search", "support", "research"]).split(", ")[0] == "search"
    assert nearest("zzz", ["search"]) == ""


INDEXED_BYTES_MAX = 2_600  # of Postgres' 2,704, less what stands before an id


@given(
    st.text(st.characters(codec=None), max_size=40)
    | st.builds(str.__mul__, st.text(min_size=1, max_size=3), st.integers(100, 2_000)),
    st.text(max_size=20),
)
def test_whatever_a_provider_calls_a_thing_every_database_can_keep_and_find_it(
    identity: str, other: str
) -> None:
    name = known_by(identity)
    assert len(name.encode()) <= INDEXED_BYTES_MAX
    assert "\0" not in name
    assert known_by(name) == name == known_by(str(identity))
    assert (known_by(other) == name) == (other == identity)
    assert len(identity) > ID_CHARS_MAX or not identity.isprintable() or name == identity


@given(st.text(max_size=20) | st.sampled_from(REFUSED))
def test_an_escaped_line_means_the_same_and_hides_nothing(text: str) -> None:
    for line in (json.dumps(text, ensure_ascii=False), json.dumps(text)):
        safe = escaped(line)
        assert json.loads(safe) == text
        assert not any(unicodedata.category(one) in HIDDEN for one in safe)


def test_what_can_be_seen_is_left_as_it_is_and_what_cannot_is_written_out() -> None:
    assert escaped(f"東京 {FAMILY[0]}\u3000\u2800") == f"東京 {FAMILY[0]}\u3000\u2800"
    assert escaped("a\u202eb\x1b\U000e0061\x07") == "a\\u202eb\\u001b\\udb40\\udc61\\u0007"


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("\u200dक", "\u200d"), ("क\u200d", "\u200d"), ("क\u200dक", ""), ("ab\u200dक", "\u200d"),
        ("क\u200da", "\u200d"), ("क\u200bक", "\u200b"), ("x\u200e", "\u200e"), ("a\u200eक\u200d\x1b", "\u200e"),
        ("\U0001f3f4\U000e0067\U000e007f", ""), ("\U0001f3f4\U000e0067", "\U000e0067"),
        ("\U0001f3f4\U000e007f", "\U000e007f"), ("\U000e0067\U000e007f", "\U000e0067"),
    ],
)  # fmt: skip
def test_the_first_that_is_hidden_is_told_and_what_joins_is_not(text: str, first: str) -> None:
    assert hidden(text) == first


def test_the_lengths_of_names_and_of_codes() -> None:
    assert (NAME_CHARS_MAX, CODE_CHARS_MAX) == (200, 40)
    assert unfit("x" * 40, CODE_CHARS_MAX) == ""
    assert unfit("x" * 41, CODE_CHARS_MAX) == "has 41 characters: at most 40 are a name"
    assert unfit("x" * 1_200).startswith("has 1,200 characters")


def test_the_first_cure_is_told_where_several_are_needed() -> None:
    assert unfit(" \u200b" * 200) == "has 400 characters: at most 200 are a name"
    assert unfit(" a\u200b") == "holds the invisible character U+200B: type it again without"
    assert unfit("a\u00a0") == "is a name without spaces around it: leave them out"


def test_three_names_at_most_are_near_the_nearest_first_in_their_own_spelling() -> None:
    known = ["Search", "Sea", "searching", "searches", "searched", "", "support"]
    assert nearest("SEARCH", known) == "Search, searches, searched"
    assert nearest("se*rch[a-z]?", known).startswith("Search, ")
    assert nearest("search", ["SEARCH", "Search", "search"]) == "SEARCH"
    assert nearest("", known) == nearest("search", []) == ""


def test_half_of_the_letters_in_common_are_near_and_fewer_are_not() -> None:
    assert nearest("abcd", ["abxy"]) == "abxy"
    assert nearest("abcde", ["abxyz"]) == ""


def test_an_id_of_five_hundred_and_twelve_characters_is_kept_as_it_is() -> None:
    assert ID_CHARS_MAX == 512
    assert known_by("x" * 512) == "x" * 512
    digest = sha256(b"x" * 513).hexdigest()
    assert known_by("x" * 513) == f"sha256-{digest}"
