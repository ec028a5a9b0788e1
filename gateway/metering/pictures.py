"""Pictures that are billed by their size and quality: which of the units one is counted in.

The sizes are those that Amazon's models are sold by: up to 768 x 768 pixels (a "512"), up to 1024 x 1024, and larger
ones. Width times height decides. To add a size: one line in ``_SIZES`` and its units in ``units``.
"""

from typing import Final

from gateway.metering.asking import asked_number, asked_times
from gateway.wire.jsondoc import Json, arr, obj, string
from gateway.wire.pixels import Pixels, pixels_of

_SIZES: Final = ((768 * 768, "images_out_512"), (1024 * 1024, "images_out_1024"))
_LARGEST: Final = "images_out_2048"
_BETTER: Final = "_premium"
SIZED: Final = frozenset(
    f"{unit}{better}" for _, unit in (*_SIZES, (0, _LARGEST)) for better in ("", _BETTER)
)
_CONFIG: Final = "imageGenerationConfig"
DECISIVE: Final = ("numberOfImages", "width", "height", "quality")
# Tasks that draw where only the text, or colours, say what; all others edit a picture that comes along.
_DRAWING: Final = frozenset({"TEXT_IMAGE", "COLOR_GUIDED_GENERATION"})
_TASKS: Final = _DRAWING | {
    "BACKGROUND_REMOVAL", "IMAGE_VARIATION", "INPAINTING", "OUTPAINTING", "VIRTUAL_TRY_ON",
}  # fmt: skip
_DEFAULT_SIDE: Final = 1024  # what these models make where nothing is said, at standard quality
_STANDARD: Final = frozenset({None, "standard"})
_EDITED: Final = ("image", "sourceImage")


def asked_pictures(asked: dict[str, Json]) -> dict[str, int]:
    """What a request for pictures by size bills: as many of one unit; {} where it is none.

    Raises MalformedBody where their number is no whole number.
    """
    if _CONFIG not in asked and asked.get("taskType") not in _TASKS:
        return {}
    config = obj(asked, _CONFIG)
    better = "" if config.get("quality") in _STANDARD else _BETTER
    count = asked_times(config.get("numberOfImages"), "numberOfImages") or 1
    return {f"{_unit(_asked_size(asked, config))}{better}": count}


def unit_of(base64_text: str, asked: str) -> str:
    """The unit of a picture that was made: by its own size, at the quality of the unit that was asked for."""
    pixels = pixels_of(base64_text)
    if pixels is None:
        return asked
    return f"{_unit(pixels)}{_BETTER if asked.endswith(_BETTER) else ''}"


def _asked_size(asked: dict[str, Json], config: dict[str, Json]) -> Pixels | None:
    """The size that is stated, else the default; of a picture that is edited its own, where that is larger. None: any."""
    sides = [config.get(name) for name in ("width", "height")]
    if sides == [None, None] and asked.get("taskType") not in _DRAWING | {None}:
        return _edited_size(asked)
    width, height = [_DEFAULT_SIDE if side is None else asked_number(side) or 0 for side in sides]
    return (width, height) if width and height else None


def _edited_size(asked: dict[str, Json]) -> Pixels | None:
    sizes: list[Pixels | None] = [(_DEFAULT_SIDE, _DEFAULT_SIDE)]
    for name in asked:
        params = obj(asked, name) if name.endswith("Params") else {}
        texts = [string(params, member) for member in _EDITED]
        texts += [each for each in arr(params, "images") if isinstance(each, str)]
        sizes += [pixels_of(text) for text in texts if text]
    known = [size for size in sizes if size is not None]
    return max(known, key=_area) if len(known) == len(sizes) else None


def _area(size: Pixels) -> int:
    return size[0] * size[1]


def _unit(size: Pixels | None) -> str:
    """The unit of a size, at standard quality; of one that may be any, the largest."""
    if size is not None:
        for most, unit in _SIZES:
            if _area(size) <= most:
                return unit
    return _LARGEST
