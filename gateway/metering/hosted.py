"""Tools that the provider runs itself: what they read is not in the prompt, and some are billed by the use.

To bill another one: one line in ``_UNITS``.
"""

from collections.abc import Iterable
from typing import Final

from gateway.metering.asking import asked_number
from gateway.wire.jsondoc import Json, at, string

TOOL_USES_MAX: Final = 10  # how often a tool is used in one answer where the request sets no limit
_OWN: Final = frozenset({None, "custom", "function"})  # the client's own tools
_UNITS: Final = {"web_search": "web_search_requests", "web_fetch": "web_fetch_requests"}


def hosted_tools(tools: Iterable[Json]) -> list[Json]:
    """The tools among those offered that come with a type of the provider's."""
    return [tool for tool in tools if string(tool, "type") not in _OWN]


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
