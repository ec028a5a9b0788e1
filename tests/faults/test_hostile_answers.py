"""Answers no provider should give: their bytes pass untouched, and the row is counted, flagged, never negative."""

import asyncio
import gzip
import itertools
import json
import random
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

import orjson
import pytest

from gateway.commands.demo import answers
from gateway.ledger.entry import Entry, Outcome
from gateway.ledger.validity import INT64_MAX
from gateway.metering.units import is_token
from gateway.metering.usage import COUNT_MAX
from gateway.pricing.book import Book
from tests.faults.gateways import in_process, settings
from tests.faults.origin import CLOSE, Asked, Origin, Step, head, json_answer, standing, streamed
from tests.faults.streams import CHAT, COUNTS, EXACT, PROMPT, SSE, STREAMS, Stream, used
from tests.faults.visitor import Got, ask, post
from tests.serving import Running

CALL_ID: Final = "amz-sdk-invocation-id"
WHOLE: Final = {key: value for key, value in CHAT.body.items() if not key.startswith("stream")}
MIB: Final = 1024 * 1024
Play: TypeAlias = tuple[Stream, Any, Sequence[Step]]
"""Where a call goes, its body, and what it is answered with."""
_numbers = itertools.count()


class House(NamedTuple):
    """A gateway whose upstream says whatever a test wants."""

    gateway: Running
    origin: Origin

    def play(self, stream: Stream, body: Any, steps: Sequence[Step]) -> tuple[Got, Entry]:
        """One call that is answered with these steps; the response and the one row."""
        (played,) = self.play_all([(stream, body, steps)])
        return played

    def play_all(self, plays: Sequence[Play]) -> list[tuple[Got, Entry]]:
        """Several calls at once; a response and a row each."""
        calls = {f"call-{next(_numbers)}": play for play in plays}
        self.origin.answer = lambda asked: calls[asked.header("x-call") or ""][2]
        before = len(self.gateway.rows(0))

        async def run() -> list[Got]:
            return await asyncio.gather(
                *(ask(self.gateway.port, self._request(call, play)) for call, play in calls.items())
            )

        got = asyncio.run(run())
        rows = self.gateway.rows(before + len(plays))
        assert len(rows) == before + len(plays)
        of = {row.client_call_id: row for row in rows}
        return [(one, of[call]) for one, call in zip(got, calls, strict=True)]

    def _request(self, call: str, play: Play) -> bytes:
        stream, body, _ = play
        headers = {CALL_ID: call, "x-call": call}
        return post(stream.path, body, self.gateway.key.key, headers)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    def nothing(asked: Asked) -> list[Step]:
        return json_answer(b"{}")

    with (
        standing(lambda: Origin(nothing).running()) as origin,
        in_process(settings(tmp_path_factory.mktemp("hostile"), origin.port)) as gateway,
    ):
        yield House(gateway, origin)


def completion(usage: object, **more: object) -> bytes:
    message = {"role": "assistant", "content": "A lorry weighs up to forty tons."}
    choices = [{"index": 0, "finish_reason": "stop", "message": message}]
    document = {"id": "x", "model": "gpt-4o-2024-11-20", "choices": choices, **more}
    return orjson.dumps(document)[:-1] + b', "usage": ' + _text(usage) + b"}"


def _text(usage: object) -> bytes:
    return usage if isinstance(usage, bytes) else json.dumps(usage).encode()


def usage_of(prompt: object, completion_tokens: object, total: object = None) -> dict[str, object]:
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion_tokens,
        **({} if total is None else {"total_tokens": total}),
    }


def assert_counted(row: Entry) -> None:
    """The row stands on our own counts."""
    assert row.provenance in ("counted", "estimated", "partial")
    assert 0 < used(row)["input_text"] < 100
    assert row.net_pico is not None
    assert row.net_pico > 0


# -- codings -----------------------------------------------------------------------------------------


def test_a_compressed_answer_nobody_asked_for_passes_as_it_is_and_is_read(house: House) -> None:
    body = gzip.compress(completion(answers.openai_usage(COUNTS)))
    got, row = house.play(CHAT, WHOLE, json_answer(body, "content-encoding: gzip"))
    assert got.body == body
    assert b"content-encoding: gzip" in got.head.lower()
    assert (used(row), row.provenance) == (EXACT, "reported")


