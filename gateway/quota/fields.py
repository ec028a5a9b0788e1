"""A table of foreign origin, read key by key: every mistake is kept with its key, none ends the reading."""

from collections.abc import Collection, Mapping, Sequence
from datetime import date, datetime, time
from typing import Final
from zoneinfo import ZoneInfo

import msgspec

from gateway.kernel.clock import epoch_us
from gateway.kernel.names import hidden

Table = Mapping[str, object]
CHARS_MAX: Final = 200
ITEMS_MAX: Final = 20
PERCENT_MAX: Final = 1000
_SHOWN_CHARS: Final = 60


class Problem(msgspec.Struct, frozen=True):
    """A mistake: where, and what is expected there."""

    key: str
    text: str


class Fields:
    """The reading of one table. Empty text and None count as not given."""

    def __init__(self, table: Table, prefix: str = "") -> None:
        """``prefix``: of the keys in problems."""
        self._table = table
        self._prefix = prefix
        self.problems: list[Problem] = []

    def problem(self, key: str, text: str) -> None:
        """Keep a mistake."""
        self.problems.append(Problem(self._prefix + key, text))

    def has(self, key: str) -> bool:
        """Whether a value was given."""
        return self._table.get(key) not in (None, "")

    def raw(self, key: str) -> object:
        """The value as it is; None where there is none."""
        return self._table.get(key)

    def refuse_unknown(self, known: Collection[str]) -> None:
        """Keys that mean nothing are mistakes: a misspelt limit would be no limit."""
        for key in self._table:
            if key not in known:
                self.problem(key, f"unknown key; known are {', '.join(known)}")

    def text(self, key: str) -> str:
        """One printable line; '' where it is not given or wrong."""
        given = self._table.get(key)
        if given in (None, ""):
            return ""
        if not isinstance(given, str) or hidden(given) or len(given) > CHARS_MAX:
            self.problem(
                key, f"expected text of at most {CHARS_MAX} printable characters, {found(given)}"
            )
            return ""
        return given

    def word(self, key: str, words: Sequence[str], default: str) -> str:
        """One of a few words."""
        given = self._table.get(key)
        if given in (None, ""):
            return default
        if given not in words:
            self.problem(key, f"expected one of {', '.join(words)}, {found(given)}")
            return default
        return str(given)

    def whole(self, key: str, default: int, span: tuple[int, int], refused: str) -> int:
        """A whole number in a span, both ends included; ``refused``: why it may not be given at all."""
        given = self._table.get(key)
        if given in (None, "") or (refused and given == default):
            return default
        is_whole = isinstance(given, int) and not isinstance(given, bool)
        if refused:
            self.problem(key, refused)
        elif not (is_whole and isinstance(given, int) and span[0] <= given <= span[1]):
            self.problem(
                key, f"expected a whole number from {span[0]} to {span[1]}, {found(given)}"
            )
        else:
            return given
        return default

    def flag(self, key: str, refused: str, *, default: bool = False) -> bool:
        """True or false; ``refused``: why it may not be given at all."""
        given = self._table.get(key)
        if given is None or given == default:
            return default
        if refused:
            self.problem(key, refused)
        elif not isinstance(given, bool):
            self.problem(key, f"expected true or false, {found(given)}")
        else:
            return given
        return default

    def percents(self, key: str, default: tuple[int, ...], refused: str) -> tuple[int, ...]:
        """Distinct percentages, ascending."""
        given = self._table.get(key)
        if given is None:
            return () if refused else default
        if refused and given:
            self.problem(key, refused)
            return ()
        good = isinstance(given, list | tuple) and all(
            isinstance(one, int) and not isinstance(one, bool) and 1 <= one <= PERCENT_MAX
            for one in given
        )
        if not good or not isinstance(given, list | tuple) or len(given) > ITEMS_MAX:
            self.problem(
                key,
                f"expected percentages from 1 to {PERCENT_MAX} such as 50, 80, 100, {found(given)}",
            )
            return default
        return tuple(sorted(set(given)))

    def rows(self, key: str) -> list[Table]:
        """A list of tables."""
        given = self._table.get(key)
        if given is None:
            return []
        if not isinstance(given, list) or not all(isinstance(one, Mapping) for one in given):
            self.problem(key, f"expected a list of tables, {found(given)}")
            return []
        return list(given)

    def moment(self, key: str, zone: str) -> int:
        """Epoch microseconds of a date (its midnight) or a time, in a zone where it names none; 0 where wrong."""
        given = self._table.get(key)
        try:
            return moment_us(given, zone)
        except (ValueError, OverflowError):
            self.problem(
                key,
                f"expected a date or a time such as 2026-12-01 or 2026-12-01T09:00, {found(given)}",
            )
            return 0


def moment_us(given: object, zone: str) -> int:
    """Epoch microseconds of a date (its midnight) or a time. Raises ValueError, OverflowError."""
    if isinstance(given, str):
        given = datetime.fromisoformat(given)
    elif isinstance(given, date) and not isinstance(given, datetime):
        given = datetime.combine(given, time())
    if not isinstance(given, datetime):
        raise ValueError("no moment")  # noqa: TRY004 - one word for all that is wrong
    return epoch_us(given if given.tzinfo else given.replace(tzinfo=ZoneInfo(zone)))


def found(value: object) -> str:
    """What was given instead, short enough for a line."""
    return "missing" if value is None else f"found {value!r}"[:_SHOWN_CHARS]
