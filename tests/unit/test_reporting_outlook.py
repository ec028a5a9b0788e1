"""Laws of the outlook: parts sum to the whole, savings may be negative, percentiles are of attempts."""

from hypothesis import given, strategies as st

from gateway.commands.spend.pictures import blocks, whole_dollars
from gateway.reporting.movers import movers
from gateway.reporting.outlook import Cell, Speed, Totals, grouped, paces

DOLLAR = 10**12
UNITS = (
    "input_text",
    "cache_read_text",
    "cache_write_5m",
    "output_text",
    "request",
    "web_search_requests",
)
cells = st.lists(
    st.builds(
        lambda app, model, unit, quantity, pico: Cell(
            {"app": app, "provider": "p", "model": model, "unit": unit},
            quantity,
            0,
            0 if unit == "request" else pico,
            0 if unit == "request" else pico,
        ),
        st.sampled_from("ab"),
        st.sampled_from("xyz"),
        st.sampled_from(UNITS),
        st.integers(min_value=-(10**6), max_value=10**9),
        st.integers(min_value=-(10**12), max_value=10**15),
    ),
    max_size=30,
)


@given(cells, cells)
def test_volume_mix_and_price_sum_to_the_change_exactly(old: list[Cell], new: list[Cell]) -> None:
    found = movers(old, new, lambda cell: (cell.names["app"],))
    for one in found:
        assert one.volume + one.mix + one.price == one.after - one.before
    assert sum(one.before for one in found) == sum(cell.net_pico for cell in old)
    assert sum(one.after for one in found) == sum(cell.net_pico for cell in new)


def cell(model: str, unit: str, quantity: int, pico: int) -> Cell:
    return Cell({"app": "a", "provider": "p", "model": model, "unit": unit}, quantity, 0, pico, pico)  # fmt: skip


def test_each_part_is_what_its_name_says() -> None:
    def parts(old: list[Cell], new: list[Cell]) -> tuple[int, int, int]:
        (one,) = movers(old, new, lambda _: ("all",))
        return one.volume, one.mix, one.price

    base = [cell("x", "input_text", 100, 1000), cell("y", "input_text", 100, 3000)]
    twice = [cell("x", "input_text", 200, 2000), cell("y", "input_text", 200, 6000)]
    dearer = [cell("x", "input_text", 100, 1500), cell("y", "input_text", 100, 3000)]
    other = [cell("x", "input_text", 0, 0), cell("y", "input_text", 200, 6000)]
    assert parts(base, twice) == (4000, 0, 0)
    assert parts(base, dearer) == (0, 0, 500)
    assert parts(base, other) == (0, 2000, 0)
    assert parts([], base) == (4000, 0, 0)


