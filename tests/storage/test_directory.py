"""Keys: made once, kept as digests, refused everywhere seconds after they are revoked."""

import asyncio
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from gateway.identity import keys
from gateway.kernel.errors import NotFound, RevokedKey, UnknownKey
from gateway.storage.directory import Directory, KeySnapshot, NewKey
from gateway.storage.engine import Database
from gateway.storage.errors import StoreUnavailable

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
