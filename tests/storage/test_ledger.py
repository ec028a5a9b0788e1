"""The ledger's promises, on SQLite and Postgres alike."""

import asyncio
from collections.abc import Callable
from uuid import UUID

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from gateway.kernel.errors import BadRequest
from gateway.kernel.ids import adjustment_id, new_id
from gateway.ledger.entry import Entry, EntryKind, Line, Outcome
from gateway.storage.engine import Database
from gateway.storage.ledger import Ledger

pytestmark = pytest.mark.anyio
Make = Callable[..., Entry]
replace = msgspec.structs.replace


async def booked(ledger: Ledger) -> list[Entry]:
    return [entry async for entry in ledger.usage()]


async def test_an_entry_is_read_back_as_it_was_booked(ledger: Ledger, entry: Make) -> None:
    plain = entry()
    bare = entry(
        lines=(),
        list_pico=None,
        net_pico=None,
        price_status="unpriced",
        model=None,
        flags=(),
        usage_raw=None,
    )
    full = entry(
        cost_centre="4100",
        app="search",
        dialect="chat",
        deployment="gpt",
        served_model="model-a-2",
        scope="global",
        geo="eu",
        region="westeurope",
        outcome=Outcome.CLIENT_LEFT,
        counted_output=81,
        count_confidence="formula",
        provider_total=1280,
        total_ms=900,
        provider_request_id="req-1",
        client_call_id="call-1",
        client_attempt=2,
        settles="batch-1",
        ref_id=new_id(),
    )
    assert await ledger.append([plain, bare, full]) == 3
    assert await booked(ledger) == [plain, bare, full]


async def test_a_replay_changes_nothing(ledger: Ledger, entry: Make) -> None:
    entries = [entry(user=f"user-{n % 3:04}") for n in range(120)]
    assert await ledger.append(entries) == 120
    assert await ledger.append(entries) == 0
    assert await ledger.append([*entries, entry()]) == 1
    verification = await ledger.verify()
    assert (verification.is_sound, verification.entries) == (True, 121)
    assert (await ledger.statement(202611)).total.requests == 121


@pytest.mark.parametrize("size", [1, 99, 100, 101, 5_000])
async def test_a_flush_of_any_size_keeps_every_row(ledger: Ledger, entry: Make, size: int) -> None:
    assert await ledger.append([entry() for _ in range(size)]) == size
    assert (await ledger.verify()).entries == size


async def test_writers_racing_over_the_same_rows_book_each_once(
    ledger: Ledger, entry: Make
) -> None:
    entries = [entry(user=f"user-{n % 7:04}", model=f"model-{n % 3}") for n in range(200)]
    overlapping = [entries[start : start + 100] for start in (0, 50, 100)] + [entries[::-1]]
    counts = await asyncio.gather(*(ledger.append(part) for part in overlapping))
    assert sum(counts) == 200
    verification = await ledger.verify()
    assert (verification.is_sound, verification.entries) == (True, 200)


UNITS = st.sampled_from(["input_text", "cache_read_text", "output_text", "web_search_requests"])
AMOUNT = st.one_of(st.none(), st.integers(0, 2**60))


@st.composite
def entries_of_any_kind(draw: st.DrawFn) -> dict[str, object]:
    lines = draw(
        st.lists(
            st.builds(
                Line,
                unit=UNITS,
                quantity=st.integers(0, 2**53 + 1),
                price_id=st.just("p"),
                list_pico=AMOUNT,
                net_pico=AMOUNT,
                model=st.sampled_from([None, "model-b"]),
            ),
            max_size=3,
        )
    )
    lists, nets = [line.list_pico for line in lines], [line.net_pico for line in lines]
    return {
        "lines": tuple(lines),
        "list_pico": None if None in lists else sum(x or 0 for x in lists),
        "net_pico": None if None in nets else sum(x or 0 for x in nets),
        "price_status": "partial" if None in lists + nets else "priced",
        "user": draw(st.sampled_from(["user-0001", "user-0002"])),
        "app": draw(st.sampled_from([None, "app-1"])),
        "model": draw(st.sampled_from([None, "model-a"])),
        "day": draw(st.sampled_from(["2026-11-22", "2026-11-23"])),
        "kind": draw(st.sampled_from([EntryKind.USAGE, EntryKind.INTERRUPTED])),
    }


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(fields=st.lists(entries_of_any_kind(), max_size=6), again=st.randoms())
async def test_the_rollup_is_the_sum_of_the_rows(
    ledger: Ledger, entry: Make, fields: list[dict[str, object]], again: object
) -> None:
    entries = [entry(**one) for one in fields]
    assert await ledger.append(entries) == len(entries)
    assert await ledger.append(entries[::2]) == 0
    assert (await ledger.verify()).is_sound


