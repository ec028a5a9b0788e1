"""Reports read the rollup of months, and say what the days and the rows say; none reads a month it need not."""

import asyncio
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa

from gateway.ledger.entry import Entry, EntryKind
from gateway.ledger.rollup import by_month, roll
from gateway.reporting.organisation import Assignment, Organisation
from gateway.storage import migrate, reporting
from gateway.storage.engine import Database
from gateway.storage.ledger import Ledger
from gateway.storage.partitions import Partitions, first_id
from gateway.storage.tables import MONTHLY
from gateway.storage.verifying import rollup_of

Make = Callable[..., Entry]
WITHIN_A_MONTH = Organisation(
    assignments=(
        Assignment("team-0", "4100", until_day="2026-11-10"),
        Assignment("team-0", "4200", from_day="2026-11-10"),
        Assignment("team-1", "4200", from_day="2026-11-01"),
    )
)


def of_two_months(entry: Make) -> list[Entry]:
    """Sixty rows, some of a day before their period, some counted by us."""
    days = ("2026-10-30", "2026-11-09", "2026-11-10", "2026-11-30", "2026-12-01")
    rows = [
        entry(
            day=days[n % 5],
            period=202612 if days[n % 5] > "2026-12" else 202611,
            team=f"team-{n % 3}",
            user=f"user-{n % 4:04}",
            app=None if n % 2 else "app",
            model=f"model-{n % 2}",
            provenance="counted" if n % 7 == 0 else "reported",
        )
        for n in range(60)
    ]
    late = entry(kind=EntryKind.ADJUSTMENT, ref_id=rows[0].id, day="2026-09-30", period=202611)
    return [*rows, late]


@pytest.mark.anyio
async def test_the_month_says_what_its_days_say(ledger: Ledger, entry: Make) -> None:
    await ledger.append(of_two_months(entry))
    of_days = await ledger.statement(202611, from_day="0000-00-00")
    assert await ledger.statement(202611) == of_days
    assert of_days.total.requests == 48
    assert await ledger.statement(202611, team="team-1") == await ledger.statement(
        202611, from_day="2026-01-01", team="team-1"
    )


@pytest.mark.anyio
@pytest.mark.parametrize("organisation", [Organisation(), WITHIN_A_MONTH])
async def test_spans_of_days_add_up_to_the_month(
    database: Database, ledger: Ledger, entry: Make, organisation: Organisation
) -> None:
    rows = of_two_months(entry)
    await ledger.append(rows)
    found = await reporting.postings(database, 202611, organisation.spans())
    month = [row for row in rows if row.period == 202611]
    assert sum(one.net_pico for one in found) == sum(row.net_pico or 0 for row in month)
    late = sum(row.net_pico or 0 for row in month if row.day < "2026-11-01")
    assert sum(one.net_pico for one in found if one.is_late) == late
    counted = await reporting.counted(database, 202611, organisation)
    wanted = [row for row in month if row.provenance == "counted" and row.day >= "2026-11-01"]
    assert sum(sum(by.values()) for by in counted.values()) == len(wanted) > 0
    history = await reporting.history(database, [202611], organisation)
    assert sum(one.net_pico for one in history[202611]) == sum(row.net_pico or 0 for row in month)


@pytest.mark.anyio
async def test_the_rollup_of_months_is_the_sum_of_the_rows(
    database: Database, ledger: Ledger, entry: Make
) -> None:
    rows = of_two_months(entry)
    await ledger.append(rows[:30])
    await ledger.append(rows[20:])
    async with database.read() as connection:
        kept = await rollup_of(connection, MONTHLY, 202611)
    assert kept == by_month(roll(row for row in rows if row.period == 202611))
    assert {cell.day for cell in kept} == {"2026-09", "2026-10", "2026-11"}


def test_a_ledger_of_before_gets_its_months(empty_url: str, entry: Make) -> None:
    migrate.upgrade(empty_url)
    rows = of_two_months(entry)

    async def booked() -> None:
        database = Database(empty_url)
        await Partitions(database).ensure(rows[0].occurred_us)
        await Ledger(database).append(rows)
        await database.close()

    async def sound() -> bool:
        database = Database(empty_url)
        found = await Ledger(database).verify()
        await database.close()
        return found.is_sound and found.entries == len(rows)

    asyncio.run(booked())
    migrate.downgrade(empty_url, "0005")
    migrate.upgrade(empty_url)
    assert asyncio.run(sound())


@pytest.mark.anyio
async def test_what_is_of_one_month_is_read_from_one_partition(
    database: Database, ledger: Ledger, entry: Make
) -> None:
    if not database.is_postgres:
        pytest.skip("SQLite has no partitions")
    start = first_id(202611).int
    await ledger.append([entry(id=UUID(int=start + 2)), entry(id=UUID(int=first_id(202612).int))])
    day_later = UUID(int=start + (86_400_000 << 80))
    one_day = f"SELECT * FROM usage_ledger WHERE id >= '{UUID(int=start)}' AND id < '{day_later}'"
    assert await partitions_of(database, one_day) == {"usage_ledger_202611"}
    everything = await partitions_of(database, "SELECT * FROM usage_ledger")
    assert {"usage_ledger_202611", "usage_ledger_202612", "usage_ledger_default"} <= everything
    queries: list[str] = []
    with listening(database, queries):
        await ledger.statement(202611)
        await reporting.postings(database, 202611, Organisation().spans())
    partly, *others = queries
    assert "net_pico IS NULL" in partly  # the few rows without a total of their own have an index
    assert len(others) == 3
    assert [await partitions_of(database, query) for query in others] == [set()] * 3


@pytest.mark.anyio
async def test_answers_nobody_reported_are_counted_from_their_index(
    database: Database, ledger: Ledger, entry: Make
) -> None:
    await ledger.append([entry(provenance="counted" if n % 50 == 0 else "reported") for n in range(2_000)])  # fmt: skip
    queries: list[str] = []
    with listening(database, queries):
        found = await reporting.counted(database, 202611, Organisation())
    assert found[""] == {"counted": 40}
    how = "EXPLAIN " if database.is_postgres else "EXPLAIN QUERY PLAN "
    async with database.write() as connection:
        await connection.exec_driver_sql("ANALYZE")
        (query,) = queries
        plan = str((await connection.exec_driver_sql(how + query)).all())
        assert "unreported" in plan or "_period_day_team_kind_user_app_idx" in plan, plan


@contextmanager
def listening(database: Database, queries: list[str]) -> Iterator[None]:
    """Collects what is asked of the database, its values written in."""

    def heard(*given: Any) -> None:
        statement, parameters = given[2], given[3]
        for at, value in reversed(list(enumerate(parameters, start=1))):
            mark = f"${at}::" if database.is_postgres else "?"
            text = f"'{value}'" if isinstance(value, str) else str(value)
            if database.is_postgres:
                statement = re.sub(rf"\${at}::\w+", text, statement)
            else:
                before, _, after = statement.rpartition(mark)
                statement = f"{before}{text}{after}"
        if statement.startswith("SELECT"):
            queries.append(statement)

    engine = database.engine.sync_engine
    sa.event.listen(engine, "before_cursor_execute", heard)
    try:
        yield
    finally:
        sa.event.remove(engine, "before_cursor_execute", heard)


async def partitions_of(database: Database, query: str) -> set[str]:
    """The partitions of the ledger that a query would read."""
    async with database.read() as connection:
        rows = (await connection.exec_driver_sql("EXPLAIN " + query)).all()
    return set(re.findall(r"usage_ledger_(?:\d{6}|default)\b", "\n".join(row[0] for row in rows)))
