"""Every recorded case through the running gateway, on real sockets: the same bytes, and exactly the expected usage."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.ledger.entry import Entry
from tests.providers.transcripts import Case, cases
from tests.serving import (
    CREDENTIAL,
    RawUpstream,
    Running,
    Script,
    deployments,
    raw_exchange,
    serving,
)

REFUSED = {
    "realtime-ws-frames",
    "start-async-invoke",
    "gemini-interactions-stream",
    "live-ws-frames",
}
BASE_TIERS = {None, "default", "standard", "ON_DEMAND", "STANDARD"}
NAMED = {"spillover": "standard", "ON_DEMAND_PRIORITY": "priority"}
AZURE = deployments(
    ("gpt-4o", "gpt-4o-2024-11-20", "global"),
    ("tts", "tts", "global"),
    ("whisper-1", "whisper", "global"),
    ("gpt-4o-transcribe", "gpt-4o-transcribe", "global"),
    ("text-embedding-3-small", "text-embedding-3-small", "global"),
    ("gpt-image-1", "gpt-image-1", "global"),
    ("gpt-5.4", "gpt-5.4", "global"),
    ("gpt-5.6", "gpt-5.6-sol", "global"),
)
CASES = [case for case in cases() if case.name not in REFUSED]


class Corpus:
    """An upstream that answers with the bytes of whichever case is being played."""

    def __init__(self) -> None:
        self.case: Case | None = None

    def __call__(self, head: bytes, body: bytes) -> Script:
        assert self.case is not None
        http = self.case.meta["http"]
        lengths = self.case.meta["chunk_lengths"] or [len(self.case.response)]
        pieces, start = [], 0
        for length in lengths:
            pieces.append(self.case.response[start : start + length])
            start += length
        streaming = bool(http["streaming"])
        return Script(
            http["status"], http["headers"], pieces, streaming, bool(http.get("connection_cut"))
        )


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return Corpus()


@pytest.fixture(scope="module")
def upstream(corpus: Corpus) -> RawUpstream:
    return RawUpstream(corpus)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, upstream: RawUpstream) -> Iterator[Running]:
    with (
        upstream.running() as url,
        # Its batch was made before the gateway was there: no team could claim it.
        serving(tmp_path_factory.mktemp("corpus"), url, AZURE, single_tenant=True) as gateway,
    ):
        yield gateway


def request_bytes(case: Case, key: str) -> bytes:
    body = case.body()
    headers = [
        (name, value.replace("wb_test", key))
        for name, value in case.request["headers"]
        if name.lower() not in ("content-length", "connection", "transfer-encoding")
    ]
    if any(value.startswith("AWS4") for _, value in headers):
        headers = [(n, v) for n, v in headers if n.lower() != "authorization"]
        headers.append(("Authorization", f"Bearer {key}"))
    lines = [f"{case.request['method']} {case.request['target']} HTTP/1.1"]
    if not any(name.lower() == "host" for name, _ in headers):
        headers.insert(0, ("Host", "gateway.example"))
    lines += [f"{name}: {value}" for name, value in headers]
    if body or case.request["method"] == "POST":
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


def played(case: Case, running: Running, corpus: Corpus) -> tuple[bytes, bytes, bool, list[Entry]]:
    before = len(running.rows(0))
    corpus.case = case
    head, body, clean = raw_exchange(running.port, request_bytes(case, running.key.key))
    expected = 0 if case.name == "count-tokens" else 1
    rows = running.rows(before + expected)[before:]
    return head, body, clean, rows


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.provider}-{case.name}")
def test_the_bytes_are_the_providers_and_the_row_is_exactly_what_was_used(
    case: Case, running: Running, corpus: Corpus, upstream: RawUpstream
) -> None:
    head, body, clean, rows = played(case, running, corpus)
    assert head.split(b" ")[1] == str(case.meta["http"]["status"]).encode()
    asked_usage = b'"include_usage"' in case.body() or b"include_usage" not in upstream.received[-1]
    if asked_usage:
        assert body == case.response
    assert clean != bool(case.meta["http"].get("connection_cut"))
    assert running.key.key.encode() not in upstream.received[-1]
    assert (
        CREDENTIAL.encode() in upstream.received[-1] or b"AWS4-HMAC-SHA256" in upstream.received[-1]
    )
    lowered = head.lower()
    assert lowered.count(b"\r\ndate:") == 1
    assert lowered.count(b"\r\nserver:") == 0
    if case.name == "count-tokens":
        assert rows == []
        return
    (row,) = rows
    assert_row(case, row)


def assert_row(case: Case, row: Entry) -> None:
    expected = case.meta["expected"]
    assert row.status == case.meta["http"]["status"]
    assert "unbalanced" not in row.flags
    assert "usage_invalid" not in row.flags
    if expected["usage_source"] == "none" and not expected["usage_final"]:
        assert row.provenance in ("counted", "estimated")
        assert row.lines
        return
    lines = [line for line in row.lines if line.quantity]
    if expected["usage_source"] == "partial":
        assert row.provenance == "partial"
        wanted = units_of(expected)
        found = Counter({(line.role, line.unit): line.quantity for line in lines})
        assert all(found[key] == value for key, value in wanted.items())
        return
    assert Counter({(line.role, line.unit): line.quantity for line in lines}) == units_of(expected)
    tier = expected["service_tier"]
    assert row.tier == ("standard" if tier in BASE_TIERS else NAMED.get(tier, tier))
    if expected["billing_model"] and row.served_model:
        assert expected["billing_model"] in (row.served_model, f"{row.deployment}")


def units_of(expected: dict[str, Any]) -> Counter[tuple[str, str]]:
    found: Counter[tuple[str, str]] = Counter()
    for part in expected["components"]:
        for unit, count in {**part["tokens"], **part.get("units", {})}.items():
            if count:
                found[part["role"], unit] += count
    return found


def test_the_corpus_is_whole() -> None:
    folder = Path(__file__).parents[1] / "transcripts"
    metas = [json.loads(path.read_text()) for path in folder.glob("*/*.meta.json")]
    assert len(metas) == 81
