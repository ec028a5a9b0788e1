"""The Observer of a running gateway: figures, and one JSON line per thing worth a person's eye on stderr.

Log fields are an allow-list: no header, no body, no key ever reaches a line.
"""

import logging
import sys
from typing import TypeAlias

import msgspec

from gateway.kernel.clock import Clock, instant
from gateway.kernel.names import escaped
from gateway.ledger.entry import Entry, reported_input
from gateway.quota.alert import Alert
from gateway.quota.budget import Budget
from gateway.quota.demand import limit_at
from gateway.quota.form import amount_text
from gateway.telemetry.genai import GenAi
from gateway.telemetry.metrics import Figure, Histogram, Metrics

_LOGGER = logging.getLogger("weighbridge")


_Settled: TypeAlias = tuple[Figure, Figure, Histogram, Histogram]
"""What every settled entry of its kind adds to: entries, net, time in all and until the first byte."""


class Telemetry:
    """Implements exchange.ports.Observer and Watch; never raises, never blocks."""

    def __init__(self, metrics: Metrics, clock: Clock, genai: GenAi | None = None) -> None:
        """``genai``: figures under OpenTelemetry's names, where somebody collects them."""
        self.metrics = metrics
        self._genai = genai
        self._clock = clock
        # Kept once they are counted in: what is settled is settled on every request. Labels are small closed sets.
        self._kinds: dict[tuple[str, str, str], _Settled] = {}
        self._inputs: dict[str, tuple[Figure, Figure]] = {}

    def settled(self, entry: Entry) -> None:
        """Count an entry; say so where it has no whole price or is flagged."""
        kind = (str(entry.outcome), entry.provenance, entry.provider)
        figures = self._kinds.get(kind)
        if figures is None:
            figures = self._kinds[kind] = self._figures(*kind)
        entries, net, durations, first_bytes = figures
        entries.value += 1
        if (net_pico := entry.net_pico) is None:
            labels = (("status", entry.price_status),)
            self.metrics.add("weighbridge_unpriced_entries_total", labels)
        else:
            net.value += net_pico
        if (ms := entry.total_ms) is not None:
            durations.add(ms)
        if (ms := entry.first_byte_ms) is not None:
            first_bytes.add(ms)
        if self._genai is not None:
            self._genai.settled(entry)
        if entry.counted_input and entry.provenance == "reported":
            self._compare(entry, entry.counted_input)
        if entry.flags:
            self._flagged(entry)

    def _figures(self, outcome: str, provenance: str, provider: str) -> _Settled:
        metrics, ended = self.metrics, ("outcome", outcome)
        whole = (ended, ("provenance", provenance), ("provider", provider))
        timed = (ended, ("provider", provider))
        return (
            metrics.counter("weighbridge_entries_total", whole),
            metrics.counter("weighbridge_net_pico_usd_total", (("provider", provider),)),
            metrics.histogram("weighbridge_request_duration_seconds", timed),
            metrics.histogram("weighbridge_first_byte_seconds", timed),
        )

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
        """Count and log a failure of ours; the error's own text may hold others' data, so only its type is kept.

        A type whose cure is always the same says it as ``cure``.
        """
        self.metrics.add("weighbridge_failures_total", (("step", what),))
        cure = getattr(type(error), "cure", None)
        fields = {"cure": cure} if isinstance(cure, str) else {}
        self.log("step_failed", step=what, error=type(error).__name__, **fields)

    def waits(self, error: BaseException) -> None:
        """Count and log that the start waits for a store."""
        self.failed("start", error)

    def newer(self, revision: str) -> None:
        """Log that the database's schema is one of a later release."""
        self.log("schema_newer", revision=revision)

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
        """One JSON line, which a terminal only shows, whatever names are in it."""
        at = instant(self._clock.wall_us()).isoformat(timespec="milliseconds")
        line = msgspec.json.encode({"at": at, "event": event, **fields}).decode()
        _LOGGER.info("%s", escaped(line))


def to_stderr() -> None:
    """Send the gateway's log lines to stderr, one per line, nothing else attached."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(message)s"))
    _LOGGER.handlers[:] = [handler]
    _LOGGER.setLevel(logging.INFO)
    _LOGGER.propagate = False
