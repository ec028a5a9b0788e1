"""The spool: an intent survives a kill, a settlement a power cut, and a bad disk loses nothing quietly."""

import asyncio
import errno
import os
import resource
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from gateway.kernel.errors import SpoolFull
from gateway.ledger.entry import Entry, EntryKind
from gateway.storage import backlog, spool as spool_module
from gateway.storage.disk import Disk
from gateway.storage.orphans import Malformed, Survey, orphans, survey
from gateway.storage.segment import Kind, packed
from gateway.storage.spool import LAID_BYTES_MAX, SEGMENT_NS_MAX, Spool

pytestmark = pytest.mark.anyio
Make = Callable[..., Entry]


class BadDisk(Disk):
    """A disk with room for so many bytes, that fails to sync on demand, and says what it was asked."""

    def __init__(self) -> None:
        self.room = 10**9
        self.sync_error: OSError | None = None
        self.cannot_truncate = False

    def write(self, fd: int, record: bytes, at: int) -> int:
        if not self.room:
            raise OSError(errno.ENOSPC, "no space")
        taken = super().write(fd, record[: self.room], at)
        self.room -= taken
        return taken

    def lay(self, fd: int, size: int, at: int) -> int:
        """Zeros take no room of its own: where there is little, there is none for them."""
        if size > self.room:
            raise OSError(errno.ENOSPC, "no space")
        return super().lay(fd, size, at)

    def truncate(self, fd: int, size: int) -> None:
        if self.cannot_truncate:
            raise OSError(errno.EIO, "no")
        super().truncate(fd, size)

    def sync(self, fd: int) -> None:
        if self.sync_error is not None:
            error, self.sync_error = self.sync_error, None  # as Linux does: reported once
            raise error
        super().sync(fd)


@pytest.fixture
def disk() -> BadDisk:
    return BadDisk()


@pytest.fixture
def spool(tmp_path: Path, disk: BadDisk, clock: Any, observer: Any) -> Iterator[Spool]:
    made = Spool(tmp_path, clock=clock, observer=observer, disk=disk)
    yield made
    made.close()


def died(spool: Spool) -> None:
    """What a kill -9 leaves: the files as they are, and a free lock."""
    spool._syncer.close()
    for fd in (spool._lock, *(segment.fd for segment in spool._segments)):
        os.close(fd)
    spool._is_closed = True


def adopted(root: Path) -> list[Entry | Malformed]:
    """What an adopter would book, directory by directory; nothing is removed."""
    found: list[Entry | Malformed] = []
    for orphan in orphans(root, own=""):
        for batch in orphan.batches(100):
            found += batch
        orphan.release()
    return found


def left(root: Path) -> list[str]:
    return [path.name for path in root.iterdir()]


def flush(spool: Spool) -> list[Entry]:
    """Take and mark everything, as a flusher with a perfect database."""
    done: list[Entry] = []
    while batch := spool.take(100):
        done += [pending.entry for pending in batch]
        spool.flushed(batch)
    return done


def segments(spool: Spool) -> list[str]:
    return sorted(path.name for path in spool._home.glob("*.seg"))


async def test_settled_entries_come_out_in_order_and_leave_nothing(
    tmp_path: Path, spool: Spool, entry: Make
) -> None:
    entries = [entry() for _ in range(20)]
    for one in entries:
        spool.intent(one)
        await spool.settle(one)
    assert (spool.settled_durable, spool.unflushed, spool.open_intents) == (20, 20, 0)
    assert flush(spool) == entries
    spool.close()
    assert left(tmp_path) == []
    with pytest.raises(SpoolFull):
        spool.intent(entries[0])


async def test_a_group_shares_its_syncs(spool: Spool, entry: Make) -> None:
    async with asyncio.TaskGroup() as group:
        for _ in range(1_000):
            group.create_task(spool.settle(entry()))
    assert spool.settled_durable == 1_000
    assert spool.syncs <= 50


async def test_a_cancelled_wait_does_not_take_the_entry_back(spool: Spool, entry: Make) -> None:
    one, two = entry(), entry()
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(spool.settle(one))
        await asyncio.sleep(0)
        waiting.cancel()
    await spool.settle(two)
    assert flush(spool) == [one, two]


