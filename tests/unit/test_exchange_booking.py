"""From reading to booking: what is billed, how it is known, under which circumstances, and how it ended."""

from collections.abc import Sequence

import msgspec
import pytest
from hypothesis import given, settings, strategies as st

from gateway.exchange.booking import (
    Counts,
    Used,
    charged,
    circumstances,
    main_total,
    outcome_of,
    priced,
    reported_input,
    served_deployment,
    tier_of,
    unheard,
    unseen,
    used,
)
from gateway.ledger.entry import Outcome
from gateway.metering.count import Confidence, Count
from gateway.metering.meter import Reading
from gateway.metering.usage import Component, Provenance, Source
from gateway.pricing.book import Book
from gateway.pricing.contract import Bargain, Contract, Term
from gateway.pricing.dimensions import Circumstances
from gateway.pricing.row import Row
from gateway.providers.contract import Deployment, Served

TOLD = (Component("main", {"input_text": 7, "output_text": 2}),)
INPUT_ONLY = (
    Component("main", {"input_text": 7, "cache_read_text": 3}, "model-b"),
    Component("guardrail", {"content_policy_units": 1}),
)
PLACED = Deployment("wire", "cloud-eu", "model-a", "data_zone", "eu", "paris", "regional")
CONFIDENCES = (Confidence.EXACT, Confidence.FORMULA, Confidence.ESTIMATE)


def counted(tokens: int, confidence: Confidence = Confidence.EXACT) -> Count:
    return Count(tokens, confidence)


COUNTS = Counts(counted(11), counted(5))


# -- what is used -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "provenance"),
    [
        (Source.PROVIDER, Provenance.REPORTED),
        (Source.REQUEST, Provenance.COUNTED),
        (Source.SHAPE, Provenance.COUNTED),
    ],
)
def test_what_the_answer_says_is_billed_as_it_stands(
    source: Source, provenance: Provenance
) -> None:
    for counts in (COUNTS, None):
        found = used(Reading(TOLD, source), 200, counts)
        assert (found.components, found.provenance) == (TOLD, provenance)


@pytest.mark.parametrize("source", Source)
@pytest.mark.parametrize("status", [300, 429, 500])
def test_a_refusal_bills_nothing_whatever_it_says(source: Source, status: int) -> None:
    found = used(Reading(TOLD, source, final=False), status, COUNTS)
    assert (found.components, found.provenance) == ((), Provenance.REPORTED)


def test_a_refusal_that_charges_its_prompt_bills_our_count_of_it() -> None:
    charging = Reading(TOLD, final=True, flags=("prompt_charged",))
    found = used(charging, 400, Counts(counted(11)))
    assert found == Used((Component("main", {"input_text": 11}),), Provenance.ESTIMATED)
    assert used(charging, 400, None) == Used((), Provenance.REPORTED)
    assert used(Reading(TOLD), 400, Counts(counted(11))) == Used((), Provenance.REPORTED)


@pytest.mark.parametrize("status", [0, 200, 299])
def test_everything_below_300_is_an_answer(status: int) -> None:
    assert used(Reading(TOLD, Source.PROVIDER), status, None).components == TOLD


def test_a_cut_stream_that_told_its_input_gets_our_count_of_the_output() -> None:
    found = used(Reading(INPUT_ONLY, Source.PARTIAL, final=False), 200, COUNTS)
    assert found.provenance is Provenance.PARTIAL
    assert found.components == (
        Component("main", {"input_text": 7, "cache_read_text": 3, "output_text": 5}, "model-b"),
        INPUT_ONLY[1],
    )


