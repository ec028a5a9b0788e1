"""The proofs in small: what ``make prove`` runs for an hour, every test run sees for half a minute."""

import pytest

from gateway.edge.server import REST_SECONDS
from tests.prove import ending, kills, leaving, losing, memory, soak


def test_kills_lose_nothing_double_nothing_and_forward_nothing_without_a_row() -> None:
    found = kills.proved("sqlite", 4, seed=20)
    print(found)
    assert found.kills >= 4
    assert found.verdict.whole > 100
    assert found.verdict.breaches == 0, found.verdict


def test_memory_is_bounded_while_the_database_is_away() -> None:
    found = memory.proved(8_000)
    print(found)
    assert found.breaches == 0, found


def test_a_killed_worker_is_replaced_and_only_its_calls_fail() -> None:
    found = leaving.respawned()
    print(found)
    assert found.verdict.breaches == 0, found.verdict
    assert found.failed <= found.held_max
    assert found.respawn_s < 10


@pytest.mark.parametrize("engine", ["sqlite", "postgres"])
def test_a_node_whose_disk_is_gone_leaves_one_row_a_hold_and_free_counters(engine: str) -> None:
    found = losing.disk_gone(engine)
    print(found)
    assert found.segments
    assert found.verdict.unconfirmed > 0
    # What only the journal knew is gone with it: booked at zero, to be reconciled, but booked.
    lasting = found.verdict._replace(wrong=0)
    assert lasting.breaches == 0, found.verdict


@pytest.mark.parametrize("engine", ["sqlite", pytest.param("postgres", marks=pytest.mark.slow)])
def test_a_rolling_restart_books_what_the_provider_bills(engine: str) -> None:
    found = losing.rolled(engine)
    print(found)
    assert found.gone == losing.WORKERS
    assert found.verdict.forwarded > 100
    assert found.verdict.rows - found.verdict.adjusted == found.verdict.forwarded
    assert found.verdict.breaches == 0, found.verdict


@pytest.mark.parametrize(
    ("engine", "state"),
    [
        ("postgres", "database paused"),
        pytest.param("sqlite", "entra hangs", marks=pytest.mark.slow),
    ],
)
def test_it_is_gone_in_time_and_loses_nothing_whatever_hangs_around_it(
    engine: str, state: str
) -> None:
    found = ending.ended(engine, state, loaded=state.startswith("database"))
    print(found)
    assert found.code == 0
    # Some of the time it is ended by force, at that time: a flush that is taken back waits for its database.
    assert found.exit_s < ending.DRAIN_S + REST_SECONDS + 2
    assert found.noise == ()
    assert found.verdict.breaches == 0, found.verdict


@pytest.mark.slow
def test_a_mixed_load_leaves_the_books_right_and_nothing_in_hand() -> None:
    found = soak.soaked(0.3)
    print(found)
    assert found.verdict.asked > 100
    assert found.breaches() == []
