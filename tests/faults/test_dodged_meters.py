"""Attempts to be served and not charged: the row says what was used, or that nobody knows; never a bargain."""

import asyncio
import json
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

from gateway.ledger.entry import Entry, Outcome
from gateway.quota.budget import Budget, Scope
from tests.serving import RawUpstream, Running, Script, deployments, raw_exchange, serving

USAGE: Final = {"prompt_tokens": 1000, "completion_tokens": 500, "total_tokens": 1500}
MODEL: Final = "gpt-4o-2024-11-20"
V1: Final = "/azure/openai/v1/chat/completions"
CONVERSE: Final = "/bedrock/model/us.anthropic.claude-sonnet-4-5-20250929-v1:0/converse"
DEPLOYED: Final = deployments(
    ("gpt-4o", MODEL, "global"),
    ("gpt-image-1", "gpt-image-1", "global"),
    ("gpt-4o-transcribe", "gpt-4o-transcribe", "global"),
)
ASKED: Final = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]}
Answer = Callable[[bytes, bytes], Script]


def answered(document: object, status: int = 200, kind: str = "application/json") -> Script:
    raw = document if isinstance(document, bytes) else json.dumps(document).encode()
    return Script(status, [("content-type", kind)], [raw])


def completion(**more: Any) -> dict[str, Any]:
    message = {"role": "assistant", "content": "hello"}
    choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
    return {"id": "x", "model": MODEL, "choices": choices, "usage": USAGE, **more}


@contextmanager
def standing_server(serve: Any) -> Iterator[str]:
    """A server of one coroutine, in a thread of its own."""
    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(asyncio.start_server(serve, "127.0.0.1", 0))
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(timeout=10)
        server.close()
        loop.close()


class House(NamedTuple):
    gateway: Running
    upstream: RawUpstream
    answers: list[Answer]

    def call(
        self, path: str, body: object, answer: Answer | None = None, *headers: tuple[str, str]
    ) -> tuple[int, Entry | None]:
        """Status and row of one call, answered by ``answer``."""
        self.answers[0] = answer or (lambda head, body: answered(completion()))
        rows = len(self.gateway.rows(0))
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        lines = [
            f"POST {path} HTTP/1.1",
            "host: weighbridge",
            f"authorization: Bearer {self.gateway.key.key}",
            *(f"{name}: {value}" for name, value in headers),
            f"content-length: {len(raw)}",
        ]
        head, _, _ = raw_exchange(self.gateway.port, "\r\n".join([*lines, "", ""]).encode() + raw)
        found = self.gateway.rows(rows + 1, seconds=3)[rows:]
        return int(head.split()[1]), found[0] if found else None

    def row(self, *call: Any) -> Entry:
        status, row = self.call(*call)
        assert status == 200
        assert row is not None
        return row


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder: Path = tmp_path_factory.mktemp("dodged")
    answers: list[Answer] = [lambda head, body: answered(completion())]

    def play(head: bytes, body: bytes) -> Script:
        return answers[0](head, body)

    upstream = RawUpstream(play)
    with upstream.running() as url, serving(folder, url, DEPLOYED) as gateway:
        yield House(gateway, upstream, answers)


# -- a discount that nobody gave ------------------------------------------------------------------


@pytest.mark.parametrize("tier", ["batch", "flex", "reserved"])
def test_a_discount_the_answer_does_not_confirm_is_not_given(house: House, tier: str) -> None:
    usual = house.row(V1, ASKED)
    asked = house.row(V1, {**ASKED, "service_tier": tier})
    assert (asked.tier, asked.net_pico) == ("standard", usual.net_pico)
    assert "tier_unconfirmed" in asked.flags


def test_a_header_that_the_operation_does_not_read_gives_no_discount(house: House) -> None:
    usage = {"inputTokens": 1000, "outputTokens": 500, "totalTokens": 1500}
    said = {
        "output": {"message": {"role": "assistant", "content": [{"text": "a"}]}},
        "usage": usage,
    }
    body = {"messages": [{"role": "user", "content": [{"text": "hi"}]}]}
    answer: Answer = lambda head, body: answered(said)  # noqa: E731  # it is one of many
    usual = house.row(CONVERSE, body, answer)
    asked = house.row(CONVERSE, body, answer, ("x-amzn-bedrock-service-tier", "batch"))
    assert (asked.tier, asked.net_pico) == ("standard", usual.net_pico)


def test_a_tier_the_answer_confirms_is_charged(house: House) -> None:
    row = house.row(
        V1,
        {**ASKED, "service_tier": "priority"},
        lambda head, body: answered(completion(service_tier="priority")),
    )
    assert row.tier == "priority"
    assert "tier_unconfirmed" not in row.flags


