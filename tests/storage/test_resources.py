"""Claims: the first stands whoever races for it, and none is lost to a database that is away."""

import asyncio
import os
from hashlib import sha256
from pathlib import Path
from sys import getsizeof
from typing import Any

import pytest
import sqlalchemy as sa
from msgspec.structs import replace

from gateway.identity.claim import Claim
from gateway.identity.principal import Principal
from gateway.jobs.forget import FAILED_PAUSE_MS, PAUSE_MS, Forgetter
from gateway.ledger.work import Work
from gateway.storage import resources
from gateway.storage.claim_file import ClaimFile
from gateway.storage.disk import Disk, create_home
from gateway.storage.engine import Database
from gateway.storage.errors import StoreUnavailable
from gateway.storage.resources import ResourceStore
from gateway.storage.tables import RESOURCE
from gateway.storage.work import WorkStore
from tests.storage.conftest import make_entry

pytestmark = pytest.mark.anyio
FIRST = Claim("azure/file-1", "org", "core", "key_1", "azure-main", 1_000, None, ("gpt-4o",))


class Watch:
    def __init__(self) -> None:
        self.failures: list[str] = []

    def settled(self, entry: Any) -> None: ...
    def refused(self, provider: str, code: str) -> None: ...
    def failed(self, what: str, error: BaseException) -> None:
        self.failures.append(what)


class Moment:
    def __init__(self, us: int) -> None:
        self.us = us

    def wall_us(self) -> int:
        return self.us

    def ticks_ns(self) -> int:
        return self.us * 1000


async def test_a_claim_is_of_a_team_of_an_org() -> None:
    principal = Principal("key_2", "org", "user-0002", "core")
    assert FIRST.is_of(principal)
    assert not FIRST.is_of(replace(principal, team="search"))
    assert not FIRST.is_of(replace(principal, org="other"))


async def test_what_is_claimed_is_known_at_once_here_and_elsewhere_when_kept(
    database: Database,
) -> None:
    here, there = ResourceStore(database, Watch()), ResourceStore(database, Watch())
    writer = asyncio.create_task(here.run())
    here.keep([FIRST])
    assert await here.find(["azure/file-1"]) == {"azure/file-1": FIRST}
    await here.kept()
    assert await there.find(["azure/file-1", "azure/file-2"]) == {"azure/file-1": FIRST}
    assert here.waiting == 0
    writer.cancel()


async def test_claims_of_files_that_name_many_models_fill_no_memory(database: Database) -> None:
    """64 names of 2,048 characters each are half a megabyte, and a client may upload as many files as it likes."""
    store = ResourceStore(database, Watch())
    for number in range(300):
        models = tuple(["\U0001f600" + f"{number:06}{at:06}".ljust(2_047, "x") for at in range(64)])
        claim = replace(FIRST, resource=f"azure/file-{number}", models=models)
        store._remember([claim])
        store._remember([claim])  # once more, as a racing claim stands
    kept = store._remembered.values()
    size = sum(getsizeof(model) for claim in kept for model in claim.models or ())
    assert 0 < size <= store._remembered_bytes <= resources.REMEMBERED_BYTES_MAX
    assert store._remembered_bytes == sum(map(resources._size, kept))
    assert list(store._remembered)[-1] == "azure/file-299"


async def test_of_many_that_race_one_claim_stands_for_all(database: Database) -> None:
    stores = [ResourceStore(database, Watch()) for _ in range(4)]
    for number, store in enumerate(stores):
        claims = [replace(FIRST, resource=f"azure/{n}", team=f"team-{number}") for n in range(40)]
        store.keep(claims if number % 2 else claims[::-1])
    await asyncio.gather(*(store.flush() for store in stores))
    fresh = ResourceStore(database, Watch())
    names = [f"azure/{n}" for n in range(40)]
    truth = await fresh.find(names)
    assert len(truth) == 40
    for store in stores:
        assert await store.find(names) == truth


async def test_a_database_that_is_away_delays_an_answer_and_loses_no_claim(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resources, "KEPT_S_MAX", 0.05)
    watch = Watch()
    store = ResourceStore(database, watch)
    write = store._write
    away = 3

    async def failing(batch: Any) -> None:
        nonlocal away
        if away:
            away -= 1
            raise StoreUnavailable("away")
        await write(batch)

    monkeypatch.setattr(store, "_write", failing)
    writer = asyncio.create_task(store.run())
    store.keep([FIRST])
    await store.kept()
    assert store.waiting == 1
    monkeypatch.setattr(resources, "KEPT_S_MAX", 5.0)
    await store.kept()
    assert (store.waiting, watch.failures) == (0, ["claims"] * 3)
    assert await ResourceStore(database, Watch()).find([FIRST.resource]) == {FIRST.resource: FIRST}
    writer.cancel()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "claims"


def _homes(folder: Path) -> list[Path]:
    return sorted(folder.iterdir())


def _away(store: ResourceStore, monkeypatch: pytest.MonkeyPatch) -> None:
    async def failing(batch: Any) -> None:
        raise StoreUnavailable("away")

    monkeypatch.setattr(resources, "KEPT_S_MAX", 0.02)
    monkeypatch.setattr(store, "_write", failing)


def _work(number: int) -> Work:
    path, creator = b"/azure/openai/v1/batches/\xff", make_entry(settles=f"azure/batch-{number}")
    return Work(f"azure/batch-{number}", "azure", "main", path, b"a=b", creator, 1_000)


