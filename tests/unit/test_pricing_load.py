"""Price files: every mistake is reported at once, each with its line; figures are read exactly."""

from decimal import Decimal

import msgspec
import pytest
from hypothesis import given, settings, strategies as st

from gateway.pricing import load
from gateway.pricing.dimensions import Circumstances
from gateway.pricing.rate import rate
from gateway.pricing.row import FOREVER, BookInvalid

DAY_US = 86_400_000_000
GOOD = "cloud,m,global,,,standard,input_text,0,2.5,1000000,USD,2026-01-01,,a list,row 1,manual"
HEADER = ",".join(load.COLUMNS)


def text(*lines: str) -> bytes:
    return "\n".join([HEADER, *lines, ""]).encode()


def line(**cells: str) -> str:
    values = dict(zip(load.COLUMNS, GOOD.split(","), strict=True)) | cells
    return ",".join(values.values())


def problems(*lines: str) -> tuple[str, ...]:
    with pytest.raises(BookInvalid) as caught:
        load.book({"p.csv": text(*lines)})
    return caught.value.problems


def test_the_columns_are_the_dimensions_and_the_figures() -> None:
    assert HEADER == (
        "provider,model,scope,geo,region,tier,unit,context_gt,price,per,currency,"
        "valid_from,valid_to,source,source_ref,evidence"
    )


def test_a_line_becomes_a_row() -> None:
    rows, wrong = load.rows("p.csv", text(line(valid_to="2026-01-02T00:00:00+00:00")))
    assert wrong == ()
    row = rows[0]
    assert (row.pico, row.per, row.as_unit, row.origin) == (25 * 10**11, 10**6, "", "p.csv:2")
    assert row.until_us - row.since_us == DAY_US
    assert row.since_us == 1_767_225_600_000_000
    assert (row.provider, row.model, row.evidence) == ("cloud", "m", "manual")


def test_an_open_end_lasts_for_ever_and_empty_lines_are_nothing() -> None:
    rows, wrong = load.rows("p.csv", text("", GOOD))
    assert [(row.until_us, row.origin) for row in rows] == [(FOREVER, "p.csv:3")]
    assert wrong == ()


@settings(max_examples=100)
@given(st.decimals(min_value=0, max_value=10**6, places=6))
def test_a_price_is_read_to_the_last_pico(price: Decimal) -> None:
    rows, wrong = load.rows("p.csv", text(line(price=f"{price:f}")))
    assert wrong == ()
    assert rows[0].pico == price * 10**12


@pytest.mark.parametrize(
    ("cells", "why"),
    [
        ({"price": "cheap"}, "not an amount"),
        ({"price": ""}, "not an amount"),
        ({"price": "2e-6"}, "without an exponent"),
        ({"price": "NaN"}, "whole number of pico"),
        ({"price": "Infinity"}, "not a"),
        ({"price": "0.0000000000001"}, "at most 12 decimals"),
        ({"price": "-1"}, "not negative"),
        ({"per": "0"}, "at least 1"),
        ({"per": "1.5"}, "per '1.5' is not a whole number"),
        ({"per": "-1"}, "is not a whole number"),
        ({"per": "\u0661"}, "is not a whole number"),
        ({"context_gt": "many"}, "context_gt 'many' is not a whole number"),
        ({"currency": "EUR"}, "prices are in USD"),
        ({"valid_from": "soon"}, "valid_from 'soon' is not a date"),
        ({"valid_from": ""}, "valid_from '' is not a date"),
        ({"valid_from": "0001-01-01T00:00:00+14:00"}, "is not a date"),
        ({"per": "1" + "0" * 29}, "per and context_gt are at most"),
        ({"price": "9" * 26}, "per and context_gt are at most"),
        ({"valid_to": "2026-13-01"}, "valid_to '2026-13-01' is not a date"),
        ({"valid_to": "2026-01-01"}, "valid_to is not after valid_from"),
        ({"unit": "tokens"}, "unit 'tokens' is not known"),
        ({"unit": "output_reasoning", "price": "=tokens"}, "charged as 'tokens' is not known"),
        (
            {"unit": "output_reasoning", "price": "=output_text"},
            "which has no price there and then",
        ),
        ({"unit": "cache_write", "price": "=cache_write"}, "in a circle"),
        ({"scope": "planet"}, "scope 'planet' is not known"),
        ({"scope": "provisioned"}, "scope 'provisioned' is not known"),
        ({"tier": "turbo"}, "tier 'turbo' is not known"),
        ({"tier": ""}, "tier is empty"),
        ({"model": ""}, "model is empty"),
        ({"provider": ""}, "provider is empty"),
        ({"evidence": "hearsay"}, "evidence 'hearsay' is not known"),
        ({"source": ""}, "source is empty"),
        ({"source": " x"}, "space around"),
        ({"source_ref": "x" * 401}, "more than 400"),
        ({"source_ref": "a,b"}, "17 cells where 16 are expected"),
    ],
)
def test_a_bad_cell_is_named_with_its_line(cells: dict[str, str], why: str) -> None:
    found = problems(line(**cells))
    assert any(why in problem and "p.csv:2" in problem for problem in found), found


