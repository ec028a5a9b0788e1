"""The book: one price per key and instant, the most specific place, half-open dates."""

import gc
import weakref

import pytest
from hypothesis import given, settings, strategies as st
from msgspec.structs import replace

from gateway.kernel.remembered import ENTRY_BYTES, Remembered, whole
from gateway.pricing.atlas import Region
from gateway.pricing.book import _PLACES_MAX, Alias, Book
from gateway.pricing.charged import Price
from gateway.pricing.dimensions import Circumstances
from gateway.pricing.row import FOREVER, BookInvalid, Row
from gateway.pricing.shelf import AMBIGUOUS, Ambiguous

REGIONS = (
    Region("cloud", "paris", "eu"),
    Region("cloud", "madrid", "eu"),
    Region("cloud", "ohio", "us"),
    Region("cloud", "fort", "gov", sovereign=True),
)


def row(pico: int, geo: str = "", region: str = "", **changes: object) -> Row:
    unit = changes.pop("unit", "input_text")
    fields: dict[str, object] = {"source": "a test", "evidence": "manual", "origin": "t.csv:2"}
    terms = ("cloud", "m", "global", geo, region, "standard")
    return Row(terms=terms, unit=unit, pico=pico, per=1, **(fields | changes))  # type: ignore[arg-type]  # by name


def find(
    book: Book, geo: str | None = None, region: str | None = None, at_us: int = 5
) -> int | Ambiguous | None:
    at = Circumstances("cloud", "m", "global", at_us, geo=geo, region=region)
    found = book.quotes(at, 0).price("input_text")
    return found.pico if isinstance(found, Price) else found


PLACED = Book.compile(
    [row(1), row(2, geo="eu"), row(3, region="paris"), row(4, geo="gov"), row(5, "apac", "paris")],
    regions=REGIONS,
)


@pytest.mark.parametrize(
    ("geo", "region", "pico"),
    [
        ("us", "ohio", 1),
        (None, "ohio", 1),
        ("eu", "madrid", 2),
        (None, "madrid", 2),
        ("eu", "paris", 3),
        (None, "paris", 3),
        ("us", "paris", 3),
        ("apac", "paris", 5),
        ("gov", "fort", 4),
        (None, "fort", 4),
        ("gov", None, 4),
    ],
)
def test_the_most_specific_place_wins(geo: str | None, region: str | None, pico: int) -> None:
    assert find(PLACED, geo, region) == pico


def test_a_place_that_is_not_known_is_no_answer_where_places_disagree() -> None:
    assert find(PLACED) is AMBIGUOUS
    assert find(PLACED, geo="eu") is AMBIGUOUS
    assert find(PLACED, geo="us") == 1  # paris lies elsewhere, and no row names a place in it


@settings(max_examples=150)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([None, "eu", "us", "gov"]),
            st.sampled_from([None, "paris", "ohio", "tokyo"]),
            st.sampled_from(["global", "provisioned", "regional"]),
            st.sampled_from(["global", "regional"]),
            st.sampled_from([-1, 0, 4, 5, 8, 9, 10]),
            st.sampled_from([0, 100, 101, 200, 201]),
        ),
        min_size=2,
        max_size=12,
    )
)
def test_a_book_answers_as_if_it_had_never_been_asked_before(
    asked: list[tuple[str | None, str | None, str, str, int, int]],
) -> None:
    rows = [
        *(row(1), row(2, geo="eu", until_us=5), row(3, region="paris"), row(4, geo="gov")),
        *(row(6, context_gt=100, since_us=4), row(7, context_gt=200, until_us=9)),
        *(row(8, unit="output_text", until_us=9), row(9, unit="output_text", since_us=9)),
        row(5, unit="web_search_requests", region="paris", since_us=5),
    ]
    warm = Book.compile(rows, regions=REGIONS)
    for geo, region, scope, shadow, at_us, size in asked:
        at = Circumstances("cloud", "m", scope, at_us, geo, region, shadow_scope=shadow)
        fresh = Book.compile(rows, regions=REGIONS)
        for unit in ("input_text", "output_text", "web_search_requests", "moonbeams"):
            assert warm.quotes(at, size).price(unit) == fresh.quotes(at, size).price(unit)


def test_quotes_serve_every_request_between_two_changes_of_price_and_none_beyond() -> None:
    book = Book.compile([row(1, until_us=5), row(2, since_us=5), row(3, context_gt=100)])
    at = Circumstances("cloud", "m", "global", 1)
    first = book.quotes(at, 0)
    assert book.quotes(replace(at, at_us=4), 100) is first
    for other, size in ((at, 101), (replace(at, at_us=5), 0), (replace(at, geo="eu"), 0)):
        assert book.quotes(other, size) is not first


def test_what_a_book_remembers_is_bounded_and_is_remembered() -> None:
    book = Book.compile([row(1)])
    for n in range(_PLACES_MAX + 3):
        assert book.quotes(Circumstances("cloud", f"model-{n}", "global", n), 0) is not None
        assert len(book._stands) == n % _PLACES_MAX + 1


