"""A period's postings folded to cost centres: every line with its text, its note and its pico-dollars."""

from typing import Any

from hypothesis import given, strategies as st

from gateway.reporting.allocation import SharedCost
from gateway.reporting.fold import PLATFORM, Account, Ledgered, Posting, Terms, people, uses
from gateway.reporting.organisation import UNALLOCATED, Assignment, CostCentre, Organisation
from gateway.reporting.statement import Line, Part, Use

USD = 10**12
MINUS = "\N{MINUS SIGN}"
ORGANISATION = Organisation(
    {"4100": CostCentre("4100", "Customer Operations")},
    (
        Assignment("care", "4100"),
        Assignment("voice", "5200"),
        Assignment("bot", "6100", kind="app"),
        Assignment("user-0009", "7100", kind="user"),
    ),
)


def posting(**changes: Any) -> Posting:
    fields: dict[str, Any] = {
        "day": "2026-10-01", "is_late": False, "team": "care", "user": "user-0001", "app": "search",
        "provider": "cloud", "model": "m", "unit": "input_text", "kind": "usage", "quantity": 100,
        "unpriced": 0, "list_pico": 10 * USD, "net_pico": 10 * USD,
    }  # fmt: skip
    return Posting(**(fields | changes))


def requests(quantity: int, **changes: Any) -> Posting:
    return posting(unit="request", quantity=quantity, **({"list_pico": 0, "net_pico": 0} | changes))


def account(*postings: Posting) -> Account:
    made = Account()
    for one in postings:
        made.add(one)
    return made


def fold(*postings: Posting, **terms: Any) -> Ledgered:
    return Ledgered(202610, postings, ORGANISATION, Terms(**terms))


# ── counts ───────────────────────────────────────────────────────────────────────────────────────────


def test_attempts_are_requests_and_corrections_are_none() -> None:
    made = account(
        requests(1, kind="usage"), requests(20, kind="interrupted"), requests(300, kind="unconfirmed", unpriced=4),
        requests(4_000, kind="adjustment", unpriced=-1), requests(50_000, kind="reprice"), requests(600_000, kind="reversal"),
    )  # fmt: skip
    assert (made.whole.requests, made.whole.unpriced, made.whole.list_pico) == (321, 3, 0)
    assert sum(made.whole.tokens.values()) == 0


def test_tokens_are_counted_by_how_they_came_and_what_is_no_token_only_costs() -> None:
    made = account(
        posting(unit="input_text", quantity=1), posting(unit="input_image", quantity=2),
        posting(unit="cache_read_text", quantity=30), posting(unit="cache_write_5m", quantity=400),
        posting(unit="output_text", quantity=5_000), posting(unit="output_reasoning", quantity=6_000),
        posting(unit="web_search_requests", quantity=70_000), posting(unit="of the future", quantity=800_000),
    )  # fmt: skip
    assert made.whole.tokens == {"": 3, "read": 30, "write": 400, "output": 11_000}
    assert (made.whole.requests, made.whole.list_pico) == (0, 80 * USD)
    (use,) = uses(made, 8_000)
    assert use == Use("search", "m", "cloud", "", 0, 3, 30, 400, 11_000, 8_000)


def test_what_is_late_is_a_correction_of_its_month_and_no_use_of_this_one() -> None:
    made = account(
        posting(is_late=True, day="2026-09-30", net_pico=3),
        posting(is_late=True, day="2026-09-01", net_pico=4),
        posting(is_late=True, day="2026-07-31", net_pico=-50),
    )
    assert made.late == {"2026-09": 7, "2026-07": -50}
    assert (made.uses, made.people, made.discounts, made.whole.list_pico) == ({}, {}, {}, 0)
    assert (made.net_pico, made.own_pico) == (-43, -43)


def test_a_charge_is_its_list_less_discounts_with_corrections_and_shares() -> None:
    made = account(
        posting(net_pico=9 * USD), posting(net_pico=8 * USD), posting(provider="other", net_pico=7 * USD),
        posting(is_late=True, net_pico=5),
    )  # fmt: skip
    assert made.discounts == {"cloud": -3 * USD, "other": -3 * USD}
    assert made.net_pico == 24 * USD + 5
    made.shared = {"a": 6, "b": 20}
    assert (made.net_pico, made.own_pico) == (24 * USD + 5, 24 * USD + 31)


# ── the walk ─────────────────────────────────────────────────────────────────────────────────────────