async def test_the_view_expands_lines_to_the_same_sums(
    ledger: Ledger, database: Database, entry: Make
) -> None:
    await ledger.append(
        [
            entry(),
            entry(
                lines=(Line("input_text", 2**53 + 1, None, None, None, model="other"),),
                list_pico=None,
                net_pico=None,
                price_status="unpriced",
            ),
        ]
    )
    async with database.read() as connection:
        viewed = await connection.exec_driver_sql(
            "SELECT model, unit, sum(quantity), sum(list_pico) FROM usage_lines GROUP BY 1, 2 ORDER BY 1, 2"
        )
        rolled = await connection.exec_driver_sql(
            "SELECT model, unit, sum(quantity), nullif(sum(list_pico), 0) FROM usage_daily "
            "WHERE unit <> 'request' GROUP BY 1, 2 ORDER BY 1, 2"
        )
        expected = [tuple(row) for row in rolled]
        assert [tuple(row) for row in viewed] == expected
    assert ("other", "input_text", 2**53 + 1, None) in expected


async def test_an_estimate_and_then_the_truth_is_one_adjustment(
    ledger: Ledger, entry: Make
) -> None:
    truth = entry()
    guess = replace(
        truth,
        kind=EntryKind.INTERRUPTED,
        provenance="estimated",
        model="model-guess",
        lines=(
            Line("input_text", 1000, None, None, None),
            Line("output_text", 500, "p-output", 9, 9),
        ),
        list_pico=None,
        net_pico=None,
        price_status="partial",
    )
    assert await ledger.append([guess]) == 1
    assert [await ledger.append([truth]) for _ in range(3)] == [1, 0, 0]
    assert await ledger.append([guess]) == 0
    rows = await booked(ledger)
    assert [row.kind for row in rows] == [EntryKind.INTERRUPTED, EntryKind.ADJUSTMENT]
    assert (rows[1].id, rows[1].ref_id) == (adjustment_id(truth.id), truth.id)
    total = (await ledger.statement(202611)).total
    assert total.units == {"input_text": 1200, "output_text": 80}
    assert (total.list_pico, total.net_pico) == (truth.list_pico, truth.net_pico)
    assert (total.requests, total.unpriced) == (1, 0)
    assert (await ledger.verify()).is_sound


async def test_the_truth_first_and_then_an_estimate_is_the_truth(
    ledger: Ledger, entry: Make
) -> None:
    truth = entry()
    guess = replace(truth, kind=EntryKind.INTERRUPTED)
    assert await ledger.append([guess, truth]) == 1
    assert await ledger.append([guess]) == 0
    assert await booked(ledger) == [truth]


async def test_a_once_only_key_is_booked_by_one_entry(ledger: Ledger, entry: Make) -> None:
    first, second, third = (entry(settles="batch-7") for _ in range(3))
    assert await ledger.append([first, second, entry()]) == 2
    assert await ledger.append([third]) == 0
    assert await ledger.append([first]) == 0
    assert await ledger.settled(["batch-7", "batch-8"]) == {"batch-7"}
    assert [row.id for row in await booked(ledger) if row.settles] == [first.id]


async def test_racing_claims_of_a_once_only_key_book_one(ledger: Ledger, entry: Make) -> None:
    entries = [entry(settles="batch-1") for _ in range(4)]
    counts = await asyncio.gather(*(ledger.append([one]) for one in entries))
    assert sum(counts) == 1
    assert (await ledger.verify()).entries == 1


POISON: dict[str, dict[str, object]] = {
    "an unregistered unit": {
        "lines": (Line("moonbeams", 1, None, None, None),),
        "list_pico": None,
        "net_pico": None,
    },
    "a total that is not its lines'": {"list_pico": 1},
    "a negative quantity": {
        "lines": (Line("input_text", -1, None, None, None),),
        "list_pico": None,
        "net_pico": None,
    },
    "an amount past 64 bits": {
        "lines": (Line("input_text", 1, "p", 2**63, 1),),
        "list_pico": 2**63,
        "net_pico": 1,
    },
    "a count past 64 bits": {"counted_input": 2**70},
}


@pytest.mark.parametrize("what", POISON)
async def test_a_poison_row_is_quarantined_and_its_neighbours_are_booked(
    ledger: Ledger, entry: Make, what: str
) -> None:
    neighbours = [entry() for _ in range(9)]
    poison = entry(**POISON[what])
    assert await ledger.append([*neighbours[:4], poison, *neighbours[4:]]) == 9
    assert await ledger.append([poison]) == 0
    assert await ledger.quarantined() == 1
    assert (await ledger.verify()).entries == 9


async def test_sums_past_nine_million_dollars_are_exact(ledger: Ledger, entry: Make) -> None:
    most = 2**63 - 1
    entries = [
        entry(
            user=f"user-{n:04}",
            lines=(Line("input_text", most, "p", most, most),),
            list_pico=most,
            net_pico=most,
        )
        for n in range(3)
    ]
    await ledger.append(entries)
    total = (await ledger.statement(202611)).total
    assert (total.list_pico, total.units) == (3 * most, {"input_text": 3 * most})


