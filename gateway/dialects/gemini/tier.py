"""The tier an answer names: Vertex says ``trafficType``, the Gemini API ``serviceTier``.

To follow a new number of the enum: one line in ``_TRAFFIC``.
"""

from typing import Final

from gateway.wire.jsondoc import Json, string

_BASE: Final = "ON_DEMAND"
_TRAFFIC: Final = {0: None, 1: _BASE, 2: "PROVISIONED_THROUGHPUT"}


def tier_of(usage: dict[str, Json]) -> str | None:
    """The tier as the answer spells it (numbers of the enum as its words); None where it names none."""
    said = usage.get("trafficType")
    if isinstance(said, int) and not isinstance(said, bool):
        traffic = _TRAFFIC.get(said, str(said))
    else:
        traffic = said if isinstance(said, str) else None
    service = string(usage, "serviceTier")
    return service if service and traffic in (None, _BASE) else traffic
