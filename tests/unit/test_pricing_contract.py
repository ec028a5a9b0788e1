"""Contracts: list and net side by side; a discount never raises, a bound stays a bound, nothing is a float."""

import re

import msgspec
import pytest
from hypothesis import given, settings, strategies as st

from gateway.dialects.contract import Request
from gateway.exchange.booking import Counts
from gateway.exchange.bounds import most
from gateway.metering.count import Confidence, Count
from gateway.metering.usage import component
from gateway.pricing.book import Book
from gateway.pricing.ceilings import Ceilings
from gateway.pricing.contract import (
    WHOLE_BP,
    Bargain,
    Contract,
    Contracts,
    ContractsInvalid,
    Term,
)
from gateway.pricing.dimensions import Circumstances, key_of
from gateway.pricing.rate import Charge, Status, rate, rate_components
from gateway.pricing.row import FOREVER, Row

UNITS = ("input_text", "cache_read_text", "output_text")
AT = Circumstances("cloud", "model-a", "global", 1_000)
MILLION = 1_000_000


def row(unit: str, pico: int, **changes: object) -> Row:
    fields: dict[str, object] = {
        "terms": ("cloud", "model-a", "global", "", "", "standard"),
        "unit": unit,
        "pico": pico,
        "source": "s",
        "evidence": "manual",
    }
    return Row(**(fields | changes))  # type: ignore[arg-type]  # fields by name


def book(*figures: int) -> Book:
    return Book.compile(row(unit, pico) for unit, pico in zip(UNITS, figures, strict=True))


BOOK = book(2_500_000_000_000, 250_000_000_000, 15_000_000_000_000)
USAGE = {"input_text": 12_000, "cache_read_text": 88_000, "output_text": 2_000}


def bargain(*terms: Term, margin_bp: int = 0) -> Bargain:
    return Bargain(Contract(name="c", margin_bp=margin_bp, terms=terms))


def nets(charge: Charge) -> list[int | None]:
    return [line.net_pico for line in charge.lines]


def test_the_worked_case_of_ten_percent() -> None:
    charge = rate(BOOK, AT, USAGE, bargain(Term(discount_bp=1_000)))
    assert (charge.list_pico, charge.net_pico) == (82 * 10**9, 73_800_000_000)
    assert charge.status is Status.PRICED


def test_the_first_term_that_fits_a_line_counts_and_the_others_pay_the_list() -> None:
    agreed = bargain(
        Term(unit="output_*", discount_bp=5_000),
        Term(model="model-*", unit="cache_*", pico=10**11),
        Term(provider="elsewhere", discount_bp=9_000),
        Term(scope="regional", discount_bp=9_000),
        Term(tier="batch", discount_bp=9_000),
    )
    assert nets(rate(BOOK, AT, USAGE, agreed)) == [
        12_000 * 2_500_000, 88_000 * 100_000, 2_000 * 7_500_000,
    ]  # fmt: skip


def test_a_margin_comes_on_top_of_whatever_is_agreed() -> None:
    agreed = bargain(Term(unit="output_text", discount_bp=1_000), margin_bp=250)
    assert nets(rate(BOOK, AT, {"input_text": 1_000, "output_text": 1_000}, agreed)) == [
        2_500_000_000 * 10_250 // 10_000, 15_000_000_000 * 9_000 * 10_250 // 10**8,
    ]  # fmt: skip


def test_what_has_no_price_stays_unpriced_under_every_contract() -> None:
    charge = rate(BOOK, AT, {"input_text": 5, "input_audio": 7}, bargain(Term(pico=1)))
    assert (charge.status, charge.net_pico, charge.list_pico) == (Status.PARTIAL, None, None)
    assert nets(charge)[1] is None


def test_capacity_already_paid_for_has_no_net_whatever_the_margin() -> None:
    paid = msgspec.structs.replace(AT, scope="provisioned")
    charge = rate(BOOK, paid, USAGE, bargain(margin_bp=900))
    assert (charge.net_pico, charge.list_pico) == (0, 82 * 10**9)
    assert nets(charge) == [0, 0, 0]


def test_a_component_is_charged_by_the_terms_of_its_own_model() -> None:
    terms = ("cloud", "model-b", "global", "", "", "standard")
    both = Book.compile([*BOOK.rows, row("input_text", 10**12, terms=terms)])
    parts = [component({"input_text": 1_000}), component({"input_text": 1_000}, "step", "model-b")]
    charge = rate_components(both, AT, parts, bargain(Term(model="model-b", discount_bp=5_000)))
    assert nets(charge) == [2_500_000_000, 500_000_000]