async def test_a_dead_worker_leaves_what_it_sent_and_what_it_settled(
    tmp_path: Path, entry: Make
) -> None:
    dead = Spool(tmp_path)
    settled, voided, silent = entry(), entry(), entry(lines=(), list_pico=None, net_pico=None)
    for one in (settled, voided, silent):
        dead.intent(one)
    await dead.settle(settled)
    dead.void(voided.id)
    died(dead)
    booked = adopted(tmp_path)
    assert booked[0] == settled
    (interrupted,) = booked[1:]
    assert isinstance(interrupted, Entry)
    assert (interrupted.id, interrupted.kind) == (silent.id, EntryKind.INTERRUPTED)
    assert interrupted.outcome == "interrupted"


async def test_a_living_worker_is_not_adopted(tmp_path: Path, spool: Spool, entry: Make) -> None:
    spool.intent(entry())
    assert adopted(tmp_path) == []


async def test_segments_go_once_flushed_and_open_intents_move_on(
    tmp_path: Path, spool: Spool, entry: Make, clock: Any
) -> None:
    long, voided = entry(), entry()
    spool.intent(long)
    for round_ in range(1, 6):
        spool.intent(voided)
        spool.void(voided.id)
        await spool.settle(entry())
        clock.us += SEGMENT_NS_MAX // 1000
        flush(spool)
        await spool.settle(entry())  # lets the copy of the intent become durable
        flush(spool)
        assert segments(spool) == [f"{round_ + 1:08d}.seg"]
    died(spool)
    kinds = [(one.id, one.kind) for one in adopted(tmp_path) if isinstance(one, Entry)]
    assert kinds[-1] == (long.id, EntryKind.INTERRUPTED)
    assert [kind for _, kind in kinds[:-1]] == [EntryKind.USAGE]  # flushed: a replay


async def test_an_aged_spool_without_open_intents_is_empty(
    spool: Spool, entry: Make, clock: Any
) -> None:
    await spool.settle(entry())
    flush(spool)
    assert len(segments(spool)) == 1
    clock.us += SEGMENT_NS_MAX // 1000
    spool.flushed(())
    assert (segments(spool), spool.bytes_on_disk, spool.lag_ns) == ([], 0, 0)


async def test_segments_roll_at_their_size(
    spool: Spool, entry: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool_module, "SEGMENT_BYTES_MAX", 5_000)
    entries = [entry() for _ in range(30)]
    for one in entries:
        await spool.settle(one)
    assert len(segments(spool)) > 5
    assert flush(spool) == entries
    assert len(segments(spool)) == 1


async def test_an_outage_costs_no_memory_and_keeps_the_order(
    spool: Spool, entry: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool_module, "SEGMENT_BYTES_MAX", 20_000)
    monkeypatch.setattr(backlog, "READY_MAX", 10)
    entries = [entry() for _ in range(120)]
    done: list[Entry] = []
    for number, one in enumerate(entries):
        spool.intent(one)
        await spool.settle(one)
        assert len(spool._backlog._ready) <= 10
        if number % 40 == 39:
            batch = spool.take(7)
            done += [pending.entry for pending in batch]
            spool.flushed(batch)
    done += flush(spool)
    assert done == entries
    assert spool.unflushed == 0
    await spool.settle(entries[0])
    assert flush(spool) == [entries[0]]


async def test_a_full_disk_refuses_intents_and_recovers_by_itself(
    tmp_path: Path, spool: Spool, disk: BadDisk, entry: Make
) -> None:
    first, torn, later = entry(), entry(), entry()
    spool.intent(first)
    disk.room = 100
    with pytest.raises(SpoolFull):
        spool.intent(torn)
    with pytest.raises(SpoolFull):
        spool.intent(torn)
    assert spool.is_accepting
    disk.room = 10**9
    spool.intent(later)
    await spool.settle(later)
    died(spool)
    assert [one.id for one in adopted(tmp_path) if isinstance(one, Entry)] == [later.id, first.id]


async def test_records_lie_in_zeros_so_that_few_syncs_change_a_files_length(
    tmp_path: Path, entry: Make
) -> None:
    class Watched(Disk):
        lengths: set[int]

        def sync(self, fd: int) -> None:
            self.lengths.add(os.fstat(fd).st_size)
            super().sync(fd)

    disk = Watched()
    disk.lengths = set()
    dead = Spool(tmp_path, disk=disk)
    entries = [entry() for _ in range(200)]
    for one in entries:
        await dead.settle(one)
    assert dead.syncs == 200
    assert len(disk.lengths) <= 4
    (path,) = dead._home.glob("*.seg")
    assert dead.bytes_on_disk < path.stat().st_size < dead.bytes_on_disk + 2 * LAID_BYTES_MAX
    died(dead)
    (orphan,) = orphans(tmp_path, own="")
    assert [one for batch in orphan.batches(1000) for one in batch] == entries
    assert orphan.damaged_bytes == 0
    orphan.release()


