"""weighbridge prices list and show: the book as it stands, shipped, configured and imported rows together."""

from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Final

import typer

from gateway import shipped
from gateway.commands.moments import instant_of
from gateway.commands.names import instead
from gateway.commands.output import CONSOLE, Table, emit, fitting, stop, table
from gateway.commands.prices.imports import current_book
from gateway.commands.prices.records import (
    Asked,
    Quoted,
    dated,
    figure,
    from_word,
    per_words,
    place,
    quoted,
    record,
    row_record,
    where,
)
from gateway.commands.prices.undecided import check_words, models_of, tell_unfit
from gateway.kernel.clock import SystemClock
from gateway.kernel.money import format_usd
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
    CONSOLE.print(
        _drawn(found[: limit or None], "Prices", f"catalog {book.catalog}")
        if found
        else "no price fits: fewer conditions, or another --at"
    )
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


_RIGHT: Final = ("context", "USD")
_LEFT_OUT: Final = (frozenset[str](), frozenset({"source"}), frozenset({"source", "layer", "from", "to"}))  # fmt: skip


def _drawn(found: Sequence[Quoted], what: str, *said: str) -> Table:
    """What is the same on every line stands in the title, what is on none stays away; then by the room there is."""
    lines = [_cells(one) for one in found]
    values = {name: {line[name] for line in lines} for name in lines[0]}
    same = [
        next(iter(values[name]))
        for name in _NAMES
        if len(values[name]) == 1 and "·" not in values[name]
    ]
    title = " · ".join([*filter(None, same), *said])
    names = [name for name in values if any(values[name]) and not (name in _NAMES and len(values[name]) == 1)]  # fmt: skip

    def laid_out(left_out: frozenset[str]) -> Table:
        columns = [name for name in names if name not in left_out]
        shown = table(f"{what} {title}".strip(), ((name, "right" if name in _RIGHT else "left") for name in columns))  # fmt: skip
        for line in lines:
            shown.add_row(*(line[name] for name in columns))
        return shown

    return fitting(*(partial(laid_out, left_out) for left_out in _LEFT_OUT))


_NAMES: Final = ("provider", "model", "scope", "place", "tier")


def _cells(one: Quoted) -> dict[str, str]:
    named, above = one.named, one.price.context_gt
    return {
        "provider": named[Dimension.PROVIDER],
        "model": named[Dimension.MODEL],
        "scope": named[Dimension.SCOPE],
        "place": place(one.place),
        "tier": named[Dimension.TIER],
        "unit": one.unit,
        "context": f"> {above:,}" if above else "",
        "USD": format_usd(one.price.pico),
        "per": per_words(one.price.per).removeprefix(" / ") or "1",
        "by the row of": one.row.unit if one.unit != one.row.unit else "",
        "from": dated(one.price.since_us) or "",
        "to": dated(one.price.until_us) or "",
        "layer": str(one.row.layer),
        "source": from_word(one.row),
    }


def _show_model(found: Sequence[Quoted]) -> None:
    groups: dict[tuple[str, ...], list[Quoted]] = defaultdict(list)
    for one in found:
        named = one.named
        groups[
            named[Dimension.PROVIDER], named[Dimension.MODEL],
            named[Dimension.SCOPE], place(one.place), named[Dimension.TIER],
        ].append(one)  # fmt: skip
    for prices in groups.values():
        CONSOLE.print(_drawn(prices, ""))
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
