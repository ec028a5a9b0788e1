"""The entry of an exchange, built in two steps: the frame known before sending, the ending known after."""

from typing import Final
from uuid import UUID

import msgspec

from gateway.exchange import booking
from gateway.exchange.admission import Admitted
from gateway.exchange.booking import Counts, Priced, Used
from gateway.ledger.entry import SEVERAL_PARTS, Entry, EntryKind, Line, Outcome
from gateway.metering.meter import Reading
from gateway.metering.usage import Provenance, are_several
from gateway.providers.contract import Provider, Served
from gateway.wire import headers as header_lists
from gateway.wire.messages import Inbound

TEXT_CHARS_MAX: Final = (
    512  # of a name that a client or provider chose; the longest real ones have 200
)
USAGE_RAW_BYTES_MAX: Final = (
    64 * 1024
)  # a real usage object has 2 KB; a row is not a place for an attack

_INTERRUPTED: Final = Outcome.INTERRUPTED
_CUT: Final = EntryKind.INTERRUPTED
_ESTIMATED: Final = str(Provenance.ESTIMATED)


class Stamp(msgspec.Struct, frozen=True):
    """Identity and time of an attempt; ``day`` and ``period`` in the org's zone, of its start."""

    id: UUID
    request_id: UUID
    started_us: int
    day: str
    period: int
    attempt: int = 1


class Ending(msgspec.Struct, frozen=True):
    """All that was learnt of an attempt after it was sent. Its times count from when it was begun."""

    kind: EntryKind
    outcome: Outcome
    status: int
    reading: Reading
    counts: Counts | None
    served: Served
    used: Used
    rated: Priced
    flags: tuple[str, ...]
    first_byte_ms: int | None
    total_us: int
    booked_us: int


def frame(
    stamp: Stamp, provider: Provider, admitted: Admitted, inbound: Inbound, *, stream: bool
) -> Entry:
    """The part of the entry that is known before anything is sent."""
    principal, deployment, counts = admitted.principal, admitted.deployment, admitted.counts
    call_id, attempt = inbound.told(header_lists.client_attempt)
    return Entry(
        id=stamp.id,
        request_id=stamp.request_id,
        occurred_us=stamp.started_us,
        booked_us=stamp.started_us,
        day=stamp.day,
        period=stamp.period,
        org=principal.org,
        team=principal.team,
        user=principal.user,
        cost_centre=principal.cost_centre,
        app=principal.app,
        key_id=principal.key_id,
        provider=provider.name,
        operation=admitted.call.operation,
        dialect=None if admitted.call.dialect is None else admitted.call.dialect.name,
        upstream=admitted.upstream.name,
        deployment=_storable(admitted.wire_model),
        model=deployment.model if deployment else None,
        scope=deployment.scope if deployment else None,
        geo=deployment.geo if deployment else None,
        region=deployment.region if deployment else None,
        tier=admitted.tier,
        status=0,
        stream=stream,
        outcome=_INTERRUPTED,
        provenance=_ESTIMATED,
        counted_input=None if counts is None else counts.input.tokens,
        count_confidence=None if counts is None else str(counts.confidence()),
        client_call_id=call_id,
        client_attempt=attempt,
        attempt=stamp.attempt,
        tags=principal.tags,
    )


def interrupted(framed: Entry, admitted: Admitted, flags: tuple[str, ...] = ()) -> Entry:
    """What to book if the worker dies before it settles: the counted input. ``flags``: what is odd already."""
    estimate = admitted.estimate
    assert estimate is not None
    charge = estimate.charge
    tier, doubts = booking.tier_of(None, admitted.tier)
    return msgspec.structs.replace(
        framed,
        kind=_CUT,
        tier=_fit(tier),
        flags=(*framed.flags, *doubts, *flags),
        catalog=estimate.catalog,
        contract=estimate.contract,
        lines=lines(charge.lines),
        list_pico=charge.list_pico,
        net_pico=charge.net_pico,
        price_status=charge.status,
    )


