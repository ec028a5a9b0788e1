"""What is hidden in a prompt is held: never less than it can be, never more than the model reads at once."""

from collections.abc import Sequence
from itertools import starmap
from typing import Final

import pytest
from hypothesis import given, settings, strategies as st
from msgspec.structs import replace

from gateway.dialects.contract import Request
from gateway.exchange.booking import Counts
from gateway.exchange.bound import Bound, highest
from gateway.exchange.bounds import most
from gateway.exchange.margins import ALLOWANCE, Margins
from gateway.metering.count import Confidence, Count
from gateway.metering.prompt import Prompt, Turn
from gateway.metering.sized import TOOL, Sized
from gateway.pricing.book import Book
from gateway.pricing.ceilings import Ceiling, Ceilings
from gateway.pricing.dimensions import Circumstances
from gateway.pricing.rate import rate
from gateway.pricing.row import Row
from gateway.quota.amount import Estimate, bounded
from gateway.quota.budget import Budget, Scope

NOW_US: Final = 1_795_305_600_000_000  # 2026-11-22
CONTEXT: Final = 200_000
UNDER: Final = Circumstances("cloud", "m", "global", NOW_US)
ROWS: Final = [
    Row(terms=("cloud", "m", "global", "", "", tier), unit=unit, pico=pico, source="s", evidence="manual")
    for tier, unit, pico in (
        ("standard", "input_text", 3_000_000), ("standard", "input_audio", 9_000_000),
        ("standard", "output_text", 15_000_000),
    )
]  # fmt: skip
BOOK: Final = Book.compile(ROWS)
KNOWN: Final = Ceilings({"m": Ceiling("m", 1_000, CONTEXT, "s", "s")})
# Tokens a page and a second that providers say or were measured: Claude 3,000 of text and 4,784 of its largest
# picture (pages of text as recorded: 2,481), Gemini 258 to 1,120; 32 a second of sound (Gemini), 10 (Azure).
PER_PAGE: Final = 3_000 + 4_096
PER_SECOND: Final = 32


def bound(
    request: Request, counted: int, ceilings: Ceilings = KNOWN, **margins: int | None
) -> Bound:
    counts = Counts(Count(counted, Confidence.ESTIMATE))
    return most(BOOK, UNDER, request, counts, ceilings, 1_000, margins=Margins(**margins))  # type: ignore[arg-type]  # whole numbers


def asking(opaque: int, sized: Sequence[Sized] = (), **more: int | None) -> Request:
    prompt = Prompt("chat", (Turn("user", opaque=opaque + len(sized), sized=tuple(sized)),))
    return Request(prompt=prompt, output_ceiling=10, writes=(), **more)  # type: ignore[arg-type]  # whole numbers


sizes = st.tuples(st.integers(0, 900), st.integers(0, 30), st.integers(0, 50_000))


@settings(max_examples=300, deadline=None)
@given(
    st.integers(0, 250_000),
    st.integers(0, 3),
    st.lists(sizes, max_size=4),
    st.one_of(st.none(), st.integers(0, 150_000)),
    st.data(),
)
def test_no_call_is_charged_more_than_is_held_for_it(
    counted: int,
    elsewhere: int,
    here: list[tuple[int, int, int]],
    carried: int | None,
    data: st.DataObject,
) -> None:
    """Whatever the parts turn out to weigh, as long as a prompt fits its model: by tokens, and by money."""
    sized = list(starmap(Sized, here))
    opaque = elsewhere + (carried is not None)
    request = asking(opaque, sized, carried=carried)
    weighs = counted + data.draw(st.integers(0, carried or 0))
    for seconds, pages, characters in here:
        weighs += data.draw(st.integers(0, seconds * PER_SECOND))
        weighs += data.draw(st.integers(0, pages * PER_PAGE))
        weighs += data.draw(st.integers(0, characters))
    for _ in range(elsewhere):
        weighs += data.draw(st.integers(0, 2 * CONTEXT))
    used = min(weighs, CONTEXT) if counted <= CONTEXT else counted
    found = bound(request, counted)
    assert used <= found.estimate.input_tokens
    heard = data.draw(st.integers(0, used)) if opaque or sized else 0
    charge = rate(
        BOOK, UNDER, {"input_text": used - heard, "input_audio": heard, "output_text": 10}
    )
    assert found.estimate.net_pico is not None
    assert charge.net_pico is not None
    assert charge.net_pico <= found.estimate.net_pico
    if counted <= CONTEXT:  # and no more than a full context, beside the slack of the count
        assert found.estimate.input_tokens <= CONTEXT + counted // 4 + 1_025


