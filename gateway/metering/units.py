"""The registry of units: token classes and counted units, as names of facts, not columns.

To add one: one line here, one mapping line in each dialect that reports it, price rows as data.
``refines`` names the unit it is a finer part of; a price book may charge it as that unit, never silently.
"""

from typing import Final, Literal

import msgspec

Direction = Literal["input", "output", "tool"]
Cache = Literal["", "read", "write"]


class Unit(msgspec.Struct, frozen=True, gc=False):
    """One thing that is counted. ``is_token``: part of the provider's token total."""

    name: str
    is_token: bool
    direction: Direction
    modality: str
    cache: Cache = ""
    refines: str = ""


def _token(
    name: str, direction: Direction, modality: str, cache: Cache = "", refines: str = ""
) -> Unit:
    return Unit(
        name, is_token=True, direction=direction, modality=modality, cache=cache, refines=refines
    )


def _counted(name: str, direction: Direction, modality: str, refines: str = "") -> Unit:
    return Unit(name, is_token=False, direction=direction, modality=modality, refines=refines)


_ALL: Final = (
    _token("input_text", "input", "text"),
    _token("input_image", "input", "image", refines="input_text"),
    _token("input_audio", "input", "audio"),
    _token("input_video", "input", "video", refines="input_text"),
    _token("input_document", "input", "document", refines="input_text"),
    _token("input_tool", "input", "text", refines="input_text"),
    _token("cache_read_text", "input", "text", "read", refines="input_text"),
    _token("cache_read_image", "input", "image", "read", refines="cache_read_text"),
    _token("cache_read_audio", "input", "audio", "read", refines="cache_read_text"),
    _token("cache_read_video", "input", "video", "read", refines="cache_read_text"),
    _token("cache_read_document", "input", "document", "read", refines="cache_read_text"),
    _token("cache_write", "input", "text", "write", refines="input_text"),
    _token("cache_write_5m", "input", "text", "write", refines="cache_write"),
    _token("cache_write_30m", "input", "text", "write", refines="cache_write"),
    _token("cache_write_1h", "input", "text", "write", refines="cache_write"),
    _token("cache_write_12h", "input", "text", "write", refines="cache_write"),
    _token("output_text", "output", "text"),
    _token("output_reasoning", "output", "text", refines="output_text"),
    _token("output_audio", "output", "audio"),
    _token("output_image", "output", "image"),
    _token("output_video", "output", "video"),
    _counted("audio_seconds", "input", "audio"),
    _counted("video_seconds", "output", "video"),
    _counted("session_seconds", "input", "audio"),
    _counted("characters_in", "input", "text"),
    _counted("images_out", "output", "image"),
    _counted("images_out_512", "output", "image", refines="images_out"),
    _counted("images_out_512_premium", "output", "image", refines="images_out"),
    _counted("images_out_1024", "output", "image", refines="images_out"),
    _counted("images_out_1024_premium", "output", "image", refines="images_out"),
    _counted("images_out_2048", "output", "image", refines="images_out"),
    _counted("images_out_2048_premium", "output", "image", refines="images_out"),
    _counted("web_search_requests", "tool", "search"),
    _counted("web_fetch_requests", "tool", "search"),
    _counted("grounding_google_search", "tool", "search"),
    _counted("grounding_google_search_prompts", "tool", "search"),
    _counted("grounding_google_maps", "tool", "search"),
    _counted("grounding_retrieval", "tool", "search"),
    _counted("grounding_enterprise_web_search", "tool", "search"),
    _counted("file_search_calls", "tool", "search"),
    _counted("code_interpreter_sessions", "tool", "code"),
    _counted("search_units", "tool", "search"),
    _counted("content_policy_units", "tool", "guardrail"),
    _counted("topic_policy_units", "tool", "guardrail"),
    _counted("sensitive_information_policy_units", "tool", "guardrail"),
    _counted("contextual_grounding_policy_units", "tool", "guardrail"),
    _counted("automated_reasoning_policy_units", "tool", "guardrail"),
    _counted("content_policy_image_units", "tool", "guardrail"),
    _counted("ptu_hours", "tool", "capacity"),  # a unit of provisioned throughput, kept for an hour
)

UNITS: Final[dict[str, Unit]] = {unit.name: unit for unit in _ALL}
INPUT_TEXT: Final = "input_text"
OUTPUT_TEXT: Final = "output_text"


def is_token(name: str) -> bool:
    """Whether the unit belongs to the provider's token total. Raises KeyError on an unregistered unit."""
    return UNITS[name].is_token
