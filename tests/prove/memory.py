"""The database is away while 100,000 rows arrive: memory stays bounded, and every row is booked after (LQ-S7).

Also the negative control: the same truth kept in a queue in memory loses what a kill finds in it.
"""

import asyncio
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple
from uuid import UUID

import orjson

from gateway.jobs.flush import Flusher
from gateway.kernel.errors import Unavailable
from gateway.ledger.entry import Entry
from gateway.storage.backlog import Pending
from gateway.storage.engine import Database
from gateway.storage.ledger import Ledger
from gateway.storage.migrate import upgrade
from gateway.storage.spool import Spool
from tests.faults.test_spool_kill import Round, Silent, run_rounds, settle_up, work_in_memory
from tests.storage.conftest import make_entry

AT_ONCE = 200
GROWN_MIB_MAX = 64


class Bounded(NamedTuple):
    """``grown_mib``: of resident memory while the rows arrived; ``booked``: rows in the ledger after."""

    rows: int
    booked: int
    grown_mib: int
    journal_mib: int
    drained_s: float
    is_sound: bool

    @property
    def breaches(self) -> int:
        return (self.rows != self.booked) + (self.grown_mib > GROWN_MIB_MAX) + (not self.is_sound)


class Away:
    """Books that are away until told otherwise."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self.is_away = True

    async def append(self, entries: Iterable[Entry]) -> int:
        if self.is_away:
            raise Unavailable("away")
        return await self._ledger.append(entries)

    async def quarantine(self, record_id: UUID, reason: str, record: bytes) -> None:
        await self._ledger.quarantine(record_id, reason, record)


def proved(rows: int) -> Bounded:
    """So many rows, in a process of its own, whose memory nobody else has used before."""
    command = [sys.executable, "-m", "tests.prove.memory", str(rows)]
    out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return Bounded(*orjson.loads(out))


async def measured(rows: int, folder: Path) -> Bounded:
    """Settle ``rows`` with nobody booking them, then book them."""
    url = f"sqlite:///{folder / 'ledger.db'}"
    await asyncio.to_thread(upgrade, url)
    database = Database(url)
    away = Away(Ledger(database))
    spool = Spool(folder / "spool")
    flusher: Flusher[Pending] = Flusher(spool, away, Silent())
    await _settled(spool, 10 * AT_ONCE)
    before = _rss_mib()
    async with asyncio.TaskGroup() as group:
        running = group.create_task(flusher.run())
        await _settled(spool, rows - 10 * AT_ONCE)
        running.cancel()
    grown, journal = _rss_mib() - before, spool.bytes_on_disk // 2**20
    away.is_away = False
    began = time.monotonic()
    await flusher.drain()
    drained_s = time.monotonic() - began
    verification = await away._ledger.verify()
    spool.close()
    await database.close()
    return Bounded(rows, verification.entries, grown, journal, drained_s, verification.is_sound)


async def _settled(spool: Spool, count: int) -> None:
    for _ in range(count // AT_ONCE):
        entries = [make_entry() for _ in range(AT_ONCE)]
        for one in entries:
            spool.intent(one)
        await asyncio.gather(*(spool.settle(one) for one in entries))


def _rss_mib() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 // 2**20


def lost_by_a_queue_in_memory(kills: int) -> int:
    """LQ-S3: were this 0, the harness would be blind."""
    with tempfile.TemporaryDirectory(prefix="wb-prove-") as folder:
        rounds = Round(Path(folder), work_in_memory, 7)
        run_rounds(rounds, kills, 7)
        rounds.spools.mkdir()
        rows = asyncio.run(settle_up(rounds))
        return len(set(rounds.said()["finished"]) - {str(row.id) for row in rows})


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="wb-prove-") as folder:
        found = asyncio.run(measured(int(sys.argv[1]), Path(folder)))
    sys.stdout.write(orjson.dumps(list(found)).decode())


if __name__ == "__main__":
    main()
