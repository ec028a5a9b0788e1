"""FOCUS rows by hand, and the laws that tie them to the ledger: every amount exact, every share of a whole."""

import json
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings, strategies as st

from gateway.kernel.money import parse_usd
from gateway.metering.units import UNITS
from gateway.reporting.focus import (
    CHARGEBACK,
    OVERLAY,
    PROFILES,
    Book,
    Cloud,
    Extra,
    Used,
    bounds,
    cost_and_usage,
    invoice_id,
    is_correction,
    money,
    slug,
)

CLOUDS = {"azure": Cloud("Microsoft", "Azure OpenAI"), "bedrock": Cloud("AWS", "Amazon Bedrock")}
BOOK = Book(
    version="1.4",
    profile=CHARGEBACK,
    period=202610,
    account="org-1",
    issuer="Weighbridge of org-1",
    clouds=CLOUDS,
    at="2026-11-02T00:00:00Z",
)
USED = Used(
    day="2026-10-31",
    code="4100",
    team="core",
    app="search",
    provider="azure",
    upstream="azure-eu",
    model="gpt-4o",
    unit="cache_read_text",
    scope="datazone",
    place="swedencentral",
    tier="standard",
    price_id="p-1",
    kind="usage",
    rows=7,
    quantity=400_000,
    unpriced=0,
    list_pico=500_000_000_000,
    net_pico=450_000_000_000,
)


def used(**changes: Any) -> Used:
    return msgspec.structs.replace(USED, **changes)


def row_of(one: Used, **book: Any) -> dict[str, str]:
    (row,) = cost_and_usage(msgspec.structs.replace(BOOK, **book), [one])
    return row


def test_a_row_of_tokens_by_hand() -> None:
    row = row_of(USED)
    assert json.loads(row.pop("Tags")) == {
        "weighbridge/CostCenter": "4100",
        "weighbridge/Team": "core",
        "weighbridge/App": "search",
    }
    assert json.loads(row.pop("SkuPriceDetails")) == {
        "x_ModelId": "gpt-4o",
        "x_Scope": "datazone",
        "x_ServiceTier": "standard",
        "x_TokenDirection": "Input",
        "x_Modality": "text",
        "x_TokenCacheAction": "Read",
    }
    assert row == {
        "BillingAccountId": "org-1",
        "BillingAccountName": "org-1",
        "BillingAccountType": "Organisation",
        "BillingCurrency": "USD",
        "BillingPeriodStart": "2026-10-01T00:00:00Z",
        "BillingPeriodEnd": "2026-11-01T00:00:00Z",
        "HostProviderName": "Microsoft",
        "InvoiceId": "2026-10-4100",
        "InvoiceIssuerName": "Weighbridge of org-1",
        "PricingCurrency": "USD",
        "ProviderName": "Weighbridge of org-1",
        "PublisherName": "Microsoft",
        "ServiceCategory": "AI and Machine Learning",
        "ServiceName": "Azure OpenAI",
        "ServiceProviderName": "Weighbridge of org-1",
        "ServiceSubcategory": "Generative AI",
        "x_CostCenterId": "4100",
        "x_HostProviderName": "Microsoft",
        "BilledCost": "0.45",
        "EffectiveCost": "0.45",
        "ContractedCost": "0.45",
        "ListCost": "0.5",
        "ChargeCategory": "Usage",
        "ChargeDescription": "Cache Read Input Tokens, gpt-4o",
        "ChargeFrequency": "Usage-Based",
        "ChargePeriodStart": "2026-10-31T00:00:00Z",
        "ChargePeriodEnd": "2026-11-01T00:00:00Z",
        "ConsumedQuantity": "400000.0",
        "ConsumedUnit": "Tokens",
        "InvoiceDetailId": "2026-10-4100/usage",
        "PricingQuantity": "0.4",
        "PricingUnit": "1000000 Tokens",
        "ListUnitPrice": "1.25",
        "ContractedUnitPrice": "1.125",
        "PricingCurrencyListUnitPrice": "1.25",
        "PricingCurrencyContractedUnitPrice": "1.125",
        "PricingCurrencyEffectiveCost": "0.45",
        "PricingCategory": "Standard",
        "RegionId": "swedencentral",
        "RegionName": "swedencentral",
        "ResourceId": "azure-eu",
        "ResourceName": "azure-eu",
        "ResourceType": "Inference endpoint",
        "SkuId": "azure:gpt-4o:cache_read_text",
        "SkuMeter": "Cache Read Input Tokens",
        "SkuPriceId": "azure:gpt-4o:cache_read_text:swedencentral:standard:p-1",
        "SubAccountId": "azure-eu",
        "SubAccountName": "azure-eu",
        "SubAccountType": "Upstream",
        "x_Model": "gpt-4o",
        "x_ModelId": "gpt-4o",
        "x_PriceStatus": "priced",
        "x_ReconciliationStatus": "open",
        "x_RequestCount": "7",
        "x_ServiceTier": "standard",
        "x_TokenCacheAction": "Read",
        "x_TokenClass": "cache_read_text",
        "x_TokenDirection": "Input",
    }


