"""What is asked and answered in a benchmark, as bytes: one kilobyte each way, every text unlike the last.

Mock upstream, driver and accounting all build from here, so what one sends the others can check to the byte.
Texts carry a number: a counter that remembers texts it has seen would measure its memory. To add a
load: an ``answer=`` word here, its branch in ``mock_upstream``.
"""

from typing import Final, NamedTuple

DEPLOYMENT: Final = "gpt-4o"
MODEL: Final = "gpt-4o-2024-11-20"
METERED_PATH: Final = f"/openai/deployments/{DEPLOYMENT}/chat/completions"
FREE_PATH: Final = "/openai/responses/input_tokens"
JSON: Final = "json"
CHUNK_BYTES: Final = 330
GAP_MS: Final = 10
NUMBER_DIGITS: Final = 19  # of a monotonic clock in ns, and of a sequence number

_SYSTEM: Final = (
    "You are the assistant of a logistics company. Answer in short sentences, name the shipment, its weight "
    "in kilograms, the dock and the expected hour. Never invent a shipment that is not in the list, never "
    "promise a delivery before the customs office has released it, and say so when you do not know."
)
_ASKED: Final = (
    "Which of the lorries that crossed the bridge this morning were heavier than their papers say, by how "
    "much, and who signed for them? Sort by the difference, largest first, and leave out everything below "
    "fifty kilograms. The list of the gate follows: dock 4, 18,240 kg; dock 7, 22,910 kg; dock 9, 17,655 kg; "
    "dock 11, 24,080 kg; dock 12, 19,300 kg; dock 15, 21,775 kg; dock 16, 16,480 kg. Journal number "
)
_SAID: Final = (
    "Three lorries were heavier than their papers: the one at dock 7 by 310 kg, the one at dock 11 by 180 kg, "
    "the one at dock 15 by 75 kg. The first two were signed for by the night shift, the third by the gate "
    "itself; customs has released all of them except the one at dock 11. Entry "
)
_WORDS: Final = (
    " the",
    " scale",
    " reads",
    " eighteen",
    " tonnes",
    ",",
    " dock",
    " seven",
    " is",
    " free",
)
_USAGE: Final = (
    '"usage":{"completion_tokens":%d,"completion_tokens_details":{"accepted_prediction_tokens":0,'
    '"audio_tokens":0,"reasoning_tokens":0,"rejected_prediction_tokens":0},"prompt_tokens":%d,'
    '"prompt_tokens_details":{"audio_tokens":0,"cached_tokens":%d},"total_tokens":%d}'
)


class Tokens(NamedTuple):
    """What one answer reports: all input tokens, how many of them were cached, output tokens."""

    input: int
    cached: int
    output: int


def tokens_of(number: int) -> Tokens:
    """The usage of the answer with that number: different from its neighbours', so that a swap shows."""
    return Tokens(220 + number % 61, 128 * (number % 3 == 0), 90 + number % 53)


def _usage(number: int) -> str:
    tokens = tokens_of(number)
    return _USAGE % (tokens.output, tokens.input, tokens.cached, tokens.input + tokens.output)


# ── requests ─────────────────────────────────────────────────────────────────────────────────────

_BODY: Final = (
    '{"messages":[{"role":"system","content":"%s"},{"role":"user","content":"%s#"}],"model":"%s",'
    '"temperature":0.2,"max_tokens":400%s}'
)
_HEAD: Final = (
    "POST %s?api-version=2024-10-21&answer=%s HTTP/1.1\r\nhost: 127.0.0.1:%d\r\naccept: application/json\r\n"
    "accept-encoding: gzip, deflate\r\nconnection: keep-alive\r\ncontent-type: application/json\r\n"
    "user-agent: AzureOpenAI/Python 3.54.0\r\nx-stainless-lang: python\r\nx-stainless-retry-count: 0\r\n"
    "api-key: %s\r\ncontent-length: %d\r\n\r\n"
)


class Asking(NamedTuple):
    """A request cut where its number goes."""

    before: bytes
    after: bytes

    def numbered(self, number: int) -> bytes:
        """The request, in a packet."""
        return b"%b%0*d%b" % (self.before, NUMBER_DIGITS, number, self.after)


def asking(path: str, answer: str, port: int, key: str, *, stream: bool = False) -> Asking:
    """A chat request of about one kilobyte, as the SDK writes it: a stream does not ask for its usage."""
    body = _BODY % (_SYSTEM, _ASKED, DEPLOYMENT, ',"stream":true' if stream else "")
    return cut(path, answer, port, key, body)


