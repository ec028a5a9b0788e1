"""What bounds a part whose bytes are in the request: pages, seconds, characters; and what tells no bound."""

import time
import zlib
from base64 import b64encode
from typing import Any

import orjson
import pytest
from hypothesis import given, settings, strategies as st

from gateway.dialects.anthropic import MESSAGES
from gateway.dialects.contract import Dialect, Request
from gateway.dialects.converse import CONVERSE
from gateway.dialects.gemini.generate import GENERATE
from gateway.dialects.openai_chat import CHAT
from gateway.dialects.openai_media import IMAGE_EDITS, TRANSCRIPTION
from gateway.dialects.openai_responses import RESPONSES
from gateway.exchange.hidden import unsized
from gateway.metering.sized import (
    BYTES_PER_SECOND,
    INFLATED_MAX,
    TOOL,
    Sized,
    file_part,
    pages_of,
    sound_part,
    told_part,
)
from gateway.wire.jsondoc import Json

_PDF_HEAD = b"%PDF-1.7\n"


def text_of(raw: bytes) -> str:
    return b64encode(raw).decode()


def pdf(pages: int, *, packed: bool = False, tree: bool = True, more: bytes = b"") -> bytes:
    """A PDF of so many pages; ``packed``: its objects are in a compressed stream, as newer writers do it."""
    kids = b" ".join(b"%d 0 R" % at for at in range(3, pages + 3))
    objects = [b"<</Type/Pages/Kids[%b]/Count %d>>" % (kids, pages)] if tree else []
    objects += [b"<< /Type /Page /Parent 2 0 R >>"] * pages
    body = b"\n".join(objects)
    if packed:
        inner = zlib.compress(body)
        body = b"1 0 obj<</Type/ObjStm/N %d/DecodeParms<<>>/Filter/FlateDecode>>stream\r\n%b\nendstream"
        body = body % (len(objects), inner)
    return b"%PDF-1.7\n" + body + more + b"\n%%EOF"


def wav(seconds: int, rate: int = 16_000, block: int = 2, form: int = 1) -> bytes:
    size = seconds * rate * block
    head = b"RIFF" + (size + 36).to_bytes(4, "little") + b"WAVEfmt " + (16).to_bytes(4, "little")
    head += form.to_bytes(2, "little") + (1).to_bytes(2, "little") + rate.to_bytes(4, "little")
    head += (rate * block).to_bytes(4, "little") + block.to_bytes(2, "little") + b"\x10\0data"
    return head + size.to_bytes(4, "little") + bytes(size)


@settings(max_examples=60, deadline=None)
@given(pages=st.integers(1, 60), packed=st.booleans(), tree=st.booleans())
def test_a_pdf_has_as_many_pages_as_its_objects_or_its_tree_say(
    pages: int, *, packed: bool, tree: bool
) -> None:
    raw = pdf(pages, packed=packed, tree=tree)
    assert pages_of(raw) == pages
    for content, kind in (
        (text_of(raw), "application/pdf"),
        (text_of(raw), "pdf"),
        ("data:application/pdf;base64," + text_of(raw), None),
    ):
        assert file_part(content, kind) == Sized(pages=pages)


@pytest.mark.parametrize(
    "raw",
    [
        pdf(3, more=b"<</Encrypt 5 0 R>>"),
        pdf(3, more=b"<</Type/P#61ge>>"),
        pdf(3, packed=True).replace(b"stream", b"straem"),
        pdf(3, packed=True).replace(b"endstream", b""),
        pdf(3, packed=True)[:-60].replace(b"x\x9c", b"!!"),
        pdf(0, tree=False),
        b"PK\x03\x04 a document of another kind",
    ],
)
def test_a_pdf_that_does_not_say_it_in_plain_words_has_no_bound(raw: bytes) -> None:
    assert file_part(text_of(raw), "application/pdf") is None


def test_a_pdf_that_swells_is_not_looked_through_to_its_end() -> None:
    inner = zlib.compress(bytes(2 * INFLATED_MAX))
    raw = b"%PDF-1.7\n1 0 obj<</Type/ObjStm>>stream\n" + inner + b"\nendstream"
    assert pages_of(raw) is None


