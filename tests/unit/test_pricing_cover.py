"""Before forwarding: what has a price, what has not, and which line would cure it."""

import csv
import io

import msgspec

from gateway.pricing import load
from gateway.pricing.book import Book
from gateway.pricing.cover import Coverage, covers, cure_row, lacking
from gateway.pricing.dimensions import Circumstances
from gateway.pricing.rate import Status
from gateway.pricing.row import Row

NOON_US = 1_795_348_800_000_000  # 2026-11-22 12:00


def row(unit: str, region: str = "", pico: int = 1, **changes: object) -> Row:
    scope = "regional" if region else "global"
    terms = ("cloud", "m", scope, "", region, "standard")
    return Row(terms=terms, unit=unit, pico=pico, source="s", evidence="manual", **changes)  # type: ignore[arg-type]  # by name


BOOK = Book.compile(
    [
        row("input_text"),
        row("output_text", until_us=5),
        row("input_text", "here", 1),
        row("input_text", "there", 2),
    ]
)


def cloud(scope: str | None = "global", model: str | None = "m") -> Circumstances:
    return Circumstances("cloud", model, scope, NOON_US)


def test_a_model_with_any_price_is_covered() -> None:
    assert covers(BOOK, cloud()).status is Status.PRICED


def test_asked_units_must_have_a_price_then_and_there() -> None:
    asked = ("input_text", "output_text")
    assert covers(BOOK, cloud(), asked) == Coverage(
        Status.PARTIAL,
        ("output_text",),
        "provider=cloud model=m scope=global geo=? region=? tier=standard",
    )
    assert covers(BOOK, cloud(), asked[1:]).status is Status.UNPRICED
    assert covers(BOOK, cloud(), asked[:1]).status is Status.PRICED


def test_an_unknown_key_is_unpriced_and_says_what_is_missing() -> None:
    found = covers(BOOK, cloud(None, None), ("input_text",))
    assert (found.status, found.missing) == (Status.UNPRICED, ("input_text",))
    assert "model=? scope=?" in found.key
    assert covers(BOOK, cloud("data_zone")).status is Status.UNPRICED


def test_a_place_that_decides_and_is_not_known_is_ambiguous() -> None:
    assert covers(BOOK, cloud("regional")).status is Status.AMBIGUOUS
    assert covers(BOOK, cloud("regional"), ("input_text", "output_text")) == Coverage(
        Status.AMBIGUOUS,
        ("output_text",),
        "provider=cloud model=m scope=regional geo=? region=? tier=standard",
    )


def test_the_cure_is_a_line_that_loads_once_price_and_source_are_filled_in() -> None:
    line = cure_row(cloud("data_zone", "new, model"), "output_text")
    cells = dict(zip(load.COLUMNS, next(csv.reader(io.StringIO(line))), strict=True))
    assert cells["model"] == "new, model"
    assert (cells["scope"], cells["unit"], cells["valid_from"]) == (
        "data_zone", "output_text", "2026-11-22",
    )  # fmt: skip
    filled = line.replace("<USD>", "1.5").replace("<where the price is from>", "a list")
    book = load.book({"p.csv": f"{','.join(load.COLUMNS)}\n{filled}\n".encode()})
    assert covers(book, cloud("data_zone", "new, model"), ("output_text",)).status is Status.PRICED


def test_the_cure_of_an_unknown_model_leaves_the_cell_to_fill_in() -> None:
    cells = dict(
        zip(load.COLUMNS, cure_row(cloud(None, None), "input_text").split(","), strict=True)
    )
    assert (cells["model"], cells["scope"], cells["region"]) == ("", "global", "")


def test_what_lacks_a_price_is_told_from_its_first_time_until_a_price_begins() -> None:
    def found(first: int, last: int, *spans: tuple[int, int]) -> tuple[int, int | None] | None:
        rows = [row("output_text", since_us=since, until_us=until) for since, until in spans]
        book = Book.compile([row("input_text"), row("output_text", "here"), *rows])
        at = msgspec.structs.replace(cloud(), at_us=first)
        return lacking(book, at, last, "output_text")

    assert found(10, 20) == (10, None)
    assert found(10, 20, (0, 30)) is None
    assert found(10, 20, (0, 12), (12, 30)) is None
    assert found(10, 20, (15, 30)) == (10, 15)
    assert found(10, 20, (25, 30)) == (10, 25)
    assert found(10, 20, (5, 15)) == (15, None)
    assert found(10, 20, (5, 15), (18, 40)) == (15, 18)
    assert found(10, 20, (5, 21)) is None
    assert found(10, 20, (5, 20)) == (20, None)


def test_a_lack_begins_once_however_often_other_prices_of_the_model_change() -> None:
    others = [row("input_text", since_us=since, until_us=since + 5) for since in (0, 5, 10, 15, 20)]
    book = Book.compile([*others, row("output_text", since_us=22)])
    at = msgspec.structs.replace(cloud(), at_us=7)
    assert lacking(book, at, 20, "output_text") == (7, 22)


def test_a_cure_that_ends_says_so() -> None:
    cells = dict(
        zip(
            load.COLUMNS,
            cure_row(cloud(), "output_text", NOON_US + 43_200_000_000).split(","),
            strict=True,
        )
    )
    assert (cells["valid_from"], cells["valid_to"]) == ("2026-11-22", "2026-11-23")
