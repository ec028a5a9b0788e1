"""The laws of every engine behind the port Quotas.

To put an engine under them: a fixture ``rig`` that yields a Rig of it, and a class that inherits from
QuotaLaws in a module of its own (test_quotas.py does it for SQLite and Postgres).
"""

import asyncio
import random
from collections.abc import Collection, Mapping, Sequence
from typing import Protocol
from uuid import UUID

import msgspec
import pytest

from gateway.exchange.ports import Quotas
from gateway.kernel.ids import new_id
from gateway.quota.counters import Counters
from gateway.quota.hold import (
    Balance,
    Carry,
    CounterKey,
    Exhausted,
    Granted,
    Hold,
    HoldLine,
    Rate,
    Stale,
    Verdict,
)
from tests.storage.conftest import NOW_US, Hands

TTL_US = 60_000_000
STEPS = 3_000


class Rig(Protocol):
    """An engine at work on an empty store, and what else acts on the store beside it."""

    clock: Hands

    @property
    def quotas(self) -> Quotas:
        """The engine, running; its time is ``clock``."""
        ...

    async def another(self) -> Quotas:
        """A further engine on the same store, as another process would have it."""
        ...

    async def done(self) -> None:
        """Return when every queued settle and void of every engine has been carried out."""
        ...

    async def post(self, amounts: Mapping[CounterKey, int], *released: UUID) -> None:
        """What the ledger's flush does: rows are added to posted, the holds of finished requests go."""
        ...

    async def edit(self) -> int:
        """A budget was edited: the version is raised and known to the engine; the new version."""
        ...

    async def expired(self) -> Collection[UUID]:
        """The requests whose hold has expired by the clock."""
        ...

    async def free(self, *request_ids: UUID) -> None:
        """What the sweeper does with an expired hold whose row is booked already."""
        ...


def line(  # a line's fields, one parameter each
    budget: str,
    amount: int,
    limit: int = 0,
    *,
    subject: str = "",
    window_us: int = 0,
    carry: Carry | None = None,
    rate: Rate | None = None,
    enforce: bool = True,
    rank: int = 0,
) -> HoldLine:
    key = CounterKey(budget, subject, window_us)
    return HoldLine(key, amount, limit, carry=carry, rate=rate, enforce=enforce, rank=rank)


def hold(
    *lines: HoldLine,
    request_id: UUID | None = None,
    expires_us: int = NOW_US + TTL_US,
    version: int = 0,
) -> Hold:
    ordered = tuple(sorted(lines, key=lambda one: (one.rank, one.key)))
    return Hold(request_id or new_id(), ordered, expires_us, b'{"an":"entry"}', version)


async def state(quotas: Quotas, *lines: HoldLine) -> list[tuple[int, int]]:
    """(posted, pending) of each line's counter."""
    return [(one.posted, one.pending) for one in await quotas.balances(lines)]


def granted(verdict: Verdict) -> Granted:
    assert isinstance(verdict, Granted), verdict
    return verdict


def exhausted(verdict: Verdict) -> list[CounterKey]:
    assert isinstance(verdict, Exhausted), verdict
    return [balance.key for balance in verdict.balances]


