"""The opt-in of streams and its taking back: no byte changes but the wish, none is lost but its event."""

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from gateway.dialects.contract import Dialect
from gateway.dialects.openai_chat import CHAT, COMPLETIONS, MISTRAL
from gateway.wire.jsondoc import parse
from tests.dialects.answers import SSE, asked, head, read, whole
from tests.dialects.transcripts import cases

RECORDED = Path(__file__).parents[3] / "shared" / "recorded" / "streams"
CHAT_STREAMS = [c for c in cases() if c.name.startswith("azure/chat-stream")]
STREAM = {"model": "m", "messages": [], "stream": True}
USAGE = {"prompt_tokens": 19, "completion_tokens": 10, "total_tokens": 29}
SPACES = st.text(" \t\r\n", max_size=3)


def chunk(*choices: dict[str, Any], **members: Any) -> bytes:
    document = {"object": "chat.completion.chunk", "choices": list(choices), **members}
    return b"data: %b\n\n" % whole(document)


def delta(text: str) -> dict[str, Any]:
    return {"index": 0, "delta": {"content": text}, "finish_reason": None}


# ── the opt-in ───────────────────────────────────────────────────────────────────────────────────


def opted(body: bytes, dialect: Dialect = CHAT) -> bytes | None:
    return dialect.read_request(body, b"application/json").opted_body


@given(before=SPACES, inside=SPACES, after=SPACES)
def test_asking_changes_no_other_byte(before: str, inside: str, after: str) -> None:
    body = f'{before}{{"stream":true,"messages":[]{inside}}}{after}'.encode()
    want = f'{before}{{"stream":true,"messages":[]{inside},"stream_options":{{"include_usage":true}}}}{after}'
    assert opted(body) == want.encode()


@pytest.mark.parametrize(
    ("options", "want"),
    [
        (b"null", b'{"include_usage":true}'),
        (b"{}", b'{"include_usage":true}'),
        (b'{ "include_usage" : false }', b'{ "include_usage" : true }'),
        (b'{"include_usage":null}', b'{"include_usage":true}'),
        (b'{"include_usage":"true"}', b'{"include_usage":true}'),
        (b'{"include_obfuscation": false}', b'{"include_obfuscation": false,"include_usage":true}'),
    ],
)
def test_only_the_wish_is_edited(options: bytes, want: bytes) -> None:
    body = b'{"stream_options": %b, "stream": true, "messages": [], "x": "stream_options"}'
    assert opted(body % options) == body % want


@pytest.mark.parametrize(
    "body",
    [
        b'{"messages":[]}',
        b'{"messages":[],"stream":false}',
        b'{"messages":[],"stream":true,"stream_options":{"include_usage":true}}',
        b'{"messages":[],"stream":true,"data_sources":[{"type":"azure_search"}]}',
    ],
)
def test_nobody_is_asked_who_need_not_or_must_not_be(body: bytes) -> None:
    request = CHAT.read_request(body, b"application/json")
    assert request.opted_body is None
    assert CHAT.strip(request) is None


def test_text_completions_are_asked_and_mistral_never_is() -> None:
    body = b'{"prompt":"a","messages":[],"stream":true}'
    assert opted(body, COMPLETIONS) is not None
    assert opted(body, MISTRAL) is None
    assert MISTRAL.strip(MISTRAL.read_request(body, b"")) is None


# ── the taking back ──────────────────────────────────────────────────────────────────────────────


def stripped(stream: bytes, *ends: int) -> bytes:
    withheld = CHAT.strip(asked(CHAT, STREAM))
    assert withheld is not None
    bounds = [0, *ends, len(stream)]
    sent = [withheld.feed(stream[a:b]) for a, b in pairwise(bounds)]
    return b"".join(sent) + withheld.flush()


def without_usage(stream: bytes) -> bytes:
    """The same stream by a slower road: events as text, the one with usage and no choices left out."""
    kept = []
    for event in stream.split(b"\n\n"):
        data = b"\n".join(
            line.removeprefix(b"data:").strip()
            for line in event.split(b"\n")
            if line.startswith(b"data:")
        )
        document = json.loads(data) if data.startswith(b"{") else {}
        if not (document.get("usage") and document["choices"] == []):
            kept.append(event)
    return b"\n\n".join(kept)


