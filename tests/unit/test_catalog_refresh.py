"""A refresh: what stands is untouched, what moved needs an authority or two sources, the rest waits."""

from datetime import date
from decimal import Decimal

import pytest

from gateway.catalog import lines as text
from gateway.catalog.figure import Figure, Slot, SourceUnreadable
from gateway.catalog.reference import Term, parse
from gateway.catalog.refresh import Verdict, refresh, unread
from gateway.catalog.retail import Listed
from gateway.catalog.sources import Sources
from gateway.pricing import load
from tests.unit.catalog_sources import files, genai, line, litellm, meter, retail, sources

DAY = date(2026, 11, 22)
SLOT = Slot("input_text", "standard")


def verdicts(book: dict[str, bytes], given: Sources) -> list[Verdict]:
    outcome = refresh(book, given, DAY)
    return sorted(outcome.counts.elements())


# ── what stands ──────────────────────────────────────────────────────────────────────────────────


def test_a_figure_that_every_source_still_states_is_kept_byte_for_byte() -> None:
    given = sources(
        {"us.m-1": {"input_cost_per_token": 2e-06, "output_cost_per_token": 8e-06}},
        meter("m1 inp", 2.2, ["north", "south"]),
    )
    book = files(
        line("2", "us.m-1 = maker/m-1", "corroborated"),
        line("8.0", "us.m-1", unit="output_text"),
        line("2.2", "meter m1 inp", "authoritative", scope="regional", geo="eu"),
        line("4.4", "us.m-1; x2.2 by list", scope="regional", geo="us"),
        line("=output_text", "reasoning tokens are charged as output", unit="output_reasoning"),
        line("0", "charged per query", unit="grounding_google_search_prompts"),
    )
    outcome = refresh(book, given, DAY)
    assert outcome.files == book
    assert (outcome.deltas, outcome.disputes) == ((), ())
    assert outcome.counts == {Verdict.HELD: 4, Verdict.RULE: 2}


def test_history_and_prices_to_come_are_looked_up_for_their_own_time() -> None:
    book = files(
        line("7", "maker/m-2", model="m-2", since="2025-01-01", until="2026-01-01"),
        line("1", "maker/m-2", model="m-2", until="2027-01-01"),
        line("3", "maker/m-2", model="m-2", since="2027-01-01"),
        line("0.5", "maker/m-2", model="m-2", tier="batch"),
    )
    assert verdicts(book, sources()) == [Verdict.ENDED, Verdict.HELD, Verdict.HELD, Verdict.HELD]


def test_a_line_without_a_place_speaks_for_the_regions_no_other_line_names() -> None:
    prices = (meter("m1", 2, ["north"]), meter("m1", 3, ["south"]), meter("m1", 4, ["west"]))
    both = files(
        line("2", "meter m1", "authoritative"),
        line("3", "meter m1", "authoritative", region="south"),
        line("4", "meter m1", "authoritative", geo="us"),
    )
    assert verdicts(both, sources({}, *prices)) == [Verdict.HELD] * 3
    zone = files(
        line("2", "meter m1", "authoritative", geo="eu"),
        line("3", "meter m1", "authoritative", region="south"),
    )
    assert verdicts(zone, sources({}, *prices)) == [Verdict.HELD] * 2
    alone = files(line("2", "meter m1", "authoritative", geo="eu"))
    assert verdicts(alone, sources({}, *prices)) == [Verdict.GONE]  # two prices in one zone: none


# ── what moved ───────────────────────────────────────────────────────────────────────────────────


def test_the_providers_own_list_replaces_a_price_on_its_own_date() -> None:
    given = sources(
        {}, meter("m1 inp", 2, ["north"]), meter("m1 inp", 1.5, ["north"], since="2026-09-01")
    )
    book = files(line("2", "meter m1 inp", "authoritative"))
    outcome = refresh(book, given, DAY)
    closed, after = text.read(outcome.files["cloud.csv"])
    assert (closed["price"], closed["valid_to"]) == ("2", "2026-09-01")
    assert (after["price"], after["valid_from"], after["valid_to"]) == ("1.5", "2026-09-01", "")
    assert after["source"] == "retail list"
    load.book({name: content for name, content in outcome.files.items() if name == "cloud.csv"})


