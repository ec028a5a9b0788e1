"""Who pays: teams, applications and people with their cost centres, dated, so that a move in the middle of a
month splits it.

To assign a further kind of subject: its name in ``KINDS``, most specific first, and in ``Use`` of the rows.
"""

from functools import cached_property
from typing import Final

import msgspec

UNALLOCATED: Final = ""
SUMMARY: Final = "*"  # the name of a kept month's summary; the others are cost centres' codes
SAID_UNALLOCATED: Final = "unallocated"  # what reports call UNALLOCATED
BEGINNING: Final = "0000-00-00"  # sorts before every day
KINDS: Final = ("user", "app", "team")  # the first that is assigned on a day decides


def ours(code: str) -> str:
    """Why a text cannot be a cost centre's code: it means something else in reports; '' where it can."""
    if code.casefold() in {SUMMARY, SAID_UNALLOCATED}:
        return f"cost centre {code!r} is a word of the reports themselves: give it another code"
    return ""


class CostCentre(msgspec.Struct, frozen=True):
    """Who pays. ``code``: '' for what is unallocated. ``posts``: charged in the books, else only shown."""

    code: str
    name: str = ""
    owner: str = ""
    gl_account: str = ""
    currency: str = "USD"
    posts: bool = True


class Assignment(msgspec.Struct, frozen=True):
    """A subject belongs to a cost centre on the local days [from_day, until_day); None: without end."""

    subject: str
    centre: str
    from_day: str = BEGINNING
    until_day: str | None = None
    kind: str = "team"

    def covers(self, day: str) -> bool:
        """Whether it holds on a day."""
        return self.from_day <= day and (self.until_day is None or day < self.until_day)


class Person(msgspec.Struct, frozen=True):
    """Who a user id of the rows is. The only place with personal data; '' where it was erased."""

    user: str
    name: str = ""
    email: str = ""


class Organisation(msgspec.Struct, frozen=True, dict=True):
    """Cost centres by code, and every assignment. ``fallback``: team → code where no assignment names it."""

    centres: dict[str, CostCentre] = {}
    assignments: tuple[Assignment, ...] = ()
    fallback: dict[str, str] = {}

    @cached_property
    def _dated(self) -> dict[tuple[str, str], list[Assignment]]:
        found: dict[tuple[str, str], list[Assignment]] = {}
        for one in self.assignments:
            found.setdefault((one.kind, one.subject), []).append(one)
        return found

    @cached_property
    def grain(self) -> frozenset[str]:
        """The kinds of subject that are assigned at all; teams always."""
        return frozenset({"team", *(one.kind for one in self.assignments)})

    def centre_of(self, team: str, day: str, *, user: str = "", app: str = "") -> str:
        """The cost centre that pays on a day: its user's, else its application's, else its team's.

        A team without any assignment takes the fallback; UNALLOCATED where nothing covers the day.
        """
        subjects = {"user": user, "app": app, "team": team}
        for kind in KINDS:
            for one in self._dated.get((kind, subjects[kind]), ()):
                if one.covers(day):
                    return one.centre
        if ("team", team) in self._dated:
            return UNALLOCATED
        return self.fallback.get(team, UNALLOCATED)

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