@pytest.mark.parametrize(
    ("components", "counts"),
    [
        (TOLD, COUNTS),
        ((Component("main", {"output_reasoning": 2}),), COUNTS),
        ((INPUT_ONLY[0], Component("advisor", {"output_text": 1})), COUNTS),
        (INPUT_ONLY, None),
        (INPUT_ONLY, Counts(counted(11))),
        (INPUT_ONLY, Counts(counted(11), counted(0))),
        ((), COUNTS),
    ],
    ids=["output told", "reasoning told", "by another", "no counts", "none seen", "empty", "silent"],
)  # fmt: skip
def test_a_cut_stream_keeps_what_it_told(
    components: tuple[Component, ...], counts: Counts | None
) -> None:
    found = used(Reading(components, Source.PARTIAL, final=False), 200, counts)
    assert (found.components, found.provenance) == (components, Provenance.PARTIAL)


def test_images_told_are_no_output_tokens_told() -> None:
    told = (Component("main", {"input_text": 7, "images_out": 1}),)
    found = used(Reading(told, Source.PARTIAL, final=False), 200, COUNTS)
    assert found.components == (
        Component("main", {"input_text": 7, "images_out": 1, "output_text": 5}),
    )


@pytest.mark.parametrize(
    ("counts", "provenance"),
    [
        (COUNTS, Provenance.COUNTED),
        (Counts(counted(11), counted(5, Confidence.FORMULA)), Provenance.ESTIMATED),
        (Counts(counted(11, Confidence.ESTIMATE), counted(5)), Provenance.ESTIMATED),
    ],
)
def test_silence_that_is_not_final_is_counted_by_us(counts: Counts, provenance: Provenance) -> None:
    found = used(Reading(final=False), 200, counts)
    assert found.components == (Component("main", {"input_text": 11, "output_text": 5}),)
    assert found.provenance is provenance


def test_an_answer_nobody_saw_anything_of_is_its_counted_input() -> None:
    found = used(Reading(final=False), 0, Counts(counted(11)))
    assert found.components == (Component("main", {"input_text": 11}),)
    assert found.provenance is Provenance.COUNTED


def test_what_a_silent_answer_said_beside_its_usage_is_billed_as_it_said() -> None:
    guarded = Component("guardrail", {"content_policy_units": 1})
    found = used(Reading((guarded,), final=False), 200, COUNTS)
    assert found.components == (Component("main", {"input_text": 11, "output_text": 5}), guarded)
    assert found.known


@pytest.mark.parametrize("flag", ["unmetered_format", "unmeasured"])
def test_what_was_used_and_cannot_be_counted_is_unknown_and_not_zero(flag: str) -> None:
    found = used(Reading(final=False, flags=("blind", flag)), 200, COUNTS)
    assert (found.components, found.provenance, found.known) == ((), Provenance.ESTIMATED, False)
    told = used(Reading(TOLD, Source.PROVIDER, flags=(flag,)), 200, COUNTS)
    assert (told.components, told.known) == (TOLD, True)


@pytest.mark.parametrize(
    ("guardrails", "known"), [({}, False), ({"content_policy_units": 1}, True)]
)
def test_a_count_of_nothing_at_all_is_unknown(guardrails: dict[str, int], known: bool) -> None:  # noqa: FBT001 - a column of the table
    reading = Reading((Component("guardrail", guardrails),), final=False)
    assert used(reading, 200, Counts(counted(0), counted(0))).known is known


def test_silence_that_is_final_or_uncounted_bills_nothing() -> None:
    for reading, counts in ((Reading(final=True), COUNTS), (Reading(final=False), None)):
        found = used(reading, 200, counts)
        assert (found.components, found.provenance) == ((), Provenance.REPORTED)


@settings(max_examples=30)
@given(st.sampled_from(CONFIDENCES), st.sampled_from(CONFIDENCES))
def test_two_counts_are_as_sure_as_the_weaker(one: Confidence, two: Confidence) -> None:
    weaker = max(one, two, key=CONFIDENCES.index)
    assert Counts(counted(1, one), counted(1, two)).confidence() is weaker
    assert Counts(counted(1, one)).confidence() is one


# -- what it is priced as -----------------------------------------------------------------------------