def test_each_step_has_its_key_its_text_and_its_note_in_this_order() -> None:
    made = account(
        posting(list_pico=1_000, net_pico=900), posting(model="n", list_pico=1_000, net_pico=1_000),
        posting(provider="another", list_pico=400, net_pico=300), posting(provider="", list_pico=8, net_pico=7),
        posting(provider="at list", list_pico=6, net_pico=6),
        posting(is_late=True, day="2026-09-30", net_pico=5), posting(is_late=True, day="2025-12-02", net_pico=4),
    )  # fmt: skip
    made.shared = {"Seats": 70, "Nothing": 0, "Capacity": 80}
    made.notes = {"Seats": "2 seats", "unallocated": "1 % by spend", "markup": "2 %", "tax": "19 %"}
    made.share_pico, made.markup_pico, made.tax_pico = 11, 12, 13
    assert made.steps("VAT") == [
        ("metered", "Metered usage", "list price", 2_414),
        ("discount:", "Negotiated prices", f"{MINUS}12.5 % on list", -1),
        ("discount:another", "Negotiated prices, another", f"{MINUS}25.0 % on list", -100),
        ("discount:cloud", "Negotiated prices, cloud", f"{MINUS}5.0 % on list", -100),
        ("shared:Seats", "Seats", "2 seats", 70),
        ("shared:Capacity", "Capacity", "", 80),
        ("correction:2025-12", "Correction for December 2025", "booked after its close", 4),
        ("correction:2026-09", "Correction for September 2026", "booked after its close", 5),
        ("unallocated", "Unallocated, share", "1 % by spend", 11),
        ("markup", "Platform markup", "2 %", 12),
        ("tax", "VAT", "19 %", 13),
    ]


def test_a_month_of_nothing_is_one_line() -> None:
    assert Account().steps("Tax") == [("metered", "Metered usage", "list price", 0)]
    made = Account()
    made.share_pico = 5
    assert made.steps("Tax")[1] == ("unallocated", "Unallocated, share", "by spend", 5)
    made.share_pico, made.markup_pico, made.tax_pico = 0, 3, 4
    assert made.steps("Tax")[1:] == [("markup", "Platform markup", "", 3), ("tax", "Tax", "", 4)]


def test_the_walk_is_in_cents_that_sum_to_what_is_charged() -> None:
    third = USD // 300  # a third of a cent
    found = fold(
        posting(list_pico=USD, net_pico=USD - third),
        posting(is_late=True, day="2026-09-02", net_pico=third),
    )
    assert found.cents("4100") == 100
    assert found.walk("4100") == (
        Line("metered", "Metered usage", "list price", 100),
        Line("discount:cloud", "Negotiated prices, cloud", f"{MINUS}0.3 % on list", 0),
        Line("correction:2026-09", "Correction for September 2026", "booked after its close", 0),
    )
    assert found.walk("nobody") == (Line("metered", "Metered usage", "list price", 0),)
    assert found.cents("nobody") == 0
    assert found.terms == Terms()


# ── who pays ─────────────────────────────────────────────────────────────────────────────────────────


def test_a_row_is_paid_by_its_user_its_application_or_its_team() -> None:
    found = fold(
        posting(net_pico=1), posting(team="voice", net_pico=2), posting(app="bot", net_pico=3),
        posting(app="bot", user="user-0009", net_pico=4), posting(team="lab", net_pico=5),
    )  # fmt: skip
    assert {code: one.net_pico for code, one in found.accounts.items()} == {
        "4100": 1, "5200": 2, "6100": 3, "7100": 4, UNALLOCATED: 5,
    }  # fmt: skip
    assert found.codes == ["", "4100", "5200", "6100", "7100"]
    assert found.centre("4100").name == "Customer Operations"
    assert found.centre("5200") == CostCentre("5200")
    assert found.centre(PLATFORM) == CostCentre(PLATFORM, "Kept central", posts=False)
    ours = Organisation({PLATFORM: CostCentre(PLATFORM, "Ours")})
    assert Ledgered(202610, [], ours).centre(PLATFORM) == CostCentre(PLATFORM, "Ours")
    assert Ledgered(202610, [], ours).terms == Terms()


def test_shared_cost_follows_the_tokens_and_what_is_idle_stays() -> None:
    bought = SharedCost(name="Capacity", pico=1_000, capacity=1_000)
    again = SharedCost(name="Capacity", pico=100)
    found = fold(
        posting(quantity=300), posting(team="voice", unit="output_text", quantity=100),
        posting(team="voice", unit="web_search_requests", quantity=500), shared=(bought, again),
    )  # fmt: skip
    parts = {code: one.shared for code, one in found.accounts.items()}
    assert parts == {
        "4100": {"Capacity": 300 + 75}, "5200": {"Capacity": 100 + 25}, PLATFORM: {"Capacity": 600},
    }  # fmt: skip
    assert found.accounts["4100"].notes["Capacity"] == "75.0 % of the tokens used"
    assert found.accounts[PLATFORM].notes["Capacity"] == "idle, or kept central"
    assert [one.cost for one in found.allocations] == [bought, again]