def cut(path: str, answer: str, port: int, key: str, body: str) -> Asking:
    """A request of ASCII whose number goes where its body has a '#'."""
    before, _, after = body.partition("#")
    head = _HEAD % (path, answer, port, key, len(body) - 1 + NUMBER_DIGITS)
    return Asking((head + before).encode(), after.encode())


def stream_of(chunks: int, gap_ms: int) -> str:
    """The answer word of a stream; a gap of 0 sends all chunks at once."""
    return f"stream.{chunks}.{gap_ms}."


# ── answers ──────────────────────────────────────────────────────────────────────────────────────

_ANSWER: Final = (
    '{"choices":[{"finish_reason":"stop","index":0,"logprobs":null,"message":{"annotations":[],"content":"%s%s",'
    '"refusal":null,"role":"assistant"}}],"created":1795000000,"id":"chatcmpl-%s","model":"%s",'
    '"object":"chat.completion","service_tier":"default","system_fingerprint":"fp_50906f2aac",%s}\n'
)
_ANSWER_HEAD: Final = (
    "HTTP/1.1 200 OK\r\ncontent-length: %d\r\ncontent-type: application/json\r\n"
    "apim-request-id: 6d7d5f80-9f5d-4f66-8f8b-0f6d3f5b7e10\r\nx-ms-region: East US 2\r\n"
    "x-ratelimit-remaining-requests: 999\r\nx-ratelimit-remaining-tokens: 98990\r\n\r\n"
)


def answer_body(number: int) -> bytes:
    """The JSON answer with that number."""
    digits = f"{number:0{NUMBER_DIGITS}d}"
    return (_ANSWER % (_SAID, digits, digits, MODEL, _usage(number))).encode()


def answer(number: int) -> bytes:
    """The same with its head."""
    body = answer_body(number)
    return (_ANSWER_HEAD % len(body)).encode() + body


_PLACE: Final = answer_body(0).find(b"chatcmpl-") + len(b"chatcmpl-")


def is_answer(body: bytes) -> bool:
    """Whether a body is, to the byte, the one that carries its number."""
    digits = body[_PLACE : _PLACE + NUMBER_DIGITS]
    return digits.isdigit() and body == answer_body(int(digits))


STREAM_HEAD: Final = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n"
    b"apim-request-id: 6d7d5f80-9f5d-4f66-8f8b-0f6d3f5b7e10\r\nx-ms-region: East US 2\r\n\r\n"
)
STREAM_END: Final = b"0\r\n\r\n"
STAMP: Final = b'"obfuscation":"'
_EVENT: Final = (
    'data: {"choices":[{"content_filter_results":{%s},"delta":{%s},"finish_reason":%s,"index":0,"logprobs":null}],'
    '"created":1795000000,"id":"chatcmpl-1","model":"%s","obfuscation":"#","object":"chat.completion.chunk"%s}\n\n'
)
_LAST: Final = (
    'data: {"choices":[],"created":1795000000,"id":"chatcmpl-1","model":"%s","object":"chat.completion.chunk",'
    '"service_tier":"default",%s}\n\n'
)


def framed(payload: bytes) -> bytes:
    """One HTTP chunk."""
    return b"%x\r\n%b\r\n" % (len(payload), payload)


def _event(delta: str, finish: str, *, asked: bool) -> Asking:
    null = ',"usage":null' if asked else ""
    bare = len(_EVENT % ("", delta, finish, MODEL, null)) - 1 + NUMBER_DIGITS
    filler = '"hate":{"filtered":false,"severity":"safe"}'.ljust(max(CHUNK_BYTES - bare, 0))
    before, _, after = (_EVENT % (filler, delta, finish, MODEL, null)).partition("#")
    size = len(before) + NUMBER_DIGITS + len(after)
    return Asking(b"%x\r\n%b" % (size, before.encode()), after.encode() + b"\r\n")


class Events(NamedTuple):
    """The events of a stream: texts to be numbered with the clock, and the one that ends the text."""

    texts: tuple[Asking, ...]
    finish: Asking


EVENTS: Final = {
    asked: Events(
        tuple(_event(f'"content":"{word}"', "null", asked=asked) for word in _WORDS),
        _event("", '"stop"', asked=asked),
    )
    for asked in (False, True)
}


def stream_end(number: int, *, asked: bool) -> bytes:
    """Usage where it was asked for, the end marker, the end of the body."""
    usage = framed((_LAST % (MODEL, _usage(number))).encode()) if asked else b""
    return usage + framed(b"data: [DONE]\n\n") + STREAM_END
