"""The most a request may cost: the vectors of other gateways' misses, and the laws of a bound."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings, strategies as st

from gateway import shipped
from gateway.dialects.anthropic import MESSAGES
from gateway.dialects.contract import Request
from gateway.dialects.converse import CONVERSE
from gateway.exchange.booking import Counts
from gateway.exchange.bound import Bound
from gateway.exchange.bounds import most
from gateway.exchange.margins import MARGINS, Margins, Slack
from gateway.kernel.money import format_usd
from gateway.metering.count import Confidence, Count
from gateway.metering.prompt import Image, Prompt, Turn
from gateway.metering.units import UNITS
from gateway.metering.usage import Component
from gateway.pricing import load
from gateway.pricing.book import Book
from gateway.pricing.ceilings import Ceilings
from gateway.pricing.contract import Bargain, Contract, Term
from gateway.pricing.dimensions import Circumstances
from gateway.pricing.rate import rate, rate_components
from gateway.pricing.row import Row

SEED = Path(__file__).resolve().parents[2] / "gateway" / "pricing" / "seed"
FILES = {path.name: path.read_bytes() for path in sorted(SEED.glob("*.csv"))}
NOW_US = 1_795_305_600_000_000  # 2026-11-22
DEFAULT = 16_384
CEILINGS = shipped.ceilings()
PLAIN = Margins(exact=Slack())  # the vectors' figures are of whole thousands
TRUSTING = Margins(exact=Slack(), trusts_discounts=True)


def flex(unit: str, usd_per_million: str) -> Row:
    """A tier that the vectors know and the seed does not."""
    pico = int(float(usd_per_million) * 1_000_000) * 1_000_000
    terms = ("azure", "gpt-5", "global", "", "", "flex")
    return Row(terms=terms, unit=unit, pico=pico, source="the vectors", evidence="manual")


BOOK = Book.compile((*load.book(FILES).rows, flex("input_text", "0.625"), flex("output_text", "5")))


def bound(
    provider: str,
    model: str,
    tokens: int,
    request: Request,
    tier: str = "standard",
    *,
    scope: str = "global",
    margins: Margins = PLAIN,
    confidence: Confidence = Confidence.EXACT,
) -> Bound:
    under = Circumstances(provider, model, scope, NOW_US, tier=tier)
    counts = Counts(Count(tokens, confidence))
    return most(BOOK, under, request, counts, CEILINGS, DEFAULT, margins=margins)


def usd(found: Bound) -> str | None:
    amount = found.estimate.net_pico
    assert amount == found.estimate.list_pico
    return None if amount is None else format_usd(amount)


# ── what other gateways get wrong ────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("ceiling", "dollars"), [(65_535, "0.6566"), (100, "0.00225")])
def test_the_protocols_own_ceiling_is_read(ceiling: int, dollars: str) -> None:
    assert usd(bound("google", "gemini-2.5-pro", 1000, Request(output_ceiling=ceiling))) == dollars


@pytest.mark.parametrize(
    ("tier", "dollars"), [("standard", "0.01125"), ("priority", "0.0225"), ("flex", "0.005625")]
)
def test_the_tier_that_is_asked_is_priced(tier: str, dollars: str) -> None:
    request = Request(output_ceiling=1000)
    assert usd(bound("azure", "gpt-5", 1000, request, tier, margins=TRUSTING)) == dollars


def test_a_discount_that_may_not_be_given_is_held_at_the_standard_price() -> None:
    assert usd(bound("azure", "gpt-5", 1000, Request(output_ceiling=1000), "flex")) == "0.01125"


def test_a_long_prompt_is_priced_as_one() -> None:
    request = MESSAGES.read_request(b'{"max_tokens":1000,"messages":[]}', b"application/json")
    found = bound("bedrock", "anthropic.claude-sonnet-4-5", 300_000, request)
    assert usd(found) == "1.8225"


def test_a_prompt_that_asks_to_be_cached_is_priced_as_written() -> None:
    hour = b'{"max_tokens":1000,"messages":[{"role":"user","content":[{"type":"text","text":"a","cache_control":{"type":"ephemeral","ttl":"1h"}}]}]}'
    request = MESSAGES.read_request(hour, b"application/json")
    assert usd(bound("bedrock", "anthropic.claude-sonnet-4-5", 150_000, request)) == "0.915"
    point = b'{"inferenceConfig":{"maxTokens":1000},"messages":[{"role":"user","content":[{"cachePoint":{"type":"default","ttl":"1h"}}]}]}'
    request = CONVERSE.read_request(point, b"application/json")
    assert usd(bound("bedrock", "anthropic.claude-sonnet-4-5", 150_000, request)) == "0.915"


def test_a_model_without_a_price_has_no_amount_and_says_so() -> None:
    found = bound("azure", "gpt-99-unknown", 1000, Request(output_ceiling=1000))
    assert (usd(found), found.priced) == (None, False)
    assert (found.estimate.input_tokens, found.output_tokens) == (1000, 1000)


def test_without_a_ceiling_the_models_own_maximum_is_held() -> None:
    found = bound("azure", "gpt-5", 1000, Request(choices=2))
    assert (found.output_tokens, found.is_bounded) == (256_000, False)
    assert bound("azure", "gpt-99-unknown", 1000, Request()).output_tokens == DEFAULT


# ── what else a request may turn out to be ───────────────────────────────────────────────────────


def test_a_model_that_caches_by_itself_is_priced_as_written() -> None:
    found = bound("azure", "gpt-6.1-sol", 1_000_000, Request(output_ceiling=1), scope="data_zone")
    written = bound("azure", "gpt-5.4", 1_000_000, Request(output_ceiling=1))
    assert found.estimate.units["cache_write"] == 1_000_000
    assert found.priced
    assert written.priced


HOSTED = {"file_search_calls": 10, "code_interpreter_sessions": 4}


def test_hosted_tools_are_held_beside_the_model_at_their_own_price() -> None:
    bare = bound("azure", "gpt-5.4", 1000, Request(output_ceiling=100))
    found = bound("azure", "gpt-5.4", 1000, Request(output_ceiling=100, tool_units=HOSTED))
    assert bare.estimate.net_pico is not None
    assert found.estimate.net_pico == bare.estimate.net_pico + 145_000_000_000
    assert HOSTED.items() <= found.estimate.units.items()
    assert (found.priced, found.wanting) == (True, None)


@pytest.mark.parametrize("scope", ["data_zone", "in_region"])
def test_a_hosted_tool_without_a_price_is_what_the_request_wants(scope: str) -> None:
    request = Request(output_ceiling=100, tool_units={"code_interpreter_sessions": 1})
    assert bound("azure", "gpt-5.4", 1, request, scope=scope).wanting == "code_interpreter_sessions"
    assert (
        bound("bedrock", "openai.gpt-oss-120b", 1, request).wanting == "code_interpreter_sessions"
    )


@given(
    used=st.dictionaries(st.sampled_from(sorted(HOSTED)), st.integers(0, 10), min_size=1),
    margin=st.integers(0, 5000),
    discount=st.integers(0, 5000),
    tokens=st.integers(1, 10_000),
)
def test_what_hosted_tools_cost_by_any_contract_stays_within_the_hold(
    used: dict[str, int], margin: int, discount: int, tokens: int
) -> None:
    under = Circumstances("azure", "gpt-5.4", "global", NOW_US)
    bargain = Bargain(Contract(name="c", margin_bp=margin, terms=(Term(discount_bp=discount),)))
    request = Request(output_ceiling=1, tool_units=dict.fromkeys(HOSTED, 10))
    counts = Counts(Count(tokens, Confidence.EXACT))
    held = most(BOOK, under, request, counts, CEILINGS, DEFAULT, bargain, PLAIN).estimate
    parts = (Component("main", {"input_text": tokens}), Component("hosted_tool", used))
    charge = rate_components(BOOK, under, parts, bargain)
    assert charge.net_pico is not None
    assert charge.list_pico is not None
    assert held.net_pico is not None
    assert held.list_pico is not None
    assert (charge.list_pico <= held.list_pico, charge.net_pico <= held.net_pico) == (True, True)


def test_capacity_that_is_paid_for_holds_what_it_does_not_pay_for() -> None:
    under = Circumstances("azure", "gpt-5.4", "provisioned", NOW_US, provisioned=True)
    request = Request(output_ceiling=100, tool_units=HOSTED)
    counts = Counts(Count(1000, Confidence.EXACT))
    held = most(BOOK, under, request, counts, CEILINGS, DEFAULT, margins=PLAIN).estimate
    assert held.net_pico == 145_000_000_000


@pytest.mark.parametrize(
    ("model", "unit", "dollars"),
    [
        ("amazon.titan-image-generator", "images_out_512", "0.024"),
        ("amazon.titan-image-generator-v2", "images_out_1024_premium", "0.036"),
        ("amazon.titan-image-generator-v2", "images_out_2048", "0.03"),
        ("amazon.nova-canvas", "images_out_512_premium", "0.18"),
        ("amazon.nova-canvas", "images_out_2048", "0.18"),
        ("stability.stable-image-core", "images_out", "0.12"),
    ],
)
def test_pictures_are_held_once_at_their_size_and_quality(
    model: str, unit: str, dollars: str
) -> None:
    under = Circumstances("bedrock", model, "in_region", NOW_US, geo="us")
    counts = Counts(Count(100, Confidence.EXACT))
    request = Request(units={unit: 3})
    found = most(BOOK, under, request, counts, CEILINGS, DEFAULT, margins=PLAIN)
    assert (usd(found), found.priced) == (dollars, True)
    assert found.estimate.units.get("images_out", 0) == (3 if unit == "images_out" else 0)
    charge = rate(BOOK, under, {unit: 3})
    assert charge.list_pico == found.estimate.list_pico


def test_sound_is_priced_as_sound_only_where_the_prompt_has_parts_nobody_can_see() -> None:
    seen = Request(prompt=Prompt("chat", (Turn("user", "a"),)), output_ceiling=1)
    heard = Request(prompt=Prompt("chat", (Turn("user", "a", opaque=1),)), output_ceiling=1)
    margins = Margins(exact=Slack(), unseen=0)
    text = bound("google", "gemini-2.5-flash", 1000, seen, margins=margins)
    sound = bound("google", "gemini-2.5-flash", 1000, heard, margins=margins)
    assert (usd(text), usd(sound)) == ("0.0003025", "0.0010025")
    assert (text.unseen, sound.unseen) == (0, 1)


def test_what_cannot_be_seen_is_never_more_than_the_context() -> None:
    heard = Request(prompt=Prompt("plain", (Turn("user", "", opaque=1),)))
    assert bound("azure", "gpt-4o-transcribe", 0, heard).estimate.input_tokens == 16_000


def test_sealed_thoughts_are_held_as_text() -> None:
    found = bound("azure", "gpt-5", 1000, Request(output_ceiling=1, sealed=4001))
    assert found.estimate.input_tokens == 2001


def test_an_image_of_unknown_size_is_held_at_its_largest() -> None:
    turn = Turn("user", "a", images=(Image(),))
    request = Request(prompt=Prompt("chat", (turn,)), output_ceiling=1)
    margins = Margins(estimate=Slack())
    for model, tokens in (("gpt-4o-mini", 4 * 5667), ("gemini-2.5-flash", 4096)):
        provider = "azure" if model.startswith("gpt") else "google"
        found = bound(
            provider, model, 100, request, margins=margins, confidence=Confidence.ESTIMATE
        )
        assert found.estimate.input_tokens == 100 + tokens


def test_an_exact_count_may_miss_a_few_tokens_that_providers_add() -> None:
    found = bound("azure", "gpt-5", 1_000, Request(output_ceiling=1), margins=MARGINS)
    assert found.estimate.input_tokens == 1_008


@pytest.mark.parametrize(("asked", "dollars"), [(None, "0.01125"), ("auto", "0.0225"), ("default", "0.01125")])  # fmt: skip
def test_a_tier_the_provider_picks_is_held_at_the_dearest(asked: str | None, dollars: str) -> None:
    assert usd(bound("azure", "gpt-5", 1_000, Request(output_ceiling=1_000, tier=asked))) == dollars


def test_a_guardrail_that_looks_on_is_held_for_prompt_and_answer() -> None:
    turns = (Turn("user", "x" * 2_500, images=(Image("auto", 10, 10),)),)
    request = Request(prompt=Prompt(shape="chat", turns=turns), output_ceiling=1_000)
    plain = bound("bedrock", "anthropic.claude-sonnet-4-5", 700, request)
    seen = bound(
        "bedrock",
        "anthropic.claude-sonnet-4-5",
        700,
        msgspec.structs.replace(request, guarded=True),
    )
    # Three units of prompt, nine of an answer of at most 8,000 characters.
    assert seen.estimate.units["topic_policy_units"] == 3 + 9
    assert seen.estimate.units["content_policy_image_units"] == 1
    assert "topic_policy_units" not in plain.estimate.units
    assert seen.estimate.net_pico is not None
    assert plain.estimate.net_pico is not None
    # 0.15 and 0.15 and 0.10 and 0.10 and 0.17 for a thousand of text, 0.75 for a thousand pictures.
    more = seen.estimate.net_pico - plain.estimate.net_pico
    assert format_usd(more) == "0.00879"


def test_embeddings_write_nothing() -> None:
    found = bound("azure", "text-embedding-3-large", 1000, Request(prompt=Prompt("embeddings")))
    assert (found.output_tokens, usd(found)) == (0, "0.00013")


def test_speech_images_and_seconds_are_priced_by_the_piece() -> None:
    speech = Request(units={"characters_in": 1000})
    assert usd(bound("azure", "tts-1", 250, speech)) == "0.015"
    images = Request(choices=3)
    assert usd(bound("google", "imagen-4.0-fast-generate-001", 10, images)) == "0.06"
    sound = Request(media_bytes=1_799_999)
    assert usd(bound("azure", "whisper", 10, sound)) == "0.36"


def test_tools_that_search_are_priced_by_their_most_uses() -> None:
    body = b'{"max_tokens":1,"messages":[],"tools":[{"type":"web_search_20250305","name":"web_search","max_uses":3}]}'
    request = MESSAGES.read_request(body, b"application/json")
    found = bound("google", "claude-sonnet-4-5", 0, request, margins=Margins(exact=Slack(), tool=0))
    assert found.estimate.units["web_search_requests"] == 3
    assert usd(found) == "0.030015"


def test_capacity_already_paid_for_is_held_until_it_surely_cannot_spill_over() -> None:
    under = Circumstances("azure", "gpt-5", "provisioned", NOW_US)
    counts = Counts(Count(1000, Confidence.EXACT))
    request = Request(output_ceiling=1000)
    held = most(BOOK, under, request, counts, CEILINGS, DEFAULT).estimate
    paid = msgspec.structs.replace(under, provisioned=True)
    free = most(BOOK, paid, request, counts, CEILINGS, DEFAULT).estimate
    assert held.net_pico == held.list_pico == free.list_pico
    assert free.net_pico == 0


# ── laws ─────────────────────────────────────────────────────────────────────────────────────────

STANDING = sorted({(row.terms[0], row.terms[1], row.terms[2], row.terms[5]) for row in BOOK.rows})
turns = st.builds(
    Turn,
    st.just("user"),
    opaque=st.integers(0, 2),
    images=st.lists(st.just(Image()), max_size=2).map(tuple),
)
requests = st.builds(
    Request,
    prompt=st.builds(Prompt, st.just("chat"), st.lists(turns, max_size=2).map(tuple)),
    output_ceiling=st.integers(1, 300_000),
    choices=st.integers(1, 4),
    writes=st.sampled_from([None, (), ("cache_write_5m",), ("cache_write_1h",)]),
    hosted=st.integers(0, 2),
    sealed=st.integers(0, 5000),
)


def figures(found: Bound) -> tuple[int, ...]:
    estimate = found.estimate
    return (
        estimate.list_pico or 0, estimate.net_pico or 0, estimate.input_tokens, estimate.output_tokens,
    )  # fmt: skip


MORE: dict[str, Callable[[Request], object]] = {
    "output_ceiling": lambda request: (request.output_ceiling or 0) + 1,
    "choices": lambda request: request.choices + 1,
    "hosted": lambda request: request.hosted + 1,
    "sealed": lambda request: request.sealed + 4,
    "writes": lambda request: ("cache_write_1h", *(request.writes or ())),
    "prompt": lambda request: Prompt("chat", (*request.prompt.turns, Turn("user", opaque=1))),
}


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(STANDING),
    st.integers(0, 400_000),
    requests,
    st.sampled_from(Confidence),
    st.data(),
)
def test_asking_for_more_never_lowers_the_bound(
    key: tuple[str, str, str, str],
    tokens: int,
    request: Request,
    confidence: Confidence,
    data: st.DataObject,
) -> None:
    provider, model, scope, tier = key
    if request.writes is None:
        request = msgspec.structs.replace(request, writes=())
    least = bound(provider, model, tokens, request, tier, scope=scope, confidence=confidence)
    changed = data.draw(st.sampled_from([*MORE, "tokens", "confidence"]))
    more, longer, weaker = request, tokens, confidence
    if changed == "tokens":
        longer += data.draw(st.integers(1, 300_000))
    elif changed == "confidence":
        weaker = Confidence.ESTIMATE
    else:
        more = msgspec.structs.replace(request, **{changed: MORE[changed](request)})
    most_ = bound(provider, model, longer, more, tier, scope=scope, confidence=weaker)
    if least.priced and most_.priced:
        assert all(a <= b for a, b in zip(figures(least), figures(most_), strict=True))


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(STANDING), requests, st.integers(0, 400_000), st.data())
def test_no_way_to_use_what_was_held_costs_more(
    key: tuple[str, str, str, str], request: Request, tokens: int, data: st.DataObject
) -> None:
    """However the tokens fall into classes the request may use, in any context tier: the charge is within."""
    provider, model, scope, tier = key
    found = bound(
        provider, model, tokens, msgspec.structs.replace(request, writes=None), tier, scope=scope
    )
    has_media = any(turn.opaque for turn in request.prompt.turns)
    counts: dict[str, int] = {}
    for direction, held in (
        ("input", found.estimate.input_tokens),
        ("output", found.output_tokens),
    ):
        left = held
        names = [
            unit.name
            for unit in UNITS.values()
            if unit.is_token
            and unit.direction == direction
            and (direction == "output" or has_media or unit.modality == "text")
        ]
        for name in data.draw(st.permutations(names))[:4]:
            counts[name] = data.draw(st.integers(0, left))
            left -= counts[name]
    charge = rate(BOOK, Circumstances(provider, model, scope, NOW_US, tier=tier), counts)
    if charge.list_pico is not None and found.priced:
        assert found.estimate.list_pico is not None
        assert charge.list_pico <= found.estimate.list_pico


def test_a_price_that_does_not_divide_is_bounded_line_by_line() -> None:
    terms = ("cloud", "m", "global", "", "", "standard")
    book = Book.compile(
        Row(terms=terms, unit=unit, pico=1, per=2, source="s", evidence="manual")
        for unit in ("input_text", "cache_read_text", "input_tool", "output_text")
    )
    under = Circumstances("cloud", "m", "global", NOW_US)
    charge = rate(book, under, {"input_text": 1, "cache_read_text": 1, "input_tool": 1})
    held = most(book, under, Request(writes=()), Counts(Count(3, Confidence.EXACT)), Ceilings(), 0)
    assert charge.list_pico == 3
    assert held.estimate.list_pico is not None
    assert held.estimate.list_pico >= 3