async def test_without_room_for_zeros_records_are_written_as_long_as_they_fit(
    tmp_path: Path, spool: Spool, disk: BadDisk, entry: Make
) -> None:
    first = entry()
    record = len(packed(Kind.SETTLE, first))
    disk.room = 3 * record + 10
    await spool.settle(first)
    others = [entry() for _ in range(2)]
    for one in others:
        await spool.settle(one)
    with pytest.raises(SpoolFull):
        spool.intent(entry())
    (path,) = spool._home.glob("*.seg")
    assert path.stat().st_size == spool.bytes_on_disk == 3 * record
    died(spool)
    assert adopted(tmp_path) == [first, *others]


async def test_nothing_is_written_behind_half_a_record(
    tmp_path: Path, spool: Spool, disk: BadDisk, entry: Make
) -> None:
    before, torn, after = entry(), entry(), entry()
    await spool.settle(before)
    disk.room, disk.cannot_truncate = 100, True
    with pytest.raises(SpoolFull):
        spool.intent(torn)
    disk.room, disk.cannot_truncate = 10**9, False
    await spool.settle(after)
    assert len(segments(spool)) == 2
    died(spool)
    assert adopted(tmp_path) == [before, after]


async def test_what_finds_no_room_is_booked_by_the_database_itself(
    spool: Spool, disk: BadDisk, entry: Make
) -> None:
    one = entry()
    spool.intent(one)
    disk.room = 0
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(spool.settle(one))
        await asyncio.sleep(0.05)
        assert not waiting.done()
        (pending,) = spool.take(10)
        assert pending.entry == one
        spool.flushed([pending])
    assert waiting.done()
    assert (spool.unflushed, spool.open_intents, spool.settled_durable) == (0, 0, 0)


async def test_a_void_without_room_is_written_later(
    tmp_path: Path, spool: Spool, disk: BadDisk, entry: Make
) -> None:
    nothing, later = entry(), entry()
    spool.intent(nothing)
    disk.room = 0
    spool.void(nothing.id)
    disk.room = 10**9
    await spool.settle(later)
    died(spool)
    assert adopted(tmp_path) == [later]


class Failing(Disk):
    """A disk that fails from its n-th such call on; what lies on it can still be written over, as on a real one."""

    def __init__(self, call: str, error: int, n: int) -> None:
        self.call, self.error, self.left = call, error, n
        self.ends: dict[int, int] = {}

    def _count(self, call: str) -> None:
        if call == self.call:
            self.left -= 1
            if self.left < 0:
                raise OSError(self.error, "as the test says")

    def write(self, fd: int, record: bytes, at: int) -> int:
        if at + len(record) > self.ends.get(fd, 0):
            self._count("write")
        taken = super().write(fd, record, at)
        self.ends[fd] = max(self.ends.get(fd, 0), at + taken)
        return taken

    def sync(self, fd: int) -> None:
        self._count("sync")
        super().sync(fd)

    def sync_directory(self, path: Path) -> None:
        if self.ends:  # not while the journal is made
            self._count("sync_directory")
        super().sync_directory(path)


async def sent(spool: Spool, one: Entry, *, durably: bool) -> bool:
    """Whether the journal lets it leave."""
    try:
        if durably:
            await spool.intent_durable(one)
        else:
            spool.intent(one)
    except SpoolFull:
        return False
    spool.progress(one)
    return True


