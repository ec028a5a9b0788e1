"""The shipped book against the price matrix, cell by cell, and the seed's own hygiene."""

import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest

from gateway.kernel.clock import epoch_us
from gateway.kernel.money import format_usd
from gateway.metering.usage import Component
from gateway.pricing import load
from gateway.pricing.book import Book
from gateway.pricing.cover import covers, cure_row
from gateway.pricing.dimensions import Circumstances
from gateway.pricing.lint import lint
from gateway.pricing.rate import Status, rate, rate_components
from gateway.pricing.row import BookInvalid
from gateway.providers import installed
from gateway.providers.contract import Provider

SEED = Path(__file__).resolve().parents[2] / "gateway" / "pricing" / "seed"
FILES = {path.name: path.read_bytes() for path in sorted(SEED.glob("*.csv"))}
BOOK = load.book(FILES)
ROWS = {row.price_id(): row for row in BOOK.rows}

SHORT = {
    "in": "input_text",
    "cr": "cache_read_text",
    "cw": "cache_write",
    "cw5m": "cache_write_5m",
    "cw1h": "cache_write_1h",
    "out": "output_text",
    "thoughts": "output_reasoning",
    "tool": "input_tool",
    "image_in": "input_image",
    "image_out": "output_image",
    "audio_in": "input_audio",
    "audio_cr": "cache_read_audio",
    "audio_out": "output_audio",
    "searches": "grounding_google_search",
    "grounded": "grounding_google_search_prompts",
    "maps": "grounding_google_maps",
    "seconds": "audio_seconds",
    "content": "content_policy_units",
    "topic": "topic_policy_units",
    "sensitive": "sensitive_information_policy_units",
}
NOW = "2026-11-22"


class Cell(NamedTuple):
    """One row of the matrix. ``usage``: 'in 12000 cr 88000'; ``usd``: decimal text, '' for NULL."""

    what: str
    provider: str
    model: str
    scope: str
    usage: str
    usd: str
    geo: str | None = None
    region: str | None = None
    tier: str = "standard"
    day: str = NOW
    status: Status = Status.PRICED
    context: int | None = None


def counts_of(usage: str) -> dict[str, int]:
    words = usage.split()
    return {SHORT.get(name, name): int(n) for name, n in zip(words[::2], words[1::2], strict=True)}


def at(cell: Cell) -> Circumstances:
    return Circumstances(
        provider=cell.provider,
        model=BOOK.canonical(cell.provider, (cell.model,)),
        scope=cell.scope,
        at_us=epoch_us(datetime.fromisoformat(cell.day).replace(hour=12, tzinfo=UTC)),
        geo=cell.geo,
        region=cell.region,
        tier=cell.tier,
        context_tokens=cell.context,
    )


def usd(pico: int | None) -> str:
    return "" if pico is None else format_usd(pico)


GPT54 = "in 12000 cr 88000 out 2000"
AMBIGUOUS, UNPRICED = Status.AMBIGUOUS, Status.UNPRICED
A, B, G = "azure", "bedrock", "google"
SONNET45 = "anthropic.claude-sonnet-4-5"