def ended(framed: Entry, ending: Ending) -> Entry:
    """The final entry."""
    reading, counts = ending.reading, ending.counts
    under, charge = ending.rated.circumstances, ending.rated.charge
    raw, dropped = _kept(reading.usage_raw)
    return msgspec.structs.replace(
        framed,
        kind=ending.kind,
        booked_us=ending.booked_us,
        model=under.model,
        served_model=_storable(reading.model),
        scope=under.scope,
        geo=under.geo,
        region=_storable(under.region),
        tier=_fit(under.tier),
        status=ending.status,
        outcome=ending.outcome,
        provenance=str(ending.used.provenance),
        lines=lines(charge.lines),
        list_pico=charge.list_pico,
        net_pico=charge.net_pico,
        price_status=charge.status,
        catalog=ending.rated.catalog,
        contract=ending.rated.contract,
        counted_output=None if counts is None or counts.output is None else counts.output.tokens,
        count_confidence=None if counts is None else str(counts.confidence()),
        provider_total=booking.main_total(ending.used.components),
        usage_raw=raw,
        flags=_flags(ending, dropped),
        first_byte_ms=ending.first_byte_ms,
        total_ms=ending.total_us // 1000,
        provider_request_id=_storable(ending.served.provider_request_id),
    )


def _flags(ending: Ending, dropped: tuple[str, ...]) -> tuple[str, ...]:
    """Everything that was odd, in the order in which it was found, each once."""
    reading = ending.reading
    found = (*ending.flags, *reading.flags, *ending.served.flags)
    if not reading.balances():
        found = (*found, "unbalanced")
    if are_several(ending.used.components):
        found = (*found, SEVERAL_PARTS)
    found = (*found, *ending.rated.flags, *dropped)
    return tuple(dict.fromkeys(found)) if found else ()


def _storable(said: str | None) -> str | None:
    """A name in others' words, fit for every encoder and database."""
    if said is None or (len(said) <= TEXT_CHARS_MAX and said.isprintable()):
        return said
    return _fit(said)


def _fit(text: str) -> str:
    """Bounded, without NUL, and without halves of surrogate pairs."""
    if len(text) <= TEXT_CHARS_MAX and text.isprintable():
        return text
    bounded = text[:TEXT_CHARS_MAX].replace("\0", "?")
    return bounded.encode("utf-8", "replace").decode()


def _kept(raw: bytes | None) -> tuple[str | None, tuple[str, ...]]:
    """The provider's usage as the row keeps it, and a flag where it is too large for that."""
    if raw is None:
        return None, ()
    if len(raw) > USAGE_RAW_BYTES_MAX:
        return None, ("usage_raw_dropped",)
    return raw.decode("utf-8", "replace"), ()


def lines(charged: tuple[Line, ...]) -> tuple[Line, ...]:
    """A charge's lines as the ledger keeps them: where a provider named a line's model, in words that fit it."""
    for line in charged:
        if line.model is not None:
            return tuple([_named(each) for each in charged])
    return charged


def _named(line: Line) -> Line:
    return msgspec.structs.replace(line, model=_storable(line.model))


def created(entry: Entry, settles: str) -> Entry:
    """The row of deferred work's creation: it costs nothing and says to whom the usage will belong."""
    return msgspec.structs.replace(
        entry, settles=settles, lines=(), list_pico=0, net_pico=0, price_status="free"
    )


def deferred(entry: Entry, settles: str, creator: Entry | None) -> Entry:
    """The once-only row of deferred work's usage, charged to whoever created it."""
    if creator is None:
        flags = (*entry.flags, "creator_unknown")
        return msgspec.structs.replace(entry, settles=settles, flags=flags)
    return msgspec.structs.replace(
        entry,
        settles=settles,
        org=creator.org,
        team=creator.team,
        user=creator.user,
        cost_centre=creator.cost_centre,
        app=creator.app,
        key_id=creator.key_id,
        tags=creator.tags,
    )


def silent(entry: Entry) -> Entry:
    """The row of deferred work that has ended and does not say what it used: at cost zero, to be looked up."""
    return msgspec.structs.replace(
        entry,
        kind=EntryKind.UNCONFIRMED,
        lines=(),
        list_pico=0,
        net_pico=0,
        price_status="free",
        flags=(*entry.flags, "usage_unsaid"),
    )
