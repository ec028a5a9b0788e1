"""Laws of reconciliation: nothing is dropped on either side, whatever differs; every difference has one cause."""

from decimal import Decimal

import pytest
from hypothesis import given, strategies as st

from gateway.reporting.bills.charge import USAGE, Charge, block
from gateway.reporting.bills.invoice import Folding
from gateway.reporting.bills.layouts import LAYOUTS
from gateway.reporting.bills.meter import OTHER, Meter, Reading
from gateway.reporting.causes import CAUSES
from gateway.reporting.reconciliation import Known, Ledgered, Metered, reconciled

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
