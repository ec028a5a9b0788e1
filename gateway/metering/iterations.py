"""Iterations: the rounds of one answer, each with its own usage, some of them outside the top-level usage.

To bill another kind outside the top level: its word in ``_OUTSIDE``.
"""

from collections.abc import Callable, Sequence
from typing import Final

from gateway.metering.usage import Component, component
from gateway.wire.jsondoc import Json, arr, obj, string

LINES_MAX: Final = 1_024  # components of one answer; a real one has a dozen
CLIPPED: Final = "iterations_clipped"
_OUTSIDE: Final = frozenset({"advisor_message", "compaction"})
_WITHIN: Final = frozenset({"message"})
_NAMED: Final = frozenset({"fallback_message"})

_EDITS: Final = "context_management"
_SUMMING: Final = "compact"  # what an edit's type begins with that has the prompt read, and answered with a summary

Counted = Callable[[dict[str, Json]], dict[str, int]]
"""One usage object → disjoint counts. Raises UsageInvalid."""


def sums_up(asked: dict[str, Json]) -> bool:
    """Whether a request may have its prompt summed up first: read once more, and written about."""
    edits = arr(obj(asked, _EDITS), "edits")
    return any((string(each, "type") or "").startswith(_SUMMING) for each in edits)


def iterations(
    said: Sequence[Json], counted: Counted
) -> tuple[tuple[Component, ...], int | None, tuple[str, ...]]:
    """Components outside the top level; what the others sum to (None without any); flags.

    Beyond ``LINES_MAX`` components their counts join those of the same kind and model, and what has neither a
    like nor a place is left out: flagged either way. Raises what ``counted`` raises.
    """
    outside = _Outside()
    inside: int | None = None
    flags: dict[str, None] = {}
    for each in said:
        kind = string(each, "type") or ""
        counts = counted(each) if isinstance(each, dict) else {}
        if kind in _OUTSIDE:
            outside.add(kind, string(each, "model"), counts)
            continue
        inside = (inside or 0) + sum(counts.values())
        if kind not in _WITHIN:
            flags[kind if kind in _NAMED else "unknown_iteration"] = None
    if outside.is_clipped:
        flags[CLIPPED] = None
    return tuple(outside.components), inside, tuple(flags)


class _Outside:
    """What stands outside the top level; bounded."""

    def __init__(self) -> None:
        self.components: list[Component] = []
        self.is_clipped = False
        self._last: dict[tuple[str, str | None], int] = {}

    def add(self, kind: str, model: str | None, counts: dict[str, int]) -> None:
        if len(self.components) < LINES_MAX:
            self._last[kind, model] = len(self.components)
            self.components.append(component(counts, kind, model))
            return
        self.is_clipped = True
        place = self._last.get((kind, model))
        if place is not None:
            so_far = self.components[place].counts
            both = {unit: so_far.get(unit, 0) + counts.get(unit, 0) for unit in (*so_far, *counts)}
            self.components[place] = component(both, kind, model)
