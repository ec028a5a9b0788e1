"""Usage → charge: one line per unit, exact look-up, NULL where no price row covers a unit, never zero.

Amounts are whole pico-USD: quantity times price over per, rounded half up once per line and only where a row's
own ratio does not divide (a price per hour, counted in seconds). To charge a component under another
model's prices, say so in ``ROLES``.
"""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from functools import partial
from typing import Final

import msgspec

from gateway.metering.units import UNITS
from gateway.metering.usage import MAIN, Component
from gateway.pricing.book import Book
from gateway.pricing.charged import Price
from gateway.pricing.contract import Bargain
from gateway.pricing.dimensions import BATCH, STANDARD, Circumstances, key_of
from gateway.pricing.shelf import ANY_PROMPT, Span


class Status(StrEnum):
    """How a charge is known, on the row."""

    PRICED = "priced"
    PARTIAL = "partial"  # some lines have no price: no total
    UNPRICED = "unpriced"
    AMBIGUOUS = "ambiguous"  # the place decides, and it is not known
    ZERO_MARGINAL = "zero_marginal"  # capacity already paid for; list is what it would have cost
    FREE = "free"  # nothing was used that is billed


class ChargeLine(msgspec.Struct, frozen=True, gc=False):
    """One unit of one component. Amounts in pico-USD; None where no price row covers it."""

    unit: str
    quantity: int
    price_id: str | None
    list_pico: int | None
    net_pico: int | None
    role: str = MAIN
    model: str | None = None


class Charge(msgspec.Struct, frozen=True):
    """What a request costs: Σ of its lines, in pico-USD; None where a line is None."""

    lines: tuple[ChargeLine, ...]
    list_pico: int | None
    net_pico: int | None
    status: Status


_PRICED: Final = Status.PRICED  # named once: looking it up in its enum is a call
FREE: Final = Charge((), 0, 0, Status.FREE)


class Billed(msgspec.Struct, frozen=True):
    """Under which model's prices a role is charged; None: only under the model it names itself."""

    model: str | None


# Roles that are not charged at the prices of the request's own model.
ROLES: Final[dict[str, Billed]] = {
    "guardrail": Billed("guardrail"),
    "hosted_tool": Billed("hosted-tools"),
    "tool_image_gen": Billed(None),
    "transcription": Billed(None),
    "svg": Billed(None),
}


# Everything that makes a prompt long: the token units of the input direction, cached ones included.
PROMPT: Final = frozenset(
    unit.name for unit in UNITS.values() if unit.is_token and unit.direction == "input"
)


def context_tokens(counts: Mapping[str, int]) -> int:
    """The size of the whole prompt."""
    tokens = 0
    for unit, count in counts.items():
        if unit in PROMPT:
            tokens += count
    return tokens


def rate(
    book: Book, at: Circumstances, counts: Mapping[str, int], bargain: Bargain | None = None
) -> Charge:
    """Charge the counts of one component; the net is by ``bargain``, None: as list.

    Raises ValueError on a negative count.
    """
    return rate_components(book, at, (Component(MAIN, dict(counts)),), bargain)


def rate_components(
    book: Book,
    at: Circumstances,
    components: Iterable[Component],
    bargain: Bargain | None = None,
) -> Charge:
    """Charge every component of a call, each under its own model, context and role.

    A component whose model the book does not know has NULL lines: it never gets the call's own price.
    ``at.context_tokens`` speaks for the main components only. Raises ValueError on a negative count.
    """
    lines: list[ChargeLine] = []
    ambiguous = False
    for part in components:
        own = part.role == MAIN and part.model is None
        under = at if own else _under(book, at, part)
        if _add(lines, book, under, part, bargain):
            ambiguous = True
    if not lines:
        return FREE
    charge = _charge(lines, ambiguous=ambiguous)
    return _paid(charge) if at.zero_marginal() else charge


def context_tier(book: Book, at: Circumstances, part: Component) -> int:
    """The context tier that a component of a call is charged at."""
    own = part.role == MAIN and part.model is None
    under = at if own else _under(book, at, part)
    return book.context_tier(under, _context(under, part.counts))


def _add(
    lines: list[ChargeLine],
    book: Book,
    at: Circumstances,
    part: Component,
    bargain: Bargain | None,
) -> bool:
    """One line per unit of a component; a miss stays NULL. Whether one missed because the place is not known."""
    counts, role, model = part.counts, part.role, part.model
    stand = book.stand(at)
    quotes = stand.quotes(at.at_us, _context(at, counts) if stand.has_tiers else 0)
    agreed = None if bargain is None else partial(bargain.figure, key_of(at))
    ambiguous = False
    for unit, quantity in counts.items():
        if quantity < 0:
            raise ValueError(f"{unit}: a count is never negative")
        if quantity:
            found = quotes.price(unit)
            if type(found) is Price:
                net = amount = charge_of(quantity, found.pico, found.per)
                if agreed is not None:
                    net = charge_of(quantity, *agreed(unit, found))
                lines.append(ChargeLine(unit, quantity, found.id, amount, net, role, model))
            else:
                ambiguous = ambiguous or found is not None
                lines.append(ChargeLine(unit, quantity, None, None, None, role, model))
    return ambiguous