@pytest.mark.parametrize("case", CHAT_STREAMS, ids=lambda case: case.name)
def test_a_stream_loses_the_usage_event_and_nothing_else_at_every_cut(case: Any) -> None:
    want = without_usage(case.body)
    assert stripped(case.body) == want
    for end in range(len(case.body)):
        assert stripped(case.body, end) == want


@pytest.mark.parametrize("case", CHAT_STREAMS, ids=lambda case: case.name)
@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_stripping_does_not_depend_on_the_cuts(data: st.DataObject, case: Any) -> None:
    ends = data.draw(st.lists(st.integers(0, len(case.body)), max_size=12).map(sorted))
    assert stripped(case.body, *ends) == without_usage(case.body)


@pytest.mark.parametrize("end", [b"\r\n", b"\r", b"\n"])
def test_every_line_end_is_understood(end: bytes) -> None:
    stream = (chunk(delta("a")) + chunk(usage=USAGE) + b"data: [DONE]\n\n").replace(b"\n", end)
    want = (chunk(delta("a")) + b"data: [DONE]\n\n").replace(b"\n", end)
    assert [stripped(stream, place) for place in range(len(stream))] == [want] * len(stream)


def test_a_comment_inside_the_stripped_event_stays() -> None:
    stream = b": one\n" + chunk(usage=USAGE)[:-1] + b": two\n\n" + b"data: [DONE]\n\n"
    assert stripped(stream) == b": one\n: two\ndata: [DONE]\n\n"


@pytest.mark.parametrize(
    "stream",
    [
        chunk(delta("a"), usage=USAGE),
        chunk(usage=None),
        chunk(moderation={"usage": USAGE}),
        chunk(delta('"usage":{"prompt_tokens":1}')),
        b'data: {"usage": {"prompt_tokens": 1}}\n\n',
        b'data: {"choices":[],"usage":{"prompt_tokens":',
        b"data: usage\n\n",
    ],
    ids=["with content", "null", "deeper", "in text", "no choices", "cut", "no JSON"],
)
def test_what_is_not_ours_is_never_taken(stream: bytes) -> None:
    assert stripped(stream) == stream


def test_at_most_the_unfinished_event_is_held_back() -> None:
    withheld = CHAT.strip(asked(CHAT, STREAM))
    assert withheld is not None
    first, second = chunk(delta("a")), chunk(delta("b"))
    assert withheld.feed(first + second[:20]) == first
    assert withheld.feed(second[20:]) == second


def test_an_event_too_large_to_be_ours_passes_in_pieces() -> None:
    withheld = CHAT.strip(asked(CHAT, STREAM))
    assert withheld is not None
    stream = chunk(delta("x" * 200_000)) + chunk(usage=USAGE) + chunk(delta("y"))
    sent = [withheld.feed(stream[place : place + 1000]) for place in range(0, len(stream), 1000)]
    assert len(b"".join(sent[:100])) > 30_000
    assert b"".join(sent) + withheld.flush() == chunk(delta("x" * 200_000)) + chunk(delta("y"))


# ── recorded traffic ─────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "name", ["openai-completions--usage", "openai-completions", "azure-completions"]
)
def test_recorded_streams_meter_and_strip(name: str) -> None:
    path = RECORDED / f"{name}.response"
    if not path.exists():
        pytest.skip("the folder of recorded traffic is not beside this checkout")
    body = path.read_bytes()
    entry = next(e for e in json.loads((RECORDED / "INDEX.json").read_bytes()) if e["name"] == name)
    reading = read(CHAT, [body[at : at + 1] for at in range(len(body))], head(SSE))
    usage = entry["last_usage"]
    assert reading.stated_total == (usage["total_tokens"] if usage else None)
    assert reading.balances()
    assert reading.complete
    assert reading.observed.text or reading.observed.tool_calls
    assert parse(b"[%b]" % b",".join(_data(stripped(body)))) == [
        document for document in map(parse, _data(body)) if not _is_usage_event(document)
    ]


def _data(stream: bytes) -> list[bytes]:
    lines = (
        line.removeprefix(b"data: ") for line in stream.splitlines() if line.startswith(b"data: {")
    )
    return list(lines)


def _is_usage_event(document: Any) -> bool:
    return bool(document.get("usage")) and document["choices"] == []