class QuotaLaws:
    """Inherit, give a fixture ``rig``, and be collected."""

    pytestmark = pytest.mark.anyio

    async def test_all_lines_are_held_or_none(self, rig: Rig) -> None:
        wide, narrow = line("wide", 40, 100), line("narrow", 40, 50)
        granted(await rig.quotas.reserve(hold(wide, narrow)))
        refused = await rig.quotas.reserve(hold(wide, narrow))
        assert exhausted(refused) == [narrow.key]
        assert isinstance(refused, Exhausted)
        assert refused.balances == (Balance(narrow.key, 0, 40, 50),)
        assert await state(rig.quotas, wide, narrow) == [(0, 40), (0, 40)]

    async def test_a_grant_tells_how_the_counters_stand_after_it_in_the_order_of_its_lines(
        self, rig: Rig
    ) -> None:
        lines = [line("b", 3, 10, rank=1), line("a", 5, 10, rank=2), line("c", 7, 10)]
        verdict = granted(await rig.quotas.reserve(hold(*lines)))
        keys = [("c", 7), ("b", 3), ("a", 5)]
        assert [(one.key.budget, one.pending) for one in verdict.balances] == keys
        assert [one.left for one in verdict.balances] == [3, 7, 5]
        assert verdict.exceeded == ()

    async def test_ten_reserves_of_one_id_hold_once(self, rig: Rig) -> None:
        rivals = [rig.quotas, await rig.another()]
        first = hold(line("org", 40, 100), line("team", 40, 50))
        verdicts = await asyncio.gather(*(rivals[at % 2].reserve(first) for at in range(10)))
        assert all(isinstance(one, Granted) for one in verdicts)
        assert await state(rig.quotas, *first.lines) == [(0, 40), (0, 40)]
        assert exhausted(await rig.quotas.reserve(hold(*first.lines))) == [
            CounterKey("team", "", 0)
        ]
        again = granted(await rig.quotas.reserve(first))
        assert [one.pending for one in again.balances] == [40, 40]
        assert await state(rig.quotas, *first.lines) == [(0, 40), (0, 40)]

    async def test_settling_fixes_the_hold_and_posting_removes_it(self, rig: Rig) -> None:
        org, team = line("org", 40, 100), line("team", 40, 50)
        made = hold(org, team)
        granted(await rig.quotas.reserve(made))
        for _ in range(3):
            rig.quotas.settle(made.request_id, {org.key: 30, team.key: 30})
            await rig.done()
            assert await state(rig.quotas, org, team) == [(0, 30), (0, 30)]
        await rig.post({org.key: 30, team.key: 30}, made.request_id)
        assert await state(rig.quotas, org, team) == [(30, 0), (30, 0)]
        rig.quotas.settle(made.request_id, {org.key: 30, team.key: 30})
        rig.quotas.void(made.request_id)
        await rig.done()
        assert await state(rig.quotas, org, team) == [(30, 0), (30, 0)]

    async def test_a_hold_that_expired_is_freed_and_its_late_row_still_posts(
        self, rig: Rig
    ) -> None:
        org = line("org", 10, 100)
        made = hold(org)
        granted(await rig.quotas.reserve(made))
        assert list(await rig.expired()) == []
        rig.clock.us += TTL_US
        assert list(await rig.expired()) == [made.request_id]
        await rig.free(made.request_id)
        assert await state(rig.quotas, org) == [(0, 0)]
        rig.quotas.settle(made.request_id, {org.key: 9})
        await rig.done()
        await rig.post({org.key: 9}, made.request_id)
        assert await state(rig.quotas, org) == [(9, 0)]
        assert list(await rig.expired()) == []

    async def test_extending_keeps_a_hold_and_never_shortens_it(self, rig: Rig) -> None:
        kept, left = hold(line("org", 1, 100)), hold(line("org", 1, 100))
        for one in (kept, left):
            granted(await rig.quotas.reserve(one))
        await rig.quotas.extend([kept.request_id, new_id()], NOW_US + 2 * TTL_US)
        await rig.quotas.extend([kept.request_id, left.request_id], NOW_US + 1)
        rig.clock.us += TTL_US
        assert list(await rig.expired()) == [left.request_id]
        rig.clock.us += TTL_US
        assert set(await rig.expired()) == {kept.request_id, left.request_id}
        await rig.quotas.extend([], NOW_US)

    async def test_counters_that_a_settlement_does_not_name_are_freed(self, rig: Rig) -> None:
        money, running = line("money", 40, 100), line("running", 1, 1)
        made = hold(money, running)
        granted(await rig.quotas.reserve(made))
        assert exhausted(await rig.quotas.reserve(hold(running))) == [running.key]
        rig.quotas.settle(made.request_id, {money.key: 25, CounterKey("other", "", 0): 7})
        await rig.done()
        assert await state(rig.quotas, money, running) == [(0, 25), (0, 0)]
        assert await state(rig.quotas, line("other", 0)) == [(0, 0)]

    async def test_using_more_than_was_held_is_taken_and_the_next_is_refused(
        self, rig: Rig
    ) -> None:
        org = line("org", 40, 100)
        made = hold(org)
        granted(await rig.quotas.reserve(made))
        rig.quotas.settle(made.request_id, {org.key: 130})
        await rig.done()
        assert await state(rig.quotas, org) == [(0, 130)]
        await rig.post({org.key: 130}, made.request_id)
        refused = await rig.quotas.reserve(hold(line("org", 1, 100)))
        assert isinstance(refused, Exhausted)
        assert refused.balances == (Balance(org.key, 130, 0, 100),)
        assert refused.balances[0].left == 0

    async def test_nothing_passes_a_counter_that_is_full_not_even_what_costs_nothing(
        self, rig: Rig
    ) -> None:
        free = line("org", 0, 10)
        granted(await rig.quotas.reserve(hold(line("org", 9, 10))))
        granted(await rig.quotas.reserve(hold(free)))
        granted(await rig.quotas.reserve(hold(line("org", 1, 10))))
        assert exhausted(await rig.quotas.reserve(hold(free))) == [free.key]

    async def test_voiding_frees_and_may_be_repeated(self, rig: Rig) -> None:
        org, minute = line("org", 40, 100), line("minute", 50, rate=Rate(60, 60))
        made = hold(org, minute)
        granted(await rig.quotas.reserve(made))
        assert (await rig.quotas.balances([minute]))[0].pending == 50
        for _ in range(3):
            rig.quotas.void(made.request_id)
            await rig.done()
            assert await state(rig.quotas, org, minute) == [(0, 0), (0, 0)]
        rig.quotas.settle(made.request_id, {org.key: 9})
        rig.quotas.void(new_id())
        await rig.done()
        assert await state(rig.quotas, org) == [(0, 0)]
        granted(await rig.quotas.reserve(made))
        assert await state(rig.quotas, org) == [(0, 40)]

    async def test_a_hold_is_raised_whole_or_not_at_all(self, rig: Rig) -> None:
        org, team = line("org", 10, 100), line("team", 10, 50)
        made = hold(org, team)
        granted(await rig.quotas.reserve(made))

        def to(wide: int, narrow: int) -> tuple[HoldLine, ...]:
            return (
                msgspec.structs.replace(org, amount=wide),
                msgspec.structs.replace(team, amount=narrow),
            )

        grown = granted(await rig.quotas.grow(made.request_id, to(60, 50)))
        assert [one.pending for one in grown.balances] == [60, 50]
        refused = await rig.quotas.grow(made.request_id, to(100, 51))
        assert exhausted(refused) == [team.key]
        assert await state(rig.quotas, org, team) == [(0, 60), (0, 50)]
        granted(await rig.quotas.grow(made.request_id, to(5, 5)))
        assert await state(rig.quotas, org, team) == [(0, 60), (0, 50)]
        rig.quotas.settle(made.request_id, {org.key: 7, team.key: 7})
        await rig.done()
        assert await state(rig.quotas, org, team) == [(0, 7), (0, 7)]
        assert granted(await rig.quotas.grow(new_id(), to(90, 90))).balances == ()
        assert await state(rig.quotas, org, team) == [(0, 7), (0, 7)]

    async def test_a_lowered_limit_is_obeyed_at_once(self, rig: Rig) -> None:
        rival = await rig.another()
        old = hold(line("org", 40, 100))
        granted(await rig.quotas.reserve(old))
        version = await rig.edit()
        for quotas in (rig.quotas, rival):
            assert await quotas.reserve(hold(line("org", 10, 100))) == Stale(version)
        assert await state(rig.quotas, *old.lines) == [(0, 40)]
        lowered = hold(line("org", 10, 45), version=version)
        assert exhausted(await rig.quotas.reserve(lowered)) == [CounterKey("org", "", 0)]
        granted(await rig.quotas.reserve(hold(line("org", 5, 45), version=version)))

    async def test_unused_limit_comes_over_up_to_its_most(self, rig: Rig) -> None:
        before = line("org", 70, 100, window_us=1)
        carry = Carry(1, 100, 50)
        await rig.post({before.key: 70})
        after = line("org", 130, 100, window_us=2, carry=carry)
        assert (await rig.quotas.balances([after]))[0].limit == 130
        made = hold(after)
        assert granted(await rig.quotas.reserve(made)).balances[0].limit == 130
        assert exhausted(
            await rig.quotas.reserve(hold(line("org", 1, 100, window_us=2, carry=carry)))
        ) == [after.key]
        await rig.post({before.key: 45})  # a late row of the window before: nothing is left to come
        assert (await rig.quotas.balances([after]))[0].limit == 100
        other = line("new", 0, 100, window_us=2, carry=carry)
        assert (await rig.quotas.balances([other]))[0].limit == 150

    async def test_a_shadow_line_is_counted_and_reported_but_never_refuses(self, rig: Rig) -> None:
        shadow, hard = line("shadow", 60, 100, enforce=False), line("hard", 1, 3)
        minute = line("minute", 60, rate=Rate(60, 60), enforce=False)
        lines = (shadow, hard, minute)
        assert granted(await rig.quotas.reserve(hold(*lines))).exceeded == ()
        second = granted(await rig.quotas.reserve(hold(*lines)))
        assert set(second.exceeded) == {shadow.key, minute.key}
        assert await state(rig.quotas, shadow, hard) == [(0, 120), (0, 2)]

    async def test_a_rolling_minute_tells_how_long_to_wait_and_passes_then(self, rig: Rig) -> None:
        rate = Rate(per_minute=600, burst=100)  # ten a second
        full = hold(line("minute", 100, rate=rate))
        granted(await rig.quotas.reserve(full))
        refused = await rig.quotas.reserve(hold(line("minute", 20, rate=rate)))
        assert isinstance(refused, Exhausted)
        assert refused.balances == (Balance(full.lines[0].key, 0, 100, 100, 2_000_000),)
        rig.clock.us += 1_999_999
        assert isinstance(await rig.quotas.reserve(hold(line("minute", 20, rate=rate))), Exhausted)
        rig.clock.us += 1
        granted(await rig.quotas.reserve(hold(line("minute", 20, rate=rate))))
        rig.quotas.settle(full.request_id, {full.lines[0].key: 40})
        await rig.done()
        assert (await rig.quotas.balances(full.lines))[0].pending == 40

    async def test_a_rolling_minute_is_the_model_s_step_by_step(self, rig: Rig) -> None:
        await as_the_model(rig, Rate(per_minute=7_000, burst=1_400), random.Random(1), STEPS)

    async def test_a_rolling_minute_of_ninety_million_is_the_model_s(self, rig: Rig) -> None:
        rate = Rate(per_minute=90_000_000, burst=9_000_000)
        await as_the_model(rig, rate, random.Random(2), STEPS // 10)

    async def test_sixty_four_clients_start_on_cold_counters_without_a_deadlock(
        self, rig: Rig
    ) -> None:
        rivals = [rig.quotas, await rig.another(), await rig.another()]
        chance = random.Random(3)

        async def client(at: int) -> int:
            held = 0
            for turn in range(4):
                names = chance.sample(range(40), 6)
                lines = [line(f"b{n}", 1, 10_000, rank=n % 3, window_us=turn) for n in names]
                made = hold(*lines, line("org", 1, 10_000, rank=9, window_us=turn))
                granted(await rivals[at % 3].reserve(made))
                if (at + turn) % 2:
                    rivals[at % 3].void(made.request_id)
                else:
                    held += 1
            return held

        held = sum(await asyncio.gather(*map(client, range(64))))
        await rig.done()
        totals = await state(rig.quotas, *(line("org", 0, window_us=turn) for turn in range(4)))
        assert sum(pending for _, pending in totals) == held == 128

    async def test_twelve_at_a_time_are_never_thirteen_and_every_way_out_frees(
        self, rig: Rig
    ) -> None:
        rivals = [rig.quotas, await rig.another()]
        gate = line("running", 1, 12, subject="key-1")
        waiting = [hold(gate) for _ in range(40)]
        verdicts = await asyncio.gather(
            *(rivals[at % 2].reserve(one) for at, one in enumerate(waiting))
        )
        inside = [
            one
            for one, verdict in zip(waiting, verdicts, strict=True)
            if isinstance(verdict, Granted)
        ]
        assert len(inside) == 12
        rig.quotas.settle(inside[0].request_id, {})
        rivals[1].void(inside[1].request_id)
        await rig.post({}, inside[2].request_id)
        rig.clock.us += TTL_US
        await rig.quotas.extend([one.request_id for one in inside[4:]], NOW_US + 2 * TTL_US)
        await rig.done()
        assert inside[3].request_id in await rig.expired()
        await rig.free(inside[3].request_id)
        assert await state(rig.quotas, gate) == [(0, 8)]
        after = await asyncio.gather(*(rivals[at % 2].reserve(hold(gate)) for at in range(9)))
        assert sum(isinstance(verdict, Granted) for verdict in after) == 4

    async def test_a_caller_who_leaves_while_asking_holds_nothing(self, rig: Rig) -> None:
        org = line("org", 10, 1_000)
        asked = [asyncio.ensure_future(rig.quotas.reserve(hold(org))) for _ in range(20)]
        for one in asked[10:]:
            await asyncio.sleep(0)
            one.cancel()
        await asyncio.gather(*asked, return_exceptions=True)
        await rig.done()
        assert await state(rig.quotas, org) == [(0, 10 * sum(not one.cancelled() for one in asked))]

    async def test_an_amount_past_sixty_four_bits_spoils_nobody_else_s_hold(self, rig: Rig) -> None:
        org = line("org", 10, 1_000)
        asked = [hold(org), hold(line("org", 2**70, 2**80)), hold(org)]
        verdicts = await asyncio.gather(
            *(rig.quotas.reserve(one) for one in asked), return_exceptions=True
        )
        assert isinstance(verdicts[0], Granted)
        assert not isinstance(verdicts[1], Granted)
        assert isinstance(verdicts[2], Granted)
        assert await state(rig.quotas, org) == [(0, 20)]

    async def test_the_engine_is_the_reference(self, rig: Rig) -> None:
        chance = random.Random(4)
        for _ in range(3):
            await as_the_reference(rig, chance, 120)


async def as_the_model(rig: Rig, rate: Rate, chance: random.Random, steps: int) -> None:
    """Random takes, refunds and pauses on one rolling minute, answered alike by engine and reference."""
    model = Counters()
    running: list[Hold] = []
    probe = line(f"minute-{rate.per_minute}", 0, rate=rate)
    for _ in range(steps):
        rig.clock.us += chance.randrange(0, 2 * MEAN_US)
        if running and chance.random() < 0.4:
            ended = running.pop(chance.randrange(len(running)))
            used = {probe.key: chance.randrange(0, 2 * ended.lines[0].amount + 1)}
            rig.quotas.settle(ended.request_id, used)
            model.settle(ended.request_id, used)
            await rig.done()
            continue
        amount = chance.randrange(1, rate.burst // 2)
        asked = hold(msgspec.structs.replace(probe, amount=amount), expires_us=2 * NOW_US)
        verdict = await rig.quotas.reserve(asked)
        assert verdict == model.reserve(asked, rig.clock.us)
        if isinstance(verdict, Granted):
            running.append(asked)


MEAN_US = 3_000_000


async def as_the_reference(rig: Rig, chance: random.Random, steps: int) -> None:
    """Random calls, answered alike by the engine and gateway/quota/counters.py."""
    model = Counters()
    model.version = version = await rig.edit()
    mark = f"{chance.random()}"
    menu = [
        line("money", 0, 300, subject=mark, window_us=2, carry=Carry(1, 100, 40), rank=2),
        line("tokens", 0, 200, subject=mark),
        line("running", 0, 4, subject=mark, rank=1),
        line("minute", 0, subject=mark, rate=Rate(600, 120)),
        line("shadow", 0, 60, subject=mark, enforce=False),
        line("shadow-minute", 0, subject=mark, rate=Rate(600, 60), enforce=False),
    ]
    holds: list[Hold] = []
    for _ in range(steps):
        rig.clock.us += chance.randrange(0, 1_000_000)
        await _step(rig, model, chance, menu, holds, version)
        assert await rig.quotas.balances(menu) == model.balances(menu, rig.clock.us)


async def _step(
    rig: Rig,
    model: Counters,
    chance: random.Random,
    menu: Sequence[HoldLine],
    holds: list[Hold],
    version: int,
) -> None:
    now = rig.clock.us
    step = chance.choice(("reserve", "reserve", "grow", "settle", "void", "post", "again"))
    if step == "reserve" or not holds:
        lines = [_with(chance, one) for one in chance.sample(menu, chance.randint(1, len(menu)))]
        asked = hold(*lines, expires_us=now + TTL_US, version=version)
        assert await rig.quotas.reserve(asked) == model.reserve(asked, now)
        holds.append(asked)
        return
    one = chance.choice(holds)
    used = {held.key: chance.randrange(0, 40) for held in one.lines if chance.random() < 0.8}
    if step == "again":
        assert await rig.quotas.reserve(one) == model.reserve(one, now)
    elif step == "grow":
        more = tuple(_with(chance, held) for held in one.lines)
        assert await rig.quotas.grow(one.request_id, more) == model.grow(one.request_id, more, now)
    elif step == "settle":
        rig.quotas.settle(one.request_id, used)
        model.settle(one.request_id, used)
    elif step == "void":
        rig.quotas.void(one.request_id)
        model.void(one.request_id)
    else:
        amounts = {held.key: used.get(held.key, 0) for held in one.lines if held.rate is None}
        await rig.post(amounts, one.request_id)
        model.post(amounts, [one.request_id])
        holds.remove(one)
    await rig.done()


def _with(chance: random.Random, one: HoldLine) -> HoldLine:
    amount = 1 if one.key.budget == "running" else chance.randrange(0, 60)
    return msgspec.structs.replace(one, amount=amount)