def test_a_region_nobody_knows_is_never_charged_at_another_places_price() -> None:
    assert find(Book.compile([row(1, geo="eu")], regions=REGIONS), region="tokyo") is None
    assert find(Book.compile([row(1), row(1, geo="eu")], regions=REGIONS), region="tokyo") == 1
    assert (
        find(Book.compile([row(1), row(2, geo="eu")], regions=REGIONS), region="tokyo") is AMBIGUOUS
    )
    assert find(Book.compile([row(1), row(2, geo="gov")], regions=REGIONS), region="tokyo") == 1


def test_a_place_that_is_not_known_is_an_answer_where_all_agree() -> None:
    book = Book.compile([row(1, geo="eu"), row(1, region="ohio")], regions=REGIONS)
    assert find(book) == 1
    assert find(book, geo="eu") == 1


def test_a_region_of_another_geo_does_not_make_a_geo_ambiguous() -> None:
    book = Book.compile([row(1, geo="eu"), row(2, region="ohio")], regions=REGIONS)
    assert find(book, geo="eu") == 1
    assert find(book, geo="us") == 2
    assert find(book, region="tokyo") is None


def test_silence_never_means_a_sovereign_partition() -> None:
    book = Book.compile([row(1), row(2, geo="gov"), row(3, region="fort")], regions=REGIONS)
    assert find(book) == 1
    assert find(book, region="fort") == 3
    assert find(book, geo="gov", region="elsewhere") == 2
    assert find(Book.compile([row(3, region="fort")], regions=REGIONS)) is None


@settings(max_examples=100)
@given(st.lists(st.integers(0, 1000), min_size=2, max_size=6, unique=True), st.integers(-5, 1005))
def test_validity_is_half_open_and_a_timeline_has_one_price_at_a_time(
    starts: list[int], at_us: int
) -> None:
    ordered = sorted(starts)
    rows = [
        row(n, since_us=since, until_us=until)
        for n, (since, until) in enumerate(zip(ordered, [*ordered[1:], FOREVER], strict=True))
    ]
    expected = [n for n, since in enumerate(ordered) if since <= at_us]
    assert find(Book.compile(rows), at_us=at_us) == (expected[-1] if expected else None)


@settings(max_examples=100)
@given(*[st.tuples(st.integers(0, 100), st.integers(1, 100))] * 2)
def test_two_rows_valid_for_one_key_and_instant_are_refused(
    one: tuple[int, int], two: tuple[int, int]
) -> None:
    rows = [row(1, since_us=since, until_us=since + size) for since, size in (one, two)]
    overlap = max(one[0], two[0]) < min(sum(one), sum(two))
    if overlap:
        with pytest.raises(BookInvalid, match="overlaps"):
            Book.compile(rows)
    else:
        assert Book.compile(rows).rows == tuple(rows)


def test_a_row_of_another_place_context_or_unit_is_no_overlap() -> None:
    book = Book.compile(
        [row(1), row(2, geo="eu"), row(3, context_gt=10), row(4, unit="output_text")]
    )
    assert len(book.rows) == 4


def test_a_closed_price_is_followed_by_nothing() -> None:
    book = Book.compile([row(1, since_us=0, until_us=5)])
    assert find(book, at_us=4) == 1
    assert find(book, at_us=5) is None


def test_an_ended_special_price_gives_way_to_the_one_for_anywhere() -> None:
    book = Book.compile([row(1), row(2, geo="eu", until_us=5)])
    assert find(book, geo="eu", region="x", at_us=4) == 2
    assert find(book, geo="eu", region="x", at_us=5) == 1


def test_the_units_with_a_price_are_known_per_key() -> None:
    book = Book.compile([row(1), row(2, unit="output_text")])
    at = Circumstances("cloud", "m", "global", 5)
    assert set(book.priced(at)) == {"input_text", "output_text"}
    assert book.priced(Circumstances("cloud", "n", "global", 5)) == ()


def test_every_price_is_listed_under_its_key_and_its_place_while_it_is_valid() -> None:
    book = Book.compile(
        [row(1, until_us=10), row(2, "eu", since_us=10, until_us=20), row(3, unit="output_text")],
        regions=REGIONS,
    )

    def listed(at_us: int | None = None) -> list[tuple[tuple[str, ...], str, int]]:
        return sorted((one.place, one.unit, one.price.pico) for one in book.listed(at_us))

    here, eu, output = (
        (("", ""), "input_text", 1), (("eu", ""), "input_text", 2), (("", ""), "output_text", 3),
    )  # fmt: skip
    assert listed() == sorted([here, eu, output])
    assert listed(0) == listed(9) == sorted([here, output])
    assert listed(10) == listed(19) == sorted([eu, output])
    assert listed(20) == [output]
    named = {"provider": "cloud", "model": "m", "scope": "global", "tier": "standard"}
    assert all(one.named == named for one in book.listed())


