"""A month of N requests in a ledger of its own, and how long its report takes: from the rollup and from the rows.

The people of a company of PEOPLE (1,000 by default) in 40 teams, one application in six of theirs, two to
three favourite models each of twelve, five units a request; 3 % of the answers were counted by us, 1 % of
the requests died. Rows are written past the product (COPY; executemany), the rollup is the product's own
fold over the same rows, and what both say has to be equal. To time another report: a line in ``timed``.
"""

import asyncio
import random
import sqlite3
import statistics
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from itertools import accumulate
from typing import Any, Final, NamedTuple
from uuid import UUID

import asyncpg
import msgspec
from sqlalchemy.engine import make_url

from gateway.kernel.clock import SystemClock
from gateway.ledger.entry import Entry, EntryKind, Line, Outcome
from gateway.ledger.period import day_and_period, next_period, period_start_us, previous_period
from gateway.ledger.rollup import Cell, Sums, by_month, merge, roll
from gateway.reporting.fold import Ledgered
from gateway.reporting.organisation import Organisation
from gateway.storage import reporting
from gateway.storage.books import sums_row
from gateway.storage.engine import Database
from gateway.storage.ledger import Ledger
from gateway.storage.partitions import Partitions
from gateway.storage.rows import FIELDS, values
from gateway.storage.tables import DAILY, MONTHLY, ROLLUP_SUMS

ROWS: Final = 1_500_000
PEOPLE: Final = 1_000
TEAMS: Final = 40
APPS: Final = 6
MODELS: Final = tuple(f"model-{number:02}" for number in range(12))
BLOCK: Final = 20_000
REPEATS: Final = 5
US_PER_DAY: Final = 86_400_000_000
_VARYING: Final = 8  # FIELDS begins with what differs from row to row
assert FIELDS[:_VARYING] == (
    "id", "request_id", "kind", "ref_id", "occurred_us", "booked_us", "day", "period",
)  # fmt: skip


class Shape(NamedTuple):
    """A row but for its id and its time, and how often it comes."""

    entry: Entry
    weight: float


class Month(NamedTuple):
    """What was written. ``seconds``: how long it took; ``cells``: rows of the rollup."""

    period: int
    rows: int
    cells: int
    seconds: float
    mib: int


def shapes(people: int, chance: random.Random) -> list[Shape]:
    """What these people send."""
    found: list[Shape] = []
    for user in range(people):
        diligence = chance.paretovariate(1.6)
        favourites = chance.sample(MODELS, chance.choice((2, 2, 3)))
        for rank, model in enumerate(favourites):
            weight = diligence / 3**rank
            for died, counted, share in ((False, False, 0.96), (False, True, 0.03), (True, True, 0.01)):  # fmt: skip
                found.append(Shape(_entry(user, model, chance, died, counted), weight * share))
    return found