def test_a_compressed_stream_passes_as_it_is_and_is_read(house: House) -> None:
    bodies = [gzip.compress(stream.content()) for stream in STREAMS]
    plays: list[Play] = []
    for stream, body in zip(STREAMS, bodies, strict=True):
        parts = [body[at : at + 100] for at in range(0, len(body), 100)]
        steps = streamed(stream.content_type, parts, "content-encoding: gzip")
        plays.append((stream, stream.body, steps))
    for (got, row), body in zip(house.play_all(plays), bodies, strict=True):
        assert (got.body, got.clean) == (body, True)
        assert (used(row), row.provenance) == (EXACT, "reported")


UNASKED: Final = {key: value for key, value in CHAT.body.items() if key != "stream_options"}


CODERS: Final[dict[str, Callable[[bytes], bytes]]] = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "identity": bytes,
}


@pytest.mark.parametrize("coding", CODERS)
def test_a_stream_in_a_coding_shows_no_usage_event_that_the_client_did_not_ask_for(
    house: House, coding: str
) -> None:
    """It is decoded for that, and nothing else of it changes."""
    plain = CHAT.content()
    body = CODERS[coding](plain)
    parts = [body[at : at + 50] for at in range(0, len(body), 50)]
    steps = streamed(CHAT.content_type, parts, f"content-encoding: {coding}")
    (got, row), (usual, _) = house.play_all(
        [
            (CHAT, UNASKED, steps),
            (CHAT, UNASKED, streamed(CHAT.content_type, [plain])),
        ]
    )
    assert (got.body, got.clean) == (usual.body, True)
    assert b'"usage": {' not in got.body.replace(b'"usage":{', b'"usage": {')
    assert len(got.body) < len(plain)
    assert (b"content-encoding" in got.head.lower()) == (coding == "identity")
    assert (used(row), row.provenance) == (EXACT, "reported")


def test_a_stream_in_a_coding_that_breaks_off_is_cut_and_one_that_is_not_understood_passes_whole(
    house: House,
) -> None:
    damaged = gzip.compress(CHAT.content())[:60] + b"\xff" * 60
    steps = streamed(CHAT.content_type, [damaged], "content-encoding: gzip")
    got, row = house.play(CHAT, UNASKED, steps)
    assert (got.clean, row.outcome) == (False, Outcome.UPSTREAM_FAILED)
    unknown = b"\x0b\x02\x80hello\x03"
    steps = streamed(CHAT.content_type, [unknown], "content-encoding: br")
    got, row = house.play(CHAT, UNASKED, steps)
    assert (got.body, got.clean) == (unknown, True)
    assert {"usage_event_kept", "blind"} <= set(row.flags)


def test_a_small_answer_that_inflates_without_end_costs_neither_memory_nor_time(
    house: House,
) -> None:
    bomb = gzip.compress(b" " * (200 * MIB), 1)
    began = time.monotonic()
    got, row = house.play(CHAT, WHOLE, json_answer(bomb, "content-encoding: gzip"))
    assert time.monotonic() - began < 10
    assert got.body == bomb
    assert_counted(row)
    assert "blind" in row.flags


def test_an_unknown_or_broken_coding_blinds_the_meter_and_not_the_client(house: House) -> None:
    for coding, body, flag in (
        ("br", b"\x0b\x02\x80hello\x03", "blind"),
        ("gzip", b"\x1f\x8b\x08 not at all", "coding_broken"),
    ):
        got, row = house.play(CHAT, WHOLE, json_answer(body, f"content-encoding: {coding}"))
        assert got.body == body
        assert_counted(row)
        assert flag in row.flags


# -- documents ---------------------------------------------------------------------------------------

GARBAGE: Final = (
    b"<html>502 upstream sad</html>",
    b"",
    b"null",
    b"[]",
    b"{",
    b'{"choices": 7, "usage": [], "model": {}}',
    b'{"usage": "much"}',
    b"\xff\xfe" * 40,
    b"[" * 20_000,
    b'{"a":' * 5_000,
    b'{"usage": {"prompt_tokens": NaN}}',
    b'{"usage": {"prompt_tokens": 1e999}}',
)
NAMES: Final = (b"\\ud800", b"a\\u0000b", b"m" * 100_000)