def test_what_is_no_token_is_priced_by_the_piece() -> None:
    row = row_of(used(unit="web_search_requests", quantity=30, list_pico=3 * 10**11, net_pico=0))
    assert (row["ConsumedQuantity"], row["ConsumedUnit"]) == ("30.0", "Requests")
    assert (row["PricingQuantity"], row["PricingUnit"]) == ("30.0", "Requests")
    assert (row["ListUnitPrice"], row["ContractedUnitPrice"]) == ("0.01", "0.0")
    assert row["SkuMeter"] == "Web Search Requests"
    assert json.loads(row["SkuPriceDetails"]).keys() == {"x_ModelId", "x_Scope", "x_ServiceTier"}
    assert "x_TokenDirection" not in row
    assert "x_TokenCacheAction" not in row


def test_what_is_not_known_is_said_or_left_out_and_never_lost() -> None:
    row = row_of(
        used(code="", team="", app="", model="", scope="", place="", price_id="", unpriced=400_000)
    )
    assert (row["InvoiceId"], row["x_CostCenterId"]) == ("2026-10-unallocated", "unallocated")
    assert row["SkuPriceId"] == "azure:unknown:cache_read_text:-:standard:unpriced"
    assert row["ChargeDescription"] == "Cache Read Input Tokens, unknown model, no price yet"
    assert row["x_PriceStatus"] == "unpriced"
    assert {"Tags", "RegionId", "RegionName", "x_Model", "ListUnitPrice"}.isdisjoint(row)
    assert json.loads(row["SkuPriceDetails"]).keys() == {
        "x_ServiceTier", "x_TokenDirection", "x_Modality", "x_TokenCacheAction",
    }  # fmt: skip
    assert row_of(used(place=""))["SkuPriceId"].split(":")[3] == "datazone"
    assert json.loads(row_of(used(team=""))["Tags"]).keys() == {
        "weighbridge/CostCenter", "weighbridge/App",
    }  # fmt: skip


@pytest.mark.parametrize("unit", sorted(UNITS))
def test_every_unit_has_a_meter_and_a_unit_of_measure(unit: str) -> None:
    row, known = row_of(used(unit=unit)), UNITS[unit]
    if known.is_token:
        action = {"": "", "read": "Cache Read ", "write": "Cache Write "}[known.cache]
        assert row["SkuMeter"] == f"{action}{known.direction.capitalize()} Tokens"
        assert row["PricingQuantity"] == "0.4"
        expected = {"": "Uncached", "read": "Read", "write": "Write"}[known.cache]
        assert row.get("x_TokenCacheAction") == (expected if known.direction == "input" else None)
        assert row["x_TokenDirection"] == known.direction.capitalize()
    else:
        assert row["SkuMeter"].lower() == unit.replace("_", " ")
        assert row["PricingUnit"] == row["ConsumedUnit"]
        assert row["PricingQuantity"] == row["ConsumedQuantity"] == "400000.0"