def _entry(user: int, model: str, chance: random.Random, died: bool, counted: bool) -> Entry:  # noqa: FBT001
    tokens = {
        "input_text": chance.randint(200, 4_000),
        "cache_read_text": chance.randint(0, 30_000),
        "output_text": chance.randint(20, 900),
        "output_reasoning": chance.randint(0, 2_000),
    }
    prices = {
        "input_text": 2_500_000,
        "cache_read_text": 250_000,
        "output_text": 10_000_000,
        "output_reasoning": 10_000_000,
    }
    lines = tuple(
        Line(unit, many, f"{model}-{unit}", many * prices[unit], many * prices[unit] * 9 // 10)
        for unit, many in tokens.items()
    )
    return Entry(
        id=UUID(int=0),
        request_id=UUID(int=0),
        kind=EntryKind.INTERRUPTED if died else EntryKind.USAGE,
        occurred_us=0,
        booked_us=0,
        day="",
        period=0,
        org="org-1",
        team=f"team-{user % TEAMS:02}",
        user=f"user-{user:04}",
        app=f"app-{user % APPS}" if user % 3 else None,
        key_id=f"key-{user}",
        provider=("azure", "bedrock", "google")[MODELS.index(model) % 3],
        operation="chat",
        dialect="openai_chat",
        upstream="azure-test",
        deployment=model,
        model=model,
        served_model=model,
        scope="global",
        region="eastus2",
        status=200,
        stream=True,
        outcome=Outcome.INTERRUPTED if died else Outcome.COMPLETE,
        provenance="counted" if counted else "reported",
        lines=lines,
        list_pico=sum(line.list_pico or 0 for line in lines),
        net_pico=sum(line.net_pico or 0 for line in lines),
        price_status="priced",
        counted_input=tokens["input_text"],
        counted_output=tokens["output_text"],
        count_confidence="exact",
        provider_total=sum(tokens.values()),
        usage_raw=msgspec.json.encode(tokens).decode(),
        first_byte_ms=420,
        total_ms=2_345,
        provider_request_id="0" * 36,
    )


class Filling:
    """The rows of a month in the order of time, in blocks of one day each; counts what it made."""

    def __init__(self, rows: int, people: int, period: int) -> None:
        self.counts: Counter[tuple[str, int]] = Counter()
        self.shapes = shapes(people, random.Random(1))
        self._rows = rows
        self._period = period
        self._chance = random.Random(2)
        self._edges = list(accumulate(shape.weight for shape in self.shapes))

    def blocks(self) -> Iterator[tuple[str, list[tuple[int, int, int]]]]:
        """The day, and (milliseconds, number of the row, number of its shape) of each row."""
        start = period_start_us(self._period)
        span = period_start_us(next_period(self._period)) - start
        every = range(len(self.shapes))
        made = 0
        for day_us in range(start, start + span, US_PER_DAY):
            day, _ = day_and_period(day_us)
            until = self._rows * (day_us + US_PER_DAY - start) // span
            of_day, first = until - made, made
            while made < until:
                count = min(BLOCK, until - made)
                chosen = self._chance.choices(every, cum_weights=self._edges, k=count)
                self.counts.update((day, at) for at in chosen)
                yield (
                    day,
                    [
                        ((day_us + US_PER_DAY * (number - first) // of_day) // 1000, number, at)
                        for number, at in enumerate(chosen, start=made)
                    ],
                )
                made += count

    def rollups(self) -> dict[str, list[tuple[Any, ...]]]:
        """Rows of the rollups, by table: the product's own folds over what was made."""
        cells: dict[Cell, Sums] = {}
        for (day, at), count in self.counts.items():
            entry = msgspec.structs.replace(self.shapes[at].entry, day=day, period=self._period)
            once = roll([entry])
            for sums in once.values():
                for name in ROLLUP_SUMS:
                    setattr(sums, name, getattr(sums, name) * count)
            merge(cells, once)
        return {
            DAILY.name: [sums_row(cell, sums) for cell, sums in cells.items()],
            MONTHLY.name: [sums_row(cell, sums) for cell, sums in by_month(cells).items()],
        }


def _hex(ms: int, number: int) -> str:
    """A UUIDv7 of that millisecond, as 32 digits; unlike for every number, its lowest bit 0."""
    return f"{ms:012x}7{number & 0xFFF:03x}8{(number >> 12) << 1:015x}"


async def filled(url: str, rows: int, people: int = PEOPLE) -> Month:
    """Write the month before this one. The database is migrated and empty."""
    began = time.monotonic()
    _, this = day_and_period(SystemClock().wall_us())
    period = previous_period(this)
    filling = Filling(rows, people, period)
    database = Database(url)
    await Partitions(database).ensure(period_start_us(period))
    await database.close()
    if url.startswith("sqlite"):
        cells, mib = await asyncio.to_thread(_fill_sqlite, url, filling, period)
    else:
        cells, mib = await _fill_postgres(url, filling, period)
    return Month(period, rows, cells, time.monotonic() - began, mib)


async def _fill_postgres(url: str, filling: Filling, period: int) -> tuple[int, int]:
    heads = [f"\t{shape.entry.kind}\t\\N\t" for shape in filling.shapes]
    tails = ["\t".join(_copied(shape.entry)) + "\n" for shape in filling.shapes]

    async def rows() -> AsyncIterator[bytes]:
        for day, block in filling.blocks():
            middle = f"\t{day}\t{period}\t"
            yield "".join(
                f"{(name := _hex(ms, number))}\t{name}{heads[at]}{ms}000\t{ms}000{middle}{tails[at]}"
                for ms, number, at in block
            ).encode()

    connection = await asyncpg.connect(url)
    await connection.copy_to_table("usage_ledger", source=rows(), columns=FIELDS, format="text")
    rollups = filling.rollups()
    for table, sums in rollups.items():
        await connection.copy_records_to_table(table, records=sums)
    await connection.execute("VACUUM (ANALYZE)")  # as autovacuum has it a while after
    size = await connection.fetchval("SELECT pg_database_size(current_database())")
    await connection.close()
    return len(rollups[DAILY.name]), size >> 20


def _copied(entry: Entry) -> list[str]:
    row = values(entry)[_VARYING:]
    return ["\\N" if value is None else str(value).replace("\\", "\\\\") for value in row]


def _fill_sqlite(url: str, filling: Filling, period: int) -> tuple[int, int]:
    path = make_url(url).database
    assert path is not None
    kinds = [str(shape.entry.kind) for shape in filling.shapes]
    tails = [
        tuple(int(value) if isinstance(value, bool) else value for value in values(shape.entry)[_VARYING:])
        for shape in filling.shapes
    ]  # fmt: skip
    connection = sqlite3.connect(path)
    names = ", ".join(f'"{name}"' for name in FIELDS)
    marks = ", ".join("?" * len(FIELDS))
    for day, block in filling.blocks():
        connection.executemany(
            f"INSERT INTO usage_ledger ({names}) VALUES ({marks})",
            (
                ((name := bytes.fromhex(_hex(ms, number))), name, kinds[at], None, ms * 1000, ms * 1000, day, period, *tails[at])
                for ms, number, at in block
            ),
        )  # fmt: skip
        connection.commit()
    rollups = filling.rollups()
    for table, sums in rollups.items():
        marks = ", ".join("?" * len(sums[0]))
        connection.executemany(f"INSERT INTO {table} VALUES ({marks})", sums)
    connection.commit()
    connection.execute("ANALYZE")
    pages, size = (connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "page_size"))  # fmt: skip
    connection.close()
    return len(rollups[DAILY.name]), pages * size >> 20


_RAW_TEAMS: Final = (
    "SELECT team, model, count(*), sum(list_pico / 1000), sum(net_pico / 1000) FROM usage_ledger"
    " WHERE period = {period} GROUP BY team, model"
)
_RAW_PEOPLE: Final = (
    'SELECT team, "user", model, count(*), sum(list_pico / 1000), sum(net_pico / 1000)'
    ' FROM usage_ledger WHERE period = {period} GROUP BY team, "user", model'
)


async def reported(url: str, rows: int) -> dict[str, str]:
    """Figures of a month of so many requests."""
    return await timed(url, await filled(url, rows))


async def timed(url: str, month: Month) -> dict[str, str]:
    """Figures of every report."""
    database = Database(url)
    organisation = Organisation()

    async def statement() -> int:
        made = await Ledger(database).statement(month.period)
        return made.total.requests

    async def chargeback() -> int:
        found = await reporting.postings(database, month.period, organisation.spans())
        return Ledgered(month.period, found, organisation).summary().requests

    async def counted() -> int:
        found = await reporting.counted(database, month.period, organisation)
        return sum(sum(by.values()) for by in found.values())

    async def raw(query: str) -> int:
        return sum(row[-3] for row in await _rows(url, query.format(period=month.period)))

    figures = {
        "filled in / size on disk": f"{month.seconds:,.0f} s / {month.mib:,} MiB",
        "rows of the rollup by day": f"{month.cells:,}",
        "statement, team x user x model": await _spent(statement, month.rows),
        "chargeback, by cost centre": await _spent(chargeback, month.rows),
        "its count of unreported answers": await _spent(counted, None),
        "raw by team x model": await _spent(lambda: raw(_RAW_TEAMS), month.rows, 1),
        "raw by team x user x model": await _spent(lambda: raw(_RAW_PEOPLE), month.rows, 1),
    }
    await database.close()
    return figures


async def _rows(url: str, query: str) -> list[Any]:
    if url.startswith("sqlite"):

        def read() -> list[Any]:
            connection = sqlite3.connect(str(make_url(url).database))
            try:
                return connection.execute(query).fetchall()
            finally:
                connection.close()

        return await asyncio.to_thread(read)
    connection = await asyncpg.connect(url)
    try:
        return list(await connection.fetch(query))
    finally:
        await connection.close()


async def _spent(
    report: Callable[[], Awaitable[int]], requests: int | None, repeats: int = REPEATS
) -> str:
    """The median and the best of some runs; each of them has to find every request."""
    took = []
    for _ in range(repeats):
        began = time.perf_counter()
        found = await report()
        took.append(time.perf_counter() - began)
        assert requests is None or found == requests, (found, requests)
    median = f"{statistics.median(took):.2f} s"
    return median if repeats == 1 else f"{median}, best {min(took):.2f} s"
