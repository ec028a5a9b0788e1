"""[[contracts]]: what an organisation or a team pays of the list.

Percentages are written as whole numbers or as text ('12.5'), never as a TOML float: 0.1 is not a tenth there.
"""

import fnmatch
import re
from collections.abc import Collection, Sequence
from datetime import UTC, date, datetime
from difflib import get_close_matches
from typing import Any, Final
from zoneinfo import ZoneInfoNotFoundError

from gateway.config.reader import Reader, shown
from gateway.config.tables import ContractTable, TermTable
from gateway.kernel.clock import epoch_us
from gateway.kernel.money import parse_usd
from gateway.ledger.currencies import unlike
from gateway.ledger.period import zone
from gateway.metering.units import UNITS
from gateway.pricing.contract import Contract, Contracts, ContractsInvalid, Term
from gateway.pricing.dimensions import SCOPES, TIERS
from gateway.pricing.row import FIGURE_MAX, FOREVER

_PERCENT: Final = re.compile(r"(\d{1,4})(?:\.(\d{1,2}))?")
_DISCOUNT_BP_MAX: Final = 10_000
_SHOWN_MAX: Final = 8
_MARGIN_BP_MAX: Final = 100_000  # ten times the price on top: beyond it somebody wrote a factor


def read_contracts(
    reader: Reader, raw: object, zone: str, providers: Collection[str]
) -> tuple[Contract, ...]:
    """The contracts of a file; days are those of ``zone``, ``providers`` those that a term may be of."""
    found: list[Contract] = []
    for index, table in enumerate(raw if isinstance(raw, list) else []):
        where = f"contracts[{index}]"
        if not isinstance(table, dict):
            reader.problem(where, "expected a table")
            continue
        plain = {key: value for key, value in table.items() if key != "terms"}
        fields = reader.table(ContractTable, plain, where)
        terms = _terms(reader, table.get("terms", []), where, providers)
        if fields is not None:
            found.append(_contract(reader, ContractTable(**fields), terms, where, zone))
    if not isinstance(raw, list):
        reader.problem("contracts", "expected [[contracts]] tables")
    try:
        return Contracts(found).all
    except ContractsInvalid as error:
        for problem in error.problems:
            reader.problem("contracts", problem)
        return ()


def _contract(
    reader: Reader, row: ContractTable, terms: Sequence[Term], where: str, zone: str
) -> Contract:
    since_us, until_us = _start(row.valid_from, zone) or 0, _start(row.valid_to, zone) or FOREVER
    if since_us >= until_us:
        reader.problem(f"{where}.valid_to", "expected a day after valid_from")
    if said := unlike(row.currency):
        reader.problem(f"{where}.currency", said)
    if "@" in row.name:
        reader.problem(f"{where}.name", "expected a name without @")
    margin_bp = _basis_points(reader, row.margin_percent, f"{where}.margin_percent", _MARGIN_BP_MAX)
    return Contract(
        name=row.name,
        org=row.org,
        team=row.team,
        since_us=since_us,
        until_us=until_us,
        currency=row.currency,
        margin_bp=margin_bp,
        terms=tuple(terms),
    )


def _terms(reader: Reader, raw: object, where: str, providers: Collection[str]) -> list[Term]:
    found: list[Term] = []
    if not isinstance(raw, list):
        reader.problem(f"{where}.terms", "expected [[contracts.terms]] tables")
        return found
    for index, table in enumerate(raw):
        place = f"{where}.terms[{index}]"
        fields = reader.table(TermTable, table, place)
        if fields is not None:
            row = TermTable(**fields)
            _check_globs(reader, row, place, providers)
            term = _term(reader, row, place)
            if any(one.takes(term) for one in found):
                expected = "expected the narrower first"
                reader.problem(place, f"never counts: a term before it takes its lines; {expected}")
            found.append(term)
    return found


def _check_globs(reader: Reader, row: TermTable, where: str, providers: Collection[str]) -> None:
    """A glob that fits no name there is would be a discount that nobody gets. Models are the price book's: the doctor."""
    for name, glob, known in (("provider", row.provider, providers), ("unit", row.unit, UNITS)):
        if not fnmatch.filter(known, glob):
            near = get_close_matches(glob, known, n=3, cutoff=0.5) or sorted(known)[:_SHOWN_MAX]
            expected = f"a name or glob of what there is ({', '.join(near)}, …)"
            if len(known) <= _SHOWN_MAX:
                expected = f"a glob that fits one of {', '.join(sorted(known))}"
            reader.problem(f"{where}.{name}", f"expected {expected}, found {shown(glob)}")


def _term(reader: Reader, row: TermTable, where: str) -> Term:
    if (row.discount_percent is None) == (row.price is None):
        reader.problem(where, "expected either discount_percent or price")
    for name, value, known in (("scope", row.scope, SCOPES), ("tier", row.tier, TIERS)):
        if value is not None and value not in known:
            expected = ", ".join(sorted(known))
            reader.problem(f"{where}.{name}", f"expected one of {expected}, found {value!r}")
    if row.per > FIGURE_MAX:
        reader.problem(f"{where}.per", f"expected at most {FIGURE_MAX}")
    discount = row.discount_percent or 0
    selector: dict[str, Any] = {
        name: getattr(row, name) for name in ("provider", "model", "unit", "scope", "tier")
    }
    return Term(
        **selector,
        discount_bp=_basis_points(reader, discount, f"{where}.discount_percent", _DISCOUNT_BP_MAX),
        pico=_usd(reader, row.price, f"{where}.price"),
        per=row.per,
    )


def _basis_points(reader: Reader, written: str | int, where: str, most: int) -> int:
    """Hundredths of a percent of '12.5' or 12."""
    found = _PERCENT.fullmatch(str(written))
    points = int(found[1]) * 100 + int((found[2] or "").ljust(2, "0")) if found else -1
    if not 0 <= points <= most:
        expected = f"a percentage from 0 to {most // 100}, at most two decimals, as '12.5'"
        reader.problem(where, f"expected {expected}, found {shown(written)}")
        return 0
    return points


def _usd(reader: Reader, written: str | None, where: str) -> int | None:
    if written is None:
        return None
    try:
        pico = parse_usd(written)
    except ValueError:
        pico = -1
    if not 0 <= pico <= FIGURE_MAX or "e" in written.lower():
        reader.problem(where, f"expected decimal USD such as '2.10', found {shown(written)}")
        return None
    return pico


def _start(day: date | None, named: str) -> int | None:
    """Epoch microseconds of a day's first instant; in UTC where the zone is none, which is said elsewhere."""
    if day is None:
        return None
    try:
        there = zone(named)
    except ZoneInfoNotFoundError:
        return epoch_us(datetime(day.year, day.month, day.day, tzinfo=UTC))
    return epoch_us(datetime(day.year, day.month, day.day, tzinfo=there))
