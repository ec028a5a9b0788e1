"""The online correction: learns what a provider reports over what was counted, and forgets in bounds."""

from hypothesis import given, strategies as st

from gateway.metering.ratio import OUTLIER, PAIRS_MAX, Ratios

counts = st.integers(1, 200_000)


def test_an_unknown_pair_is_left_as_it_is() -> None:
    assert Ratios().apply("m", "t", 1234) == 1234
    assert Ratios().millionths("m", "t") == 1_000_000


def test_a_steady_ratio_is_learnt_per_model_and_tenant() -> None:
    ratios = Ratios()
    for _ in range(200):
        ratios.observe("m", "t", 1000, 1250)
    assert 1240 <= ratios.apply("m", "t", 1000) <= 1250
    assert ratios.apply("m", "other", 1000) == 1000
    assert ratios.apply("other", "t", 1000) == 1000


def test_a_change_shows_after_as_much_evidence_as_is_kept() -> None:
    ratios = Ratios()
    for _ in range(5000):
        ratios.observe("m", "t", 1000, 1000)
    for _ in range(2000):
        ratios.observe("m", "t", 1000, 1500)
    assert ratios.millionths("m", "t") > 1_350_000


def test_one_oddity_moves_little() -> None:
    ratios = Ratios()
    for _ in range(500):
        ratios.observe("m", "t", 1000, 1000)
    ratios.observe("m", "t", 10, 10_000_000)
    assert ratios.apply("m", "t", 1000) <= 1001


def test_nothing_is_learnt_from_nothing() -> None:
    ratios = Ratios()
    ratios.observe("m", "t", 0, 50)
    ratios.observe("m", "t", 50, 0)
    ratios.observe("m", "t", -1, -1)
    assert ratios.apply("m", "t", 77) == 77


def test_the_pair_not_used_for_longest_is_forgotten() -> None:
    ratios = Ratios()
    ratios.observe("kept", "t", 100_000, 200_000)
    ratios.observe("lost", "t", 100_000, 200_000)
    for index in range(PAIRS_MAX - 1):
        ratios.observe("kept", "t", 1, 2)
        ratios.observe(f"m{index}", "t", 1, 1)
    assert ratios.apply("kept", "t", 100) > 150
    assert ratios.apply("lost", "t", 100) == 100


@given(st.lists(st.tuples(counts, counts), max_size=50), counts)
def test_a_correction_stays_within_what_was_seen(seen: list[tuple[int, int]], counted: int) -> None:
    ratios = Ratios()
    for counted_before, reported in seen:
        ratios.observe("m", "t", counted_before, reported)
    assert counted // OUTLIER <= ratios.apply("m", "t", counted) <= counted * OUTLIER + 1


@given(st.lists(st.tuples(counts, counts), max_size=50), counts, counts)
def test_a_larger_count_is_never_corrected_below_a_smaller_one(
    seen: list[tuple[int, int]], one: int, two: int
) -> None:
    ratios = Ratios()
    for counted_before, reported in seen:
        ratios.observe("m", "t", counted_before, reported)
    low, high = sorted((one, two))
    assert ratios.apply("m", "t", low) <= ratios.apply("m", "t", high)
