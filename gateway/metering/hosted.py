"""Tools that the provider runs itself: what they read is not in the prompt, and some are billed by the use.

To bill another one: one line in ``_UNITS``; one that costs the same beside every model: in ``OWN_UNITS`` as well.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from gateway.metering.asking import asked_times, require_spelt
from gateway.metering.usage import MAIN, Component, component, count_of
from gateway.wire.jsondoc import Json, arr, at, obj, string

TOOL_USES_MAX: Final = 10  # how often a tool is used in one answer where the request sets no limit
_OWN: Final = frozenset({"custom", "function"})  # the client's own tools
# Members of which a client's own tool has one where it has no type.
_OWN_SHAPES: Final = frozenset({"function", "custom", "name"})
IMAGE_TOOL: Final = "image_generation"
_ADVISOR: Final = "advisor"
_DECISIVE: Final = ("type", "max_uses")
FILE_SEARCHES: Final = "file_search_calls"
SESSIONS: Final = "code_interpreter_sessions"
_UNITS: Final = {
    "web_search": "web_search_requests",
    "web_fetch": "web_fetch_requests",
    "file_search": FILE_SEARCHES,
    "code_interpreter": SESSIONS,
}
_SEARCH_ITEM: Final = "file_search_call"
_SESSION_ITEM: Final = "code_interpreter_call"
CONTAINERS_MAX: Final = 4096  # of one answer
UNSAID: Final = "tool_usage_unsaid"
CONTINUED: Final = "session_continued"  # an earlier row may have booked it already
TOOL_UNITS: Final = frozenset(_UNITS.values())  # how often such tools were used
# What costs the same whichever model has the tool used: charged under a name of its own, not under the model's.
ROLE: Final = "hosted_tool"
OWN_UNITS: Final = frozenset({FILE_SEARCHES, SESSIONS})


def hosted_tools(tools: Iterable[Json]) -> list[Json]:
    """The tools among those offered that come with a type of the provider's, or with none and in no shape of a client's.

    Raises MalformedBody where what decides it is spelt in another case.
    """
    offered = list(tools)
    for tool in offered:
        require_spelt(tool, "tools", _DECISIVE)
    return [tool for tool in offered if not _is_own(tool)]


def _is_own(tool: Json) -> bool:
    kind = string(tool, "type")
    if kind is None and isinstance(tool, dict):
        return tool.get("type") is None and not _OWN_SHAPES.isdisjoint(tool)
    return kind in _OWN


def tool_units(hosted: Iterable[Json], uses_max: int | None = None) -> dict[str, int]:
    """What these tools may bill by the use at most; ``uses_max``: of all of them together, where the request says."""
    units: dict[str, int] = {}
    for tool in hosted:
        kind = string(tool, "type") or ""
        for word, unit in _UNITS.items():
            if kind.startswith(word):
                uses = asked_times(at(tool, "max_uses"), "max_uses") or uses_max or TOOL_USES_MAX
                units[unit] = units.get(unit, 0) + uses
    return units


def other_models(asked: dict[str, Json], hosted: Iterable[Json]) -> tuple[tuple[str, int], ...]:
    """The models that a request may have asked beside its own, with how often each: advisors, and whom to fall back to."""
    named = [(string(tool, "model"), tool) for tool in hosted]
    found = [
        (name, asked_times(at(tool, "max_uses"), "max_uses") or TOOL_USES_MAX)
        for name, tool in named
        if name and (string(tool, "type") or "").startswith(_ADVISOR)
    ]
    later = [
        each if isinstance(each, str) else string(each, "model") for each in arr(asked, "fallbacks")
    ]
    return (*found, *((name, 1) for name in later if name))


def image_models(hosted: Iterable[Json], uses_max: int | None) -> tuple[tuple[str, int], ...]:
    """The models that may draw in an answer, with how often; one that no tool names goes by the tool's own name."""
    drawing = [tool for tool in hosted if (string(tool, "type") or "").startswith(IMAGE_TOOL)]
    return tuple(
        (string(tool, "model") or IMAGE_TOOL, uses_max or TOOL_USES_MAX) for tool in drawing
    )


def system_tools(asked: dict[str, Json]) -> list[Json]:
    """The tools of a conversation's configuration that are systems of the provider's."""
    return [tool for tool in arr(obj(asked, "toolConfig"), "tools") if at(tool, "systemTool")]


def used_units(used: dict[str, Json]) -> tuple[dict[str, int], tuple[str, ...]]:
    """Units of tools that an answer says were used, and a flag where one of them has no unit yet. Raises UsageInvalid."""
    counts = {name: count_of(value) or 0 for name, value in used.items()}
    units = {name: count for name, count in counts.items() if name in TOOL_UNITS}
    unknown = any(count for name, count in counts.items() if name not in TOOL_UNITS)
    return units, ("unknown_unit",) if unknown else ()


def parted(counts: Mapping[str, int]) -> tuple[Component, ...]:
    """The counts of a call as its parts: what is the model's, and what stands beside it."""
    beside = {unit: count for unit, count in counts.items() if unit in OWN_UNITS}
    own = {unit: count for unit, count in counts.items() if unit not in OWN_UNITS}
    both = (Component(MAIN, own), Component(ROLE, beside))
    return tuple(part for part in both if part.counts)


def names_container(hosted: Iterable[Json]) -> bool:
    """Whether code is to run in a container that is there already: an earlier answer opened it."""
    return any(string(tool, "container") for tool in hosted)


class Uses:
    """What the items of an answer say of tools that are billed by themselves: calls, and the containers code ran in."""

    def __init__(self) -> None:
        self._passed = 0  # searches of a stream's own items
        self._listed = 0  # searches that the answer lists at its end, the same ones
        self._containers: dict[str, None] = {}
        self._unnamed = False

    def pass_by(self, item: Json) -> None:
        """An item of a stream has ended."""
        self._passed += self._is_search(item)

    def list_all(self, items: Iterable[Json]) -> None:
        """All items of the answer, at its end."""
        self._listed = sum([self._is_search(item) for item in items])

    def _is_search(self, item: Json) -> bool:
        kind = string(item, "type")
        if kind == _SESSION_ITEM:
            container = string(item, "container_id")
            if container and len(self._containers) < CONTAINERS_MAX:
                self._containers[container] = None
            self._unnamed = self._unnamed or not container
        return kind == _SEARCH_ITEM

    def sessions(self) -> tuple[str, ...]:
        """The containers."""
        return tuple(self._containers)

    def component(self) -> Component | None:
        """Calls and sessions, charged beside the model; None where there were none."""
        counts = {
            FILE_SEARCHES: max(self._passed, self._listed),
            SESSIONS: len(self._containers),
        }
        return component(counts, ROLE) if any(counts.values()) else None

    def flags(self, *, continues: bool) -> tuple[str, ...]:
        """Words for the row. ``continues``: the request goes on from something that an earlier answer left."""
        unsaid = (UNSAID,) if self._unnamed else ()
        return (*unsaid, CONTINUED) if continues and self._containers else unsaid


def with_sessions(components: tuple[Component, ...], sessions: int) -> tuple[Component, ...]:
    """The components with so many sessions of code, and no others."""
    parts = (
        component({**part.counts, SESSIONS: sessions}, ROLE) if part.role == ROLE else part
        for part in components
    )
    return tuple(part for part in parts if part.counts or part.role != ROLE)


def search_units(asked: dict[str, Json]) -> dict[str, int]:
    """What a chat's own search may bill at most: one search for every answer."""
    if asked.get("web_search_options") is None:
        return {}
    return {"web_search_requests": asked_times(asked.get("n"), "n") or 1}