@pytest.mark.parametrize(
    ("unit", "measure"),
    [
        ("audio_seconds", "Seconds"), ("characters_in", "Characters"), ("images_out", "Images"),
        ("grounding_google_maps", "Requests"), ("ptu_hours", "Hours"), ("code_interpreter_sessions", "Sessions"), ("session_seconds", "Seconds"),
        ("content_policy_units", "Units"), ("search_units", "Units"), ("content_policy_image_units", "Units"),
    ],
)  # fmt: skip
def test_what_is_no_token_has_a_measure_of_its_own(unit: str, measure: str) -> None:
    assert row_of(used(unit=unit))["ConsumedUnit"] == measure


AMOUNT = st.integers(-(10**17), 10**17)


@given(AMOUNT, AMOUNT, st.integers(-(10**12), 10**12), st.sampled_from(sorted(UNITS)))
@settings(max_examples=80)
def test_costs_are_exact_and_prices_times_quantities_are_the_costs(
    listed: int, net: int, quantity: int, unit: str
) -> None:
    row = row_of(used(list_pico=listed, net_pico=net, quantity=quantity, unit=unit))
    for name in ("BilledCost", "EffectiveCost", "ContractedCost", "PricingCurrencyEffectiveCost"):
        assert parse_usd(row[name]) == net
    assert parse_usd(row["ListCost"]) == listed
    assert Decimal(row["ConsumedQuantity"]) == quantity
    per = 10**6 if UNITS[unit].is_token else 1
    assert Decimal(row["PricingQuantity"]) * per == quantity
    assert ("ListUnitPrice" in row) == ("ContractedUnitPrice" in row) == bool(quantity)
    if quantity:
        for price, pico in (("ListUnitPrice", listed), ("ContractedUnitPrice", net)):
            # Half of the sixteenth place, for each unit that is priced.
            off = Decimal(row[price]) * quantity * 10**12 - pico * per
            assert abs(off) * 2 <= abs(quantity) * Decimal("1e-4")
            assert row[price] == row[f"PricingCurrency{price}"]


def test_a_price_that_does_not_come_out_even_is_rounded_at_the_sixteenth_place() -> None:
    row = row_of(used(quantity=3, list_pico=2, net_pico=10**12))
    assert row["ListUnitPrice"] == "0.0000006666666667"
    assert row["ContractedUnitPrice"] == "333333.3333333333333333"


@pytest.mark.parametrize(
    ("day", "kind", "is_late"),
    [
        ("2026-10-01", "usage", False),
        ("2026-10-31", "interrupted", False),
        ("2026-10-31", "unconfirmed", False),
        ("2026-09-30", "usage", True),
        ("2026-10-01", "adjustment", True),
        ("2026-10-01", "reversal", True),
        ("2026-10-01", "reprice", True),
    ],
)
def test_what_changes_an_earlier_period_is_a_correction(
    day: str, kind: str, *, is_late: bool
) -> None:
    one = used(day=day, kind=kind)
    assert is_correction(BOOK, one) is is_late
    row = row_of(one)
    assert row.get("ChargeClass") == ("Correction" if is_late else None)
    assert row["InvoiceDetailId"] == f"2026-10-4100/{'corrections' if is_late else 'usage'}"
    january = used(day="2026-01-01", kind=kind)
    assert is_correction(msgspec.structs.replace(BOOK, period=202601), january) is (
        kind not in {"usage", "interrupted", "unconfirmed"}
    )


