"""New figures and new models: places are learned from the lines, two sources or a person let them in."""

from datetime import UTC, date, datetime

from gateway.catalog import lines as text
from gateway.catalog.growth import Growth, grown
from gateway.catalog.proposals import proposals
from gateway.catalog.refresh import Verdict, refresh
from gateway.catalog.sources import Sources
from gateway.kernel.clock import epoch_us
from tests.unit.catalog_sources import files, line, sources

DAY = date(2026, 11, 22)
NOW = epoch_us(datetime(2026, 11, 22, tzinfo=UTC))

CHAT: dict[str, object] = {"litellm_provider": "cloud", "mode": "chat"}
KNOWN: dict[str, dict[str, object]] = {
    "us.m-0": CHAT | {"input_cost_per_token": 2e-06, "output_cost_per_token": 8e-06},
    "cloud/m-0": CHAT | {"input_cost_per_token": 1e-06},
}
BOOK = files(
    line("2", "us.m-0", scope="geo", geo="us", model="m-0"),
    line("8", "us.m-0", scope="geo", geo="us", model="m-0", unit="output_text"),
    line("1", "cloud/m-0", model="m-0"),
    line("2", "cloud/m-1 = maker/m-1", "corroborated", model="m-3"),
    line("=output_text", "reasoning tokens are charged as output", scope="geo", model="m-0", unit="output_reasoning"),
)  # fmt: skip


def found(given: Sources, book: dict[str, bytes] = BOOK) -> list[tuple[str, ...]]:
    return [
        (*text.key_of(made).terms[1:], made["unit"], made["price"], made["evidence"])
        for made in proposals(book, given, DAY)
    ]


def test_a_new_model_under_a_known_prefix_gets_the_place_of_that_prefix() -> None:
    new = {
        "us.m-7-20261101": CHAT
        | {"input_cost_per_token": 3e-06, "output_cost_per_token_batches": 9e-06}
    }
    assert found(sources(KNOWN | new)) == [
        ("m-7", "geo", "us", "", "batch", "output_text", "9", "single"),
        ("m-7", "geo", "us", "", "standard", "input_text", "3", "single"),
    ]


def test_a_prefix_nobody_has_placed_proposes_nothing() -> None:
    assert found(sources(KNOWN | {"moon.m-7": CHAT | {"input_cost_per_token": 3e-06}})) == []
    other = CHAT | {"litellm_provider": "another", "input_cost_per_token": 3e-06}
    assert found(sources(KNOWN | {"us.m-7": other})) == []


def test_a_new_figure_of_a_known_model_is_proposed_and_a_known_one_is_not() -> None:
    more = {"us.m-0": KNOWN["us.m-0"] | {"cache_read_input_token_cost": 2e-07}}
    assert found(sources(KNOWN | more)) == [
        ("m-0", "geo", "us", "", "standard", "cache_read_text", "0.2", "single"),
    ]


def test_a_second_source_beside_the_model_makes_it_corroborated() -> None:
    new = {"cloud/m-1": CHAT | {"input_cost_per_token": 2e-06, "output_cost_per_token": 9e-06}}
    assert found(sources(KNOWN | new)) == [
        ("m-1", "global", "", "", "standard", "input_text", "2", "corroborated"),
        ("m-1", "global", "", "", "standard", "output_text", "9", "single"),
    ]


def test_retired_models_moving_names_and_free_figures_are_left_out() -> None:
    new = {
        "us.m-5": CHAT | {"input_cost_per_token": 3e-06, "deprecation_date": "2026-11-22"},
        "us.m-6": CHAT | {"input_cost_per_token": 3e-06, "deprecation_date": "2026-11-23"},
        "us.m-latest": CHAT | {"input_cost_per_token": 3e-06},
        "us.m-8": CHAT | {"input_cost_per_token": 0},
        "us.m-9": CHAT | {"input_cost_per_token": 3e-06, "mode": "moderation"},
    }
    assert [made[0] for made in found(sources(KNOWN | new))] == ["m-6"]


def test_two_keys_that_contradict_each_other_propose_neither() -> None:
    new = {
        "us.m-7-20261101": CHAT | {"input_cost_per_token": 3e-06},
        "us.m-7": CHAT | {"input_cost_per_token": 4e-06, "output_cost_per_token": 8e-06},
    }
    assert [(made[0], made[5]) for made in found(sources(KNOWN | new))] == [("m-7", "output_text")]


def grow(given: Sources, *accept: str) -> Growth:
    return grown(BOOK, proposals(BOOK, given, DAY), accept, NOW)


def test_one_source_waits_two_are_added_and_a_person_may_accept() -> None:
    new = {"cloud/m-1": CHAT | {"input_cost_per_token": 2e-06, "output_cost_per_token": 9e-06}}
    given = sources(KNOWN | new)
    by_itself = grow(given)
    assert [made["unit"] for made in by_itself.added] == ["input_text"]
    assert [made["unit"] for made in by_itself.waiting] == ["output_text"]
    accepted = grow(given, "cloud/m-*")
    assert [made["unit"] for made in accepted.added] == [
        "input_text",
        "output_text",
        "output_reasoning",
    ]
    assert accepted.waiting == ()
    assert accepted.added[-1]["price"] == "=output_text"


def test_what_the_lint_finds_implausible_waits_whoever_accepts_it() -> None:
    new = {"us.m-7": CHAT | {"input_cost_per_token": 3e-06, "output_cost_per_token": 1e-06}}
    grew = grow(sources(KNOWN | new), "*")
    assert [(made["unit"], made["price"]) for made in grew.waiting] == [("output_text", "1")]
    assert [made["unit"] for made in grew.added] == ["input_text"]


def test_an_announced_price_is_told_and_becomes_a_dated_line_when_accepted() -> None:
    book = files(
        line("1", "maker/m-2", model="m-2"), line("0.5", "maker/m-2", model="m-2", tier="batch")
    )
    (dispute,) = refresh(book, sources(), DAY).disputes
    assert (dispute.verdict, dispute.line["tier"]) == (Verdict.ANNOUNCED, "standard")
    outcome = refresh(book, sources(), DAY, ["cloud/m-2"])
    _batch, closed, after = text.read(outcome.files["cloud.csv"])
    assert (closed["price"], closed["valid_to"]) == ("1", "2027-01-01")
    assert (after["price"], after["valid_from"], after["source_ref"]) == (
        "3",
        "2027-01-01",
        "maker/m-2",
    )
    again = refresh(outcome.files, sources(), DAY)
    assert (again.files, again.disputes) == (outcome.files, ())


def test_a_tier_may_rest_on_another_tiers_figure_by_a_stated_factor() -> None:
    book = files(
        line("1.8", "maker/m-2 standard; x1.8 as its page says", model="m-2", tier="priority")
    )
    assert refresh(book, sources(), DAY).counts == {Verdict.ANNOUNCED: 1}
    outcome = refresh(book, sources(), DAY, ["*"])
    assert [made["price"] for made in text.read(outcome.files["cloud.csv"])] == ["1.8", "5.4"]


def test_acceptance_lets_one_source_replace_a_price() -> None:
    given = sources({"m-1": {"input_cost_per_token": 2e-06}})
    book = files(line("2.5", "m-1"))
    assert refresh(book, given, DAY, ["cloud/other"]).files == book
    (delta,) = refresh(book, given, DAY, ["cloud/m-1"]).deltas
    assert (delta.before["price"], delta.after["price"]) == ("2.5", "2")
