"""A price file as lines of text cells: read, kept in order, written back byte for byte."""

import csv
import io
from collections.abc import Iterable
from datetime import date
from decimal import Decimal
from typing import Final, NamedTuple

from gateway.catalog.figure import Figure, Slot
from gateway.pricing.dimensions import ORDER
from gateway.pricing.load import COLUMNS

Cells = dict[str, str]
AS_UNIT: Final = "="
MANUAL: Final = "manual"
_TERMS: Final = tuple(name.value for name in ORDER)


class Key(NamedTuple):
    """What a line prices, without when and how much."""

    terms: tuple[str, ...]
    unit: str
    context_gt: int


def read(content: bytes) -> list[Cells]:
    """The lines of a file that has passed its lint."""
    return list(csv.DictReader(io.StringIO(content.decode("utf-8"), newline="")))


def write(lines: Iterable[Cells]) -> bytes:
    """The file in its one order: by key, then by start."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for line in sorted(lines, key=_in_file_order):
        writer.writerow(line)
    return text.getvalue().encode("utf-8")


def _in_file_order(line: Cells) -> tuple[Key, str]:
    return key_of(line), line["valid_from"]


def key_of(line: Cells) -> Key:
    """What the line prices."""
    return Key(tuple(line[name] for name in _TERMS), line["unit"], int(line["context_gt"]))


def slot_of(line: Cells) -> Slot:
    """Which figure of its model the line is."""
    return Slot(line["unit"], line["tier"], int(line["context_gt"]))


def figure_of(line: Cells) -> Figure:
    """The figure the line holds."""
    return Figure(Decimal(line["price"]), int(line["per"]))


def by_rule(line: Cells) -> bool:
    """Whether no source states the figure: charged as another unit, free by a remark, written by hand."""
    price = line["price"]
    return price.startswith(AS_UNIT) or Decimal(price) == 0 or line["evidence"] == MANUAL


def runs(line: Cells, day: date) -> bool:
    """Whether the line holds on the day or will."""
    return not line["valid_to"] or date.fromisoformat(line["valid_to"]) > day


def replaced(line: Cells, since: date, figure: Figure, source: str) -> tuple[Cells, Cells]:
    """The line closed on a day, and the one that holds from then on."""
    start = since.isoformat()
    closed = {**line, "valid_to": start}
    after = {**line, "price": figure.text(int(line["per"])), "valid_from": start, "source": source}
    return closed, after
