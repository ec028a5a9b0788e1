"""The proofs in small: what ``make prove`` runs for an hour, every test run sees for half a minute."""

from tests.prove import kills, leaving, memory


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