def test_rubbish_with_status_200_passes_and_is_counted(house: House) -> None:
    plays: list[Play] = [(CHAT, WHOLE, json_answer(body)) for body in GARBAGE]
    for body, (got, row) in zip(GARBAGE, house.play_all(plays), strict=True):
        assert (got.status, got.body, got.clean) == (200, body, True)
        assert row.status == 200
        assert_counted(row)


def test_a_name_that_no_database_takes_costs_no_row(house: House) -> None:
    named = [b'{"model": "%b", "choices": [], "usage": null}' % name for name in NAMES]
    plays: list[Play] = [(CHAT, WHOLE, json_answer(body)) for body in named]
    for body, (got, row) in zip(named, house.play_all(plays), strict=True):
        assert (got.body, got.clean) == (body, True)
        assert_counted(row)


def test_a_tier_that_has_no_price_is_null_and_flagged_never_the_standard_price(
    house: House,
) -> None:
    tiered = [b'{"service_tier": "%b"}' % name for name in (*NAMES, b"hyper")]
    plays: list[Play] = [(CHAT, WHOLE, json_answer(body)) for body in tiered]
    for body, (got, row) in zip(tiered, house.play_all(plays), strict=True):
        assert (got.body, got.clean) == (body, True)
        assert (row.net_pico, "unpriced" in row.flags) == (None, True)


def test_rubbish_instead_of_events_passes_and_is_counted(house: House) -> None:
    parts = [random.Random(7).randbytes(5_000), b"data: {{{\n\n", b"event: x\r\rdata\n"]
    plays: list[Play] = [
        (stream, stream.body, streamed(stream.content_type, parts)) for stream in STREAMS
    ]
    for got, row in house.play_all(plays):
        assert (got.body, got.clean) == (b"".join(parts), True)
        assert_counted(row)


NOT_COUNTS: Final = (-5, 2**63, 2**64, 2**200, 1.5, "12", "many", True, [7], {"n": 1}, -(2**63))


def test_a_count_that_is_none_is_flagged_and_never_charged(house: House) -> None:
    bodies = [
        completion(usage % _text(wrong))
        for wrong in NOT_COUNTS
        for usage in (
            b'{"prompt_tokens": %b, "completion_tokens": 7, "total_tokens": 9}',
            b'{"prompt_tokens": 7, "completion_tokens": %b, "total_tokens": 9}',
        )
    ]
    plays: list[Play] = [(CHAT, WHOLE, json_answer(body)) for body in bodies]
    for body, (got, row) in zip(bodies, house.play_all(plays), strict=True):
        assert got.body == body
        assert "usage_invalid" in row.flags, body
        assert_counted(row)


def test_parts_above_their_total_are_flagged_and_never_make_a_negative_rest(house: House) -> None:
    usage = {**usage_of(10, 5, 15), "prompt_tokens_details": {"cached_tokens": 11}}
    _, row = house.play(CHAT, WHOLE, json_answer(completion(usage)))
    assert "usage_invalid" in row.flags
    assert_counted(row)


def test_a_count_beyond_all_reason_still_has_its_row_and_no_negative_amount(house: House) -> None:
    unreasonable = (10**9, COUNT_MAX - 5, 10**12, 2**52, 2**53)
    usages = [usage_of(tokens, 5, tokens + 5) for tokens in unreasonable]
    plays: list[Play] = [(CHAT, WHOLE, json_answer(completion(usage))) for usage in usages]
    for _, row in house.play_all(plays):
        assert row.net_pico is not None
        assert row.net_pico > 0
        assert all(line.net_pico is not None and line.net_pico >= 0 for line in row.lines)


