"""Price files → book: text of CSV in, rows out; opens no files. Every mistake is reported with its line.

One file per provider, one row per price, so that a change is a reviewable diff. Columns: one per
``Dimension``, then ``FIGURES``. To add a column: its name there and its cell in ``_row``.
"""

import csv
import io
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from difflib import get_close_matches
from functools import lru_cache
from typing import Final, TypeVar

import msgspec

from gateway.kernel.clock import epoch_us
from gateway.kernel.money import parse_usd
from gateway.pricing.atlas import Region
from gateway.pricing.book import Alias, Book
from gateway.pricing.dimensions import ORDER
from gateway.pricing.row import FOREVER, Layer, Row

FIGURES: Final = (
    "unit", "context_gt", "price", "per", "currency", "valid_from", "valid_to",
    "source", "source_ref", "evidence",
)  # fmt: skip
COLUMNS: Final = (*[name.value for name in ORDER], *FIGURES)
ALIASES: Final = "aliases.csv"
REGIONS: Final = "regions.csv"
ALIAS_COLUMNS: Final = ("provider", "wire", "canonical", "source")
REGION_COLUMNS: Final = ("provider", "region", "geo", "partition")
_CURRENCY: Final = "USD"
_AS_UNIT: Final = "="
_DATES_MAX: Final = 1024  # a book has few distinct dates, repeated on thousands of rows
_NAME_CHARS_MAX: Final = 40
_CELL_CHARS_MAX: Final = 400  # a cell is a figure or a remark, never a document

_Made = TypeVar("_Made")
Cells = dict[str, str]


class Listing(msgspec.Struct, frozen=True):
    """What a set of price files says, read and not yet compiled."""

    rows: tuple[Row, ...]
    aliases: tuple[Alias, ...] = ()
    regions: tuple[Region, ...] = ()
    problems: tuple[str, ...] = ()

    def book(self, imported: Iterable[Row] = ()) -> Book:
        """The book of these files and of the rows imported into the database, in whichever order they come.

        Raises BookInvalid with every problem of every file at once.
        """
        return Book.compile(
            (*self.rows, *sorted(imported, key=Row.price_id)),
            aliases=self.aliases,
            regions=self.regions,
            problems=self.problems,
        )


def read(
    files: Mapping[str, bytes],
    configured: Mapping[str, bytes] | None = None,
    providers: Collection[str] | None = None,
) -> Listing:
    """What the shipped files say, and the configured price files over them; never raises.

    files      by name: ``aliases.csv``, ``regions.csv``, and any number of price files
    providers  the names a line may carry; None: any (files judged before, read again)
    """
    problems: list[str] = []
    aliases: list[Alias] = []
    regions: list[Region] = []
    found: list[Row] = []
    for name, content in sorted(files.items()):
        if name == ALIASES:
            aliases += lines_of(name, content, ALIAS_COLUMNS, _of(providers, _alias), problems)
        elif name == REGIONS:
            regions += lines_of(name, content, REGION_COLUMNS, _of(providers, _region), problems)
        else:
            found += lines_of(name, content, COLUMNS, _of(providers, _row), problems)
    for name, content in (configured or {}).items():
        extra, wrong = rows(name, content, providers)
        found += [msgspec.structs.replace(row, layer=Layer.CONFIGURED) for row in extra]
        problems += wrong
    return Listing(tuple(found), tuple(aliases), tuple(regions), tuple(problems))


def book(
    files: Mapping[str, bytes],
    configured: Mapping[str, bytes] | None = None,
    providers: Collection[str] | None = None,
) -> Book:
    """The book of a set of files. Raises BookInvalid with every problem of every file at once."""
    return read(files, configured, providers).book()


def rows(
    name: str, content: bytes, providers: Collection[str] | None = None
) -> tuple[tuple[Row, ...], tuple[str, ...]]:
    """The rows of one price file, and what is wrong with the lines that gave none; ``providers`` as for ``read``."""
    problems: list[str] = []
    made = lines_of(name, content, COLUMNS, _of(providers, _row), problems)
    return tuple(made), tuple(problems)


def lines_of(
    name: str,
    content: bytes,
    columns: tuple[str, ...],
    make: Callable[[Cells, str], _Made],
    problems: list[str],
) -> Iterator[_Made]:
    """One value per line; what cannot be one goes to ``problems`` as 'file:line: why'."""
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        problems.append(f"{name}: not UTF-8 ({error.reason} at byte {error.start})")
        return
    lines = _lines(text, name, problems)
    known = len(problems)
    _, header = next(lines, (1, []))
    if len(problems) > known:
        return
    if tuple(header) != columns:
        problems.append(f"{name}:1: {_misread(tuple(header), columns)}")
        return
    for number, cells in lines:
        origin = f"{name}:{number}"
        try:
            yield make(_cells(cells, columns), origin)
        except ValueError as error:
            problems.append(f"{origin}: {error}")


