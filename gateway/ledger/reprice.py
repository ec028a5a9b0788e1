"""Re-rating: what a booked row would be charged by another book or contract, as a row of differences.

A row stands as it and its corrections say together. Its quantities and facts are never questioned, only its
prices: so the differences sum to nothing in quantity, unless a line's price is of another model now.
"""

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Final

import msgspec

from gateway.kernel.ids import reprice_id
from gateway.ledger.adjust import deltas, under
from gateway.ledger.entry import FAILED_OVER, Entry, EntryKind, Line
from gateway.ledger.parts import components, facts_of, proved
from gateway.ledger.rollup import ADJUSTS_UNPRICED, PRICED, standing_unpriced
from gateway.ledger.validity import total
from gateway.metering.usage import Component
from gateway.pricing.book import Book
from gateway.pricing.contract import NONE, Contracts
from gateway.pricing.dimensions import GLOBAL, Circumstances
from gateway.pricing.rate import Charge, Status, context_tier, rate_components

SPILLED_OVER: Final = "spilled_over"
_STATUSES: Final = frozenset({Status.PARTIAL, Status.UNPRICED, Status.AMBIGUOUS})


class PartsUnproved(ValueError):
    """A row used in several parts whose prices depend on how long each was, which its lines do not prove."""


class Tariff(msgspec.Struct, frozen=True):
    """What rows are charged by now.

    spill  deployment's wire name and upstream → the scope behind the provisioned capacity there
    """

    book: Book
    contracts: Contracts = NONE
    spill: dict[tuple[str, str], str] = {}


def repriced(
    row: Entry, corrections: Sequence[Entry], tariff: Tariff, now_us: int
) -> tuple[Entry, ...]:
    """The entries that, added to a row and its corrections, give what the tariff says; () where they say so already.

    One takes back what had no price, one holds the amounts: unknown and known do not add up in one row. Ids
    derive from the row, what it is charged by, and how often it was corrected: run twice, they are booked once.
    They are of the row's own day and period; the ledger moves them where that takes no more rows. Raises
    PartsUnproved where what the row was charged in cannot be told (``parts.proved``).
    """
    if any(one.kind is EntryKind.REVERSAL for one in corrections):
        return ()
    # The newest is the last word, also where a clock stepped back since: it is booked behind all of them.
    now_us = max([now_us, *(one.booked_us + 1 for one in (row, *corrections))])
    ordered = sorted(corrections, key=lambda one: (one.booked_us, one.id))
    facts = facts_of(row, corrections)
    bargain = tariff.contracts.of(row.org, row.team, row.occurred_us)
    at = circumstances_of(facts, tariff)
    if not proved(facts, row, partial(context_tier, tariff.book, at)):
        raise PartsUnproved(str(row.id))
    charge = rate_components(tariff.book, at, components(facts, row), bargain)
    true = _charged(facts, at.model, charge)
    stands = _stands(facts, (row, *ordered))
    found = deltas(stands, true)
    known = tuple(line for line in found if None not in {line.list_pico, line.net_pico})
    unknown = tuple(line for line in found if None in {line.list_pico, line.net_pico})
    # The truth of an estimate may have come since, unpriced, in the very lines that were charged again by then.
    if not found and not (ordered and _miscounted((row, *ordered), true)):
        return ()
    contract = None if bargain is None else bargain.id
    version = f"{tariff.book.catalog}/{contract or ''}/{len(ordered)}"
    made = msgspec.structs.replace(true, catalog=tariff.book.catalog, contract=contract)
    first = _difference(row, made, known or unknown, version, now_us)
    first = msgspec.structs.replace(first, flags=_flags((row, *ordered), true))
    if not (known and unknown):
        return (first,)
    back = _difference(row, made, unknown, f"{version}/unpriced", now_us)
    return first, msgspec.structs.replace(back, price_status=str(Status.FREE))


def by_contract(entry: Entry, parts: Sequence[Component], tariff: Tariff) -> Entry:
    """An entry that is not booked yet, its net by the contract of whom it is charged to.

    Deferred work is asked for by somebody (or by the gateway itself), and charged to whoever created it.
    ``parts``: what the entry was charged in; its lines alone need not prove it.
    """
    bargain = tariff.contracts.of(entry.org, entry.team, entry.occurred_us)
    contract = None if bargain is None else bargain.id
    if contract == entry.contract or not entry.lines:
        return entry
    charge = rate_components(tariff.book, circumstances_of(entry, tariff), parts, bargain)
    return msgspec.structs.replace(
        _charged(entry, entry.model, charge),
        list_pico=charge.list_pico,
        net_pico=charge.net_pico,
        catalog=tariff.book.catalog,
        contract=contract,
    )


def circumstances_of(entry: Entry, tariff: Tariff) -> Circumstances:
    """Under what a booked row is priced: as it says, its model by the book's names of today."""
    book = tariff.book
    names = [name for name in (entry.model, entry.served_model, entry.deployment) if name]
    model = entry.model
    if model not in book.models(entry.provider):
        model = book.canonical(entry.provider, names) or model
    paid = entry.price_status == Status.ZERO_MARGINAL
    return Circumstances(
        provider=entry.provider,
        model=model,
        scope=entry.scope,
        at_us=entry.occurred_us,
        geo=entry.geo,
        region=entry.region,
        tier=entry.tier,
        provisioned=True if paid else (False if SPILLED_OVER in entry.flags else None),
        shadow_scope=tariff.spill.get((entry.deployment or "", entry.upstream), GLOBAL),
    )


def _stands(facts: Entry, entries: Iterable[Entry]) -> Entry:
    """A row with its corrections, as one."""
    lines = tuple(line for entry in entries for line in under(entry, facts.model))
    return msgspec.structs.replace(facts, lines=lines)


def _charged(facts: Entry, model: str | None, charge: Charge) -> Entry:
    return msgspec.structs.replace(
        facts, model=model, lines=charge.lines, price_status=str(charge.status)
    )


def _difference(
    row: Entry, true: Entry, lines: tuple[Line, ...], version: str, now_us: int
) -> Entry:
    return msgspec.structs.replace(
        true,
        id=reprice_id(row.id, version),
        kind=EntryKind.REPRICE,
        ref_id=row.id,
        booked_us=now_us,
        day=row.day,
        period=row.period,
        lines=lines,
        list_pico=total([line.list_pico for line in lines]),
        net_pico=total([line.net_pico for line in lines]),
        flags=(),
        usage_raw=None,
        counted_input=None,
        counted_output=None,
        count_confidence=None,
        provider_total=None,
        first_byte_ms=None,
        total_ms=None,
        settles=None,
    )


def _flags(stands: Sequence[Entry], true: Entry) -> tuple[str, ...]:
    """That the row counts as one without a whole price so far, and what it lacks itself."""
    before = (ADJUSTS_UNPRICED,) if standing_unpriced(stands) > 0 else ()
    after = (
        (FAILED_OVER,) if FAILED_OVER in stands[0].flags else ()
    )  # whose next attempt counts the request
    return (*before, *([true.price_status] if true.price_status in _STATUSES else []), *after)


def _miscounted(stands: Sequence[Entry], true: Entry) -> bool:
    """Whether the row counts as one without a whole price and has one now, or the other way round."""
    counts = FAILED_OVER not in stands[0].flags
    return standing_unpriced(stands) != int(counts and true.price_status not in PRICED)
