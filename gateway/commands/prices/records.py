"""Prices as programs and people read them: stable names, decimal text, dates without a time where they have none."""

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Final

import msgspec

from gateway.kernel.clock import instant
from gateway.kernel.money import format_usd
from gateway.pricing.book import Book
from gateway.pricing.charged import Price
from gateway.pricing.dimensions import ORDER, Dimension, position
from gateway.pricing.row import FOREVER, Layer, Row

_DAY_US: Final = 86_400_000_000
_PER: Final = {1: "", 1_000: " / 1k", 1_000_000: " / 1M"}
_GEO, _REGION = position(Dimension.GEO), position(Dimension.REGION)


class Asked(msgspec.Struct, frozen=True):
    """Which prices are meant; None asks for any. ``provider``, ``model``, ``unit`` are globs."""

    provider: str | None = None
    model: str | None = None
    unit: str | None = None
    scope: str | None = None
    tier: str | None = None
    layer: str | None = None

    def covers(self, unit: str, row: Row, terms: Mapping[Dimension, str]) -> bool:
        """Whether a price, of the row that holds its figure, is meant."""
        globs = (
            (self.provider, terms[Dimension.PROVIDER]),
            (self.model, terms[Dimension.MODEL]),
            (self.unit, unit),
        )
        words = (
            (self.scope, terms[Dimension.SCOPE]),
            (self.tier, terms[Dimension.TIER]),
            (self.layer, str(row.layer)),
        )
        return all(glob is None or fnmatchcase(text, glob) for glob, text in globs) and all(
            word in {None, text} for word, text in words
        )


class Quoted(msgspec.Struct, frozen=True):
    """A price as it stands, with the row that holds its figure; ``unit`` is what is charged by it."""

    unit: str
    place: tuple[str, ...]
    named: Mapping[Dimension, str]
    price: Price
    row: Row


def quoted(book: Book, asked: Asked, at_us: int | None) -> list[Quoted]:
    """The prices of a book that are meant, in a reader's order; at an instant, or all (None)."""
    rows = {row.price_id(): row for row in book.rows}
    found = [
        Quoted(one.unit, one.place, one.named, one.price, rows[one.price.id])
        for one in book.listed(at_us)
        if asked.covers(one.unit, rows[one.price.id], one.named)
    ]
    return sorted(found, key=_order)


def _order(one: Quoted) -> tuple[object, ...]:
    return (*one.named.values(), *one.place, one.unit, one.price.context_gt, one.price.since_us)


def record(one: Quoted) -> dict[str, object]:
    """A standing price for programs: the row's source, the validity that is left of it beside higher layers."""
    made = row_record(one.row) | {
        "unit": one.unit,
        "charged_as": one.row.unit if one.unit != one.row.unit else None,
        "valid_from": dated(one.price.since_us),
        "valid_to": dated(one.price.until_us),
    }
    terms = dict(zip(("geo", "region"), one.place, strict=True))
    return made | {name: term or None for name, term in terms.items()}


def row_record(row: Row) -> dict[str, object]:
    """A row for programs."""
    made: dict[str, object] = {"price_id": row.price_id()}
    made |= {name.value: term or None for name, term in zip(ORDER, row.terms, strict=True)}
    return made | {
        "unit": row.unit,
        "context_gt": row.context_gt,
        "price_usd": None if row.as_unit else format_usd(row.pico),
        "per": row.per,
        "charged_as": row.as_unit or None,
        "valid_from": dated(row.since_us),
        "valid_to": dated(row.until_us),
        "layer": str(row.layer),
        "import": row.issue if row.layer is Layer.IMPORTED else None,
        "source": row.source,
        "source_ref": row.source_ref,
        "evidence": row.evidence,
    }


def dated(us: int) -> str | None:
    """A UTC date, or a time where it is not a day's first instant; None: no end."""
    if us >= FOREVER:
        return None
    at = instant(us)
    return f"{at:%Y-%m-%d}" if us % _DAY_US == 0 else at.isoformat(timespec="seconds")


def figure(price: Price | Row | None) -> str:
    """'2.5 / 1M'; '=output_text' of a reference; n/a where there is none."""
    if price is None:
        return "n/a"
    if isinstance(price, Row) and price.as_unit:
        return f"={price.as_unit}"
    return f"{format_usd(price.pico)}{per_words(price.per)}"


def per_words(per: int) -> str:
    """' / 1M'."""
    return _PER.get(per, f" / {per:,}")


def place(terms: Iterable[str]) -> str:
    """'eu', 'swedencentral'; a middle dot: anywhere."""
    return "/".join(term for term in terms if term) or "·"


def where(row: Row) -> str:
    """A row's place in one word."""
    return place((row.terms[_GEO], row.terms[_REGION]))


def from_word(row: Row) -> str:
    """Whose row it is, for people."""
    if row.layer is Layer.IMPORTED:
        return f"import {row.issue}: {row.source}"
    return row.source if row.layer is Layer.SHIPPED else f"configured: {row.source}"
