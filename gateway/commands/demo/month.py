"""The demo's second half: a simulated organisation's last month, closed to posted, and one statement of it.

Beside the demo's own ledger, not in it: every simulated row says so.
"""

from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Final

import msgspec
from rich.console import Group, RenderableType

from gateway import shipped
from gateway.commands.close.command import Wanted, take
from gateway.commands.simulate import simulate
from gateway.commands.statement.asked import Asked
from gateway.commands.statement.chargeback import Wanted as Form, asked_for
from gateway.commands.statement.files import WRITERS, weasyprint
from gateway.commands.statement.pictures import drawn, drawn_summary
from gateway.config import Config
from gateway.ledger.closing import State
from gateway.ledger.period import previous_period

USERS, PER_DAY, DAYS = 25, 16, 61  # two months, so that a statement has a month before it
_CONFIG: Final = """# A simulated organisation: nobody in it exists.
[storage]
folder = "{folder}"

[statements]
organisation = "Example Group"
platform_centre = "5900"
recharge_account = "652390"
account = "652310"
share_unallocated = true
"""
_STEPS: Final[Sequence[tuple[State, str, str, str]]] = (
    ("provisional", "finance", "", ""),
    ("reconciled", "finance", "A simulated month has no invoices to compare with.", ""),
    ("approved", "owner-9000", "", ""),
    ("posted", "finance", "", "1000482291"),
)


class Closed(msgspec.Struct, frozen=True):
    """What came of it: what to show, where the statement and its configuration are."""

    shown: RenderableType
    statement: Path
    config: Path
    month: str


def closed_month(folder: Path, today: date) -> Closed:
    """Simulate up to the first of this month, close the month before, write a statement of it."""
    config = folder / "month.toml"
    config.write_text(_CONFIG.format(folder=folder / "month"), encoding="utf-8")
    first = today.replace(day=1)
    simulate(users=USERS, per_day=PER_DAY, days=DAYS, until=first.isoformat(), config=config)
    configured = shipped.configured(config)
    period = previous_period(first.year * 100 + first.month)
    for to, author, note, journal in _STEPS:
        take(configured, Wanted(period=period, to=to, author=author, note=note, journal=journal, evidence=None))  # fmt: skip
    return _shown(configured, period, folder, config)


def _shown(configured: Config, period: int, folder: Path, config: Path) -> Closed:
    found, _ = asked_for(configured, Asked(period=period), Form(None, None, None, json=False))
    summary = found.summary()
    made = found.statement(summary.shares[0].centre.code)
    # Without the system's libpango the same page is there as HTML.
    suffix = ".pdf" if weasyprint() is not None else ".html"
    file = folder / f"{made.number}{suffix}"
    file.write_bytes(WRITERS[suffix](made, {}))
    month = f"{period // 100}-{period % 100:02}"
    return Closed(Group(drawn_summary(summary), "", drawn(made, {})), file, config, month)
