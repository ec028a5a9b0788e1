"""JSON documents as bytes: typed look-ups, duplicate-key check, splicing, incremental arrays.

Editing works on the bytes (spans found by a string-aware scanner), never by serialising again. To add an
edit, build it on ``_members``, which knows where every top-level member begins and ends.
"""

import re
from collections import deque
from collections.abc import Iterator
from typing import Final, TypeAlias, Union

import msgspec
import orjson

from gateway.wire import jsonbounds
from gateway.wire.spelling import spelling
from gateway.wire.twins import twin

Json: TypeAlias = Union[bool, int, float, str, list["Json"], dict[str, "Json"], None]

DEPTH_MAX: Final = jsonbounds.DEPTH_MAX
ITEM_BYTES_MAX: Final = 8 * 1024 * 1024  # one element of a streamed array; an image fits
BODY_BYTES_MAX: Final = 32 * 1024 * 1024  # an answer is kept whole up to here
HEAD_BYTES_MAX: Final = 64 * 1024  # beyond it: what names the model
TAIL_BYTES_MAX: Final = 256 * 1024  # beyond it: where every API puts its usage
CANDIDATES_MAX: Final = 64  # a hostile answer may repeat a name without end

_BLANK: Final = b" \t\r\n"
# Whole strings first, so that no bracket inside one is seen; possessive, so that no input backtracks.
_STRING: Final = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_STRING_GROUP: Final = rb'"([^"\\]*+(?:\\.[^"\\]*+)*+)"'
_TOKEN: Final = re.compile(_STRING + rb"|[{}\[\]]", re.DOTALL)
# A member up to its value, with the brace or comma before it; then the end of the object.
_NAME: Final = re.compile(
    rb"[ \t\r\n]*+([{,])[ \t\r\n]*+" + _STRING_GROUP + rb"[ \t\r\n]*+:[ \t\r\n]*+", re.DOTALL
)
_END: Final = re.compile(rb"[ \t\r\n]*+\}[ \t\r\n]*+\Z")
_EMPTY: Final = re.compile(rb"[ \t\r\n]*+\{[ \t\r\n]*+\}[ \t\r\n]*+")
_VALUE_START: Final = re.compile(_STRING + rb"|[{\[]|[^\s,{}\[\]\"]++", re.DOTALL)
_OPENING: Final = frozenset(b"{[")
_CLOSING: Final = frozenset(b"}]")
_SHALLOW: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])


class MalformedJson(ValueError):
    """Bytes that are no JSON document, or one that two readers could understand differently."""


# ── reading ──────────────────────────────────────────────────────────────────────────────────────


def parse(raw: bytes) -> Json:
    """Decode a document. Raises MalformedJson on bad syntax, NaN, a BOM, other encodings, deep nesting."""
    try:
        document: Json = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise MalformedJson(f"not a JSON document: {error}") from None
    return document


def parse_object(raw: bytes, sensitive: tuple[str, ...]) -> dict[str, Json]:
    """Decode a request body that must be an object of at most DEPTH_MAX levels.

    ``sensitive`` names the top-level members that decide model, price or metering. Raises MalformedJson
    where one of them is spelt in another case, and where any object at any depth has a name twice, in whatever
    spelling: a provider's parser may take the other one than ours does. So it does where the body is made of
    too many pieces.
    """
    if why := jsonbounds.swarm(raw):
        raise MalformedJson(why)
    document = parse(raw)
    if not isinstance(document, dict):
        raise MalformedJson("the body must be a JSON object")
    if why := jsonbounds.overgrown(document, raw):
        raise MalformedJson(why)
    if right := spelling(sensitive).misspelt(document):
        raise MalformedJson(f'the body spells "{right}" in another case')
    if name := twin(raw, document):
        raise MalformedJson(f'the body has "{name}" twice in one object: send it once')
    return document


def has_member(raw: bytes, name: str) -> bool:
    """Whether a document is an object with that top-level member, however its name is written."""
    try:
        return name in _SHALLOW.decode(raw)
    except (msgspec.DecodeError, RecursionError):
        return False


def obj(value: Json, key: str) -> dict[str, Json]:
    """The object under a key; {} where it is absent or something else."""
    found = value.get(key) if isinstance(value, dict) else None
    return found if isinstance(found, dict) else {}


def arr(value: Json, key: str) -> list[Json]:
    """The array under a key; [] where it is absent or something else."""
    found = value.get(key) if isinstance(value, dict) else None
    return found if isinstance(found, list) else []


