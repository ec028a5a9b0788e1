"""Forms: the named fields and nothing else, in linear time, refused where two parsers could differ."""

from time import process_time_ns

import pytest
from hypothesis import given, strategies as st

from gateway.wire.multipart import FIELD_BYTES_MAX, PARTS_MAX, MalformedForm, fields

TYPE = b"multipart/form-data; boundary=xyz"
NAMES = frozenset({"model", "stream"})
DISPOSITION = b'Content-Disposition: form-data; name="%b"'


def part(name: bytes, value: bytes, more: bytes = b"") -> bytes:
    return b"--xyz\r\n" + DISPOSITION % name + more + b"\r\n\r\n" + value + b"\r\n"


END = b"--xyz--\r\n"
SOUND = part(b"file", b"RIFF\x00\r\n\x00--xy", b'; filename="a.wav"\r\nContent-Type: audio/wav')


def test_named_fields_are_found_between_files() -> None:
    body = SOUND + part(b"model", b"whisper-1") + SOUND + part(b"prompt", b"x") + END
    assert fields(body, TYPE, NAMES) == {"model": b"whisper-1"}


@pytest.mark.parametrize(
    "content_type",
    [
        b'multipart/form-data; boundary="xyz"',
        b"Multipart/Form-Data;charset=utf-8;BOUNDARY=xyz",
        b" multipart/form-data ; boundary=xyz ; charset=utf-8",
    ],
)
def test_spellings_of_the_content_type(content_type: bytes) -> None:
    assert fields(part(b"model", b"m") + END, content_type, NAMES) == {"model": b"m"}


@pytest.mark.parametrize(
    "content_type",
    [
        b"multipart/form-data",
        b"multipart/mixed; boundary=xyz",
        b"multipart/form-data; boundary=",
        b"multipart/form-data; boundary=a; boundary=xyz",
        b"multipart/form-data; boundary=" + b"x" * 71,
    ],
    ids=["none", "mixed", "empty", "two", "long"],
)
def test_a_content_type_without_one_boundary_is_refused(content_type: bytes) -> None:
    with pytest.raises(MalformedForm):
        fields(part(b"model", b"m") + END, content_type, NAMES)


@pytest.mark.parametrize(
    "head",
    [
        b'Content-Disposition: form-data; name="model"; filename="a"',
        b"Content-Disposition: form-data; name*=utf-8''model",
        b"Content-Disposition: form-data; name=x; name*=utf-8''model",
        b'Content-Disposition: form-data; name="mo\\del"',
        b'Content-Disposition: form-data; name="model"\r\nContent-Transfer-Encoding: base64',
        b'Content-Disposition: form-data; name="model"; name="x"',
        b'Content-Disposition: form-data; name="model"\r\nContent-Disposition: form-data; name="x"',
        b'Content-Disposition: form-data; name="a\\"; name="model"',
        b'Content-Disposition: form-data; name="Model"',
        b'Content-Disposition: form-data; name=" model"',
        b"Content-Type: text/plain",
        b'Content-Disposition: attachment; name="model"',
    ],
)
def test_a_part_that_two_parsers_read_differently_is_refused(head: bytes) -> None:
    with pytest.raises(MalformedForm):
        fields(b"--xyz\r\n" + head + b"\r\n\r\nm\r\n" + END, TYPE, NAMES)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"nothing",
        part(b"model", b"m"),
        b"--xyz\n" + DISPOSITION % b"model" + b"\n\nm\n--xyz--\n",
        part(b"model", b"m") + part(b"model", b"n") + END,
        part(b"model", b"m").replace(b"--xyz", b"--xyz ") + END,
        b"--xyz\r\n" + DISPOSITION % b"model" + b"\r\n\r\n--xyz--",
        part(b"model", b"m" * (FIELD_BYTES_MAX + 1)) + END,
        part(b"x", b"") * (PARTS_MAX + 1) + END,
        b"--xyz\r\nX: " + b"a" * 5000 + b"\r\n" + DISPOSITION % b"model" + b"\r\n\r\nm\r\n" + END,
    ],
    ids=[
        "empty", "no form", "open", "bare LF", "twice", "padded boundary", "no line end",
        "long field", "many parts", "long head",
    ],
)  # fmt: skip
def test_a_broken_form_is_refused(body: bytes) -> None:
    with pytest.raises(MalformedForm):
        fields(body, TYPE, NAMES)


@given(st.binary(max_size=200), st.binary(max_size=50))
def test_any_bytes_give_fields_or_a_refusal(sound: bytes, junk: bytes) -> None:
    body = part(b"file", sound, b'; filename="a"') + part(b"model", b"m") + END
    if b"\r\n--xyz" not in b"\r\n" + sound + b"\r\n":
        assert fields(body, TYPE, NAMES) == {"model": b"m"}
    try:
        found = fields(body[: len(junk)] + junk + body, TYPE, NAMES)
    except MalformedForm:
        return
    assert set(found) <= NAMES


def test_a_preamble_is_stepped_over() -> None:
    assert fields(b"hello\r\n" + part(b"stream", b"true") + END, TYPE, NAMES) == {"stream": b"true"}


@pytest.mark.parametrize(
    "filler", [b"\r\n--xy", b"\r\n", b"a--xyz", b"a"], ids=["nearly", "lines", "inside", "plain"]
)
def test_no_filler_makes_the_scan_slow(filler: bytes) -> None:
    body = part(b"file", filler * (8_000_000 // len(filler)), b'; filename="a"') + END
    started = process_time_ns()
    assert fields(body, TYPE, NAMES) == {}
    assert process_time_ns() - started < 1_000_000_000


@pytest.mark.parametrize(
    "body",
    [
        b"junk\n" + part(b"model", b"dear") + part(b"model", b"cheap") + END,
        part(b"file", b"RIFF\n" + part(b"model", b"dear").replace(b"\r", b"")) + END,
        part(b"model", b"cheap") + END + part(b"model", b"dear") + END,
    ],
    ids=["before", "within", "behind"],
)
def test_a_part_that_only_a_lenient_parser_sees_is_refused(body: bytes) -> None:
    with pytest.raises(MalformedForm):
        fields(body, TYPE, NAMES)