MATRIX = (
    Cell("gpt-5.4 global", A, "gpt-5.4", "global", GPT54, "0.082"),
    Cell("gpt-5.4 by its dated name", A, "gpt-5.4-2026-03-05", "global", GPT54, "0.082"),
    Cell("gpt-5.4 DZ se", A, "gpt-5.4", "data_zone", GPT54, "0.0902", region="swedencentral"),
    Cell("gpt-5.4 DZ eu", A, "gpt-5.4", "data_zone", GPT54, "0.0902", geo="eu"),
    Cell("gpt-5.4 DZ jp", A, "gpt-5.4", "data_zone", GPT54, "0.0984", region="japaneast"),
    Cell("gpt-5.4 DZ region unknown", A, "gpt-5.4", "data_zone", GPT54, "", status=AMBIGUOUS),
    Cell("gpt-5.4 priority", A, "gpt-5.4", "global", GPT54, "0.164", tier="priority"),
    Cell(
        "gpt-5.4 batch", A, "gpt-5.4", "global", "in 1000000 cr 200000 out 100000", "2.026",
        tier="batch",
    ),
    Cell("gpt-5.4 at 272,000", A, "gpt-5.4", "global", "in 272000 out 1000", "0.695"),
    Cell("gpt-5.4 at 272,001", A, "gpt-5.4", "global", "in 1 cr 272000 out 1000", "0.158505"),
    Cell(
        "gpt-5.4 batch at 300,000", A, "gpt-5.4", "global", "in 300000 out 1000", "0.76125",
        tier="batch", context=300_000,
    ),
    Cell(
        "gpt-4o regional northeurope", A, "gpt-4o-2024-08-06", "regional",
        "in 10000 cr 2000 out 1000", "0.0495", region="northeurope",
    ),
    Cell(
        "gpt-4.1 regional usgovvirginia", A, "gpt-4.1", "regional", "in 10000 cr 1000 out 1000",
        "0.039188", region="usgovvirginia",
    ),
    Cell(
        "gpt-4.1 regional swedencentral", A, "gpt-4.1", "regional", "in 10000 cr 1000 out 1000",
        "0.034485", region="swedencentral",
    ),
    Cell(
        "gpt-5.1 DZ usgovarizona", A, "gpt-5.1", "data_zone", "in 10000 cr 1000 out 1000",
        "0.031109375", region="usgovarizona",
    ),
    Cell(
        "embedding westeurope", A, "text-embedding-3-large", "regional", "in 123456",
        "0.021234432", region="westeurope",
    ),
    Cell("embedding global", A, "text-embedding-3-large", "global", "in 123456", "0.01604928"),
    Cell("gpt-4o-mini DZ", A, "gpt-4o-mini", "data_zone", "in 10000 cr 10000 out 5000", "0.00578"),
    Cell(
        "gpt-5-mini DZ, part of the output reasoning", A, "gpt-5-mini", "data_zone",
        "in 5000 cr 5000 out 400 thoughts 2600", "0.0081125",
    ),
    Cell("gpt-5 default served", A, "gpt-5", "global", "in 1000 cr 1000 out 1000", "0.011375"),
    Cell(
        "gpt-5 priority served", A, "gpt-5", "global", "in 1000 cr 1000 out 1000", "0.02275",
        tier="priority",
    ),
    Cell(
        "gpt-5.4-pro: cached bills as input", A, "gpt-5.4-pro", "global",
        "in 30000 cr 10000 out 10000", "3",
    ),
    Cell("gpt-5.4-pro", A, "gpt-5.4-pro", "global", "in 40000 out 10000", "3"),
    Cell(
        "gpt-6.1-sol DZ eastus2", A, "gpt-6.1-sol", "data_zone",
        "in 50000 cw 20000 cr 30000 out 4000", "0.2123", region="eastus2",
    ),
    Cell(
        "gpt-realtime-2.1 DZ", A, "gpt-realtime-2.1", "data_zone",
        "in 2000 cr 1000 audio_in 6000 audio_cr 3000 out 500 audio_out 4000", "0.51656",
    ),
    Cell(
        "gpt-image-2 global", A, "gpt-image-2", "global", "in 200 image_in 1500 image_out 6240",
        "0.2002",
    ),
    Cell("DeepSeek-R1", A, "DeepSeek-R1", "global", "in 10000 out 2000", "0.0243"),
    Cell(
        "gpt-5.6-sol before the cut", A, "gpt-5.6-sol", "global",
        "in 2000 cw 8000 cr 90000 out 1500", "0.15", day="2026-07-20",
    ),
    Cell(
        "gpt-5.6-sol after the cut", A, "gpt-5.6-sol", "global",
        "in 2000 cw 8000 cr 90000 out 1500", "0.114", day="2026-11-20",
    ),
    Cell("rerank DZ", A, "cohere-rerank-v4-fast", "data_zone", "search_units 350", "0.77"),
    Cell("whisper", A, "whisper", "regional", "seconds 754", "0.08294", region="eastus2"),
    Cell("whisper-1", A, "whisper-1", "regional", "seconds 754", "0.08294", region="eastus2"),
    Cell("100 PTU for a month", A, "provisioned-managed", "global", "ptu_hours 73000", "73000"),
    Cell(
        "PTU hours DZ jp: the later row wins", A, "provisioned-managed", "data_zone", "ptu_hours 1200",
        "1440", region="japaneast", day="2026-08-15",
    ),
    Cell(
        "PTU hours DZ jp in June", A, "provisioned-managed", "data_zone", "ptu_hours 1200", "1320",
        region="japaneast", day="2026-06-15",
    ),
    Cell(
        "PTU hours regional uksouth", A, "provisioned-managed", "regional", "ptu_hours 10", "22",
        region="uksouth",
    ),
    Cell("PTU hours gov", A, "provisioned-managed", "data_zone", "ptu_hours 2", "5", geo="us-gov"),
    Cell("PTU hours DZ, place unknown", A, "provisioned-managed", "data_zone", "ptu_hours 1", "", status=AMBIGUOUS),
    Cell("unknown model", A, "gpt-99-unknown", "global", GPT54, "", status=UNPRICED),
    Cell(
        "claude-sonnet-4-6 global.", B, "anthropic.claude-sonnet-4-6", "global",
        "in 10000 cr 50000 cw5m 4000 out 2000", "0.09",
    ),
    Cell(
        "claude-sonnet-4-6 bare, us-east-1", B, "anthropic.claude-sonnet-4-6", "in_region",
        "in 10000 cr 50000 cw5m 4000 out 2000", "0.099", region="us-east-1",
    ),
    Cell(
        "claude-sonnet-4-6 bare, place unknown", B, "claude-sonnet-4-6", "in_region",
        "in 10000 cr 50000 cw5m 4000 out 2000", "0.099",
    ),
    Cell(
        "claude-sonnet-4-6 eu.", B, "anthropic.claude-sonnet-4-6", "geo",
        "in 10000 cr 50000 cw5m 4000 out 2000", "0.099", geo="eu", region="eu-west-1",
    ),
    Cell(
        "claude-sonnet-4-5 us.", B, "anthropic.claude-sonnet-4-5-20250929-v1:0", "geo",
        "in 10 cw5m 3000 cw1h 7000 cr 20000 out 700", "0.076758", geo="us",
    ),
    Cell("claude-sonnet-4-5 us-gov.", B, SONNET45, "geo", "in 10000 out 1000", "0.054", geo="us-gov"),
    Cell(
        "claude-sonnet-4-5 long context", B, SONNET45, "geo", "in 150000 cr 60000 out 3000",
        "1.10385", geo="us",
    ),
    Cell(
        "haiku-5-5 at 100,000", B, "anthropic.claude-haiku-5-5", "global", "in 100000 out 1000",
        "0.0105",
    ),
    Cell(
        "haiku-5-5 at 100,001", B, "anthropic.claude-haiku-5-5", "global",
        "in 60001 cr 40000 out 1000", "0.0345005",
    ),
    Cell(
        "nova-pro", B, "amazon.nova-pro-v1:0", "in_region", "in 10000 cr 5000 out 2000", "0.0154",
        region="us-east-1",
    ),
    Cell(
        "nova-pro flex", B, "nova-pro", "in_region", "in 10000 cr 5000 out 2000", "0.0077",
        region="us-east-1", tier="flex",
    ),
    Cell(
        "nova-pro priority", B, "nova-pro", "in_region", "in 10000 cr 5000 out 2000", "0.02695",
        region="us-east-1", tier="priority",
    ),
    Cell("nova-pro eu.", B, "nova-pro", "geo", "in 10000 cr 5000 out 2000", "0.0202125", geo="eu"),
    Cell("nova-pro apac.", B, "nova-pro", "geo", "in 10000 cr 5000 out 2000", "0.01617", geo="apac"),
    Cell(
        "nova-pro, tier unknown", B, "nova-pro", "in_region", "in 10000 cr 5000 out 2000", "",
        region="us-east-1", tier="turbo", status=UNPRICED,
    ),
    Cell("mapped profile", B, SONNET45, "geo", "in 1000 out 1000", "0.0198", geo="us"),
    Cell(
        "unmapped profile", B,
        "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc123", "geo",
        "in 1000 out 1000", "", status=UNPRICED,
    ),
    Cell(
        "gpt-oss-120b", B, "openai.gpt-oss-120b-1:0", "in_region", "in 10000 out 4000", "0.0039",
    ),
    Cell(
        "gpt-oss-120b priority", B, "gpt-oss-120b", "in_region", "in 10000 out 4000", "0.006825",
        tier="priority", region="us-west-2",
    ),
    Cell(
        "gpt-5.6-sol us.", B, "openai.gpt-5.6-sol", "geo", "in 2 cw 4032 cr 8367 out 300",
        "0.03246628", geo="us",
    ),
    Cell(
        "claude-opus-4-6 us.", B, "anthropic.claude-opus-4-6-v1", "geo",
        "in 2 cr 13923 cw5m 7262 out 300", "0.0658449", geo="us",
    ),
    Cell(
        "gpt-5.6-sol global. 08-20", B, "openai.gpt-5.6-sol", "global", "in 10000 out 1000", "0.08",
        day="2026-08-20",
    ),
    Cell(
        "gpt-5.6-sol global. 08-21", B, "openai.gpt-5.6-sol", "global", "in 10000 out 1000", "0.06",
        day="2026-08-21",
    ),
    Cell(
        "guardrail", B, "guardrail", "in_region", "content 12 topic 12 sensitive 3", "0.0039",
    ),
    Cell("2.5-pro at 200,000", G, "gemini-2.5-pro", "global", "in 200000 out 1000", "0.26"),
    Cell(
        "2.5-pro at 200,001", G, "gemini-2.5-pro", "global", "in 200001 out 1000", "0.5150025",
        day="2026-06-01",
    ),
    Cell(
        "2.5-pro mostly cached", G, "gemini-2.5-pro", "global", "in 5000 cr 250000 out 1000", "0.09",
        day="2026-06-01",
    ),
    Cell(
        "2.5-pro batch", G, "gemini-2.5-pro", "regional", "in 100000 out 10000", "0.1125",
        region="us-central1", tier="batch",
    ),
    Cell(
        "2.5-pro priority", G, "gemini-2.5-pro", "global", "in 100000 out 10000", "0.405",
        tier="priority",
    ),
    Cell(
        "2.5-flash audio", G, "gemini-2.5-flash", "global",
        "in 1000 audio_in 32000 out 900 thoughts 3100", "0.0423",
    ),
    Cell("3.8-flash", G, "gemini-3.8-flash", "global", "in 10000 cr 10000 out 2000", "0.01575"),
    Cell(
        "3.8-flash europe-west4", G, "gemini-3.8-flash", "regional", "in 10000 cr 10000 out 2000",
        "0.017325", region="europe-west4",
    ),
    Cell(
        "3.8-flash next year", G, "gemini-3.8-flash", "global", "in 10000 cr 10000 out 2000",
        "0.0315", day="2027-01-02",
    ),
    Cell("argon in November", G, "gemini-4-argon", "global", "in 100000 out 20000", "0.4", day="2026-11-30"),
    Cell("argon in December", G, "gemini-4-argon", "global", "in 100000 out 20000", "0.8", day="2026-12-01"),
    Cell("3.8-flash flex", G, "gemini-3.8-flash", "global", "in 10000 out 2000", "0.0075", tier="flex"),
    Cell(
        "3.8-flash + 4 searches", G, "gemini-3.8-flash", "global", "in 3000 out 800 searches 4",
        "0.06125",
    ),
    Cell(
        "2.5-flash, one grounded prompt", G, "gemini-2.5-flash", "global",
        "in 3000 out 800 grounded 1", "0.0379",
    ),
    Cell(
        "2.5-flash, one grounded prompt of four queries", G, "gemini-2.5-flash", "global",
        "in 3000 out 800 grounded 1 searches 4", "0.0379",
    ),
    Cell("2.5-pro maps", G, "gemini-2.5-pro", "global", "in 3000 out 800 maps 1", "0.03675"),
    Cell(
        "2.5-flash-image", G, "gemini-2.5-flash-image", "global", "in 500 image_out 1290", "0.03885",
    ),
    Cell(
        "3.1-pro-preview with tool use", G, "gemini-3.1-pro-preview", "global",
        "in 1000 tool 4000 out 300 thoughts 200", "0.016",
    ),
    Cell("3.8-flash-cyber", G, "gemini-3.8-flash-cyber", "global", "in 10000 out 1000", "0.0225"),
    Cell(
        "Vertex sonnet global", G, "claude-sonnet-4-5@20250929", "global",
        "in 10000 cr 20000 cw5m 3000 out 1000", "0.06225", day="2026-06-01",
    ),
    Cell(
        "Vertex sonnet europe-west1", G, "claude-sonnet-4-5", "regional",
        "in 10000 cr 20000 cw5m 3000 out 1000", "0.068475", region="europe-west1", day="2026-06-01",
    ),
    Cell("one token", A, "gpt-5.4", "global", "in 1", "0.0000025"),
    Cell("one cache read", B, "claude-haiku-5-5", "global", "cr 1", "0.00000001"),
)  # fmt: skip