async def test_what_a_database_that_is_away_did_not_take_outlives_the_process(
    database: Database, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed after its answer was let go (nothing is closed), or ended in order: the next start stores all of it."""
    works = [_work(1), _work(2)]
    for is_killed, work in zip((True, False), works, strict=True):
        name = f"azure/file-{is_killed}"
        store = ResourceStore(database, Watch(), folder)
        with monkeypatch.context() as patched:
            _away(store, patched)
            store.keep([replace(FIRST, resource=name)], [work])
            await store.kept()
            if is_killed:
                os.close(store._file._lock)  # type: ignore[union-attr,arg-type]  # as the kernel does for the dead
            else:
                store.keep([replace(FIRST, resource=f"{name}-late")])
                await store.drain()
                store.close()
        fresh = ResourceStore(database, Watch(), folder)
        assert await fresh.find([name]) == {}
        await fresh.adopt()
        assert set(await fresh.find([name])) == {name}
        assert await fresh.is_unbooked(work.work, 2_000)
        assert _homes(folder) == []
    fresh, late = ResourceStore(database, Watch()), "azure/file-False-late"
    assert set(await fresh.find([late])) == {late}
    due = await WorkStore(database).take(10**15, 9, 1)
    assert sorted((one.work for one in due), key=lambda one: one.work) == works


async def test_a_claim_file_goes_when_the_database_has_all_and_a_torn_line_spoils_nothing(
    database: Database, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = ResourceStore(database, Watch(), folder)
    with monkeypatch.context() as patched:
        _away(store, patched)
        store.keep([FIRST, replace(FIRST, resource="azure/file-3", models=("\ud800",))])
        await store.kept()
        store.keep([replace(FIRST, resource="azure/file-2")])
        await store.kept()
    path = _homes(folder)[0] / "claims"
    kept = path.read_bytes()
    assert kept.count(b"\n") == 2
    await store.flush()
    assert path.read_bytes() == b""
    store.close()
    assert _homes(folder) == []
    home = folder / "of-the-dead"
    os.close(create_home(folder, home.name, Disk()))
    (home / "claims").write_bytes(b"{]\n" + kept.replace(b"file-", b"item-") + b'{"claim":{"res')
    watch = Watch()
    fresh = ResourceStore(database, watch, folder)
    await fresh.adopt()
    assert len(await fresh.find(["azure/item-1", "azure/item-2"])) == 2
    assert watch.failures == ["claims"]
    assert _homes(folder) == []


async def test_what_cannot_be_stored_at_a_start_waits_for_the_next_and_a_live_ones_file_is_left(
    database: Database, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alive = ResourceStore(database, Watch(), folder)
    _away(alive, monkeypatch)
    alive.keep([FIRST])
    await alive.kept()
    await ResourceStore(database, Watch(), folder).adopt()
    assert await ResourceStore(database, Watch()).find([FIRST.resource]) == {}
    alive.close()
    refused = ResourceStore(database, Watch(), folder)
    _away(refused, monkeypatch)
    with pytest.raises(StoreUnavailable):
        await refused.adopt()
    await ResourceStore(database, Watch(), folder).adopt()
    assert await ResourceStore(database, Watch()).find([FIRST.resource]) == {FIRST.resource: FIRST}


async def test_a_disk_that_is_full_is_reported_and_keeps_nothing_half(
    database: Database, folder: Path
) -> None:
    class Full(Disk):
        def write(self, fd: int, record: bytes, at: int) -> int:
            return super().write(fd, record[:10], at)

    file = ClaimFile(folder, Full())
    with pytest.raises(OSError, match="half"):
        file.add([FIRST])
    path = _homes(folder)[0] / "claims"
    assert path.read_bytes() == b""
    file.close()
    assert _homes(folder) == []


async def test_what_is_remembered_is_bounded_and_forgotten_claims_go(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resources, "REMEMBERED_MAX", 10)
    store = ResourceStore(database, Watch())
    store.keep([replace(FIRST, resource=f"azure/{n}", expires_us=2_000 + n) for n in range(30)])
    await store.flush()
    assert len(store._remembered) == 10
    assert set(await store.find(["azure/0"])) == {"azure/0"}
    assert await Forgetter(store, Moment(2_010), Watch()).step() == FAILED_PAUSE_MS
    assert await Forgetter(store, Moment(2_010), Watch()).step() == PAUSE_MS
    async with database.read() as connection:
        left = await connection.scalar(sa.select(sa.func.count()).select_from(RESOURCE))
    assert left == 20


NO_TEXT = "\ud800"  # what no database takes


async def test_a_claim_that_the_database_refuses_costs_nobody_elses(database: Database) -> None:
    """Whoever made it and however it stands among others: one of a batch must not decide over all of it."""
    for place in (0, 17, 39):
        watch = Watch()
        store = ResourceStore(database, watch)
        claims = [replace(FIRST, resource=f"azure/{place}-{number}") for number in range(40)]
        store.keep([*claims[:place], replace(FIRST, resource=NO_TEXT), *claims[place:]])
        await store.flush()
        assert (store.waiting, watch.failures) == (0, ["claims"])
        fresh = ResourceStore(database, Watch())
        assert len(await fresh.find([claim.resource for claim in claims])) == 40


async def test_an_id_past_what_an_index_holds_is_refused_and_never_tried_again(
    database: Database,
) -> None:
    """What is taken for a database that is away is tried for ever, and everything behind it waits."""
    watch = Watch()
    store = ResourceStore(database, watch)
    long = "".join([sha256(b"%d" % number).hexdigest() for number in range(500)])
    store.keep([replace(FIRST, resource=long), replace(FIRST, resource="azure/file-short")])
    await store.flush()
    assert store.waiting == 0
    assert await ResourceStore(database, Watch()).find(["azure/file-short"])