def test_what_is_known_is_not_held_at_the_whole_context() -> None:
    free = bound(asking(0), 1_000).estimate.input_tokens
    for request, tokens in (
        (asking(1, carried=40_000), 40_000),
        (asking(0, [Sized(pages=3)]), 3 * (3_072 + 4_096)),
        (asking(0, [Sized(seconds=100), Sized(characters=50)]), 3_250),
        (asking(0, [TOOL]), ALLOWANCE),
        (asking(0, [TOOL], hosted=2), 3 * ALLOWANCE),
        (asking(0, unread=77), 77),
    ):
        found = bound(request, 1_000)
        assert (found.estimate.input_tokens - free, found.unseen) == (tokens, 0)
        assert found.estimate.paced is None
    assert bound(asking(2), 1_000).unseen == 2


def test_an_operator_may_hold_so_many_tokens_instead() -> None:
    free = bound(asking(0), 1_000).estimate.input_tokens
    held = bound(asking(2, [TOOL]), 1_000, unseen=10_000, tool=5).estimate
    assert (held.input_tokens - free, held.paced) == (20_005, None)
    assert bound(asking(9), 1_000, unseen=50_000).estimate.input_tokens == free + CONTEXT - 1_000
    whole = bound(asking(0, [TOOL]), 1_000, tool=None).estimate
    assert whole.input_tokens == free + CONTEXT - 1_000
    assert whole.paced is not None
    assert whole.paced.input_tokens == free + ALLOWANCE


def test_a_context_that_nobody_knows_is_the_operators() -> None:
    free = bound(asking(0), 1_000, Ceilings()).estimate.input_tokens
    held = bound(asking(2), 1_000, Ceilings(), context=90_000).estimate.input_tokens
    assert held - free == 90_000
    here = bound(asking(0, [Sized(characters=200_000)]), 1_000, Ceilings(), context=90_000)
    assert (
        here.estimate.input_tokens - free == 200_000
    )  # what is in the request is not cut by a guess
    beyond = bound(asking(1), CONTEXT + 1, context=90_000).estimate.input_tokens
    assert beyond >= CONTEXT + 90_000  # a longer prompt than is known to fit is one that fits


def test_a_rate_lets_pass_what_may_fill_a_whole_context() -> None:
    """A limit of a rolling minute would never have room for it: what it used counts there once it is known."""
    found = bound(asking(1), 1_000)
    paced = found.estimate.paced
    assert paced is not None
    for measure in ("tokens", "input_tokens", "usd_net", "usd_list", "unit:input_text"):
        month = Budget(
            id="b", name="b", scope=Scope(), measure=measure, limit=10**9, window="month"
        )
        minute = replace(month, window="minute")
        assert bounded(minute, found.estimate) == bounded(month, paced)
        assert bounded(minute, found.estimate) < bounded(month, found.estimate)


def test_of_several_places_the_pace_is_the_highest_too() -> None:
    wide = bound(asking(1), 1_000)
    narrow = bound(asking(0, [Sized(characters=90_000)]), 1_000)
    both = highest([narrow, wide])
    assert both.estimate.input_tokens == wide.estimate.input_tokens
    assert both.estimate.paced is not None
    assert both.estimate.paced.input_tokens == narrow.estimate.input_tokens > ALLOWANCE
    assert both.estimate.paced.paced is None
    assert highest([narrow, narrow]).estimate.paced is None


@pytest.mark.parametrize("model", ["gpt-4o-mini", "gpt-5", "claude-opus-5-5"])
def test_the_picture_of_a_page_is_held_at_its_largest(model: str) -> None:
    under = replace(UNDER, model=model)
    counts = Counts(Count(0, Confidence.ESTIMATE))
    pages = {}
    for many in (0, 1, 2):
        request = asking(0, [Sized(pages=many)])
        pages[many] = most(BOOK, under, request, counts, Ceilings(), 1).estimate.input_tokens
    picture = {"gpt-4o-mini": 2_833 + 8 * 5_667, "gpt-5": 70 + 8 * 140}.get(model, 4_096)
    assert pages[1] - pages[0] == pages[2] - pages[1] == 3_072 + picture


def test_an_estimate_has_no_pace_of_its_own() -> None:
    assert Estimate().paced is None
