"""Laws of reconciliation: nothing is dropped on either side, whatever differs; every difference has one cause."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given, strategies as st

from gateway.reporting.bills.charge import USAGE, Charge, block, is_day, number
from gateway.reporting.bills.invoice import Bill, Folding, Invoiced
from gateway.reporting.bills.layouts import LAYOUTS
from gateway.reporting.bills.meter import OTHER, Meter, Reading
from gateway.reporting.causes import CAUSES
from gateway.reporting.reconciliation import (
    Known,
    Ledgered,
    Line,
    Metered,
    Reconciled,
    reconciled,
)

MODELS = ("gpt-5.4", "gpt-5.4-mini")
DAYS = ("2026-10-01", "2026-10-02", "2026-10-31")
amounts = st.integers(min_value=0, max_value=10**9)
classes = st.sampled_from([("input", ""), ("input", "read"), ("input", "write"), ("output", "")])
readings: st.SearchStrategy[Reading] = st.one_of(
    st.none(),
    st.just(OTHER),
    st.builds(
        lambda key, of, scope, tier: Meter(key, of[0], of[1], scope, tier),
        st.sampled_from(["5.4", "5.4 mini", "who knows"]),
        classes,
        st.sampled_from(["", "global", "data_zone"]),
        st.sampled_from(["standard", "batch"]),
    ),
)
charges = st.builds(
    lambda kind, account, day, tokens, cents, price: Charge(
        kind, account, day, "a meter", "", "", "i-1", Decimal(tokens), price, Decimal(tokens), Decimal(cents) / 100,
    ),
    st.sampled_from([USAGE, USAGE, USAGE, "tax", "credit", "elsewhere"]),
    st.sampled_from(["a", "b"]),
    st.sampled_from(DAYS),
    amounts,
    st.integers(min_value=-(10**6), max_value=10**6),
    st.sampled_from([None, Decimal("0.01")]),
)  # fmt: skip
metered = st.builds(
    lambda upstream, day, model, of, tokens, unpriced, pico: Metered(
        upstream, day, model, of[0], of[1], "global", "standard", tokens, unpriced, 0, pico
    ),
    st.sampled_from(["one", "two"]),
    st.sampled_from(DAYS),
    st.sampled_from(MODELS),
    classes,
    amounts,
    st.sampled_from([0, 5]),
    amounts,
)


@given(
    st.lists(st.tuples(charges, readings), max_size=25),
    st.lists(metered, max_size=25),
    st.booleans(),
    st.sampled_from([{}, {"a": ("one",)}, {"a": ("one", "two"), "b": ()}]),
)
def test_every_dollar_of_the_bill_and_of_the_ledger_is_in_exactly_one_place(
    rows: list[tuple[Charge, Reading]],
    ledger: list[Metered],
    daily: bool,  # noqa: FBT001  # drawn
    accounts: dict[str, tuple[str, ...]],
) -> None:
    folding = Folding("entra")
    for charge, reading in rows:
        folding.add(charge, reading)
    bill = folding.bill()
    found = reconciled(bill, Ledgered(ledger, models=MODELS), Known(accounts=accounts), daily=daily)
    ours = [charge for charge, _ in rows if charge.kind != "elsewhere"]
    assert found.invoiced_pico + sum(one.pico for one in found.apart) == bill.pico
    assert bill.pico == sum(charge.pico for charge in ours)
    assert found.metered_pico == sum(one.pico for one in ledger)
    assert sum(line.metered_tokens for line in found.lines) == sum(one.tokens for one in ledger)
    assert sum(one.rows for one in bill.tokens) + sum(one.rows for one in bill.apart) == len(ours)
    assert len({line.key for line in found.lines}) == len(found.lines)
    assert {line.cause for line in found.lines} <= set(CAUSES)
    for line in found.lines:
        same = line.off_pico == 0 and line.metered_tokens == line.invoiced_tokens
        assert (line.cause == "matched") == same


def pair(tokens: tuple[int, int], pico: tuple[int, int], **changes: object) -> str:
    folding = Folding("entra")
    meter = Meter("5.4", "input", str(changes.get("cache", "")), "global", str(changes.get("tier", "standard")))  # fmt: skip
    cost = Decimal(pico[1]).scaleb(-12)
    folding.add(Charge(USAGE, "a", DAYS[0], "m", "", "", "", None, None, Decimal(tokens[1]), cost), meter)  # fmt: skip
    uncertain = int(str(changes.get("uncertain", 0)))
    one = Metered("one", DAYS[0], "gpt-5.4", "input", "", "global", "standard", tokens[0], int(str(changes.get("unpriced", 0))), uncertain, pico[0])  # fmt: skip
    retried = {"gpt-5.4": int(str(changes.get("retried", 0)))}
    found = reconciled(folding.bill(), Ledgered([one], retried=retried), Known(), daily=True)
    return found.lines[0].cause


def test_each_cause_is_found_by_what_it_looks_like() -> None:
    dollar = 10**12
    assert pair((100, 100), (dollar, dollar)) == "matched"
    assert pair((100, 100), (dollar, dollar + 10**6)) == "rounding"
    assert pair((100, 100), (dollar, 2 * dollar)) == "price"
    assert pair((100, 100), (dollar, dollar // 2), tier="batch") == "tier"
    assert pair((100, 100), (0, dollar), unpriced=100) == "missing price"
    assert pair((2_409_900, 2_411_200), (dollar, dollar + dollar // 1900)) == "within 0.1 %"
    assert pair((100, 150), (dollar, 3 * dollar), uncertain=60) == "stream cut"
    assert pair((100, 150), (dollar, 3 * dollar), retried=2) == "retry billed twice"
    assert pair((100, 150), (dollar, 3 * dollar)) == "open"
    assert pair((100, 100), (dollar, dollar), cache="read") == "cache"


def test_late_usage_is_missing_on_one_day_and_extra_on_another() -> None:
    folding = Folding("entra")
    meter = Meter("5.4", "input", "", "global")
    for day, tokens in ((DAYS[0], 80), (DAYS[1], 120)):
        folding.add(Charge(USAGE, "a", day, "m", "", "", "", None, None, Decimal(tokens), Decimal(tokens)), meter)  # fmt: skip
    ledger = [
        Metered("one", day, "gpt-5.4", "input", "", "global", "standard", 100, 0, 0, 10**14)
        for day in DAYS[:2]
    ]
    found = reconciled(folding.bill(), Ledgered(ledger), Known(), daily=True)
    assert {line.cause for line in found.lines} == {"late"}
    assert reconciled(folding.bill(), Ledgered(ledger), Known(), daily=False).lines[0].cause == "matched"  # fmt: skip


def test_a_block_of_a_thousand_is_not_one_of_a_million() -> None:
    units = ("1K tokens", "1M tokens", "1K", "1M", "1000 Tokens", "1,000,000 Tokens", "Tokens")
    assert [block(unit) for unit in units] == [1000, 10**6, 1000, 10**6, 1000, 10**6, 1]


def test_a_model_sold_through_the_marketplace_is_inference_although_its_code_is_not() -> None:
    (cur,) = LAYOUTS["aws"]
    row = {
        "line_item_line_item_type": "Usage",
        "line_item_product_code": "4xyzmarketplaceid",
        "line_item_usage_type": "USE1-MP:USE1_InputTokenCount-Units",
        "line_item_line_item_description": "AWS Marketplace software usage|us-east-1|Million Input Tokens",
        "line_item_usage_amount": "2.5",
        "line_item_unblended_rate": "3",
        "line_item_unblended_cost": "7.5",
        "pricing_unit": "Units",
        "product": '{"product_name":"Claude Sonnet 4.6 (Amazon Bedrock Edition)","region":"us-east-1"}',
    }
    charge = cur.charge(row)
    assert (charge.kind, charge.tokens, charge.region) == (USAGE, Decimal(2_500_000), "us-east-1")
    assert charge.ties()
    read = cur.read(charge.meter, charge.description)
    assert isinstance(read, Meter)
    assert read.key == "Claude Sonnet 4.6"
    other = cur.charge(row | {"product": '{"product_name":"Some database"}'})
    assert other.kind == "elsewhere"
    broken = cur.charge(row | {"product": "{", "line_item_product_code": "AmazonBedrock"})
    assert broken.kind == USAGE


def test_the_forms_of_azure_and_google_rows() -> None:
    focus, cost = LAYOUTS["entra"]
    meter = {"meterName": "5.4 mini Inp Gl 1M Tokens", "meterCategory": "Foundry Models"}
    row = meter | {
        "date": "10/14/2026", "quantity": "2.5", "unitOfMeasure": "1M", "effectivePrice": "0.75",
        "costInBillingCurrency": "1.875", "SubscriptionId": "s-1",
    }  # fmt: skip
    assert cost.fits(frozenset(row))
    charge = cost.charge(row)
    assert (charge.day, charge.tokens, charge.account) == ("2026-10-14", Decimal(2_500_000), "s-1")
    assert charge.ties()
    assert not cost.charge(row | {"quantity": "2500"}).ties()  # a thousand taken for a million
    exported = {
        "ChargeCategory": "Usage", "BilledCost": "1.875", "ChargePeriodStart": "2026-10-14T00:00:00Z",
        "ConsumedQuantity": "2500000", "PricingQuantity": "2.5", "ContractedUnitPrice": "0.75",
        "x_SkuMeterName": "5.4 mini Inp Gl 1M Tokens", "ServiceName": "Azure OpenAI",
    }  # fmt: skip
    assert focus.fits(frozenset(exported))
    assert focus.charge(exported).tokens == 2_500_000  # never multiplied again
    _, detailed = LAYOUTS["adc"]
    nested = {
        "sku.description": "Gemini 2.5 Flash GA Text Input - Predictions", "usage_start_time": "2026-10-14T07:00:00+00:00",
        "service.description": "Vertex AI", "project.id": "p-1", "usage.amount": "2500000", "usage.unit": "requests",
        "usage.amount_in_pricing_units": "2.5", "price.effective_price": "0.3", "cost": "0.75", "cost_type": "regular",
    }  # fmt: skip
    charge = detailed.charge(nested)
    assert (charge.account, charge.tokens, charge.ties()) == ("p-1", Decimal(2_500_000), True)
    assert detailed.charge(nested | {"cost_type": "tax"}).kind == "tax"


def test_a_bill_in_another_currency_is_read_in_dollars_or_not_at_all() -> None:
    (cur,), (focus, cost), (_, detailed) = (LAYOUTS[cloud] for cloud in ("aws", "entra", "adc"))
    aws = {
        "line_item_product_code": "AmazonBedrock",
        "line_item_unblended_cost": "2",
        "line_item_currency_code": "CNY",
    }
    exported = {
        "ServiceName": "Azure OpenAI",
        "BilledCost": "2",
        "BillingCurrency": "EUR",
        "PricingQuantity": "1",
        "ContractedUnitPrice": "2",
    }
    details = {
        "meterCategory": "Foundry Models",
        "costInBillingCurrency": "2",
        "billingCurrency": "EUR",
        "quantity": "1",
        "effectivePrice": "2",
    }
    google = {"service.description": "Vertex AI", "cost": "2", "currency": "EUR"}
    for layout, row, in_usd in (
        (cur, aws, None),
        (focus, exported, {"x_BilledCostInUsd": "2.5"}),
        (cost, details, {"costInUsd": "2.5"}),
        (detailed, google, {"currency_conversion_rate": "0.8"}),
    ):
        with pytest.raises(
            ValueError, match=r"its cost is in (CNY|EUR), and bills are compared in USD"
        ):
            layout.charge(row)
        if in_usd:
            charge = layout.charge(row | in_usd)
            assert (charge.cost, charge.ties()) == (Decimal("2.5"), True)
        dollars = {name: "USD" if value in ("CNY", "EUR") else value for name, value in row.items()}
        assert layout.charge(dollars).cost == 2
    assert cur.charge(aws | {"line_item_product_code": "AmazonEC2"}).kind == "elsewhere"


@pytest.mark.parametrize(
    "text", ["1.234,56", "1,5", "1,23.4", "12,34,567.8", ",.5", "1E+999999999", "1e-999999", "1e61", "inf", "NaN", "x"]
)  # fmt: skip
def test_a_figure_that_means_something_else_elsewhere_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a number"):
        number(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [("1,234.56", "1234.56"), ("-1,234,567.8", "-1234567.8"), ("1E-9", "0.000000001"), ("0E-99", "0"), ("007", "7"), ("1e60", "1e60")],
)  # fmt: skip
def test_a_figure_is_read_as_bills_write_it(text: str, value: str) -> None:
    assert number(text) == Decimal(value)


@pytest.mark.parametrize("day", ["2026-14-10", "31.10.2026", "10/31/26", "46326", "2025-02-29", "20261031"])  # fmt: skip
def test_what_is_no_day_is_told_from_a_day_of_another_month(day: str) -> None:
    assert not is_day(day)
    assert is_day("2024-02-29")


# ── worked cases of pairing ──────────────────────────────────────────────────────────────────────

INPUT = Meter("5.4", "input", "", "global")


def invoiced(account: str = "a", day: str = DAYS[0], tokens: int = 100, pico: int = 100, meter: Meter = INPUT) -> Invoiced:  # fmt: skip
    return Invoiced(account, day, f"meter {meter.key}", meter, tokens, pico, 1)


def counted(upstream: str = "one", day: str = DAYS[0], tokens: int = 100, pico: int = 100, **changes: object) -> Metered:  # fmt: skip
    one = Metered(upstream, day, "gpt-5.4", "input", "", "global", "standard", tokens, 0, 0, pico)
    return msgspec.structs.replace(one, **changes)


def paired(
    bill: Sequence[Invoiced],
    ledger: Sequence[Metered],
    known: Known = Known(),  # noqa: B008  # frozen
    *,
    daily: bool = True,
    **more: Any,
) -> Reconciled:
    whole = Bill("entra", (), tuple(bill), (), (), len(bill), 0, sum(one.pico for one in bill))
    return reconciled(whole, Ledgered(ledger, **more), known, daily=daily)


def places(found: Reconciled) -> dict[str, tuple[int, int]]:
    return {line.key: (line.metered_tokens, line.invoiced_tokens) for line in found.lines}


def test_a_line_says_both_sides_in_tokens_and_money_and_is_typed_without_spaces() -> None:
    (line,) = paired([invoiced(tokens=90, pico=70)], [counted(tokens=100, pico=95)]).lines
    assert line == Line(
        key="entra/a/gpt-5.4/input/2026-10-01", account="a", model="gpt-5.4", direction="input",
        cache="", day="2026-10-01", metered_tokens=100, invoiced_tokens=90, metered_pico=95,
        invoiced_pico=70, cause=line.cause, note=line.note, guessed=True,
    )  # fmt: skip
    assert line.off_pico == -25
    (month,) = paired([invoiced()], [counted()], daily=False).lines
    assert (month.key, month.day) == ("entra/a/gpt-5.4/input/month", "")
    cached = msgspec.structs.replace(INPUT, cache="read", key="who knows")
    (unread,) = paired([invoiced("", meter=cached)], []).lines
    assert unread.key == "entra/-/-/input-read/2026-10-01"
    assert unread.note.startswith("no model is known by the meter 'meter who knows'")
    (known,) = paired([invoiced()], [counted()], Known(models={"5.4": "gpt-5.4"})).lines
    assert known == Line(*(getattr(known, name) for name in Line.__struct_fields__[:12]))


def test_both_sides_are_summed_where_they_meet() -> None:
    bill = [invoiced(tokens=7, pico=2), invoiced(tokens=5, pico=3)]
    ledger = [counted(tokens=4, pico=1), counted(tokens=6, pico=9, tier="batch", uncertain=2)]
    found = paired(bill, ledger)
    (line,) = found.lines
    assert (line.metered_tokens, line.invoiced_tokens) == (10, 12)
    assert (line.metered_pico, line.invoiced_pico) == (10, 5)
    assert (found.metered_pico, found.invoiced_pico) == (10, 5)
    # Two tokens were counted by us, and two are missing: the streams were cut.
    assert line.cause == "stream cut"
    one_less = paired(bill, [ledger[0], msgspec.structs.replace(ledger[1], uncertain=1)])
    assert one_less.lines[0].cause == "open"


def test_uncertain_and_unpriced_tokens_of_several_rows_are_summed() -> None:
    cut = [counted(tokens=5, uncertain=1), counted(tokens=5, uncertain=1)]
    assert paired([invoiced(tokens=12)], cut).lines[0].cause == "stream cut"
    unpriced = [counted(tokens=50, pico=0, unpriced=2), counted(tokens=50, pico=0, unpriced=3)]
    dear = paired([invoiced(pico=10**12)], unpriced).lines[0]
    assert (dear.cause, dear.note) == ("missing price", "5 metered tokens have no price yet")


def test_the_rows_of_a_bill_are_what_its_rounding_is_bounded_by() -> None:
    many = [invoiced(pico=10**12) for _ in range(3)]
    ours = [counted(tokens=300, pico=3 * 10**12 + 4 * 10**6)]
    assert paired(many, ours).lines[0].note == "the bill rounds each of its 3 rows"
    above = [counted(tokens=300, pico=3 * 10**12 + 4 * 10**6 + 1)]
    assert paired(many, above).lines[0].cause == "price"


def test_lines_stand_by_the_size_of_their_difference_and_then_by_name() -> None:
    bill = [
        invoiced(day=DAYS[0], pico=103),
        invoiced(day=DAYS[1], pico=40),
        invoiced(day=DAYS[2], pico=97),
    ]
    found = paired(bill, [counted(day=day) for day in DAYS])
    assert [(line.day, line.off_pico) for line in found.lines] == [
        (DAYS[1], -60), (DAYS[0], 3), (DAYS[2], -3),
    ]  # fmt: skip


def test_causes_are_summed_with_their_sign_the_largest_first() -> None:
    big = 10**12
    bill = [
        invoiced(day=DAYS[0], pico=2 * big),
        invoiced(day=DAYS[1], pico=3 * big),
        invoiced(day=DAYS[2], tokens=0, pico=0),
    ]
    ledger = [counted(day=day, pico=big if day != DAYS[2] else 9 * big) for day in DAYS]
    found = paired(bill, ledger)
    assert list(found.by_cause().items()) == [("not invoiced", -9 * big), ("price", 3 * big)]


def test_an_accounts_upstreams_are_confirmed_or_configured_or_the_only_pair_there_is() -> None:
    ledger = [counted("one"), counted("two")]
    both = [invoiced("a"), invoiced("b")]
    confirmed = Known(accounts={"a": ("two",), "b": ("one", "unused")})
    split = {"entra/a/gpt-5.4/input/2026-10-01": (100, 100), "entra/b/gpt-5.4/input/2026-10-01": (100, 100)}  # fmt: skip
    assert places(paired(both, ledger, confirmed)) == split
    assert places(paired(both, ledger, projects={"one": "a", "two": "b"})) == split
    # What people confirmed goes before what the configuration says.
    over = paired([invoiced("a")], [counted("one")], Known(accounts={"a": ("one",)}), projects={"one": "b"})  # fmt: skip
    assert list(places(over)) == ["entra/a/gpt-5.4/input/2026-10-01"]
    # One account is free: everything that waits is of it.
    rest = paired(both, ledger, projects={"one": "a"})
    assert places(rest) == split
    # Two are: nothing is guessed, and both sides stand alone.
    alone = paired(both, ledger)
    assert places(alone) == {
        "entra/-/gpt-5.4/input/2026-10-01": (200, 0),
        "entra/a/gpt-5.4/input/2026-10-01": (0, 100),
        "entra/b/gpt-5.4/input/2026-10-01": (0, 100),
    }


def test_an_account_confirmed_to_be_nobodys_is_not_given_to_who_waits() -> None:
    known = Known(accounts={"a": ()})
    assert set(places(paired([invoiced("a"), invoiced("b")], [counted()], known))) == {
        "entra/a/gpt-5.4/input/2026-10-01", "entra/b/gpt-5.4/input/2026-10-01",
    }  # fmt: skip
    assert set(places(paired([invoiced("a")], [counted()], known))) == {
        "entra/a/gpt-5.4/input/2026-10-01", "entra/-/gpt-5.4/input/2026-10-01",
    }  # fmt: skip


def test_an_account_no_upstream_is_of_is_outside_and_so_is_a_model_nobody_used_there() -> None:
    def note(found: Reconciled, account: str, model: str) -> str:
        (line,) = (one for one in found.lines if (one.account, one.model) == (account, model))
        return line.note

    bill = [invoiced("a"), invoiced("b"), invoiced("a", meter=Meter("5.4 mini", "input"))]
    found = paired(bill, [counted()], projects={"one": "a"}, models=MODELS)
    assert note(found, "b", "gpt-5.4").startswith("this account is used without the gateway")
    assert note(found, "a", "gpt-5.4-mini") == (
        "this model on this account is used without the gateway"
    )
    # An upstream that the configuration names and nobody used routes nothing.
    idle = paired([invoiced("a")], [], projects={"one": "a"}, models=MODELS)
    assert note(idle, "a", "gpt-5.4").startswith("this account is used without the gateway")


def test_a_meters_words_are_a_model_by_confirmation_else_by_use_else_by_the_book() -> None:
    def named(found: Reconciled) -> list[tuple[str, bool]]:
        return [(line.model, line.guessed) for line in found.lines if line.invoiced_tokens]

    confirmed = Known(models={"5.4": "my-own"})
    assert named(paired([invoiced()], [counted()], confirmed)) == [("my-own", False)]
    assert named(paired([invoiced()], [counted()])) == [("gpt-5.4", True)]
    assert named(paired([invoiced()], [], models=MODELS)) == [("gpt-5.4", True)]
    assert named(paired([invoiced()], [])) == [("", False)]
    # Two of the book could be meant; the one that was used is.
    book = ("openai.gpt-5.4", "gpt-5.4")
    assert named(paired([invoiced()], [], models=book)) == [("", False)]
    assert named(paired([invoiced()], [counted()], models=book)) == [("gpt-5.4", True)]
    # One meter that is only guessed makes the line a guess, in whatever order they come.
    other = Meter("gpt 5.4", "input", "", "global")
    for bill in ([invoiced(), invoiced(meter=other)], [invoiced(meter=other), invoiced()]):
        assert named(paired(bill, [counted()], Known(models={"5.4": "gpt-5.4"}))) == [("gpt-5.4", True)]  # fmt: skip


def test_a_confirmed_difference_says_the_persons_reason() -> None:
    key = "entra/a/gpt-5.4/input/2026-10-01"
    known = Known(reasons={key: "agreed by mail"})
    (line,) = paired([invoiced(pico=5 * 10**12)], [counted()], known).lines
    assert (line.cause, line.note, line.is_confirmed) == ("price", "agreed by mail", True)
    (line,) = paired([invoiced(pico=5 * 10**12)], [counted()]).lines
    assert (line.cause, line.is_confirmed) == ("price", False)


def test_another_cache_class_is_looked_for_in_the_same_account_model_day_and_direction() -> None:
    cached = msgspec.structs.replace(INPUT, cache="read")
    moved = [invoiced(tokens=60), invoiced(tokens=40, meter=cached)]
    found = paired(moved, [counted()], projects={"one": "a"})
    assert [line.cause for line in found.lines] == ["cache", "cache"]
    for elsewhere in (
        invoiced("b", tokens=40, meter=cached),
        invoiced(day=DAYS[2], tokens=40, meter=cached),
        invoiced(tokens=40, meter=msgspec.structs.replace(INPUT, direction="output")),
        invoiced(tokens=40, meter=Meter("5.4 mini", "input", "read", "global")),
    ):
        apart = paired([invoiced(tokens=60), elsewhere], [counted()], projects={"one": "a"}, models=MODELS)  # fmt: skip
        (line,) = (one for one in apart.lines if one.metered_tokens)
        assert line.cause == "open"


def test_another_day_is_looked_for_in_the_same_class_only() -> None:
    ledger = [counted(day=day) for day in DAYS[:2]]
    late = [invoiced(day=DAYS[0], tokens=80), invoiced(day=DAYS[1], tokens=120)]
    assert {line.cause for line in paired(late, ledger).lines} == {"late"}
    cached = msgspec.structs.replace(INPUT, cache="read")
    other = [invoiced(day=DAYS[0], tokens=80), invoiced(day=DAYS[1], tokens=100), invoiced(day=DAYS[1], tokens=20, meter=cached)]  # fmt: skip
    causes = {(line.day, line.cache): line.cause for line in paired(other, ledger).lines}
    assert causes[DAYS[0], ""] == "open"


def test_what_was_sent_again_is_of_its_own_model() -> None:
    bill = [invoiced(tokens=150, pico=3 * 10**12)]
    again = paired(bill, [counted()], retried={"gpt-5.4": 2}).lines[0]
    assert again.note == "2 attempts failed and were sent again: the provider may bill both"
    assert paired(bill, [counted()], retried={"gpt-5.4-mini": 2}).lines[0].cause == "open"


def test_where_months_are_compared_no_other_day_explains_anything() -> None:
    found = paired([invoiced(tokens=80)], [counted()], daily=False)
    assert found.lines[0].cause == "open"
    cached = msgspec.structs.replace(INPUT, cache="read")
    for tokens in (99, 101):
        both = [invoiced(tokens=tokens), invoiced(tokens=150, meter=cached)]
        month = paired(both, [counted(), counted(cache="read")], daily=False)
        assert {line.cause for line in month.lines} == {"open"}


def test_the_scope_and_tier_of_each_side_are_weighed() -> None:
    zone = msgspec.structs.replace(INPUT, scope="data_zone")
    assert paired([invoiced(meter=zone, pico=5)], [counted()]).lines[0].cause == "rounding"
    dear = paired([invoiced(meter=zone, pico=5 * 10**12)], [counted()]).lines[0]
    assert (dear.cause, dear.note) == ("region", "invoiced under scope data_zone, metered under global")  # fmt: skip
    batch = msgspec.structs.replace(INPUT, tier="batch")
    half = paired([invoiced(meter=batch, pico=5 * 10**12)], [counted(tier="flex")]).lines[0]
    assert (half.cause, half.note) == ("tier", "invoiced under tier batch, metered under flex")