@pytest.mark.parametrize(
    "piece",
    [
        b"/Count 1 ", b"/Type/Pages", b"/Type ", b"/ObjStm ", b"/ObjStm stream ", b"/a#", b"stream",
        b"/ObjStm stream\n" + zlib.compress(b"/Type/Page") + b"endstream",
    ],
)  # fmt: skip
def test_no_pdf_takes_long_to_look_through(piece: bytes) -> None:
    raw = _PDF_HEAD + piece * (4_000_000 // len(piece))
    begun = time.process_time()
    pages_of(raw)
    assert time.process_time() - begun < 5  # of milliseconds a megabyte, on a busy machine


def test_what_was_told_in_too_many_pieces_has_no_bound() -> None:
    assert told_part(["a"] * 99_000) == Sized(characters=99_000)
    assert told_part(["a"] * 100_001) is None


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 20), st.sampled_from([8_000, 16_000, 48_000]), st.sampled_from([1, 2, 4]))
def test_a_wav_lasts_as_long_as_its_header_says(seconds: int, rate: int, block: int) -> None:
    found = sound_part(text_of(wav(seconds, rate, block)))
    assert found is not None
    assert seconds <= found.seconds <= seconds + 2


@pytest.mark.parametrize("raw", [b"ID3" + bytes(9_997), wav(1, form=17)[:10_000], b"RIFF"])
def test_other_sound_is_as_long_as_the_thinnest_there_is(raw: bytes) -> None:
    found = sound_part(text_of(raw))
    assert found is not None
    assert len(raw) / BYTES_PER_SECOND <= found.seconds <= len(raw) / BYTES_PER_SECOND + 2
    assert file_part(text_of(raw), "audio/ogg") == found


def test_a_text_file_is_at_most_a_token_a_byte() -> None:
    found = file_part(text_of("größer\n".encode() * 100), "text/plain; charset=utf-8")
    assert found is not None
    assert 900 <= found.characters <= 905
    assert file_part(text_of(b"PK\x03\x04"), "docx") is None
    assert file_part(None, "pdf") is None
    assert sound_part("") is None


def test_what_was_told_is_at_most_a_token_a_byte_and_more_where_its_id_keeps_more() -> None:
    told: dict[str, Json] = {
        "type": "mcp_call",
        "name": "ab",
        "output": ["ü", {"x": "cde"}],
        "n": 5,
    }
    assert told_part(told) == Sized(characters=15)
    assert told_part({**told, "id": "1"}) == Sized(characters=16, tools=1)


# ── as the protocols have them ───────────────────────────────────────────────────────────────────

PDF, WAV = text_of(pdf(3)), text_of(wav(2))
DATA = "data:application/pdf;base64," + PDF


def chat(*parts: Any, **more: Any) -> bytes:
    return orjson.dumps({"model": "m", "messages": [{"role": "user", "content": parts}], **more})


def items(*input_: Any, **more: Any) -> bytes:
    return orjson.dumps({"model": "m", "input": list(input_), **more})


def said(*parts: Any) -> dict[str, Any]:
    return {"role": "user", "content": list(parts)}


def gemini(*parts: Any, **more: Any) -> bytes:
    return orjson.dumps({"contents": [{"role": "user", "parts": list(parts)}], **more})


def document(**source: Any) -> bytes:
    return chat({"type": "document", "source": source})


