"""What the body of a raw invocation bills by the piece: pictures, searches, seconds of video.

To read another family's way of asking for pictures: one word in ``_IMAGE_ASKED``; those billed by size: ``pictures``.
"""

from typing import Final

from gateway.metering.asking import asked_number, asked_times
from gateway.metering.pictures import asked_pictures
from gateway.wire.jsondoc import Json, arr, obj

IMAGES: Final = "images_out"
SEARCHES: Final = "search_units"
VIDEO: Final = "video_seconds"
_DOCUMENTS_PER_SEARCH: Final = 100
_SHOT_SECONDS: Final = 6  # what one shot, and a video nobody gave a length, takes
_IMAGE_ASKED: Final = frozenset({
    "text_prompts", "aspect_ratio", "output_format", "mode", "negative_prompt", "image", "init_image",
})  # fmt: skip


def asked_pieces(asked: dict[str, Json]) -> dict[str, int]:
    """What is billed by the piece: images, and searches of a hundred documents each."""
    is_chat = "messages" in asked
    if pictures := {} if is_chat else asked_pictures(asked):
        return pictures
    if _IMAGE_ASKED & asked.keys() and not is_chat:
        return {IMAGES: asked_times(asked.get("samples"), "samples") or 1}
    documents = arr(asked, "documents")
    if documents and "query" in asked:
        return {SEARCHES: -(-len(documents) // _DOCUMENTS_PER_SEARCH)}
    return {}


def video_seconds(wanted: dict[str, Json]) -> int | None:
    """How long a video is asked for; None where nothing says that one is."""
    said = obj(wanted, "videoGenerationConfig").get("durationSeconds", wanted.get("duration"))
    if isinstance(said, str):
        said = said.removesuffix("s")
    shots = arr(obj(wanted, "multiShotManualParams"), "shots")
    if said is None and ("videoGenerationConfig" in wanted or shots):
        return _SHOT_SECONDS * max(len(shots), 1)
    return asked_number(said)