def test_two_sources_that_agree_replace_a_price_on_the_day_of_the_refresh() -> None:
    given = sources({"m-1": {"input_cost_per_token": 2e-06}})
    book = files(line("2.5", "m-1 = maker/m-1", "corroborated"))
    (delta,) = refresh(book, given, DAY).deltas
    assert (delta.after["price"], delta.after["valid_from"]) == ("2", "2026-11-22")
    assert delta.after["source"] == "litellm 1 + genai-prices 1"


def test_what_only_one_source_says_waits_for_a_person() -> None:
    given = sources({"m-1": {"input_cost_per_token": 2e-06}})
    for reference, evidence in (("m-1", "single"), ("m-1 = maker/nobody", "corroborated")):
        book = files(line("2.5", reference, evidence))
        outcome = refresh(book, given, DAY)
        assert outcome.files == book
        assert [dispute.verdict for dispute in outcome.disputes] == [Verdict.DISPUTED]


def test_sources_that_differ_are_a_dispute_with_both_figures() -> None:
    given = sources({"m-1": {"input_cost_per_token": 3e-06}})
    book = files(line("3", "m-1 = maker/m-1", "corroborated"))
    (dispute,) = refresh(book, given, DAY).disputes
    assert [found.figure and found.figure.text(1_000_000) for found in dispute.stated] == ["3", "2"]


def test_a_thousandfold_slip_in_the_files_is_found_though_nothing_moved() -> None:
    given = sources({"m-1": {"input_cost_per_token": 2e-06}})
    assert verdicts(files(line("2000", "m-1")), given) == [Verdict.DISPUTED]


def test_a_figure_no_source_states_any_more_is_told_and_kept() -> None:
    book = files(
        line("2", "meter that was", "authoritative"), line("2", "key-that-was", model="m-9")
    )
    outcome = refresh(book, sources(), DAY)
    assert outcome.files == book
    assert [dispute.verdict for dispute in outcome.disputes] == [Verdict.GONE, Verdict.GONE]


def test_the_list_never_replaces_a_price_before_its_own_start() -> None:
    given = sources({}, meter("m1", 1, ["north"], since="2025-01-01"))
    book = files(line("2", "meter m1", "authoritative", since="2026-11-22"))
    assert verdicts(book, given) == [Verdict.DISPUTED]


def test_refreshing_twice_changes_nothing_more() -> None:
    given = sources({"m-1": {"input_cost_per_token": 2e-06}})
    once = refresh(files(line("2.5", "m-1 = maker/m-1", "corroborated")), given, DAY)
    twice = refresh(once.files, given, DAY)
    assert (twice.files, twice.deltas) == (once.files, ())


def test_a_meter_that_no_row_refers_to_is_told() -> None:
    given = sources(
        {},
        meter("m1 inp", 2, ["north"]),
        meter("m2 inp", 2, ["north"]),
        meter("m2 inp", 2, ["south"]),
    )
    assert unread(files(line("2", "meter m1 inp", "authoritative")), given) == (("p", "m2 inp"),)
    assert unread(files(line("2", "meter m1 inp | m2 inp", "authoritative")), given) == ()


# ── what sources say ─────────────────────────────────────────────────────────────────────────────


def test_a_reference_has_terms_a_field_and_a_factor() -> None:
    found = parse("us.m = aws/m; x1.1 regional endpoint; x2; a remark")
    assert found.terms == (Term(key="us.m"), Term(key="aws/m"))
    assert found.factor == Decimal("2.2")
    assert parse("meter a b | c").terms == (Term(names=("a b", "c")),)
    assert parse("g/rails topicPolicyUnits").terms == (
        Term(key="g/rails", field="topicPolicyUnits"),
    )


@pytest.mark.parametrize(
    ("field", "slot"),
    [
        ("input_cost_per_token", Slot("input_text", "standard")),
        ("output_cost_per_token_batches", Slot("output_text", "batch")),
        (
            "input_cost_per_token_above_272k_tokens_priority",
            Slot("input_text", "priority", 272_000),
        ),
        ("cache_creation_input_token_cost_above_1hr", Slot("cache_write_1h", "standard")),
        (
            "cache_creation_input_token_cost_above_1hr_above_200k_tokens",
            Slot("cache_write_1h", "standard", 200_000),
        ),
        (
            "cache_creation_input_token_cost_above_200k_tokens",
            Slot("cache_write", "standard", 200_000),
        ),
        ("cache_read_input_audio_token_cost_flex", Slot("cache_read_audio", "flex")),
        ("output_cost_per_image_token", Slot("output_image", "standard")),
        ("output_cost_per_image", Slot("images_out", "standard")),
    ],
)
def test_a_field_name_is_a_unit_a_tier_and_a_context(field: str, slot: Slot) -> None:
    read = litellm({"m": {field: 1.25e-06, "max_tokens": 10}})
    assert read.figures("m") == {slot: Figure(Decimal("0.00000125"))}


