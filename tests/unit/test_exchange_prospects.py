"""What a place costs is looked up once while no price changes, and never said a moment after it changed."""

from typing import Final

import pytest
from hypothesis import given, strategies as st
from msgspec.structs import replace

from gateway.exchange import prospects as room
from gateway.exchange.booking import Priced, circumstances, priced, tier_of
from gateway.exchange.prospects import Prospects
from gateway.metering.usage import component
from gateway.pricing.book import Book
from gateway.pricing.contract import Bargain, Contract, Term
from gateway.pricing.rate import Status
from gateway.providers.contract import Deployment, Served
from tests.unit.test_pricing_rate import MILLION, row

PRICED: Final = Status.PRICED
MINUTE_US: Final = 60_000_000
CHANGE_US: Final = 7 * MINUTE_US + 12_345_678  # in the middle of a minute, as an import may say
PLACE: Final = Deployment("wire", "upstream", "model-a", "global")
PROVISIONED: Final = replace(PLACE, scope="provisioned")
HALVED: Final = Bargain(Contract(name="half", terms=(Term(discount_bp=5_001),), margin_bp=7))


def book(pico: int = 3 * MILLION) -> Book:
    """A price that changes once, a cheaper tier, and dearer prices of long prompts."""
    return Book.compile(
        [
            row("input_text", pico, until_us=CHANGE_US),
            row("input_text", 5 * MILLION, since_us=CHANGE_US),
            row("input_text", 11 * MILLION, context_gt=200),
            row("input_text", 2 * MILLION, tier="flex"),
            row("characters_in", 17, per=1000),
        ]
    )


BOOK: Final = book()


def rated(
    of: Book, place: Deployment, tier: str, bargain: Bargain | None, tokens: int, at_us: int
) -> Priced:
    """The same without anything remembered."""
    under = circumstances("cloud", place, Served(), tier, at_us)
    charged = replace(under, tier=tier_of(None, tier)[0])
    estimate = priced(of, charged, (component({"input_text": tokens}),), bargain)
    return replace(estimate, circumstances=under)


@given(
    st.lists(
        st.tuples(
            st.sampled_from([PLACE, PROVISIONED, replace(PLACE, model="unheard-of")]),
            st.sampled_from(["standard", "flex", "priority"]),
            st.sampled_from([None, HALVED]),
            st.integers(0, 400),
            st.integers(CHANGE_US - 2 * MINUTE_US, CHANGE_US + 2 * MINUTE_US)
            | st.sampled_from([CHANGE_US - 1, CHANGE_US]),
        ),
        max_size=12,
    )
)
def test_what_is_remembered_is_what_would_be_rated_anew(
    asked: list[tuple[Deployment, str, Bargain | None, int, int]],
) -> None:
    prospects = Prospects(lambda: BOOK)
    for place, tier, bargain, tokens, at_us in asked:
        found = prospects.of("cloud", place, tier, bargain, at_us)
        assert found.estimate(tokens, {}, at_us) == rated(BOOK, place, tier, bargain, tokens, at_us)


def test_what_a_request_bills_itself_is_rated_whatever_is_remembered() -> None:
    prospect = Prospects(lambda: BOOK).of("cloud", PLACE, "standard", None, 0)
    (line,) = prospect.estimate(9, {"characters_in": 2_000}, 0).charge.lines
    assert (line.unit, line.quantity, line.net_pico) == ("characters_in", 2_000, 34)


def test_another_book_is_asked_from_the_request_on_that_follows_it() -> None:
    books = [BOOK]
    prospects = Prospects(lambda: books[-1])
    assert prospects.of("cloud", PLACE, "standard", None, 0).estimate(1, {}, 0).charge.net_pico == 3
    books.append(book(4 * MILLION))
    estimate = prospects.of("cloud", PLACE, "standard", None, 0).estimate(1, {}, 0)
    assert (estimate.charge.net_pico, estimate.catalog) == (4, books[-1].catalog)
    books.append(Book.compile([row("input_text", 1, model="model-b")]))
    assert prospects.of("cloud", PLACE, "standard", None, 0).status is Status.UNPRICED


def test_a_price_that_begins_or_ends_in_the_middle_of_a_minute_does_so_at_that_instant() -> None:
    end_us = CHANGE_US + 9
    some = Book.compile([row("input_text", MILLION, since_us=CHANGE_US, until_us=end_us)])
    prospects = Prospects(lambda: some)
    instants = (CHANGE_US - 1, CHANGE_US, end_us - 1, end_us)
    for instants_us in (instants, instants[::-1]):  # a clock may be set back
        told = [prospects.of("cloud", PLACE, "standard", None, at_us) for at_us in instants_us]
        priced_at = [us for us, one in zip(instants_us, told, strict=True) if one.status is PRICED]
        assert sorted(priced_at) == [CHANGE_US, end_us - 1]


def test_what_is_charged_at_another_tier_than_asked_is_worked_out_anew_where_that_one_changes() -> (
    None
):
    """A discount is not given before it is confirmed: until then the standard price counts."""
    prospects = Prospects(lambda: BOOK)
    before, after = (
        prospects.of("cloud", PLACE, "flex", None, CHANGE_US - back) for back in (1, 0)
    )
    assert before.steady is not None
    assert after.steady is not None
    assert (before.steady.pico, after.steady.pico) == (3 * MILLION, 5 * MILLION)
    assert prospects.of("cloud", PLACE, "flex", None, CHANGE_US + 10**15) is after


def test_places_are_forgotten_before_there_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "PROSPECTS_MAX", 3)
    prospects = Prospects(lambda: BOOK)
    for number in range(20):
        place = replace(PLACE, wire=f"name-{number}")
        assert prospects.of("cloud", place, "standard", None, 0).deployment is place
        assert len(prospects._known) <= 3
