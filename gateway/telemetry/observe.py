"""The Observer of a running gateway: figures, and one JSON line per thing worth a person's eye on stderr.

Log fields are an allow-list: no header, no body, no key ever reaches a line.
"""

import logging
import sys

import msgspec

from gateway.kernel.clock import Clock, instant
from gateway.ledger.entry import Entry, reported_tokens
from gateway.quota.alert import Alert
from gateway.quota.budget import Budget
from gateway.quota.demand import limit_at
from gateway.quota.form import amount_text
from gateway.telemetry.metrics import Metrics

_LOGGER = logging.getLogger("weighbridge")


class Telemetry:
    """Implements exchange.ports.Observer and Watch; never raises, never blocks."""

    def __init__(self, metrics: Metrics, clock: Clock) -> None:
        self.metrics = metrics
        self._clock = clock

    def settled(self, entry: Entry) -> None:
        """Count an entry; say so where it has no whole price or is flagged."""
        labels = (
            ("outcome", str(entry.outcome)),
            ("provenance", entry.provenance),
            ("provider", entry.provider),
        )
        self.metrics.add("weighbridge_entries_total", labels)
        if entry.net_pico is None:
            self.metrics.add(
                "weighbridge_unpriced_entries_total", (("status", entry.price_status),)
            )
        else:
            amount = entry.net_pico
            self.metrics.add(
                "weighbridge_net_pico_usd_total", (("provider", entry.provider),), amount
            )
        self._compared(entry)
        for flag in entry.flags:
            self.metrics.add("weighbridge_flagged_entries_total", (("flag", flag),))
        if entry.flags:
            self.log(
                "entry_flagged",
                entry=str(entry.id),
                model=entry.model or "",
                flags=" ".join(entry.flags),
            )

    def _compared(self, entry: Entry) -> None:
        """Reported against counted input: the quotient of both counters is the drift watch's ratio."""
        if entry.counted_input and entry.provenance == "reported":
            provider = ("provider", entry.provider)
            reported, _ = reported_tokens(entry)
            for by, tokens in (("reported", reported), ("counted", entry.counted_input)):
                self.metrics.add("weighbridge_input_tokens_total", (("by", by), provider), tokens)

    def refused(self, provider: str, code: str) -> None:
        """Count a refusal."""
        self.metrics.add("weighbridge_refusals_total", (("code", code), ("provider", provider)))

    def failed(self, what: str, error: BaseException) -> None:
        """Count and log a failure of ours; the error's own text may hold others' data, so only its type is kept."""
        self.metrics.add("weighbridge_failures_total", (("step", what),))
        self.log("step_failed", step=what, error=type(error).__name__)

    def tried(self, upstream: str, ended: str) -> None:
        """Count an attempt of a call that has several places."""
        labels = (("ended", ended), ("upstream", upstream))
        self.metrics.add("weighbridge_attempts_total", labels)

    def left(self, upstream: str) -> None:
        """Count a request that an upstream did not serve, and which was sent elsewhere."""
        self.metrics.add("weighbridge_failovers_total", (("upstream", upstream),))

    def turned(self, upstream: str, location: str, name: str, state: str) -> None:
        """Count and log a change of a place's breaker."""
        labels = (("state", state), ("upstream", upstream))
        self.metrics.add("weighbridge_breaker_changes_total", labels)
        self.log("breaker", upstream=upstream, location=location, model=name, state=state)

    def alerted(self, budget: Budget, alert: Alert) -> None:
        """Count and log an alert of a budget, which this process was the first to raise."""
        self.metrics.add("weighbridge_budget_alerts_total", (("kind", alert.kind),))
        self.log(
            "budget_alert",
            budget=budget.name,
            subject=alert.key.subject,
            kind=alert.kind,
            percent=str(alert.percent),
            used=amount_text(budget.measure, alert.used),
            limit=amount_text(budget.measure, limit_at(budget, alert.at_us)),
        )

    def log(self, event: str, **fields: str) -> None:
        """One JSON line."""
        at = instant(self._clock.wall_us()).isoformat(timespec="milliseconds")
        _LOGGER.info(msgspec.json.encode({"at": at, "event": event, **fields}).decode())


def to_stderr() -> None:
    """Send the gateway's log lines to stderr, one per line, nothing else attached."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(message)s"))
    _LOGGER.handlers[:] = [handler]
    _LOGGER.setLevel(logging.INFO)
    _LOGGER.propagate = False
