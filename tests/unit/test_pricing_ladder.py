"""The ladder: per context tier the dearest price a request may meet, good for as long as no price changes."""

from hypothesis import given, settings, strategies as st

from gateway.pricing.atlas import Region
from gateway.pricing.book import Book
from gateway.pricing.dimensions import Circumstances
from gateway.pricing.rate import rate
from gateway.pricing.row import Row

REGIONS = (
    Region("cloud", "paris", "eu"),
    Region("cloud", "oslo", "eu"),
    Region("cloud", "texas", "us"),
)


def row(unit: str, pico: int, geo: str = "", region: str = "", **changes: object) -> Row:
    terms = ("cloud", "m", "global", geo, region, "standard")
    return Row(
        terms=terms,
        unit=unit,
        pico=pico,
        per=1,
        source="s",
        evidence="manual",
        **changes,  # type: ignore[arg-type]
    )


def at(at_us: int = 60, **place: str) -> Circumstances:
    return Circumstances("cloud", "m", "global", at_us, **place)  # type: ignore[arg-type]  # by name


BOOK = Book.compile(
    (
        row("input_text", 1),
        row("input_text", 5, geo="eu"),
        row("input_text", 7, region="oslo"),
        row("input_text", 2, context_gt=100),
        row("output_text", 4, until_us=100),
        row("output_text", 3, since_us=100),
        row("output_text", 6, context_gt=100),
        row("web_search_requests", 9),
    ),
    regions=REGIONS,
)


def steps(under: Circumstances) -> list[tuple[int, dict[str, int]]]:
    return [
        (step.context_gt, {unit: price.pico for unit, price in step.prices.items()})
        for step in BOOK.ladder(under).steps
    ]


def test_a_known_place_has_its_own_price() -> None:
    assert steps(at(region="texas"))[0] == (
        0,
        {"input_text": 1, "output_text": 4, "web_search_requests": 9},
    )
    assert steps(at(region="paris"))[0][1]["input_text"] == 5


def test_an_unknown_place_is_the_dearest_it_may_be() -> None:
    assert steps(at())[0][1]["input_text"] == 7


def test_a_region_that_nobody_knows_may_lie_in_any_geo_but_has_no_price_of_another_region() -> None:
    assert steps(at(region="atlantis"))[0][1]["input_text"] == 5
    elsewhere = Book.compile((row("input_text", 1, geo="eu"),), regions=REGIONS)
    assert elsewhere.ladder(at(region="atlantis")).units == frozenset()
    assert elsewhere.ladder(at()).units == {"input_text"}


def test_a_context_tier_is_a_step_with_its_own_prices() -> None:
    assert steps(at(region="texas"))[1] == (
        100,
        {"input_text": 2, "output_text": 6, "web_search_requests": 9},
    )
    ladder = BOOK.ladder(at())
    assert [step.context_gt for step in ladder.within(100)] == [0]
    assert [step.context_gt for step in ladder.within(101)] == [0, 100]


def test_a_ladder_is_made_anew_once_a_price_changes() -> None:
    before, after = BOOK.ladder(at(99, region="texas")), BOOK.ladder(at(100, region="texas"))
    assert before.until_us == 100 == after.since_us
    assert (
        before.steps[0].prices["output_text"].pico,
        after.steps[0].prices["output_text"].pico,
    ) == (4, 3)
    assert BOOK.ladder(at(99, region="texas")).steps == before.steps


def test_a_model_nobody_prices_has_an_empty_ladder() -> None:
    nothing = BOOK.ladder(Circumstances("cloud", "other", "global", 0))
    assert nothing.units == frozenset()
    assert [step.prices for step in nothing.steps] == [{}]


@settings(max_examples=200)
@given(
    st.integers(1, 300),
    st.sampled_from(["paris", "oslo", "texas"]),
    st.integers(0, 200),
    st.booleans(),
)
def test_no_charge_is_above_its_ladder(tokens: int, region: str, at_us: int, known: bool) -> None:  # noqa: FBT001  # drawn
    charged = rate(BOOK, at(at_us, region=region), {"input_text": tokens}).list_pico
    ladder = BOOK.ladder(at(at_us, region=region) if known else at(at_us))
    most = max(
        tokens * step.prices["input_text"].pico
        for step in ladder.within(tokens)
        if "input_text" in step.prices
    )
    assert charged is None or charged <= most