@pytest.mark.parametrize(
    ("state", "said", "is_closed"),
    [
        ("open", "open", False),
        ("provisional", "open", False),
        ("reconciled", "reconciled", False),
        ("approved", "reconciled", False),
        ("posted", "reconciled", True),
    ],
)
def test_how_far_the_close_is_is_said(state: str, said: str, *, is_closed: bool) -> None:
    assert row_of(USED, state=state)["x_ReconciliationStatus"] == said
    assert msgspec.structs.replace(BOOK, state=state).closed is is_closed
    assert BOOK.state == "open"


def test_an_adjustment_is_a_row_of_its_own_by_hand() -> None:
    share = Extra("4100", "Unallocated, share", 12_345_678_901_234)
    tax = Extra("", "Tax 19 %", -(10**10), category="Tax", detail="tax")
    assert PROFILES == (CHARGEBACK, OVERLAY)
    of_share, of_tax = cost_and_usage(BOOK, [], [share, tax])
    assert json.loads(of_share.pop("Tags")) == {"weighbridge/CostCenter": "4100"}
    amount = "12.345678901234"
    assert of_share == {
        "BillingAccountId": "org-1",
        "BillingAccountName": "org-1",
        "BillingAccountType": "Organisation",
        "BillingCurrency": "USD",
        "BillingPeriodStart": "2026-10-01T00:00:00Z",
        "BillingPeriodEnd": "2026-11-01T00:00:00Z",
        "HostProviderName": "Weighbridge of org-1",
        "InvoiceId": "2026-10-4100",
        "InvoiceIssuerName": "Weighbridge of org-1",
        "PricingCurrency": "USD",
        "ProviderName": "Weighbridge of org-1",
        "PublisherName": "Weighbridge of org-1",
        "ServiceCategory": "AI and Machine Learning",
        "ServiceName": "Weighbridge of org-1",
        "ServiceProviderName": "Weighbridge of org-1",
        "ServiceSubcategory": "Generative AI",
        "x_CostCenterId": "4100",
        **dict.fromkeys(("BilledCost", "EffectiveCost", "ContractedCost", "ListCost"), amount),
        "PricingCurrencyEffectiveCost": amount,
        "ChargeCategory": "Adjustment",
        "ChargeDescription": "Unallocated, share",
        "ChargeFrequency": "One-Time",
        "ChargePeriodStart": "2026-10-01T00:00:00Z",
        "ChargePeriodEnd": "2026-11-01T00:00:00Z",
        "InvoiceDetailId": "2026-10-4100/unallocated-share",
        "x_PriceStatus": "priced",
    }
    assert (of_tax["BilledCost"], of_tax["ChargeCategory"]) == ("-0.01", "Tax")
    assert of_tax["InvoiceDetailId"] == "2026-10-unallocated/tax"
    assert "Tags" not in of_tax


# -- the overlay ----------------------------------------------------------------------------------

QUANTITIES = st.lists(
    st.tuples(
        st.sampled_from(["2026-10-01", "2026-10-02"]),
        st.sampled_from(["azure-eu", "azure-us"]),
        st.sampled_from(["input_text", "output_text"]),
        st.sampled_from(["4100", "4200", ""]),
        st.integers(1, 10**9),
    ),
    max_size=8,
)


def allocated(row: dict[str, str]) -> dict[str, Any]:
    (element,) = json.loads(row["AllocatedMethodDetails"])["Elements"]
    found: dict[str, Any] = element
    return found


@given(QUANTITIES)
@settings(max_examples=40)
def test_the_shares_of_every_meter_sum_to_it(parts: list[tuple[str, str, str, str, int]]) -> None:
    book = msgspec.structs.replace(BOOK, profile=OVERLAY)
    all_used = [
        used(day=day, upstream=upstream, unit=unit, code=code, quantity=quantity)
        for day, upstream, unit, code, quantity in parts
    ]
    rows = list(cost_and_usage(book, iter(all_used), [Extra("4100", "Tax", 1)]))
    assert len(rows) == len(parts)
    shares: dict[tuple[str, str, str], float] = {}
    for row, one in zip(rows, all_used, strict=True):
        whole = sum(
            other.quantity
            for other in all_used
            if (other.day, other.upstream, other.unit) == (one.day, one.upstream, one.unit)
        )
        element = allocated(row)
        assert element["AllocatedRatio"] == pytest.approx(one.quantity / whole, abs=1e-15)
        assert element["UsageQuantity"] == one.quantity
        shares[one.day, one.upstream, one.unit] = (
            shares.get((one.day, one.upstream, one.unit), 0.0) + element["AllocatedRatio"]
        )
    assert all(share == pytest.approx(1) for share in shares.values())


