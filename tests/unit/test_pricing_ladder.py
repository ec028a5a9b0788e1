"""The ladder: per context tier the dearest price a request may meet, good for as long as no price changes."""

import msgspec
from hypothesis import given, settings, strategies as st

from gateway.pricing.atlas import Region
from gateway.pricing.book import Book
from gateway.pricing.dimensions import Circumstances
from gateway.pricing.ladder import dearer
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
PRICE = BOOK.ladder(at(region="texas")).steps[0].prices["input_text"]


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


def test_the_dearest_place_counts_wherever_it_stands_in_the_list() -> None:
    for picos in ((3, 9, 4), (9, 3, 4), (3, 4, 9)):
        prices = zip(REGIONS, picos, strict=True)
        rows = [row("input_text", pico, region=region.region) for region, pico in prices]
        (step,) = Book.compile(rows, regions=REGIONS).ladder(at()).steps
        assert step.prices["input_text"].pico == 9


def test_dearer_is_by_the_unit_and_the_same_is_not_dearer() -> None:
    per_two = msgspec.structs.replace(PRICE, pico=PRICE.pico * 2, per=PRICE.per * 2)
    assert not dearer(PRICE, per_two)
    assert not dearer(per_two, PRICE)
    assert dearer(PRICE, None)
    more = msgspec.structs.replace(per_two, pico=per_two.pico + 1)
    assert (dearer(more, PRICE), dearer(PRICE, more)) == (True, False)


def test_a_context_tier_is_a_step_only_while_it_is_valid() -> None:
    rows = (row("input_text", 1), row("input_text", 2, context_gt=9, since_us=50, until_us=70))
    tiered = Book.compile(rows)
    at_each = {at_us: tiered.ladder(at(at_us)).steps for at_us in (49, 50, 69, 70)}
    assert [[step.context_gt for step in found] for found in at_each.values()] == [
        [0], [0, 9], [0, 9], [0],
    ]  # fmt: skip


def test_tiers_that_lie_side_by_side_keep_their_own_prices() -> None:
    rows = [row("input_text", gt + 1, context_gt=gt) for gt in (0, 100, 101, 102)]
    found = Book.compile(rows).ladder(at()).steps
    assert [step.prices["input_text"].pico for step in found] == [1, 101, 102, 103]


def test_an_empty_prompt_is_charged_at_the_lowest_step() -> None:
    assert [step.context_gt for step in BOOK.ladder(at()).within(0)] == [0]


def test_a_ladder_holds_from_its_first_instant_up_to_its_last() -> None:
    ladder = BOOK.ladder(at(150))
    assert (ladder.since_us, ladder.holds(99), ladder.holds(100)) == (100, False, True)
    before = BOOK.ladder(at(99))
    assert (before.until_us, before.holds(99), before.holds(100)) == (100, True, False)


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