def test_the_closest_contract_in_force_is_the_one() -> None:
    contracts = Contracts(
        [
            Contract(name="all", margin_bp=1),
            Contract(name="org", org="o"),
            Contract(name="team", team="t", since_us=10, until_us=20),
            Contract(name="both", org="o", team="t", since_us=15, until_us=20),
        ]
    )

    def name(org: str, team: str, at_us: int) -> str | None:
        found = contracts.of(org, team, at_us)
        return None if found is None else found.contract.name

    assert [name("o", "t", at) for at in (9, 10, 14, 15, 19, 20)] == [
        "org", "team", "team", "both", "both", "org",
    ]  # fmt: skip
    assert (name("o", "u", 12), name("p", "u", 12), name("p", "t", 12)) == ("org", "all", "team")
    assert Contracts().of("o", "t", 0) is None


def test_two_in_force_for_the_same_are_refused_by_name() -> None:
    one = Contract(name="a", team="t", until_us=10)
    with pytest.raises(ContractsInvalid, match="b: in force for the same as a"):
        Contracts([one, Contract(name="b", team="t", since_us=9)])
    with pytest.raises(ContractsInvalid, match="a: two contracts have this name"):
        Contracts([one, Contract(name="a", org="o")])
    later = Contract(name="b", team="t", since_us=10)
    for both in ([one, later], [later, one]):
        assert Contracts(both).all == tuple(both)
    with pytest.raises(ContractsInvalid) as raised:
        Contracts([one, one, Contract(name="b", team="t", since_us=9)])
    assert str(raised.value) == "\n".join(raised.value.problems)
    assert len(raised.value.problems) == 3


def test_of_what_a_contract_does_not_say_it_agrees_nothing() -> None:
    bare = Contract(name="c")
    assert (bare.margin_bp, bare.since_us, bare.until_us, bare.terms) == (0, 0, FOREVER, ())
    assert (bare.org, bare.team, bare.currency) == (None, None, "USD")
    whole = Term()
    assert (whole.discount_bp, whole.pico, whole.per) == (0, None, 1_000_000)
    assert nets(rate(BOOK, AT, USAGE, Bargain(bare))) == [
        line.list_pico for line in rate(BOOK, AT, USAGE).lines
    ]


def test_a_line_of_no_known_model_fits_what_is_said_of_every_model() -> None:
    nameless = msgspec.structs.replace(AT, model=None)
    assert Term().fits(key_of(nameless), "input_text")
    assert not Term(model="model-*").fits(key_of(nameless), "input_text")


def test_a_ladder_of_net_figures_is_made_once_and_is_never_the_lists() -> None:
    agreed = bargain(Term(discount_bp=5_000))
    of_list = BOOK.ladder(AT)
    first, again = (agreed.ladder(of_list, key_of(AT)) for _ in range(2))
    assert first is again
    for step, listed in zip(first.steps, of_list.steps, strict=True):
        assert step.context_gt == listed.context_gt
        assert set(step.prices) == set(listed.prices) == set(UNITS)
        for unit, price in step.prices.items():
            other = listed.prices[unit]
            assert 2 * price.pico * other.per == other.pico * price.per
    other_book = book(1, 2, 3).ladder(AT)
    assert agreed.ladder(other_book, key_of(AT)) is not first
    assert agreed.ladder(of_list, key_of(AT)) is first


def test_what_is_agreed_is_in_the_name_that_rows_keep() -> None:
    one, other = bargain(Term(discount_bp=1)), bargain(Term(discount_bp=2))
    assert re.fullmatch(r"c@[0-9a-f]{8}", one.id)
    assert one.id != other.id
    assert one.id == bargain(Term(discount_bp=1)).id


# ── laws ─────────────────────────────────────────────────────────────────────────────────────────

figures = st.tuples(*[st.integers(0, 10**15)] * len(UNITS))
usages = st.dictionaries(st.sampled_from(UNITS), st.integers(0, 10**7), min_size=1)
terms = st.builds(
    Term,
    unit=st.sampled_from(["*", "output_*", "cache_*"]),
    discount_bp=st.integers(0, WHOLE_BP),
    pico=st.one_of(st.none(), st.integers(0, 10**14)),
    per=st.sampled_from([1, 1_000, 3_600, MILLION]),
)
bargains = st.builds(
    lambda found, margin: bargain(*found, margin_bp=margin),
    st.lists(terms, max_size=3),
    st.integers(0, 100_000),
)


