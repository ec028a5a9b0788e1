"""What statements are folded from: the rollup by span of days, who is counted, which team's keys name whom.

One query per span, so that a month in which nobody moved is one query. To add a grain: a column in _GRAIN
and a field of reporting.statement.Posting.
"""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any, Final

import sqlalchemy as sa

from gateway.ledger.entry import EntryKind
from gateway.metering.usage import Provenance
from gateway.reporting.organisation import Organisation
from gateway.reporting.statement import Posting
from gateway.storage.engine import Database
from gateway.storage.queries import halves, whole
from gateway.storage.tables import DAILY, KEY, LEDGER, ROLLUP_SUMS

_GRAIN: Final = ("team", "user", "app", "provider", "model", "unit", "kind")


async def postings(
    database: Database, period: int, spans: Iterable[tuple[str, str | None]]
) -> list[Posting]:
    """The period's sums, per span and apart for days before the period."""
    start = f"{period // 100}-{period % 100:02}-01"
    found: list[Posting] = []
    async with database.read() as connection:
        for first, until, is_late in _cut(spans, start):
            keys = [DAILY.c[name] for name in _GRAIN]
            sums = [half for name in ROLLUP_SUMS for half in halves(DAILY.c[name], connection)]
            wanted = [DAILY.c.period == period, *_days(DAILY.c.day, first, until)]
            query = sa.select(*keys, *sums).where(*wanted).group_by(*keys)
            for row in await connection.execute(query):
                names, amounts = tuple(row[: len(_GRAIN)]), whole(row[len(_GRAIN) :])
                found.append(Posting(first, is_late, *names, *amounts))
    return found


async def counted(database: Database, period: int, organisation: Organisation) -> dict[str, int]:
    """Cost centre → the period's requests whose tokens the provider did not report to the end."""
    found: dict[str, int] = defaultdict(int)
    start = f"{period // 100}-{period % 100:02}-01"
    async with database.read() as connection:
        for first, until, is_late in _cut(organisation.spans(), start):
            if is_late:
                continue
            wanted = [LEDGER.c.period == period, *_days(LEDGER.c.day, first, until)]
            kinds = LEDGER.c.kind.in_(("usage", "interrupted"))
            unreported = LEDGER.c.provenance != Provenance.REPORTED.value
            query = (
                sa.select(LEDGER.c.team, sa.func.count())
                .where(*wanted, kinds, unreported)
                .group_by(LEDGER.c.team)
            )
            for team, count in await connection.execute(query):
                found[organisation.centre_of(team, first)] += int(count)
    return dict(found)


async def key_centres(database: Database) -> dict[str, str]:
    """Team → the cost centre its keys name, where all of them name the same one."""
    found: dict[str, set[str | None]] = defaultdict(set)
    async with database.read() as connection:
        query = sa.select(KEY.c.team, KEY.c.cost_centre).distinct()
        for team, centre in await connection.execute(query):
            found[team].add(centre)
    return {team: one for team, names in found.items() if len(names) == 1 for one in names if one}


def _cut(spans: Iterable[tuple[str, str | None]], start: str) -> list[tuple[str, str | None, bool]]:
    """The spans, cut where the period starts: those before it are of late rows."""
    cut: list[tuple[str, str | None, bool]] = []
    for first, until in spans:
        if first < start and (until is None or until > start):
            cut += [(first, start, True), (start, until, False)]
        else:
            cut.append((first, until, first < start))
    return cut


def _days(column: sa.Column[Any], first: str, until: str | None) -> list[sa.ColumnElement[bool]]:
    return [column >= first] + ([] if until is None else [column < until])


async def history(
    database: Database, periods: Iterable[int], spans: Iterable[tuple[str, str | None]]
) -> dict[int, list[Posting]]:
    """Of each period, what its teams were charged per span: enough for the amounts of earlier months."""
    found: dict[int, list[Posting]] = {period: [] for period in periods}
    async with database.read() as connection:
        for first, until in spans:
            keys = [DAILY.c.period, DAILY.c.team]
            wanted = [DAILY.c.period.in_(list(found)), *_days(DAILY.c.day, first, until)]
            query = sa.select(*keys, *halves(DAILY.c.net_pico, connection)).where(*wanted)
            for period, team, *parts in await connection.execute(query.group_by(*keys)):
                net = whole(parts)[0]
                names = (team, "", "", "", "", "", EntryKind.USAGE.value)
                found[period].append(Posting(first, False, *names, 0, 0, 0, net))  # noqa: FBT003  # not apart
    return found