async def test_usage_is_filtered_and_limited(ledger: Ledger, entry: Make) -> None:
    rows = [
        entry(team="team-1", user="user-0001", model="model-a", occurred_us=10),
        entry(team="team-1", user="user-0002", model="model-b", occurred_us=20),
        entry(team="team-2", user="user-0003", model="model-a", occurred_us=30),
    ]
    await ledger.append(rows)

    async def ids(**filters: object) -> list[UUID]:
        return [row.id async for row in ledger.usage(**filters)]  # type: ignore[arg-type]  # any filter

    one, two, three = (row.id for row in rows)
    assert await ids(since_us=20) == [two, three]
    assert await ids(until_us=20) == [one]
    assert await ids(since_us=10, until_us=30) == [one, two]
    assert await ids(team="team-1") == [one, two]
    assert await ids(user="user-0003") == [three]
    assert await ids(model="model-a") == [one, three]
    assert await ids(limit=2) == [one, two]
    assert await ids(limit=2, newest_first=True) == [three, two]


async def test_a_statement_is_of_a_period_or_of_days(ledger: Ledger, entry: Make) -> None:
    await ledger.append(
        [
            entry(day="2026-11-30", period=202611, team="team-1"),
            entry(day="2026-12-01", period=202612, team="team-1"),
            entry(day="2026-12-01", period=202612, team="team-2"),
        ]
    )

    async def requests(*args: object, **kwargs: object) -> int:
        return (await ledger.statement(*args, **kwargs)).total.requests  # type: ignore[arg-type]  # any filter

    assert await requests(202611) == 1
    assert await requests(202612) == 2
    assert await requests(202612, team="team-2") == 1
    assert await requests(from_day="2026-11-30", to_day="2026-12-01") == 1
    assert await requests(202701) == 0
    with pytest.raises(BadRequest):
        await requests()


async def test_what_is_charged_of_rows_without_a_total_stands_apart(
    ledger: Ledger, entry: Make
) -> None:
    priced = Line("input_text", 10, "p", 10**18 // 3, 4 * 10**18)
    unknown = Line("output_text", 3, None, None, None)
    other = Line("input_text", 1, "p", 5, 4, "advisor", "model-x")
    partly = [
        entry(lines=(priced, unknown), list_pico=None, net_pico=None, price_status="partial"),
        entry(
            lines=(priced, other, unknown), list_pico=None, net_pico=None, price_status="partial"
        ),
    ]
    whole = [entry(), entry(team="team-2")]
    await ledger.append([*partly, *whole])
    made = await ledger.statement(202611)
    assert made.total.partly_pico == 2 * 4 * 10**18 + 4
    assert (made.total.net_pico or 0) - made.total.partly_pico == sum(
        row.net_pico or 0 for row in (*partly, *whole)
    )
    assert {row.model: row.partly_pico for row in made.rows if row.partly_pico} == {
        "model-a": 8 * 10**18,
        "model-x": 4,
    }
    first, last = whole[0].day, "2027-01-01"
    assert (await ledger.statement(from_day=first, to_day=last)).total == made.total
    assert (await ledger.statement(202611, team="team-2")).total.partly_pico == 0


async def test_a_line_without_a_model_says_what_was_asked_for_and_of_whom(
    ledger: Ledger, entry: Make
) -> None:
    lacks = {"list_pico": None, "net_pico": None, "price_status": "unpriced", "model": None}
    lines = (Line("input_text", 5, None, None, None),)
    asked = [
        "gpt-99",
        "gpt-99",
        "a\u202eb",
        "gpt-98",
        *(f"name-{number:02}" for number in range(30)),
    ]
    await ledger.append([
        *(entry(lines=lines, deployment=name, **lacks) for name in asked),
        entry(lines=lines, deployment=None, **lacks),
        entry(lines=lines, deployment="gpt-of-another-team", team="team-2", **lacks),
        entry(deployment="a-deployment"),
        entry(period=202612, day="2026-12-01", lines=lines, deployment="next-month", **lacks),
    ])  # fmt: skip
    made = await ledger.statement(202611)
    told = {(row.team, row.model): row.asked for row in made.rows}
    own = next(names for (team, model), names in told.items() if not model and team != "team-2")
    assert own[0] == "gpt-99", "the most frequent first"
    assert len(own) == 20  # however many names clients think of
    assert told["team-2", ""] == ("gpt-of-another-team",)
    assert all(not names for (_, model), names in told.items() if model)
    assert {row.asked for row in (*made.teams, made.total)} == {()}
    of_team = await ledger.statement(202611, team="team-2")
    assert {row.asked for row in of_team.rows} == {("gpt-of-another-team",)}
    by_day = await ledger.statement(from_day="2026-12-01", to_day="2026-12-02")
    assert {row.asked for row in by_day.rows if not row.model} == {("next-month",)}


async def test_verify_finds_a_rollup_that_was_tampered_with(
    ledger: Ledger, database: Database, entry: Make
) -> None:
    await ledger.append([entry(), entry(period=202612, day="2026-12-01")])
    async with database.write() as connection:
        await connection.exec_driver_sql(
            "UPDATE usage_daily SET quantity = quantity + 1 WHERE unit = 'output_text' AND period = 202611"
        )
    verification = await ledger.verify()
    assert not verification.is_sound
    (difference,) = verification.differences
    assert (difference.cell.unit, difference.cell.period) == ("output_text", 202611)
    assert (await ledger.verify(202612)).is_sound
