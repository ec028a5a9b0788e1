"""What a request body may be made of: depth and number of pieces, because size alone bounds no work.

30 MiB of ``[],`` are ten million objects. To bound something else: a constant with its reason, and a
sentence from ``swarm`` (the bytes, before anything is built) or ``overgrown`` (the decoded document).
"""

from collections.abc import Mapping
from typing import Final

DEPTH_MAX: Final = 64
CONTAINERS_MAX: Final = 200_000  # objects and arrays; a long agent's history has some thousands
MEMBERS_MAX: Final = 1_000  # of the outermost object
OPENINGS_MAX: Final = 1_000_000  # brackets in the bytes, those inside texts too
COMMAS_MAX: Final = 4_000_000
LIGHT_BYTES: Final = 256 * 1024  # below it no decoder takes long
QUICK_BYTES: Final = 16 * 1024  # below it nothing takes our readers long, whatever it is made of
QUICK_PIECES: Final = 8_000  # some 10 ms of theirs; an agent's 256 KiB have half as many

_BETWEEN: Final = b",{\n"  # of values, of objects, of a file's lines

_CONTAINERS: Final = (dict, list)  # a tuple: isinstance takes four times as long with a union


def is_quick(raw: bytes) -> bool:
    """Whether a body is read in a few ms: so small, or of so few pieces. 250 KiB of ``[],`` take half a second."""
    size = len(raw)
    if size <= QUICK_BYTES:
        return True
    return size <= LIGHT_BYTES and size - len(raw.translate(None, _BETWEEN)) <= QUICK_PIECES


def swarm(raw: bytes) -> str | None:
    """Why a body would take its decoder too long; None where it would not."""
    if len(raw) <= LIGHT_BYTES:
        return None
    if raw.count(b"{") + raw.count(b"[") > OPENINGS_MAX or raw.count(b",") > COMMAS_MAX:
        return "the body is made of too many pieces"
    return None


def overgrown(document: Mapping[str, object], raw: bytes) -> str | None:
    """Why a decoded body is too deep or has too many pieces; None where it is neither."""
    if len(document) > MEMBERS_MAX:
        return f"the body has more than {MEMBERS_MAX} members"
    return _too_deep_or_wide(document) if _opens_often(raw) else None


def _opens_often(raw: bytes) -> bool:
    """Whether there are enough opening brackets to nest too deep: most bodies need no closer look."""
    left = DEPTH_MAX
    for bracket in (b"{", b"["):
        place = raw.find(bracket)
        while place >= 0:
            left -= 1
            if left < 0:
                return True
            place = raw.find(bracket, place + 1)
    return False


def _too_deep_or_wide(document: Mapping[str, object]) -> str | None:
    """Level by level, so that no depth can hurt us."""
    row: list[list[object] | Mapping[str, object]] = [document]
    left = CONTAINERS_MAX
    for _ in range(DEPTH_MAX):
        left -= len(row)
        if left < 0:
            return f"the body has more than {CONTAINERS_MAX} objects and arrays"
        row = [
            child
            for node in row
            for child in (node if isinstance(node, list) else node.values())
            if isinstance(child, _CONTAINERS)
        ]
        if not row:
            return None
    return f"the body is nested deeper than {DEPTH_MAX} levels"