def test_the_platforms_own_use_takes_no_part_and_central_cost_adds_up() -> None:
    ours = Organisation({}, (Assignment("ops", PLATFORM), Assignment("care", "4100")))
    central = SharedCost(name="Support", pico=7, rule="central")
    more = SharedCost(name="Support", pico=5, rule="central")
    even = SharedCost(name="Seats", pico=100, rule="even")
    found = Ledgered(
        202610, [posting(team="ops"), posting()], ours, Terms(shared=(central, more, even))
    )
    assert found.accounts["4100"].shared == {"Seats": 100}
    assert found.accounts[PLATFORM].shared == {"Support": 12}
    assert PLATFORM not in found.allocations[2].parts
    alone = Ledgered(
        202610,
        [],
        ours,
        Terms(shared=(SharedCost(name="F", pico=9, rule="fixed", shares={"8100": 1}),)),
    )
    assert alone.accounts["8100"].own_pico == 9
    assert PLATFORM not in alone.accounts, "nothing is idle"


def test_what_is_unallocated_is_spread_by_spend_and_leaves_its_own_row_at_nothing() -> None:
    spread = fold(
        posting(net_pico=30), posting(team="voice", net_pico=10), posting(team="lab", net_pico=80),
        share_unallocated=True, shared=(SharedCost(name="Support", pico=500, rule="central"),),
    )  # fmt: skip
    assert spread.shared_pico == 80
    shares = {code: one.share_pico for code, one in spread.accounts.items()}
    assert shares == {"4100": 60, "5200": 20, UNALLOCATED: -80, PLATFORM: 0}
    assert spread.accounts["4100"].notes["unallocated"] == "75.0 % by spend"
    kept = fold(posting(net_pico=30), posting(team="lab", net_pico=80))
    assert (kept.shared_pico, kept.accounts[UNALLOCATED].share_pico) == (0, 0)


def test_nothing_is_spread_where_nothing_is_left_or_nobody_pays() -> None:
    for rows in (
        [posting()],
        [posting(), posting(team="lab", list_pico=0, net_pico=0)],
        [posting(), posting(team="lab", list_pico=-5, net_pico=-5)],
        [posting(team="lab", net_pico=80)],
        [posting(team="lab", net_pico=80), posting(list_pico=0, net_pico=0)],
    ):
        found = fold(*rows, share_unallocated=True)
        assert found.shared_pico == 0
        assert all(one.share_pico == 0 for one in found.accounts.values())
        assert all("unallocated" not in one.notes for one in found.accounts.values())
    (least,) = (fold(posting(), posting(team="lab", net_pico=1), share_unallocated=True),)
    assert least.shared_pico == 1