def test_what_caches_save_is_net_of_the_premium_and_may_be_negative() -> None:
    def saved(*parts: Cell) -> int:
        totals = Totals()
        for part in parts:
            totals.add(part, part.names["model"])
        return totals.cache_saved()

    plain = cell("claude", "input_text", 1_000_000, 3 * DOLLAR)
    read = cell("claude", "cache_read_text", 1_000_000, 3 * DOLLAR // 10)
    written = cell("claude", "cache_write_5m", 1_000_000, 375 * DOLLAR // 100)
    assert saved(plain, read) == 27 * DOLLAR // 10
    assert saved(plain, written) == -75 * DOLLAR // 100
    assert saved(plain, read, written) == 195 * DOLLAR // 100
    assert saved(read) == 0  # nothing to compare with: no claim
    assert saved(plain, cell("gpt", "cache_read_text", 10**6, DOLLAR)) == 0


@given(cells)
def test_groups_sum_to_the_whole(found: list[Cell]) -> None:
    groups = grouped(found, lambda one: (one.names["app"], one.names["model"]))
    assert sum(totals.pico for totals in groups.values()) == sum(one.net_pico for one in found)
    assert sum(totals.requests for totals in groups.values()) == sum(
        one.quantity for one in found if one.names["unit"] == "request"
    )


def test_percentiles_availability_and_pace_of_known_attempts() -> None:
    speeds = [
        Speed("p", "m", 100, 90, 0, 0, 9_000, 90_000),
        Speed("p", "m", 2_000, 10, 0, 0, 1_000, 10_000),
        Speed("p", "m", -1, 100, 5, 3, 0, 0),
    ]
    found = paces(speeds)["p", "m"]
    assert (found.first_p50_ms, found.first_p95_ms) == (100, 2_000)
    assert (found.attempts, found.errors_bp, found.available_bp) == (200, 250, 9_850)
    assert found.tokens_per_s == 100
    silent = paces([Speed("p", "m", -1, 3, 0, 0, 0, 0)])["p", "m"]
    assert (silent.first_p50_ms, silent.tokens_per_s) == (None, None)


@given(st.lists(st.integers(min_value=0, max_value=10**17), min_size=1, max_size=20))
def test_dollars_shown_sum_to_the_total_shown(picos: list[int]) -> None:
    shown = whole_dollars(picos)
    assert abs(sum(shown) * DOLLAR - sum(picos)) <= DOLLAR
    drawn = blocks(picos)
    assert len(drawn) == len(picos)
    # From zero: half of the largest is drawn at half of it, whatever the smallest is.
    assert blocks([100, 99, 50, 1, 0]) == "█▇▄▁ "


def named(unit: str, quantity: int, unpriced: int = 0, net: int = 0, listed: int = 0) -> Cell:
    return Cell({"provider": "p", "model": "m", "unit": unit}, quantity, unpriced, listed, net)


def totals(*found: Cell) -> Totals:
    made = Totals()
    for one in found:
        made.add(one, "p/m")
    return made


def test_every_count_is_of_its_own_class() -> None:
    made = totals(
        named("request", 7, unpriced=2), named("input_text", 1, net=10, listed=100), named("input_image", 2, net=20, listed=200),
        named("cache_read_text", 40, net=30), named("cache_write_1h", 500, net=40), named("output_text", 6_000, net=50),
        named("output_reasoning", 70_000, net=60), named("web_search_requests", 800_000, net=70), named("unknown", 9, net=80),
    )  # fmt: skip
    assert (made.requests, made.unpriced) == (7, 2)
    assert (made.uncached, made.cached, made.written, made.output) == (3, 40, 500, 76_000)
    assert (made.input, made.pico, made.list_pico) == (543, 360, 300)
    assert made.per_thousand == 360 * 1_000 // 7
    assert made.per_million == 360 * 1_000_000 // 76_543
    assert made.cached_share == 40 * 100 // 543
    assert totals(named("output_text", 2, net=1)).per_million == 500_000
    assert totals(named("input_text", 1, net=1)).per_thousand is None
    assert totals(named("request", 1)).per_million is None
    assert totals(named("output_text", 1)).cached_share is None
    nothing = Totals()
    assert (nothing.requests, nothing.unpriced, nothing.pico, nothing.list_pico, nothing.input, nothing.output) == (0,) * 6  # fmt: skip


def test_what_has_no_price_saves_nothing() -> None:
    plain = named("input_text", 100, net=1_000)
    half = named("cache_read_text", 100, unpriced=60, net=40)
    assert totals(plain, half).cache_saved() == 40 * 1_000 // 100 - 40
    dear = named("input_text", 100, unpriced=50, net=1_000)
    assert totals(dear, named("cache_read_text", 10, net=0)).cache_saved() == 10 * 1_000 // 50
    assert totals(named("input_text", 1, net=7), named("cache_read_text", 1)).cache_saved() == 7
    # Taken back altogether, or more than was used: nothing to compare with.
    for quantity in (0, -5):
        assert totals(named("input_text", quantity, net=7), named("cache_read_text", 3)).cache_saved() == 0  # fmt: skip
    assert totals(plain, named("request", 5), named("output_text", 5, net=5)).cache_saved() == 0


def test_a_model_is_compared_within_its_provider() -> None:
    def of(provider: str, model: str, unit: str, net: int) -> Cell:
        return Cell({"provider": provider, "model": model, "unit": unit}, 10, 0, net, net)

    rows = [of("p", "m", "input_text", 100), of("q", "m", "cache_read_text", 5), of("p", "n", "cache_read_text", 5)]  # fmt: skip
    (all_of,) = grouped(rows, lambda _: ()).values()
    assert all_of.cache_saved() == 0
    rows.append(of("p", "m", "cache_read_text", 5))
    (all_of,) = grouped(rows, lambda _: ()).values()
    assert all_of.cache_saved() == 95
    bare = [Cell({"unit": unit}, 10, 0, net, net) for unit, net in (("input_text", 100), ("cache_read_text", 5))]  # fmt: skip
    assert grouped(bare, lambda _: ("x",))["x",].cache_saved() == 95


def attempts(first_ms: int, count: int) -> Speed:
    return Speed("p", "m", first_ms, count, 0, 0, 0, 0)


def test_a_percentile_is_reached_by_just_so_many_attempts() -> None:
    def p95(*speeds: Speed) -> int | None:
        return paces(speeds)["p", "m"].first_p95_ms

    assert p95(attempts(5, 95), attempts(9, 5)) == 5
    assert p95(attempts(5, 94), attempts(9, 6)) == 9
    assert p95(attempts(9, 6), attempts(5, 94)) == 9, "in whatever order they come"
    assert p95(attempts(0, 95), attempts(9, 5)) == 0, "at once is a stream too"
    assert p95(attempts(-1, 900), attempts(9, 1)) == 9, "what was no stream is not counted"


def test_shares_are_rounded_half_up_in_basis_points_and_paces_are_of_each_model() -> None:
    found = paces(
        [
            Speed("p", "m", 1, 20_000, 1, 0, 7, 2_000), Speed("p", "m", 2, 20_000, 1, 2, 8, 1_000),
            Speed("p", "n", 3, 3, 1, 1, 0, 0), Speed("q", "m", 4, 1, 0, 0, 5, 0),
        ]
    )  # fmt: skip
    assert set(found) == {("p", "m"), ("p", "n"), ("q", "m")}
    assert (found["p", "m"].errors_bp, found["p", "m"].available_bp) == (1, 9_999)
    assert found["p", "m"].tokens_per_s == 15_000 // 3_000
    assert (found["p", "n"].errors_bp, found["p", "n"].available_bp) == (3_333, 6_667)
    assert found["q", "m"].tokens_per_s is None
    none = paces([Speed("p", "m", 1, 0, 0, 0, 0, 0)])["p", "m"]
    assert (none.attempts, none.errors_bp, none.available_bp) == (0, 0, 10_000)


def test_ratios_are_exact_to_their_last_digit() -> None:
    assert totals(named("output_text", 1, net=DOLLAR)).per_million == DOLLAR * 1_000_000
    assert totals(named("cache_read_text", 5)).cached_share == 100
    plain = named("input_text", 100, net=1_000)
    assert totals(plain, named("cache_read_text", 1_000)).cache_saved() == 10_000
    assert totals(plain, named("unknown", 9)).cache_saved() == 0
    quick = paces([Speed("p", "m", 1, 1, 0, 0, 10**6, 10**6)])["p", "m"]
    assert quick.tokens_per_s == 1_000
    for first, median in ((50, 5), (49, 9)):
        found = paces([attempts(5, first), attempts(9, 100 - first)])["p", "m"]
        assert found.first_p50_ms == median
