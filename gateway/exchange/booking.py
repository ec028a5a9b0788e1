"""From what was read to what is booked: a pure fold of admission, reading and prices into one entry."""

import msgspec

from gateway.exchange.listening import PROMPT_CHARGED
from gateway.exchange.routing import Canonical
from gateway.ledger.entry import Outcome
from gateway.metering.count import Confidence, Count
from gateway.metering.families import family_of
from gateway.metering.meter import Reading
from gateway.metering.units import INPUT_TEXT, OUTPUT_TEXT, UNITS
from gateway.metering.usage import (
    MAIN,
    Component,
    Provenance,
    Source,
    component,
    total_tokens,
)
from gateway.pricing.book import Book
from gateway.pricing.contract import Bargain
from gateway.pricing.dimensions import DISCOUNTED, GLOBAL, STANDARD, Circumstances
from gateway.pricing.rate import PROMPT, Charge, Status, rate_components
from gateway.providers.contract import Deployment, Served

NOT_AN_ANSWER = 300  # from here on a status is a refusal or an error: nothing was used
# Sound and pictures that state no usage: a count of the texts around them would be a fraction of their price.
UNSEEN = frozenset({"unmetered_format", "unmeasured"})

_KNOWN = {
    Source.REQUEST: Provenance.COUNTED,
    Source.SHAPE: Provenance.COUNTED,
}


# Named once: looking a member up in its enum is a call, and these are looked up on every request.
_BY_PROVIDER = Source.PROVIDER
_REPORTED, _ESTIMATED = Provenance.REPORTED, Provenance.ESTIMATED
_COMPLETE = Outcome.COMPLETE
_CLIENT_LEFT = Outcome.CLIENT_LEFT

_WEAKNESS = (Confidence.EXACT, Confidence.FORMULA, Confidence.ESTIMATE)


class Counts(msgspec.Struct, frozen=True):
    """tiktoken's own counts of a request and of what was seen of its answer."""

    input: Count
    output: Count | None = None

    def confidence(self) -> Confidence:
        """The weaker of the two."""
        first, output = self.input.confidence, self.output
        if output is None or output.confidence is first:
            return first
        return max(first, output.confidence, key=_WEAKNESS.index)


class Used(msgspec.Struct, frozen=True):
    """Disjoint usage with how it is known. ``known``: False where something was used and nobody knows how much."""

    components: tuple[Component, ...]
    provenance: Provenance
    known: bool = True


def used(reading: Reading, status: int, counts: Counts | None) -> Used:
    """What is billed: the provider's usage; where it is silent or cut short, what we counted.

    Errors and final answers without usage bill nothing, but for a refusal that charges the prompt it read.
    """
    if status >= NOT_AN_ANSWER:
        return _refused(reading, counts)
    source = reading.source
    if source is _BY_PROVIDER or source in _KNOWN:
        how = _REPORTED if source is _BY_PROVIDER else _KNOWN[source]
        return Used(reading.components, how)
    if source is Source.PARTIAL:
        return Used(_with_output(reading.components, counts), Provenance.PARTIAL)
    if reading.final or counts is None:
        return Used((), Provenance.REPORTED)
    return _unsaid(reading, counts)


def _refused(reading: Reading, counts: Counts | None) -> Used:
    if PROMPT_CHARGED in reading.flags and counts is not None:
        return Used(_counted(counts), Provenance.ESTIMATED)
    return Used((), Provenance.REPORTED)


def _unsaid(reading: Reading, counts: Counts) -> Used:
    """What an answer used that does not say so: our count, where a count can tell."""
    if not UNSEEN.isdisjoint(reading.flags):
        return Used((), Provenance.ESTIMATED, known=False)
    estimated = counts.confidence() is not Confidence.EXACT
    # What the answer said beside its missing usage (guardrail units) is billed as it said.
    components = (*_counted(counts), *reading.components)
    provenance = Provenance.ESTIMATED if estimated else Provenance.COUNTED
    return Used(components, provenance, known=any(part.counts for part in components))


def _counted(counts: Counts) -> tuple[Component, ...]:
    written = counts.output.tokens if counts.output else 0
    return (component({INPUT_TEXT: counts.input.tokens, OUTPUT_TEXT: written}),)


def _with_output(components: tuple[Component, ...], counts: Counts | None) -> tuple[Component, ...]:
    """A cut stream may have told its input side only: what was seen of the output is counted."""
    written = counts.output.tokens if counts and counts.output else 0
    said = any(
        UNITS[unit].direction == "output" and UNITS[unit].is_token
        for part in components
        for unit in part.counts
    )
    if said or not written or not components:
        return components
    first, *others = components
    return (component({**first.counts, OUTPUT_TEXT: written}, first.role, first.model), *others)


