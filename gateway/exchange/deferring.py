"""Deferred work (batches): its creation is a row of its own, its usage is booked once, to whoever created it."""

from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from gateway.exchange import booking, entries
from gateway.exchange.ports import Deferred
from gateway.ledger.entry import Entry
from gateway.ledger.reprice import Tariff, by_contract
from gateway.ledger.work import work_name
from gateway.metering.meter import Reading
from gateway.metering.usage import Component
from gateway.providers.contract import Call, Upstream

CREATED_MAX: Final = 1024  # created lately, for who asks before the ledger knows them


class Deferring:
    """Which entry an answer about deferred work becomes. One per worker."""

    def __init__(self, ledger: Deferred, tariff: Callable[[], Tariff]) -> None:
        """``tariff``: what rows are charged by now."""
        self._ledger = ledger
        self._tariff = tariff
        self._created: dict[str, Entry] = {}

    async def entry_of(
        self,
        call: Call,
        upstream: Upstream,
        entry: Entry,
        reading: Reading,
        parts: Sequence[Component],
        creator: Entry | None = None,
    ) -> Entry | None:
        """The row of creation, or the once-only row of usage; None where the answer tells of neither.

        ``parts``: what the entry was charged in. ``creator``: the entry of its creation, where that is known.
        Work that has ended and does not say what it used has an ``unconfirmed`` row, once.
        """
        work = reading.work_id
        if work is None or entry.status >= booking.NOT_AN_ANSWER:
            return None
        key = work_name(entry.provider, upstream.name, work)
        created = self._created
        if call.reserved:
            if len(created) >= CREATED_MAX:
                created.pop(next(iter(created)))
            return created.setdefault(key, entries.created(entry, f"{key}/created"))
        is_silent = reading.work_ended and not reading.final and not reading.is_in_results
        if not is_silent and not (reading.final and reading.components):
            return None
        # Its creation may still be on its way to the ledger.
        creator = creator or created.get(key) or await self._ledger.creator(f"{key}/created")
        if is_silent:
            return entries.silent(entries.deferred(entry, f"{key}/silent", creator))
        theirs = entries.deferred(entry, f"{key}/usage", creator)
        made = by_contract(theirs, parts, self._tariff())
        return msgspec.structs.replace(made, lines=entries.lines(made.lines))
