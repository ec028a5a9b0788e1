"""LiteLLM's price table, read out of its wheel: field names → figures.

To read another field, add a line to ``FIELDS``; suffixes for tier and context follow by themselves.
"""

import json
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Final

from gateway.catalog.figure import Figure, Slot, SourceUnreadable
from gateway.metering.units import UNITS
from gateway.pricing.dimensions import STANDARD

# The name of a field without its suffixes → the unit it prices.
FIELDS: Final = {
    "input_cost_per_token": "input_text",
    "output_cost_per_token": "output_text",
    "output_cost_per_reasoning_token": "output_reasoning",
    "input_cost_per_audio_token": "input_audio",
    "output_cost_per_audio_token": "output_audio",
    "input_cost_per_image_token": "input_image",
    "output_cost_per_image_token": "output_image",
    "input_cost_per_video_token": "input_video",
    "output_cost_per_video_token": "output_video",
    "cache_read_input_token_cost": "cache_read_text",
    "cache_read_input_audio_token_cost": "cache_read_audio",
    "cache_read_input_image_token_cost": "cache_read_image",
    "cache_creation_input_token_cost_above_1hr": "cache_write_1h",
    "cache_creation_input_token_cost": "cache_write",
    "output_cost_per_image": "images_out",
    "input_cost_per_query": "search_units",
    "input_cost_per_second": "audio_seconds",
    "output_cost_per_second": "video_seconds",
    "input_cost_per_character": "characters_in",
    "google_maps_grounding_cost_per_query": "grounding_google_maps",
}
_TIERS: Final = {None: STANDARD, "batches": "batch"}
_FIELD: Final = re.compile(
    rf"^(?P<base>{'|'.join(FIELDS)})(?:_above_(?P<k>\d+)k_tokens)?"
    r"(?:_(?P<tier>batches|flex|priority|ultrafast))?$"
)
_SEARCH: Final = "search_context_cost_per_query"
_SEARCH_SIZE: Final = "search_context_size_medium"
_GUARDRAIL: Final = "guardrail_cost_per_unit"
_SEARCHES: Final = (
    "web_search_requests",
    "grounding_google_search",
    "grounding_google_search_prompts",
)
_WRITES: Final = ("cache_write_5m", "cache_write_30m")  # stated without their lifetime


class LiteLlm:
    """The table of one version. ``label`` is how rows name it."""

    def __init__(self, version: str, content: bytes) -> None:
        """Raises SourceUnreadable where the content is no table of models."""
        table: object = json.loads(content, parse_float=Decimal, parse_int=Decimal)
        if not isinstance(table, dict):
            raise SourceUnreadable("litellm: the price table is not an object")
        self.label = f"litellm {version}"
        self._entries: dict[str, Mapping[str, object]] = {
            key: entry for key, entry in table.items() if isinstance(entry, dict)
        }

    def models(self) -> tuple[str, ...]:
        """Every model key, sorted."""
        return tuple(sorted(self._entries))

    def has(self, key: str) -> bool:
        """Whether the table has the model."""
        return key in self._entries

    def text(self, key: str, field: str) -> str:
        """A textual field such as ``mode``; '' where there is none."""
        found = self._entries.get(key, {}).get(field)
        return found if isinstance(found, str) else ""

    def number(self, key: str, field: str) -> Decimal | None:
        """A numeric field such as an uplift."""
        return _number(self._entries.get(key, {}).get(field))

    def figures(self, key: str) -> dict[Slot, Figure]:
        """Every figure of a model that a unit of ours can be charged by."""
        found: dict[Slot, Figure] = {}
        for field, value in self._entries.get(key, {}).items():
            usd, matched = _number(value), _FIELD.match(field)
            if usd is not None and matched is not None:
                tier = _TIERS.get(matched["tier"], matched["tier"])
                slot = Slot(FIELDS[matched["base"]], tier, int(matched["k"] or 0) * 1000)
                found[slot] = Figure(usd)
        search = self._inside(key, _SEARCH, _SEARCH_SIZE)
        if search is not None:
            found |= {Slot(unit, STANDARD): Figure(search) for unit in _SEARCHES}
        return found

    def figure(self, key: str, slot: Slot, field: str = "") -> Figure | None:
        """One figure; ``field`` where the reference names it (a guardrail's policy)."""
        policy = self._inside(key, _GUARDRAIL, field) if field else None
        if policy is not None:
            return Figure(policy)
        figures = self.figures(key)
        if not UNITS[slot.unit].is_token:
            slot = Slot(slot.unit, STANDARD)  # what is counted has one price for every tier
        if slot not in figures and slot.unit in _WRITES:
            slot = slot._replace(unit="cache_write")
        return figures.get(slot)

    def _inside(self, key: str, field: str, member: str) -> Decimal | None:
        found = self._entries.get(key, {}).get(field)
        return _number(found.get(member)) if isinstance(found, dict) else None


def _number(value: object) -> Decimal | None:
    return value if isinstance(value, Decimal) else None