# -- usage that one client would keep from being said, for all -------------------------------------


def refusing(head: bytes, body: bytes) -> Script:
    """A server that quotes a wrong member, whoever asked for usage."""
    if b"bogus" in body:
        message = "Unknown parameter: 'stream_options.bogus'"
        return answered({"error": {"message": message}}, 400)
    chunk = {
        "model": MODEL,
        "choices": [{"index": 0, "delta": {"content": "a"}, "finish_reason": "stop"}],
    }
    said = [chunk, {"model": MODEL, "choices": [], "usage": USAGE}]
    said = said if b'"include_usage":true' in body else said[:1]
    events = [b"data: %b\n\n" % json.dumps(each).encode() for each in said]
    return Script(
        200, [("content-type", "text/event-stream")], [*events, b"data: [DONE]\n\n"], streaming=True
    )


def old_version(head: bytes, body: bytes) -> Script:
    if b"api-version=old" in head and b"stream_options" in body:
        return answered({"error": {"message": "unrecognized: stream_options"}}, 400)
    return refusing(head, body)


STREAMED: Final = {**ASKED, "stream": True}


def test_a_mistake_in_ones_own_stream_options_silences_nobody(house: House) -> None:
    wrong = {**STREAMED, "stream_options": {"bogus": 1}}
    assert house.call(V1, wrong, refusing)[0] == 400
    row = house.row(V1, STREAMED, refusing)
    assert (row.provenance, row.provider_total) == ("reported", 1500)


def test_an_old_api_version_silences_itself_only(house: House) -> None:
    path = "/azure/openai/deployments/gpt-4o/chat/completions?api-version="
    for _ in range(2):
        old = house.row(path + "old", STREAMED, old_version)
        assert old.provenance != "reported"
        assert "usage_opt_in_refused" in old.flags
    assert house.row(path + "new", STREAMED, old_version).provenance == "reported"


@pytest.mark.parametrize("sources", [[], {}, 0, "x", None])
def test_an_empty_list_of_sources_hides_no_usage(house: House, sources: object) -> None:
    row = house.row(V1, {**STREAMED, "data_sources": sources}, refusing)
    assert (row.provenance, row.provider_total) == ("reported", 1500)


# -- what nobody can count has no amount, and never a small one --------------------------------------


def test_pictures_whose_stream_was_cut_have_no_amount(house: House) -> None:
    partial = b'data: {"type":"image_generation.partial_image","b64_json":"AAAA"}\n\n'
    answer: Answer = lambda head, body: Script(  # noqa: E731  # it is one of many
        200, [("content-type", "text/event-stream")], [partial], streaming=True, cut=True
    )
    body = {"model": "gpt-image-1", "prompt": "a cat", "stream": True}
    row = house.row("/azure/openai/v1/images/generations", body, answer)
    assert (row.net_pico, row.price_status, row.lines) == (None, "unpriced", ())
    assert "unmeasured" in row.flags


@pytest.mark.parametrize("prompt", ["", "a hint"])
def test_a_transcript_as_bare_text_has_no_amount(house: House, prompt: str) -> None:
    form = "".join(
        f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in (
            ("model", "gpt-4o-transcribe"),
            ("response_format", "text"),
            ("prompt", prompt),
        )
    )
    row = house.row(
        "/azure/openai/v1/audio/transcriptions",
        f"{form}--b--\r\n".encode(),
        lambda head, body: answered(b"hello there", kind="text/plain"),
        ("content-type", "multipart/form-data; boundary=b"),
    )
    assert (row.net_pico, row.price_status) == (None, "unpriced")
    assert "unmetered_format" in row.flags


def test_sound_made_by_predict_is_not_free(house: House) -> None:
    path = "/google/v1/publishers/google/models/lyria-002:predict"
    said = {"predictions": [{"bytesBase64Encoded": "AAAA", "mimeType": "audio/wav"}]}
    row = house.row(path, {"instances": [{"prompt": "a song"}]}, lambda head, body: answered(said))
    assert (row.net_pico, row.price_status) == (None, "unpriced")


@pytest.mark.parametrize("kind", ["text/event-stream", "text/plain", ""])
def test_an_answer_with_the_wrong_label_is_read_all_the_same(house: House, kind: str) -> None:
    row = house.row(V1, ASKED, lambda head, body: answered(completion(), kind=kind))
    assert (row.provenance, row.provider_total) == ("reported", 1500)


