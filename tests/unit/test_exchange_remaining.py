"""What is left of budgets, in words, figures and headers."""

import msgspec
import pytest
from hypothesis import given, strategies as st

from gateway.exchange import remaining
from gateway.quota.budget import (
    CONCURRENT,
    INPUT_TOKENS,
    OUTPUT_TOKENS,
    REQUESTS,
    TOKENS,
    USD_NET,
    Budget,
    Scope,
)
from gateway.quota.hold import Balance, CounterKey

NOW = 1_795_000_000_000_000
END = NOW + 86_400_000_000
AMOUNTS = st.integers(0, 10**15)


def budget(measure: str = USD_NET, name: str = "team search", window: str = "month") -> Budget:
    return Budget(
        id="bud_1",
        name=name,
        scope=Scope(team="search"),
        measure=measure,
        limit=500 * 10**9,
        window=window,  # type: ignore[arg-type]  # any of the literal's words
    )


def balance(posted: int, pending: int, limit: int = 500 * 10**9) -> Balance:
    return Balance(CounterKey("bud_1", "", 0), posted, pending, limit)


def test_a_refusal_names_the_budget_its_figures_and_the_cure() -> None:
    words, details = remaining.refusal(budget(), balance(499 * 10**9, 10**8), 2 * 10**9, END)
    assert "'team search' has 0.9 of 500 USD left for this month" in words
    assert "499 spent, 0.1 held by running requests" in words
    assert "may use up to 2 USD" in words
    assert "lower its output ceiling" in words
    assert details == {
        "budget": "team search",
        "measure": "usd_net",
        "unit": "USD",
        "window": "month",
        "limit": "500",
        "spent": "499",
        "held": "0.1",
        "left": "0.9",
        "asked": "2",
        "frees_at": "2026-11-19T11:06:40+00:00",
    }


def test_a_budget_with_nothing_left_does_not_suggest_to_ask_for_less() -> None:
    words, _ = remaining.refusal(budget(), balance(500 * 10**9, 0), 1, END)
    assert "lower its output ceiling" not in words
    assert "ask the owner of the budget for a raise" in words


def test_waiting_is_no_cure_for_what_is_larger_than_the_whole_budget() -> None:
    words, _ = remaining.refusal(budget(), balance(0, 0), 501 * 10**9, END)
    assert words.endswith(
        "lower its output ceiling (max tokens) or shorten its prompt, or ask the owner of the budget for a raise"
    )


@pytest.mark.parametrize(
    ("measure", "cure"),
    [
        (TOKENS, "lower its output ceiling (max tokens) or shorten its prompt"),
        (INPUT_TOKENS, "shorten its prompt"),
        (OUTPUT_TOKENS, "lower its output ceiling (max tokens)"),
        ("unit:web_search_requests", "max_tool_calls"),
        ("unit:input_audio", "ask for less of it"),
    ],
)
def test_what_is_measured_decides_how_to_ask_for_less(measure: str, cure: str) -> None:
    words, _ = remaining.refusal(budget(measure), balance(0, 0, 3), 10, END)
    assert cure in words.partition(", or ask the owner")[0]


def test_a_rolling_minute_is_refused_with_its_rate_and_what_may_be_used_at_once() -> None:
    rated = msgspec.structs.replace(budget(TOKENS, window="minute"), limit=6_000)
    words, _ = remaining.refusal(rated, balance(0, 1_100, 1_200), 800, None)
    assert (
        "allows 6000 tokens a minute and 1200 of them at once, of which 100 are left now" in words
    )
    assert "may use up to 800 tokens: slow down" in words


def test_a_made_name_stays_readable_in_a_header() -> None:
    named = budget(name="team search · usd · month")
    found = dict(remaining.headers([named], [balance(0, 0)], NOW, shown={"bud_1": END}.get))
    assert found[b"ratelimit"].startswith(b'"team search / usd / month";')


def test_requests_at_a_time_are_refused_in_their_own_words() -> None:
    words, details = remaining.refusal(
        budget(CONCURRENT, window="always"), balance(0, 12, 12), 1, None
    )
    assert "allows 12 requests at a time and all are running" in words
    assert details["unit"] == "requests"
    assert details["frees_at"] is None


def test_headers_give_policy_and_remaining_in_whole_units() -> None:
    found = dict(
        remaining.headers([budget()], [balance(10**9, 10**9)], NOW, shown={"bud_1": END}.get)
    )
    assert found[b"ratelimit-policy"] == b'"team search";q=50000;qu="usd-cents"'
    assert found[b"ratelimit"] == b'"team search";r=49800;t=86400'
    assert (
        found[b"x-weighbridge-budgets"]
        == b'"team search";left="498";limit="500";held="1";unit="USD"'
    )


def test_a_rolling_minute_says_its_span() -> None:
    found = dict(
        remaining.headers(
            [msgspec.structs.replace(budget(REQUESTS, window="minute"), limit=300)],
            [balance(0, 0, 60)],
            NOW,
            shown=lambda _: None,
        )
    )
    assert found[b"ratelimit-policy"] == b'"team search";q=300;qu="requests";w=60'
    assert found[b"ratelimit"] == b'"team search";r=60'


def test_nothing_held_says_nothing() -> None:
    assert remaining.headers([budget()], [], NOW, shown=lambda _: None) == ()


@given(st.text(), AMOUNTS, AMOUNTS, AMOUNTS)
def test_no_name_and_no_amount_breaks_a_header(
    name: str, posted: int, pending: int, limit: int
) -> None:
    given_budget = budget(TOKENS, name)
    for header, value in remaining.headers(
        [given_budget], [balance(posted, pending, limit)], NOW, shown=lambda _: END
    ):
        assert header.isascii()
        assert all(32 <= byte < 127 for byte in value)
        unescaped = value.replace(b"\\\\", b"").replace(b'\\"', b"")
        assert unescaped.count(b'"') % 2 == 0


@given(AMOUNTS, AMOUNTS, AMOUNTS)
def test_what_is_left_is_never_overstated(posted: int, pending: int, limit: int) -> None:
    found = balance(posted, pending, limit)
    cents = remaining.headers([budget()], [found], NOW, shown=lambda _: None)[1][1]
    assert int(cents.split(b"r=")[1]) * remaining.NANO_PER_CENT <= max(0, limit - posted - pending)
