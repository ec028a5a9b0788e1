"""How commands speak: a table or one JSON object per line; errors name the cure and end with status 2.

Nothing that is printed is read as markup, and no control character of a name reaches the terminal:
``plain`` for a value, ``styled`` for a sentence of ours with values in it, ``Table`` for rows.
"""

import re
import sys
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Any, Final, NoReturn

import orjson
from rich import table as rich_table
from rich.console import Console, ConsoleOptions, RenderableType
from rich.markup import escape
from rich.segment import Segment
from rich.text import Text

from gateway.kernel.money import format_usd
from gateway.kernel.names import HIDDEN, hidden

PIPED_COLUMNS = 150  # tables keep their shape in files and logs
WIDE_COLUMNS = 118  # narrower terminals get fewer columns rather than cut words

_PICTURES: Final = 0x2400  # U+2400 to U+241F show the control characters 0 to 31
_PARTS: Final = re.compile(r"\[(/|[a-z ]+|\{\})\]|\{([^{}]*)\}")


def visible(value: object) -> str:
    r"""A value as one line that a terminal only shows: ESC as ␛, a newline as ␊, an override as ``\u202e``."""
    said = str(value)
    if not hidden(said):
        return said
    return "".join(_shown(character) for character in said)


def _shown(character: str) -> str:
    if unicodedata.category(character) not in HIDDEN:
        return character
    code = ord(character)
    if code < ord(" "):
        return chr(_PICTURES + code)
    return "␡" if code == 0x7F else f"\\u{code:04x}"  # noqa: PLR2004  # DEL


def _lines(value: str) -> str:
    """The same, but newlines stay: they are ours where a whole message is printed."""
    return "\n".join(visible(line) for line in value.split("\n"))


def plain(value: object, style: str = "", *, no_wrap: bool | None = None) -> Text:
    """A value in one style: shown, never read."""
    return Text(visible(value), style=style, no_wrap=no_wrap)


def styled(template: str, *values: object) -> Text:
    """A sentence of ours: ``[bold]…[/]`` styles, ``[{}]`` takes the next value as a style, ``{:,}`` shows it.

    The template is a constant (tests/architecture); a value is never read as markup, and may be a Text.
    """
    drawn, styles, rest, at = Text(), [""], iter(values), 0
    for part in _PARTS.finditer(template):
        drawn.append(template[at : part.start()], styles[-1])
        at, tag = part.end(), part[1]
        if tag == "/":
            styles.pop()
        elif tag is not None:
            styles.append(str(next(rest)) if tag == "{}" else tag)
        else:
            _append(drawn, next(rest), part[2].removeprefix(":"), styles[-1])
    drawn.append(template[at:], styles[-1])
    return drawn


def _append(drawn: Text, value: object, form: str, style: str) -> None:
    if isinstance(value, Text):
        styled = value.copy()
        if style:
            styled.stylize_before(style)
        drawn.append_text(styled)
    else:
        drawn.append(visible(format(value, form)), style)


class Table(rich_table.Table):
    """A table whose headings, title and cells are shown and never read; a cell is one line unless it is a Text."""

    def add_row(self, *cells: RenderableType | None, **how: Any) -> None:
        """Add a row."""
        shown = (plain(cell) if isinstance(cell, str) else cell for cell in cells)
        super().add_row(*shown, **how)


class Screen(Console):
    """A console that reads no markup and no emoji names, and shows control characters."""

    def __init__(self, **how: Any) -> None:
        super().__init__(**how, markup=False, emoji=False)

    def render_str(self, text: str, **how: Any) -> Text:
        """Make a text of a string: lines stay, other control characters are shown."""
        return super().render_str(_lines(text), **{**how, "markup": False, "emoji": False})

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """Draw; a control character in whatever was drawn is shown, also where no function of this room made it."""
        for segment in super().render(renderable, options):
            is_ours = segment.control or segment.text == "\n"
            yield segment if is_ours else Segment(_lines(segment.text), segment.style)


CONSOLE: Final = Screen(width=None if sys.stdout.isatty() else PIPED_COLUMNS)
ERRORS: Final = Screen(stderr=True)


def emit(record: Mapping[str, object]) -> None:
    """One JSON object on a line of its own; what a terminal could obey is written as its JSON escape."""
    line = orjson.dumps(record).decode()
    if not line.isprintable():
        line = "".join(_escaped(character) for character in line)
    sys.stdout.write(line + "\n")


def _escaped(character: str) -> str:
    if unicodedata.category(character) not in HIDDEN:
        return character
    units = character.encode("utf-16-be")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))


def as_written(command: Any) -> Any:
    """Let the help of a command and of those below it be shown as it is written: rich help would read ``[prices]``."""
    for below in getattr(command, "commands", {}).values():
        as_written(below)
    for described in (command, *command.params):
        described.help = escape(getattr(described, "help", None) or "") or None
    return command


def stop(message: str) -> NoReturn:
    """Say what is wrong and how to mend it; end with status 2."""
    stop_all((message,))


def stop_all(problems: Iterable[str]) -> NoReturn:
    """Say everything that is wrong; end with status 2."""
    complain(problems)
    raise SystemExit(2)


def complain(problems: Iterable[str]) -> None:
    """Say everything that is wrong, each on a line of its own, and go on."""
    for problem in problems:
        ERRORS.print(styled("[bold red]✗[/] {}", problem), soft_wrap=True)


def table(title: str | Text, columns: Iterable[tuple[str, str]]) -> Table:
    """An empty table in the house style; columns are (heading, 'left' | 'right')."""
    drawn = Table(
        title=title,
        title_justify="left",
        title_style="bold",
        header_style="dim",
        box=None,
        pad_edge=False,
    )
    for heading, justify in columns:
        drawn.add_column(
            heading, justify="right" if justify == "right" else "left", no_wrap=justify == "right"
        )
    return drawn


def grid(*, expand: bool = False, padding: tuple[int, int, int, int]) -> Table:
    """An empty table without headings and lines: to set things beside each other."""
    return Table(box=None, show_header=False, show_edge=False, collapse_padding=True, pad_edge=False, expand=expand, padding=padding)  # fmt: skip


def wide() -> bool:
    """Whether the terminal has room for every column."""
    return CONSOLE.width >= WIDE_COLUMNS


def usd(pico: int | None) -> str | None:
    """Decimal text of an amount, None where it is not known."""
    return None if pico is None else format_usd(pico)


def shown_usd(pico: int | None, places: int = 6) -> str:
    """An amount for people: n/a where it is not known, never 0."""
    if pico is None:
        return "n/a"
    whole, _, rest = format_usd(pico).partition(".")
    return f"{whole}.{rest[:places].ljust(2, '0')}" + ("…" if len(rest) > places else "")
