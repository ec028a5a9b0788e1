"""The written form of budgets: it reads back as the same budget, and says every mistake with its key."""

import tomllib
from datetime import date, datetime
from typing import Any

import pytest
from hypothesis import given, strategies as st

from gateway.kernel.clock import epoch_us
from gateway.metering.units import UNITS
from gateway.quota import draft
from gateway.quota.budget import CONCURRENT, MEASURES, MONEY, UNIT, Budget, Raise, Scope
from gateway.quota.form import (
    BOUNDED_BY_OUTPUT,
    CALENDAR,
    EACH,
    FISCAL,
    LIMIT_MAX,
    PER_MINUTE_MAX,
    SCOPE,
    WINDOWS,
    counts_rows,
    default_name,
    toml,
    usual_store_down,
    written,
)

PROVIDERS = ("cloud", "nimbus")
texts = st.text(st.characters(exclude_categories=("C", "Z")), min_size=1, max_size=30)
percents = st.lists(st.integers(1, 1000), max_size=5, unique=True).map(sorted).map(tuple)
moments = st.integers(0, 4_000_000_000_000_000)


@st.composite
def scopes(draw: st.DrawFn) -> Scope:
    named = draw(st.sets(st.sampled_from(SCOPE)))
    special = {"tag": st.just("env=test"), "provider": st.sampled_from(PROVIDERS)}
    return Scope(**{name: draw(special.get(name, texts)) for name in named})


@st.composite
def raises(draw: st.DrawFn) -> Raise:
    begun, ended = sorted(draw(st.sets(moments, min_size=2, max_size=2)))
    return Raise(draw(st.integers(1, LIMIT_MAX)), begun, ended, draw(texts), draw(texts))


@st.composite
def budgets(draw: st.DrawFn) -> Budget:
    """Every budget that can be written: what does not apply to it is at its default."""
    measure = draw(st.sampled_from((*MEASURES, *(UNIT + unit for unit in UNITS))))
    window = "always" if measure == CONCURRENT else draw(st.sampled_from(WINDOWS))
    most = PER_MINUTE_MAX if window == "minute" else LIMIT_MAX
    fields: dict[str, Any] = {
        "id": "",
        "name": draw(texts),
        "scope": draw(scopes()),
        "measure": measure,
        "limit": draw(st.integers(1, most)),
        "window": window,
        "each": draw(st.sampled_from(("", *EACH))),
        "raises": tuple(draw(st.lists(raises(), max_size=3))),
    }
    plain = Budget(**fields)
    mode = draw(st.sampled_from(("hard", "shadow", *(("soft",) if counts_rows(plain) else ()))))
    fields |= {"hard": mode != "soft", "shadow": mode == "shadow"}
    fields["store_down"] = usual_store_down(plain)
    fields |= draw(by_window(plain))
    if mode != "soft":
        fields["store_down"] = draw(st.sampled_from(("deny", "allow", "allow_within")))
        if fields["store_down"] == "allow_within":
            fields["store_down_percent"] = draw(st.integers(1, 100))
    if measure in MONEY:
        fields["zero_priced"] = draw(st.booleans())
    if mode == "hard" and measure in BOUNDED_BY_OUTPUT:
        fields["clamp"], fields["stop"] = draw(st.booleans()), draw(st.booleans())
    return Budget(**fields)


@st.composite
def by_window(draw: st.DrawFn, plain: Budget) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    window = plain.window
    if window in CALENDAR:
        fields["timezone"] = draw(st.sampled_from(("UTC", "Europe/Berlin", "Asia/Kathmandu")))
        fields["carry_over_percent"] = draw(st.integers(0, 100))
        fields["forecast_alerts"] = draw(percents)
    if window in FISCAL:
        fields["year_start"] = draw(st.integers(1, 12))
    if window == "minute":
        fields["burst_percent"] = draw(st.integers(1, 100))
    if counts_rows(plain):
        fields["alerts"] = draw(percents)
    return fields


@given(budgets())
def test_a_budget_written_to_a_file_reads_back_as_the_same_budget(budget: Budget) -> None:
    (table,) = tomllib.loads(toml([budget]))["budgets"]
    found, problems = draft.read(table, zone="Asia/Tokyo", providers=PROVIDERS)
    assert problems == ()
    assert found == draft.Draft(budget, says_raises=bool(budget.raises))


@given(budgets())
def test_what_is_written_whole_reads_back_too(budget: Budget) -> None:
    table = written(budget, whole=True)
    found, problems = draft.read(table, zone="Asia/Tokyo", providers=PROVIDERS)
    assert problems == ()
    assert found is not None
    assert found.budget == budget


@given(st.lists(budgets(), max_size=3))
def test_a_file_holds_any_number_of_budgets(several: list[Budget]) -> None:
    tables = tomllib.loads(toml(several)).get("budgets", [])
    assert [table["name"] for table in tables] == [budget.name for budget in several]


def read(**table: Any) -> Budget:
    found, problems = draft.read(table, zone="Europe/Berlin", providers=PROVIDERS)
    assert problems == ()
    assert found is not None
    return found.budget


def mistakes(**table: Any) -> dict[str, str]:
    found, problems = draft.read(table, zone="UTC", providers=PROVIDERS)
    assert found is None
    assert len({one.key for one in problems}) == len(problems)
    return {one.key: one.text for one in problems}


