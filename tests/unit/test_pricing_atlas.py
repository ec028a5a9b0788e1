"""The atlas: a region tells its geo; a partly known place is completed, never moved."""

import pytest

from gateway.pricing.atlas import Atlas, Region, names_region
from gateway.pricing.dimensions import Place

ATLAS = Atlas(
    [
        Region("cloud", "paris", "eu"),
        Region("cloud", "ohio", "us"),
        Region("cloud", "fort", "gov", sovereign=True),
    ]
)
NAMED = (("", ""), ("eu", ""), ("us", ""), ("gov", ""), ("", "paris"), ("", "ohio"), ("", "fort"))


@pytest.mark.parametrize(
    ("place", "located"),
    [
        ((None, "paris"), ("eu", "paris")),
        (("apac", "paris"), ("apac", "paris")),
        ((None, "nowhere"), (None, "nowhere")),
        ((None, None), (None, None)),
        (("eu", None), ("eu", None)),
    ],
)
def test_a_known_region_tells_its_geo_and_what_is_said_stands(place: Place, located: Place) -> None:
    assert ATLAS.located("cloud", place) == located


def test_regions_belong_to_their_provider() -> None:
    assert ATLAS.located("sky", (None, "paris")) == (None, "paris")


@pytest.mark.parametrize(
    ("place", "completed"),
    [
        (
            (None, None),
            {("", ""), ("eu", ""), ("us", ""), ("eu", "paris"), ("us", "ohio")},
        ),
        (("eu", None), {("eu", ""), ("eu", "paris")}),
        (("gov", None), {("gov", ""), ("gov", "fort")}),
        ((None, "nowhere"), {("", "nowhere"), ("eu", "nowhere"), ("us", "nowhere")}),
    ],
)
def test_a_partly_known_place_may_be_any_named_place_that_fits(
    place: Place, completed: set[Place]
) -> None:
    found = ATLAS.completions("cloud", place, NAMED)
    assert set(found) == completed
    assert found[0] == tuple(term or "" for term in place)


@pytest.mark.parametrize(
    ("place", "completed"),
    [
        (("eu", None), [("eu", ""), ("eu", "mars"), ("eu", "venus")]),
        (("us", None), [("us", ""), ("us", "venus")]),
        ((None, "mars"), [("", "mars"), ("eu", "mars")]),
        ((None, "venus"), [("", "venus"), ("", "venus")]),
    ],
)
def test_a_place_is_never_moved_to_where_a_row_would_like_it(
    place: Place, completed: list[Place]
) -> None:
    assert ATLAS.completions("cloud", place, (("eu", "mars"), ("", "venus"))) == completed


def test_what_is_said_of_a_place_stands_against_the_atlas() -> None:
    assert ATLAS.completions("cloud", ("us", "paris"), [("us", "")]) == [("us", "paris")] * 2


def test_a_place_names_its_region_or_not() -> None:
    assert names_region((None, "paris")) is True
    assert names_region(("eu", None)) is False


def test_the_regions_of_a_provider_and_their_geos_are_told_in_order_and_once() -> None:
    two = Atlas(
        [
            Region("cloud", "paris", "eu"),
            Region("sky", "lima", "sa"),
            Region("cloud", "delhi", "in"),
            Region("cloud", "berlin", "eu"),
        ]
    )
    assert two.regions("cloud") == ("berlin", "delhi", "paris")
    assert two.geos("cloud") == ("eu", "in")
    assert (two.regions("sky"), two.geos("sky")) == (("lima",), ("sa",))
    assert (two.regions("nobody"), two.geos("nobody")) == ((), ())
