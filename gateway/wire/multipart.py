"""Chosen fields of a multipart form, found by a bounded scan; files are stepped over, nothing is decoded.

The scan is linear in the body. Where two parsers could read the form differently it is refused, because the
field that names the model decides what is priced. To read a further field, name it in ``fields``.
"""

import re
from typing import Final

PARTS_MAX: Final = 256
PART_HEAD_BYTES_MAX: Final = 4096
FIELD_BYTES_MAX: Final = 64 * 1024
_BOUNDARY: Final = re.compile(
    rb'\s*multipart/form-data\s*(?:;[^;"]*+)*?'
    rb';\s*boundary=(?:"([^"\\\r\n]{1,70})"|([^\s;",]{1,70}))\s*(?:;.*)?',
    re.IGNORECASE,
)
_DISPOSITION: Final = re.compile(
    rb"content-disposition[ \t]*:[ \t]*form-data[ \t]*;([^\r\n]*+)", re.IGNORECASE
)
# An escaped quote ends the value for some parsers and not for others, so none is allowed.
_PARAMETER: Final = re.compile(
    rb'[ \t]*+([a-z*]++)[ \t]*+=[ \t]*+(?:"((?:[^"\\]++|\\(?!"))*+)"|([^\s;"]++))[ \t]*+(?:;|$)',
    re.IGNORECASE,
)
_ENCODED: Final = re.compile(rb"(?:^|\n)content-transfer-encoding[ \t]*:", re.IGNORECASE)


class MalformedForm(ValueError):
    """A form that is broken, or that two parsers could read differently."""


def fields(body: bytes, content_type: bytes, names: frozenset[str]) -> dict[str, bytes]:
    """The values of the named plain fields that the form has; every other part is stepped over.

    Raises MalformedForm on a missing boundary or end, a named field that comes twice, as a file or encoded,
    and on heads, fields or numbers of parts beyond the bounds.
    """
    delimiter = b"\r\n--" + _boundary(content_type)
    _refuse_bare_line_ends(body, delimiter)
    found: dict[str, bytes] = {}
    place = _first(body, delimiter)
    for _ in range(PARTS_MAX):
        if body.startswith(b"--", place):
            if body[place + 2 :].strip():
                raise MalformedForm("nothing may follow the form's end")
            return found
        end = _part(body, place, delimiter, names, found)
        place = end + len(delimiter)
    raise MalformedForm(f"the form has more than {PARTS_MAX} parts")


def file_span(body: bytes, content_type: bytes, name: str) -> tuple[int, int]:
    """Where the content of the form's one file of that name stands. Raises MalformedForm as ``fields`` does."""
    delimiter = b"\r\n--" + _boundary(content_type)
    _refuse_bare_line_ends(body, delimiter)
    place = _first(body, delimiter)
    spans: list[tuple[int, int]] = []
    for _ in range(PARTS_MAX):
        if body.startswith(b"--", place):
            if len(spans) != 1:
                raise MalformedForm(f'the form must have "{name}" once, as a file')
            return spans[0]
        head, start, end = _split(body, place, delimiter)
        named = _parameters(head).get(b"name", b"").decode("latin-1")
        if named != name:
            _refuse_misspelt(named, frozenset({name}))
        else:
            if _ENCODED.search(head):
                raise MalformedForm(f'the form\'s "{name}" must not be encoded')
            spans.append((start, end))
        place = end + len(delimiter)
    raise MalformedForm(f"the form has more than {PARTS_MAX} parts")


def _refuse_bare_line_ends(body: bytes, delimiter: bytes) -> None:
    """A delimiter behind a bare LF is content to us and would be a part to a lenient parser."""
    if body.count(delimiter[1:]) != body.count(delimiter):
        raise MalformedForm("a boundary must follow a CRLF")


def _first(body: bytes, delimiter: bytes) -> int:
    """The place behind the first delimiter, which has no line end before it where nothing precedes it."""
    if body.startswith(delimiter[2:]):
        return len(delimiter) - 2
    start = body.find(delimiter)
    if start < 0:
        raise MalformedForm("the form has no part")
    return start + len(delimiter)


def _boundary(content_type: bytes) -> bytes:
    found = _BOUNDARY.fullmatch(content_type)
    if found is None or content_type.lower().count(b"boundary=") != 1:
        raise MalformedForm("the content type must be multipart/form-data with one boundary")
    boundary: bytes = found[1] or found[2]
    return boundary


def _split(body: bytes, start: int, delimiter: bytes) -> tuple[bytes, int, int]:
    """The head of the part behind a delimiter, and where its content begins and ends."""
    if not body.startswith(b"\r\n", start):
        raise MalformedForm("a boundary must end its line")
    head_end = body.find(b"\r\n\r\n", start, start + PART_HEAD_BYTES_MAX)
    if head_end < 0:
        raise MalformedForm(f"a part's head is not closed within {PART_HEAD_BYTES_MAX} bytes")
    end = body.find(delimiter, head_end + 2)
    if end < head_end + 4:
        raise MalformedForm("a part is not closed")
    return body[start + 2 : head_end], head_end + 4, end


def _part(
    body: bytes, start: int, delimiter: bytes, names: frozenset[str], found: dict[str, bytes]
) -> int:
    """Read the part behind a delimiter; returns where the next delimiter begins."""
    head, content, end = _split(body, start, delimiter)
    parameters = _parameters(head)
    if b"name*" in parameters or b"\\" in parameters.get(b"name", b""):
        raise MalformedForm("a part's name must be plain")
    name = parameters.get(b"name", b"").decode("latin-1")
    if name not in names:
        _refuse_misspelt(name, names)
        return end
    if name in found or b"filename" in parameters or _ENCODED.search(head):
        raise MalformedForm(f'the form must have "{name}" once, as a plain field')
    if end - content > FIELD_BYTES_MAX:
        raise MalformedForm(f'the form\'s "{name}" is longer than {FIELD_BYTES_MAX} bytes')
    found[name] = body[content:end]
    return end


def _refuse_misspelt(name: str, names: frozenset[str]) -> None:
    """There are servers that do not mind how a field's name is written."""
    right = name.strip().lower()
    if right in names:
        raise MalformedForm(f'the form spells "{right}" in another way')


def _parameters(head: bytes) -> dict[bytes, bytes]:
    """The parameters of a part's one disposition, their names in lower case."""
    dispositions = [
        match[1] for line in head.split(b"\r\n") if (match := _DISPOSITION.fullmatch(line))
    ]
    if len(dispositions) != 1:
        raise MalformedForm("every part needs one Content-Disposition: form-data")
    text = dispositions[0]
    found: dict[bytes, bytes] = {}
    place = 0
    while place < len(text):
        parameter = _PARAMETER.match(text, place)
        if parameter is None or parameter[1].lower() in found:
            raise MalformedForm("a part's Content-Disposition cannot be read in one way only")
        found[parameter[1].lower()] = parameter[2] if parameter[2] is not None else parameter[3]
        place = parameter.end()
    return found
