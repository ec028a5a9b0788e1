"""Rows: stable readable ids, and complaints that name their place."""

import re

import msgspec
import pytest

from gateway.pricing.row import (
    FIGURE_MAX,
    FOREVER,
    ID_CHARS_MAX,
    BookInvalid,
    Layer,
    Row,
    complaints,
    tier_of,
)

DAY_US = 86_400_000_000


def row(model: str = "m", **changes: object) -> Row:
    terms = ("cloud", model, "geo", "eu", "", "standard")
    fields: dict[str, object] = {"unit": "input_text", "source": "s", "evidence": "single"}
    return Row(terms=terms, **(fields | changes))  # type: ignore[arg-type]  # cells by name


def test_an_id_says_key_and_start() -> None:
    assert row(since_us=DAY_US, context_gt=200_000).price_id() == (
        "cloud/m/geo/eu/-/standard/input_text/200000@1970-01-02"
    )
    assert row(since_us=1_000_000).price_id().endswith("/0@1970-01-01T00:00:01+00:00")


def test_an_id_does_not_depend_on_the_price_and_differs_for_another_start() -> None:
    assert row(pico=1).price_id() == row(pico=2, source="else").price_id()
    assert row(since_us=DAY_US).price_id() != row(since_us=2 * DAY_US).price_id()


def test_a_long_id_is_cut_and_stays_distinct() -> None:
    one, two = row("m" * 90).price_id(), row("m" * 91).price_id()
    assert len(one) == len(two) == ID_CHARS_MAX
    assert one != two
    assert "~" in one
    fits = "m" * (ID_CHARS_MAX - len(row("m").price_id()) + 1)
    assert "~" not in row(fits).price_id()
    assert len(row(fits).price_id()) == len(row(fits + "m").price_id()) == ID_CHARS_MAX
    assert "~" in row(fits + "m").price_id()


@pytest.mark.parametrize("layer", Layer)
def test_an_id_fits_its_column_whatever_its_layer_adds(layer: Layer) -> None:
    for length in range(1, 120):
        made = row("m" * length, layer=layer, issue=7).price_id()
        assert len(made) <= ID_CHARS_MAX
        marked = {"shipped": "", "configured": "+configured-", "imported": "+import-7"}[layer]
        assert marked in made


def test_a_configured_rows_id_ends_with_eight_letters_of_its_figure() -> None:
    one, other = (row(pico=pico, layer=Layer.CONFIGURED).price_id() for pico in (1, 2))
    assert re.search(r"\+configured-[0-9a-f]{8}$", one)
    assert one != other


def test_the_largest_figures_are_accepted() -> None:
    for name in ("pico", "per", "context_gt"):
        assert list(complaints(msgspec.structs.replace(row(), **{name: FIGURE_MAX}))) == []
        (text,) = complaints(msgspec.structs.replace(row(), **{name: FIGURE_MAX + 1}))
        assert "are at most" in text


def test_ids_and_ends_are_kept_on_ledger_rows_and_never_change() -> None:
    assert FOREVER == 4_611_686_018_427_387_904
    assert row("m" * 90).price_id() == f"cloud/{'m' * 73}~cf138662097c94e5"


def test_a_row_says_nothing_it_was_not_told() -> None:
    made = Row(terms=(), unit="input_text")
    assert (made.context_gt, made.pico, made.per) == (0, 0, 1_000_000)
    assert (made.as_unit, made.since_us, made.until_us) == ("", 0, FOREVER)
    assert (made.layer, made.issue) == (Layer.SHIPPED, 0)


def test_an_invalid_book_tells_every_problem_on_a_line_of_its_own() -> None:
    invalid = BookInvalid(("p.csv:2: one", "p.csv:9: two"))
    assert str(invalid) == "p.csv:2: one\np.csv:9: two"
    assert invalid.problems == ("p.csv:2: one", "p.csv:9: two")


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"terms": ("cloud", "m", "moon", "", "", "standard")}, "scope 'moon' is not known"),
        ({"terms": ("cloud", "m", "geo", "", "", "slow")}, "tier 'slow' is not known"),
        ({"unit": "moonbeams"}, "unit 'moonbeams' is not known"),
        ({"as_unit": "moonbeams"}, "unit charged as 'moonbeams' is not known"),
        ({"evidence": "rumour"}, "evidence 'rumour' is not known"),
        ({"source": ""}, "source is empty: every price says where it is from"),
        ({"terms": ("cloud", "", "geo", "", "", "standard")}, "model is empty"),
        ({"since_us": 5, "until_us": 5}, "valid_to is not after valid_from"),
        *(
            (
                {name: 2**62 + 1},
                f"price, per and context_gt are at most {2**62} (of price, in pico-USD)",
            )
            for name in ("pico", "per", "context_gt")
        ),
    ],
)
def test_each_mistake_is_told_in_its_own_words(wrong: dict[str, object], words: str) -> None:
    made = msgspec.structs.replace(row(origin="p.csv:7"), **wrong)
    assert list(complaints(made)) == [f"p.csv:7: {words}"]


def test_a_row_charged_as_a_known_unit_is_good() -> None:
    assert list(complaints(row(as_unit="output_text"))) == []


def test_a_good_row_has_no_complaints_and_a_bad_one_all_of_them() -> None:
    assert list(complaints(row())) == []
    bad = row("", unit="x", evidence="", source="", per=0, since_us=5, until_us=5, origin="p.csv:7")
    found = list(complaints(bad))
    assert len(found) == 6
    assert all(text.startswith("p.csv:7: ") for text in found)


def test_a_row_from_nowhere_is_named_by_its_id() -> None:
    (found,) = complaints(row(evidence="rumour"))
    assert found.startswith("cloud/m/geo/eu/-/standard/input_text/0@1970-01-01: ")


def test_zero_is_a_price_and_less_is_not() -> None:
    assert list(complaints(row(pico=0))) == []
    assert len(list(complaints(row(pico=-1)))) == 1
    assert len(list(complaints(row(context_gt=-1)))) == 1
    assert list(complaints(row(per=1))) == []


def test_the_context_tier_is_read_from_an_id_where_it_stands_there() -> None:
    for layer in Layer:
        made = row(context_gt=200_000, layer=layer, issue=3)
        assert tier_of(made.price_id()) == 200_000
        assert tier_of(row(layer=layer).price_id()) == 0
    hashed = row("m" * 90, context_gt=7).price_id()
    assert (tier_of(hashed), tier_of("p-input"), tier_of("")) == (None, None, None)
    # No start, or a hash for its end: not the whole of an id.
    assert (tier_of("p/input_text/5@"), tier_of("p/input_text/5@1970-01~ab12")) == (None, None)
