"""Rows charged as another unit take its prices where place, context and validity meet."""

from gateway.pricing.charged import offers
from gateway.pricing.row import FOREVER, Row


def row(unit: str, pico: int = 1, geo: str = "", **changes: object) -> Row:
    terms = ("cloud", "m", "global", geo, "", "standard")
    return Row(terms=terms, unit=unit, pico=pico, source="s", origin="p.csv:2", **changes)  # type: ignore[arg-type]  # by name


def made(*rows: Row, unit: str) -> list[tuple[tuple[str, ...], int, int, int, int]]:
    found, problems = offers(rows)
    assert problems == []
    return [
        (o.place, o.price.pico, o.price.context_gt, o.price.since_us, o.price.until_us)
        for o in found
        if o.unit == unit
    ]


ALIAS = row("output_reasoning", as_unit="output_text")


def test_a_reference_follows_its_target_through_places_contexts_and_dates() -> None:
    targets = (
        row("output_text", 1, until_us=10),
        row("output_text", 2, since_us=10),
        row("output_text", 3, context_gt=200),
        row("output_text", 4, "eu"),
    )
    assert made(ALIAS, *targets, unit="output_reasoning") == made(*targets, unit="output_text")


def test_the_price_id_names_the_row_that_holds_the_figure() -> None:
    target = row("output_text")
    found, _ = offers([ALIAS, target])
    assert {offer.price.id for offer in found} == {target.price_id()}


def test_a_narrow_reference_takes_only_where_it_reaches() -> None:
    narrow = row(
        "output_reasoning", 0, "eu", as_unit="output_text", since_us=5, until_us=8, context_gt=200
    )
    targets = (
        row("output_text", 1),
        row("output_text", 2, context_gt=200),
        row("output_text", 3, "us", context_gt=200),
    )
    assert made(narrow, *targets, unit="output_reasoning") == [(("eu", ""), 2, 200, 5, 8)]


def test_references_may_lead_to_references() -> None:
    chain = (
        row("cache_write_1h", as_unit="cache_write"),
        row("cache_write", as_unit="cache_write_5m"),
        row("cache_write_5m", 7),
    )
    assert made(*chain, unit="cache_write_1h") == [(("", ""), 7, 0, 0, FOREVER)]


def test_a_reference_waits_for_every_one_of_its_targets() -> None:
    rows = (
        row("cache_write_1h", 0, "eu", as_unit="input_text"),
        row("cache_write_1h", 0, "us", as_unit="cache_write"),
        row("cache_write", as_unit="cache_write_5m"),
        row("cache_write_5m", 7),
        row("input_text", 1),
    )
    assert made(*rows, unit="cache_write_1h") == [
        (("eu", ""), 1, 0, 0, FOREVER),
        (("us", ""), 7, 0, 0, FOREVER),
    ]


def test_a_reference_takes_the_price_of_its_own_place() -> None:
    targets = (row("output_text", 1, "eu"), row("output_text", 2, "us"))
    own = row("output_reasoning", 0, "eu", as_unit="output_text")
    assert made(own, *targets, unit="output_reasoning") == [(("eu", ""), 1, 0, 0, FOREVER)]


def test_circles_and_dead_ends_are_problems() -> None:
    _, circle = offers(
        [row("cache_write", as_unit="cache_write_5m"), row("cache_write_5m", as_unit="cache_write")]
    )
    assert len(circle) == 2
    assert "in a circle" in circle[0]
    _, dead = offers([ALIAS])
    assert dead == [
        "p.csv:2: output_reasoning is charged as output_text, which has no price there and then"
    ]
    _, elsewhen = offers([row("output_text", until_us=5), row(
        "output_reasoning", as_unit="output_text", since_us=5)])  # fmt: skip
    assert len(elsewhen) == 1