def test_markup_is_on_the_charge_and_tax_on_both_and_neither_on_what_nobody_pays() -> None:
    found = fold(
        posting(net_pico=10_000), posting(team="lab", net_pico=999), share_unallocated=True, markup=1_000, tax=2_000,
        shared=(SharedCost(name="Support", pico=500, rule="central"),),
    )  # fmt: skip
    mine = found.accounts["4100"]
    base = 10_000 + 999
    assert mine.share_pico == 999
    assert mine.markup_pico == base // 10
    assert mine.tax_pico == (base + base // 10) // 5
    assert (mine.notes["markup"], mine.notes["tax"]) == ("10.0 %", "20.0 %")
    for code in (UNALLOCATED, PLATFORM):
        other = found.accounts[code]
        assert (other.markup_pico, other.tax_pico) == (0, 0)
        assert "markup" not in other.notes
    assert found.walk("4100")[-1].text == "Tax"
    assert fold(posting(), tax=1, tax_name="VAT").walk("4100")[-1].text == "VAT"


# ── the whole ────────────────────────────────────────────────────────────────────────────────────────


def test_the_summary_has_the_dearest_first_and_what_nobody_pays_last() -> None:
    found = fold(
        posting(), requests(2, unpriced=1), posting(team="voice", net_pico=20 * USD), requests(3, team="voice"),
        posting(team="lab", net_pico=90 * USD), requests(4, team="lab", unpriced=2), posting(app="bot"),
        markup=1_000, tax=2_000, shared=(SharedCost(name="Support", pico=70 * USD, rule="central"),),
    )  # fmt: skip
    made = found.summary()
    rows = [(one.centre.code, one.requests, one.cents, one.unpriced) for one in made.shares]
    assert rows == [
        ("5200", 3, 2_640, 0), ("4100", 2, 1_320, 1), ("6100", 0, 1_320, 0), (PLATFORM, 0, 7_000, 0),
        (UNALLOCATED, 4, 9_000, 2),
    ]  # fmt: skip
    assert (made.period, made.requests, made.unpriced, made.cents) == (202610, 9, 3, 21_280)
    assert made.parts == (
        Part("ledger", 13_000),
        Part("shared cost", 7_000),
        Part("markup", 400),
        Part("tax", 880),
    )
    assert made.teams == (Part("lab", 9_000), Part("care", 2_000), Part("voice", 2_000))
    assert made.providers == (Part("cloud", 13_000),)


def test_a_part_that_is_nothing_is_no_part_but_the_ledger_is_always_one() -> None:
    assert fold().summary().parts == (Part("ledger", 0),)
    assert (fold().summary().teams, fold().summary().providers) == ((), ())
    central = SharedCost(name="Support", pico=USD, rule="central")
    assert fold(shared=(central,)).summary().parts == (Part("ledger", 0), Part("shared cost", 100))


picos = st.integers(-(10**9), 10**13)
folded = st.lists(
    st.builds(
        lambda team, user, app, provider, listed, net, late: posting(
            team=team,
            user=user,
            app=app,
            provider=provider,
            list_pico=listed,
            net_pico=net,
            is_late=late,
        ),
        st.sampled_from(["care", "voice", "lab"]),
        st.sampled_from([f"user-{n:04}" for n in range(1, 15)]),
        st.sampled_from(["search", "bot"]),
        st.sampled_from(["p", "q"]),
        picos,
        picos,
        st.booleans(),
    ),
    max_size=30,
)


@given(folded)
def test_nothing_is_lost_between_rows_accounts_teams_and_providers(rows: list[Posting]) -> None:
    found = fold(*rows)
    assert sum(one.net_pico for one in found.accounts.values()) == sum(one.net_pico for one in rows)
    made = found.summary()
    assert (
        sum(one.cents for one in made.teams)
        == sum(one.cents for one in made.providers)
        == made.cents
    )
    for code, one in found.accounts.items():
        cents = found.walk(code)[0].cents
        everybody, others, count = people(one, cents)
        assert sum(use.cents for use in (*everybody, others)) == cents
        assert len(everybody) == min(10, len(one.people))
        assert count == len(one.people) - len(everybody)


def test_uses_are_by_application_with_the_dearest_model_first() -> None:
    made = account(
        posting(app="b", model="z", list_pico=1), posting(app="a", model="x", list_pico=2), posting(app="a", model="y", list_pico=3),
        posting(app="a", provider="d", model="x", list_pico=2),
    )  # fmt: skip
    found = uses(made, 0)
    assert [(use.app, use.provider, use.model) for use in found] == [
        ("a", "cloud", "y"), ("a", "cloud", "x"), ("a", "d", "x"), ("b", "cloud", "z"),
    ]  # fmt: skip
    assert uses(Account(), 0) == ()


def test_ten_people_are_named_by_use_and_the_others_are_one() -> None:
    rows = [posting(user=f"user-{n:04}", list_pico=n * USD, quantity=n) for n in range(1, 14)]
    rows += [requests(n, user=f"user-{n:04}") for n in range(1, 14)]
    found, others, count = people(account(*rows), 9_100)
    assert [use.user for use in found] == [f"user-{n:04}" for n in range(13, 3, -1)]
    assert found[0] == Use("", "", "", "user-0013", 13, 13, 0, 0, 0, 1_300)
    assert (others, count) == (Use("", "", "", "", 6, 6, 0, 0, 0, 600), 3)
    equal = account(posting(user="b"), posting(user="a"))
    assert [use.user for use in people(equal, 2_000)[0]] == ["a", "b"]
    assert people(Account(), 0) == ((), Use("", "", "", "", 0, 0, 0, 0, 0, 0), 0)


def test_what_is_spread_is_charged_and_no_longer_unallocated() -> None:
    rows = posting(net_pico=30 * USD, list_pico=30 * USD), posting(team="lab", net_pico=80 * USD)
    spread = fold(*rows, share_unallocated=True)
    assert (spread.cents("4100"), spread.cents(UNALLOCATED)) == (11_000, 0)
    kept = fold(*rows)
    assert (kept.cents("4100"), kept.cents(UNALLOCATED)) == (3_000, 8_000)


def test_a_markup_of_the_whole_is_as_much_again() -> None:
    whole = fold(posting(net_pico=USD), markup=10_000, tax=10_000).accounts["4100"]
    assert (whole.markup_pico, whole.tax_pico) == (USD, 2 * USD)


def test_teams_with_the_same_charge_are_in_the_order_of_their_names() -> None:
    rows = [posting(team=team, provider=team) for team in ("voice", "care", "lab")]
    made = fold(*rows).summary()
    assert [one.name for one in made.teams] == ["care", "lab", "voice"]
    assert [one.name for one in made.providers] == ["care", "lab", "voice"]
