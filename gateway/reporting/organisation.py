"""Who pays: teams and their cost centres, dated, so that a move in the middle of a month splits it.

To add a property of a cost centre: a field of CostCentre and a column in ``_COLUMNS``.
"""

import csv
import io
from collections.abc import Iterable, Mapping
from datetime import date
from typing import Final

import msgspec

from gateway.kernel.errors import BadRequest

UNALLOCATED: Final = ""
BEGINNING: Final = "0000-00-00"  # sorts before every day
ROWS_MAX: Final = 100_000
_REQUIRED: Final = ("team", "cost_centre")
_COLUMNS: Final = (*_REQUIRED, "name", "owner", "gl_account", "valid_from", "valid_until")


class CostCentre(msgspec.Struct, frozen=True):
    """Who pays. ``code``: '' for what is unallocated."""

    code: str
    name: str = ""
    owner: str = ""
    gl_account: str = ""


class Assignment(msgspec.Struct, frozen=True):
    """A team belongs to a cost centre on the local days [from_day, until_day); None: without end."""

    team: str
    centre: str
    from_day: str = BEGINNING
    until_day: str | None = None

    def covers(self, day: str) -> bool:
        """Whether it holds on a day."""
        return self.from_day <= day and (self.until_day is None or day < self.until_day)


class Organisation(msgspec.Struct, frozen=True):
    """Cost centres by code, and every assignment. ``fallback``: team → code where no assignment names it."""

    centres: dict[str, CostCentre] = {}
    assignments: tuple[Assignment, ...] = ()
    fallback: dict[str, str] = {}

    def centre_of(self, team: str, day: str) -> str:
        """The code of the cost centre a team belonged to on a day; UNALLOCATED where it belonged to none."""
        dated = [one for one in self.assignments if one.team == team]
        if not dated:
            return self.fallback.get(team, UNALLOCATED)
        return next((one.centre for one in dated if one.covers(day)), UNALLOCATED)

    def centre(self, code: str) -> CostCentre:
        """A cost centre by its code, nameless where none is kept."""
        return self.centres.get(
            code, CostCentre(code, "Unallocated" if code == UNALLOCATED else "")
        )

    def spans(self) -> list[tuple[str, str | None]]:
        """The days cut where any assignment begins or ends: [first, next), the last without end."""
        cuts = {BEGINNING}
        for one in self.assignments:
            cuts |= {one.from_day} | ({one.until_day} if one.until_day is not None else set())
        days = sorted(cuts)
        return list(zip(days, [*days[1:], None], strict=True))


def read_csv(text: str) -> Organisation:
    """An organisation of a CSV of assignments, one a row: team, cost_centre, and if you like name, owner,
    gl_account, valid_from, valid_until (dates, half-open). Raises BadRequest with every mistake and its line.
    """
    reader = csv.DictReader(io.StringIO(text.lstrip("\ufeff")))
    heads = reader.fieldnames or ()
    problems = [f"column {name!r} is missing" for name in _REQUIRED if name not in heads]
    problems += [f"column {name!r} is unknown" for name in heads if name not in _COLUMNS]
    if problems:
        raise BadRequest("; ".join(problems))
    centres: dict[str, CostCentre] = {}
    made: list[Assignment] = []
    for line, row in enumerate(reader, start=2):
        if line > ROWS_MAX:
            raise BadRequest(f"more than {ROWS_MAX} rows")
        cells = {name: (row.get(name) or "").strip() for name in _COLUMNS}
        wrong = _wrong(cells)
        if wrong:
            problems.append(f"line {line}: {wrong}")
            continue
        centre = CostCentre(
            cells["cost_centre"], cells["name"], cells["owner"], cells["gl_account"]
        )
        if centres.setdefault(centre.code, centre) != centre:
            problems.append(f"line {line}: cost centre {centre.code} is described in two ways")
        first, until = cells["valid_from"] or BEGINNING, cells["valid_until"] or None
        made.append(Assignment(cells["team"], centre.code, first, until))
    problems += list(_overlaps(made))
    if problems:
        raise BadRequest("; ".join(problems))
    return Organisation(centres, tuple(made))


def _wrong(cells: Mapping[str, str]) -> str:
    for name in _REQUIRED:
        if not cells[name]:
            return f"{name} is empty"
    for name in ("valid_from", "valid_until"):
        try:
            if cells[name] and date.fromisoformat(cells[name]).isoformat() != cells[name]:
                return f"{name} is written like 2026-10-15, found {cells[name]!r}"
        except ValueError:
            return f"{name} is written like 2026-10-15, found {cells[name]!r}"
    if cells["valid_until"] and cells["valid_until"] <= cells["valid_from"]:
        return "valid_until is not after valid_from"
    return ""


def _overlaps(made: Iterable[Assignment]) -> Iterable[str]:
    last: dict[str, Assignment] = {}
    for one in sorted(made, key=lambda each: (each.team, each.from_day)):
        before = last.get(one.team)
        if before is not None and (before.until_day is None or before.until_day > one.from_day):
            yield f"team {one.team} belongs to {before.centre} and {one.centre} on {one.from_day}"
        last[one.team] = one