def test_the_largest_count_at_the_highest_price_of_the_book_fits_a_row(book: Book) -> None:
    dearest = max(row.pico // row.per for row in book.rows if is_token(row.unit))
    assert 0 < COUNT_MAX * dearest <= INT64_MAX


def test_a_total_that_does_not_balance_is_flagged(house: House) -> None:
    _, row = house.play(CHAT, WHOLE, json_answer(completion(usage_of(61, 47, 90))))
    assert "unbalanced" in row.flags
    assert used(row) == EXACT


def test_a_total_that_nothing_explains_is_flagged_and_charged_to_nobody(house: House) -> None:
    usage = usage_of(61, 47, 1_000_108)
    _, row = house.play(CHAT, WHOLE, json_answer(completion(usage)))
    assert "unbalanced" in row.flags
    assert used(row) == EXACT


def test_a_usage_object_of_megabytes_is_charged_and_not_kept(house: House) -> None:
    usage = {**answers.openai_usage(COUNTS), "padding": "x" * (5 * MIB)}
    body = completion(usage)
    got, row = house.play(CHAT, WHOLE, json_answer(body))
    assert got.body == body
    assert (used(row), row.provenance, row.usage_raw) == (EXACT, "reported", None)
    assert "usage_raw_dropped" in row.flags


def test_no_usage_in_a_whole_answer_is_counted_not_free(house: House) -> None:
    _, row = house.play(CHAT, WHOLE, json_answer(completion(None)))
    assert_counted(row)
    assert used(row)["output_text"] > 0


# -- streams -----------------------------------------------------------------------------------------


def test_usage_said_twice_is_charged_once(house: House) -> None:
    plays: list[Play] = []
    for stream in STREAMS:
        parts = list(stream.parts)
        parts.insert(stream.whole, parts[stream.whole])
        plays.append((stream, stream.body, streamed(stream.content_type, parts)))
    for _, row in house.play_all(plays):
        assert (used(row), row.provenance) == (EXACT, "reported")


def test_a_line_of_a_mebibyte_passes_in_constant_pieces_and_usage_behind_it_is_read(
    house: House,
) -> None:
    padding = b'data: {"choices": [], "obfuscation": "' + b"x" * MIB + b'"}\n\n'
    parts = [*CHAT.parts[:3], padding, *CHAT.parts[3:]]
    got, row = house.play(CHAT, CHAT.body, streamed(SSE, parts))
    assert (got.body, got.clean) == (b"".join(parts), True)
    assert (used(row), row.provenance) == (EXACT, "reported")


def test_a_line_that_never_ends_blinds_the_meter_and_not_the_client(house: House) -> None:
    parts = [*CHAT.parts[:3], b'data: {"x": "', *[b"y" * MIB] * 24, b'"}\n\n', *CHAT.parts[3:]]
    got, row = house.play(CHAT, CHAT.body, streamed(SSE, parts))
    assert (len(got.body), got.clean) == (sum(map(len, parts)), True)
    assert row.net_pico is not None


def test_an_error_event_inside_a_200_is_an_error_that_charges_what_was_used(house: House) -> None:
    failed = b'data: {"error": {"message": "overloaded", "type": "server_error"}}\n\n'
    parts = [*CHAT.parts[:6], failed]
    got, row = house.play(CHAT, CHAT.body, streamed(SSE, parts))
    assert (got.body, got.clean) == (b"".join(parts), True)
    assert row.outcome is Outcome.ERROR
    assert "error_event" in row.flags
    assert_counted(row)


def test_an_answer_of_four_megabytes_passes_whole_and_is_read(house: House) -> None:
    body = completion(answers.openai_usage(COUNTS), padding="x" * (4 * MIB))
    got, row = house.play(CHAT, WHOLE, json_answer(body))
    assert got.body == body
    assert (used(row), row.provenance) == (EXACT, "reported")


# -- HTTP --------------------------------------------------------------------------------------------

BROKEN: Final[dict[str, list[Step]]] = {
    "two lengths": [head("content-length: 2", "content-length: 3") + b"{}x", CLOSE],
    "length and chunks": [head("content-length: 2", "transfer-encoding: chunked") + b"{}", CLOSE],
    "return in a header": [b"HTTP/1.1 200 X\r\na: b\rc: d\r\ncontent-length: 2\r\n\r\n{}", CLOSE],
    "head of 200 KB": [head("x: " + "y" * 200_000, "content-length: 2") + b"{}", CLOSE],
    "not HTTP": [b"SSH-2.0-OpenSSH_9.2\r\n", CLOSE],
    "nothing": [CLOSE],
    "500 informational": [b"HTTP/1.1 103 X\r\n\r\n" * 500 + head("content-length: 2") + b"{}"],
    "switching protocols": [b"HTTP/1.1 101 X\r\nupgrade: h2c\r\nconnection: upgrade\r\n\r\n"],
    "unknown coding": [head("transfer-encoding: gzip, chunked") + b"0\r\n\r\n", CLOSE],
}


def test_an_answer_that_is_not_http_is_a_502_in_the_callers_own_words(house: House) -> None:
    plays: list[Play] = [(CHAT, WHOLE, steps) for steps in BROKEN.values()]
    for name, (got, row) in zip(BROKEN, house.play_all(plays), strict=True):
        assert (got.status, got.clean) == (502, True), name
        assert got.document()["error"]["type"] == "server_error"
        assert (row.outcome, row.status, row.net_pico) == (Outcome.UPSTREAM_FAILED, 0, 0)


def test_a_body_shorter_than_announced_is_a_break(house: House) -> None:
    body = completion(answers.openai_usage(COUNTS))
    short = head(f"content-length: {len(body) + 1}") + body
    got, row = house.play(CHAT, WHOLE, [short, CLOSE])
    assert (got.body, got.clean) == (body, False)
    assert row.outcome is Outcome.UPSTREAM_FAILED
    assert row.net_pico is not None


@pytest.mark.parametrize(
    "behind", [b"HTTP/1.1 418 X\r\ncontent-length: 4\r\n\r\nevil", b"evil", b"\x00" * 70_000]
)
def test_bytes_behind_the_answer_cost_it_nothing_and_reach_nobody(
    house: House, behind: bytes
) -> None:
    body = completion(answers.openai_usage(COUNTS))
    whole = json_answer(body)
    stream = list(CHAT.steps())
    assert isinstance(whole[0], bytes)
    assert isinstance(stream[-1], bytes)
    plays: list[tuple[Play, bytes]] = [
        ((CHAT, WHOLE, [whole[0] + behind]), body),
        ((CHAT, WHOLE, [whole[0], 0.02, behind]), body),
        ((CHAT, CHAT.body, [*stream[:-1], stream[-1] + behind]), CHAT.content()),
    ]
    for play, content in plays:
        for _ in range(2):
            got, row = house.play(*play)
            assert (got.body, got.clean) == (content, True)
            assert (row.outcome, row.provenance, used(row)) == (Outcome.COMPLETE, "reported", EXACT)
    usual, row = house.play(CHAT, WHOLE, whole)
    assert (usual.body, used(row)) == (body, EXACT)


def test_a_success_without_a_byte_is_booked_by_our_count_of_its_prompt_and_named(
    house: House,
) -> None:
    """A refusal without a byte is free; a success says that the prompt was taken."""
    for steps in (json_answer(b""), [head(status=204)]):
        got, row = house.play(CHAT, WHOLE, steps)
        assert (got.body, got.clean) == (b"", True)
        assert_counted(row)
        assert used(row).get("output_text", 0) == 0
        assert (row.outcome, "empty_answer" in row.flags) == (Outcome.COMPLETE, True)
    _, row = house.play(CHAT, WHOLE, [head("content-length: 0", status=503)])
    assert (row.net_pico, row.flags) == (0, ())
    _, row = house.play(CHAT, WHOLE, json_answer(completion(None)))
    assert "empty_answer" not in row.flags


def test_what_binds_a_host_or_a_hop_does_not_reach_the_client(house: House) -> None:
    body = completion(answers.openai_usage(COUNTS))
    headers = (
        "set-cookie: session=1", "server: evil", "alt-svc: h3=1", "connection: x-hop",
        "x-hop: 1", "strict-transport-security: max-age=1", "x-kept: yes",
    )  # fmt: skip
    got, _ = house.play(CHAT, WHOLE, json_answer(body, *headers))
    lowered = got.head.lower()
    assert b"x-kept: yes" in lowered
    for name in (b"set-cookie", b"server", b"alt-svc", b"x-hop", b"strict-transport-security"):
        assert b"\r\n" + name + b":" not in lowered


def test_a_redirect_is_passed_on_and_never_followed(house: House) -> None:
    asked = len(house.origin.asked)
    location = f"location: http://127.0.0.1:{house.origin.port}/elsewhere"
    got, row = house.play(CHAT, WHOLE, [head(location, "content-length: 0", status=307)])
    assert (got.status, len(house.origin.asked)) == (307, asked + 1)
    assert (row.outcome, row.net_pico) == (Outcome.ERROR, 0)


def test_after_all_that_the_gateway_serves_as_ever(house: House) -> None:
    plays: list[Play] = [(stream, stream.body, stream.steps()) for stream in STREAMS]
    for stream, (got, row) in zip(STREAMS, house.play_all(plays), strict=True):
        assert (got.body, got.clean) == (stream.content(), True)
        assert (used(row), row.provenance) == (EXACT, "reported")
        assert PROMPT not in (row.usage_raw or "")
