"""The race for a budget, small: no engine overspends, and the race would see it if one did."""

import pytest

from tests.prove.quota_race import race
from tests.storage.conftest import binaries

PROCESSES, CLIENTS = 2, 60
needs_postgres = pytest.mark.skipif(binaries() is None, reason="no Postgres programs here")


@pytest.mark.parametrize("engine", ["sqlite", pytest.param("postgres", marks=needs_postgres)])
def test_no_budget_is_overspent_and_every_counter_is_the_sum_of_its_rows(engine: str) -> None:
    result = race(engine, processes=PROCESSES, clients=CLIENTS, seconds=20)
    assert result.breaches == []
    assert (
        sum(one.granted for one in result.tallies) - sum(one.voided for one in result.tallies)
        == result.rows
    )


def test_an_engine_that_only_looks_before_it_adds_overspends_in_the_same_race() -> None:
    result = race("naive", on="sqlite", processes=PROCESSES, clients=CLIENTS, seconds=8)
    assert result.overspent > 0
    assert result.wrong == []