def test_an_answer_that_says_nothing_is_priced_as_deployed() -> None:
    assert circumstances("cloud", PLACED, Served(), "flex", 9) == Circumstances(
        provider="cloud", model="model-a", scope="data_zone", geo="eu", region="paris", tier="flex",
        at_us=9, provisioned=None, shadow_scope="regional",
    )  # fmt: skip


def test_what_the_answer_says_was_served_wins() -> None:
    served = Served(region="madrid", scope="global", provisioned=True)
    found = circumstances("cloud", PLACED, served, "standard", 9)
    assert (found.region, found.scope, found.provisioned) == ("madrid", "global", True)
    assert (found.model, found.geo, found.shadow_scope) == ("model-a", "eu", "regional")


def test_without_a_deployment_only_the_answer_speaks() -> None:
    assert circumstances("cloud", None, Served(region="madrid"), "standard", 9) == Circumstances(
        provider="cloud", model=None, scope=None, at_us=9, region="madrid"
    )
    assert circumstances("cloud", None, Served(), "standard", 9) == Circumstances(
        provider="cloud", model=None, scope=None, at_us=9
    )


@pytest.mark.parametrize(
    ("provisioned", "flags", "expected"),
    [
        (False, (), None),
        (False, ("spilled_over",), False),
        (True, (), True),
        (True, ("spilled_over",), True),
    ],
)
def test_paid_for_capacity_is_as_the_answer_says(
    provisioned: bool,  # noqa: FBT001 - a column of the table
    flags: tuple[str, ...],
    expected: bool | None,  # noqa: FBT001 - a column of the table
) -> None:
    served = Served(provisioned=provisioned, flags=flags)
    assert circumstances("cloud", PLACED, served, "standard", 9).provisioned is expected


@pytest.mark.parametrize(
    ("counts", "scope", "flags"),
    [
        ({"input_text": 3}, "global", ()),
        ({}, "global", ()),
        ({"input_text": 3}, "provisioned", ()),
        ({"input_text": 3, "output_text": 1}, "global", ("partial",)),
        ({"output_text": 1}, "global", ("unpriced",)),
    ],
    ids=["priced", "free", "zero_marginal", "partial", "unpriced"],
)
def test_a_price_that_is_not_whole_is_flagged_by_its_status(
    counts: dict[str, int], scope: str, flags: tuple[str, ...]
) -> None:
    terms = ("cloud", "model-a", "global", "", "", "standard")
    book = Book.compile(
        [Row(terms=terms, unit="input_text", pico=2, per=1, source="s", evidence="manual")]
    )
    under = Circumstances("cloud", "model-a", scope, 5)
    found = priced(book, under, (Component("main", counts),))
    assert (found.flags, found.circumstances) == (flags, under)
    if found.charge.status == "priced":
        assert found.charge.list_pico == 6


def test_what_was_used_is_charged_by_book_and_contract() -> None:
    terms = ("cloud", "model-a", "global", "", "", "standard")
    book = Book.compile(
        [Row(terms=terms, unit="input_text", pico=2, per=1, source="s", evidence="manual")]
    )
    under = Circumstances("cloud", "model-a", "global", 5)
    agreed = Bargain(Contract(name="c", terms=(Term(discount_bp=5_000),)))
    used_ = Used((Component("main", {"input_text": 3}),), Provenance.REPORTED)
    found = charged(book, under, used_, agreed)
    assert (found.charge.list_pico, found.charge.net_pico) == (6, 3)
    assert (found.catalog, found.contract) == (book.catalog, agreed.id)
    assert charged(book, under, used_, None).contract is None
    unknown = charged(book, under, Used((), Provenance.ESTIMATED, known=False), agreed)
    assert unknown.charge.net_pico is None


def test_what_is_not_known_has_no_price_and_not_a_price_of_zero() -> None:
    book = Book.compile([])
    found = priced(book, Circumstances("cloud", "model-a", "global", 5), (), known=False)
    assert (found.charge.list_pico, found.charge.net_pico) == (None, None)
    assert (found.charge.lines, found.flags) == ((), ("unpriced",))