def _misread(header: tuple[str, ...], columns: tuple[str, ...]) -> str:
    """What is wrong with a header: read by position, a column too many would be another's figure."""
    missing = [name for name in columns if name not in header]
    unknown = [name[:_NAME_CHARS_MAX] for name in header if name not in columns]
    said = f"missing: {', '.join(missing)}; " if missing else ""
    said += f"not known: {', '.join(map(repr, unknown))}; " if unknown else ""
    return f"{said or 'in another order; '}the columns must be {','.join(columns)}"


def _lines(text: str, name: str, problems: list[str]) -> Iterator[tuple[int, list[str]]]:
    """Non-empty rows with the number of their last line; a broken quote ends the file with a problem."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        for cells in reader:
            if cells or reader.line_num == 1:
                yield reader.line_num, cells
    except csv.Error as error:
        problems.append(f"{name}:{reader.line_num}: {error}; is a quotation mark closed?")


def _cells(cells: list[str], columns: tuple[str, ...]) -> Cells:
    if len(cells) != len(columns):
        raise ValueError(f"{len(cells)} cells where {len(columns)} are expected")
    if cells != [cell.strip() for cell in cells] or max(map(len, cells)) > _CELL_CHARS_MAX:
        raise ValueError(f"a cell has space around it or more than {_CELL_CHARS_MAX} characters")
    return dict(zip(columns, cells, strict=True))


def _of(
    providers: Collection[str] | None, make: Callable[[Cells, str], _Made]
) -> Callable[[Cells, str], _Made]:
    """``make`` for lines of known providers: a name nobody routes to would price nothing, and say nothing."""
    if providers is None:
        return make

    def made(cells: Cells, origin: str) -> _Made:
        name = cells["provider"]
        if name and name not in providers:  # an empty one is told beside the line's other mistakes
            raise ValueError(f"provider {name[:_NAME_CHARS_MAX]!r} {_unlike(name, providers)}")
        return make(cells, origin)

    return made


def _unlike(name: str, providers: Collection[str]) -> str:
    """Why a name is no provider's, with the nearest that is."""
    near = get_close_matches(name.lower(), providers, n=1)
    meant = f"; did you mean {near[0]!r}?" if near else ""
    return f"is not known: expected one of {', '.join(sorted(providers))}{meant}"


def _row(cells: Cells, origin: str) -> Row:
    if cells["currency"] != _CURRENCY:
        raise ValueError(f"currency {cells['currency']!r}: prices are in {_CURRENCY}")
    price = cells["price"]
    charged_as = price.startswith(_AS_UNIT)
    return Row(
        terms=tuple([cells[name] for name in ORDER]),
        unit=cells["unit"],
        context_gt=_whole(cells, "context_gt"),
        pico=0 if charged_as else _usd(price),
        per=_whole(cells, "per"),
        as_unit=price.removeprefix(_AS_UNIT) if charged_as else "",
        since_us=_instant(cells, "valid_from"),
        until_us=_instant(cells, "valid_to") if cells["valid_to"] else FOREVER,
        source=cells["source"],
        source_ref=cells["source_ref"],
        evidence=cells["evidence"],
        origin=origin,
    )


def _usd(text: str) -> int:
    """Pico-USD; a plain decimal only, so that a reader sees the figure that is charged."""
    pico = parse_usd(text)
    if "e" in text.lower():
        raise ValueError(f"price {text!r}: write it without an exponent")
    return pico


def _whole(cells: Cells, column: str) -> int:
    text = cells[column]
    if not (text.isascii() and text.isdigit()):
        raise ValueError(f"{column} {text!r} is not a whole number")
    return int(text)


def _instant(cells: Cells, column: str) -> int:
    try:
        return _epoch(cells[column])
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{column} {cells[column]!r} is not a date") from error


@lru_cache(maxsize=_DATES_MAX)
def _epoch(text: str) -> int:
    """Epoch microseconds of a UTC day (its first instant) or of a time with its zone."""
    at = datetime.fromisoformat(text)
    # Into UTC first: the first and the last day of the calendar may lie beyond it there.
    return epoch_us(at.replace(tzinfo=at.tzinfo or UTC).astimezone(UTC))


def _alias(cells: Cells, _origin: str) -> Alias:
    if not all(cells.values()):
        raise ValueError("an alias names provider, wire, canonical and source")
    return Alias(cells["provider"], cells["wire"], cells["canonical"], cells["source"])


def _region(cells: Cells, _origin: str) -> Region:
    if cells["partition"] not in ("commercial", "sovereign"):
        raise ValueError("partition is commercial or sovereign")
    sovereign = cells["partition"] == "sovereign"
    return Region(cells["provider"], cells["region"], cells["geo"], sovereign)
