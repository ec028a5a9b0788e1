"""weighbridge prices lint: price files judged before a request is charged by them."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Final

import typer

from gateway import shipped
from gateway.catalog.finding import RULES, Finding, faults
from gateway.catalog.lint import judge
from gateway.commands.output import CONSOLE, emit, stop_all, styled, table
from gateway.kernel.clock import SystemClock
from gateway.pricing import load
from gateway.pricing.row import Row

_BESIDE: Final = 24  # columns that what was found needs at least
_SHOWN_PER_RULE: Final = 12
_STYLE: Final = {"refused": "bold red", "implausible": "yellow", "notice": "dim"}


def lint_prices(
    files: Annotated[
        list[Path] | None,
        typer.Argument(help="price files; the shipped and configured ones by default"),
    ] = None,
    *,
    config: Annotated[Path | None, typer.Option(help="for [prices] files")] = None,
    json: Annotated[bool, typer.Option("--json", help="one object per line")] = False,
) -> None:
    """What would be refused, and what cannot be right; ends with status 1 where there is any."""
    seed, now_us = shipped.seed_files(), SystemClock().wall_us()
    named = files or [Path(name) for name in shipped.configured(config).prices.files]
    over = read_files(named)
    names = shipped.provider_names()
    found = judge(over, now_us, _rows(seed), names)
    if not files:
        found = (*judge(seed, now_us, providers=names), *found)
    judged = over if files else {**seed, **over}
    if json:
        for finding in found:
            emit(_record(finding))
    else:
        _show(found, judged)
    if faults(found):
        raise SystemExit(1)


def read_files(paths: Iterable[Path]) -> dict[str, bytes]:
    """The files by the name they were asked for. Stops with every one that is not there."""
    paths = tuple(paths)
    missing = [path for path in paths if not path.is_file()]
    if missing:
        stop_all(f"{path}: no such file" for path in missing)
    return {str(path): path.read_bytes() for path in paths}


def _rows(files: Mapping[str, bytes]) -> tuple[Row, ...]:
    named = {name for name in files if name not in (load.ALIASES, load.REGIONS)}
    return tuple(row for name in sorted(named) for row in load.rows(name, files[name])[0])


def _record(finding: Finding) -> dict[str, object]:
    return {
        "severity": finding.severity,
        "rule": finding.rule,
        "origin": finding.origin or None,
        "price_id": finding.price_id or None,
        "text": finding.text,
        "cure": finding.cure,
    }


def _show(found: Sequence[Finding], files: Mapping[str, bytes]) -> None:
    rows = sum(max(0, content.count(b"\n") - 1) for content in files.values())
    by_rule: dict[str, list[Finding]] = defaultdict(list)
    for finding in found:
        by_rule[finding.rule].append(finding)
    for rule in sorted(by_rule, key=list(RULES).index):
        _show_rule(rule, by_rule[rule])
    grave = len(faults(found))
    colour, mark = ("yellow", "✗") if grave else ("green", "✓")
    rest = len(found) - grave
    CONSOLE.print(
        styled(
            "[{}]{}[/] {:,} lines of {} file{}: {} to mend, {} to know",
            colour,
            mark,
            rows,
            len(files),
            "" if len(files) == 1 else "s",
            grave or "nothing",
            rest or "nothing",
        ),
        highlight=False,
    )


def _show_rule(rule: str, found: Sequence[Finding]) -> None:
    style = _STYLE[RULES[rule]]
    shown = table(
        styled("[{}]{}[/] · {} · {}", style, RULES[rule], rule.replace("_", " "), len(found)),
        (("where", "left"), ("row", "left"), ("found", "left")),
    )
    longest = max(len(one.origin) + len(one.price_id) for one in found[:_SHOWN_PER_RULE])
    # What is searched for in the file is never cut: on one line where it can be.
    for column in shown.columns[:2]:
        column.no_wrap, column.overflow = longest < CONSOLE.width - _BESIDE, "fold"
    for finding in found[:_SHOWN_PER_RULE]:
        shown.add_row(finding.origin, finding.price_id, finding.text)
    CONSOLE.print(shown)
    if len(found) > _SHOWN_PER_RULE:
        CONSOLE.print(
            styled("[dim]… and {} more: --json shows all[/]", len(found) - _SHOWN_PER_RULE)
        )
    for cure in dict.fromkeys(finding.cure for finding in found):
        CONSOLE.print(styled("[dim]→ {}[/]\n", cure), highlight=False)