@pytest.mark.parametrize(
    ("served", "asked", "charged", "flags"),
    [
        (None, "standard", "standard", ()),
        ("flex", "standard", "flex", ()),
        ("standard", "flex", "standard", ("tier_mismatch",)),
        ("flex", "flex", "flex", ()),
        ("batch", "priority", "batch", ("tier_mismatch",)),
        (None, "flex", "standard", ("tier_unconfirmed",)),
        (None, "batch", "standard", ("tier_unconfirmed",)),
        (None, "reserved", "standard", ("tier_unconfirmed",)),
        (None, "priority", "priority", ("tier_unconfirmed",)),
        (None, "fast", "fast", ("tier_unconfirmed",)),
    ],
)
def test_a_discount_counts_once_the_answer_says_it_was_given(
    served: str | None, asked: str, charged: str, flags: tuple[str, ...]
) -> None:
    assert tier_of(served, asked) == (charged, flags)


# -- what was served ----------------------------------------------------------------------------------


def canonical(provider: str, names: Sequence[str]) -> str | None:
    assert provider == "cloud"
    return names[0] if names[0].startswith("model-") else None


@pytest.mark.parametrize(
    ("deployed", "named", "billed", "flags"),
    [
        ("model-a", (), "model-a", ()),
        ("model-a", ("model-a",), "model-a", ()),
        ("model-a", ("model-b",), "model-b", ("model_mismatch",)),
        ("model-a", ("moonbeam",), "model-a", ("served_model_unknown",)),
        (None, ("model-b",), "model-b", ()),
        (None, ("moonbeam",), None, ()),
    ],
)
def test_the_model_the_answer_names_is_billed_where_the_book_knows_it(
    deployed: str | None, named: tuple[str, ...], billed: str | None, flags: tuple[str, ...]
) -> None:
    deployment = msgspec.structs.replace(PLACED, model=deployed)
    found = served_deployment("cloud", deployment, Served(model=named), canonical)
    assert found == (msgspec.structs.replace(deployment, model=billed), flags)


def test_where_nothing_was_deployed_nothing_was_served() -> None:
    found = served_deployment("cloud", None, Served(model=("model-a",)), canonical)
    assert found == (None, ())


# -- how it ended -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ended", "status", "flags", "expected"),
    [
        (Outcome.COMPLETE, 200, (), Outcome.COMPLETE),
        (Outcome.COMPLETE, 299, (), Outcome.COMPLETE),
        (Outcome.COMPLETE, 300, (), Outcome.ERROR),
        (Outcome.COMPLETE, 200, ("error_event",), Outcome.ERROR),
        (Outcome.UPSTREAM_FAILED, 500, ("error_event",), Outcome.UPSTREAM_FAILED),
        (Outcome.INTERRUPTED, 200, (), Outcome.INTERRUPTED),
    ],
)
@pytest.mark.parametrize("saw_all", [True, False])
def test_an_error_of_the_providers_outranks_a_whole_answer(
    ended: Outcome,
    status: int,
    flags: tuple[str, ...],
    expected: Outcome,
    saw_all: bool,  # noqa: FBT001 - a column
) -> None:
    assert outcome_of(Reading(flags=flags), status, ended, saw_all=saw_all) is expected


@pytest.mark.parametrize(
    ("complete", "saw_all", "status", "expected"),
    [
        (True, True, 200, Outcome.COMPLETE),
        (True, True, 500, Outcome.ERROR),
        (True, False, 200, Outcome.CLIENT_LEFT),
        (False, True, 200, Outcome.CLIENT_LEFT),
        (False, False, 500, Outcome.CLIENT_LEFT),
    ],
)
def test_who_leaves_after_seeing_everything_saw_a_whole_answer(
    complete: bool,  # noqa: FBT001 - a column of the table
    saw_all: bool,  # noqa: FBT001 - a column of the table
    status: int,
    expected: Outcome,
) -> None:
    reading = Reading(complete=complete)
    assert outcome_of(reading, status, Outcome.CLIENT_LEFT, saw_all=saw_all) is expected


