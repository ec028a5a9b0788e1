"""Recorded traffic of others, where it lies beside the checkout: usage balances, streams and bodies meter."""

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gateway.dialects import anthropic, bedrock_families, converse, gemini
from gateway.dialects.contract import Dialect, Request
from gateway.metering.meter import Reading
from gateway.metering.usage import Source, total_tokens
from tests.dialects.answers import FRAMES, SSE, chunk_frames, counts, frame, head, read, whole

METRICS = "amazon-bedrock-invocationMetrics"
# Answers that look like usage and are none: token counts, and the creation of a cache.
FREE = ("countTokens", "count_tokens", "cachedContents")


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rb") as lines:
        for line in lines:
            yield json.loads(line)


# ── reported usage ───────────────────────────────────────────────────────────────────────────────


def _usage_read(family: str, operation: str, usage: dict[str, Any]) -> Reading | None:
    """A usage object put back into the answer it came in; None where it is of another dialect."""
    if family in ("gemini", "vertex") and operation not in ("completions", *FREE):
        dialect = gemini.EMBED if "mbed" in operation else gemini.GENERATE
        return read(dialect, whole({"usageMetadata": usage}))
    if family not in ("anthropic", "bedrock"):
        return None
    if "inputTokenCount" in usage:
        return read(bedrock_families.FAMILIES, chunk_frames({METRICS: usage}), head(FRAMES))
    if family == "anthropic" or "input_tokens" in usage:
        return read(anthropic.MESSAGES, whole({"type": "message", "usage": usage}))
    dialect = converse.GUARDRAIL if "contentPolicyUnits" in usage else converse.CONVERSE
    if set(usage) == {"inputTokens"}:  # an embedding, invoked
        dialect = bedrock_families.FAMILIES
    return read(dialect, whole({"usage": usage})) if "output_tokens" not in usage else None


def test_every_reported_usage_balances(recorded: Path) -> None:
    readings = [
        (line, reading)
        for line in _lines(recorded / "usage.jsonl")
        if (reading := _usage_read(line["family"], line["operation"], line["usage"])) is not None
    ]
    wrong = [
        line
        for line, reading in readings
        if reading.flags or not reading.balances() or not (reading.final or _is_half(line))
    ]
    assert wrong == []
    assert len(readings) > 700
    assert sum(reading.stated_total is not None for _, reading in readings) > 400


def _is_half(line: dict[str, Any]) -> bool:
    """Vertex streams name the tier alone until the last chunk; Anthropic's last event leaves the input out."""
    is_delta = line["family"] == "anthropic" and "input_tokens" not in line["usage"]
    return is_delta or set(line["usage"]) <= {"trafficType"}


# ── streams ──────────────────────────────────────────────────────────────────────────────────────


def _stream_dialect(path: str) -> Dialect | None:
    if "converse-stream" in path:
        return converse.CONVERSE
    if "invoke-with" in path:
        return anthropic.INVOKE if "anthropic." in path else bedrock_families.FAMILIES
    if "enerateContent" in path:
        return gemini.GENERATE
    return anthropic.MESSAGES if path.endswith("/messages") else None


def _stated(usage: dict[str, Any]) -> dict[str, int]:
    """Input (None where the object leaves it out) and output as the last usage object states them."""
    names = {
        "input": ("inputTokens", "inputTokenCount", "promptTokenCount"),
        "output": ("outputTokens", "outputTokenCount", "candidatesTokenCount", "output_tokens"),
    }
    return {
        side: usage[name] for side, each in names.items() for name in each if usage.get(name) is not None
    }  # fmt: skip


def _metered(reading: Reading) -> dict[str, int]:
    found = counts(reading)
    return {"input": found.get("input_text", 0), "output": found.get("output_text", 0)}


