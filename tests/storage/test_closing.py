"""The close of months on real databases: one winner, no row enters what is frozen, nothing that was kept changes."""

import asyncio
import csv
import gzip
import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import UUID

import pyarrow.parquet
import pytest

from gateway.kernel.money import format_usd
from gateway.ledger.closing import STATES, Refused, Sealed, State
from gateway.ledger.digest import canonical
from gateway.ledger.entry import Entry, EntryKind
from gateway.ledger.period import period_start_us
from gateway.storage import evidence
from gateway.storage.closing import ClosingStore, Standing, Step
from gateway.storage.engine import Database
from gateway.storage.errors import RowRefused
from gateway.storage.evidence_parquet import file_digest, parquet
from gateway.storage.ledger import Ledger

pytestmark = pytest.mark.anyio
Make = Callable[..., Entry]
OCTOBER, NOVEMBER, DECEMBER = 202610, 202611, 202612
DAY_US = 86_400_000_000


def step(now: Standing, period: int = OCTOBER, **changes: Any) -> Step:
    fields: dict[str, Any] = {"period": period, "revision": now.revision, "at_us": 1, "author": "owner-4100", "state": now.state}  # fmt: skip
    return Step(**(fields | changes))


async def taken(store: ClosingStore, to: State, period: int = OCTOBER) -> Standing:
    now = await store.begin(period, to, "a reason")
    await store.keep(step(now, period), {"*": f"{to} {now.revision}".encode()})
    return now


async def test_the_states_follow_each_other_and_everything_is_kept(database: Database) -> None:
    store = ClosingStore(database)
    assert await store.standing(OCTOBER) == Standing("open", 0, is_kept=True)
    for to in STATES[1:]:
        await taken(store, to)
    with pytest.raises(Refused, match="never changes"):
        await store.begin(OCTOBER, "provisional", "a reason")
    assert [(one.revision, one.state) for one in await store.steps(OCTOBER)] == [
        (1, "provisional"),
        (2, "reconciled"),
        (3, "approved"),
        (4, "posted"),
    ]
    assert await store.document(OCTOBER, "*") == b"posted 4"
    assert await store.document(OCTOBER, "*", 2) == b"reconciled 2"
    assert await store.document(OCTOBER, "4100") is None
    assert await store.documents(OCTOBER, 3) == {"*": b"approved 3"}
    assert await store.newest("*", [OCTOBER, NOVEMBER]) == {OCTOBER: b"posted 4"}
    assert await store.standings() == {OCTOBER: Standing("posted", 4, is_kept=True)}


async def test_of_many_who_take_a_step_one_finishes_it(database: Database) -> None:
    stores = [ClosingStore(database) for _ in range(8)]
    for to in STATES[1:]:
        begun = await asyncio.gather(*(store.begin(OCTOBER, to, "x") for store in stores), return_exceptions=True)  # fmt: skip
        standings = [one for one in begun if isinstance(one, Standing)]
        assert len(set(standings)) == 1  # others take the same begun step up, or are refused
        kept = await asyncio.gather(
            *(
                store.keep(step(standings[0], author=f"owner-{at}"), {"*": str(at).encode()})
                for at, store in enumerate(stores)
            ),
            return_exceptions=True,
        )
        assert [one for one in kept if one is not None and not isinstance(one, Refused)] == []
        assert kept.count(None) == 1
        winner = (await stores[0].steps(OCTOBER))[-1].author
        assert await stores[0].document(OCTOBER, "*") == winner.removeprefix("owner-").encode()


async def test_a_step_that_died_is_taken_up_and_no_other_is_begun(database: Database) -> None:
    store = ClosingStore(database)
    await taken(store, "provisional")
    begun = await store.begin(OCTOBER, "reconciled", "x")
    assert not begun.is_kept
    with pytest.raises(Refused, match="--to reconciled"):
        await store.begin(OCTOBER, "approved", "x")
    assert await store.begin(OCTOBER, "reconciled", "x") == begun
    await store.keep(step(begun), {})
    assert await store.standing(OCTOBER) == Standing("reconciled", 2, is_kept=True)


async def test_what_was_kept_can_be_neither_changed_nor_removed(database: Database) -> None:
    await taken(ClosingStore(database), "provisional")
    for table in ("period_change", "period_document"):
        for statement in (
            f"UPDATE {table} SET revision = 9",
            f"DELETE FROM {table}",
        ):  # our own names
            with pytest.raises(RowRefused):
                async with database.write() as connection:
                    await connection.exec_driver_sql(statement)