@pytest.mark.parametrize("cell", MATRIX, ids=[cell.what for cell in MATRIX])
def test_the_seed_prices_a_cell_of_the_matrix_exactly(cell: Cell) -> None:
    charge = rate(BOOK, at(cell), counts_of(cell.usage))
    assert (charge.status, usd(charge.list_pico)) == (cell.status, cell.usd)
    assert charge.net_pico == charge.list_pico
    if cell.usd:
        assert sum(line.list_pico or 0 for line in charge.lines) == charge.list_pico
        assert all(line.price_id for line in charge.lines)
    else:
        amounts = {(line.price_id, line.list_pico, line.net_pico) for line in charge.lines}
        assert amounts == {(None, None, None)}


def test_the_place_of_provisioned_capacity_is_zero_marginal_with_its_shadow() -> None:
    cell = MATRIX[0]
    paid = rate(BOOK, at(cell._replace(scope="provisioned")), counts_of(GPT54))
    assert (paid.status, usd(paid.list_pico), paid.net_pico) == (Status.ZERO_MARGINAL, "0.082", 0)


def test_guardrail_units_ride_on_any_call_of_their_provider() -> None:
    cell = Cell("", B, "claude-sonnet-4-5", "geo", "", "", geo="us")
    parts = [
        Component("main", {"input_text": 1000, "output_text": 1000}),
        Component("guardrail", counts_of("content 12 topic 12 sensitive 3")),
    ]
    assert usd(rate_components(BOOK, at(cell), parts).list_pico) == "0.0237"


