"""A cost centre's statement put together: the fold, what is known beside it, and how the amount was reached.

To add a sentence: a generator in ``_SENTENCES``.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Final

import msgspec

from gateway.kernel.money import format_usd, round_cents
from gateway.ledger.closing import State
from gateway.ledger.currencies import minor_digits
from gateway.ledger.currency import USD, Rate, from_usd, in_minor
from gateway.metering.usage import Provenance
from gateway.reporting.allocation import LIST_COST
from gateway.reporting.amounts import CENT, in_words, month_name, percent
from gateway.reporting.focus import invoice_id
from gateway.reporting.fold import PLATFORM, Account, Ledgered, people, uses
from gateway.reporting.organisation import UNALLOCATED, CostCentre
from gateway.reporting.statement import (
    Budgeted,
    Converted,
    JournalLine,
    Line,
    Seal,
    Statement,
    Summary,
)


class Books(msgspec.Struct, frozen=True, kw_only=True):
    """Where the other side of a charge goes. ``account``: of cost centres that name none."""

    platform_centre: str = "platform"
    recharge_account: str = "recharge"
    tax_account: str = "tax"
    account: str = ""


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What a statement says beside the ledger's own sums.

    counted    provenance → requests without a final report of the provider
    months     (period, cents) of earlier months, oldest first
    rates      by currency, of this month
    currency   shown beside USD to cost centres that name none of their own: what the contract is invoiced in
    prices     the price lists in force, as people name them
    reconciled what the comparison with the providers' invoices found; '' where there was none yet
    through    the day it is, of a month that is not over; '' of one that is
    """

    organisation: str = "Weighbridge"
    zone: str = "UTC"
    counted: dict[str, int] = {}
    months: tuple[tuple[int, int], ...] = ()
    budget: Budgeted = Budgeted()
    rates: dict[str, Rate] = {}
    currency: str = USD
    prices: tuple[str, ...] = ()
    reconciled: str = ""
    books: Books = Books()
    through: str = ""


class Closing(msgspec.Struct, frozen=True):
    """How far the month's close is."""

    state: State = "open"
    revision: int = 0
    seal: Seal = Seal()


def composed(
    ledgered: Ledgered, code: str, facts: Facts, closing: Closing | None = None
) -> Statement:
    """One cost centre's statement; of a code without any usage a statement of zero."""
    closing = closing or Closing()
    account = ledgered.accounts.get(code, Account())
    lines, cents, centre = ledgered.walk(code), ledgered.cents(code), ledgered.centre(code)
    found, others_use, others = people(account, lines[0].cents)
    period = ledgered.period
    currency = facts.currency if centre.currency == USD else centre.currency
    return Statement(
        number=invoice_id(period, code),
        revision=closing.revision,
        period=period,
        zone=facts.zone,
        organisation=facts.organisation,
        state=closing.state,
        centre=centre,
        cents=cents,
        metered_cents=lines[0].cents,
        requests=account.whole.requests,
        unpriced=account.whole.unpriced,
        counted=facts.counted,
        lines=lines,
        uses=uses(account, lines[0].cents),
        people=found,
        others=others,
        others_use=others_use,
        months=(*facts.months, (period, cents)),
        budget=facts.budget,
        converted=_converted(cents, facts.rates.get(currency)),
        method=(
            *(said for make in _SENTENCES for said in make(ledgered, account, facts)),
            *_currency(currency, period, facts),
        ),
        journal=journal(centre, lines, facts.books),
        seal=closing.seal,
        through=facts.through,
    )


def summarised(ledgered: Ledgered, facts: Facts, closing: Closing | None = None) -> Summary:
    """The summary of all cost centres, with what is known beside it."""
    closing = closing or Closing()
    return msgspec.structs.replace(
        ledgered.summary(),
        organisation=facts.organisation,
        zone=facts.zone,
        state=closing.state,
        revision=closing.revision,
        seal=closing.seal,
        through=facts.through,
    )


def journal(centre: CostCentre, lines: Sequence[Line], books: Books) -> tuple[JournalLine, ...]:
    """The entry in the books: debit the cost centre, credit the platform, and the tax apart."""
    cents = sum(line.cents for line in lines)
    if not centre.posts or centre.code in {UNALLOCATED, PLATFORM} or not cents:
        return ()
    tax = sum(line.cents for line in lines if line.key == "tax")
    sides = (
        (centre.code, centre.gl_account or books.account, centre.name or "inference", cents),
        (books.platform_centre, books.recharge_account, "recharge", tax - cents),
        (books.platform_centre, books.tax_account, "tax", -tax),
    )
    return tuple(
        JournalLine(code, account, text, max(amount, 0), max(-amount, 0))
        for code, account, text, amount in sides
        if amount
    )


