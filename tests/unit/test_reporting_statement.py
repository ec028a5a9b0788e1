"""The statement's laws: nothing is lost between cost centres, and every column of cents sums to its total."""

from hypothesis import HealthCheck, given, settings, strategies as st

from gateway.kernel.money import round_cents
from gateway.ledger.currency import Rate, from_usd
from gateway.reporting.allocation import SharedCost
from gateway.reporting.amounts import in_words, percent, tokens
from gateway.reporting.compose import Books, Facts, composed, summarised
from gateway.reporting.fold import PLATFORM, Ledgered, Posting, Terms
from gateway.reporting.organisation import UNALLOCATED, Assignment, CostCentre, Organisation
from gateway.reporting.page import page
from gateway.reporting.tabular import as_csv, records

MOVED = Organisation(
    {"4100": CostCentre("4100", "Customer Operations", "owner-4100", "652310", "EUR")},
    (
        Assignment("voice", "4100", until_day="2026-10-15"),
        Assignment("voice", "5200", "2026-10-15"),
        Assignment("care", "4100"),
        Assignment("user-0030", "6100", kind="user"),
    ),
)
DAYS = [first for first, _ in MOVED.spans()]
USD = 10**12


@st.composite
def a_posting(draw: st.DrawFn) -> Posting:
    kind = draw(st.sampled_from(["usage", "usage", "interrupted", "adjustment", "reprice"]))
    listed = draw(st.integers(-(10**9), 10**13))
    net = listed - draw(st.integers(0, 10**12))
    unit = draw(st.sampled_from(["input_text", "cache_read_text", "output_text", "request"]))
    if unit == "request":
        listed = net = 0
    team = draw(st.sampled_from(["voice", "care", "lab"]))
    user = f"user-{draw(st.integers(1, 30)):04}"
    names = (draw(st.sampled_from(["a", "b"])), "p", draw(st.sampled_from(["m", "n"])))
    day, late = draw(st.sampled_from(DAYS)), draw(st.booleans())
    return Posting(max(day, "2026-09-01"), late, team, user, *names, unit, kind, 5, 0, listed, net)


TERMS = st.builds(
    Terms,
    share_unallocated=st.booleans(),
    markup=st.sampled_from([0, 250, 333]),
    tax=st.sampled_from([0, 1900]),
    shared=st.lists(
        st.builds(
            SharedCost,
            name=st.sampled_from(["Provisioned throughput", "Seats"]),
            pico=st.integers(0, 10**15),
            rule=st.sampled_from(["proportional", "even", "fixed", "central"]),
            capacity=st.one_of(st.none(), st.integers(1, 10**3)),
            shares=st.just({"4100": 3, "5200": 1}),
        ),
        max_size=2,
    ).map(tuple),
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # of a busy machine
@given(st.lists(a_posting(), max_size=40), TERMS)
def test_every_column_of_cents_sums_to_its_total_and_nothing_is_lost(
    postings: list[Posting], terms: Terms
) -> None:
    ledgered = Ledgered(202610, postings, MOVED, terms)
    summary = ledgered.summary()
    charged = sum(one.net_pico for one in postings) + sum(one.pico for one in terms.shared)
    added = sum(one.markup_pico + one.tax_pico for one in ledgered.accounts.values())
    assert summary.cents == round_cents(charged + added)
    assert sum(one.cents for one in summary.shares) == summary.cents
    assert sum(one.cents for one in summary.parts) == summary.cents
    ledger = summary.parts[0].cents
    assert sum(one.cents for one in summary.teams) == ledger
    assert sum(one.cents for one in summary.providers) == ledger
    for code in ledgered.codes:
        made = composed(ledgered, code, Facts())
        assert sum(line.cents for line in made.lines) == made.cents
        assert sum(use.cents for use in made.uses) == made.metered_cents
        people = sum(use.cents for use in made.people) + made.others_use.cents
        assert people == made.metered_cents
        requests = sum(use.requests for use in made.people) + made.others_use.requests
        assert requests == made.requests == sum(use.requests for use in made.uses)
        debits = sum(line.debit_cents for line in made.journal)
        assert debits == sum(line.credit_cents for line in made.journal)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(a_posting(), max_size=40))