@pytest.mark.parametrize(
    ("written", "meant"),
    [("couldy", "; did you mean 'cloudy'?"), ("Cloudy", "; did you mean 'cloudy'?"), ("x", "")],
)
def test_a_provider_nobody_routes_to_is_refused_by_line_with_those_there_are(
    written: str, meant: str
) -> None:
    known = ("sky", "cloudy")
    why = f"provider {written!r} is not known: expected one of cloudy, sky{meant}"
    wrong = text(line(provider="sky"), line(provider=written))
    assert load.rows("p.csv", wrong, known)[1] == (f"p.csv:3: {why}",)
    files = {
        "p.csv": wrong,
        load.ALIASES: f"provider,wire,canonical,source\n{written},em,m,s\n".encode(),
        load.REGIONS: f"provider,region,geo,partition\n{written},r,eu,commercial\n".encode(),
    }
    assert [problem.partition(" ")[0] for problem in load.read(files, {}, known).problems] == [
        "aliases.csv:2:", "p.csv:3:", "regions.csv:2:",
    ]  # fmt: skip
    assert load.read({}, {"own.csv": wrong}, known).problems == (f"own.csv:3: {why}",)
    empty = load.read({"p.csv": text(line(provider="", tier="x"))}, None, known)
    with pytest.raises(BookInvalid) as caught:  # beside the line's other mistakes
        empty.book()
    assert [problem.partition(": ")[2] for problem in caught.value.problems] == [
        "provider is empty", "tier 'x' is not known",
    ]  # fmt: skip


def test_every_problem_of_every_file_is_reported_at_once() -> None:
    files = {
        "a.csv": text(line(price="x"), line(unit="tokens"), GOOD, line(price="3")),
        "b.csv": b"provider,model\n",
        "c.csv": b"\xff\xfe",
        "d.csv": text('"broken'),
        load.ALIASES: b"provider,wire,canonical,source\ncloud,x,nobody,s\ncloud,m,m,s\ncloud,y,,s\n",
        load.REGIONS: b"provider,region,geo,partition\ncloud,r,eu,elsewhere\n",
    }
    with pytest.raises(BookInvalid) as caught:
        load.book(files)
    found = "\n".join(caught.value.problems)
    for expected in (
        "a.csv:2", "a.csv:3", "a.csv:5: cloud/m/global/-/-/standard/input_text/0@2026-01-01 overlaps",
        "b.csv:1: missing: ", "c.csv: not UTF-8", "d.csv:", "'nobody' has no price row",
        "is a model of its own", "aliases.csv:4: an alias names", "regions.csv:2: partition is",
    ):  # fmt: skip
        assert expected in found
    assert str(caught.value) == found


def test_aliases_and_regions_reach_the_book() -> None:
    book = load.book(
        {
            "p.csv": text(GOOD),
            load.ALIASES: b"provider,wire,canonical,source\ncloud,em,m,s\n",
            load.REGIONS: b"provider,region,geo,partition\ncloud,r,eu,commercial\n",
        }
    )
    assert book.canonical("cloud", ("em",)) == "m"
    assert book.models("cloud") == {"m"}


