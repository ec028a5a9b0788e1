"""Parts of a prompt that are no text to us, but whose bytes are in the request: what bounds their tokens.

A PDF by its pages, sound by how long it lasts, text in a file and what a tool of the provider's told by its characters.
Nothing is decoded beyond what its size is read from, and nothing fetched; what tells no bound is ``None``.
Tokens are made of these in exchange.margins. To bound another kind of file: one line in ``file_part``.
"""

import binascii
import re
import zlib
from typing import Final

import msgspec

from gateway.wire.jsondoc import Json

BYTES_PER_SECOND: Final = 500  # the thinnest sound there is: speech codecs at 4 kbit/s
INFLATED_MAX: Final = 8 * 1024 * 1024  # bytes of a PDF's packed objects that are looked through
_WALKED_MAX: Final = 100_000  # values of one part
_PDF_STARTS_WITHIN: Final = 1024  # bytes: readers look for its mark that far
_PDF: Final = b"%PDF-"
_PAGE: Final = re.compile(rb"/Type\s*/Page(?![A-Za-z])")
_COUNT: Final = re.compile(rb"/Count\s+(\d{1,7})")  # of a tree of pages, or of a table of contents
_PACKED: Final = b"/ObjStm"
_STREAM: Final = b"stream"
_STREAM_ENDS: Final = b"endstream"
_HEAD_BYTES_MAX: Final = 1024  # from where objects are said to be packed to where they begin
_ESCAPED_NAME: Final = re.compile(rb"/[A-Za-z]*#[0-9A-Fa-f]{2}[A-Za-z]*")
_HEAD_CHARS: Final = 64
_PCM: Final = (1, 3)  # formats of a WAV whose every block is one sample
_TEXTS: Final = frozenset({"csv", "html", "json", "markdown", "md", "plain", "text", "txt", "xml"})


class Sized(msgspec.Struct, frozen=True, gc=False):
    """What bounds a part: seconds of sound, pages with a picture each, characters that are at most a token each.

    tools  how often a tool of the provider's adds what it found
    """

    seconds: int = 0
    pages: int = 0
    characters: int = 0
    tools: int = 0


TOOL: Final = Sized(tools=1)
# Blocks and items that are sent back as they were told, readable or sealed.
TOLD_BLOCKS: Final = (
    "bash_code_execution_result", "code_execution_result", "encrypted_code_execution_result", "redacted_thinking",
    "text_editor_code_execution_create_result", "text_editor_code_execution_str_replace_result",
    "text_editor_code_execution_view_result", "tool_search_tool_search_result", "web_search_result",
    "web_search_tool_result_error",
)  # fmt: skip
TOLD_ITEMS: Final = (
    "apply_patch_call", "apply_patch_call_output", "code_interpreter_call", "compaction", "file_search_call",
    "local_shell_call", "local_shell_call_output", "mcp_approval_request", "mcp_approval_response", "mcp_call",
    "mcp_list_tools", "shell_call", "shell_call_output", "web_search_call",
)  # fmt: skip
# Of those, under whose id the provider may keep more of what its tool found than the client was told.
_FOUND_MORE: Final = frozenset(
    {"code_interpreter_call", "file_search_call", "mcp_call", "web_search_call"}
)


def file_part(content: str | None, kind: str | None) -> Sized | None:
    """A file in base64 or as a data URL; ``kind``: its MIME type or format ('application/pdf', 'txt')."""
    if not content:
        return None
    if content.startswith("data:"):
        told, _, content = content.partition(",")
        kind = told.removeprefix("data:").removesuffix(";base64")
    named = (kind or "").partition(";")[0].strip().lower()
    short = named.rpartition("/")[2]
    if named.startswith("audio/"):
        return sound_part(content)
    if short in _TEXTS:
        return Sized(characters=_size(content))
    raw = _decoded(content)
    if _PDF in raw[:_PDF_STARTS_WITHIN]:
        pages = pages_of(raw)
        return None if pages is None else Sized(pages=pages)
    return None


def sound_part(base64_text: str | None) -> Sized | None:
    """Sound in base64: by the header of a WAV without compression, else as thin as sound can be."""
    if not base64_text:
        return None
    return Sized(seconds=_size(base64_text) // _bytes_per_second(base64_text) + 1)


def told_part(value: Json) -> Sized | None:
    """What an earlier answer was told by a tool, sent back: readable or sealed, it is here, but for what is kept."""
    has_more = isinstance(value, dict) and value.get("type") in _FOUND_MORE and "id" in value
    characters, walked, waiting = 0, 0, [value]
    while waiting:
        walked += 1
        if walked > _WALKED_MAX:
            return None
        each = waiting.pop()
        if isinstance(each, str):
            characters += len(each.encode("utf-8", "replace"))
        elif isinstance(each, list):
            waiting += each
        elif isinstance(each, dict):
            waiting += each.values()
    return Sized(characters=characters, tools=int(has_more))


def pages_of(raw: bytes) -> int | None:
    """How many pages a PDF has at most; None where it does not say it in plain words (encrypted, escaped, broken)."""
    if b"/Encrypt" in raw or _ESCAPED_NAME.search(raw) is not None:
        return None
    packed = _unpacked(raw)
    if packed is None:
        return None
    parts = [raw, *packed]
    listed = sum([len(_PAGE.findall(part)) for part in parts])
    said = [int(count) for part in parts for count in _COUNT.findall(part)]
    return max([listed, *said]) or None


def _unpacked(raw: bytes) -> list[bytes] | None:
    """The packed objects of a PDF; None where they cannot be read, or swell. Every byte is looked at once."""
    found: list[bytes] = []
    left, at = INFLATED_MAX, raw.find(_PACKED)
    while at >= 0:
        begin = raw.find(_STREAM, at, at + _HEAD_BYTES_MAX)
        end = raw.find(_STREAM_ENDS, begin) if begin >= 0 else -1
        if end < 0:
            return None
        try:
            content = raw[begin + len(_STREAM) : end].lstrip(b"\r\n")
            found.append(zlib.decompressobj().decompress(content, left))
        except zlib.error:
            return None
        left -= len(found[-1])
        if left <= 0:
            return None
        at = raw.find(_PACKED, end)
    return found


def _bytes_per_second(base64_text: str) -> int:
    head = _decoded(base64_text[:_HEAD_CHARS])
    if head[:4] != b"RIFF" or head[8:16] != b"WAVEfmt " or len(head) < 36:  # noqa: PLR2004
        return BYTES_PER_SECOND
    if int.from_bytes(head[20:22], "little") not in _PCM:
        return BYTES_PER_SECOND
    samples, block = int.from_bytes(head[24:28], "little"), int.from_bytes(head[32:34], "little")
    return max(samples * block, BYTES_PER_SECOND)


def _size(base64_text: str) -> int:
    return len(base64_text) * 3 // 4 + 1


def _decoded(base64_text: str) -> bytes:
    try:
        return binascii.a2b_base64(base64_text[: len(base64_text) - len(base64_text) % 4])
    except (binascii.Error, ValueError):
        return b""
