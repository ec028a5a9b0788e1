"""Coverage: what has a price is counted by model, once, at an instant; what the shipped book must have."""

from pathlib import Path

import pytest

from gateway.catalog.coverage import CLASSES, coverage, family
from gateway.pricing import load

SEED = Path(__file__).resolve().parents[2] / "gateway" / "pricing" / "seed"
BOOK = load.book({path.name: path.read_bytes() for path in sorted(SEED.glob("*.csv"))})
NOW_US = 1_795_300_000_000_000  # 2026-11-21
SHIPPED = coverage(BOOK.rows, NOW_US)


@pytest.mark.parametrize(
    ("model", "named"),
    [
        ("gpt-5.4-mini", "gpt"),
        ("anthropic.claude-sonnet-4-5", "anthropic"),
        ("ai21.jamba-instruct", "ai21"),
        ("flux.2-pro", "flux"),
        ("imagen-4.0-generate-001", "imagen"),
        ("guardrail", "guardrail"),
    ],
)
def test_a_family_is_the_publisher_or_the_first_word(model: str, named: str) -> None:
    assert family(model) == named


def test_only_what_is_valid_then_is_counted() -> None:
    before = coverage(BOOK.rows, 1_600_000_000_000_000)
    assert sum(found.rows for found in before.values()) < 100
    assert {name for name, _ in SHIPPED} == {"azure", "bedrock", "google"}


def test_by_model_and_by_family_count_the_same_rows() -> None:
    single = coverage(BOOK.rows, NOW_US, by_model=True)
    assert all(len(found.models) == 1 for found in single.values())
    assert sum(f.rows for f in single.values()) == sum(f.rows for f in SHIPPED.values())
    assert set(single) == {
        (provider, model) for (provider, _), found in SHIPPED.items() for model in found.models
    }


# What a gateway of these clouds cannot be without: (provider, family), scopes, tiers, classes.
NEEDED = [
    ("azure", "gpt", "global data_zone regional", "standard batch priority flex", "text,reasoning,cache read,cache write,image,audio"),
    ("azure", "text", "global data_zone regional", "standard", "text"),
    ("azure", "whisper", "global regional", "standard", "audio"),
    ("azure", "claude", "global", "standard", "text,cache read,cache write"),
    ("bedrock", "anthropic", "geo global in_region", "standard batch", "text,reasoning,cache read,cache write"),
    ("bedrock", "amazon", "geo global in_region", "standard batch flex priority", "text,cache read,audio,image,search"),
    ("bedrock", "openai", "geo global in_region", "standard batch flex priority ultrafast", "text,cache read,cache write"),
    ("bedrock", "guardrail", "geo global in_region", "standard", "guardrail"),
    ("bedrock", "stability", "geo in_region", "standard", "image"),
    ("google", "gemini", "global regional", "standard batch flex priority", "text,reasoning,cache read,image,audio,video,search"),
    ("google", "claude", "global regional geo", "standard batch", "text,cache read,cache write,search"),
    ("google", "veo", "global regional", "standard", "video"),
]  # fmt: skip


@pytest.mark.parametrize(("provider", "name", "scopes", "tiers", "classes"), NEEDED)
def test_the_shipped_book_has_what_a_gateway_cannot_be_without(
    provider: str, name: str, scopes: str, tiers: str, classes: str
) -> None:
    found = SHIPPED[provider, name]
    assert set(scopes.split()) <= {word for word, models in found.scopes.items() if models}
    assert set(tiers.split()) <= {word for word, models in found.tiers.items() if models}
    assert set(classes.split(",")) <= {word for word, models in found.classes.items() if models}


def test_every_unit_with_a_price_is_of_some_class() -> None:
    from gateway.metering.units import UNITS  # noqa: PLC0415  # the registry's names stay local

    lost = {
        row.unit for row in BOOK.rows if not any(of(UNITS[row.unit]) for of in CLASSES.values())
    }
    assert lost <= {"input_tool", "input_document", "cache_read_document"}