PAGES, HEARD = Sized(pages=3), Sized(seconds=3)
CASES: list[tuple[Dialect, bytes, tuple[Sized, ...], int]] = [
    (CHAT, chat({"type": "file", "file": {"file_data": DATA}}), (PAGES,), 0),
    (CHAT, chat({"type": "file", "file": {"file_id": "f", "file_data": DATA}}), (), 1),
    (CHAT, chat({"type": "input_audio", "input_audio": {"data": WAV}}), (HEARD,), 0),
    (CHAT, chat("hi", data_sources=[]), (), 0),
    (RESPONSES, items(said({"type": "input_file", "file_data": DATA})), (PAGES,), 0),
    (RESPONSES, items(said({"type": "input_file", "file_url": "https://a.example/b"})), (), 1),
    (RESPONSES, items(said({"type": "input_file", "file_id": "file-1"})), (), 1),
    (RESPONSES, items("a", conversation="conv_1", previous_response_id="r"), (), 2),
    (RESPONSES, items("a", tools=[{"type": "web_search"}]), (TOOL,), 0),
    (RESPONSES, items({"type": "item_reference", "id": "msg_1"}), (), 1),
    (RESPONSES, items({"type": "web_search_call", "id": "ws_1"}), (), 1),
    (
        RESPONSES,
        items({"type": "mcp_call", "output": "abc"}),
        (Sized(characters=11),),
        0,
    ),
    (RESPONSES, items({"type": "of_tomorrow", "text": "abc"}), (), 1),
    (MESSAGES, document(type="base64", media_type="application/pdf", data=PDF), (PAGES,), 0),
    (MESSAGES, document(type="url", url="https://a.example/b.pdf"), (), 1),
    (MESSAGES, document(type="file", file_id="file_1"), (), 1),
    (MESSAGES, chat({"type": "redacted_thinking", "data": "abc"}), (Sized(characters=20),), 0),
    (MESSAGES, chat({"type": "container_upload", "file_id": "file_1"}), (), 1),
    (GENERATE, gemini({"inlineData": {"mimeType": "application/pdf", "data": PDF}}), (PAGES,), 0),
    (GENERATE, gemini({"inline_data": {"mime_type": "audio/wav", "data": WAV}}), (HEARD,), 0),
    (GENERATE, gemini({"inlineData": {"mimeType": "video/mp4", "data": "AAAA"}}), (), 1),
    (GENERATE, gemini({"fileData": {"fileUri": "gs://a/b", "mimeType": "video/mp4"}}), (), 1),
    (GENERATE, gemini({"text": "a"}, cachedContent="cachedContents/1"), (), 1),
]  # fmt: skip


@pytest.mark.parametrize(("dialect", "body", "sized", "unseen"), CASES)
def test_a_protocol_tells_what_is_here_from_what_is_elsewhere(
    dialect: Dialect, body: bytes, sized: tuple[Sized, ...], unseen: int
) -> None:
    request = dialect.read_request(body, b"application/json")
    assert _sized(request) == sized
    assert unsized(request) == unseen


def test_converse_has_documents_in_bytes_text_and_buckets() -> None:
    def read(block: dict[str, Any]) -> Request:
        body = {"messages": [{"role": "user", "content": [block]}]}
        return CONVERSE.read_request(orjson.dumps(body), b"application/json")

    found = read({"document": {"format": "pdf", "source": {"bytes": PDF}}})
    assert (_sized(found), unsized(found)) == ((PAGES,), 0)
    found = read({"document": {"format": "pdf", "source": {"s3Location": {"uri": "s3://a/b"}}}})
    assert (_sized(found), unsized(found)) == ((), 1)
    found = read({"document": {"format": "txt", "source": {"text": "words"}}})
    assert (found.prompt.turns[0].text, unsized(found)) == ("words", 0)
    found = read({"audio": {"format": "wav", "source": {"bytes": WAV}}})
    assert (_sized(found), unsized(found)) == ((HEARD,), 0)
    found = read({"video": {"format": "mp4", "source": {"bytes": "AAAA"}}})
    assert (_sized(found), unsized(found)) == ((), 1)


def test_forms_have_a_picture_a_file_and_sound_by_its_bytes() -> None:
    part = b'--x\r\ncontent-disposition: form-data; name="image[]"; FileName="a.png"\r\n\r\n%b\r\n'
    body = part * 3 % (b"a", b"b", b"c") + b"--x--\r\n"
    kind = b"multipart/form-data; boundary=x"
    assert _sized(IMAGE_EDITS.read_request(body, kind)) == (Sized(pages=3),)
    seconds = len(body) // BYTES_PER_SECOND + 1
    assert _sized(TRANSCRIPTION.read_request(body, kind)) == (Sized(seconds=seconds),)
    asked = orjson.dumps({"model": "m", "images": [{"image_url": "https://a"}, {"file_id": "f"}]})
    assert _sized(IMAGE_EDITS.read_request(asked, b"application/json")) == (Sized(pages=2),)


def _sized(request: Request) -> tuple[Sized, ...]:
    return tuple(sized for turn in request.prompt.turns for sized in turn.sized)
