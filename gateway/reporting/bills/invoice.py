"""A provider's bill folded: token meters by account, day and model; everything else listed apart, nothing dropped.

To add something that is listed apart: a kind of Charge and its place in ``Folding.add``.
"""

from collections import defaultdict
from decimal import Decimal

import msgspec

from gateway.reporting.bills.charge import ELSEWHERE, USAGE, Charge
from gateway.reporting.bills.meter import Meter, Reading

EXAMPLES_MAX = 20


class Invoiced(msgspec.Struct, frozen=True):
    """What a bill says of one meter on one day. ``pico``: USD."""

    account: str
    day: str
    name: str
    meter: Meter
    tokens: int
    pico: int
    rows: int


class Apart(msgspec.Struct, frozen=True):
    """What is no token of inference, or could not be read. ``why``: tax, credit, purchase, other, unread …"""

    why: str
    account: str
    name: str
    rows: int
    pico: int


class Bill(msgspec.Struct, frozen=True):
    """A folded bill. ``numbers``: the invoices it is of. ``elsewhere``: rows of other services, passed over.

    ``refused``: rows whose quantity times unit price is not their cost, in words; they are among ``apart``
    with why 'refused'. Every inference row is in exactly one of ``tokens`` and ``apart``.
    """

    cloud: str
    numbers: tuple[str, ...]
    tokens: tuple[Invoiced, ...]
    apart: tuple[Apart, ...]
    refused: tuple[str, ...]
    rows: int
    elsewhere: int
    pico: int

    @property
    def unread(self) -> list[Apart]:
        """Meters whose name could not be read."""
        return [one for one in self.apart if one.why in ("unread", "refused")]


class Folding:
    """Folds rows one by one, in memory bounded by the meters, accounts and days there are."""

    def __init__(self, cloud: str) -> None:
        self._cloud = cloud
        self._tokens: dict[tuple[str, str, str, Meter], list[Decimal]] = {}
        self._apart: dict[tuple[str, str, str], list[int]] = defaultdict(lambda: [0, 0])
        self._refused: list[str] = []
        self._numbers: set[str] = set()
        self._rows = self._elsewhere = self._pico = 0

    def add(self, charge: Charge, reading: Reading) -> None:
        """Take a row in."""
        if charge.kind == ELSEWHERE:
            self._elsewhere += 1
            return
        self._rows += 1
        self._pico += charge.pico
        if charge.invoice:
            self._numbers.add(charge.invoice)
        why = self._why(charge, reading)
        if why:
            sums = self._apart[why, charge.account, charge.meter or charge.description]
            sums[0] += 1
            sums[1] += charge.pico
            return
        assert isinstance(reading, Meter)
        key = (charge.account, charge.day, charge.meter, reading)
        tokens = self._tokens.setdefault(key, [Decimal(0), Decimal(0), Decimal(0)])
        tokens[0] += charge.tokens
        tokens[1] += charge.pico
        tokens[2] += 1

    def bill(self) -> Bill:
        """The whole."""
        tokens = [
            Invoiced(account, day, name, meter, int(sums[0].to_integral_value()), int(sums[1]), int(sums[2]))
            for (account, day, name, meter), sums in self._tokens.items()
        ]  # fmt: skip
        tokens.sort(key=lambda one: (one.account, one.name, one.day))
        apart = [Apart(*key, *sums) for key, sums in sorted(self._apart.items())]
        return Bill(
            cloud=self._cloud,
            numbers=tuple(sorted(self._numbers)),
            tokens=tuple(tokens),
            apart=tuple(apart),
            refused=tuple(self._refused),
            rows=self._rows,
            elsewhere=self._elsewhere,
            pico=self._pico,
        )

    def _why(self, charge: Charge, reading: Reading) -> str:
        """Why a row is apart; '' where it is tokens."""
        if charge.kind != USAGE:
            return charge.kind
        if reading is None:
            return "unread"
        if not isinstance(reading, Meter):
            return "other"
        if not charge.ties():
            if len(self._refused) < EXAMPLES_MAX:
                self._refused.append(
                    f"{charge.day} {charge.meter}: {charge.quantity} times {charge.unit_price} is not {charge.cost}"
                )
            return "refused"
        return ""