_WHOLE = (Status.PRICED, Status.ZERO_MARGINAL, Status.FREE)  # a tuple is searched by identity first
_UNKNOWN = Charge((), None, None, Status.UNPRICED)


class Priced(msgspec.Struct, frozen=True):
    """A charge with the circumstances it was rated under, what was odd about them, by which book and contract."""

    charge: Charge
    circumstances: Circumstances
    flags: tuple[str, ...]
    catalog: str | None = None
    contract: str | None = None


def circumstances(
    provider: str, deployment: Deployment | None, served: Served, tier: str, at_us: int
) -> Circumstances:
    """Under what an answer is priced: the deployment's scope, what the answer says was served."""
    scope = deployment.scope if deployment else None
    spilled = "spilled_over" in served.flags
    return Circumstances(
        provider=provider,
        model=deployment.model if deployment else None,
        scope=served.scope or scope,
        geo=deployment.geo if deployment else None,
        region=served.region or (deployment.region if deployment else None),
        tier=tier,
        at_us=at_us,
        # None: as the scope says; spilled over, provisioned capacity is charged pay-as-you-go.
        provisioned=True if served.provisioned else (False if spilled else None),
        shadow_scope=deployment.spill if deployment else GLOBAL,
    )


def unseen(used_: Used, model: str) -> tuple[str, ...]:
    """A flag where our count misses by its nature what may be the most of an answer: what the model thought."""
    misses = used_.provenance is _ESTIMATED and family_of(model).reasoning
    return ("reasoning_unseen",) if misses else ()


def unheard(reading: Reading, used_: Used, outcome: Outcome, *, silent: bool) -> tuple[str, ...]:
    """A flag where a success came whole and without a byte: our count of the prompt is all there is to go by.

    A success says that the prompt was taken, and providers charge for what they took; that nothing was written is no
    statement that nothing was read. So it is booked, never free, and named for whoever compares it with the bill.
    """
    guessed = bool(used_.components) and reading.source is Source.NONE
    return ("empty_answer",) if silent and guessed and outcome is _COMPLETE else ()


def tier_of(served: str | None, asked: str) -> tuple[str, tuple[str, ...]]:
    """The tier that is charged, and a flag where only the request names it.

    A header or member that the provider never read must not halve a price: a discount counts once given.
    Another tier than was asked for is charged as it was served, and flagged.
    """
    if served is not None:
        return served, () if asked in (STANDARD, served) else ("tier_mismatch",)
    if asked == STANDARD:
        return asked, ()
    return STANDARD if asked in DISCOUNTED else asked, ("tier_unconfirmed",)


def priced(
    book: Book,
    under: Circumstances,
    components: tuple[Component, ...],
    bargain: Bargain | None = None,
    *,
    known: bool = True,
) -> Priced:
    """Rate the components; names what is missing in the flags. What is not ``known`` has no price, never zero."""
    charge = rate_components(book, under, components, bargain) if known else _UNKNOWN
    flags = () if charge.status in _WHOLE else (str(charge.status),)
    return Priced(charge, under, flags, book.catalog, None if bargain is None else bargain.id)


def charged(book: Book, under: Circumstances, used_: Used, bargain: Bargain | None) -> Priced:
    """Rate what was used."""
    return priced(book, under, used_.components, bargain, known=used_.known)


def served_deployment(
    provider: str, deployment: Deployment | None, served: Served, canonical: Canonical
) -> tuple[Deployment | None, tuple[str, ...]]:
    """The deployment as it was served: the model the answer names is the one that is billed.

    A name the price book does not know leaves the mapped model, flagged.
    """
    if deployment is None or not served.model:
        return deployment, ()
    model = canonical(provider, served.model)
    if model == deployment.model:
        return deployment, ()
    if model is None:
        return deployment, ("served_model_unknown",)
    flags = ("model_mismatch",) if deployment.model is not None else ()
    return msgspec.structs.replace(deployment, model=model), flags


def outcome_of(reading: Reading, status: int, ended: Outcome, *, saw_all: bool) -> Outcome:
    """How the exchange ended, in one word: an error of the provider's outranks how the bytes ended.

    An SDK may close right at the terminal event: who was sent everything saw a complete answer.
    """
    if ended is _CLIENT_LEFT and saw_all and reading.complete:
        ended = _COMPLETE
    if ended is _COMPLETE and (status >= NOT_AN_ANSWER or "error_event" in reading.flags):
        return Outcome.ERROR
    return ended


def main_total(components: tuple[Component, ...]) -> int | None:
    """Σ of all token classes, None where nothing is known."""
    return total_tokens(components) if components else None


def reported_input(components: tuple[Component, ...]) -> int:
    """The whole prompt the provider saw in the main component (cached parts included)."""
    return sum(
        [
            count
            for part in components
            if part.role == MAIN
            for unit, count in part.counts.items()
            if unit in PROMPT
        ]
    )
