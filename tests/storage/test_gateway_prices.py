"""Prices imported while the gateway runs: charged by within seconds, whole or not at all, and told on the rows."""

import asyncio
import time
from pathlib import Path

import msgspec
import pytest

from gateway import app as composition
from gateway.commands.prices.imports import current_book
from gateway.commands.prices.missing import missing
from gateway.kernel.errors import ConfigurationError
from gateway.livebook import LiveBook
from gateway.pricing import load
from gateway.pricing.importing import Plan, planned
from gateway.pricing.rate import Status
from gateway.pricing.row import Row
from gateway.storage.engine import Database
from gateway.storage.prices import PriceStore
from tests.serving import RawUpstream, Running, Script, deployments, raw_exchange, serving
from tests.storage.test_gateway_budgets import CHAT, answering, request

EXTRA = deployments(("gpt-4o", "gpt-4o-2024-11-20", "global"))
MODEL = "gpt-4o"


def price(unit: str, pico: int, **more: object) -> Row:
    fields: dict[str, object] = {
        "terms": ("azure", MODEL, "global", "", "", "standard"),
        "unit": unit,
        "pico": pico,
        "source": "our agreement",
        "evidence": "manual",
        "origin": "own.csv:2",
    }
    return Row(**(fields | more))  # type: ignore[arg-type]  # fields by name


async def brought(url: str, *rows: Row) -> Plan:
    database = Database(url)
    try:
        return await PriceStore(database).bring(
            lambda there: (planned(there.rows, rows, there.version + 1), "by a test"),
            at_us=1,
            author="user-0001",
            reason="",
            file="own.csv",
        )
    finally:
        await database.close()


def until(running: Running, version: int, seconds: float = 20) -> float:
    """How long it took until the worker charges by an import; five seconds, on a machine with time to look."""
    started = time.monotonic()
    while running.gateway.prices.version != version:
        assert time.monotonic() - started < seconds, "the worker did not pick the prices up"
        time.sleep(0.02)
    return time.monotonic() - started


def test_an_import_is_charged_by_while_it_runs_and_told_on_the_row(
    url: str, tmp_path: Path
) -> None:
    with answering().running() as base, serving(tmp_path, base, EXTRA, database=url) as running:
        raw = request(running.key.key)
        raw_exchange(running.port, raw)
        (first,) = running.rows(1)
        old = running.gateway.book
        asyncio.run(brought(url, price("output_text", 10**12), price("input_text", 10**11)))
        until(running, 1)
        assert running.gateway.book is not old
        raw_exchange(running.port, raw)
        rows = running.rows(2)
        (second,) = [one for one in rows if one.id != first.id]
        # 9 tokens at 0.1 and 10 at 1 USD per million, in pico-USD.
        assert second.net_pico == 9 * 10**5 + 10 * 10**6
        assert {line.price_id.rpartition("+")[2] for line in second.lines if line.price_id} == {
            "import-1"
        }
        assert (first.catalog, second.catalog) == (old.catalog, running.gateway.book.catalog)
        assert first.catalog != second.catalog


def test_prices_that_make_no_book_leave_the_last_good_one_in_use(url: str, tmp_path: Path) -> None:
    with answering().running() as base, serving(tmp_path, base, EXTRA, database=url) as running:
        book = running.gateway.book
        asyncio.run(brought(url, price("nonsense_unit", 1)))
        prices = running.gateway.prices
        failed = 'weighbridge_failures_total{step="prices"} 1\n'
        deadline = time.monotonic() + 10
        while failed not in running.gateway.metrics.render():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert prices.is_stale
        assert running.gateway.book is book
        assert "weighbridge_price_book_stale 1\n" in running.gateway.metrics.render()
        head, _, _ = raw_exchange(running.port, request(running.key.key))
        assert head.split(b" ")[1] == b"200"
        # A gateway that starts now has no last good book: it says so instead of charging by another one.
        asyncio.run(_refused(running))


async def _refused(running: Running) -> None:
    async with composition.opened(running.config) as database:
        live = LiveBook(running.config, running.gateway.observer)
        with pytest.raises(ConfigurationError, match="import 1: unit 'nonsense_unit' is not known"):
            await live.follow(PriceStore(database))


def test_a_model_that_had_no_price_passes_once_it_has_one(url: str, tmp_path: Path) -> None:
    extra = deployments(("gpt-4o", "brand-new", "global"))
    with (
        answering().running() as base,
        serving(tmp_path, base, extra, database=url, allow_unpriced=False) as running,
    ):
        raw = request(running.key.key)
        head, _, _ = raw_exchange(running.port, raw)
        assert head.split(b" ")[1] == b"403"
        terms = ("azure", "brand-new", "global", "", "", "standard")
        rows = [price(unit, 10**12, terms=terms) for unit in ("input_text", "output_text")]
        asyncio.run(brought(url, *rows))
        until(running, 1)
        head, _, _ = raw_exchange(running.port, raw)
        assert head.split(b" ")[1] == b"200"


def test_what_was_booked_without_a_price_is_listed_with_the_row_that_cures_it(
    url: str, tmp_path: Path
) -> None:
    extra = deployments(("gpt-4o", "brand-new", "global"))
    body = CHAT.replace(b"gpt-4o-2024-11-20", b"brand-new")
    upstream = RawUpstream(
        lambda head, sent: Script(200, [("content-type", "application/json")], [body])
    )
    with upstream.running() as base, serving(tmp_path, base, extra, database=url) as running:
        for _ in range(3):
            raw_exchange(running.port, request(running.key.key))
        running.rows(3)
        gaps, unknown = missing(running.config, current_book(running.config), 0)
        assert [(gap.wanted.unit, gap.missed.lines, gap.missed.quantity) for gap in gaps] == [
            ("input_text", 3, 27), ("output_text", 3, 30),
        ]  # fmt: skip
        assert ({gap.now for gap in gaps}, unknown) == ({Status.UNPRICED}, 0)
        lines = [gap.row.replace("<USD>", "1") for gap in gaps]
        rows, problems = load.rows("own.csv", "\n".join([",".join(load.COLUMNS), *lines]).encode())
        assert problems == ()
        early = [msgspec.structs.replace(row, since_us=0) for row in rows]
        asyncio.run(brought(url, *early))
        gaps, _ = missing(running.config, current_book(running.config), 0)
        assert {gap.now for gap in gaps} == {Status.PRICED}