def test_money_fails_closed_and_rates_open_unless_told_otherwise() -> None:
    assert read(usd=500, window="month").store_down == "deny"
    assert read(tokens=500, window="day").store_down == "deny"
    assert read(requests=60, window="minute").store_down == "allow"
    assert read(concurrent=8).store_down == "allow"
    down = read(usd=5, window="day", store_down="allow-within=25")
    assert (down.store_down, down.store_down_percent) == ("allow_within", 25)


def test_a_budget_is_named_by_its_scope_measure_and_window() -> None:
    assert read(team="search", usd=500, window="month").name == "team search · usd · month"
    assert read(org="o", each="user", requests=6, window="minute").name == "org o, each user · requests · minute"  # fmt: skip
    assert read(each="key", concurrent=12).name == "each key · concurrent"
    assert read(unit={"web_search_requests": 9}, window="day").name == "everything · web search requests · day"  # fmt: skip
    assert default_name(read(cost_centre="4100", usd_list=1, window="year")) == "cost centre 4100 · usd list · year"  # fmt: skip


def test_amounts_are_exact() -> None:
    assert read(usd="0.000000001", window="day").limit == 1
    assert read(usd=500, window="day").limit == 500 * 10**9
    assert read(tokens="2_000_000", window="day").limit == 2_000_000
    no_amounts: tuple[object, ...] = (
        0.5, "0.0000000001", "-1", "1e3", "NaN", True, "٣", [], None, "1" * 13,
    )  # fmt: skip
    for wrong in no_amounts:
        assert "usd" in mistakes(usd=wrong, window="day"), wrong
    no_counts: tuple[object, ...] = ("1.5", -1, 2.0, "٣")
    for wrong in no_counts:
        assert "requests" in mistakes(requests=wrong, window="day"), wrong


def test_dates_of_raises_are_midnights_of_the_budgets_own_zone() -> None:
    def with_until(until: object) -> int:
        row = {"by": "100", "until": until, "reason": "quarter end", "author": "owner-4100"}
        return read(usd=5, window="month", raises=[row]).raises[0].to_us

    midnight = epoch_us(datetime.fromisoformat("2026-11-30T23:00+00:00"))
    assert [with_until(one) for one in ("2026-12-01", date(2026, 12, 1), "2026-11-30T23:00Z")] == [
        midnight
    ] * 3


def test_an_alert_alone_also_asks_for_the_forecast_of_the_limit() -> None:
    assert read(usd=5, window="month", alert=[80, 50]).alerts == (50, 80)
    assert read(usd=5, window="month", alert=[80]).forecast_alerts == (100,)
    assert read(usd=5, window="month").forecast_alerts == ()
    assert read(usd=5, window="month", alert=[80], alert_forecast=[]).forecast_alerts == ()
    assert read(usd=5, window="always", alert=[80]).forecast_alerts == ()


def test_every_mistake_is_said_at_once_with_its_key() -> None:
    found = mistakes(
        team=7, tag="x", provider="nobody", each="tag", usd="5", tokens=5, window="fortnight", colour="blue",
        mode="strict", carry_over=101, alert=[0], store_down="maybe", clamp="yes", raises=[{"by": "x"}],
    )  # fmt: skip
    assert found.keys() == {
        "team", "tag", "provider", "each", "tokens", "window", "colour", "mode", "carry_over", "alert",
        "store_down", "clamp", "raises[0].by", "raises[0].until", "raises[0].reason", "raises[0].author",
    }  # fmt: skip
    assert "usd and tokens" in found["tokens"]
    assert "allow-within" in found["store_down"]


@pytest.mark.parametrize(
    ("table", "key"),
    [
        ({"requests": 6, "window": "minute", "tz": "UTC"}, "tz"),
        ({"requests": 6, "window": "minute", "carry_over": 5}, "carry_over"),
        ({"requests": 6, "window": "minute", "alert": [80]}, "alert"),
        ({"requests": 6, "window": "minute", "mode": "soft"}, "mode"),
        ({"requests": 0, "window": "minute"}, "requests"),
        ({"requests": 6, "window": "day", "burst": 10}, "burst"),
        ({"requests": 6, "window": "day", "clamp": True}, "clamp"),
        ({"requests": 6, "window": "day", "zero_priced": False}, "zero_priced"),
        ({"requests": 6, "window": "month", "year_start": 2}, "year_start"),
        ({"requests": 6}, "window"),
        ({"usd": 6, "window": "day", "mode": "soft", "stop": True}, "stop"),
        ({"usd": 6, "window": "day", "mode": "soft", "store_down": "deny"}, "store_down"),
        ({"usd": 6, "window": "always", "alert_forecast": [100]}, "alert_forecast"),
        ({"usd": 6, "window": "day", "tz": "Mars/Olympus"}, "tz"),
        ({"concurrent": 6, "window": "day"}, "window"),
        ({"unit": {"lorries": 6}, "window": "day"}, "unit"),
        ({"window": "day"}, "usd"),
    ],
)
def test_what_does_not_go_together_is_refused(table: dict[str, Any], key: str) -> None:
    assert mistakes(**table).keys() == {key}
