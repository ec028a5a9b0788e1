"""What statements are folded from: the rollup by span of days, who is counted, which team's keys name whom.

One query per span, so that a month in which nobody moved is two queries (late rows are asked by month). To add
a grain: a column in _GRAIN and a field of reporting.statement.Posting. What begins and ends with a month is
read from the rollup of months, a twentieth of the one of days.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, Final

import sqlalchemy as sa

from gateway.ledger.entry import EntryKind
from gateway.ledger.rollup import REQUEST
from gateway.metering.usage import Provenance
from gateway.reporting.fold import Posting
from gateway.reporting.organisation import BEGINNING, KINDS, Organisation
from gateway.storage.engine import Database
from gateway.storage.queries import halves, whole
from gateway.storage.tables import CHAIN, DAILY, KEY, LEDGER, MONTHLY, ROLLUP_SUMS

_MONTH: Final = len("2026-11")
_WHOLE_MONTHS: Final = (BEGINNING[_MONTH:], "-01")
_GRAIN: Final = ("team", "user", "app", "provider", "model", "unit", "kind")
Spans = Iterable[tuple[str, str | None]]


async def postings(database: Database, period: int, spans: Spans) -> list[Posting]:
    """The period's sums, per span; those of days before the period apart, per month."""
    start = first_day(period)
    found: list[Posting] = []
    async with database.read() as connection:
        for first, until, is_late in _cut(spans, start):
            table, span, within = _rollup(first, until)
            keys = [table.c[name] for name in _GRAIN]
            month = sa.func.substr(span, 1, _MONTH) if is_late else sa.literal("")
            wanted = [table.c.period == period, *within]
            sums = [half for name in ROLLUP_SUMS for half in halves(table.c[name], connection)]
            query = sa.select(month.label("month"), *keys, *sums).where(*wanted)
            query = query.group_by(*keys, *([month] if is_late else []))
            for row in await connection.execute(query):
                names, amounts = tuple(row[1 : len(_GRAIN) + 1]), whole(row[len(_GRAIN) + 1 :])
                # A day that lies in the span and, of late rows, in their month: both say who paid.
                day = max(first, f"{row[0]}-01") if is_late else first
                found.append(Posting(day, is_late, *names, *amounts))
    return found


async def counted(
    database: Database, period: int, organisation: Organisation
) -> dict[str, dict[str, int]]:
    """Cost centre → provenance → the period's requests that have no final report of the provider."""
    found: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    start = first_day(period)
    keys = _subjects(LEDGER, organisation)
    async with database.read() as connection:
        for first, until, is_late in _cut(organisation.spans(), start):
            if is_late:
                continue
            wanted = [LEDGER.c.period == period, *_days(LEDGER.c.day, first, until)]
            kinds = LEDGER.c.kind.in_(("usage", "interrupted", "unconfirmed"))
            # As the index of these rows has it, to the letter: a bound value would not be recognised.
            unreported = LEDGER.c.provenance != sa.bindparam(
                None, Provenance.REPORTED.value, literal_execute=True
            )
            said = LEDGER.c.provenance
            query = sa.select(*keys, said, sa.func.count()).where(*wanted, kinds, unreported)
            for *names, how, count in await connection.execute(query.group_by(*keys, said)):
                found[_payer(organisation, names, first)][how] += int(count)
    return {code: dict(sorted(counts.items())) for code, counts in found.items()}


async def key_centres(database: Database) -> dict[str, str]:
    """Team → the cost centre its keys name, where all of them name the same one."""
    found: dict[str, set[str | None]] = defaultdict(set)
    async with database.read() as connection:
        query = sa.select(KEY.c.team, KEY.c.cost_centre).distinct()
        for team, centre in await connection.execute(query):
            found[team].add(centre)
    return {team: one for team, names in found.items() if len(names) == 1 for one in names if one}


async def history(
    database: Database, periods: Iterable[int], organisation: Organisation
) -> dict[int, list[Posting]]:
    """Of each period, what its subjects were charged per span: enough for the amounts of earlier months."""
    found: dict[int, list[Posting]] = {period: [] for period in periods}
    async with database.read() as connection:
        for first, until in organisation.spans():
            table, _, within = _rollup(first, until)
            keys = [table.c.period, *_subjects(table, organisation)]
            wanted = [table.c.period.in_(list(found)), *within]
            query = sa.select(*keys, *halves(table.c.net_pico, connection)).where(*wanted)
            for row in await connection.execute(query.group_by(*keys)):
                period, names, net = row[0], row[1 : len(keys)], whole(row[len(keys) :])[0]
                user, app, team = _named(organisation, names)
                kind = EntryKind.USAGE.value
                late = first < first_day(period)
                found[period].append(
                    Posting(first, late, team, user, app, "", "", "", kind, 0, 0, 0, net)
                )
    return found


async def requests_of(database: Database, period: int) -> int:
    """How many requests a period has, from the rollup; its rows are more: attempts and corrections have rows, too."""
    count = sa.func.sum(MONTHLY.c.quantity)
    query = sa.select(count).where(MONTHLY.c.period == period, MONTHLY.c.unit == REQUEST)
    async with database.read() as connection:
        return int(await connection.scalar(query) or 0)


async def chain_head(database: Database) -> tuple[int, bytes]:
    """The newest link of the digest chain and its digest; (0, b'') of an empty ledger."""
    query = sa.select(CHAIN.c.seq, CHAIN.c.digest).order_by(CHAIN.c.seq.desc()).limit(1)
    async with database.read() as connection:
        row = (await connection.execute(query)).one_or_none()
    return (0, b"") if row is None else (row.seq, bytes(row.digest))


def first_day(period: int) -> str:
    """202610 → '2026-10-01'."""
    return f"{period // 100}-{period % 100:02}-01"


def _subjects(table: sa.Table, organisation: Organisation) -> list[sa.Column[Any]]:
    """The columns that decide who pays: no more than are assigned, since each multiplies the rows."""
    return [table.c[kind] for kind in KINDS if kind in organisation.grain]


def _named(organisation: Organisation, names: Sequence[Any]) -> tuple[str, ...]:
    """User, app and team of a row's ``_subjects``; '' for what was not asked."""
    asked = [kind for kind in KINDS if kind in organisation.grain]
    found = dict(zip(asked, names, strict=True))
    return tuple([found.get(kind) or "" for kind in KINDS])


def _payer(organisation: Organisation, names: Sequence[Any], day: str) -> str:
    user, app, team = _named(organisation, names)
    return organisation.centre_of(team, day, user=user, app=app)


def _cut(spans: Spans, start: str) -> list[tuple[str, str | None, bool]]:
    """The spans, cut where the period starts: those before it are of late rows."""
    cut: list[tuple[str, str | None, bool]] = []
    for first, until in spans:
        if first < start and (until is None or until > start):
            cut += [(first, start, True), (start, until, False)]
        else:
            cut.append((first, until, first < start))
    return cut


def _rollup(
    first: str, until: str | None
) -> tuple[sa.Table, sa.Column[Any], list[sa.ColumnElement[bool]]]:
    """The smallest rollup that can be cut at these days, its column of days or months, and the cut."""
    if all(day is None or day[_MONTH:] in _WHOLE_MONTHS for day in (first, until)):
        month = MONTHLY.c.month
        return MONTHLY, month, _days(month, first[:_MONTH], until and until[:_MONTH])
    return DAILY, DAILY.c.day, _days(DAILY.c.day, first, until)


def _days(column: sa.Column[Any], first: str, until: str | None) -> list[sa.ColumnElement[bool]]:
    return [column >= first] + ([] if until is None else [column < until])
