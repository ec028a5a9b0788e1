"""Disjoint usage: components of unit counts, carved once from a provider's inclusive totals."""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Final

import msgspec

from gateway.metering.units import UNITS
from gateway.wire.jsondoc import Json

COUNT_MAX: Final = 10**10  # twice any batch; at any token price of the book its charge fits 64 bits


_WRITTEN: Final = "cache_write"
MISMATCH: Final = "count_mismatch"  # the provider says two things about one count


class UsageInvalid(ValueError):
    """A count that cannot be one: negative, fractional, not a number, or parts above their total."""


class Source(StrEnum):
    """How the usage of a response is known, in the words of the wire."""

    PROVIDER = "provider"  # the answer says it
    PARTIAL = "partial"  # only some classes, or running counts of a cut stream
    REQUEST = "request"  # derived from the request's own fields
    SHAPE = "response-shape"  # items of the answer were counted
    NONE = "none"  # nothing billable, or (not final) to be counted by us


class Provenance(StrEnum):
    """How the booked quantities are known, on the row."""

    REPORTED = "reported"
    PARTIAL = "partial"
    COUNTED = "counted"
    ESTIMATED = "estimated"


class Component(msgspec.Struct, frozen=True):
    """One priced part of a call: unit → count, disjoint. ``model`` is set where it is not the call's own."""

    role: str
    counts: dict[str, int]
    model: str | None = None

    def tokens(self) -> int:
        """The sum over its token classes."""
        tokens = 0
        for unit, count in self.counts.items():
            if UNITS[unit].is_token:
                tokens += count
        return tokens


MAIN: Final = "main"


def count_of(value: object) -> int | None:
    """A reported count as int; None where the provider said nothing (absent is not zero).

    Integral floats pass (Titan sends them). Raises UsageInvalid on anything that cannot be a count.
    """
    if value is None or (type(value) is int and 0 <= value <= COUNT_MAX):
        return value
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= COUNT_MAX:
        raise UsageInvalid(f"not a count: {value!r}")
    return value


def carve(unit: str, total: int, parts: Mapping[str, int]) -> dict[str, int]:
    """Say once how an inclusive total contains its parts: the parts, and the rest under ``unit``.

    ``carve("input_text", 1200, {"cache_read_text": 1024})`` → 1024 read from cache, 176 plain text.
    Zero counts are left out. Raises UsageInvalid where the parts exceed the total.
    """
    rest = total - sum(parts.values())
    if rest < 0:
        raise UsageInvalid(f"parts {dict(parts)!r} exceed their total {total}")
    counts = {name: count for name, count in parts.items() if count}
    if rest:
        counts[unit] = counts.get(unit, 0) + rest
    return counts


def shrinks(before: Json, after: Json) -> bool:
    """Whether a later statement of one answer's usage takes back some of an earlier one: a count fell.

    Running counts only grow. What is no count is not compared: carving it tells.
    """
    if not isinstance(before, dict) or not isinstance(after, dict):
        return False
    for name, count in after.items():
        was = before.get(name)
        if type(was) is int and type(count) is int and count < was:
            return True
    return False


def retracts(said: Sequence[dict[str, Json]], placeholder: str) -> bool:
    """Whether any of several statements shrinks; the ``placeholder`` of the first one is none."""
    if len(said) < 2:  # noqa: PLR2004 - nothing came later
        return False
    start = {name: count for name, count in said[0].items() if name != placeholder}
    return any(map(shrinks, (start, *said[1:]), said[1:]))


def misses_lifetimes(counts: Mapping[str, int]) -> bool:
    """Whether lifetimes are stated that do not explain all of what was written to a cache."""
    unexplained = counts.get(_WRITTEN)
    if not unexplained:
        return False
    return any(unit.startswith(_WRITTEN) and unit != _WRITTEN for unit in counts)


def component(counts: Mapping[str, int], role: str = MAIN, model: str | None = None) -> Component:
    """A component of registered units, zero counts left out. Raises UsageInvalid on an unknown unit."""
    if not counts.keys() <= UNITS.keys():
        unknown = counts.keys() - UNITS.keys()
        raise UsageInvalid(f"unregistered units: {', '.join(sorted(unknown))}")
    return Component(role, {name: count for name, count in counts.items() if count}, model)


def total_tokens(components: tuple[Component, ...]) -> int:
    """The sum over all token classes of all components."""
    if len(components) == 1:
        return components[0].tokens()
    return sum([part.tokens() for part in components])


def are_several(components: tuple[Component, ...]) -> bool:
    """Whether one role used one model in several parts, each with a prompt of its own."""
    return len({(part.role, part.model) for part in components}) < len(components)
