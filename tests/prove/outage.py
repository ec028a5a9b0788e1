"""The database is away: everything is served, nothing is lost, and the backlog is booked in order when it is back."""

import asyncio
import time
from typing import NamedTuple

from gateway.ledger.entry import EntryKind
from tests.faults.gateways import Process, books, process
from tests.prove.books import Verdict, judged
from tests.prove.kills import Place, place
from tests.prove.load import Load

CLIENTS = 6
RATE_PAUSE_S = 0.45  # 6 clients: about 12 calls a second, 20 times 50,000 a day
WARM_S = 2.0
BACKLOG_S_MAX = 60.0


class Outage(NamedTuple):
    """``backlog_s``: from the store's return to the last row."""

    verdict: Verdict
    away_s: float
    served: int
    refused: int
    backlog_s: float
    in_order: bool
    rss_grown_mib: int


def proved(away_s: float) -> Outage:
    """Stop Postgres under load for so long, then start it again."""
    with place("postgres") as where:
        load = Load(where.port, where.key, 1, pause_s=RATE_PAUSE_S)
        with process(where.path, where.port, log=where.folder / "log") as serving:
            served, backlog_s, grown = asyncio.run(_away(where, load, away_s, serving))
        verdict = judged(where.config, where.asked(), load.whole)
        rows = books(where.config).rows
    ids = [row.id for row in rows if row.kind is EntryKind.USAGE]
    return Outage(
        verdict,
        away_s,
        served,
        sum(load.refused.values()) + load.broken,
        backlog_s,
        ids == sorted(ids),
        grown // 2**20,
    )


async def _away(
    where: Place, load: Load, away_s: float, serving: Process
) -> tuple[int, float, int]:
    assert where.store is not None
    async with asyncio.TaskGroup() as group:
        group.create_task(load.run(CLIENTS))
        await asyncio.sleep(WARM_S)
        before, rss = len(load.whole), serving.rss_bytes()
        await asyncio.to_thread(where.store.crash)
        await asyncio.sleep(away_s)
        served, grown = len(load.whole) - before, serving.rss_bytes() - rss
        load.stopping = True
        await asyncio.to_thread(where.store.start)
        began = time.monotonic()
    expected = len(where.asked())
    while time.monotonic() - began < BACKLOG_S_MAX:
        if len((await asyncio.to_thread(books, where.config)).rows) >= expected:
            break
        await asyncio.sleep(0.1)
    return served, time.monotonic() - began, grown
