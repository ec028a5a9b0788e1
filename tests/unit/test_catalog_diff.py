"""Two sets of price files: each kind of difference is told apart, and nothing else is one."""

from gateway.catalog.diff import Change, differences
from tests.unit.catalog_sources import files, line


def told(before: dict[str, bytes], after: dict[str, bytes]) -> list[tuple[str, int | None]]:
    return [(found.change, found.percent()) for found in differences(before, after)]


def test_the_same_files_and_the_same_rows_in_other_files_do_not_differ() -> None:
    book = files(line("2", "a"), line("3", "b", unit="output_text"))
    assert told(book, book) == []
    split = {
        "one.csv": files(line("2", "a"))["cloud.csv"],
        "two.csv": files(line("3", "b", unit="output_text"))["cloud.csv"],
        "folder/aliases.csv": b"anything",
    }
    assert told(book, split) == []


def test_each_kind_of_change_is_told_with_its_percentage() -> None:
    before = files(line("2", "a"), line("3", "b", unit="output_text"), line("1", "c", tier="batch"))
    after = files(
        line("3", "a"),
        line("3", "other", unit="output_text"),
        line("1", "c", tier="batch", until="2027-01-01"),
    )
    assert told(before, after) == [(Change.ENDS, 0), (Change.PRICE, 50), (Change.SOURCE, 0)]


def test_a_price_per_another_quantity_is_another_price_only_where_it_is() -> None:
    cheap = files(line("2", "a"))
    dear = files(line("2", "a").replace(",1000000,", ",1000,"))
    assert told(cheap, dear) == [(Change.PRICE, 99_900)]


def test_a_successor_is_added_with_what_it_follows_and_a_newcomer_without() -> None:
    before = files(line("2", "a"))
    after = files(
        line("2", "a", until="2026-12-01"),
        line("1", "a", since="2026-12-01"),
        line("9", "n", model="new"),
    )
    found = differences(before, after)
    assert [(d.change, d.percent(), d.line["model"]) for d in found] == [
        (Change.ENDS, 0, "m-1"),
        (Change.ADDED, -50, "m-1"),
        (Change.ADDED, None, "new"),
    ]
    assert [d.change for d in differences(after, before)] == [
        Change.ENDS,
        Change.REMOVED,
        Change.REMOVED,
    ]


def test_references_and_free_prices_have_no_percentage() -> None:
    before = files(line("0", "a"), line("=input_text", "b", unit="input_image"))
    after = files(line("2", "a"), line("1", "b", unit="input_image"))
    assert told(before, after) == [(Change.PRICE, None), (Change.PRICE, None)]
