"""The AWS price list: usage types and descriptions read word by word, and held against the book."""

import json
from collections.abc import Mapping
from datetime import date
from decimal import Decimal

import pytest

from gateway.catalog.bedrock import PROVIDER, Offer, checked, offers
from gateway.catalog.figure import Figure, Slot, SourceUnreadable
from gateway.pricing import load
from gateway.pricing.book import Book

DAY = date(2026, 11, 22)


def offer_file(*priced: Mapping[str, object]) -> bytes:
    """An offer file as AWS publishes it, one product per price."""
    products, terms = {}, {}
    for number, one in enumerate(priced):
        sku = f"SKU{number}"
        products[sku] = {"sku": sku, "attributes": {"regionCode": "us-east-1", **one["attributes"]}}  # type: ignore[dict-item]  # the tests' own
        terms[sku] = {
            f"{sku}.JRTCKXETXF": {
                "effectiveDate": "2026-11-01T00:00:00Z",
                "priceDimensions": {
                    f"{sku}.JRTCKXETXF.6YS6EN2CT7": {
                        "unit": one.get("unit", "1K tokens"),
                        "description": one.get("description", ""),
                        "pricePerUnit": one.get("price", {"USD": "0.0008000000"}),
                    }
                },
            }
        }
    return json.dumps(
        {"offerCode": "AmazonBedrock", "products": products, "terms": {"OnDemand": terms}}
    ).encode()


def usage(usagetype: str, **more: object) -> dict[str, object]:
    return {"attributes": {"usagetype": usagetype}, **more}


def edition(name: str, description: str, **more: object) -> dict[str, object]:
    attributes = {
        "usagetype": "USE1-MP:USE1_x-Units",
        "servicename": f"{name} (Amazon Bedrock Edition)",
    }
    return {"attributes": attributes, "description": description, "unit": "Units", **more}


@pytest.mark.parametrize(
    ("usagetype", "model", "slot", "scope", "long"),
    [
        ("USE1-NovaPro-input-tokens", "NovaPro", Slot("input_text", "standard"), "in_region", False),
        ("USE1-NovaPro-output-tokens-batch", "NovaPro", Slot("output_text", "batch"), "in_region", False),
        ("EUW1-NovaPro-input-tokens-flex", "NovaPro", Slot("input_text", "flex"), "in_region", False),
        (
            "USE1-NovaPro-input-tokens-cross-region-geo-batch", "NovaPro",
            Slot("input_text", "batch"), "geo", False,
        ),
        (
            "USE1-NovaPro-cache-read-input-token-count-cross-region-global", "NovaPro",
            Slot("cache_read_text", "standard"), "global", False,
        ),
        (
            "USE1-M4-cache-write-input-token-count-long-context", "M4",
            Slot("cache_write_5m", "standard"), "in_region", True,
        ),
        (
            "USE1-gpt-oss-120b-mantle-input-tokens-long-ctx-priority", "gpt-oss-120b",
            Slot("input_text", "priority"), "in_region", True,
        ),
        (
            "USE1-grok-4-mantle-cache-write-tokens-30m-standard", "grok-4",
            Slot("cache_write_30m", "standard"), "in_region", False,
        ),
    ],
)  # fmt: skip
def test_a_usage_type_is_model_unit_tier_context_and_scope(
    usagetype: str, model: str, slot: Slot, scope: str, *, long: bool
) -> None:
    (found,), silent = offers([offer_file(usage(usagetype))])
    assert found[:5] == (model, "us-east-1", scope, slot, long)
    assert (found.figure, found.since) == (Figure(Decimal("0.0008"), 1000), date(2026, 11, 1))
    assert silent.total() == 0


@pytest.mark.parametrize(
    ("description", "slot", "scope"),
    [
        ("AWS Marketplace - Million Input Tokens Regional", Slot("input_text", "standard"), "in_region"),
        ("Million Response Tokens Global", Slot("output_text", "standard"), "global"),
        ("Million Cache Write 1h Input Tokens", Slot("cache_write_1h", "standard"), "in_region"),
        ("Million Cache Read Input Tokens Regional CRIS", Slot("cache_read_text", "standard"), "geo"),
        ("Million Input Tokens Batch Global", Slot("input_text", "batch"), "global"),
    ],
)  # fmt: skip
def test_a_marketplace_edition_says_it_in_its_description(
    description: str, slot: Slot, scope: str
) -> None:
    said = edition("Claude Sonnet 4.5", description, unit=description, price={"USD": "3.3"})
    (found,), _ = offers([offer_file(said)])
    assert (found.model, found.scope, found.slot) == ("Claude Sonnet 4.5", scope, slot)
    assert found.figure == Figure(Decimal("3.3"), 1_000_000)