@pytest.mark.parametrize("booked_before", [False, True])
@pytest.mark.parametrize("n", range(12))
@pytest.mark.parametrize(
    ("call", "error"),
    [
        ("sync", errno.EIO),
        ("sync_directory", errno.EIO),
        ("write", errno.ENOSPC),
        ("write", errno.EIO),
    ],
)
async def test_whatever_the_disk_fails_at_what_was_sent_is_one_row_and_what_was_not_is_none(
    tmp_path: Path, clock: Any, entry: Make, call: str, error: int, n: int, *, booked_before: bool
) -> None:
    """A kill behind every such failure; the database has taken what it was given, or nothing yet."""
    spool = Spool(tmp_path, clock=clock, disk=Failing(call, error, n))
    never: set[UUID] = set()
    used: dict[UUID, asyncio.Task[None]] = {}
    deeds = ("void", "used", "durable", "used", "later", "durable", "void", "used")
    for deed in deeds:
        if deed == "later":
            clock.us += SEGMENT_NS_MAX // 1000
            spool.flushed([])
        elif not await sent(spool, one := entry(), durably=deed == "durable"):
            never.add(one.id)  # refused: the client is told so, and nothing is sent
        elif deed == "used":
            used[one.id] = asyncio.ensure_future(spool.settle(one))
            await asyncio.wait([used[one.id]], timeout=0.02)
        else:
            spool.void(one.id)
            never.add(one.id)
    promised = {one for one, task in used.items() if task.done() and task.exception() is None}
    books = [one.id for one in flush(spool)] if booked_before else []
    for task in used.values():
        task.cancel()
    died(spool)
    left_behind = [one.id for one in adopted(tmp_path) if isinstance(one, Entry)]
    assert len(left_behind) == len(set(left_behind))
    assert not never & {*books, *left_behind}
    assert promised <= set(used) == {*books, *left_behind}


async def test_a_disk_that_cannot_sync_reports_nothing_durable_and_ends_the_worker(
    spool: Spool, disk: BadDisk, entry: Make, observer: Any
) -> None:
    disk.sync_error = OSError(errno.EIO, "the platter is gone")
    entries = [entry() for _ in range(3)]
    async with asyncio.TaskGroup() as group:
        waiting = [group.create_task(spool.settle(one)) for one in entries]
        await asyncio.sleep(0.1)
        assert [task.done() for task in waiting] == [False] * 3
        assert (spool.settled_durable, spool.is_accepting) == (0, False)
        with pytest.raises(SpoolFull):
            spool.intent(entry())
        assert flush(spool) == entries  # the database took them: that is durable
    assert spool.unflushed == 0
    assert observer.names == ["spool"]


class PowerCut(Disk):
    """A disk that knows which bytes were synced, by file."""

    def __init__(self) -> None:
        self.paths: dict[int, Path] = {}
        self.written: dict[int, int] = {}
        self.synced: dict[Path, int] = {}

    def open(self, path: Path) -> int:
        fd = super().open(path)
        self.paths[fd], self.written[fd], self.synced[path] = path, 0, 0
        return fd

    def write(self, fd: int, record: bytes, at: int) -> int:
        taken = super().write(fd, record, at)
        self.written[fd] = max(self.written[fd], at + taken)
        return taken

    def sync(self, fd: int) -> None:
        written = self.written[fd]
        super().sync(fd)
        self.synced[self.paths[fd]] = written

    def cut(self) -> None:
        """What is left when the power comes back: in place of what was not synced, the zeros laid before."""
        for path, size in self.synced.items():
            if path.exists():
                laid = path.stat().st_size
                os.truncate(path, size)
                os.truncate(path, laid)


async def test_a_durable_intent_survives_a_power_cut_and_a_plain_one_only_a_kill(
    tmp_path: Path, entry: Make
) -> None:
    disk = PowerCut()
    dead = Spool(tmp_path, disk=disk)
    durable, plain = entry(), entry()
    await dead.intent_durable(durable)
    dead.intent(plain)
    died(dead)
    assert [one.id for one in adopted(tmp_path) if isinstance(one, Entry)] == [durable.id, plain.id]
    disk.cut()
    assert [one.id for one in adopted(tmp_path) if isinstance(one, Entry)] == [durable.id]


async def test_durable_intents_share_their_syncs(spool: Spool, entry: Make) -> None:
    entries = [entry() for _ in range(500)]
    async with asyncio.TaskGroup() as group:
        for one in entries:
            group.create_task(spool.intent_durable(one))
    assert (spool.open_intents, spool.unflushed) == (500, 0)
    assert spool.syncs <= 25
    for one in entries:
        spool.void(one.id)


async def test_an_intent_that_cannot_be_made_durable_is_refused_and_void(
    spool: Spool, disk: BadDisk, entry: Make, observer: Any
) -> None:
    disk.sync_error = OSError(errno.EIO, "the platter is gone")
    with pytest.raises(SpoolFull):
        await spool.intent_durable(entry())
    assert (spool.open_intents, spool.is_accepting) == (0, False)
    assert observer.names == ["spool"]


async def test_a_cancelled_wait_for_a_durable_intent_leaves_no_row(
    tmp_path: Path, entry: Make
) -> None:
    dead = Spool(tmp_path)
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(dead.intent_durable(entry()))
        await asyncio.sleep(0)
        waiting.cancel()
    died(dead)
    assert adopted(tmp_path) == []


