"""The entry: one immutable row per upstream attempt."""

from collections import Counter
from enum import StrEnum
from typing import Final, TypeAlias
from uuid import UUID

import msgspec

from gateway.metering.units import UNITS
from gateway.metering.usage import MAIN
from gateway.pricing.rate import PROMPT, ChargeLine

FAILED_OVER: Final = "failed_over"  # flag: another attempt of the same request follows
FAIL_OPEN: Final = "fail_open"  # flag: passed while the store of budgets could not be asked
SEVERAL_PARTS: Final = "several_parts"  # flag: of one role and model, each with a prompt of its own
OVER_HOLD: Final = "over_hold"  # flag: used more than was held for it
SHADOW_REFUSED: Final = "shadow_refused"  # flag: a budget in shadow mode would have refused it
STOPPED: Final = "budget_stopped"  # flag: the stream was ended because a budget ran out under it


class EntryKind(StrEnum):
    """What an entry is. Corrections are further entries with ``ref_id``; nothing is ever edited."""

    USAGE = "usage"
    INTERRUPTED = "interrupted"  # forwarded, then the worker died: what is known is booked
    UNCONFIRMED = "unconfirmed"  # a hold without any record of forwarding: cost zero, to reconcile
    ADJUSTMENT = "adjustment"
    REVERSAL = "reversal"
    REPRICE = "reprice"


class Outcome(StrEnum):
    """How the exchange ended."""

    COMPLETE = "complete"
    CLIENT_LEFT = "client_left"
    UPSTREAM_FAILED = "upstream_failed"  # died, stalled or sent garbage after the head
    ERROR = "error"  # the provider answered with an error status, or an error inside a 200
    INTERRUPTED = "interrupted"


Line: TypeAlias = ChargeLine
"""A line of a row is a line of its charge, as it was rated: None where no price row covers the unit (never zero)."""


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the ledger. Times are epoch microseconds UTC; ``day`` and ``period`` are in the org's zone.

    id           the attempt (UUIDv7, lowest bit 0); primary key and idempotency key
    request_id   groups the attempts of one request
    status       HTTP status the provider answered with; 0 where no head arrived
    provenance   reported | partial | counted | estimated (metering.usage.Provenance)
    price_status priced | partial | unpriced | ambiguous | zero_marginal | free
    list_pico, net_pico  Σ of the lines; None where a line is None
    counted_input, counted_output  tiktoken's own counts, on every metered row
    flags        unbalanced, model_mismatch, spilled_over, error_event, bad_crc, …
    """

    id: UUID
    request_id: UUID
    kind: EntryKind = EntryKind.USAGE
    ref_id: UUID | None = None
    occurred_us: int
    booked_us: int
    day: str
    period: int
    org: str
    team: str
    user: str
    cost_centre: str | None = None
    app: str | None = None
    key_id: str
    provider: str
    operation: str
    dialect: str | None = None
    upstream: str
    deployment: str | None = None
    model: str | None = None
    served_model: str | None = None
    scope: str | None = None
    geo: str | None = None
    region: str | None = None
    tier: str = "standard"
    status: int
    stream: bool = False
    outcome: Outcome
    provenance: str
    lines: tuple[Line, ...] = ()
    list_pico: int | None = None
    net_pico: int | None = None
    price_status: str = "unpriced"
    counted_input: int | None = None
    counted_output: int | None = None
    count_confidence: str | None = None
    provider_total: int | None = None
    usage_raw: str | None = None
    flags: tuple[str, ...] = ()
    first_byte_ms: int | None = None
    total_ms: int | None = None
    provider_request_id: str | None = None
    client_call_id: str | None = None
    client_attempt: int | None = None
    settles: str | None = None  # once-only key of deferred work (a batch id), unique in the ledger
    attempt: int = 1  # of its request; earlier ones carry the flag FAILED_OVER
    tags: tuple[str, ...] = ()  # 'name=value' of the key, sorted
    catalog: str | None = None  # the version of the price book it was charged by
    contract: str | None = None  # the name of the contract its net is by


def reported_input(entry: Entry) -> int:
    """Input tokens the provider reported for the call itself."""
    tokens = 0
    for line in entry.lines:
        if line.unit in PROMPT and line.role == MAIN and line.model is None:
            tokens += line.quantity
    return tokens


def reported_tokens(entry: Entry) -> tuple[int, int]:
    """Input and output tokens the provider reported for the call itself."""
    sums = Counter[str]()
    for line in entry.lines:
        unit = UNITS.get(line.unit)
        if line.role == MAIN and line.model is None and unit is not None and unit.is_token:
            sums[unit.direction] += line.quantity
    return sums["input"], sums["output"]
