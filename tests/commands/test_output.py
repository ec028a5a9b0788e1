"""Names come from clients: every one is shown as it is, none is obeyed."""

import io
import re
import sys

import orjson
import pytest
from hypothesis import given, settings, strategies as st
from rich.text import Text

from gateway.commands import output
from gateway.commands.output import Screen, Table, plain, styled, table, visible

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
