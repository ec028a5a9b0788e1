"""The whole gateway core under seeded faults, and proof that the simulation sees what it should."""

import pytest

from tests.sim.mutants import MUTANTS
from tests.sim.runs import ran, replay

SEEDS = 200
SEEDS_PER_MUTANT = 150


@pytest.mark.parametrize("first", range(0, SEEDS, 50))
def test_whatever_goes_wrong_no_row_is_lost_or_doubled(first: int) -> None:
    failed = {one.seed: one.breaches for one in ran(range(first, first + 50)) if one.breaches}
    told = [f"{replay(seed)}\n  {texts}" for seed, texts in failed.items()]
    assert not failed, "\n".join(told)


def test_a_seed_is_a_test_case() -> None:
    """The same seed plays the same story to the same rows, so a failure can be played again."""
    for seed in (3, 11):
        one, two = ran([seed, seed])
        assert one.world.story == two.world.story
        assert list(one.world.store.rows) == list(two.world.store.rows)


def test_the_nemesis_is_busy() -> None:
    worlds = [one.world for one in ran(range(40))]
    assert sum(len(world.dead) for world in worlds) > 20
    assert sum(len(world.cut_power_s) for world in worlds) > 5
    assert sum(len(world.upstreams.forwarded) for world in worlds) > 280
    refused = [got for world in worlds for got in world.truth.values() if b"budget" in got.body]
    assert len(refused) > 40
    flags = {flag for world in worlds for row in world.store.rows.values() for flag in row.flags}
    assert {"fail_open", "shadow_refused"} <= flags
    kinds = {str(row.kind) for world in worlds for row in world.store.rows.values()}
    assert {"usage", "interrupted", "unconfirmed"} <= kinds


@pytest.mark.parametrize("name", MUTANTS)
def test_a_bug_made_on_purpose_is_found(name: str) -> None:
    for count, one in enumerate(ran(range(SEEDS_PER_MUTANT), MUTANTS[name]), start=1):
        if one.breaches:
            print(f"{name}: found after {count} seeds: {one.breaches[0]}")
            return
    raise AssertionError(f"{name}: not found in {SEEDS_PER_MUTANT} seeds")