@pytest.mark.parametrize(
    ("provider", "names", "model"),
    [
        (A, ("gpt-4o-2024-11-20",), "gpt-4o"),
        (A, ("gpt-4o-2024-05-13",), "gpt-4o-2024-05-13"),
        (A, ("gpt-5.6-2026-06-10",), "gpt-5.6-sol"),
        (A, ("tts",), "tts-1"),
        (B, ("anthropic.claude-sonnet-4-5-20250929-v1:0",), SONNET45),
        (B, ("claude-haiku-4-5-20251001",), "anthropic.claude-haiku-4-5"),
        (B, ("meta.llama3-70b-instruct-v1:0",), "meta.llama3-70b-instruct"),
        (B, ("mistral.mistral-7b-instruct-v0:2",), "mistral.mistral-7b-instruct"),
        (B, ("cohere.embed-v4:0",), "cohere.embed-v4"),
        (B, ("amazon.titan-text-express-v1",), "amazon.titan-text-express"),
        (B, ("amazon.titan-embed-text-v2:0",), "amazon.titan-embed-text-v2"),
        (B, ("openai.gpt-5.6-luna",), "openai.gpt-5.6-luna"),
        (G, ("google/gemini-2.5-flash",), "gemini-2.5-flash"),
        (G, ("claude-sonnet-4-5@20250929",), "claude-sonnet-4-5"),
        (G, ("gemini-3.8-flash-cyber",), "gemini-3.8-flash-cyber"),
        (G, ("gemini-3.8-flash-anything",), None),
        (A, ("gpt-5.4-anything",), None),
        (B, ("us.amazon.nova-pro-v1:0",), None),
    ],
)
def test_names_on_the_wire_find_their_model(
    provider: str, names: tuple[str, ...], model: str | None
) -> None:
    assert BOOK.canonical(provider, names) == model