def test_a_write_is_the_write_of_its_lifetime_and_a_counted_unit_has_one_price_for_every_tier() -> (
    None
):
    read = litellm({"m": {
        "cache_creation_input_token_cost": 3e-06,
        "google_maps_grounding_cost_per_query": 0.014,
        "search_context_cost_per_query": {"search_context_size_medium": 0.01},
        "guardrail_cost_per_unit": {"topicPolicyUnits": 0.00015},
    }})  # fmt: skip
    write = read.figure("m", Slot("cache_write_5m", "standard"))
    assert write == Figure(Decimal("0.000003"))
    assert read.figure("m", Slot("cache_write_1h", "standard")) is None
    maps = read.figure("m", Slot("grounding_google_maps", "batch"))
    assert maps is not None
    assert maps.text(1000) == "14"
    search = read.figure("m", Slot("web_search_requests", "batch"))
    assert search == Figure(Decimal("0.01"))
    policy = read.figure("m", Slot("topic_policy_units", "standard"), "topicPolicyUnits")
    assert policy is not None
    assert policy.text(1000) == "0.15"


def test_dated_figures_tiers_and_hours_of_the_day_are_told_apart() -> None:
    read = genai()
    assert read.figure("maker/m-2", SLOT, DAY) == Figure(Decimal(1), 1_000_000)
    assert read.figure("maker/m-2", SLOT, date(2027, 1, 1)) == Figure(Decimal(3), 1_000_000)
    batch = Slot("input_text", "batch")
    assert read.figure("maker/m-2", batch, date(2026, 10, 13)) is None
    assert read.figure("maker/m-2", batch, DAY) == Figure(Decimal("0.5"), 1_000_000)
    above = Slot("output_text", "standard", 200_000)
    assert read.figure("maker/m-1", above, DAY) == Figure(Decimal(12), 1_000_000)
    assert read.figure("maker/m-1", above._replace(context_gt=128_000), DAY) is None
    assert read.figure("maker/m-1", Slot("input_text", "standard", 200_000), DAY) is None


def test_the_newest_meter_that_has_begun_counts_per_region() -> None:
    read = retail(
        meter("m", 1, ["north"]),
        meter("m", 2, ["north"], since="2026-06-01"),
        meter("m", 9, ["north"], since="2027-01-01"),
        meter("h", 0.36, ["north"], unit="1 Hour"),
    )
    assert read.latest(["m"], {"north"}, (), DAY) == Listed(
        Figure(Decimal(2), 1_000_000), date(2026, 6, 1), "retail list"
    )
    assert read.latest(["m"], {"south"}, (), DAY) is None
    assert read.latest(["h"], (), (), DAY) == Listed(
        Figure(Decimal("0.36"), 3600), date(2026, 1, 1), "retail list"
    )


def test_a_feed_page_of_another_currency_or_another_kind_is_not_taken_for_usd() -> None:
    page = (
        b'{"Items": [{"meterName": "m", "productName": "p", "armRegionName": "north", "retailPrice": 2, '
        b'"unitOfMeasure": "1M", "effectiveStartDate": "2026-01-01T00:00:00Z", "type": "%s", '
        b'"currencyCode": "%s"}]}'
    )
    read = type(retail())
    assert len(read("feed", [page % (b"Consumption", b"USD")]).meters) == 1
    assert read("feed", [page % (b"Reservation", b"USD")]).meters == ()
    with pytest.raises(SourceUnreadable, match="EUR"):
        read("feed", [page % (b"Consumption", b"EUR")])


def test_a_price_without_a_finite_decimal_is_refused_and_never_rounded() -> None:
    assert Figure(Decimal("0.396"), 3600).text(3600) == "0.396"
    with pytest.raises(ValueError, match="no finite decimal"):
        Figure(Decimal(1), 3600).text(1)