def test_markup_and_tax_are_on_nobody_who_is_not_charged(postings: list[Posting]) -> None:
    central = SharedCost(name="Support", pico=USD, rule="central")
    ledgered = Ledgered(202610, postings, MOVED, Terms(markup=500, tax=1900, shared=(central,)))
    for code in (UNALLOCATED, PLATFORM):
        account = ledgered.accounts.get(code)
        assert account is None or (account.markup_pico, account.tax_pico) == (0, 0)
        assert composed(ledgered, code, Facts()).journal == ()
    assert ledgered.accounts[PLATFORM].own_pico == USD


def test_a_move_in_the_middle_of_a_month_splits_it() -> None:
    assert MOVED.centre_of("voice", "2026-10-14") == "4100"
    assert MOVED.centre_of("voice", "2026-10-15") == "5200"
    assert MOVED.centre_of("lab", "2026-10-15") == ""
    assert MOVED.centre_of("care", "2026-10-15", user="user-0030") == "6100"


def posting(**changes: object) -> Posting:
    fields = {
        "day": "2026-10-01", "is_late": False, "team": "care", "user": "user-0001", "app": "search",
        "provider": "cloud", "model": "m", "unit": "input_text", "kind": "usage", "quantity": 100,
        "unpriced": 0, "list_pico": 10 * USD, "net_pico": 9 * USD,
    }  # fmt: skip
    return Posting(**(fields | changes))  # type: ignore[arg-type]  # any field


def test_the_walk_names_discount_correction_share_markup_and_tax() -> None:
    postings = [
        posting(),
        posting(unit="request", quantity=1000, list_pico=0, net_pico=0),
        posting(is_late=True, day="2026-09-01", list_pico=USD, net_pico=USD),
        posting(team="lab", list_pico=USD, net_pico=USD),
        posting(team="voice", list_pico=10 * USD, net_pico=10 * USD),
    ]
    bought = SharedCost(name="Provisioned throughput", pico=8 * USD, capacity=800)
    terms = Terms(share_unallocated=True, markup=1000, tax=2000, shared=(bought,))
    ledgered = Ledgered(202610, postings, MOVED, terms)
    rate = Rate(
        period=202610, currency="EUR", pico=8 * USD // 10, source="ECB", author="o", at_us=1
    )
    facts = Facts(rates={"EUR": rate}, counted={"partial": 4}, books=Books(platform_centre="5900"))
    made = composed(ledgered, "4100", facts)
    walk = {line.key: (line.text, line.note, line.cents) for line in made.lines}
    assert walk["metered"] == ("Metered usage", "list price", 2000)
    assert walk["discount:cloud"] == (
        "Negotiated prices, cloud",
        "\N{MINUS SIGN}5.0 % on list",
        -100,
    )
    assert walk["shared:Provisioned throughput"][1:] == ("25.0 % of the tokens bought", 200)
    assert walk["correction:2026-09"][::2] == ("Correction for September 2026", 100)
    assert walk["unallocated"][2] == 200  # 1 USD and its part of the throughput
    assert walk["markup"] == ("Platform markup", "10.0 %", 240)
    assert walk["tax"] == ("Tax", "20.0 %", 528)
    assert made.cents == 3168
    assert made.converted is not None
    assert (made.converted.minor, made.converted.rate) == (2534, "0.8 for one USD")
    without = " ".join(composed(ledgered, "4100", Facts()).method)
    assert "No rate of EUR is set for October 2026" in without
    other = " ".join(composed(ledgered, "5200", Facts()).method)
    assert "No rate of" not in other, "a rate is the matter of whose currency it is"
    assert [(one.centre, one.debit_cents, one.credit_cents) for one in made.journal] == [
        ("4100", 3168, 0),
        ("5900", 0, 2640),
        ("5900", 0, 528),
    ]
    said = " ".join(made.method)
    for sentence in (
        "4 of 1,000 requests (0.40 %) were cut off",
        "Provisioned throughput ($8.00 in October 2026) is shared by tokens used; 62.5 % was idle (500 tokens)",
        "Charges of September 2026 that came after its close",
        "is shared by spend",
        "have not been compared yet",
    ):
        assert sentence in said
    platform = composed(ledgered, PLATFORM, Facts())
    assert (platform.cents, platform.centre.name) == (500, "Kept central")
    assert [share.centre.code for share in ledgered.summary().shares][-2:] == [PLATFORM, ""]


