"""How commands speak: a table or one JSON object per line; errors name the cure and end with status 2."""

import sys
from collections.abc import Iterable, Mapping
from typing import NoReturn

import orjson
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from gateway.kernel.money import format_usd

PIPED_COLUMNS = 150  # tables keep their shape in files and logs
CONSOLE = Console(width=None if sys.stdout.isatty() else PIPED_COLUMNS)
ERRORS = Console(stderr=True)


def emit(record: Mapping[str, object]) -> None:
    """One JSON object on a line of its own."""
    sys.stdout.write(orjson.dumps(record).decode() + "\n")


def stop(message: str) -> NoReturn:
    """Say what is wrong and how to mend it; end with status 2."""
    stop_all((message,))


def table(title: str, columns: Iterable[tuple[str, str]]) -> Table:
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


WIDE_COLUMNS = 118  # narrower terminals get fewer columns rather than cut words


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


def stop_all(problems: Iterable[str]) -> NoReturn:
    """Say everything that is wrong; end with status 2."""
    complain(problems)
    raise SystemExit(2)


def complain(problems: Iterable[str]) -> None:
    """Say everything that is wrong, each on a line of its own, and go on."""
    for problem in problems:
        ERRORS.print(f"[bold red]✗[/] {escape(problem)}", highlight=False, soft_wrap=True)
