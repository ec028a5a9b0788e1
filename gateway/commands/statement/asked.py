"""A month's statements and summary gathered: from the ledger while it is open, with everything that is said beside.

To add something a statement says: where it is read, in ``_facts``; what it is, in reporting.compose.Facts.
"""

from collections.abc import Container, Iterable, Sequence
from pathlib import Path
from typing import Final, Protocol

import msgspec

from gateway.commands.names import instead
from gateway.commands.output import stop
from gateway.commands.payers import organisation_of, terms_for
from gateway.commands.rosters import roster_in
from gateway.config import Config
from gateway.kernel.clock import SystemClock, instant
from gateway.kernel.money import PICO_PER_NANO, round_cents
from gateway.ledger.currency import USD, Rate, standing
from gateway.ledger.period import day_and_period, period_start_us, previous_period
from gateway.pricing.contract import Contracts
from gateway.quota.budget import MONEY, Budget, Scope
from gateway.reporting.compose import Books, Closing, Facts, composed, summarised
from gateway.reporting.fold import Ledgered, Terms
from gateway.reporting.organisation import SAID_UNALLOCATED, SUMMARY, UNALLOCATED, Organisation
from gateway.reporting.statement import Budgeted, Statement, Summary
from gateway.reporting.tabular import month
from gateway.storage import reporting
from gateway.storage.budgets import BudgetStore
from gateway.storage.closing import ClosingStore
from gateway.storage.costs import CostStore
from gateway.storage.engine import Database

EARLIER_MONTHS: Final = 11
_MONTHS: Final = 12


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What a command was asked for.

    organisation  of a file; None for the one that was imported
    reconciled    how metered and invoiced amounts compare, in words
    books         the price books that the month's rows were charged by
    """

    period: int
    organisation: Organisation | None = None
    share_unallocated: bool | None = None
    reconciled: str = ""
    books: tuple[str, ...] = ()


class Month(Protocol):
    """A month's statements and summary."""

    @property
    def period(self) -> int:
        """Which."""
        ...

    @property
    def codes(self) -> list[str]:
        """Every cost centre that has a statement."""
        ...

    def statement(self, code: str) -> Statement:
        """One cost centre's."""
        ...

    def summary(self) -> Summary:
        """All cost centres'."""
        ...


class KeptMonth:
    """A month as it was kept at the newest step of its close."""

    def __init__(self, period: int, documents: dict[str, bytes]) -> None:
        self.period = period
        self._documents = documents

    @property
    def codes(self) -> list[str]:
        """Every cost centre that has a statement."""
        return sorted(name for name in self._documents if name != SUMMARY)

    def statement(self, code: str) -> Statement:
        """One cost centre's."""
        return msgspec.json.decode(self._documents[code], type=Statement)

    def summary(self) -> Summary:
        """All cost centres'."""
        return msgspec.json.decode(self._documents[SUMMARY], type=Summary)


class LiveMonth:
    """A period of the ledger with everything its statements say; read once, asked for any cost centre."""

    def __init__(self, ledgered: Ledgered, facts: Facts, beside: "_Beside") -> None:
        self.ledgered = ledgered
        self.period = ledgered.period
        self._facts = facts
        self._beside = beside

    @property
    def codes(self) -> list[str]:
        """Every cost centre that has something in the month or is one of the organisation."""
        known = self.ledgered.organisation.centres
        return sorted({*self.ledgered.codes, *known})

    def statement(self, code: str, closing: Closing | None = None) -> Statement:
        """One cost centre's."""
        return composed(self.ledgered, code, self._beside.of(self._facts, code), closing)

    def summary(self, closing: Closing | None = None) -> Summary:
        """All cost centres'."""
        return summarised(self.ledgered, self._facts, closing)


class _Beside(msgspec.Struct, frozen=True):
    """What differs from one cost centre to the next."""

    counted: dict[str, dict[str, int]]
    earlier: tuple[Ledgered, ...]
    kept: dict[int, dict[str, int]]
    budgets: dict[str, Budgeted]

    def of(self, facts: Facts, code: str) -> Facts:
        months = tuple(
            (
                one.period,
                self.kept[one.period].get(code, 0) if one.period in self.kept else one.cents(code),
            )
            for one in self.earlier
        )
        return msgspec.structs.replace(
            facts,
            counted=self.counted.get(code, {}),
            months=months,
            budget=self.budgets.get(code, Budgeted()),
        )


async def gathered(database: Database, config: Config, asked: Asked) -> Month:
    """The month as it was kept, once its close has begun; as the ledger has it, before or where one asks otherwise.

    All of it is of one state of the ledger: rows that come meanwhile are in the whole of it or in nothing.
    """
    async with database.moment() as now:
        return await _gathered(now, config, asked)


async def _gathered(database: Database, config: Config, asked: Asked) -> Month:
    is_plain = asked.organisation is None and asked.share_unallocated is None
    if is_plain:
        store = ClosingStore(database)
        standing = await store.standing(asked.period)
        revision = standing.revision - (0 if standing.is_kept else 1)
        documents = await store.documents(asked.period, revision) if revision else {}
        if documents:
            return KeptMonth(asked.period, documents)
    found = await live(database, config, asked)
    said = unbegun(asked.period, config.org.timezone)
    if said and not found.summary().requests:
        stop(said)
    return found


