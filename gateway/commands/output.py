"""How commands speak: a table or one JSON object per line; errors name the cure and end with status 2.

Nothing that is printed is read as markup, and no control character of a name reaches the terminal:
``plain`` for a value, ``styled`` for a sentence of ours with values in it, ``Table`` for rows.
"""

import json
import re
import sys
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, NoReturn

import orjson
from rich import table as rich_table
from rich.console import Console, ConsoleOptions, RenderableType
from rich.containers import Lines
from rich.markup import escape
from rich.measure import Measurement
from rich.segment import Segment
from rich.table import Column
from rich.text import Text

from gateway.commands.likeness import writable
from gateway.kernel.money import format_usd
from gateway.kernel.names import HIDDEN, escaped, hidden

PIPED_COLUMNS = 150  # tables keep their shape in files and logs
PROSE_COLUMNS = 28  # what a sentence in a column takes at least
WIDE_COLUMNS = 118  # narrower terminals get fewer columns rather than cut words

_PICTURES: Final = 0x2400  # U+2400 to U+241F show the control characters 0 to 31
_UNBOUNDED: Final = 10_000  # columns: what a table would take if it could
_DECIMAL: Final = re.compile(r"\D*\d[\d,]*(\.\d+)?…?")
_UNIT: Final = re.compile(r" (?:/ 1[kM]|%|ms|s)$")
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


def named(name: str, code: str, room: int) -> Text:
    """A name and, dim, its code: a name that is wider than ``room`` is cut, its code never is."""
    drawn = plain(name, no_wrap=True)
    drawn.truncate(room, overflow="ellipsis")  # by cells: a wide character takes two
    between = " " if name and code else ""
    return drawn + plain(f"{between}{code}", "dim")


class Listed(Text):
    """Several things in a row that is broken between them, never within one: ``cache read, image``."""

    def __init__(self, *parts: str | Text, between: str = ", ") -> None:
        super().__init__()
        self._starts: list[int] = []
        for at, part in enumerate(parts):
            if at:
                self.append(between)
            self._starts.append(len(self))
            _append(self, part, "", "")

    def wrap(self, console: Console, width: int, *how: Any, **other: Any) -> Lines:
        """Fill lines with whole parts; where one is wider than the column the words of all are broken."""
        if max(self._lengths(), default=0) > width:
            return super().wrap(console, width, *how, **other)
        breaks, begun = [], 0
        for at, end in self._parts()[1:]:
            if Text(self.plain[begun:end].rstrip()).cell_len > width:
                breaks.append(at)
                begun = at
        lines = self.divide(breaks)
        for line in lines:
            line.rstrip()
        return lines

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        """At least the longest part."""
        return Measurement(max(self._lengths(), default=0), self.cell_len)

    def _lengths(self) -> Iterator[int]:
        return (Text(self.plain[start:end].rstrip()).cell_len for start, end in self._parts())

    def _parts(self) -> list[tuple[int, int]]:
        return list(zip(self._starts, [*self._starts[1:], len(self)], strict=False))


class Table(rich_table.Table):
    """A table whose headings, title and cells are shown and never read; a cell is one line unless it is a Text.

    Decimal points of a right-justified column of bare numbers stand under each other. Columns whose heading is in
    ``spare`` stay away, in that order, where there is no room for all: what is left is not cut for them. A column of
    sentences, in ``prose``, may take further lines: room for a few of its words is enough.
    """

    spare: Sequence[str] = ()
    prose: Sequence[str] = ()

    def add_row(self, *cells: RenderableType | None, **how: Any) -> None:
        """Add a row."""
        shown = (plain(cell) if isinstance(cell, str) else cell for cell in cells)
        super().add_row(*shown, **how)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Any]:
        """Draw."""
        self._line_up()
        whole = self.columns
        self.columns = self._fitting(console, options)
        try:
            yield from super().__rich_console__(console, options)
        finally:
            self.columns = whole

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        """Measure what will be drawn."""
        self._line_up()
        whole = self.columns
        self.columns = self._fitting(console, options)
        try:
            return super().__rich_measure__(console, options)
        finally:
            self.columns = whole

    def _fitting(self, console: Console, options: ConsoleOptions) -> list[Column]:
        whole, found = self.columns, self.columns
        unbound = options.update(width=_UNBOUNDED)
        for heading in self.spare:
            self.columns = [
                replace(one, max_width=PROSE_COLUMNS) if str(one.header) in self.prose else one
                for one in found
            ]
            if super().__rich_measure__(console, unbound).maximum <= options.max_width:
                break
            left = (column for column in found if str(column.header) != heading)
            found = [replace(column, _index=at) for at, column in enumerate(left)]
        self.columns = whole
        return found

    def _line_up(self) -> None:
        for column in self.columns:
            cells = column._cells  # noqa: SLF001  # rich has no public way to a column's cells
            if column.justify != "right" or not all(isinstance(cell, Text) for cell in cells):
                continue
            numbers = [cell for cell in cells if isinstance(cell, Text) and _has_digit(cell.plain)]
            units = {_unit(number.plain) for number in numbers}
            tails = [_tail(number.plain) for number in numbers]
            if len(units) != 1 or not any(tails) or -1 in tails:
                continue
            room = {id(one): max(tails) - tail for one, tail in zip(numbers, tails, strict=True)}
            (unit,) = units
            column._cells[:] = [  # noqa: SLF001
                _Pointed(cell, room[id(cell)], unit)
                if isinstance(cell, Text) and id(cell) in room
                else cell
                for cell in cells
            ]