def _converted(cents: int, rate: Rate | None) -> Converted | None:
    if rate is None:
        return None
    digits = minor_digits(rate.currency)
    whole = in_minor(from_usd(cents * CENT, rate.pico), digits)
    said = f"{format_usd(rate.pico)} for one USD"
    return Converted(rate.currency, whole, said, rate.source, month_name(rate.period), digits)


# ── how the amount was reached ───────────────────────────────────────────────────────────────────

_REASONS: Final = {
    Provenance.PARTIAL.value: "were cut off and are booked at the provider's last running count",
    Provenance.COUNTED.value: "were counted by Weighbridge, since the provider sent no usage",
    Provenance.ESTIMATED.value: "were estimated by Weighbridge from their text",
}


def _tokens(ledgered: Ledgered, account: Account, facts: Facts) -> Iterator[str]:
    requests, without = account.whole.requests, sum(facts.counted.values())
    said = "Tokens are those the provider reported with each answer"
    if not without:
        yield f"{said}, for all {requests:,} requests." if requests else f"{said}."
        return
    share = percent(without, requests, 2)
    reasons = [
        f"{count:,} {_REASONS.get(name, name)}" for name, count in sorted(facts.counted.items())
    ]
    if len(reasons) == 1:
        reason = reasons[0].partition(" ")[2]
        yield f"{said}; {without:,} of {requests:,} requests ({share}) {reason}."
        return
    yield f"{said}; {without:,} of {requests:,} requests ({share}) have no final report: {'; '.join(reasons)}."


def _prices(ledgered: Ledgered, account: Account, facts: Facts) -> Iterator[str]:
    lists = f" ({'; '.join(facts.prices)})" if facts.prices else ""
    yield f"Prices are those in force when each request began{lists}; list and negotiated price stand on every row."
    if account.whole.unpriced:
        yield (
            f"{account.whole.unpriced:,} requests have no whole price yet: what of them has a price is charged "
            "here, the rest will be charged as a correction."
        )


def _corrections(ledgered: Ledgered, account: Account, facts: Facts) -> Iterator[str]:
    if account.late:
        months = ", ".join(
            month_name(int(month[:4]) * 100 + int(month[5:])) for month in sorted(account.late)
        )
        yield f"Charges of {months} that came after its close are booked here; a closed month does not change."


_RULES: Final = {
    "proportional": "by {unit} used",
    "even": "in equal parts over those who used it",
    "fixed": "by fixed shares ({unit})",
    "central": "not shared: it stays with the platform",
}


def _shared(ledgered: Ledgered, account: Account, facts: Facts) -> Iterator[str]:
    for made in ledgered.allocations:
        cost, idle = made.cost, ""
        if made.central and cost.rule != "central":
            share = percent(made.central, cost.pico)
            count = "" if cost.unit == LIST_COST else f" ({made.idle:,} {cost.unit})"
            idle = f"; {share} was idle{count} and stays with the platform"
        rule = cost.basis or _RULES[cost.rule].format(unit=cost.unit)
        amount = in_words(round_cents(cost.pico))
        yield f"{cost.name} ({amount} in {month_name(ledgered.period)}) is shared {rule}{idle}."


def _unallocated(ledgered: Ledgered, account: Account, facts: Facts) -> Iterator[str]:
    rest = ledgered.accounts.get(UNALLOCATED)
    if rest is None or account is rest:
        return
    whole = in_words(round_cents(rest.own_pico))
    if ledgered.shared_pico:
        yield f"Usage that belongs to no cost centre ({whole} group-wide) is shared by spend."
    else:
        yield f"Usage that belongs to no cost centre ({whole} group-wide) is charged to nobody and stays with the platform."


def _currency(currency: str, period: int, facts: Facts) -> Iterator[str]:
    if currency not in {USD, *facts.rates}:
        yield f"No rate of {currency} is set for {month_name(period)}: amounts are in US dollars."


def _on_top(ledgered: Ledgered, account: Account, facts: Facts) -> Iterator[str]:
    if account.markup_pico or account.tax_pico:
        yield "Markup and tax are lines of their own, never hidden in a unit price."


def _reconciled(ledgered: Ledgered, account: Account, facts: Facts) -> Iterator[str]:
    yield facts.reconciled or "Metered and invoiced amounts have not been compared yet."


def _rounding(ledgered: Ledgered, account: Account, facts: Facts) -> Iterator[str]:
    yield "Amounts are kept to twelve decimals and rounded to the cent once, by largest remainder, so that every column sums to its total."


_SENTENCES: Final[tuple[Callable[[Ledgered, Account, Facts], Iterator[str]], ...]] = (
    _tokens,
    _prices,
    _shared,
    _unallocated,
    _corrections,
    _on_top,
    _reconciled,
    _rounding,
)
