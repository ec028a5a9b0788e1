"""weighbridge prices diff: two price files, or two folders of them, row by row."""

from collections import Counter
from pathlib import Path
from typing import Annotated, Final

import typer

from gateway import shipped
from gateway.catalog.diff import Change, Difference, differences
from gateway.catalog.finding import RULES
from gateway.catalog.lines import Cells
from gateway.catalog.lint import judge
from gateway.commands.output import CONSOLE, emit, stop, stop_all, styled, table
from gateway.commands.prices.lint import read_files
from gateway.kernel.clock import SystemClock

_SHIPPED: Final = "shipped"
_SHOWN: Final = 60
_GRAVEST: Final = (Change.PRICE, Change.ENDS, Change.REMOVED, Change.ADDED, Change.SOURCE)


def diff_prices(
    before: Annotated[str, typer.Argument(help="a price file, a folder of them, or 'shipped'")],
    after: Annotated[str, typer.Argument(help="the same; the shipped files by default")] = _SHIPPED,
    *,
    sources: Annotated[
        bool, typer.Option("--sources", help="also rows of which only the source differs")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="one object per line")] = False,
) -> None:
    """What was added, removed, repriced or ended between two sets; ends with status 1 where anything was."""
    found = differences(_files(before), _files(after))
    shown = [d for d in found if sources or d.change is not Change.SOURCE]
    if json:
        for difference in shown:
            emit(
                {
                    "change": str(difference.change),
                    "before": difference.before,
                    "after": difference.after,
                    "percent": difference.percent(),
                }
            )
    else:
        _show(shown, Counter(difference.change for difference in found))
    if shown:
        raise SystemExit(1)


def _files(name: str) -> dict[str, bytes]:
    """The files of a name. Stops where it is none, or where one would not load."""
    if name == _SHIPPED:
        return shipped.seed_files()
    path = Path(name)
    if path.is_dir():
        files = {one.name: one.read_bytes() for one in sorted(path.glob("*.csv"))}
        if not files:
            stop(f"{name}: no price files")
    else:
        files = read_files([path])
    found = judge(files, SystemClock().wall_us(), providers=shipped.provider_names())
    refused = [finding for finding in found if RULES[finding.rule] == "refused"]
    if refused:
        stop_all(f"{finding.origin}: {finding.text}" for finding in refused)
    return files


def _show(found: list[Difference], counts: Counter[Change]) -> None:
    shown = table(
        "",
        (("change", "left"), ("row", "left"), ("from", "left"), ("was", "right"), ("is", "right"), ("%", "right")),
        ("from",),
    )  # fmt: skip
    shown.columns[1].overflow = "fold"  # what is looked up by it is never cut
    for difference in sorted(found, key=_gravity)[:_SHOWN]:
        line, percent = difference.line, difference.percent()
        shown.add_row(
            str(difference.change), _named(line), line["valid_from"],
            _price(difference.before), _price(difference.after),
            "" if percent is None else f"{percent:+d}",
        )  # fmt: skip
    if found:
        CONSOLE.print(shown)
    if len(found) > _SHOWN:
        CONSOLE.print(styled("[dim]… and {:,} more: --json shows all[/]", len(found) - _SHOWN))
    said = ", ".join(f"{counts[change]:,} {change}" for change in Change if counts[change])
    CONSOLE.print(said or styled("[green]✓[/] not a row differs"), highlight=False)


def _gravity(difference: Difference) -> tuple[int, bool]:
    """What changes an amount before what is new, a successor before a newcomer."""
    return _GRAVEST.index(difference.change), difference.before is None


def _price(line: Cells | None) -> str:
    if line is None:
        return "none"
    until = f" until {line['valid_to']}" if line["valid_to"] else ""
    return f"{line['price']}{until}"


def _named(line: Cells) -> str:
    words = (line[name] for name in ("provider", "model", "scope", "geo", "region", "tier", "unit"))
    above = f">{int(line['context_gt']):,}" if line["context_gt"] != "0" else ""
    return "/".join(word or "-" for word in words) + above