def test_no_price_of_a_model_changes_between_two_of_its_dates() -> None:
    book = Book.compile([row(1, until_us=10), row(2, unit="output_text", since_us=30)])
    around = [book.unchanged(Circumstances("cloud", "m", "global", at)) for at in (9, 10, 29, 30)]
    assert around == [(0, 10), (10, 30), (10, 30), (30, FOREVER)]


def test_the_context_tier_of_a_prompt_is_that_of_its_key_and_instant() -> None:
    book = Book.compile([row(1), row(2, context_gt=100), row(3, context_gt=200, since_us=50)])
    early, late = (Circumstances("cloud", "m", "global", at_us) for at_us in (49, 150))
    assert [book.context_tier(late, size) for size in (100, 101, 200, 201)] == [0, 100, 100, 200]
    assert book.context_tier(early, 201) == 100
    assert book.context_tier(Circumstances("cloud", "other", "global", 150), 201) == 0


def test_a_catalog_is_the_first_sixteen_letters_of_the_version() -> None:
    book = Book.compile([row(1)])
    assert (len(book.catalog), book.version.startswith(book.catalog)) == (16, True)


def test_ladders_of_several_places_are_remembered_side_by_side() -> None:
    asked = [Circumstances("cloud", "m", "global", 5, region=name) for name in ("paris", "ohio")]
    first = [PLACED.ladder(at) for at in asked]
    assert [PLACED.ladder(at) is one for at, one in zip(asked, first, strict=True)] == [True, True]


def test_names_of_an_unknown_provider_have_no_meaning() -> None:
    book = Book.compile([row(1)], aliases=[Alias("cloud", "em", "m")])
    assert book.canonical("cloud", ("em",)) == "m"
    assert book.canonical("sky", ("m",)) is None
    assert book.models("sky") == frozenset()


def test_a_name_that_a_client_chose_is_remembered_in_two_kilobytes_or_not_at_all() -> None:
    book = Book.compile([row(1)])
    kept = book._canonical
    assert isinstance(kept, Remembered)
    room = 2048 - ENTRY_BYTES - whole("cloud", ("",), (None,))
    for letters, entries in ((room + 1, 0), (room, 1)):
        assert book.canonical("cloud", ("x" * letters,)) is None
        assert len(kept) == entries


def test_a_book_tells_which_regions_and_geos_it_can_place() -> None:
    assert PLACED.regions("cloud") == ("fort", "madrid", "ohio", "paris")
    assert PLACED.geos("cloud") == ("eu", "gov", "us")
    assert (PLACED.regions("sky"), PLACED.geos("sky")) == ((), ())


def test_an_alias_stands_for_one_model() -> None:
    with pytest.raises(BookInvalid, match="stands for two models"):
        Book.compile(
            [row(1), Row(terms=("cloud", "n", "global", "", "", "standard"), unit="input_text",
                         source="s", evidence="manual")],
            aliases=[Alias("cloud", "x", "m"), Alias("cloud", "x", "n")],
        )  # fmt: skip


@pytest.mark.parametrize(
    ("alias", "words"),
    [
        (Alias("cloud", "x", "y"), "alias 'x': 'y' has no price row"),
        (Alias("sky", "x", "m"), "alias 'x': 'm' has no price row"),
        (Alias("cloud", "m", "m"), "alias 'm' is a model of its own"),
    ],
)
def test_an_alias_leads_to_a_model_and_hides_none(alias: Alias, words: str) -> None:
    with pytest.raises(BookInvalid) as refused:
        Book.compile([row(1)], aliases=[alias])
    assert refused.value.problems == (words,)
    assert Book.compile([row(1)], aliases=[Alias("cloud", "x", "m")] * 2).rows == (row(1),)


def test_a_version_is_of_the_rows_and_not_of_where_they_were_read() -> None:
    version = Book.compile([row(1), row(2, geo="eu")]).version
    assert len(version) == 64
    assert Book.compile([row(1), row(2, geo="eu", origin="else.csv:9")]).version == version
    for rows in ([row(1)], [row(1), row(3, geo="eu")], [row(1), row(2, geo="eu", source="else")]):
        assert Book.compile(rows).version != version


def test_problems_found_before_are_kept() -> None:
    with pytest.raises(BookInvalid, match="seen elsewhere"):
        Book.compile([row(1)], problems=["seen elsewhere"])


def test_a_book_that_nobody_uses_any_more_is_gone_at_once() -> None:
    """A price import makes another of many thousand objects: the last one may not wait for a full collection."""
    book = Book.compile([row(1), row(2, region="paris")], regions=REGIONS)
    at = Circumstances("cloud", "m", "global", 5, region="ohio")
    assert (find(book, region="paris"), book.canonical("cloud", ["m"])) == (2, "m")
    book.ladder(at)
    gone = weakref.ref(book)
    gc.disable()
    try:
        del book
        assert gone() is None
    finally:
        gc.enable()
