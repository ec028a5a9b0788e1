"""Price files judged before they are used: what would be refused, and what loads but cannot be right.

To add a rule: see ``finding``; a rule over pairs of figures is a line in ``order``.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Final

from gateway.catalog.finding import RULES, Finding
from gateway.catalog.order import disordered
from gateway.kernel.clock import instant
from gateway.pricing import load
from gateway.pricing.lint import lint as scale
from gateway.pricing.row import FOREVER, BookInvalid, Row

_YEAR_MIN: Final = 2020  # before it no provider sold any of this
_YEARS_AHEAD: Final = 5
_ORIGIN = re.compile(r"^(?P<origin>[^\s:]+\.csv(?::\d+)?): (?P<text>.*)$", re.DOTALL)
_OVERLAPS: Final = "overlaps"
_BY_SEVERITY: Final = tuple(RULES)


def judge(
    files: Mapping[str, bytes],
    now_us: int,
    neighbours: Iterable[Row] = (),
    providers: Collection[str] | None = None,
) -> tuple[Finding, ...]:
    """Everything found in the files of one layer, the gravest first, each file in line order.

    neighbours  rows of the layers below that the figures are compared with, but where a row of the files
                stands over them; nothing is said about them
    now_us      for dates that lie too far ahead, and for prices that have ended
    providers   the names a line may carry; None: any
    """
    rows = tuple(row for name, content in files.items() for row in _rows(name, content))
    found = [*_refused(files, providers)]
    wrong = {finding.origin for finding in found}
    sound = [row for row in rows if row.origin not in wrong]
    found += _implausible(sound, _beside(sound, neighbours), now_us)
    found += _ends(sound, now_us)
    return tuple(sorted(found, key=_rank))


def _rank(finding: Finding) -> tuple[int, str, int]:
    name, _, line = finding.origin.rpartition(":")
    return _BY_SEVERITY.index(finding.rule), name, int(line) if line.isdigit() else 0


def _beside(rows: Iterable[Row], neighbours: Iterable[Row]) -> tuple[Row, ...]:
    """The neighbours over which none of the rows stands."""
    above = {(row.terms, row.unit, row.context_gt) for row in rows}
    return tuple(row for row in neighbours if (row.terms, row.unit, row.context_gt) not in above)


def _rows(name: str, content: bytes) -> tuple[Row, ...]:
    if name.rpartition("/")[2] in (load.ALIASES, load.REGIONS):
        return ()
    return load.rows(name, content)[0]


def _refused(files: Mapping[str, bytes], providers: Collection[str] | None) -> Iterator[Finding]:
    try:
        load.book(files, providers=providers)
    except BookInvalid as error:
        for problem in error.problems:
            matched = _ORIGIN.match(problem)
            origin, text = matched.group("origin", "text") if matched else ("", problem)
            cure = (
                "close the earlier row with valid_to, or remove one of the two"
                if _OVERLAPS in text
                else "correct the line; the columns are described in config/README.md"
            )
            yield Finding("row", origin, "", text, cure)


def _implausible(rows: list[Row], others: tuple[Row, ...], now_us: int) -> Iterator[Finding]:
    own = {row.origin for row in rows}
    everything = (*rows, *others)
    for text in scale(everything):
        origin, _, rest = text.partition(": ")
        if origin in own:
            price_id, _, said = rest.partition(" ")
            cure = "check price and per against the source: per 1,000 is not per 1,000,000"
            yield Finding("scale", origin, price_id, said, cure)
    yield from (finding for finding in disordered(everything) if finding.origin in own)
    for row in rows:
        yield from _remarks(row, now_us)


def _remarks(row: Row, now_us: int) -> Iterator[Finding]:
    year, limit = instant(row.since_us).year, instant(now_us).year + _YEARS_AHEAD
    if not _YEAR_MIN <= year <= limit:
        text = f"valid_from lies in {year}"
        cure = f"a price begins between {_YEAR_MIN} and {limit}"
        yield Finding("date", row.origin, row.price_id(), text, cure)
    if not row.source_ref:
        text = "source_ref is empty: nobody can look the figure up again"
        cure = "name the meter, the price list's key, the page or the contract"
        yield Finding("source_ref", row.origin, row.price_id(), text, cure)


def _ends(rows: list[Row], now_us: int) -> Iterator[Finding]:
    """Prices that end some day with no other of their key to follow: unpriced from then on."""
    starts = {(row.terms, row.unit, row.context_gt, row.since_us) for row in rows}
    for row in rows:
        followed = (row.terms, row.unit, row.context_gt, row.until_us) in starts
        if now_us < row.until_us < FOREVER and not followed:
            text = f"ends on {instant(row.until_us):%Y-%m-%d} and no row follows"
            cure = "add the row that holds from then on, or leave it unpriced on purpose"
            yield Finding("ends", row.origin, row.price_id(), text, cure)