def test_what_is_not_of_tokens_is_counted_by_its_shape_and_never_dropped_silently() -> None:
    found, silent = offers([offer_file(
        usage("USE1-Guardrail-ContentPolicyUnitsConsumed"),
        usage("USE1-NovaPro-reserved-1-month-input-tokens-per-minute-cross-region-geo"),
        usage("USE1-NovaCanvas-T2I-1024-Standard", unit="image"),
        edition("Claude Sonnet 4.5", "Provisioned throughput, million input tokens", unit="Million tokens"),
        usage("USE1-NovaPro-input-tokens", unit="Hours"),
    )])  # fmt: skip
    assert found == ()
    assert silent.total() == 5


def test_a_file_that_is_none_and_a_price_that_is_none_are_refused() -> None:
    with pytest.raises(SourceUnreadable, match="products and terms"):
        offers([b"{}"])
    with pytest.raises(SourceUnreadable, match="no price in USD"):
        offers([offer_file(usage("USE1-NovaPro-input-tokens", price={"CNY": "1"}))])


HEADER = ",".join(load.COLUMNS)


def price(model: str, scope: str, usd: str, *, geo: str = "", above: int = 0) -> str:
    return f"{PROVIDER},{model},{scope},{geo},,standard,input_text,{above},{usd},1000000,USD,2026-01-01,,s,r,manual"


BOOK: Book = load.book({
    "p.csv": "\n".join((
        HEADER,
        price("amazon.nova-pro", "in_region", "0.8", geo="us"),
        price("amazon.nova-pro", "geo", "0.9", geo="us"),
        price("amazon.nova-pro", "in_region", "1.6", geo="us", above=200_000),
        price("one.twin-1", "in_region", "1"), price("two.twin-1", "in_region", "1"),
        "",
    )).encode(),
    "regions.csv": f"provider,region,geo,partition\n{PROVIDER},us-east-1,us,commercial\n".encode(),
})  # fmt: skip


def verdicts(*said: Mapping[str, object]) -> list[str]:
    found, _ = offers([offer_file(*said)])
    return [one.verdict for one in checked(found, BOOK, DAY)]


def test_an_offer_is_held_against_what_the_book_charges_there() -> None:
    assert verdicts(usage("USE1-NovaPro-input-tokens")) == ["agrees"]
    assert verdicts(usage("USE1-NovaPro-input-tokens", unit="1M tokens", price={"USD": "0.8"})) == [
        "agrees"
    ]
    assert verdicts(usage("USE1-NovaPro-input-tokens-cross-region-geo")) == ["differs"]
    long = "USE1-NovaPro-input-tokens-long-context-cross-region-geo"
    assert verdicts(usage(long)) == ["differs"]
    assert verdicts(
        usage("USE1-NovaPro-mantle-input-tokens-long-ctx-standard", price={"USD": "0.0016"})
    ) == ["agrees"]
    assert verdicts(usage("USE1-NovaPro-output-tokens")) == ["absent"]
    assert verdicts(usage("USE1-NovaPro-input-tokens-cross-region-global")) == ["absent"]


def test_a_model_is_matched_by_all_its_letters_or_not_at_all() -> None:
    assert verdicts(usage("USE1-Nova-Pro-input-tokens")) == ["agrees"]
    assert verdicts(usage("USE1-NovaProMax-input-tokens")) == ["unread"]
    assert verdicts(usage("USE1-NovaPr-input-tokens")) == ["unread"]
    assert verdicts(usage("USE1-Twin1-input-tokens")) == ["unread"]  # two publishers, one name


def test_the_finding_names_the_row_that_is_charged() -> None:
    (offer,), _ = offers([offer_file(usage("USE1-NovaPro-input-tokens", price={"USD": "0.001"}))])
    (one,) = checked([offer], BOOK, DAY)
    assert isinstance(one.offer, Offer)
    assert one.price is not None
    assert (one.verdict, one.model) == ("differs", "amazon.nova-pro")
    assert one.price.id.startswith(f"{PROVIDER}/amazon.nova-pro/in_region/us/")
