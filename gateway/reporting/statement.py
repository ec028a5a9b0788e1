"""The monthly statement of a cost centre and the summary of all, as values: frozen, printed in every form.

Amounts are whole cents of USD. To add a part: a field here, where it comes from in ``fold``, and its place in
every form (page, tabular, sheets, the terminal's picture). Kept documents of closed months are decoded into these
structs: a new field has a default, and no field changes its meaning.
"""

from typing import Final

import msgspec

from gateway.ledger.closing import State
from gateway.ledger.currencies import CENTS
from gateway.reporting.organisation import CostCentre

PEOPLE_MAX: Final = 10


class Line(msgspec.Struct, frozen=True):
    """A line of the walk. ``key``: metered, discount:…, shared:…, unallocated, correction:2026-09, markup, tax."""

    key: str
    text: str
    note: str
    cents: int


NO_PRICE: Final = "not in the price book"  # where a model's name would stand


class Use(msgspec.Struct, frozen=True):
    """Use of an application and model, or of a person; tokens by class, the amount at list price."""

    app: str
    model: str
    provider: str
    user: str
    requests: int
    uncached: int
    cached: int
    written: int
    output: int
    cents: int


class Budgeted(msgspec.Struct, frozen=True):
    """The cost centre's limits, in cents; None where it has none of the month or of the year."""

    month_cents: int | None = None
    year_cents: int | None = None


class Converted(msgspec.Struct, frozen=True):
    """The amount charged in the cost centre's own currency; rate, its source and its month as people read them.

    minor   whole minor units of the currency: yen, cents, fils
    digits  how many decimals they are; 2 on what was kept before currencies had their own
    """

    currency: str
    minor: int = msgspec.field(name="cents")  # as kept statements have it
    rate: str
    source: str
    day: str
    digits: int = CENTS


class JournalLine(msgspec.Struct, frozen=True):
    """A line of the entry in the books; debits and credits of a statement are equal."""

    centre: str
    account: str
    text: str
    debit_cents: int
    credit_cents: int

    @property
    def said(self) -> str:
        """Account and text for people, once where they are the same word."""
        return self.account if self.account == self.text else f"{self.account} {self.text}"


class Seal(msgspec.Struct, frozen=True):
    """What makes a closed month's figures provable; texts are empty until they are known.

    rows          how many ledger rows of the period the digest is over
    digest        SHA-256 over them, in hex
    """

    rows: int = 0
    digest: str = ""
    approved_by: str = ""
    approved_at: str = ""
    posted_by: str = ""
    posted_at: str = ""
    journal: str = ""


class Statement(msgspec.Struct, frozen=True, kw_only=True):
    """What one cost centre is charged for one period.

    ``lines`` sum to ``cents``, ``uses`` and people with others to ``metered_cents``, journal debits to credits.
    counted  provenance → requests whose tokens have no final report of the provider
    months   (period, cents) oldest first, this one last
    through  of a month that is not over the day it was made on (ISO), which is in it; '' of one that is
    """

    number: str
    revision: int = 0
    period: int
    zone: str = "UTC"
    organisation: str = "Weighbridge"
    state: State = "open"
    centre: CostCentre
    cents: int
    metered_cents: int
    requests: int
    unpriced: int
    counted: dict[str, int] = {}
    lines: tuple[Line, ...] = ()
    uses: tuple[Use, ...] = ()
    people: tuple[Use, ...] = ()
    others: int = 0
    others_use: Use = Use("", "", "", "", 0, 0, 0, 0, 0, 0)
    months: tuple[tuple[int, int], ...] = ()
    budget: Budgeted = Budgeted()
    converted: Converted | None = None
    method: tuple[str, ...] = ()
    journal: tuple[JournalLine, ...] = ()
    seal: Seal = Seal()
    through: str = ""

    @property
    def title(self) -> str:
        """Code and name of the cost centre."""
        return f"{self.centre.code} {self.centre.name}".strip() or "Unallocated"

    @property
    def year_to_date(self) -> int:
        """What was charged in the months of the period's calendar year that are known, in cents."""
        return sum(cents for period, cents in self.months if period // 100 == self.period // 100)


class Share(msgspec.Struct, frozen=True):
    """A cost centre's row of the summary."""

    centre: CostCentre
    requests: int
    cents: int
    unpriced: int


class Part(msgspec.Struct, frozen=True):
    """A part of the ledger's sum, under a name."""

    name: str
    cents: int


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """Every cost centre of a period: largest first, the platform's own and unallocated last.

    The shares sum to ``cents``, and so do ``parts`` (ledger, shared cost, markup, tax); ``teams`` and ``providers``
    each sum to the ledger's part. ``through`` as of a statement.
    """

    period: int
    revision: int = 0
    organisation: str = "Weighbridge"
    zone: str = "UTC"
    state: State = "open"
    shares: tuple[Share, ...]
    requests: int
    cents: int
    unpriced: int = 0
    parts: tuple[Part, ...] = ()
    teams: tuple[Part, ...] = ()
    providers: tuple[Part, ...] = ()
    seal: Seal = Seal()
    through: str = ""
