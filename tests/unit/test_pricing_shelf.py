"""Shelves: context tiers are chosen for the whole request, counted units have none."""

import msgspec

from gateway.pricing.atlas import Atlas
from gateway.pricing.charged import Price, offers
from gateway.pricing.row import FOREVER, Row
from gateway.pricing.shelf import (
    ANY_PROMPT,
    NOTHING,
    Quotes,
    Shelf,
    Span,
    Whereabouts,
    shelf_of,
)


def row(unit: str, pico: int, geo: str = "", region: str = "", **changes: object) -> Row:
    terms = ("cloud", "m", "global", geo, region, "standard")
    return Row(terms=terms, unit=unit, pico=pico, source="s", **changes)  # type: ignore[arg-type]  # by name


def shelf(*rows: Row) -> Shelf:
    return shelf_of(offers(rows)[0])


def nowhere() -> Whereabouts:
    raise AssertionError("no price here depends on the place")


ELSEWHERE = ("cloud", "m", "global", "", "paris", "standard")


def in_paris() -> Whereabouts:
    return Whereabouts(((("", "paris"), ("", "")),))


def pico(found: object) -> int | None:
    assert found is None or isinstance(found, Price)
    return None if found is None else found.pico


TIERED = shelf(
    row("input_text", 1),
    row("input_text", 2, context_gt=100),
    row("input_text", 3, context_gt=200, since_us=50),
    row("web_search_requests", 9),
    row("output_text", 4),
)


def test_the_highest_tier_strictly_exceeded_then_applies() -> None:
    assert [TIERED.tier(size, 60) for size in (0, 100, 101, 200, 201)] == [0, 0, 100, 100, 200]
    assert [TIERED.tier(size, 49) for size in (100, 101, 201)] == [0, 100, 100]
    assert TIERED.tier(201, 50) == 200


def test_a_span_is_from_the_last_edge_up_to_the_next_and_for_prompts_below_every_tier() -> None:
    rows = [row("input_text", n, since_us=10 * n, until_us=10 * n + 10) for n in (1, 2)]
    one = shelf(*rows, row("output_text", 5, since_us=15), row("input_text", 9, context_gt=200), row("input_text", 7, context_gt=100, since_us=25))  # fmt: skip
    spans = {at_us: one.span("input_text", at_us) for at_us in (9, 10, 19, 20, 24, 25, 30, 99)}
    assert {at_us: (span.since_us, span.until_us) for at_us, span in spans.items()} == {
        9: (0, 10), 10: (10, 20), 19: (10, 20), 20: (20, 25), 24: (20, 25), 25: (25, 30),
        30: (30, FOREVER), 99: (30, FOREVER),
    }  # fmt: skip
    assert {span.tokens_max for span in spans.values()} == {100}
    assert one.span("web_search_requests", 7) == Span(7, 7, 100)
    assert shelf(*rows).span("input_text", 10) == Span(10, 20, ANY_PROMPT)


def test_within_a_span_a_unit_has_one_price() -> None:
    one = shelf(
        row("input_text", 1, until_us=12), row("input_text", 2, since_us=14, until_us=30),
        row("input_text", 3, since_us=30), row("input_text", 4, context_gt=5, since_us=20),
    )  # fmt: skip
    for at_us in range(40):
        span = one.span("input_text", at_us)
        assert span.since_us <= at_us < span.until_us
        for other_us in range(span.since_us, min(span.until_us, 40)):
            for tokens in (0, span.tokens_max):
                assert Quotes(one, other_us, tokens, nowhere).price("input_text") == Quotes(
                    one, at_us, 0, nowhere
                ).price("input_text")


def test_a_price_is_followed_by_the_next_without_a_gap() -> None:
    prices = [row("input_text", n, since_us=10 * n, until_us=10 * n + 10) for n in (1, 2, 3)]
    for placed in (prices, [msgspec.structs.replace(each, terms=ELSEWHERE) for each in prices]):
        for order in (placed, placed[::-1]):
            found = [
                pico(Quotes(shelf(*order), at_us, 0, in_paris).price("input_text"))
                for at_us in (9, 10, 19, 20, 29, 30, 39, 40)
            ]
            assert found == [None, 1, 1, 2, 2, 3, 3, None]


def test_a_tier_ends_when_its_price_does() -> None:
    ending = shelf(row("input_text", 1), row("input_text", 2, context_gt=100, until_us=50))
    assert [ending.tier(101, at_us) for at_us in (49, 50)] == [100, 0]


def test_only_counted_units_ignore_the_tier() -> None:
    quotes = Quotes(TIERED, 60, 150, nowhere)
    assert pico(quotes.price("input_text")) == 2
    assert pico(quotes.price("web_search_requests")) == 9
    assert quotes.price("output_text") is None
    assert quotes.price("output_image") is None


def test_a_counted_units_threshold_makes_no_tier() -> None:
    assert shelf(row("images_out", 1), row("images_out", 2, context_gt=5)).tiers == ()
    assert shelf(row("input_text", 1)).tiers == ()


def test_shapes_are_ranked_by_the_most_specific_term() -> None:
    placed = shelf(
        row("input_text", 1),
        row("input_text", 2, "eu"),
        row("input_text", 3, "", "paris"),
        row("input_text", 4, "eu", "paris"),
    )
    assert placed.shapes == ((True, True), (False, True), (True, False), (False, False))
    assert placed.whereabouts(Atlas(), "cloud", ("eu", "paris")) == Whereabouts(
        ((("eu", "paris"), ("", "paris"), ("eu", ""), ("", "")),), named=False
    )


def test_the_place_is_looked_for_once_and_only_where_a_price_depends_on_it() -> None:
    asked: list[int] = []

    def look() -> Whereabouts:
        asked.append(1)
        return Whereabouts(((("eu", ""),),))

    placed = shelf(row("input_text", 1, "eu"), row("output_text", 2, "eu"), row("input_audio", 3))
    quotes = Quotes(placed, 0, 0, look)
    assert (pico(quotes.price("input_audio")), asked) == (3, [])
    assert pico(quotes.price("input_text")) == 1
    assert pico(quotes.price("output_text")) == 2
    assert asked == [1]


def test_an_empty_shelf_has_no_price() -> None:
    assert Quotes(NOTHING, 0, 10**9, nowhere).price("input_text") is None


def test_edges_are_where_a_price_begins_or_ends() -> None:
    rows = [row("input_text", 1, until_us=5), row("input_text", 2, "eu", since_us=7, until_us=9)]
    assert shelf(*rows).edges == (0, 5, 7, 9)


def test_a_price_is_looked_up_once_and_a_unit_without_any_is_not_remembered() -> None:
    quotes = Quotes(TIERED, 60, 0, nowhere)
    assert quotes.price("input_text") is quotes.price("input_text") is not None
    assert quotes.price("moonbeams") is None
    assert quotes._found.keys() == {"input_text"}


def test_between_two_edges_of_any_of_its_prices_nothing_of_a_shelf_changes() -> None:
    some = shelf(
        row("input_text", 1, until_us=10), row("output_text", 2, since_us=4, region="paris")
    )
    spans = {at_us: some.unchanged(at_us) for at_us in (0, 3, 4, 9, 10, 99)}
    assert spans == {
        0: (0, 4), 3: (0, 4), 4: (4, 10), 9: (4, 10), 10: (10, FOREVER), 99: (10, FOREVER),
    }  # fmt: skip
    late = shelf(row("input_text", 1, since_us=5))
    assert late.unchanged(4) == (0, 5)
    assert NOTHING.unchanged(7) == (0, FOREVER)