def string(value: Json, key: str) -> str | None:
    """The string under a key; None where it is absent or something else."""
    found = value.get(key) if isinstance(value, dict) else None
    return found if isinstance(found, str) else None


def at(value: Json, *path: str | int) -> Json:
    """The value at a path of member names and array positions; None where the path does not lead on."""
    for step in path:
        if isinstance(value, dict) and isinstance(step, str):
            value = value.get(step)
        elif isinstance(value, list) and isinstance(step, int) and -len(value) <= step < len(value):
            value = value[step]
        else:
            return None
    return value


# ── editing ──────────────────────────────────────────────────────────────────────────────────────


def _distinct_spans(raw: bytes) -> dict[str, tuple[int, int]] | None:
    """Where every top-level value stands, if no name is there twice; None where that is not proven.

    The decoder, in C, keeps one value per name. Where those, in order, fill the whole object, no byte is
    left for a second spelling of any name.
    """
    try:
        values = _SHALLOW.decode(raw)
    except (msgspec.DecodeError, RecursionError):
        return None
    spans: dict[str, tuple[int, int]] = {}
    place = 0
    for name, value in values.items():
        found = _NAME.match(raw, place)
        text = bytes(value)
        if not (found and raw.startswith(text, found.end()) and _decoded(found[2]) == name):
            return None
        place = found.end() + len(text)
        spans[name] = (found.end(), place)
    return spans if not spans or _END.match(raw, place) else None


def _decoded(name: bytes) -> str:
    return name.decode() if b"\\" not in name else str(parse(b'"%b"' % name))


def _container_end(raw: bytes, start: int) -> int:
    """The end of the object or array that begins at ``start``; -1 where it is not closed."""
    depth = 0
    for token in _TOKEN.finditer(raw, start):
        first = raw[token.start()]
        if first in _OPENING:
            depth += 1
        elif first in _CLOSING:
            depth -= 1
            if depth == 0:
                return token.end()
    return -1


def _members(raw: bytes) -> Iterator[tuple[str, int, int]]:
    """Name, start and end of every top-level value, equal names too.

    Raises MalformedJson where the bytes are no whole object.
    """
    if _EMPTY.fullmatch(raw):
        return
    place = 0
    while found := _NAME.match(raw, place):
        if (found[1] == b"{") != (place == 0):
            break
        start = found.end()
        value = _VALUE_START.match(raw, start)
        place = value.end() if value else -1
        if value and raw[start] in _OPENING:
            place = _container_end(raw, start)
        if place < 0:
            break
        yield _decoded(found[2]), start, place
    if place < 0 or not _END.match(raw, place):
        raise MalformedJson("not a JSON object")


def member_span(raw: bytes, name: str) -> tuple[int, int] | None:
    """Where the value of a top-level member stands (start, end); of several the last, as ``parse`` takes.

    Raises MalformedJson where the bytes are not one whole object.
    """
    spans = _distinct_spans(raw)
    if spans is None:
        spans = {found: (start, end) for found, start, end in _members(raw)}
    return spans.get(name)


def replace_member(raw: bytes, name: str, value: bytes) -> bytes:
    """Put other value bytes under an existing top-level member; every other byte stays.

    Raises MalformedJson where the bytes are not one whole object, KeyError where it has no such member.
    """
    span = member_span(raw, name)
    if span is None:
        raise KeyError(name)
    return b"".join((raw[: span[0]], value, raw[span[1] :]))


def splice_member(raw: bytes, name: str, value: bytes) -> bytes:
    """Add a top-level member before the closing brace; every other byte stays.

    The caller knows that ``raw`` is an object without that member. Raises MalformedJson where it does not
    end like an object.
    """
    end = raw.rfind(b"}")
    if end < 0 or raw[end + 1 :].strip(_BLANK):
        raise MalformedJson("not a JSON object")
    last = end - 1
    while last >= 0 and raw[last] in _BLANK:
        last -= 1
    # Only an empty object has its opening brace right before the last closing one.
    comma = b"" if last >= 0 and raw[last : last + 1] == b"{" else b","
    return b"".join((raw[:end], comma, orjson.dumps(name), b":", value, raw[end:]))


# ── answers ──────────────────────────────────────────────────────────────────────────────────────