def test_recorded_streams_meter_to_their_last_usage(recorded: Path) -> None:
    metered = 0
    for stream in json.loads((recorded / "streams" / "INDEX.json").read_bytes()):
        dialect = _stream_dialect(stream["path"])
        if dialect is None:
            continue
        body = (recorded / "streams" / f"{stream['name']}.response").read_bytes()
        kind = head(stream["content_type"])
        at_once = read(dialect, body, kind)
        stated = _stated(stream["last_usage"])
        assert stated.items() <= _metered(at_once).items(), stream["name"]
        assert (at_once.source, at_once.final, at_once.complete) == (Source.PROVIDER, True, True)
        assert at_once.flags == ()
        single = (body[place : place + 1] for place in range(len(body)))
        assert read(dialect, single, kind) == at_once
        metered += 1
    assert metered >= 14


# ── whole exchanges ──────────────────────────────────────────────────────────────────────────────

_CONVERSE_EVENTS = {
    "usage": "metadata",
    "delta": "contentBlockDelta",
    "start": "contentBlockStart",
    "stopReason": "messageStop",
    "role": "messageStart",
}


def _pair_dialect(pair: dict[str, Any]) -> Dialect | None:
    host, request = pair["host"], pair["req"]
    if not isinstance(request, dict) or any(name in pair["source"] for name in FREE):
        return None
    if host == "api.anthropic.com":
        return anthropic.MESSAGES
    if host.startswith("bedrock-runtime"):
        return _runtime_dialect(pair)
    if "generativelanguage" in host or "aiplatform" in host:
        shapes = (("contents", gemini.GENERATE), ("requests", gemini.EMBED), ("instances", gemini.PREDICT),
                  ("input", gemini.INTERACTIONS), ("anthropic_version", anthropic.MESSAGES))  # fmt: skip
        return next((dialect for name, dialect in shapes if name in request), None)
    return None


def _runtime_dialect(pair: dict[str, Any]) -> Dialect | None:
    request, answer, events = pair["req"], pair["resp"], pair["events"]
    if "anthropic_version" in request:
        return anthropic.INVOKE
    if "metrics" in (answer or {}) or (events and "p" in events[0]):
        return converse.CONVERSE
    return None if request.keys() == {"input"} else bedrock_families.FAMILIES


def _answer(dialect: Dialect, pair: dict[str, Any], request: Request) -> Reading:
    events = pair["events"]
    if not events:
        return read(dialect, whole(pair["resp"]), request=request)
    if dialect is converse.CONVERSE:
        stream = b"".join(frame(_event_of(each), each) for each in events)
        return read(dialect, stream, head(FRAMES), request)
    if pair["host"].startswith("bedrock"):
        return read(dialect, chunk_frames(*events), head(FRAMES), request)
    stream = b"".join(b"data: %b\n\n" % whole(each) for each in events)
    return read(dialect, stream, head(SSE), request)


def _event_of(document: dict[str, Any]) -> str:
    found = (event for member, event in _CONVERSE_EVENTS.items() if member in document)
    return next(found, "contentBlockStop")


def test_recorded_exchanges_are_read_and_metered(recorded: Path) -> None:
    metered: dict[Source, int] = {}
    for pair in _lines(recorded / "pairs.jsonl.gz"):
        dialect = _pair_dialect(pair)
        if dialect is None or not (isinstance(pair["resp"], dict) or pair["events"]):
            continue
        request = dialect.read_request(json.dumps(pair["req"]).encode(), b"application/json")
        assert request.prompt.turns, pair["source"]
        reading = _answer(dialect, pair, request)
        if "usageMetadata" in (pair["resp"] or {}) and "name" in pair["resp"]:
            continue  # a cache was made
        assert reading.balances(), pair["source"]
        assert reading.flags in ((), ("error_event",)), pair["source"]
        assert reading.source is not Source.PARTIAL, pair["source"]
        if reading.source is Source.PROVIDER and "embed" not in dialect.name:
            assert total_tokens(reading.components) > 0, pair["source"]
        metered[reading.source] = metered.get(reading.source, 0) + 1
    assert metered[Source.PROVIDER] > 500
