"""Rows charged as another unit take its prices where place, context and validity meet."""

import msgspec
from hypothesis import given, settings, strategies as st

from gateway.pricing.charged import offers
from gateway.pricing.row import FOREVER, Layer, Row


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


def layered(unit: str, pico: int, layer: Layer, **changes: object) -> Row:
    return msgspec.structs.replace(row(unit, pico, **changes), layer=layer)  # type: ignore[arg-type]  # by name


LAYERS = tuple(Layer)
SPANS = st.tuples(
    st.sampled_from(LAYERS), st.integers(0, 20), st.one_of(st.integers(1, 20), st.just(FOREVER))
)


@settings(max_examples=300)
@given(st.lists(SPANS, max_size=8))
def test_at_every_instant_the_highest_layer_that_is_valid_speaks(
    spans: list[tuple[Layer, int, int]],
) -> None:
    rows = [
        layered("output_text", number + 1, layer, since_us=since, until_us=max(until, since + 1))
        for number, (layer, since, until) in enumerate(spans)
    ]
    found, problems = offers(rows)
    valid = {
        (layer, at): [r for r in rows if r.layer is layer and r.since_us <= at < r.until_us]
        for layer in LAYERS
        for at in range(45)
    }
    assert bool(problems) == any(len(each) > 1 for each in valid.values())
    if problems:
        return
    for at in range(45):
        speaks = [o.price.id for o in found if o.price.since_us <= at < o.price.until_us]
        wanted = [r.price_id() for layer in reversed(LAYERS) for r in valid[layer, at]]
        assert speaks == wanted[:1]


def test_a_higher_layer_cuts_the_lower_only_at_its_own_place_and_context() -> None:
    rows = (
        row("output_text", 1),
        row("output_text", 2, context_gt=200),
        row("output_text", 3, "eu"),
        layered("output_text", 4, Layer.CONFIGURED, since_us=10, until_us=20),
    )
    assert sorted(made(*rows, unit="output_text"), key=str) == [
        (("", ""), 1, 0, 0, 10),
        (("", ""), 1, 0, 20, FOREVER),
        (("", ""), 2, 200, 0, FOREVER),
        (("", ""), 4, 0, 10, 20),
        (("eu", ""), 3, 0, 0, FOREVER),
    ]


def test_what_a_higher_layer_leaves_of_a_lower_is_never_empty() -> None:
    def left(*over: tuple[int, int]) -> list[tuple[int, int]]:
        rows = [row("output_text", 2, since_us=since, until_us=until, layer=Layer.IMPORTED, issue=1) for since, until in over]  # fmt: skip
        lower = row("output_text", 1, since_us=10, until_us=20)
        found = made(lower, *rows, unit="output_text")
        return [(since, until) for _, pico, _, since, until in found if pico == 1]

    assert left() == [(10, 20)]
    assert left((10, 15)) == [(15, 20)]
    assert left((15, 20)) == [(10, 15)]
    assert left((5, 10), (20, 25)) == [(10, 20)]
    assert left((12, 14), (14, 16)) == [(10, 12), (16, 20)]
    assert left((10, 20)) == left((5, 20), (25, 30)) == left((5, 25), (30, 40)) == []


def test_a_reference_follows_the_layer_that_stands() -> None:
    rows = (ALIAS, row("output_text", 1), layered("output_text", 9, Layer.IMPORTED, since_us=10))
    assert made(*rows, unit="output_reasoning") == [
        (("", ""), 1, 0, 0, 10),
        (("", ""), 9, 0, 10, FOREVER),
    ]
    own = layered("output_reasoning", 5, Layer.CONFIGURED, since_us=15)
    assert [(o[1], o[3]) for o in sorted(made(*rows, own, unit="output_reasoning"), key=str)] == [
        (1, 0), (5, 15), (9, 10),
    ]  # fmt: skip


def test_an_overlap_within_a_layer_is_refused_even_where_a_higher_one_covers_it() -> None:
    both = [layered("output_text", n, Layer.CONFIGURED, since_us=n) for n in (1, 2)]
    _, problems = offers([*both, layered("output_text", 3, Layer.IMPORTED)])
    assert len(problems) == 1
    assert "overlaps" in problems[0]
    assert problems[0].startswith("p.csv:2: ")


def test_the_layer_is_seen_in_the_price_id() -> None:
    shipped = row("output_text", 7)
    configured = layered("output_text", 7, Layer.CONFIGURED)
    imported = msgspec.structs.replace(shipped, layer=Layer.IMPORTED, issue=3)
    assert configured.price_id().startswith(f"{shipped.price_id()}+configured-")
    assert imported.price_id() == f"{shipped.price_id()}+import-3"
    changed = msgspec.structs.replace(configured, pico=8)
    assert changed.price_id() != configured.price_id()
    long = msgspec.structs.replace(
        imported, terms=("cloud", "m" * 99, "global", "", "", "standard")
    )
    assert len(long.price_id()) == 96
    assert long.price_id().endswith("+import-3")
