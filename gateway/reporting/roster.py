"""The roster: cost centres, assignments and people as a file has them, and what changes when it is imported.

To add a column: a name in ``_COLUMNS``, and where it goes in ``_read``.
"""

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from typing import Final

import msgspec

from gateway.kernel.errors import BadRequest
from gateway.kernel.names import CODE_CHARS_MAX, unfit
from gateway.ledger.currencies import unlike
from gateway.ledger.currency import USD
from gateway.reporting.organisation import BEGINNING, KINDS, Assignment, CostCentre, Person, ours

ROWS_MAX: Final = 100_000
_COLUMNS: Final = (
    "team", "user", "app", "cost_centre", "name", "owner", "gl_account", "currency", "post",
    "valid_from", "valid_until", "person", "email",
)  # fmt: skip
_YES: Final = {"": True, "yes": True, "true": True, "1": True, "no": False, "false": False, "0": False}  # fmt: skip
CENTRE: Final = "cost centre"
ASSIGNMENT: Final = "assignment"
PERSON: Final = "person"
_TEXT_CHARS_MAX: Final = 120  # what a page has room for
_BEYOND: Final = ""  # a row's cells behind the last column


class Roster(msgspec.Struct, frozen=True):
    """Cost centres by code, people by user id, and assignments sorted by subject and day."""

    centres: dict[str, CostCentre] = {}
    assignments: tuple[Assignment, ...] = ()
    people: dict[str, Person] = {}


class Change(msgspec.Struct, frozen=True):
    """What an import does to one thing. ``before`` and ``after``: texts by property, without personal data.

    action   add | change | end | remove | erase
    kind     cost centre | assignment | person
    """

    action: str
    kind: str
    name: str
    before: dict[str, str] = {}
    after: dict[str, str] = {}


def read_csv(text: str) -> Roster:
    """A roster of a CSV, a row for each assignment: ``cost_centre`` with one of ``team``, ``app``, ``user``.

    If you like with ``name``, ``owner``, ``gl_account``, ``currency``, ``post`` (of the cost centre), ``valid_from``,
    ``valid_until`` (dates, half-open), ``person``, ``email`` (of the user, whose cost_centre may then be empty).
    Raises BadRequest with every mistake and its line.
    """
    reader = csv.DictReader(io.StringIO(text.lstrip("\ufeff")), restkey=_BEYOND, strict=True)
    reading = _Reading()
    try:
        problems = list(_wrong_heads(reader.fieldnames or ()))
        for count, row in enumerate(() if problems else reader, start=2):
            if count > ROWS_MAX:
                raise BadRequest(f"more than {ROWS_MAX} rows")
            reading.row(reader.line_num, row)
    except csv.Error as error:
        raise BadRequest(f"line {reader.line_num}: {error}; is a quotation mark closed?") from None
    made = _moved(reading.made)
    problems += [*reading.problems, *_overlaps(made)]
    if problems:
        raise BadRequest("; ".join(problems))
    return Roster(reading.centres, made, reading.people)


def _wrong_heads(heads: Sequence[str]) -> Iterator[str]:
    if len(heads) == 1 and ";" in heads[0]:
        yield "the columns are separated by semicolons: separate them by commas"
        return
    if "cost_centre" not in heads:
        yield "column 'cost_centre' is missing"
    if not set(KINDS) & set(heads):
        yield f"a column of {', '.join(KINDS)} is missing"
    for name in dict.fromkeys(heads):
        if name not in _COLUMNS:
            yield f"column {name!r} is unknown"
        elif heads.count(name) > 1:
            yield f"column {name!r} is there twice"


def _moved(made: Iterable[Assignment]) -> tuple[Assignment, ...]:
    """Sorted; one without end ends where a later one of the same subject begins."""
    rows = sorted(made, key=_order)
    return tuple(
        one if one.until_day is not None else _ended(one, rows[at + 1 : at + 2])
        for at, one in enumerate(rows)
    )


class _Reading:
    """A roster in the making, with every mistake."""

    def __init__(self) -> None:
        self.problems: list[str] = []
        self.centres: dict[str, CostCentre] = {}
        self.people: dict[str, Person] = {}
        self.made: list[Assignment] = []

    def row(self, line: int, found: Mapping[str, str | None]) -> None:
        cells = {name: (found.get(name) or "").strip() for name in _COLUMNS}
        wrong = "more cells than columns" if _BEYOND in found else _wrong(cells)
        if wrong:
            self.problems.append(f"line {line}: {wrong}")
            return
        if cells["person"] or cells["email"]:
            person = Person(cells["user"], cells["person"], cells["email"])
            if self.people.setdefault(person.user, person) != person:
                self.problems.append(f"line {line}: {person.user} is described in two ways")
        if not cells["cost_centre"]:
            return
        code, owner, account = cells["cost_centre"], cells["owner"], cells["gl_account"]
        currency = cells["currency"].upper() or USD
        centre = CostCentre(code, cells["name"], owner, account, currency, _YES[cells["post"].lower()])  # fmt: skip
        if self.centres.setdefault(code, centre) != centre:
            self.problems.append(f"line {line}: cost centre {code} is described in two ways")
        kind = next(kind for kind in KINDS if cells[kind])
        first, until = cells["valid_from"] or BEGINNING, cells["valid_until"] or None
        self.made.append(Assignment(cells[kind], code, first, until, kind))


