"""The wire fixtures as values: one Case per recorded request and answer, and what its usage must be.

The rules of comparison are in tests/transcripts/README.md; ``mismatches`` states them as code.
"""

import json
from base64 import b64decode
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from gateway.dialects.contract import Dialect, Request
from gateway.metering.meter import Reading
from gateway.metering.usage import total_tokens
from gateway.wire.encoding import Decoded
from gateway.wire.headers import first
from gateway.wire.messages import Head

ROOT = Path(__file__).parents[1] / "transcripts"
BASE_TIERS = frozenset({None, "default", "standard", "ON_DEMAND", "1", 1})


class Case(NamedTuple):
    """One fixture. ``lengths``: the recorded chunk lengths, or None where the cuts are free."""

    name: str
    provider: str
    api: str
    method: str
    target: str
    request_body: bytes
    request_type: bytes
    head: Head
    body: bytes
    lengths: tuple[int, ...] | None
    cut: bool
    expected: dict[str, Any]

    def request(self, dialect: Dialect) -> Request:
        """The request as the dialect reads it; one without a body asks for nothing."""
        if self.method == "GET":
            return Request()
        return dialect.read_request(self.request_body, self.request_type)

    def read(self, dialect: Dialect, chunks: Iterable[bytes]) -> Reading:
        """What a fresh meter makes of the answer in those chunks."""
        meter = dialect.meter(self.request(dialect), self.head)
        decoded = Decoded(first(self.head.headers, b"content-encoding") or b"")
        for chunk in chunks:
            meter.feed(decoded.feed(chunk))
        return meter.read()

    def recorded_chunks(self) -> list[bytes]:
        """The answer at its recorded boundaries."""
        return list(pieces(self.body, self.lengths or (len(self.body),)))


def cases() -> list[Case]:
    """Every fixture of every provider."""
    return [_case(meta) for meta in sorted(ROOT.glob("*/*.meta.json"))]


def pieces(body: bytes, lengths: Iterable[int]) -> Iterator[bytes]:
    """The body cut into pieces of those lengths; what is left is the last piece."""
    place = 0
    for length in lengths:
        yield body[place : place + length]
        place += length
    if place < len(body):
        yield body[place:]


def mismatches(case: Case, reading: Reading) -> list[str]:
    """Every way in which a reading is not what the fixture demands."""
    expected = case.expected
    checks = [
        ("components", _found_parts(reading, expected), _expected_parts(expected)),
        ("usage_source", str(reading.source), expected["usage_source"]),
        ("usage_final", reading.final, expected["usage_final"]),
        ("service_tier", _tier(reading.tier), _tier(expected["service_tier"])),
        ("balances", reading.balances(), True),
    ]
    if expected["provider_total"] is not None:
        total = total_tokens(reading.components)
        checks.append(("provider_total", total, expected["provider_total"]))
    if _answer_names_model(case, reading):
        checks.append(("billing_model", reading.model, expected["billing_model"]))
    if case.cut:
        checks.append(("complete", reading.complete, False))
    return [
        f"{name}: {found!r}, expected {right!r}" for name, found, right in checks if found != right
    ]


def _answer_names_model(case: Case, reading: Reading) -> bool:
    """Elsewhere the path names it, which is the provider's to read."""
    if case.provider == "bedrock" and not case.api.startswith("mantle"):
        return False
    return reading.model is not None or case.provider == "azure"


def _tier(tier: object) -> object:
    return "standard" if tier in BASE_TIERS else tier


def _found_parts(reading: Reading, expected: dict[str, Any]) -> list[str]:
    named = {part["role"] for part in expected["components"] if part.get("model")}
    return sorted(
        _part(part.role, part.counts, part.model if part.role in named else None)
        for part in reading.components
        if any(part.counts.values())
    )


def _expected_parts(expected: dict[str, Any]) -> list[str]:
    parts = (
        (part["role"], {**part["tokens"], **(part.get("units") or {})}, part.get("model"))
        for part in expected["components"]
    )
    return sorted(_part(*part) for part in parts if any(part[1].values()))


def _part(role: str, counts: dict[str, int], model: str | None) -> str:
    shown = ", ".join(f"{unit}={counts[unit]}" for unit in sorted(counts) if counts[unit])
    return f"{role} {model or '-'}: {shown}"


def _case(path: Path) -> Case:
    meta = json.loads(path.read_bytes())
    stem = path.name.removesuffix(".meta.json")
    request = json.loads((path.parent / f"{stem}.request.json").read_bytes())
    body = _request_body(request)
    headers = _headers(request["headers"])
    lengths = meta["chunk_lengths"]
    return Case(
        name=f"{meta['provider']}/{stem}",
        provider=meta["provider"],
        api=meta["api"],
        method=request["method"],
        target=request["target"],
        request_body=body,
        request_type=first(headers, b"content-type") or b"",
        head=Head(meta["http"]["status"], _headers(meta["http"]["headers"])),
        body=(path.parent / f"{stem}.response").read_bytes(),
        lengths=None if lengths is None else tuple(lengths),
        cut=meta["http"]["connection_cut"],
        expected=meta["expected"],
    )


def _request_body(request: dict[str, Any]) -> bytes:
    if "body_base64" in request:
        return b64decode(request["body_base64"])
    body = request["body_json"]
    return b"" if body is None else json.dumps(body, separators=(",", ":")).encode()


def _headers(pairs: list[list[str]]) -> tuple[tuple[bytes, bytes], ...]:
    return tuple((name.encode("latin-1"), value.encode("latin-1")) for name, value in pairs)
