"""Names come from clients: every one is shown as it is, none is obeyed."""

import io
import re
import sys

import orjson
import pytest
from hypothesis import given, settings, strategies as st
from rich.text import Text

from gateway.commands import output
from gateway.commands.output import (
    Listed,
    Screen,
    Table,
    fitting,
    plain,
    styled,
    table,
    visible,
)

COLOURS = re.compile(r"\x1b\[[0-9;]*m")
OBEYED = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]")
NASTY = [
    "[",
    "]",
    "/",
    "[/]",
    "[bold]",
    "[red",
    "\\",
    "{}",
    "{",
    ":smile:",
    "%5B",
    "a",
    "é",
    "漢",
    " ",
]
OBEYED_NAMES = [
    "\x1b[31m",
    "\x1b]0;x\x07",
    "\n",
    "\r",
    "\t",
    "\x00",
    "\x7f",
    "\x9b1m",
    "\u202e",
    "\u2028",
    "\u200b",
]
names = st.lists(st.sampled_from(NASTY + OBEYED_NAMES), max_size=8).map("".join)


def printed(*drawn: object, colour: bool = True) -> str:
    file = io.StringIO()
    screen = Screen(file=file, width=400, force_terminal=colour, color_system="standard" if colour else None)  # fmt: skip
    for each in drawn:
        screen.print(each)
    return file.getvalue()


@given(names, names, names)
@settings(max_examples=200)
def test_a_name_is_legible_wherever_it_is_drawn_and_nothing_in_it_reaches_the_terminal(
    first: str, second: str, third: str
) -> None:
    shown = table(styled("Of {}", first), (("name", "left"), (second, "right")))
    shown.add_row(first, styled("[bold]{}[/] {} [{}]{}[/]", second, plain(third, "red"), "green", first))  # fmt: skip
    said = printed(shown, styled("[bold red]✗[/] {}", third), f"{first}{third}", Text(second))
    assert OBEYED.search(COLOURS.sub("", said)) is None
    whole = COLOURS.sub("", said)
    assert f"✗ {visible(third)}".rstrip() in whole
    for name in (first, second, third):
        assert visible(name).strip() in whole
    assert visible(first) == visible(visible(first))


def test_what_a_terminal_would_obey_is_shown_by_its_picture_or_its_number() -> None:
    assert visible("a\x1b[31mR\x00\x7f\n\t") == "a␛[31mR␀␡␊␉"
    assert visible("a\u202eb\x9bc\u200bd") == "a\\u202eb\\u009bc\\u200bd"
    assert visible("Zoë 漢字 🙂 [prod] :smile:") == "Zoë 漢字 🙂 [prod] :smile:"


@given(names)
def test_json_is_exact_and_carries_nothing_that_a_terminal_obeys(name: str) -> None:
    file = io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdout", file)
        output.emit({"name": name})
    assert orjson.loads(file.getvalue()) == {"name": name}
    assert OBEYED.search(file.getvalue()) is None


def test_a_table_of_a_subclass_keeps_its_colours() -> None:
    shown = Table(box=None, show_header=False)
    shown.add_row("[red]a[/]", styled("[red]b[/]"))
    assert "[red]a[/]" in printed(shown)
    assert "\x1b[31mb" in printed(shown)


def drawn_in(width: int, shown: Table) -> list[str]:
    file = io.StringIO()
    Screen(file=file, width=width).print(shown)
    return file.getvalue().rstrip("\n").split("\n")


amounts = st.decimals(min_value=0, max_value=10**6, places=9).map(
    lambda one: f"{one.normalize():f}"
)


@given(st.lists(amounts, min_size=1, max_size=6), st.sampled_from([[], ["b"]]))
def test_decimal_points_of_a_column_stand_under_each_other(
    found: list[str], after: list[str]
) -> None:
    columns = [("what", "left"), ("USD", "right"), ("after", "left")]
    shown = table("", columns[: 2 + len(after)])
    for amount in [*found, "n/a"]:
        shown.add_row("a", amount, *after)
    lines = drawn_in(80, shown)[-len(found) - 1 :]
    ends = {
        line.index(one) + len(one.partition(".")[0])
        for line, one in zip(lines, found, strict=False)
    }
    assert len(ends) == 1
    assert "n/a" in lines[-1]


def test_a_column_of_words_with_numbers_in_them_stays_as_it_is() -> None:
    shown = table("", (("what", "left"), ("size", "right")))
    for size in ("1.25 MiB", "3 MiB", "7"):
        shown.add_row("a", size)
    assert [line[-1] for line in drawn_in(40, shown)[-3:]] == ["B", "B", "7"]


def test_things_in_a_row_are_broken_between_them_and_never_within_one() -> None:
    shown = table("", (("classes", "left"),))
    shown.add_row(Listed("text", "cache read", "cache write", "image 1"))
    assert [line.strip() for line in drawn_in(18, shown)[-3:]] == [
        "text, cache read,",
        "cache write,",
        "image 1",
    ]
    shown = table("", (("how known", "left"),))
    shown.add_row(Listed("estimated", styled("[yellow]{}[/]", "unpriced"), between=" · "))
    assert drawn_in(40, shown)[-1].strip() == "estimated · unpriced"


def test_the_first_layout_that_fits_is_taken_and_the_last_where_none_does() -> None:
    def of(columns: int) -> Table:
        shown = table("", ((f"column {at}", "left") for at in range(columns)))
        shown.add_row(*(["x" * 20] * columns))
        return shown

    layouts = [lambda: of(4), lambda: of(3), lambda: of(2)]
    assert [len(fitting(*layouts, width=width).columns) for width in (100, 70, 45, 10)] == [
        4,
        3,
        2,
        2,
    ]


def test_columns_that_can_be_spared_stay_away_in_their_order_and_what_is_left_is_whole() -> None:
    heads = (("model", "left"), ("input", "right"), ("cached", "right"), ("USD", "right"))
    shown = table("", heads, ("cached", "input"))
    shown.add_row("anthropic.claude-sonnet-4-6", "1,000,000", "2,000,000", "12.5")
    shown.add_row("gpt-5.4", "1", "2", "0.25")
    heads_in = {width: drawn_in(width, shown)[0].split() for width in (80, 50, 40)}
    assert heads_in == {
        80: ["model", "input", "cached", "USD"],
        50: ["model", "input", "USD"],
        40: ["model", "USD"],
    }
    assert "anthropic.claude-sonnet-4-6  12.5" in drawn_in(40, shown)[1]
    assert len(shown.columns) == len(heads)


def test_points_stand_under_each_other_before_a_unit_that_all_have() -> None:
    shown = table("", (("row", "left"), ("was USD", "right")))
    for price in ("0.825 / 1M", "14 / 1M", "n/a"):
        shown.add_row("a", price)
    for _ in range(2):  # drawing twice changes nothing
        assert [line[5:] for line in drawn_in(40, shown)[-3:]] == [
            " 0.825 / 1M",
            "14     / 1M",
            "        n/a",
        ]
