"""Every recorded call, booked as it was answered, stays within the bound of its request."""

from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest

from gateway import shipped
from gateway.dialects.contract import Request
from gateway.exchange import booking
from gateway.exchange.booking import Counts
from gateway.exchange.bound import Bound
from gateway.exchange.bounds import most
from gateway.kernel.errors import OperationRefused
from gateway.metering.usage import MAIN, Component
from gateway.pricing import load
from gateway.pricing.dimensions import Circumstances
from gateway.pricing.rate import Charge, context_tokens
from gateway.providers import installed
from gateway.providers.contract import Deployment, Kind, Served, Upstream
from gateway.wire.encoding import Decoded
from gateway.wire.headers import first
from tests.providers import transcripts

NOW_US = 1_795_305_600_000_000  # 2026-11-22
DEFAULT = 16_384
SEED = Path(__file__).resolve().parents[2] / "gateway" / "pricing" / "seed"
BOOK = load.book({path.name: path.read_bytes() for path in sorted(SEED.glob("*.csv"))})
CEILINGS = shipped.ceilings()
COUNTER = shipped.counter()
PROVIDERS = {provider.name: provider for provider in installed()}
FURTHER = Path(__file__).resolve().parents[3] / "shared" / "fixtures"  # beside the checkout


class Booked(NamedTuple):
    """A recorded call as it would have been held and booked."""

    bound: Bound
    components: tuple[Component, ...]
    circumstances: Circumstances
    charge: Charge


def booked(case: transcripts.Case) -> Booked | None:
    """None where nothing is held: a call that is free, refused or answered with an error."""
    provider, inbound, head = PROVIDERS[case.provider], case.inbound(), case.head()
    try:
        call = provider.recognise(inbound)
    except OperationRefused:
        return None
    if call.kind is not Kind.METERED or call.dialect is None or head.status >= 300:
        return None
    content_type = first(inbound.headers, b"content-type") or b""
    request = call.dialect.read_request(inbound.body, content_type)
    named = call.wire_model or request.model or ""
    upstream = Upstream(
        "u", provider.name, "", call.service, "us-east-1", None, call.location or "us-east-1"
    )
    wire = provider.wire(named, call.location, upstream.location)
    model = BOOK.canonical(provider.name, wire.names) or BOOK.canonical(
        provider.name, (case.meta["expected"]["billing_model"] or "",)
    )
    deployment = Deployment(named, "u", model, wire.scope or "global", wire.geo, wire.region)
    tier = provider.asked_tier(call, inbound, request)
    meter = call.dialect.meter(request, head)
    meter.feed(Decoded(first(head.headers, b"content-encoding") or b"").feed(case.response))
    reading = meter.read()
    count = COUNTER.input(request.prompt, model or named)
    counts = Counts(count, COUNTER.output(reading.observed, model or named))
    used = booking.used(reading, head.status, counts)
    # What was recorded answers another request than the one it lies beside: as if this one had been as long.
    request, counts = _as_answered(request, counts, used.components)
    under = booking.circumstances(provider.name, deployment, Served(), tier, NOW_US)
    bound = most(BOOK, under, request, counts, CEILINGS, DEFAULT)
    served = provider.served(call, upstream, head, reading)
    served_tier, _ = booking.tier_of(served.tier, tier)
    charged = booking.circumstances(provider.name, deployment, served, served_tier, NOW_US)
    charge = booking.priced(BOOK, charged, used.components).charge
    return Booked(bound, used.components, charged, charge)


def _as_answered(
    request: Request, counts: Counts, components: tuple[Component, ...]
) -> tuple[Request, Counts]:
    read, written = tokens(components)
    read = max(read, counts.input.tokens)
    counts = Counts(msgspec.structs.replace(counts.input, tokens=read), counts.output)
    if request.output_ceiling is not None and written > request.output_ceiling * request.choices:
        request = msgspec.structs.replace(request, output_ceiling=written)
    return msgspec.structs.replace(request, media_bytes=0), counts


def tokens(components: tuple[Component, ...]) -> tuple[int, int]:
    """Tokens read and written by the model that was asked."""
    main = [part for part in components if part.role == MAIN]
    read = sum(context_tokens(part.counts) for part in main)
    return read, sum(part.tokens() for part in main) - read


CASES = {
    f"{case.provider}-{case.name}": found for case in transcripts.cases() if (found := booked(case))
}
# Another model's work inside a call: which one, how often and at what length only the answer tells.
BEYOND = {"advisor_message", "compaction", "tool_image_gen"}


def within(found: Booked) -> list[str]:
    """Every way in which a booked call leaves its bound."""
    estimate = found.bound.estimate
    own = [line for line in found.charge.lines if line.role not in BEYOND]
    read, written = tokens(found.components)
    checks = (
        ("input tokens", read, estimate.input_tokens),
        ("output tokens", written, estimate.output_tokens),
        ("list", sum(line.list_pico or 0 for line in own), estimate.list_pico),
        ("net", sum(line.net_pico or 0 for line in own), estimate.net_pico),
    )
    wrong = [f"{what}: {used} of {held}" for what, used, held in checks if used > (held or 0)]
    held_units = estimate.units
    wrong += [
        f"{line.unit}: {line.quantity} of {held_units[line.unit]}"
        for line in own
        if line.role == MAIN and line.unit in held_units and line.quantity > held_units[line.unit]
    ]
    return wrong


def test_the_recorded_calls_are_there() -> None:
    assert len(CASES) == 70
    assert sum(not found.bound.priced for found in CASES.values()) <= 4


@pytest.mark.parametrize("name", CASES)
def test_a_recorded_call_stays_within_its_bound(name: str) -> None:
    assert within(CASES[name]) == []


@pytest.mark.skipif(not FURTHER.is_dir(), reason=f"no further recordings at {FURTHER}")
def test_recorded_calls_beyond_those_that_ship_stay_within_theirs() -> None:
    found = {case.name: booked(case) for case in transcripts.cases(FURTHER)}
    assert sum(each is not None for each in found.values()) >= 66
    assert {name: wrong for name, each in found.items() if each and (wrong := within(each))} == {}