def test_the_version_depends_on_the_rows_and_not_on_the_file() -> None:
    one, two = load.book({"a.csv": text(GOOD)}), load.book({"b.csv": text("", GOOD)})
    other = load.book({"a.csv": text(line(price="2.6"))})
    assert one.version == two.version != other.version
    assert len(one.version) == 64


@settings(max_examples=200)
@given(st.binary(max_size=300))
def test_garbage_is_refused_by_name_and_nothing_else_happens(garbage: bytes) -> None:
    rows, problems = load.rows("p.csv", HEADER.encode() + b"\n" + garbage)
    assert rows == ()
    assert all(problem.startswith("p.csv") for problem in problems)


def test_a_configured_row_stands_over_a_shipped_one_from_its_start() -> None:
    shipped = {"shipped.csv": text(line(price="2"), line(unit="output_text", price="10"))}
    own = {"own.csv": text(line(price="3", valid_from="2026-02-01", source="our contract"))}
    rows = {row.price_id(): row for row in load.read(shipped, own).rows}
    book = load.book(shipped, own)
    assert book.version != load.book(shipped).version
    at = Circumstances("cloud", "m", "global", 1_767_225_600_000_000)
    for days, pico, source in (
        (30, 2, "a list"),
        (31, 3, "our contract"),
        (400, 3, "our contract"),
    ):
        later = msgspec.structs.replace(at, at_us=at.at_us + days * DAY_US)
        charge = rate(book, later, {"input_text": 1_000_000})
        assert charge.list_pico == pico * 10**12
        assert rows[str(charge.lines[0].price_id)].source == source


def test_configured_rows_that_overlap_each_other_are_refused_with_both_places() -> None:
    own = {"a.csv": text(GOOD), "b.csv": text(line(valid_from="2026-03-01"))}
    with pytest.raises(BookInvalid) as caught:
        load.book({"shipped.csv": text(line(price="9"))}, own)
    (problem,) = caught.value.problems
    assert problem.startswith("b.csv:2: cloud/m/global")
    assert problem.endswith("(a.csv:2)")


def test_a_header_with_other_columns_says_which() -> None:
    for header, said in (
        (HEADER.replace(",source_ref", ""), "missing: source_ref; "),
        (f"{HEADER},note", "not known: 'note'; "),
        (HEADER.replace("provider,model", "model,provider"), "in another order; "),
    ):
        _, (problem,) = load.rows("p.csv", f"{header}\n{GOOD}\n".encode())
        assert problem.startswith(f"p.csv:1: {said}the columns must be provider,model,")


def _mutated(data: st.DataObject, whole: bytes) -> bytes:
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(whole)))
        more = data.draw(
            st.sampled_from(
                [b'"', b",", b"\n", b"\r", b"\0", b"\xff", b"", b"\xef\xbb\xbf", b"9" * 500]
            )
        )
        whole = whole[:place] + more + whole[place + data.draw(st.integers(0, 3)) :]
    return whole


@settings(max_examples=150)
@given(data=st.data())
def test_whatever_stands_in_a_price_file_nothing_is_raised_and_every_problem_has_its_place(
    data: st.DataObject,
) -> None:
    whole = _mutated(data, text(line(), line(unit="output_text"), line(source='a ""list""')))
    rows, wrong = load.rows("p.csv", whole)
    assert all(problem.startswith(("p.csv:", "p.csv: not UTF-8")) for problem in wrong)
    assert rows or wrong


def test_a_mistake_is_told_with_the_line_that_an_editor_shows() -> None:
    files = [
        text("", "", line(), "", line(per="many")),
        text(line(source='"a\nlist\nof three"'), line(price="1"), line(per="many")),
    ]
    assert [load.rows("p.csv", file)[1][-1].split(":")[1] for file in files] == ["6", "6"]
    for broken, at in (
        (b'"provider"x,' + text(line()), 1),
        (text(line(), line(source='"a"x')), 3),
    ):
        (said,) = load.rows("p.csv", broken)[1]
        assert said.startswith(f"p.csv:{at}: ")
        assert "quotation mark" in said