@settings(max_examples=200)
@given(figures, usages, st.integers(0, WHOLE_BP), st.integers(0, WHOLE_BP))
def test_a_discount_never_raises_and_a_larger_one_never_costs_more(
    priced: tuple[int, ...], usage: dict[str, int], one: int, more: int
) -> None:
    low, high = sorted((one, more))
    small = rate(book(*priced), AT, usage, bargain(Term(discount_bp=low)))
    large = rate(book(*priced), AT, usage, bargain(Term(discount_bp=high)))
    assert 0 <= (large.net_pico or 0) <= (small.net_pico or 0) <= (small.list_pico or 0)
    assert small.list_pico == large.list_pico
    assert all(type(line.net_pico) is int for line in (*small.lines, *large.lines))


@settings(max_examples=200)
@given(figures, usages, usages, bargains)
def test_the_net_is_monotone_and_the_sum_of_its_lines(
    priced: tuple[int, ...], usage: dict[str, int], more: dict[str, int], agreed: Bargain
) -> None:
    whole = {unit: usage.get(unit, 0) + more.get(unit, 0) for unit in {**usage, **more}}
    small, large = (rate(book(*priced), AT, counts, agreed) for counts in (usage, whole))
    assert (small.net_pico or 0) <= (large.net_pico or 0)
    assert (large.net_pico or 0) == sum(line.net_pico or 0 for line in large.lines)


@settings(max_examples=200)
@given(figures, usages, bargains, st.integers(1, 5))
def test_splitting_a_request_moves_its_net_by_less_than_a_pico_per_line(
    priced: tuple[int, ...], usage: dict[str, int], agreed: Bargain, parts: int
) -> None:
    split = {unit: count * parts for unit, count in usage.items()}
    whole = rate(book(*priced), AT, split, agreed)
    each = rate(book(*priced), AT, usage, agreed)
    assert abs((whole.net_pico or 0) - parts * (each.net_pico or 0)) <= parts * len(usage)


@settings(max_examples=300)
@given(
    figures, bargains, st.integers(0, 10**6), st.integers(1, 10**5), st.integers(0, 100),
    st.sampled_from(["standard", "batch"]),
)  # fmt: skip
def test_what_is_held_covers_the_net_however_the_prompt_turns_out(
    priced: tuple[int, ...], agreed: Bargain, read: int, written: int, cached: int, tier: str
) -> None:
    """Batch may be served and charged as standard: the hold covers both."""
    batch = ("cloud", "model-a", "global", "", "", "batch")
    halves = [row(u, p // 2, terms=batch) for u, p in zip(UNITS, priced, strict=True)]
    whole = Book.compile([*book(*priced).rows, *halves])
    at = msgspec.structs.replace(AT, tier=tier)
    request = Request(output_ceiling=written)
    counts = Counts(Count(read, Confidence.EXACT))
    held = most(whole, at, request, counts, Ceilings(), 1, agreed).estimate
    from_cache = read * cached // 100
    usage = {
        "input_text": read - from_cache, "cache_read_text": from_cache, "output_text": written,
    }  # fmt: skip
    for served in ("standard", tier):
        under = msgspec.structs.replace(AT, tier=served)
        charge = rate(whole, under, usage, agreed)
        assert held.net_pico is not None
        assert held.list_pico is not None
        assert (charge.net_pico or 0) <= held.net_pico
        assert (charge.list_pico or 0) <= held.list_pico


globs = st.sampled_from(["*", "cloud", "clo*", "?loud", "x*"])
selectors = st.builds(
    Term,
    provider=globs,
    model=st.sampled_from(["*", "model-a", "model-*"]),
    unit=st.sampled_from(["*", "input_*", "input_text"]),
    scope=st.sampled_from([None, "global", "geo"]),
    tier=st.sampled_from([None, "standard", "batch"]),
)
keys = st.tuples(
    st.sampled_from(["cloud", "xa"]), st.sampled_from(["model-a", "b"]),
    st.sampled_from(["global", "geo"]), st.sampled_from(["standard", "batch"]),
)  # fmt: skip


@given(selectors, selectors, keys, st.sampled_from(UNITS))
def test_a_term_that_takes_another_fits_whatever_that_one_fits(
    first: Term, second: Term, key: tuple[str, ...], unit: str
) -> None:
    assert first.takes(first)
    if first.takes(second) and second.fits(key, unit):
        assert first.fits(key, unit)


def test_a_term_takes_the_narrower_and_not_the_wider() -> None:
    every = Term()
    for narrow in (
        Term(provider="cloud"),
        Term(model="model-a"),
        Term(unit="input_text"),
        Term(scope="geo"),
        Term(tier="batch"),
    ):
        assert every.takes(narrow)
        assert not narrow.takes(every)
    assert not Term(scope="geo").takes(Term(scope="global"))
    assert not Term(tier="geo").takes(Term(tier="batch"))
    assert not Term(model="a*").takes(Term(model="ab"))  # by their words alone nobody can tell