def test_the_seed_covers_the_three_clouds() -> None:
    counted = {provider: len(BOOK.models(provider)) for provider in (A, B, G)}
    assert all(count >= 40 for count in counted.values()), counted


def test_every_row_says_where_it_is_from_and_is_charged_without_rounding_a_token() -> None:
    assert all(row.source and row.source_ref for row in BOOK.rows)
    assert [row.price_id() for row in BOOK.rows if row.pico % row.per and row.per != 3600] == []


def test_price_ids_are_unique_and_short() -> None:
    ids = [row.price_id() for row in BOOK.rows]
    assert len(set(ids)) == len(ids)
    assert max(map(len, ids)) <= 96


def test_the_seed_is_plausible_and_a_thousandfold_figure_in_it_is_found() -> None:
    assert lint(BOOK.rows) == ()
    # At half the price (a batch's) a thousandfold is only five hundred times its neighbours.
    judged = [i for i, row in enumerate(BOOK.rows) if row.pico and row.terms[-1] == "standard"]
    for index in judged[::911]:
        row = BOOK.rows[index]
        planted = msgspec.structs.replace(row, pico=row.pico * 1000)
        found = lint([*BOOK.rows[:index], planted, *BOOK.rows[index + 1 :]])
        assert any(row.origin in text for text in found), row.price_id()


