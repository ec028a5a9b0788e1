"""Two sets of price files against each other, row by row: what a reviewer has to look at, and what not."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from typing import NamedTuple

from gateway.catalog import lines as text
from gateway.catalog.lines import AS_UNIT, Cells, Key
from gateway.pricing import load


class Change(StrEnum):
    """What differs between two sets."""

    ADDED = "added"  # a row that was not there; ``before`` is the one it follows, if any
    REMOVED = "removed"
    PRICE = "price"  # the same key and start at another price
    ENDS = "ends"  # the same row, valid until another day
    SOURCE = "source"  # the same figure, said by another source


class Difference(NamedTuple):
    """One row that differs: as it was, as it is."""

    change: Change
    before: Cells | None
    after: Cells | None

    @property
    def line(self) -> Cells:
        """The row it is about."""
        return self.after or self.before or {}

    def percent(self) -> int | None:
        """By how much the price moved; None where one of them is no figure or zero."""
        if self.before is None or self.after is None:
            return None
        if any(line["price"].startswith(AS_UNIT) for line in (self.before, self.after)):
            return None
        was, now = text.figure_of(self.before), text.figure_of(self.after)
        if was.usd == 0:
            return None
        return int((now.usd * was.per - was.usd * now.per) * 100 / (was.usd * now.per))


def differences(before: Mapping[str, bytes], after: Mapping[str, bytes]) -> tuple[Difference, ...]:
    """Every row that differs, by key; aliases and regions are not prices."""
    was, now = _by_key(before), _by_key(after)
    return tuple(
        found
        for key in sorted(was.keys() | now.keys())
        for found in _of_key(was.get(key, {}), now.get(key, {}))
    )


def _by_key(files: Mapping[str, bytes]) -> dict[Key, dict[str, Cells]]:
    """Per key its rows by their first day."""
    found: dict[Key, dict[str, Cells]] = defaultdict(dict)
    for name, content in files.items():
        if name.rpartition("/")[2] not in (load.ALIASES, load.REGIONS):
            for line in text.read(content):
                found[text.key_of(line)][line["valid_from"]] = line
    return found


def _of_key(was: Mapping[str, Cells], now: Mapping[str, Cells]) -> Iterator[Difference]:
    for start in sorted(was.keys() | now.keys()):
        old, new = was.get(start), now.get(start)
        if old is None and new is not None:
            earlier = [
                line for line in (*was.values(), *now.values()) if line["valid_from"] < start
            ]
            yield Difference(Change.ADDED, _latest(earlier), new)
        elif new is None:
            yield Difference(Change.REMOVED, old, None)
        elif old is not None and old != new:
            yield Difference(_kind(old, new), old, new)


def _latest(earlier: Iterable[Cells]) -> Cells | None:
    return max(earlier, key=_start, default=None)


def _start(line: Cells) -> str:
    return line["valid_from"]


def _kind(old: Cells, new: Cells) -> Change:
    if (old["price"], old["per"]) != (new["price"], new["per"]):
        return Change.PRICE
    return Change.ENDS if old["valid_to"] != new["valid_to"] else Change.SOURCE