async def test_an_interrupted_stream_is_booked_with_its_last_progress(
    tmp_path: Path, entry: Make, clock: Any
) -> None:
    """However many segments it outlived, and however little of it each of them still held."""
    dead = Spool(tmp_path, clock=clock)
    long, quiet = entry(counted_output=None), entry(counted_output=None)
    dead.intent(long)
    dead.intent(quiet)
    for written in range(1, 8):
        dead.progress(entry(id=long.id, counted_output=written))
        await dead.settle(entry())
        clock.us += SEGMENT_NS_MAX // 1000
        flush(dead)
        await dead.settle(entry())
        flush(dead)
    assert len(segments(dead)) == 1
    died(dead)
    left = {one.id: one for one in adopted(tmp_path) if isinstance(one, Entry)}
    assert (left[long.id].kind, left[long.id].counted_output) == (EntryKind.INTERRUPTED, 7)
    assert (left[quiet.id].kind, left[quiet.id].counted_output) == (EntryKind.INTERRUPTED, None)


async def test_progress_of_what_is_settled_or_void_books_nothing_more(
    tmp_path: Path, entry: Make
) -> None:
    dead = Spool(tmp_path)
    settled, voided, unknown = entry(), entry(), entry()
    dead.intent(settled)
    dead.intent(voided)
    await dead.settle(settled)
    dead.void(voided.id)
    for one in (settled, voided, unknown):
        dead.progress(one)
    died(dead)
    assert adopted(tmp_path) == [settled]


async def test_progress_without_room_leaves_the_record_before_it(
    tmp_path: Path, spool: Spool, disk: BadDisk, entry: Make
) -> None:
    one = entry(counted_output=None)
    spool.intent(one)
    spool.progress(entry(id=one.id, counted_output=1))
    disk.room = 50
    spool.progress(entry(id=one.id, counted_output=2))
    disk.room = 10**9
    died(spool)
    (booked,) = adopted(tmp_path)
    assert isinstance(booked, Entry)
    assert booked.counted_output == 1


async def test_a_progress_whose_intent_the_power_cut_took_still_says_what_was_sent(
    tmp_path: Path, entry: Make
) -> None:
    """Pages reach the disk in any order. Here the record is the intent said again, so it is enough."""
    dead = Spool(tmp_path)
    one, after = entry(counted_output=None), entry()
    dead.intent(one)
    start = dead.bytes_on_disk
    dead.progress(entry(id=one.id, counted_output=3))
    await dead.settle(after)
    (path,) = dead._home.glob("*.seg")
    died(dead)
    octets = path.read_bytes()
    path.write_bytes(b"\0" * start + octets[start:])
    found = [one for one in adopted(tmp_path) if isinstance(one, Entry)]
    assert [(one.id, one.counted_output) for one in found] == [
        (after.id, after.counted_output),
        (one.id, 3),
    ]


async def test_after_half_a_record_and_a_kill_every_later_settlement_is_there(
    tmp_path: Path, spool: Spool, disk: BadDisk, entry: Make
) -> None:
    """LQ-S9: whatever the disk took of each record when it had no room."""
    after = []
    for room in range(0, 600, 37):
        disk.room = room
        with pytest.raises(SpoolFull):
            spool.intent(entry())
        disk.room = 10**9
        after.append(entry())
        await spool.settle(after[-1])
    died(spool)
    assert adopted(tmp_path) == after


async def test_later_syncs_of_a_failed_file_count_for_nothing(
    spool: Spool, disk: BadDisk, entry: Make
) -> None:
    disk.sync_error = OSError(errno.EIO, "once")
    one, two = entry(), entry()
    async with asyncio.TaskGroup() as group:
        group.create_task(spool.settle(one))
        group.create_task(spool.settle(two))
        await asyncio.sleep(0.1)
        assert spool.settled_durable == 0
        flush(spool)


async def test_the_journal_is_bounded(tmp_path: Path, entry: Make) -> None:
    small = Spool(tmp_path, bytes_max=3_000)
    for _ in range(3):
        small.intent(entry())
    with pytest.raises(SpoolFull, match="limit"):
        small.intent(entry())
    await small.settle(entry())  # what was forwarded is still taken
    assert small.settled_durable == 1
    small.close()


