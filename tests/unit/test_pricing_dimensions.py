"""Dimensions: one member and one reader each; the columns of price files follow."""

import msgspec
from hypothesis import given, settings, strategies as st

from gateway.pricing.dimensions import (
    NAMED,
    OPEN,
    ORDER,
    READERS,
    SCOPES,
    Circumstances,
    Dimension,
    key_of,
    place_of,
    position,
    standing_of,
)

AT = Circumstances("cloud", "m", "geo", 0, geo="eu", region="paris", tier="flex")


def test_every_dimension_has_one_reader_and_is_named_or_open() -> None:
    assert set(READERS) == set(Dimension)
    assert sorted(NAMED + OPEN) == list(range(len(ORDER)))
    assert [ORDER[i] for i in OPEN] == [Dimension.GEO, Dimension.REGION]
    assert [position(name) for name in ORDER] == list(range(len(ORDER)))


def test_key_and_place_are_read_in_registry_order() -> None:
    assert key_of(AT) == ("cloud", "m", "geo", "flex")
    assert place_of(AT) == ("eu", "paris")
    assert place_of(Circumstances("cloud", "m", "geo", 0)) == (None, None)


WORDS = st.sampled_from(["global", "provisioned", "geo"])
CIRCUMSTANCES = st.builds(
    Circumstances, st.sampled_from(["cloud", "sky"]), st.sampled_from(["m", None]), WORDS,
    st.integers(0, 9), st.sampled_from(["eu", None]), st.sampled_from(["paris", None]),
    st.sampled_from(["standard", "flex"]), st.sampled_from([0, None]),
    st.sampled_from([True, False, None]), WORDS,
)  # fmt: skip


@settings(max_examples=100)
@given(CIRCUMSTANCES, CIRCUMSTANCES)
def test_requests_that_stand_alike_have_one_key_and_one_place(
    one: Circumstances, other: Circumstances
) -> None:
    later = msgspec.structs.replace(one, at_us=99, context_tokens=99)
    assert standing_of(later) == standing_of(one)
    same = msgspec.structs.replace(other, at_us=99, context_tokens=99) == later
    assert (standing_of(one) == standing_of(other)) is same
    assert (key_of(later), place_of(later)) == (key_of(one), place_of(one))


def test_provisioned_capacity_is_priced_at_its_shadow_scope() -> None:
    assert key_of(Circumstances("cloud", "m", "provisioned", 0))[2] == "global"
    shadow = Circumstances("cloud", "m", "provisioned", 0, shadow_scope="data_zone")
    assert key_of(shadow)[2] == "data_zone"
    assert "provisioned" not in SCOPES


def test_what_the_answer_says_about_provisioned_capacity_wins_over_the_scope() -> None:
    for scope, said, expected in (
        ("provisioned", None, True),
        ("provisioned", False, False),
        ("global", None, False),
        ("global", True, True),
    ):
        at = Circumstances("cloud", "m", scope, 0, provisioned=said)
        assert at.zero_marginal() is expected