class _Pointed(Text):
    """A number that leaves room behind it, before its unit, so that its point stands under the others'."""

    def __init__(self, number: Text, room: int, unit: str) -> None:
        super().__init__(style=number.style, no_wrap=True)
        whole = number.copy()
        whole.rstrip()
        bare = whole[: len(whole) - len(unit)]
        bare.rstrip()
        self.append_text(bare)
        if unit:
            self.append(" " * room).append_text(whole[len(whole) - len(unit) :])
        self._room = 0 if unit else room

    def wrap(self, console: Console, width: int, *_: Any, **__: Any) -> Lines:
        """One line: the number, then its room, at the right."""
        line = self.copy()
        line.truncate(max(width - self._room, 0), overflow="ellipsis")
        line.pad_left(width - self._room - line.cell_len)
        line.pad_right(self._room)
        return Lines((line,))

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        """The number with its room: never cut."""
        return Measurement(self.cell_len + self._room, self.cell_len + self._room)


def _has_digit(said: str) -> bool:
    return any(character.isdigit() for character in said)


def _unit(said: str) -> str:
    """What stands behind a number: ' %', ' / 1M'; '' of a bare one."""
    found = _UNIT.search(said.rstrip())
    return found[0] if found else ""


def _tail(said: str) -> int:
    """How many columns follow the units' digit, before the unit; -1 where it is no number."""
    bare = said.rstrip().removesuffix(_unit(said)).rstrip()
    found = _DECIMAL.fullmatch(bare)
    return -1 if found is None else len(found[1] or "") + bare.endswith("…")


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
    """One JSON object on a line of its own; what a terminal could obey or cannot show is its JSON escape."""
    line = escaped(orjson.dumps(record).decode())
    if not writable(line):
        line = json.dumps(json.loads(line), separators=(",", ":"))
    sys.stdout.write(line + "\n")


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


def table(
    title: str | Text, columns: Iterable[tuple[str, str]], spare: Sequence[str] = ()
) -> Table:
    """An empty table in the house style; columns are (heading, 'left' | 'right'); ``spare``: as of Table."""
    if isinstance(title, Text):
        title = styled("[bold]{}[/]", title)
    drawn = Table(
        title=title,
        title_justify="left",
        title_style="bold",
        header_style="dim",
        box=None,
        pad_edge=False,
    )
    drawn.spare = spare
    for heading, justify in columns:
        drawn.add_column(
            heading, justify="right" if justify == "right" else "left", no_wrap=justify == "right"
        )
    return drawn


def fitting(*layouts: Callable[[], Table], width: int | None = None) -> Table:
    """Choose the first layout that the terminal has room for without a cut or a second line; else the last."""
    room = CONSOLE.width if width is None else width
    options = CONSOLE.options.update(width=_UNBOUNDED)
    drawn = layouts[0]()
    for layout in layouts[1:]:
        if Measurement.get(CONSOLE, options, drawn).maximum <= room:
            break
        drawn = layout()
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


def shown_usd(pico: int | None, places: int = 6, least: int = 2) -> str:
    """An amount for people, with ``least`` decimals or more: n/a where it is not known, never 0."""
    if pico is None:
        return "n/a"
    whole, _, rest = format_usd(pico).partition(".")
    shown = rest[:places].ljust(least, "0")
    return f"{whole}{shown and '.'}{shown}" + ("…" if len(rest) > places else "")