def test_a_real_file_limit_is_a_full_disk(tmp_path: Path, entry: Make) -> None:
    """In a child, since the limit cannot be taken back."""
    child = os.fork()
    if child == 0:  # pragma: no cover - the child reports by its exit status
        os._exit(_limited(tmp_path, entry()))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    (booked,) = adopted(tmp_path)
    assert isinstance(booked, Entry)


def _limited(root: Path, one: Entry) -> int:  # pragma: no cover - runs in the child
    spool = Spool(root)
    record = len(packed(Kind.INTENT, one))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (record + 50, record + 50))
    spool.intent(one)
    try:
        spool.intent(one)
    except SpoolFull:
        return 0 if spool.bytes_on_disk == record else 2
    return 1


async def test_close_leaves_what_is_not_flushed_to_the_next_worker(
    tmp_path: Path, entry: Make
) -> None:
    leaving = Spool(tmp_path)
    one = entry()
    await leaving.settle(one)
    leaving.close()
    assert adopted(tmp_path) == [one]


async def test_who_settles_after_the_close_is_told_and_its_intent_is_adopted(
    tmp_path: Path, entry: Make
) -> None:
    """Nobody takes anything to the database any more: who waited would wait for ever (seed 4259 of tests/sim)."""
    leaving = Spool(tmp_path)
    one = entry()
    leaving.intent(one)
    leaving.close()
    with pytest.raises(SpoolFull, match="closed"):
        await asyncio.wait_for(leaving.settle(one), 1)
    (row,) = adopted(tmp_path)
    assert isinstance(row, Entry)
    assert (row.id, row.kind) == (one.id, EntryKind.INTERRUPTED)


async def test_an_adopter_that_dies_is_followed_by_another(tmp_path: Path, entry: Make) -> None:
    dead = Spool(tmp_path)
    one = entry()
    await dead.settle(one)
    died(dead)
    (first,) = orphans(tmp_path, own="")
    assert list(orphans(tmp_path, own="")) == []
    first.release()
    (second,) = orphans(tmp_path, own="")
    assert [entry for batch in second.batches(10) for entry in batch] == [one]
    second.remove()
    assert left(tmp_path) == []


async def test_an_adopter_killed_in_the_middle_costs_nothing_and_doubles_nothing(
    tmp_path: Path, entry: Make
) -> None:
    """LQ-S12: the kernel drops its lock, and the next one repeats."""
    dead = Spool(tmp_path / "spool")
    entries = [entry() for _ in range(30)]
    for one in entries:
        await dead.settle(one)
    died(dead)
    booked: list[int] = []
    for batches in (1, 2, 3):
        assert _exit_of_adopter(tmp_path / "spool", batches) == -signal.SIGKILL
        booked.append(len(adopted(tmp_path / "spool")))
    assert booked == [30, 30, 30]


def _exit_of_adopter(root: Path, batches: int) -> int:
    child = os.fork()
    if child == 0:  # pragma: no cover - killed by itself in the middle
        _adopt_some(root, batches)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _adopt_some(root: Path, count: int) -> None:  # pragma: no cover - runs in the child
    for orphan in orphans(root, own=""):
        found = orphan.batches(10)
        for _ in range(count):
            next(found)
        os.kill(os.getpid(), signal.SIGKILL)
    os._exit(1)


async def test_a_directory_that_was_never_finished_is_cleared_away(
    tmp_path: Path, clock: Any
) -> None:
    newborn = tmp_path / ".new-half"
    newborn.mkdir()
    (newborn / "lock").touch()
    os.utime(newborn, (clock.us // 10**6, clock.us // 10**6))
    assert list(orphans(tmp_path, own="", clock=clock)) == []
    clock.us += 61 * 10**6
    (orphan,) = orphans(tmp_path, own="", clock=clock)
    orphan.remove()
    assert left(tmp_path) == []


async def test_a_survey_tells_the_living_from_the_dead_and_adopts_nobody(
    tmp_path: Path, spool: Spool, entry: Make
) -> None:
    spool.intent(entry())
    dead = Spool(tmp_path)
    dead.intent(entry())
    size = survey(tmp_path).bytes
    assert size >= spool.bytes_on_disk + dead.bytes_on_disk
    assert survey(tmp_path) == Survey(journals=2, orphaned=0, bytes=size)
    died(dead)
    assert survey(tmp_path) == survey(tmp_path) == Survey(journals=2, orphaned=1, bytes=size)
    assert survey(tmp_path / "nowhere") == Survey(0, 0, 0)
