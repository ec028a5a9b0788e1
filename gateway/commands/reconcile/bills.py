"""A provider's bill from files: CSV, CSV.gz or Parquet, streamed row by row, of whichever export it is.

To read a further file form: a suffix and its generator in ``_READERS``.
"""

import csv
import gzip
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from pkgutil import resolve_name
from typing import Any, Final, TextIO

from gateway.commands.output import stop
from gateway.reporting.bills.charge import Cells, Charge, Layout, is_day
from gateway.reporting.bills.invoice import Bill, Folding
from gateway.reporting.bills.layouts import LAYOUTS
from gateway.reporting.bills.meter import Reading

_ROWS_PER_BATCH: Final = 10_000
_NAMES_MAX: Final = 65_536
Told = Callable[[int], None]


def read_bill(cloud: str, paths: Sequence[Path], month: str, told: Told) -> Bill:
    """Fold the files of one cloud; rows of other months are passed over. ``told``: rows read so far.

    Ends with status 2 where a file cannot be read, is no known export, or a cell is no number.
    """
    folding = Folding(cloud)
    count = 0
    for path in paths:
        layout: Layout | None = None
        for number, cells in enumerate(_rows(path), start=1):
            layout = layout or _layout(cloud, frozenset(cells), path)
            charge = _charge(layout, cells, path, number)
            if charge.day.startswith(month) or not charge.day:
                folding.add(charge, _reading(layout, charge.meter, charge.description))
            count += 1
            told(count)
        if layout is None:
            stop(f"{path} holds no row of a bill: export it again, or leave it out")
    return folding.bill()


@lru_cache(maxsize=_NAMES_MAX)
def _reading(layout: Layout, meter: str, description: str) -> Reading:
    """A bill has few meters and many rows."""
    return layout.read(meter, description)


def _charge(layout: Layout, cells: Cells, path: Path, number: int) -> Charge:
    try:
        charge = layout.charge(cells)
    except (ValueError, IndexError) as error:
        stop(f"{path}: row {number}: {error}")
    if charge.day and not is_day(charge.day):  # it would be passed over as a row of another month
        stop(f"{path}: row {number}: expected a date such as 2026-10-31, found {charge.day!r}")
    return charge


def _layout(cloud: str, columns: frozenset[str], path: Path) -> Layout:
    found = next((one for one in LAYOUTS[cloud] if one.fits(columns)), None)
    if found is None:
        known = ", ".join(one.name for one in LAYOUTS[cloud])
        begins = ", ".join(sorted(columns)[:5])
        stop(f"{path} has the columns of none of: {known}; it begins with {begins}")
    return found


def _rows(path: Path) -> Iterator[Cells]:
    suffix = "".join(path.suffixes[-2:]) if path.suffix == ".gz" else path.suffix
    reader = _READERS.get(suffix.lower())
    if reader is None:
        stop(f"{path}: a bill is read as {', '.join(_READERS)}")
    try:
        yield from reader(path)
    except (OSError, UnicodeDecodeError, csv.Error, EOFError, zlib.error) as error:
        stop(f"{path} cannot be read: {error}")


def _csv(path: Path) -> Iterator[Cells]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        yield from _whole(file)


def _csv_gz(path: Path) -> Iterator[Cells]:
    with gzip.open(path, "rt", encoding="utf-8-sig", newline="") as file:
        yield from _whole(file)


def _whole(file: TextIO) -> Iterator[Cells]:
    """Rows of as many cells as there are columns: one cut short, or with a comma too many, has its money elsewhere.

    Strictly: a quotation mark too many would take the rows behind it for one cell. Raises csv.Error with the line.
    """
    reader = csv.DictReader(file, strict=True)
    try:
        for row in reader:
            _require_whole(row)
            yield row
    except csv.Error as error:
        raise csv.Error(f"line {reader.line_num}: {error}") from error


def _require_whole(row: Mapping[str | None, str | None]) -> None:
    """Cells beyond the columns stand under None, and None where one is missing."""
    if None in row or None in row.values():
        raise csv.Error(f"expected {len(row.keys() - {None})} cells")


def _parquet(path: Path) -> Iterator[Cells]:
    try:
        opened = resolve_name("pyarrow.parquet:ParquetFile")
        damaged = resolve_name("pyarrow:ArrowException")
    except ImportError:
        stop("Parquet is read by pyarrow, which is not there: pip install 'weighbridge[reports]'")
    try:
        with opened(path) as file:
            for batch in file.iter_batches(_ROWS_PER_BATCH):
                for row in batch.to_pylist():
                    yield dict(_flat("", row))
    except damaged as error:
        stop(f"{path} cannot be read: {error}")


def _flat(head: str, value: Any) -> Iterator[tuple[str, str]]:
    """Nested records by dotted names: project.id. Lists (labels, credits) are not asked for."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _flat(f"{head}.{name}" if head else str(name), inner)
    elif isinstance(value, list):
        pairs = [one for one in value if isinstance(one, tuple) and len(one) == 2]  # noqa: PLR2004  # a map's
        for name, inner in pairs:
            yield from _flat(f"{head}.{name}", inner)
        if not pairs:
            yield head, ""
    else:
        yield head, _text(value)


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return repr(value)
    iso = getattr(value, "isoformat", None)
    return iso() if iso is not None else str(value)


_READERS: Final[dict[str, Callable[[Path], Iterator[Cells]]]] = {
    ".csv": _csv,
    ".csv.gz": _csv_gz,
    ".parquet": _parquet,
}
