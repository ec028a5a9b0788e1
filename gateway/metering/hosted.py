"""Tools that the provider runs itself: what they read is not in the prompt, and some are billed by the use.

To bill another one: one line in ``_UNITS``.
"""

from collections.abc import Iterable
from typing import Final

from gateway.metering.asking import asked_number, require_spelt
from gateway.wire.jsondoc import Json, at, string

TOOL_USES_MAX: Final = 10  # how often a tool is used in one answer where the request sets no limit
_OWN: Final = frozenset({"custom", "function"})  # the client's own tools
# Members of which a client's own tool has one where it has no type.
_OWN_SHAPES: Final = frozenset({"function", "custom", "name"})
_DECISIVE: Final = ("type", "max_uses")
_UNITS: Final = {"web_search": "web_search_requests", "web_fetch": "web_fetch_requests"}
TOOL_UNITS: Final = frozenset(_UNITS.values())  # how often such tools were used


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
                uses = asked_number(at(tool, "max_uses")) or uses_max or TOOL_USES_MAX
                units[unit] = units.get(unit, 0) + uses
    return units


def search_units(asked: dict[str, Json]) -> dict[str, int]:
    """What a chat's own search may bill at most: one search for every answer."""
    if asked.get("web_search_options") is None:
        return {}
    return {"web_search_requests": asked_number(asked.get("n")) or 1}