def minted(at_us: int, number: int) -> UUID:
    """An id as of a moment; its lowest bit 0, as of every attempt."""
    return UUID(int=(at_us // 1000 << 80) | 0x7 << 76 | 0x2 << 62 | number << 1)


def rows_of(entry: Make, period: int, count: int, seed: int) -> list[Entry]:
    dice = random.Random(seed)
    start = period_start_us(period)
    found = []
    for n in range(count):
        at_us = start + dice.randrange(28 * DAY_US)
        day = f"{period // 100}-{period % 100:02}-{(at_us - start) // DAY_US + 1:02}"
        user = f"user-{dice.randrange(5):04}"
        found.append(entry(id=minted(at_us, seed * 100_000 + n), occurred_us=at_us, day=day, period=period, user=user))  # fmt: skip
    return found


async def by_period(ledger: Ledger) -> dict[int, list[Entry]]:
    found: dict[int, list[Entry]] = {}
    async for one in ledger.usage():
        found.setdefault(one.period, []).append(one)
    return found


async def test_late_rows_and_corrections_go_to_the_open_month_under_their_own_day(
    database: Database, ledger: Ledger, entry: Make
) -> None:
    store = ClosingStore(database)
    estimate = entry(kind=EntryKind.INTERRUPTED, day="2026-10-30", period=OCTOBER, provenance="counted")  # fmt: skip
    await ledger.append([estimate, *rows_of(entry, OCTOBER, 3, 1)])
    for to in STATES[1:3]:
        await taken(store, to)
    late = rows_of(entry, OCTOBER, 2, 2)
    true = entry(id=estimate.id, request_id=estimate.request_id, day="2026-10-30", period=OCTOBER)
    assert await ledger.append([*late, true]) == 3
    assert await ledger.append([*late, true]) == 0  # a replay is a replay, wherever it was booked
    found = await by_period(ledger)
    assert len(found[OCTOBER]) == 4
    moved = {one.id: one for one in found[NOVEMBER]}
    assert {one.day[:7] for one in moved.values()} == {"2026-10"}
    (correction,) = [one for one in moved.values() if one.kind is EntryKind.ADJUSTMENT]
    assert correction.ref_id == estimate.id
    assert (await ledger.verify()).is_sound


async def test_a_row_passes_over_every_month_that_is_frozen(
    database: Database, ledger: Ledger, entry: Make
) -> None:
    store = ClosingStore(database)
    await ledger.append([entry()])  # the ledger has seen the months open
    for period in (OCTOBER, NOVEMBER):
        for to in STATES[1:]:
            await taken(store, to, period)
    (row,) = rows_of(entry, OCTOBER, 1, 3)
    await ledger.append([row])
    assert [one.id for one in (await by_period(ledger))[DECEMBER]] == [row.id]


async def test_a_month_that_goes_back_takes_rows_again(
    database: Database, ledger: Ledger, entry: Make
) -> None:
    store = ClosingStore(database)
    for to in STATES[1:4]:
        await taken(store, to)
    await taken(store, "provisional")
    await ledger.append(rows_of(entry, OCTOBER, 1, 4))
    assert len((await by_period(ledger))[OCTOBER]) == 1


async def test_no_row_enters_while_the_month_is_being_frozen(
    database: Database, entry: Make
) -> None:
    store, ledgers = ClosingStore(database), [Ledger(database) for _ in range(4)]
    await taken(store, "provisional")
    batches = [rows_of(entry, OCTOBER, 20, seed) for seed in range(10, 30)]

    async def book(at: int) -> None:
        await asyncio.sleep(0.002 * at)
        await ledgers[at % 4].append(batches[at])

    async def freeze() -> set[UUID]:
        await asyncio.sleep(0.01)
        await taken(store, "reconciled")
        return {one.id for one in (await by_period(ledgers[0])).get(OCTOBER, [])}

    async with asyncio.TaskGroup() as group:
        frozen = group.create_task(freeze())
        for at in range(len(batches)):
            group.create_task(book(at))
    found = await by_period(ledgers[0])
    assert {one.id for one in found.get(OCTOBER, [])} == frozen.result()
    assert sum(map(len, found.values())) == 400
    assert (await ledgers[0].verify()).is_sound


@pytest.mark.parametrize("seed", range(3))
async def test_the_sum_of_a_posted_month_never_changes(
    database: Database, ledger: Ledger, entry: Make, seed: int
) -> None:
    """Rows of any month in any order between steps of any close."""
    dice, store = random.Random(seed), ClosingStore(database)
    posted: dict[int, tuple[int, int]] = {}
    booked = 0
    for turn in range(40):
        period = dice.choice([202609, OCTOBER, NOVEMBER])
        if dice.random() < 0.5:
            booked += await ledger.append(rows_of(entry, period, dice.randrange(4), 1000 + turn))
        else:
            now = await store.standing(period)
            to = STATES[min(STATES.index(now.state) + 1, len(STATES) - 1)]
            if now.state != "posted":
                await taken(store, to, period)
            if to == "posted":
                posted.setdefault(period, await _sum(ledger, period))
        for closed, kept in posted.items():
            assert await _sum(ledger, closed) == kept
    assert posted
    assert sum(map(len, (await by_period(ledger)).values())) == booked
    assert (await ledger.verify()).is_sound


async def _sum(ledger: Ledger, period: int) -> tuple[int, int]:
    total = (await ledger.statement(period)).total
    return total.requests, total.net_pico or 0


# ── the rows as evidence ─────────────────────────────────────────────────────────────────────────


def read(database: Database, expected: int, to: Path | None = None) -> evidence.Rows:
    """In a thread: it runs event loops of its own."""
    url = database.engine.url.render_as_string(hide_password=False)
    with ThreadPoolExecutor(1) as thread:
        work = thread.submit(evidence.read_rows, url, OCTOBER, zone="UTC", expected=expected, to=to)
        return work.result()


async def test_the_digest_is_over_every_row_of_the_month_however_it_is_cut(
    database: Database, ledger: Ledger, entry: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside = rows_of(entry, OCTOBER, 60, 5)
    before = [entry(id=minted(period_start_us(202609), n), day="2026-09-01", period=OCTOBER) for n in range(3)]  # fmt: skip
    after = [entry(period=OCTOBER, day="2026-10-31", tags=("a=b",), flags=(), stream=False)]
    others = rows_of(entry, NOVEMBER, 5, 6)
    await ledger.append([*inside, *before, *after, *others])
    wanted = sorted([*inside, *before, *after], key=lambda one: one.id)
    whole = sha256(b"".join(sha256(canonical(one)).digest() for one in wanted)).hexdigest()
    net = sum(one.net_pico or 0 for one in wanted)
    assert read(database, 64) == evidence.Rows(64, net, whole)
    monkeypatch.setattr(evidence, "ROWS_PER_SHARD", 5)
    assert read(database, 64) == evidence.Rows(64, net, whole)


async def test_evidence_read_back_sums_to_the_month_in_both_forms(
    database: Database, ledger: Ledger, entry: Make, tmp_path: Path
) -> None:
    rows = [*rows_of(entry, OCTOBER, 50, 7), entry(period=OCTOBER, day="2026-10-02", app="=1+1", lines=(), list_pico=None, net_pico=None, price_status="unpriced")]  # fmt: skip
    await ledger.append(rows)
    packed, columns = tmp_path / "rows.csv.gz", tmp_path / "rows.parquet"
    found = read(database, 51, packed)
    with gzip.open(packed, "rt", newline="") as file:
        lines = list(csv.DictReader(file))
    assert [line["id"] for line in lines] == [str(one.id) for one in sorted(rows, key=lambda one: one.id)]  # fmt: skip
    net = sum(Decimal(line["net_usd"]) for line in lines if line["net_usd"])
    assert net == Decimal(format_usd(found.net_pico))
    assert sum(int(line["input"]) for line in lines) == 50 * 1200
    assert {line["app"] for line in lines} == {"", "'=1+1"}
    assert parquet(packed, columns) == 51
    table = pyarrow.parquet.read_table(columns)
    assert sum(value for value in table["net_usd"].to_pylist() if value is not None) == net
    assert sum(table["output"].to_pylist()) == 50 * 80
    assert table["occurred_at"].type.tz == "UTC"
    assert file_digest(packed) == sha256(packed.read_bytes()).hexdigest()
    again = tmp_path / "again.csv.gz"
    read(database, 51, again)
    assert again.read_bytes() == packed.read_bytes()


async def test_workers_of_their_own_find_the_same(
    database: Database, ledger: Ledger, entry: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    await ledger.append(rows_of(entry, OCTOBER, 40, 8))
    alone = read(database, 40)
    monkeypatch.setattr(evidence, "ALONE_MAX", 1)
    assert read(database, 40) == alone


async def test_a_seal_is_read_back_as_it_was_kept(database: Database) -> None:
    store = ClosingStore(database)
    now = await store.begin(OCTOBER, "provisional")
    sealed = Sealed(rows=2, digest="ab", version=2, net_pico=10**20, link=3, link_digest="cd", documents={"": "ef"})  # fmt: skip
    kept = step(now, note="n", journal="j", sealed=sealed, signature=b"\x00\x01")
    await store.keep(kept, {})
    assert await store.steps(OCTOBER) == [kept]