def unbegun(period: int, zone: str) -> str:
    """That a month lies ahead, '' where it does not: its zeros would look like those of a month without use."""
    start_us = period_start_us(period, zone)
    if start_us <= SystemClock().wall_us():
        return ""
    return f"{month(period)} has not begun: it begins on {instant(start_us):%Y-%m-%d at %H:%M} UTC"


def through_of(period: int, zone: str) -> str:
    """Today, where it lies in a month, which is then not over; else ''."""
    day, running = day_and_period(SystemClock().wall_us(), zone)
    return day if running == period else ""


async def live(database: Database, config: Config, asked: Asked) -> LiveMonth:
    """The month as the ledger has it now; earlier months as they were kept."""
    known = await organisation_of(database, asked.organisation)
    terms = await terms_for(database, config, asked.period, known)
    if asked.share_unallocated is not None:
        terms = msgspec.structs.replace(terms, share_unallocated=asked.share_unallocated)
    found = await reporting.postings(database, asked.period, known.spans())
    ledgered = Ledgered(asked.period, found, known, terms)
    periods = [asked.period]
    for _ in range(EARLIER_MONTHS):
        periods.append(previous_period(periods[-1]))
    history = await reporting.history(database, reversed(periods[1:]), known)
    kept = await _kept(database, history)
    earlier = tuple(
        [
            Ledgered(
                period, sums, known, await _earlier(database, config, terms, period, kept, known)
            )
            for period, sums in history.items()
        ]
    )
    counted = await reporting.counted(database, asked.period, known)
    budgets = budgets_by_centre(await BudgetStore(database).list())
    return LiveMonth(
        ledgered,
        _facts(config, asked, await _rates(database, asked.period)),
        _Beside(counted, earlier, kept, budgets),
    )


async def _earlier(
    database: Database,
    config: Config,
    terms: Terms,
    period: int,
    kept: Container[int],
    known: Organisation,
) -> Terms:
    """The terms of an earlier month; of one that was kept only what was kept is said."""
    shared = () if period in kept else (await terms_for(database, config, period, known)).shared
    return msgspec.structs.replace(terms, shared=shared)


async def _kept(database: Database, periods: Iterable[int]) -> dict[int, dict[str, int]]:
    """Of months whose close has begun, what each cost centre was charged."""
    found = await ClosingStore(database).newest(SUMMARY, periods)
    summaries = {period: msgspec.json.decode(text, type=Summary) for period, text in found.items()}
    return {
        period: {share.centre.code: share.cents for share in made.shares}
        for period, made in summaries.items()
    }


async def _rates(database: Database, period: int) -> dict[str, Rate]:
    """The month's rates, by currency."""
    found = standing(await CostStore(database).rates())
    return {rate.currency: rate for (month, _), rate in found.items() if month == period}


def _facts(config: Config, asked: Asked, rates: dict[str, Rate]) -> Facts:
    wanted = config.statements
    books = Books(
        platform_centre=wanted.platform_centre,
        recharge_account=wanted.recharge_account,
        tax_account=wanted.tax_account,
        account=wanted.account,
    )
    name = wanted.organisation or config.org.name
    return Facts(
        organisation=name,
        rates=rates,
        currency=_invoiced_in(config, asked.period),
        zone=config.org.timezone,
        books=books,
        reconciled=asked.reconciled,
        prices=(f"price book{'s' * (len(asked.books) > 1)} {', '.join(asked.books)}",)
        if asked.books
        else (),
        through=through_of(asked.period, config.org.timezone),
    )


def _invoiced_in(config: Config, period: int) -> str:
    """The currency of the contract that is everybody's, or the organisation's, when the month begins; USD without one.

    A team's own contract says nothing of a cost centre, which may have the use of several teams.
    """
    start_us = period_start_us(period, config.org.timezone)
    found = Contracts(config.contracts).of(config.org.name, "", start_us)
    return USD if found is None else found.contract.currency


def budgets_by_centre(found: Sequence[Budget]) -> dict[str, Budgeted]:
    """The limits over exactly one cost centre, of the month and of the year; a year without its own is twelve months."""
    limits: dict[str, dict[str, int]] = {}
    for budget in found:
        code = budget.scope.cost_centre
        is_whole = budget.scope == Scope(cost_centre=code) and not budget.each
        if code and is_whole and budget.measure in MONEY and budget.window in {"month", "year"}:
            cents = round_cents(budget.limit * PICO_PER_NANO)
            limits.setdefault(code, {}).setdefault(budget.window, cents)
    return {
        code: Budgeted(by.get("month"), by.get("year") or by.get("month", 0) * _MONTHS or None)
        for code, by in limits.items()
    }


def code_of(month_found: Month, cost_centre: str) -> str:
    """The code of a cost centre as people write it; ends with status 2 where there is none such."""
    code = UNALLOCATED if cost_centre == SAID_UNALLOCATED else cost_centre
    if code not in month_found.codes:
        period = month(month_found.period)
        there = {one or "unallocated" for one in month_found.codes}
        shown = instead(cost_centre, there, f"weighbridge chargeback {period}")
        stop(f"cost centre {cost_centre!r} has nothing in {period}{shown}")
    return code


def of_file(path: Path | None) -> Organisation | None:
    """The organisation of a CSV as of ``people import``; None where no file is named."""
    if path is None:
        return None
    roster = roster_in(path)
    return Organisation(roster.centres, roster.assignments)