def _charge(lines: list[ChargeLine], *, ambiguous: bool) -> Charge:
    """The lines, their sums where every line has one, and how they are known."""
    total = net = 0
    for line in lines:
        if line.list_pico is None or line.net_pico is None:
            return Charge(tuple(lines), None, None, _gap(lines, ambiguous=ambiguous))
        total += line.list_pico
        net += line.net_pico
    return Charge(tuple(lines), total, net, _PRICED)


def _gap(lines: list[ChargeLine], *, ambiguous: bool) -> Status:
    """How a charge is known of which at least one line has no price."""
    if ambiguous:
        return Status.AMBIGUOUS
    is_known = any(line.list_pico is not None for line in lines)
    return Status.PARTIAL if is_known else Status.UNPRICED


def _paid(charge: Charge) -> Charge:
    """The same, of capacity that is paid for already: at no net, whatever the list says.

    That capacity is a model's: what is billed beside any model (guardrails, hosted tools) it does not serve.
    """
    lines = tuple(
        [
            msgspec.structs.replace(line, net_pico=0) if name_of(line.role) is None else line
            for line in charge.lines
        ]
    )
    net = 0
    for line in lines:
        if line.net_pico is None:
            return Charge(lines, None, None, charge.status)
        net += line.net_pico
    return Charge(lines, charge.list_pico, net, Status.ZERO_MARGINAL)


def name_of(role: str) -> str | None:
    """The name that a role is billed under beside every model; None where it is billed as a model's."""
    billed = ROLES.get(role)
    return None if billed is None else billed.model


class Steady(msgspec.Struct, frozen=True, gc=False):
    """What one unit costs under given circumstances: list and net, in pico-USD per so many.

    It is the charge that ``rate`` makes of that unit alone, while ``stands``.
    """

    unit: str
    price_id: str
    pico: int
    per: int
    net_pico: int
    net_per: int
    span: Span

    def stands(self, quantity: int, at_us: int) -> bool:
        """Whether a quantity is charged by it at an instant."""
        span = self.span
        return 0 <= quantity <= span.tokens_max and span.since_us <= at_us < span.until_us

    def charge(self, quantity: int) -> Charge:
        """The charge of a quantity."""
        if not quantity:
            return FREE
        amount = charge_of(quantity, self.pico, self.per)
        net = charge_of(quantity, self.net_pico, self.net_per)
        line = ChargeLine(self.unit, quantity, self.price_id, amount, net)
        return Charge((line,), amount, net, _PRICED)


def steady(book: Book, at: Circumstances, unit: str, bargain: Bargain | None) -> Steady | None:
    """What a unit of the main component costs, where its quantity is all that matters; None where more does.

    That is: where it has no one price, or the capacity is already paid for. ``at`` names no context.
    """
    found = book.quotes(at, 0).price(unit)
    if type(found) is not Price or at.zero_marginal():
        return None
    net = (found.pico, found.per)
    if bargain is not None:
        net = bargain.figure(key_of(at), unit, found)
    span = book.span(at, unit)
    if unit not in PROMPT or at.tier == BATCH:  # its quantity does not pick the context tier
        span = msgspec.structs.replace(span, tokens_max=ANY_PROMPT)
    return Steady(unit, found.id, found.pico, found.per, *net, span)


def charge_of(quantity: int, pico: int, per: int) -> int:
    """Pico-USD of a quantity at so many pico-USD per so many units, rounded half up."""
    return (2 * quantity * pico + per) // (2 * per)


def _under(book: Book, at: Circumstances, part: Component) -> Circumstances:
    """The circumstances a component is charged under."""
    billed = ROLES.get(part.role)
    if part.model is not None:
        model = book.canonical(at.provider, (part.model,))
    else:
        model = at.model if billed is None else billed.model
    tier = at.tier if billed is None else STANDARD
    return msgspec.structs.replace(at, model=model, tier=tier, context_tokens=None)


def _context(at: Circumstances, counts: Mapping[str, int]) -> int:
    """The prompt size that picks the context tier of a whole request."""
    if at.context_tokens is not None:
        return at.context_tokens
    # A batch reports the sum over its requests: that is nobody's prompt, however large.
    return 0 if at.tier == BATCH else context_tokens(counts)