def test_a_second_price_for_one_key_is_refused() -> None:
    with pytest.raises(BookInvalid, match="overlaps"):
        Book.compile([*BOOK.rows, msgspec.structs.replace(BOOK.rows[0], pico=1)])


def test_the_seed_loads_in_half_a_second_of_work() -> None:
    def once() -> float:
        started = time.process_time()
        load.book(FILES)
        return time.process_time() - started

    assert (
        min(once() for _ in range(3)) < 1.0
    )  # half a second, doubled for a machine under test load


def test_gpt_oss_silence_is_not_the_government_cloud() -> None:
    cell = Cell("", B, "openai.gpt-oss-120b", "in_region", "", "", region="us-gov-west-1")
    assert usd(rate(BOOK, at(cell), counts_of("in 10000 out 4000")).list_pico) == "0.00468"


@pytest.mark.parametrize("provider", [A, B, G])
def test_every_unit_an_unpriced_row_lacks_can_be_cured_by_hand(provider: str) -> None:
    cell = Cell("", provider, "nobody-knows-it", "global", "", "")
    assert covers(BOOK, at(cell)).status is Status.UNPRICED
    assert cure_row(at(cell), "input_text").startswith(f"{provider},,global,")


def transcripts() -> list[tuple[str, str, str, dict[str, int]]]:
    """Provider, case, model and counts of every recorded main component that names its model."""
    folder = Path(__file__).resolve().parents[1] / "transcripts"
    found = []
    for path in sorted(folder.glob("*/*.meta.json")):
        expected = json.loads(path.read_text())["expected"]
        model = expected["billing_model"]
        for part in expected["components"] if model else ():
            if part["role"] == "main":
                counts = part["tokens"] | part.get("units", {})
                found.append((path.parent.name, path.name.split(".")[0], model, counts))
    return found


# Recorded units and models that have no price on purpose, each with its reason.
NO_PRICE = {
    "responses-tool-usage": "no source for the hosted web search of this cloud",
    "converse-inference-profile-arn": "an application profile is opaque until it is mapped",
    "start-async-invoke": "refused by the gateway",
    "gemini-interactions-stream": "refused by the gateway",
}


@pytest.mark.parametrize(
    ("provider", "case", "model", "counts"), transcripts(), ids=lambda value: str(value)[:40]
)
def test_every_recorded_model_has_a_price(
    provider: str, case: str, model: str, counts: dict[str, int]
) -> None:
    geo, _, bare = model.partition(".") if model.startswith("us.") else (None, "", model)
    scope = {B: "geo" if geo else "in_region"}.get(provider, "global")
    cell = Cell("", provider, bare, scope, "", "", geo=geo or None, region="us-east-1")
    status = rate(BOOK, at(cell), counts).status
    assert (status is Status.PRICED) is (case not in NO_PRICE), status


@pytest.mark.parametrize("provider", installed(), ids=lambda found: found.name)
def test_every_model_of_the_book_is_found_by_its_own_name_on_the_wire(provider: Provider) -> None:
    lost = [
        model
        for model in BOOK.models(provider.name)
        if BOOK.canonical(provider.name, provider.wire(model, None, None).names) != model
    ]
    assert lost == []


@pytest.mark.parametrize("cell", [c for c in MATRIX if c.usd], ids=lambda cell: cell.what)
def test_every_amount_of_the_matrix_rests_on_rows_that_say_where_they_are_from(cell: Cell) -> None:
    for line in rate(BOOK, at(cell), counts_of(cell.usage)).lines:
        assert line.price_id is not None
        row = ROWS[line.price_id]
        assert row.source
        assert row.source_ref
        assert row.evidence in ("authoritative", "corroborated", "single")
