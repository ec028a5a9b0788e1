"""The race for a budget, small: no engine overspends, whatever it has to bear, and the race would see it if one did."""

import pytest

from tests.prove.quota_race import Result, race
from tests.storage.conftest import binaries
from tests.storage.valkey_server import binary

PROCESSES, CLIENTS = 2, 60
needs_postgres = pytest.mark.skipif(binaries() is None, reason="no Postgres programs here")
needs_valkey = pytest.mark.skipif(
    binaries() is None or binary() is None, reason="no Postgres or no Valkey programs here"
)


@pytest.mark.parametrize(
    "engine",
    [
        "sqlite",
        pytest.param("postgres", marks=needs_postgres),
    ],
)
def test_no_budget_is_overspent_and_every_counter_is_the_sum_of_its_rows(engine: str) -> None:
    result = race(engine, processes=PROCESSES, clients=CLIENTS, seconds=20)
    assert result.breaches == []
    assert granted(result) == result.rows


@needs_valkey
def test_nothing_is_overspent_when_valkey_forgets_everything_in_the_middle() -> None:
    result = race("valkey", "forgotten", processes=PROCESSES, clients=CLIENTS, seconds=20)
    assert result.breaches == []
    assert sum(one.away for one in result.tallies) > 0
    assert granted(result) == result.rows


def granted(result: Result) -> int:
    return sum(one.granted - one.voided for one in result.tallies)


def test_an_engine_that_only_looks_before_it_adds_overspends_in_the_same_race() -> None:
    result = race("naive", on="sqlite", processes=PROCESSES, clients=CLIENTS, seconds=8)
    assert result.overspent > 0
    assert result.wrong == []