def test_an_answer_too_deep_to_write_down_still_has_its_row(house: House) -> None:
    deep = b"[" * 900 + b"]" * 900
    said = (
        b'{"id":"m","type":"message","model":"claude-sonnet-4-5","content":[{"type":"tool_use","name":"f",'
        b'"input":{"a":'
        + deep
        + b'}}],"stop_reason":"tool_use","usage":{"input_tokens":1000,"output_tokens":500}}'
    )
    path = "/google/v1/publishers/anthropic/models/claude-sonnet-4-5:rawPredict"
    body = {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 9}
    row = house.row(path, body, lambda head, body: answered(said))
    assert (row.provenance, row.provider_total) == ("reported", 1500)


# -- leaving with the answer and without its usage ---------------------------------------------------


async def _late_usage(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A model that thought much and says so a while after its last word."""
    await reader.readuntil(b"\r\n\r\n")
    last = {
        "model": MODEL,
        "choices": [{"index": 0, "delta": {"content": "42"}, "finish_reason": "stop"}],
    }
    writer.write(
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    )
    for document, pause_s in ((last, 0.4), ({"choices": [], "usage": USAGE}, 0)):
        event = b"data: %b\n\n" % json.dumps(document).encode()
        writer.write(b"%x\r\n%b\r\n" % (len(event), event))
        await asyncio.sleep(pause_s)
    writer.write(b"0\r\n\r\n")
    await writer.drain()
    writer.close()


def test_who_leaves_after_the_last_word_pays_for_all_that_was_thought(tmp_path: Path) -> None:
    with standing_server(_late_usage) as url, serving(tmp_path, url, DEPLOYED) as gateway:
        raw = json.dumps(STREAMED).encode()
        request = f"POST {V1} HTTP/1.1\r\nhost: w\r\napi-key: {gateway.key.key}\r\ncontent-length: {len(raw)}\r\n\r\n"
        with socket.create_connection(("127.0.0.1", gateway.port), timeout=10) as client:
            client.sendall(request.encode() + raw)
            seen = b""
            while b'"stop"' not in seen:
                seen += client.recv(65536)
        (row,) = gateway.rows(1)
    assert (row.provenance, row.provider_total) == ("reported", 1500)
    assert row.outcome is Outcome.CLIENT_LEFT


# -- batches -----------------------------------------------------------------------------------------


def test_a_batch_that_is_cancelled_is_booked_once_by_whatever_answer_says_it(house: House) -> None:
    usage = {"input_tokens": 900, "output_tokens": 100, "total_tokens": 1000}
    made = {"id": "batch_1", "object": "batch", "status": "validating"}
    ended = {**made, "status": "cancelled", "model": MODEL, "usage": usage}
    batches = "/azure/openai/v1/batches"
    form = (
        b'--x\r\ncontent-disposition: form-data; name="purpose"\r\n\r\nbatch\r\n'
        b'--x\r\ncontent-disposition: form-data; name="file"; filename="f.jsonl"\r\n\r\n'
        b'{"body":{"model":"gpt-4o"}}\r\n--x--\r\n'
    )
    kind = ("content-type", "multipart/form-data; boundary=x")
    kept: Answer = lambda head, body: answered({"id": "f", "object": "file"})  # noqa: E731
    assert house.call("/azure/openai/v1/files", form, kept, kind) == (200, None)
    created = house.row(
        batches, {"input_file_id": "f", "endpoint": "/v1/x"}, lambda head, body: answered(made)
    )
    assert (created.operation, created.net_pico) == ("batches.create", 0)
    answer: Answer = lambda head, body: answered(ended)  # noqa: E731  # it is used twice
    status, row = house.call(f"{batches}/batch_1/cancel", b"", answer)
    assert (status, row is not None and row.provider_total) == (200, 1000)
    assert house.call(f"{batches}/batch_1/cancel", b"", answer) == (200, None)


# -- nobody waits for another's pathological request -------------------------------------------------


def test_a_request_made_of_a_million_pieces_keeps_nobody_waiting(house: House) -> None:
    swarm = b'{"model":"gpt-4o","messages":[' + b"{}," * 900_000 + b"{}]}"
    alive = b"GET /-/live HTTP/1.1\r\nhost: weighbridge\r\n\r\n"
    with ThreadPoolExecutor(1) as other:
        asking = other.submit(house.call, V1, swarm)
        while not asking.done():
            assert raw_exchange(house.gateway.port, alive, 5)[0].startswith(b"HTTP/1.1 200")
        assert asking.result() == (400, None)


def test_nothing_large_is_read_of_a_stranger(house: House) -> None:
    for announced in ("content-length: 30000000", "transfer-encoding: chunked"):
        head = (
            f"POST {V1} HTTP/1.1\r\nhost: weighbridge\r\napi-key: wb_nobody\r\n{announced}\r\n\r\n"
        )
        # Not a byte of the body follows: the answer does not wait for it.
        got, body, clean = raw_exchange(house.gateway.port, head.encode(), seconds=5)
        assert got.startswith(b"HTTP/1.1 401"), (got, body, clean)


# -- another model than the one that was asked for ------------------------------------------------


def test_a_key_with_a_list_of_models_has_no_other_asked_by_the_model_itself(house: House) -> None:
    made = house.gateway.make_key(user="user-0010", models=("gpt-4o", "*haiku*"))
    mine = House(house.gateway._replace(key=made), house.upstream, house.answers)
    asked = {
        "anthropic_version": "bedrock-2023-05-31",
        "max_tokens": 9,
        "messages": ASKED["messages"],
    }
    path = "/bedrock/model/us.anthropic.claude-haiku-4-5-20251001-v1:0/invoke"
    usage = {"input_tokens": 1, "output_tokens": 1}

    def said(head: bytes, body: bytes) -> Script:
        return answered(
            {"type": "message", "content": [], "stop_reason": "end_turn", "usage": usage}
        )

    assert mine.row(path, asked, said).status == 200
    advisor = {"type": "advisor_20260301", "name": "advisor", "model": "claude-opus-4-6"}
    for beside in ({"tools": [advisor]}, {"fallbacks": ["claude-opus-4-6"]}):
        assert mine.call(path, {**asked, **beside}, said) == (403, None)


def test_no_header_has_another_model_answer_than_the_one_that_was_named(house: House) -> None:
    heads: list[bytes] = []

    def said(head: bytes, body: bytes) -> Script:
        heads.append(head.lower())
        return answered(completion())

    for name in ("x-ms-model-mesh-model-name", "azureml-model-deployment"):
        house.row(V1, ASKED, said, (name, "gpt-5.4-pro"))
    assert len(heads) == 2
    assert not any(b"gpt-5.4-pro" in head for head in heads)


# -- a budget that does not see all of it ---------------------------------------------------------

RESPONSES: Final = "/azure/openai/v1/responses"
WORDS: Final = "word " * 9_000  # longer than any slack of a count


def drawn(head: bytes, body: bytes) -> Script:
    """Text that has a price, and pictures that have none: nobody said by which model."""
    usage = {"input_tokens": 9_000, "output_tokens": 500, "total_tokens": 9_500}
    picture = {"input_tokens": 1, "output_tokens": 900, "total_tokens": 901}
    return answered(
        {"id": "r", "model": MODEL, "status": "completed", "output": [], "usage": usage, "tool_usage": {"image_gen": picture}}
    )  # fmt: skip


def used(read: int, written: int) -> Answer:
    usage = {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}
    return lambda head, body: answered(completion(usage=usage))


def test_what_has_a_price_counts_and_is_held_whatever_is_asked_beside_it(house: House) -> None:
    made = house.gateway.make_key(user="user-0009")
    scope = Scope(user="user-0009")
    limit = Budget(id="m", name="m", scope=scope, measure="usd_net", limit=10**9, window="month")
    house.gateway.put_budgets(limit)
    mine = House(house.gateway._replace(key=made), house.upstream, house.answers)
    asked = {"model": "gpt-4o", "input": WORDS, "max_output_tokens": 500, "store": False}
    row = mine.row(RESPONSES, asked, drawn)
    priced = sum(line.net_pico or 0 for line in row.lines)
    assert (row.net_pico, row.price_status, priced > 0) == (None, "partial", True)
    assert house.gateway.counters()["m"].posted == -(-priced // 1000)
    # A tool whose price is known to nobody is no way around a limit in money.
    for kind in ("web_search", "image_generation"):
        status, none = mine.call(RESPONSES, {**asked, "tools": [{"type": kind}]}, drawn)
        assert (status, none) == (403, None)
    drawing = {"type": "image_generation", "model": "gpt-image-1"}
    row = mine.row(RESPONSES, {**asked, "tools": [drawing], "max_tool_calls": 1}, drawn)
    assert (row.price_status, row.flags) == ("priced", ())
    assert {line.model for line in row.lines} >= {"gpt-image-1"}
    for beside, answer in (
        ({"persona": WORDS}, used(9_000, 500)),
        ({"prediction": {"type": "content", "content": WORDS}}, used(8, 9_500)),
        ({"n": 5}, used(8, 2_500)),
    ):
        row = mine.row(V1, {**ASKED, "max_tokens": 500, **beside}, answer)
        assert "over_hold" not in row.flags
    status, none = mine.call(V1, {**ASKED, "max_tokens": 9, "n": " 5 "}, used(8, 45))
    assert (status, none) == (400, None)
