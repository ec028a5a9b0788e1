"""The jobs between spool and database: nothing lost, nothing twice, never the end of the loop."""

import asyncio
import zlib
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from gateway.jobs import flush, reload
from gateway.jobs.adopt import Adopter, Damaged
from gateway.jobs.flush import BATCH_MAX, Flusher
from gateway.jobs.months import Keeper, StrayRows
from gateway.jobs.reload import Reloader
from gateway.jobs.supervise import forever
from gateway.kernel.errors import Unavailable
from gateway.kernel.ids import new_id
from gateway.ledger.entry import Entry, EntryKind
from gateway.storage.backlog import Pending
from gateway.storage.engine import Database
from gateway.storage.ledger import Ledger
from gateway.storage.orphans import orphans
from gateway.storage.partitions import Partitions
from gateway.storage.spool import Spool

pytestmark = pytest.mark.anyio
Make = Callable[..., Entry]


class Moody:
    """Books that are away for a while: before a commit, or (worse) just after it."""

    def __init__(self, ledger: Ledger, failures: int, *, after_commit: bool = False) -> None:
        self._ledger = ledger
        self._failures = failures
        self._after_commit = after_commit
        self.calls = 0

    async def append(self, entries: Iterable[Entry]) -> int:
        self.calls += 1
        fails = self.calls <= self._failures
        if fails and not self._after_commit:
            raise Unavailable("away")
        booked = await self._ledger.append(entries)
        if fails:
            raise Unavailable("the connection broke before the answer came")
        return booked

    async def quarantine(self, record_id: UUID, reason: str, record: bytes) -> None:
        await self._ledger.quarantine(record_id, reason, record)


@pytest.fixture
async def spool(tmp_path: Path, observer: Any) -> AsyncIterator[Spool]:
    made = Spool(tmp_path / "spool", observer=observer)
    yield made
    made.close()


async def until(condition: Callable[[], bool]) -> None:
    for _ in range(1_000):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it never came to that")


async def fill(spool: Spool, make: Make, count: int) -> list[Entry]:
    entries = [make() for _ in range(count)]
    async with asyncio.TaskGroup() as group:
        for one in entries:
            spool.intent(one)
            group.create_task(spool.settle(one))
    return entries


@pytest.mark.parametrize("after_commit", [False, True])
async def test_a_commit_that_fails_ten_times_loses_and_doubles_nothing(
    spool: Spool, ledger: Ledger, entry: Make, observer: Any, *, after_commit: bool
) -> None:
    await fill(spool, entry, 50)
    flusher: Flusher[Pending] = Flusher(
        spool, Moody(ledger, 10, after_commit=after_commit), observer
    )
    for _ in range(10):
        with pytest.raises(Unavailable):
            await flusher.flush()
    assert spool.unflushed == 50
    assert await flusher.drain() == 0
    verification = await ledger.verify()
    assert (verification.is_sound, verification.entries) == (True, 50)


async def test_more_than_a_batch_is_flushed_without_a_pause(
    spool: Spool, ledger: Ledger, entry: Make, observer: Any
) -> None:
    await fill(spool, entry, BATCH_MAX + 10)
    flusher: Flusher[Pending] = Flusher(spool, ledger, observer)
    assert [await flusher._step(), await flusher._step()] == [0, flush.PAUSE_MS]
    assert (await ledger.verify()).entries == BATCH_MAX + 10


async def test_the_flusher_runs_until_it_is_cancelled_and_drains_the_rest(
    spool: Spool, ledger: Ledger, entry: Make, observer: Any
) -> None:
    flusher: Flusher[Pending] = Flusher(spool, Moody(ledger, 1), observer)
    await fill(spool, entry, 5)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(flusher.run())
        await until(lambda: not spool.unflushed)
        await fill(spool, entry, 5)
        running.cancel()
    assert await flusher.drain() == 0
    assert (await ledger.verify()).entries == 10
    assert observer.names == ["flush"]


async def test_what_cannot_be_drained_stays_on_disk(
    tmp_path: Path, ledger: Ledger, entry: Make, observer: Any
) -> None:
    leaving = Spool(tmp_path / "spool")
    entries = await fill(leaving, entry, 7)
    away: Flusher[Pending] = Flusher(leaving, Moody(ledger, 99), observer)
    assert await away.drain() == 7
    leaving.close()
    adopter = Adopter(lambda: orphans(tmp_path / "spool", own=""), ledger, observer)
    assert await adopter.adopt() == 1
    assert [row async for row in ledger.usage()] == entries
    assert list((tmp_path / "spool").iterdir()) == []