def test_what_has_no_price_is_said_and_never_a_silent_zero() -> None:
    postings = [posting(unit="request", quantity=7, unpriced=2, list_pico=0, net_pico=0)]
    made = composed(Ledgered(202610, postings, MOVED), "4100", Facts())
    assert made.unpriced == 2
    assert "2 requests have no whole price yet" in " ".join(made.method)
    assert "2 of 7 requests have no whole price yet" in page(made)
    assert summarised(Ledgered(202610, postings, MOVED), Facts()).unpriced == 2


def test_an_adjustment_of_the_same_month_changes_the_usage_and_is_no_request() -> None:
    postings = [
        posting(unit="request", quantity=1, list_pico=0, net_pico=0),
        posting(),
        posting(kind="adjustment", unit="request", quantity=1, list_pico=0, net_pico=0),
        posting(kind="adjustment", quantity=-40, list_pico=-4 * USD, net_pico=-4 * USD),
    ]
    made = composed(Ledgered(202610, postings, MOVED), "4100", Facts())
    assert (made.requests, made.uses[0].uncached, made.metered_cents, made.cents) == (
        1,
        60,
        600,
        500,
    )
    assert {line.key for line in made.lines} == {"metered", "discount:cloud"}


def test_amounts_and_shares_are_said_the_way_a_controller_would() -> None:
    assert in_words(-123456) == "\N{MINUS SIGN}$1,234.56"
    assert in_words(5, "EUR ") == "EUR 0.05"
    assert in_words(-1235, "JPY ", 0) == "\N{MINUS SIGN}JPY 1,235"
    assert in_words(1_234_005, "KWD ", 3) == "KWD 1,234.005"
    assert (percent(1, 8), percent(1, 3, 0), percent(-1, 16, 2)) == ("12.5 %", "33 %", "\N{MINUS SIGN}6.25 %")  # fmt: skip
    assert (percent(1, 0), percent(-1, 10**9)) == ("", "0.0 %")
    assert (tokens(99_999), tokens(100_000), tokens(82_649_999)) == ("99,999", "0.1 M", "82.6 M")


def test_names_are_texts_in_every_form() -> None:
    made = composed(Ledgered(202610, [posting(user="=1+1", app="<b>@x")], MOVED), "4100", Facts())
    assert ",'=1+1," in as_csv(records(made))
    assert "<b>@x" not in page(made)
    assert "&lt;b&gt;@x" in page(made)


def test_a_cost_centre_without_a_currency_is_shown_the_contracts() -> None:
    ledgered = Ledgered(202610, [posting(), posting(team="voice", day="2026-10-15")], MOVED)
    rates = {
        currency: Rate(period=202610, currency=currency, pico=pico, source="s", author="o", at_us=1)
        for currency, pico in (("EUR", 8 * USD // 10), ("GBP", USD // 2))
    }
    codes = {code: ledgered.organisation.centre(code).currency for code in ledgered.codes}
    assert set(codes.values()) == {"EUR", "USD"}
    for code, own in codes.items():
        shown = own if own != "USD" else "GBP"
        found = composed(ledgered, code, Facts(rates=rates, currency="GBP"))
        assert found.converted is not None
        assert found.converted.currency == shown
        assert found.converted.minor == round_cents(from_usd(found.cents * 10**10, rates[shown].pico))  # fmt: skip
        assert found.cents == composed(ledgered, code, Facts()).cents
        lacking = composed(ledgered, code, Facts(currency="GBP"))
        assert lacking.converted is None
        assert f"No rate of {shown} is set for October 2026" in " ".join(lacking.method)
        plain = composed(ledgered, code, Facts(rates=rates))
        assert (plain.converted is None) == (own == "USD")