@pytest.mark.parametrize(
    "other",
    [
        {"day": "2026-10-30"}, {"provider": "bedrock"}, {"upstream": "azure-us"}, {"model": "gpt-5"},
        {"unit": "input_text"}, {"scope": "global"}, {"place": "westeurope"}, {"tier": "batch"},
    ],
    ids=lambda other: next(iter(other)),
)  # fmt: skip
def test_another_meter_takes_no_share(other: dict[str, str]) -> None:
    book = msgspec.structs.replace(BOOK, profile=OVERLAY)
    for row in cost_and_usage(book, [USED, used(**other)]):
        assert allocated(row)["AllocatedRatio"] == 1
    same = used(code="4200", team="", app="", price_id="p-2", kind="reversal", quantity=1_200_000)
    shares = [allocated(row)["AllocatedRatio"] for row in cost_and_usage(book, [USED, same])]
    assert shares == [0.25, 0.75]


def test_an_overlay_row_says_whose_it_is_and_is_on_no_invoice_of_ours() -> None:
    row = row_of(used(code=""), profile=OVERLAY)
    assert {"InvoiceId", "InvoiceDetailId"}.isdisjoint(row)
    assert (row["AllocatedResourceId"], row["AllocatedResourceName"]) == ("unallocated",) * 2
    named = row_of(USED, profile=OVERLAY)
    assert (named["AllocatedResourceId"], named["AllocatedResourceName"]) == ("4100", "4100")
    assert named["AllocatedMethodId"] == "metered-by-gateway"
    assert named["AllocatedTags"] == named["Tags"]
    assert allocated(named) == {
        "AllocatedRatio": 1.0,
        "UsageUnit": "Tokens",
        "UsageQuantity": 400_000,
    }
    for name in ("ProviderName", "InvoiceIssuerName", "ServiceProviderName", "PublisherName"):
        assert named[name] == "Microsoft"
    assert row_of(USED, profile=CHARGEBACK).keys().isdisjoint({"AllocatedMethodId"})


def test_a_meter_that_was_all_taken_back_has_no_shares() -> None:
    book = msgspec.structs.replace(BOOK, profile=OVERLAY)
    rows = cost_and_usage(book, [USED, used(kind="reversal", quantity=-400_000)])
    assert [allocated(row)["AllocatedRatio"] for row in rows] == [0, 0]


# -- words ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("period", "first", "after"),
    [
        (202610, "2026-10-01", "2026-11-01"),
        (202612, "2026-12-01", "2027-01-01"),
        (202602, "2026-02-01", "2026-03-01"),
        (202802, "2028-02-01", "2028-03-01"),
    ],
)
def test_a_period_is_a_calendar_month(period: int, first: str, after: str) -> None:
    assert bounds(period) == (f"{first}T00:00:00Z", f"{after}T00:00:00Z")


def test_ids_and_amounts_in_words() -> None:
    assert invoice_id(202610, "4100") == "2026-10-4100"
    assert invoice_id(202601, "") == "2026-01-unallocated"
    assert slug("Unallocated, share") == "unallocated-share"
    assert slug("Tax,  19 %") == "tax-19-%"
    assert [money(pico) for pico in (0, 10**12, -(10**12), 1, -15 * 10**11)] == [
        "0.0", "1.0", "-1.0", "0.000000000001", "-1.5",
    ]  # fmt: skip
