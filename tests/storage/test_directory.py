"""Keys: made once, kept as digests, refused everywhere seconds after they are revoked."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from secrets import token_bytes
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from gateway.identity import keys
from gateway.kernel.errors import NotFound, RevokedKey, UnknownKey
from gateway.storage.directory import Directory, KeySnapshot, NewKey
from gateway.storage.engine import Database
from gateway.storage.errors import StoreUnavailable
from gateway.storage.renewing import RENEW_PAUSE_MS, RENEW_WAIT_S_MAX, Renewing

pytestmark = pytest.mark.anyio
MASTER = b"m" * 32
NOW_US = 1_795_392_000_000_000


class Tick:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.us = NOW_US

    def wall_us(self) -> int:
        return self.us

    def ticks_ns(self) -> int:
        return self.us * 1000


@pytest.fixture
def clock() -> Tick:
    return Tick()


@pytest.fixture
def directory(database: Database, clock: Tick) -> Directory:
    return Directory(database, MASTER, clock=clock)


async def test_a_key_stands_for_its_principal(directory: Directory) -> None:
    new = NewKey(
        user="user-0001",
        team="team-1",
        org="org-1",
        cost_centre="4100",
        app="search",
        models=("gpt-*", "claude-*"),
        allow_unpriced=True,
        allow_batches=True,
        expires_us=NOW_US + 10,
    )
    made = await directory.create(new)
    snapshot = await directory.snapshot()
    principal = snapshot.by_key(made.key, NOW_US)
    assert (principal.key_id, principal.user, principal.team) == (
        made.key_id,
        "user-0001",
        "team-1",
    )
    assert (principal.org, principal.cost_centre, principal.app) == ("org-1", "4100", "search")
    assert principal.models == ("gpt-*", "claude-*")
    assert (principal.allow_unpriced, principal.allow_batches) == (True, True)
    same, secret = snapshot.by_access_key_id(made.aws_access_key_id, NOW_US)
    assert (same, secret) == (principal, made.aws_secret_access_key)


async def test_no_secret_is_stored(directory: Directory, database: Database) -> None:
    made = await directory.create(NewKey(user="user-0001", team="team-1"))
    async with database.read() as connection:
        rows = (await connection.exec_driver_sql("SELECT * FROM gateway_key")).all()
    text = repr(rows)
    assert made.key not in text
    assert made.aws_secret_access_key not in text
    assert made.key[:8] in text
    assert made.key[8:] not in repr(await directory.list())


async def test_unknown_keys_are_told_from_revoked_ones(directory: Directory) -> None:
    made = await directory.create(NewKey(user="user-0001", team="team-1"))
    await directory.revoke(made.key_id)
    await directory.refresh()
    with pytest.raises(RevokedKey):
        directory.by_key(made.key, NOW_US)
    with pytest.raises(RevokedKey):
        directory.by_access_key_id(made.aws_access_key_id, NOW_US)
    with pytest.raises(UnknownKey):
        directory.by_key(keys.mint(lambda n: b"x" * n), NOW_US)
    with pytest.raises(UnknownKey):
        directory.by_access_key_id("WBAKAAAAAAAAAAAAAAAA", NOW_US)
    with pytest.raises(NotFound):
        await directory.revoke("key_none")


async def test_revoking_twice_keeps_the_first_moment(directory: Directory, clock: Tick) -> None:
    made = await directory.create(NewKey(user="user-0001", team="team-1"))
    await directory.revoke(made.key_id)
    clock.us += 1_000
    await directory.revoke(made.key_id)
    assert [key.revoked_us for key in await directory.list()] == [NOW_US]


async def test_a_lifetime_is_half_open(directory: Directory) -> None:
    bounds = NewKey(user="user-0001", team="team-1", not_before_us=100, expires_us=200)
    key = (await directory.create(bounds)).key
    await directory.refresh()
    for now in (99, 200):
        with pytest.raises(RevokedKey):
            directory.by_key(key, now)
    for now in (100, 199):
        assert directory.by_key(key, now).user == "user-0001"


async def test_rotation_overlaps_as_long_as_asked(directory: Directory) -> None:
    old = await directory.create(NewKey(user="user-0001", team="team-1", models=("gpt-*",)))
    new = await directory.rotate(old.key_id, overlap_us=1_000)
    await directory.refresh()
    assert directory.by_key(new.key, NOW_US + 5_000).models == ("gpt-*",)
    assert directory.by_key(old.key, NOW_US + 999).key_id == old.key_id
    with pytest.raises(RevokedKey):
        directory.by_key(old.key, NOW_US + 1_000)
    stored = {key.key_id: key for key in await directory.list()}
    assert stored[new.key_id].rotated_from == old.key_id
    await directory.revoke(old.key_id)
    with pytest.raises(NotFound):
        await directory.rotate(old.key_id)


async def test_another_process_sees_a_revocation_at_its_next_refresh(
    url: str, directory: Directory
) -> None:
    made = await directory.create(NewKey(user="user-0001", team="team-1"))
    elsewhere = Database(url)
    other = Directory(elsewhere, MASTER)
    assert await other.refresh()
    assert not await other.refresh()
    assert other.by_key(made.key, NOW_US).user == "user-0001"
    await directory.revoke(made.key_id)
    assert await other.refresh()
    with pytest.raises(RevokedKey):
        other.by_key(made.key, NOW_US)
    await elsewhere.close()


async def test_keys_made_at_once_are_all_there(directory: Directory) -> None:
    new = NewKey(user="user-0001", team="team-1")
    made = await asyncio.gather(*(directory.create(new) for _ in range(8)))
    snapshot = await directory.snapshot()
    assert {snapshot.by_key(one.key, NOW_US).key_id for one in made} == {one.key_id for one in made}


class Watched(dict[bytes, Any]):
    """Counts look-ups."""

    asked = 0

    def get(self, *args: Any) -> Any:
        self.asked += 1
        return super().get(*args)


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.one_of(st.text(), st.from_regex(r"wb_[0-9A-Za-z]{49}", fullmatch=True)))
def test_what_is_no_key_reaches_no_look_up(text: str) -> None:
    snapshot = KeySnapshot(MASTER)
    watched = Watched()
    snapshot._by_digest = watched
    with pytest.raises(UnknownKey):
        snapshot.by_key(text, NOW_US)
    assert watched.asked == int(keys.looks_valid(text))


def test_a_short_master_secret_is_refused() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        KeySnapshot(b"short")


async def test_a_directory_keeps_its_keys_while_the_database_is_of_no_use(
    directory: Directory, database: Database
) -> None:
    made = await directory.create(NewKey(user="user-0001", team="team-1"))
    await directory.refresh()
    async with database.write() as connection:
        await connection.exec_driver_sql("DROP TABLE directory_version")
    with pytest.raises(StoreUnavailable):
        await directory.refresh()
    assert directory.by_key(made.key, NOW_US).user == "user-0001"


# -- a key that is not known -------------------------------------------------------------------------


@asynccontextmanager
async def renewing(directory: Directory) -> AsyncIterator[None]:
    """With the job that looks."""
    job = asyncio.create_task(_steps(directory.renewing))
    await asyncio.sleep(0)
    try:
        yield
    finally:
        job.cancel()


async def test_a_key_of_another_process_is_known_once_it_was_looked_for(
    database: Database, clock: Tick
) -> None:
    here, there = (Directory(database, MASTER, clock=clock) for _ in range(2))
    await here.refresh()
    async with renewing(here):
        for _ in range(3):
            made = await there.create(NewKey(user="user-0001", team="team-1"))
            with pytest.raises(UnknownKey):
                here.by_key(made.key, NOW_US)
            assert await here.renewed(made.key)
            assert here.by_key(made.key, NOW_US).key_id == made.key_id
        made = await there.create(NewKey(user="user-0001", team="team-1"))
        assert await here.renewed(made.aws_access_key_id)
        assert here.by_access_key_id(made.aws_access_key_id, NOW_US)[0].key_id == made.key_id


async def test_however_many_unknown_keys_come_the_store_is_asked_a_few_times_a_second(
    database: Database, clock: Tick
) -> None:
    directory = Directory(database, MASTER, clock=clock)
    strangers = [keys.mint(token_bytes) for _ in range(2_000)]
    async with renewing(directory):
        began = time.monotonic()
        tasks = []
        for at, stranger in enumerate(strangers):
            tasks.append(asyncio.create_task(directory.renewed(stranger)))
            if at % 20 == 0:
                await asyncio.sleep(0.005)
        await asyncio.gather(*tasks)
        took_s = time.monotonic() - began
        assert 1 <= directory.renewing.looks <= 2 + took_s / (RENEW_PAUSE_MS / 1000)
        looks = directory.renewing.looks
        for typo in (
            "wb_typo",
            "sk-1",
            strangers[0][:-1] + "!",
            "WBAKshort",
            "AKIA0000000000000000",
        ):
            assert not await directory.renewed(typo)
        assert directory.renewing.looks == looks


async def test_a_store_that_is_away_or_does_not_answer_holds_nobody_up(clock: Tick) -> None:
    hanging = asyncio.Event()

    async def away() -> bool:
        raise StoreUnavailable("away")

    async def silent() -> bool:
        return await hanging.wait()

    for refresh, seconds_max in ((away, 0.5), (silent, RENEW_WAIT_S_MAX + 0.7)):
        renew = Renewing(refresh)
        job = asyncio.create_task(_steps(renew))
        await asyncio.sleep(0)
        began = time.monotonic()
        answers = await asyncio.gather(*(renew.renewed() for _ in range(100)))
        assert time.monotonic() - began < seconds_max
        assert set(answers) == {refresh is away}
        job.cancel()


async def _steps(renew: Renewing) -> None:
    while True:  # noqa: ASYNC110  # the job that the gateway has
        await asyncio.sleep(await renew.step() / 1000)


async def test_one_who_leaves_takes_nobody_elses_look_away(database: Database, clock: Tick) -> None:
    here, there = (Directory(database, MASTER, clock=clock) for _ in range(2))
    made = await there.create(NewKey(user="user-0001", team="team-1"))
    async with renewing(here):
        first, second = (asyncio.create_task(here.renewed(made.key)) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
        assert await second
    assert here.by_key(made.key, NOW_US).key_id == made.key_id