async def test_orphans_are_adopted_once_however_often_it_is_tried(
    tmp_path: Path, ledger: Ledger, entry: Make, observer: Any
) -> None:
    root = tmp_path / "spool"
    dead = Spool(root)
    await fill(dead, entry, 20)
    silent = entry()
    dead.intent(silent)
    dead.close()
    moody = Adopter(lambda: orphans(root, own=""), Moody(ledger, 1, after_commit=True), observer)
    with pytest.raises(Unavailable):
        await moody.adopt()
    racing = [Adopter(lambda: orphans(root, own=""), ledger, observer) for _ in range(3)]
    assert sum(await asyncio.gather(*(one.adopt() for one in racing))) >= 1
    rows = [row async for row in ledger.usage()]
    assert len(rows) == 21
    assert [row.id for row in rows if row.kind is EntryKind.INTERRUPTED] == [silent.id]
    assert (await ledger.verify()).is_sound
    assert list(root.iterdir()) == []


async def test_a_malformed_record_is_quarantined_and_a_torn_one_reported(
    tmp_path: Path, ledger: Ledger, entry: Make, observer: Any
) -> None:
    root = tmp_path / "spool"
    dead = Spool(root)
    good = await fill(dead, entry, 2)
    (path,) = dead._home.glob("*.seg")
    dead.close()
    with path.open("ab") as file:
        file.write(_record(b'{"from": "another version"}') + b"half a rec")
    await Adopter(lambda: orphans(root, own=""), ledger, observer).adopt()
    assert [row async for row in ledger.usage()] == good
    assert await ledger.quarantined() == 1
    assert [type(error) for _, error in observer.failures] == [Damaged]
    assert list(root.iterdir()) == []


def _record(text: bytes) -> bytes:
    payload = new_id().bytes + text
    head = len(payload).to_bytes(4, "little") + zlib.crc32(payload, 2).to_bytes(4, "little")
    return head + b"\x02" + payload


async def test_the_loop_survives_every_failure_and_says_so(observer: Any) -> None:
    calls: list[int] = []

    async def step() -> int:
        calls.append(1)
        if len(calls) < 4:
            raise ValueError("a bug")
        return 60_000

    async with asyncio.TaskGroup() as group:
        running = group.create_task(forever("step", step, observer, pause_ms=1))
        await until(lambda: len(calls) == 4)
        running.cancel()
    assert observer.names == ["step"] * 3


class Mirror:
    """A snapshot that cannot always be loaded."""

    def __init__(
        self, error: Exception | None = None, *, hangs: bool = False, takes_s: float = 0
    ) -> None:
        self.loads = 0
        self._error = error
        self._takes_s = 600 if hangs else takes_s

    async def refresh(self) -> bool:
        self.loads += 1
        await asyncio.sleep(self._takes_s)
        if self._error is not None:
            raise self._error
        return True


async def test_a_snapshot_that_cannot_be_loaded_does_not_hold_up_the_others(observer: Any) -> None:
    mirrors: Sequence[Mirror] = [Mirror(Unavailable("away")), Mirror(hangs=True), Mirror()]
    async with asyncio.TaskGroup() as group:
        running = group.create_task(Reloader(mirrors, observer).run())
        await until(lambda: all(mirror.loads for mirror in mirrors))
        running.cancel()
    assert observer.names == ["reload"]


async def test_a_snapshot_that_loads_slowly_is_looked_at_again_sooner(
    observer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    reloader, pause_ms = Reloader((), observer), 60_000
    monkeypatch.setattr(reload, "PAUSE_MS", pause_ms)  # other tests shorten it
    pauses = [await reloader.reload(Mirror(takes_s=takes_s)) for takes_s in (0, 0.5)]
    assert 0 < pauses[0] <= pause_ms
    assert 0 < pauses[1] <= pause_ms - 500
    monkeypatch.setattr(reload, "PAUSE_MS", 200)
    assert await reloader.reload(Mirror(takes_s=0.5)) == reload.PAUSE_MS_MIN


async def test_stray_rows_are_reported(
    database: Database, ledger: Ledger, entry: Make, observer: Any, clock: Any
) -> None:
    keeper = Keeper(Partitions(database), clock, observer)
    await keeper.keep()
    assert observer.failures == []
    await ledger.append([entry(id=UUID(int=2**124))])
    await keeper.keep()
    strays = [StrayRows] if database.is_postgres else []
    assert [type(error) for _, error in observer.failures] == strays