_PIECE: Final = re.compile(_STRING + rb'|["{}\[\],]', re.DOTALL)
_STRING_REST: Final = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*+(["\\])?', re.DOTALL)


class ArrayItems:
    """The elements of a top-level JSON array as they complete, however the bytes are cut.

    ``broken``: no array, or an element beyond ``item_bytes_max``; nothing more comes. ``done``: the closing
    bracket was seen. Elements are cut out by their brackets, not validated.
    """

    def __init__(self, item_bytes_max: int = ITEM_BYTES_MAX) -> None:
        self.broken = False
        self.done = False
        self._item_bytes_max = item_bytes_max
        self._depth = 0
        self._in_string = False
        self._escaped = False  # the last chunk ended right behind a backslash
        self._item = bytearray()
        self._kept = 0  # of the chunk at hand, what is already in an element

    def feed(self, chunk: bytes) -> list[bytes]:
        """The elements that this chunk completes; never raises."""
        items: list[bytes] = []
        place = self._begin(chunk) if self._depth == 0 else 0
        self._kept = place
        while place < len(chunk) and not (self.broken or self.done):
            if self._in_string:
                place = self._rest_of_string(chunk, place)
                continue
            found = _PIECE.search(chunk, place)
            if found is None:
                break
            place = found.end()
            self._act(chunk, found.start(), place, items)
        self._keep(chunk)
        return items

    def _begin(self, chunk: bytes) -> int:
        start = len(chunk) - len(chunk.lstrip(_BLANK))
        if start < len(chunk) and not self.done:
            self.broken = self.broken or chunk[start : start + 1] != b"["
            self._depth = 1
            start += 1
        return start

    def _act(self, chunk: bytes, start: int, end: int, items: list[bytes]) -> None:
        first = chunk[start]
        if first in _OPENING:
            self._depth += 1
        elif first in _CLOSING:
            self._depth -= 1
            self.done = self._depth == 0
            if self._depth <= 1:
                self._complete(chunk, start if self.done else end, end, items)
        elif first in b"," and self._depth == 1:
            self._complete(chunk, start, end, items)
        elif first in b'"' and end - start == 1:  # the string goes on in the next chunk
            self._in_string = True

    def _complete(self, chunk: bytes, end: int, kept: int, items: list[bytes]) -> None:
        item = bytes(self._item + chunk[self._kept : end])
        self._item.clear()
        self._kept = kept
        self.broken = len(item) > self._item_bytes_max
        if not self.broken and (item := item.strip(_BLANK)):
            items.append(item)

    def _rest_of_string(self, chunk: bytes, place: int) -> int:
        quote = chunk.find(b'"', place)
        end = quote + 1 or len(chunk)
        if not self._escaped and chunk.find(b"\\", place, end) < 0:
            self._in_string = quote < 0
            return end
        found = _STRING_REST.match(chunk, place + self._escaped)
        self._in_string = found is None or found[1] != b'"'
        self._escaped = found is not None and found[1] == b"\\"
        return found.end() if found else len(chunk)

    def _keep(self, chunk: bytes) -> None:
        if self.broken or self.done:
            self._item.clear()
            return
        self._item += chunk[self._kept :]
        if len(self._item) > self._item_bytes_max:
            self.broken = True
            self._item.clear()


class BoundedBody:
    """An answer's body: whole up to ``body_bytes_max``, beyond it only its head and its tail."""

    def __init__(self, body_bytes_max: int = BODY_BYTES_MAX) -> None:
        self.overflowed = False
        self._body_bytes_max = body_bytes_max
        self._head = b""
        self._kept = bytearray()  # the body; once overflowed, its tail

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes of the body."""
        self._kept += chunk
        size = len(self._kept)
        if not self.overflowed and size > self._body_bytes_max:
            self.overflowed = True
            self._head = bytes(self._kept[:HEAD_BYTES_MAX])
        # Cut at twice the bound only, so that each byte moves once on average.
        if self.overflowed and size > 2 * TAIL_BYTES_MAX:
            del self._kept[:-TAIL_BYTES_MAX]

    def whole(self) -> bytes | None:
        """The body so far, or None where it outgrew the bound."""
        return None if self.overflowed else bytes(self._kept)

    def find_object(self, name: bytes) -> bytes | None:
        """The last whole JSON object under that name, at any depth: of the tail, else of the head."""
        return _last_object(bytes(self._kept), name) or _last_object(self._head, name)


def _last_object(raw: bytes, name: bytes) -> bytes | None:
    # A quote inside a string has a backslash before it, so only a real name follows a brace or comma.
    pattern = re.compile(rb'(?<=[{,\s])"' + re.escape(name) + rb'"[ \t\r\n]*+:[ \t\r\n]*+(?=\{)')
    starts = deque((found.end() for found in pattern.finditer(raw)), maxlen=CANDIDATES_MAX)
    for start in reversed(starts):
        end = _container_end(raw, start)
        if end > 0:
            return raw[start:end]
    return None
