"""weighbridge prices coverage: which families, scopes, tiers and classes of usage the book has prices for."""

from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated

import typer

from gateway import shipped
from gateway.catalog.coverage import CLASSES, Covered, coverage
from gateway.commands.moments import instant_of
from gateway.commands.output import CONSOLE, Listed, emit, table
from gateway.commands.prices.imports import current_book
from gateway.commands.prices.undecided import tell_unfit
from gateway.kernel.clock import SystemClock


def prices_coverage(
    *,
    provider: Annotated[str | None, typer.Option(help="only this cloud")] = None,
    model: Annotated[str | None, typer.Option(help="a glob; shows its models one by one")] = None,
    at: Annotated[str | None, typer.Option(help="date or time, UTC; now by default")] = None,
    config: Annotated[Path | None, typer.Option()] = None,
    json: Annotated[bool, typer.Option("--json", help="one object per line")] = False,
) -> None:
    """By provider and family: how many models have a price in each scope, tier and class of usage."""
    book = current_book(shipped.configured(config))
    if provider is not None:
        shipped.provider_named(provider)
    tell_unfit(book, model=model)
    asked = instant_of(at, "--at")
    at_us = SystemClock().wall_us() if asked is None else asked
    found = {
        name: covered
        for name, covered in coverage(book.rows, at_us, by_model=model is not None).items()
        if provider in (None, name[0]) and fnmatchcase(name[1], model or "*")
    }
    if json:
        for name, covered in found.items():
            emit(_record(name, covered, "model" if model else "family"))
    else:
        _show(found, "model" if model else "family")


def _record(name: tuple[str, str], covered: Covered, what: str) -> dict[str, object]:
    return {
        "provider": name[0],
        what: name[1],
        "models": len(covered.models),
        "rows": covered.rows,
        "scopes": _counted(covered.scopes),
        "tiers": _counted(covered.tiers),
        "classes": {word: len(covered.classes[word]) for word in CLASSES if covered.classes[word]},
        "long_context": len(covered.long_context),
        "evidence": dict(covered.evidence),
    }


def _counted(words: Mapping[str, set[str]]) -> dict[str, int]:
    return {word: len(models) for word, models in sorted(words.items())}


def _show(found: Mapping[tuple[str, str], Covered], what: str) -> None:
    shown = table(
        "What has a price (models)",
        (
            ("provider", "left"), (what, "left"), ("models", "right"), ("rows", "right"),
            ("scopes", "left"), ("tiers", "left"), ("classes", "left"), ("sure", "right"),
        ),
    )  # fmt: skip
    last = ""
    for (cloud, name), covered in found.items():
        if last not in ("", cloud):
            shown.add_section()
        last = cloud
        classes = {word: covered.classes[word] for word in CLASSES if covered.classes[word]}
        shown.add_row(
            cloud, name, str(len(covered.models)), f"{covered.rows:,}",
            _words(covered.scopes, covered), _words(covered.tiers, covered), _words(classes, covered),
            _sure(covered),
        )  # fmt: skip
    if not found:
        CONSOLE.print("nothing fits: fewer conditions")
        return
    CONSOLE.print(shown)
    models = sum(len(covered.models) for covered in found.values())
    rows = sum(covered.rows for covered in found.values())
    CONSOLE.print(
        f"{models:,} models, {rows:,} rows. A number says of how many models, where not of all; sure: figures "
        "the provider states or two sources agree on.",
        highlight=False, style="dim",
    )  # fmt: skip


def _words(words: Mapping[str, set[str]], covered: Covered) -> Listed:
    whole = len(covered.models)
    return Listed(
        *(
            word if len(models) == whole else f"{word} {len(models)}"
            for word, models in words.items()
        )
    )


def _sure(covered: Covered) -> str:
    total = covered.evidence.total()
    sure = covered.evidence["authoritative"] + covered.evidence["corroborated"]
    return f"{sure * 100 // total} %" if total else "n/a"
