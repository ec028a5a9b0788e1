"""Image token formulas: tiles, patches, and flat estimates where a provider publishes no formula.

Width and height are pixels as the image's own header tells them; nothing is ever fetched.
To add a model: one line in ``_TILES`` or ``_PATCHES``, keyed by the longest name prefix it holds for.
"""

from math import isqrt
from typing import Final

import msgspec

from gateway.metering.prompt import Image

SIDE_MAX: Final = 2048  # larger images are scaled down to this side first
SHORT_SIDE_MAX: Final = 768
TILE_SIDE: Final = 512
PATCH_SIDE: Final = 32
PATCHES_MAX: Final = 1536
PATCHES_MAX_LARGE: Final = 2500


class Tiles(msgspec.Struct, frozen=True, gc=False):
    """``base`` tokens and ``tile`` tokens per square of 512 px."""

    base: int
    tile: int


class Patches(msgspec.Struct, frozen=True, gc=False):
    """Squares of 32 px, at most ``patches_max``, each worth ``percent`` hundredths of a token."""

    percent: int
    patches_max: int = PATCHES_MAX


_TILES: Final = {
    "gpt-4o": Tiles(85, 170),
    "gpt-4.1": Tiles(85, 170),
    "gpt-4.5": Tiles(85, 170),
    "gpt-4-turbo": Tiles(85, 170),
    "gpt-4-1106": Tiles(85, 170),
    "gpt-4o-mini": Tiles(2833, 5667),
    "o1": Tiles(75, 150),
    "o3": Tiles(75, 150),
    "gpt-5": Tiles(70, 140),
    "gpt-5-chat": Tiles(70, 140),
    "gpt-5.1": Tiles(70, 140),
    "computer-use": Tiles(65, 129),
}
_PATCHES: Final = {
    "gpt-4.1-mini": Patches(162),
    "gpt-4.1-nano": Patches(246),
    "o4-mini": Patches(172),
    "codex-mini": Patches(172),
    "gpt-5-mini": Patches(120),
    "gpt-5-nano": Patches(150),
    "gpt-5.2": Patches(120),
    "gpt-5.3": Patches(120),
    "gpt-5.4": Patches(120, PATCHES_MAX_LARGE),
    "gpt-5.5": Patches(120, PATCHES_MAX_LARGE),
    "gpt-5.6": Patches(120, PATCHES_MAX_LARGE),
    "gpt-6": Patches(120, PATCHES_MAX_LARGE),
}
_BY_PREFIX: Final[dict[str, Tiles | Patches]] = {**_TILES, **_PATCHES}
_PREFIXES: Final = tuple(sorted(_BY_PREFIX, key=len, reverse=True))
_SMALL: Final = frozenset({"mini", "nano"})  # the small models of a line keep the small budget
_UNLISTED: Final = Tiles(85, 170)
TILES_UNKNOWN_SIZE: Final = 4
TILES_MOST: Final = 8  # 2048 by 768


def image_tokens(name: str, image: Image) -> int:
    """Tokens of one image for a plain model name (no provider decoration), by the longest listed prefix."""
    kind = _kind(name)
    if isinstance(kind, Tiles):
        return _tiled(kind, image)
    if is_small(name):
        kind = Patches(kind.percent)
    return _patched(kind, image)


def image_tokens_most(name: str, image: Image) -> int:
    """The most tokens that image can have, whatever its size turns out to be."""
    kind = _kind(name)
    if isinstance(kind, Tiles) and image.detail != "low" and not (image.width and image.height):
        return kind.base + kind.tile * TILES_MOST
    return image_tokens(name, image)


def is_small(name: str) -> bool:
    """Whether a plain model name is a small model's."""
    return not _SMALL.isdisjoint(name.split("-"))


def _kind(name: str) -> Tiles | Patches:
    for prefix in _PREFIXES:
        # A prefix ends where a part of the name ends: "gpt-4" is not the beginning of "gpt-4o".
        if name.startswith(prefix) and name[len(prefix) : len(prefix) + 1] in ("", "-", "."):
            return _BY_PREFIX[prefix]
    return _UNLISTED


def _tiled(kind: Tiles, image: Image) -> int:
    if image.detail == "low":
        return kind.base
    if not image.width or not image.height:
        return kind.base + kind.tile * TILES_UNKNOWN_SIZE
    over, under = _tile_scale(image.width, image.height)
    across = _ceil(image.width * over, TILE_SIDE * under)
    down = _ceil(image.height * over, TILE_SIDE * under)
    return kind.base + kind.tile * across * down


def _tile_scale(width: int, height: int) -> tuple[int, int]:
    """The scale as a fraction: the smallest of 1, 2048 / long side, 768 / short side."""
    long, short = max(width, height), min(width, height)
    over, under = (SIDE_MAX, long) if long > SIDE_MAX else (1, 1)
    if SHORT_SIDE_MAX * under < over * short:
        over, under = SHORT_SIDE_MAX, short
    return over, under


def _patched(kind: Patches, image: Image) -> int:
    patches = kind.patches_max
    if image.width and image.height:
        patches = _patches(image.width, image.height, kind.patches_max)
    return _ceil(patches * kind.percent, 100)


def _patches(width: int, height: int, patches_max: int) -> int:
    long = max(width, height)
    if long > SIDE_MAX:
        width, height = (max(_round(side * SIDE_MAX, long), 1) for side in (width, height))
    patches = _ceil(width, PATCH_SIDE) * _ceil(height, PATCH_SIDE)
    if patches <= patches_max:
        return patches
    # Shrunk until the side that fits worst is a whole number of patches; the other one is rounded.
    across = max(isqrt(width * patches_max // height), 1)
    down = max(isqrt(height * patches_max // width), 1)
    if across * height <= down * width:
        return across * max(_round(across * height, width), 1)
    return down * max(_round(down * width, height), 1)


def _ceil(over: int, under: int) -> int:
    return -(-over // under)


def _round(over: int, under: int) -> int:
    """Half up."""
    return (2 * over + under) // (2 * under)
