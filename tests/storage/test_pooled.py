"""Behind a pooler in transaction mode: the gateway serves, holds, books and verifies, and leaves nothing on a server."""

import asyncio
import os
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import asyncpg
import pytest

from gateway.kernel.errors import ConfigurationError
from gateway.storage.engine import driver_url
from gateway.storage.errors import StoreUnavailable
from gateway.storage.pooled import is_lent
from tests.serving import raw_exchange, serving
from tests.storage.lending import SERVERS, lending
from tests.storage.test_fitness import fitted
from tests.storage.test_gateway_budgets import (
    CEILING,
    EXTRA,
    answering,
    budget,
    quiet,
    request,
    sound,
)

GIVEN = os.environ.get("WEIGHBRIDGE_TEST_POOLER")  # host:port of a pgbouncer before the same server
SERVED = 6


@pytest.mark.parametrize("dialect", ["postgres"])
def test_a_gateway_behind_a_pooler_holds_books_and_leaves_no_statement(
    url: str, tmp_path: Path
) -> None:
    with lending(url) as pooled, answering().running() as base, ThreadPoolExecutor(8) as clients:
        at = f"{_given(pooled)}?statement_cache_size=0"
        with serving(tmp_path, base, EXTRA, database=at) as running:
            running.put_budgets(budget("out", "output_tokens", SERVED * CEILING))
            raw = request(running.key.key)
            heads = clients.map(lambda _: raw_exchange(running.port, raw)[0], range(2 * SERVED))
            assert Counter(int(head.split(b" ")[1]) for head in heads) == {200: SERVED, 429: SERVED}
            running.rows(SERVED)
            assert quiet(running)
            assert running.counters()["out"].posted == SERVED * CEILING
            assert asyncio.run(sound(running))
        assert asyncio.run(_prepared(pooled)) == [0] * SERVERS


@pytest.mark.parametrize("dialect", ["postgres"])
def test_a_pooler_that_nobody_told_us_of_is_named_with_its_cure(url: str) -> None:
    with lending(url) as pooled, pytest.raises(StoreUnavailable, match=r"\?statement_cache_size=0"):
        asyncio.run(fitted(pooled))


def _given(pooled: str) -> str:
    return f"postgresql://postgres@{GIVEN}{pooled[pooled.rindex('/') :]}" if GIVEN else pooled


async def _prepared(url: str) -> list[int]:
    """How many prepared statements each server of the pooler has."""
    clients = [await asyncpg.connect(url, statement_cache_size=0) for _ in range(SERVERS)]
    try:
        for client in clients:
            await client.execute("BEGIN")
        return [
            await one.fetchval("SELECT count(*) FROM pg_prepared_statements WHERE name != ''")
            for one in clients
        ]
    finally:
        for client in clients:
            await client.close()


def test_either_cache_at_zero_says_that_servers_are_lent() -> None:
    at = "postgresql://u@h/d"
    assert not is_lent(driver_url(at))
    assert not is_lent(driver_url(f"{at}?statement_cache_size=50"))
    assert is_lent(driver_url(f"{at}?statement_cache_size=0"))
    assert is_lent(driver_url(f"{at}?prepared_statement_cache_size=0&sslmode=require"))
    wrong = f"{at}?statement_cache_size=none&prepared_statement_cache_size=-1"
    with pytest.raises(ConfigurationError) as caught:
        driver_url(wrong)
    assert [problem.split(":")[1].strip() for problem in caught.value.problems] == [
        "statement_cache_size",
        "prepared_statement_cache_size",
    ]