# -- totals -------------------------------------------------------------------------------------------


def test_the_total_is_of_all_components_and_none_where_nothing_is_known() -> None:
    assert main_total(()) is None
    assert main_total((Component("main", {}),)) == 0
    assert main_total((*TOLD, *INPUT_ONLY)) == 19


def test_the_reported_input_is_the_main_prompt_cached_parts_included() -> None:
    parts = (
        Component(
            "main", {"input_text": 7, "cache_write": 3, "output_text": 9, "characters_in": 5}
        ),
        Component("main", {"cache_read_text": 2}),
        Component("guardrail", {"input_text": 100}),
    )
    assert reported_input(parts) == 12
    assert reported_input(()) == 0


# -- what is doubted ----------------------------------------------------------------------------------


@pytest.mark.parametrize("tier", ["batch", "flex", "reserved"])
def test_a_discount_is_charged_once_it_is_confirmed(tier: str) -> None:
    assert tier_of(tier, tier) == (tier, ())
    assert tier_of(None, tier) == ("standard", ("tier_unconfirmed",))


def test_a_dearer_tier_is_charged_as_asked_until_the_answer_says_otherwise() -> None:
    assert tier_of(None, "priority") == ("priority", ("tier_unconfirmed",))
    assert tier_of("standard", "priority") == ("standard", ("tier_mismatch",))
    assert tier_of(None, "standard") == ("standard", ())


@pytest.mark.parametrize("flag", ["unmetered_format", "unmeasured"])
def test_what_a_count_cannot_see_is_unknown_and_has_no_price(flag: str) -> None:
    found = used(Reading(final=False, flags=(flag,)), 200, COUNTS)
    assert found == Used((), Provenance.ESTIMATED, known=False)


def test_a_count_of_nothing_is_no_knowledge() -> None:
    assert not used(Reading(final=False), 200, Counts(counted(0), counted(0))).known
    assert used(Reading(final=True), 200, Counts(counted(0))).known


def test_what_is_not_known_has_no_amount_and_never_zero() -> None:
    under = Circumstances("cloud", "model-a", "global", at_us=0)
    found = priced(Book.compile([]), under, (), known=False)
    assert (found.charge.list_pico, found.charge.net_pico) == (None, None)
    assert found.flags == ("unpriced",)
    assert priced(Book.compile([]), under, ()).charge.net_pico == 0


def test_a_count_of_a_model_that_thinks_unseen_is_flagged_as_a_lower_bound() -> None:
    guess = Used(TOLD, Provenance.ESTIMATED)
    assert unseen(guess, "gpt-5.4") == ("reasoning_unseen",)
    assert unseen(guess, "gpt-4o") == ()
    assert unseen(Used(TOLD, Provenance.REPORTED), "gpt-5.4") == ()


def test_a_whole_success_without_a_byte_is_booked_by_our_count_and_named() -> None:
    told_nothing, guess = Reading(), Used(TOLD, Provenance.ESTIMATED)
    assert unheard(told_nothing, guess, Outcome.COMPLETE, silent=True) == ("empty_answer",)
    # Not where a byte came, where the answer was not whole, where it told its usage, or where nothing is booked.
    assert unheard(told_nothing, guess, Outcome.COMPLETE, silent=False) == ()
    for outcome in set(Outcome) - {Outcome.COMPLETE}:
        assert unheard(told_nothing, guess, outcome, silent=True) == ()
    for source in set(Source) - {Source.NONE}:
        assert unheard(Reading(TOLD, source), guess, Outcome.COMPLETE, silent=True) == ()
    nothing = Used((), Provenance.ESTIMATED)
    assert unheard(told_nothing, nothing, Outcome.COMPLETE, silent=True) == ()
