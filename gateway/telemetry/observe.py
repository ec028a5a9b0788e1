"""The Observer of a running gateway: figures, and one JSON line per thing worth a person's eye on stderr.

Log fields are an allow-list: no header, no body, no key ever reaches a line.
"""

import logging
import sys

import msgspec

from gateway.kernel.clock import Clock, instant
from gateway.ledger.entry import Entry, reported_input
from gateway.quota.alert import Alert
from gateway.quota.budget import Budget
from gateway.quota.demand import limit_at
from gateway.quota.form import amount_text
from gateway.telemetry.metrics import Figure, Metrics

_LOGGER = logging.getLogger("weighbridge")


class Telemetry:
    """Implements exchange.ports.Observer and Watch; never raises, never blocks."""

    def __init__(self, metrics: Metrics, clock: Clock) -> None:
        self.metrics = metrics
        self._clock = clock
        # Kept once they are counted in: what is settled is settled on every request. Labels are small closed sets.
        self._entries: dict[tuple[str, str, str], Figure] = {}
        self._net: dict[str, Figure] = {}
        self._inputs: dict[str, tuple[Figure, Figure]] = {}

    def settled(self, entry: Entry) -> None:
        """Count an entry; say so where it has no whole price or is flagged."""
        provider = entry.provider
        kind = (str(entry.outcome), entry.provenance, provider)
        entries = self._entries.get(kind)
        if entries is None:
            labels = tuple(zip(("outcome", "provenance", "provider"), kind, strict=True))
            entries = self.metrics.counter("weighbridge_entries_total", labels)
            self._entries[kind] = entries
        entries.value += 1
        if entry.net_pico is None:
            self.metrics.add(
                "weighbridge_unpriced_entries_total", (("status", entry.price_status),)
            )
        else:
            net = self._net.get(provider)
            if net is None:
                labels = (("provider", provider),)
                net = self.metrics.counter("weighbridge_net_pico_usd_total", labels)
                self._net[provider] = net
            net.value += entry.net_pico
        if entry.counted_input and entry.provenance == "reported":
            self._compare(entry, entry.counted_input)
        if entry.flags:
            self._flagged(entry)

    def _compare(self, entry: Entry, counted: int) -> None:
        """Reported against counted input: the quotient of both counters is the drift watch's ratio."""
        figures = self._inputs.get(entry.provider)
        if figures is None:
            name, provider = "weighbridge_input_tokens_total", ("provider", entry.provider)
            figures = (
                self.metrics.counter(name, (("by", "reported"), provider)),
                self.metrics.counter(name, (("by", "counted"), provider)),
            )
            self._inputs[entry.provider] = figures
        figures[0].value += reported_input(entry)
        figures[1].value += counted

    def _flagged(self, entry: Entry) -> None:
        for flag in entry.flags:
            self.metrics.add("weighbridge_flagged_entries_total", (("flag", flag),))
        self.log(
            "entry_flagged",
            entry=str(entry.id),
            model=entry.model or "",
            flags=" ".join(entry.flags),
        )

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