def _wrong(cells: Mapping[str, str]) -> str:
    named = [kind for kind in KINDS if cells[kind]]
    names_person = bool(cells["person"] or cells["email"])
    currency = unlike(cells["currency"].upper() or USD)
    checks = (
        (len(named) != 1, f"one of {', '.join(KINDS)} is named, found {' and '.join(named) or 'none'}"),
        (names_person and named != ["user"], "person and email are of a user"),
        (not cells["cost_centre"] and not names_person, "cost_centre is empty"),
        (bool(ours(cells["cost_centre"])), ours(cells["cost_centre"])),
        (cells["post"].lower() not in _YES, f"post is yes or no, found {cells['post']!r}"),
        (bool(currency), f"currency: {currency}"),
    )  # fmt: skip
    said = next((said for is_wrong, said in checks if is_wrong), "")
    return said or _wrong_texts(cells) or _wrong_days(cells)


def _wrong_texts(cells: Mapping[str, str]) -> str:
    for name, text in cells.items():
        most = CODE_CHARS_MAX if name == "cost_centre" else _TEXT_CHARS_MAX
        if wrong := unfit(text or name, most):
            return f"{name} {wrong}"
    return ""


def _wrong_days(cells: Mapping[str, str]) -> str:
    for name in ("valid_from", "valid_until"):
        try:
            if cells[name] and date.fromisoformat(cells[name]).isoformat() != cells[name]:
                return f"{name} is written like 2026-10-15, found {cells[name]!r}"
        except ValueError:
            return f"{name} is written like 2026-10-15, found {cells[name]!r}"
    if cells["valid_until"] and cells["valid_until"] <= cells["valid_from"]:
        return "valid_until is not after valid_from"
    return ""


def _order(one: Assignment) -> tuple[str, str, str]:
    return one.kind, one.subject, one.from_day


def _overlaps(made: Iterable[Assignment]) -> Iterator[str]:
    before: Assignment | None = None
    for one in sorted(made, key=_order):
        is_same = before is not None and (before.kind, before.subject) == (one.kind, one.subject)
        if is_same and before is not None and before.covers(one.from_day):
            day = "" if one.from_day == BEGINNING else f" on {one.from_day}"
            yield f"{one.kind} {one.subject} belongs to {before.centre} and {one.centre}{day}"
        before = one


def imported(current: Roster, file: Roster, *, prune: bool = False) -> Roster:
    """What the roster is after a file was imported on top of it.

    An assignment is replaced by the file's of the same subject and first day; a known one that runs into the
    file's next, and any without end, ends where the next begins: that is a move. ``prune``: what the file does
    not name goes. Raises BadRequest where they still overlap.
    """
    if prune:
        return file
    named = {_order(one) for one in file.assignments}
    merged = [one for one in current.assignments if _order(one) not in named]
    merged = sorted([*merged, *file.assignments], key=_order)
    fixed = {_order(one) for one in file.assignments if one.until_day is not None}
    kept = tuple(
        one if _order(one) in fixed else _ended(one, merged[at + 1 : at + 2])
        for at, one in enumerate(merged)
    )
    problems = list(_overlaps(kept))
    if problems:
        raise BadRequest("; ".join(problems))
    return Roster(current.centres | file.centres, kept, current.people | file.people)


def _ended(one: Assignment, following: list[Assignment]) -> Assignment:
    for after in following:
        is_later = (after.kind, after.subject) == (
            one.kind,
            one.subject,
        ) and one.from_day < after.from_day
        if is_later and one.covers(after.from_day):
            return msgspec.structs.replace(one, until_day=after.from_day)
    return one


def changes(before: Roster, after: Roster) -> list[Change]:
    """What is different, in a stable order: cost centres, assignments, people."""
    found = [
        *_differences(CENTRE, _texts(before.centres), _texts(after.centres)),
        *_differences(ASSIGNMENT, _dated(before), _dated(after)),
    ]
    for user in sorted(before.people.keys() | after.people.keys()):
        old, new = before.people.get(user), after.people.get(user)
        if old != new:
            action = "add" if old is None else "remove" if new is None else "change"
            found.append(Change(action, PERSON, user))
    return found


def _texts(centres: Mapping[str, CostCentre]) -> dict[str, dict[str, str]]:
    return {
        code: {name: _text(getattr(one, name)) for name in CostCentre.__struct_fields__[1:]}
        for code, one in centres.items()
    }


def _text(value: object) -> str:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def _dated(roster: Roster) -> dict[str, dict[str, str]]:
    return {
        f"{one.kind} {one.subject} from {shown_day(one.from_day)}": {
            "cost centre": one.centre,
            "until": one.until_day or "",
        }
        for one in roster.assignments
    }


def shown_day(day: str) -> str:
    """A day for people."""
    return "the beginning" if day == BEGINNING else day


def _differences(
    kind: str, before: Mapping[str, dict[str, str]], after: Mapping[str, dict[str, str]]
) -> Iterator[Change]:
    # Sorted, and of one subject in the order of time: the beginning comes first.
    names = sorted(
        before.keys() | after.keys(), key=lambda one: one.replace(shown_day(BEGINNING), "")
    )
    for name in names:
        old, new = before.get(name, {}), after.get(name, {})
        if old == new:
            continue
        only = {key for key in old.keys() | new.keys() if old.get(key) != new.get(key)}
        ends = only == {"until"} and not old["until"] if old and new else False
        action = "add" if not old else "remove" if not new else "end" if ends else "change"
        pick = only if old and new else old.keys() | new.keys()
        yield Change(
            action,
            kind,
            name,
            {key: value for key, value in old.items() if key in pick},
            {key: value for key, value in new.items() if key in pick},
        )
