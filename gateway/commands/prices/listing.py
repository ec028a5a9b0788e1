"""weighbridge prices list and show: the book as it stands, shipped, configured and imported rows together."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

import typer

from gateway import shipped
from gateway.commands.moments import instant_of
from gateway.commands.names import instead
from gateway.commands.output import CONSOLE, emit, stop, table, wide
from gateway.commands.prices.imports import current_book
from gateway.commands.prices.records import (
    Asked,
    Quoted,
    dated,
    figure,
    from_word,
    place,
    quoted,
    record,
    row_record,
    where,
)
from gateway.commands.prices.undecided import check_words, models_of, tell_unfit
from gateway.kernel.clock import SystemClock
from gateway.pricing.book import Book
from gateway.pricing.dimensions import Dimension
from gateway.pricing.importing import slot_of
from gateway.pricing.row import Row

_SHOWN: Final = 60
Text = Annotated[str | None, typer.Option()]
Path_ = Annotated[Path | None, typer.Option("--config", help="configuration file")]
Json = Annotated[bool, typer.Option("--json", help="one object per line")]
At = Annotated[str | None, typer.Option(help="date or time; now by default")]


def list_prices(
    *,
    provider: Text = None,
    model: Annotated[str | None, typer.Option(help="a glob: 'gpt-5*'")] = None,
    unit: Annotated[str | None, typer.Option(help="a glob: 'cache_*'")] = None,
    scope: Text = None,
    tier: Text = None,
    layer: Annotated[str | None, typer.Option(help="shipped, configured or imported")] = None,
    at: At = None,
    limit: Annotated[int, typer.Option(min=0, help="rows of the table; 0 for all")] = _SHOWN,
    config: Path_ = None,
    json: Json = False,
) -> None:
    """The prices that are valid at an instant, by model, scope, place, tier and unit."""
    check_words(scope=scope, tier=tier, layer=layer)
    asked = Asked(provider, model, unit, scope, tier, layer)
    book = _book(config)
    tell_unfit(book, provider=provider, model=model, unit=unit)
    found = quoted(book, asked, _at(at))
    if json:
        for one in found:
            emit(record(one))
        return
    shown = table(
        f"Prices, catalog {book.catalog}",
        (
            ("provider", "left"), ("model", "left"), ("scope", "left"), ("place", "left"),
            ("tier", "left"), *_COLUMNS,
        ),
    )  # fmt: skip
    for one in found[: limit or None]:
        named = one.named
        shown.add_row(
            named[Dimension.PROVIDER], named[Dimension.MODEL], named[Dimension.SCOPE],
            place(one.place), named[Dimension.TIER], *_cells(one),
        )  # fmt: skip
    CONSOLE.print(shown if found else "no price fits: fewer conditions, or another --at")
    if limit and len(found) > limit:
        CONSOLE.print(f"… and {len(found) - limit:,} more (--limit 0 for all)", highlight=False)


def show_price(
    name: Annotated[str, typer.Argument(help="a model, as the book names it, or a price id")],
    *,
    at: At = None,
    config: Path_ = None,
    json: Json = False,
) -> None:
    """Everything the book holds for a model now; or one row with its source and what came before and after it."""
    book = _book(config)
    rows = {row.price_id(): row for row in book.rows}
    if name in rows:
        _show_row(book, rows[name], json=json)
        return
    found = quoted(book, Asked(model=name), _at(at))
    if not found:
        there = instead(name, models_of(book), "weighbridge prices list")
        stop(f"the book has no model and no price {name!r} then{there}")
    for one in found if json else ():
        emit(record(one))
    if not json:
        _show_model(found)


_COLUMNS: Final = (
    ("unit", "left"), ("context", "right"), ("USD", "right"), ("from", "left"), ("to", "left"),
    ("source", "left"),
)  # fmt: skip


def _cells(one: Quoted) -> tuple[str, ...]:
    above = one.price.context_gt
    reference = f" (as {one.row.unit})" if one.unit != one.row.unit else ""
    return (
        one.unit + reference, f"> {above:,}" if above else "", figure(one.price),
        dated(one.price.since_us) or "", dated(one.price.until_us) or "",
        from_word(one.row) if wide() else str(one.row.layer),
    )  # fmt: skip


def _show_model(found: Sequence[Quoted]) -> None:
    groups: dict[tuple[str, ...], list[Quoted]] = defaultdict(list)
    for one in found:
        named = one.named
        groups[
            named[Dimension.PROVIDER], named[Dimension.MODEL],
            named[Dimension.SCOPE], place(one.place), named[Dimension.TIER],
        ].append(one)  # fmt: skip
    for (provider, model, scope, spot, tier), prices in groups.items():
        somewhere = "" if spot == "·" else f" · {spot}"
        shown = table(f"{provider} · {model} · {scope}{somewhere} · {tier}", _COLUMNS)
        for one in prices:
            shown.add_row(*_cells(one))
        CONSOLE.print(shown)
        CONSOLE.print()


def _show_row(book: Book, row: Row, *, json: bool) -> None:
    """A row, and the others of its key in the order of their starts."""
    others = sorted(
        (other for other in book.rows if slot_of(other) == slot_of(row)),
        key=lambda other: (other.since_us, other.issue),
    )
    if json:
        emit(row_record(row) | {"same_key": [row_record(other) for other in others]})
        return
    shown = table(row.price_id(), (("", "left"), ("", "left")))
    for name, value in row_record(row).items():
        if name != "price_id" and value not in {None, ""}:
            shown.add_row(name, str(value))
    CONSOLE.print(shown)
    CONSOLE.print()
    history = table(
        "Rows of this key",
        (("layer", "left"), ("place", "left"), ("USD", "right"), ("from", "left"), ("to", "left"), ("source", "left")),
    )  # fmt: skip
    for other in others:
        history.add_row(
            str(other.layer), where(other), figure(other), dated(other.since_us),
            dated(other.until_us) or "", from_word(other),
        )  # fmt: skip
    CONSOLE.print(history)


def _book(config: Path | None) -> Book:
    return current_book(shipped.configured(config))


def _at(text: str | None) -> int:
    return SystemClock().wall_us() if text is None else instant_of(text, "--at")
