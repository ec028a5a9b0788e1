"""Counters, gauges and histograms in memory, read as samples. To add one: a line in ``METRICS`` and a call."""

from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping
from typing import Final, TypeAlias

from gateway.telemetry.exposition import Labels, Sample, exposition

# name → (type, help). Documented here, tested against docs/operate.md.
METRICS: Final[Mapping[str, tuple[str, str]]] = {
    "weighbridge_entries_total": (
        "counter",
        "Entries settled, by provider, outcome and provenance.",
    ),
    "weighbridge_refusals_total": (
        "counter",
        "Requests the gateway itself refused, by provider and code.",
    ),
    "weighbridge_failures_total": ("counter", "Failures of the gateway's own steps, by step."),
    "weighbridge_unpriced_entries_total": ("counter", "Entries booked without a whole price."),
    "weighbridge_flagged_entries_total": (
        "counter",
        "Entries by flag: unbalanced, model_mismatch, ...",
    ),
    "weighbridge_input_tokens_total": (
        "counter",
        "Input tokens of answers with reported usage, by provider, and by whom: reported or counted.",
    ),
    "weighbridge_net_pico_usd_total": ("counter", "Net charges booked, in pico-USD, by provider."),
    "weighbridge_request_duration_seconds": (
        "histogram",
        "From a request's arrival until its entry is settled, by outcome and provider.",
    ),
    "weighbridge_first_byte_seconds": (
        "histogram",
        "From a request's arrival until the first byte of its answer, by outcome and provider.",
    ),
    "weighbridge_budget_alerts_total": ("counter", "Alerts of budgets raised, by kind."),
    "weighbridge_attempts_total": (
        "counter",
        "Attempts of calls that have several places, by upstream and how they ended.",
    ),
    "weighbridge_failovers_total": (
        "counter",
        "Requests sent elsewhere after an upstream had not served them, by that upstream.",
    ),
    "weighbridge_breaker_changes_total": (
        "counter",
        "Changes of breakers, by upstream and new state.",
    ),
    "weighbridge_open_breakers": ("gauge", "Places that are skipped now, but for a probe."),
    "weighbridge_spool_pending": ("gauge", "Settled entries not yet in the ledger."),
    "weighbridge_claims_waiting": ("gauge", "Claims of kept things not yet in the database."),
    "weighbridge_batches_overdue": ("gauge", "Batches that should have been asked by now."),
    "weighbridge_open_holds": ("gauge", "Requests that hold something of a budget."),
    "weighbridge_quota_waiting": (
        "gauge",
        "Reservations and settlements that the store of budgets has not taken yet.",
    ),
    "weighbridge_spool_bytes": ("gauge", "Bytes in the worker's journal."),
    "weighbridge_spool_lag_seconds": (
        "gauge",
        "Age of the oldest journal file that holds an entry not yet in the ledger.",
    ),
    "weighbridge_orphan_spools": ("gauge", "Journals of dead workers, not yet adopted."),
    "weighbridge_disk_free_bytes": ("gauge", "Free bytes where the journal lies."),
    "weighbridge_open_exchanges": ("gauge", "Requests in flight."),
    "weighbridge_price_import": ("gauge", "Number of the last import of prices in the book."),
    "weighbridge_price_book_stale": (
        "gauge",
        "1 where imported prices make no book with this machine's files: the last good one goes on.",
    ),
}

# Milliseconds, since rows have them in whole ones; the last is the longest that an answer may take to begin.
BOUNDS_MS: Final = (
    *(5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000),
    *(30_000, 60_000, 120_000, 300_000, 600_000),
)


class Figure:
    """One counter under one set of labels. Who counts often keeps it, and adds to ``value``."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0


class Histogram:
    """Whole numbers under one set of labels, by bucket, so that the sum is exact; by default milliseconds."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[int, ...] = BOUNDS_MS) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)  # each bucket's own; the last is of what is beyond
        self.total = 0

    def add(self, value: int) -> None:
        """Count a value. On the hot path."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def copy(self) -> "Histogram":
        """As it is now, for another thread."""
        found = Histogram(self.bounds)
        found.counts, found.total = list(self.counts), self.total
        return found

    def samples(self, name: str, labels: Labels) -> Iterator[Sample]:
        """Of milliseconds: cumulative buckets, sum and count, in seconds."""
        count = 0
        edges = (*(f"{bound / 1000:g}" for bound in self.bounds), "+Inf")
        for le, within in zip(edges, self.counts, strict=True):
            count += within
            yield Sample(name, "_bucket", (*labels, ("le", le)), str(count))
        yield Sample(name, "_sum", labels, f"{self.total // 1000}.{self.total % 1000:03d}")
        yield Sample(name, "_count", labels, str(count))


Reading: TypeAlias = tuple[str, Labels, int | Histogram]
"""A figure as it is now: its family's name, its labels, its value."""


class Metrics:
    """A process's figures. Labels are small closed sets; no user, team or model ever becomes one."""

    def __init__(self) -> None:
        self._counters: dict[tuple[str, Labels], Figure] = {}
        self._histograms: dict[tuple[str, Labels], Histogram] = {}
        self._gauges: dict[str, Callable[[], int]] = {}

    def add(self, name: str, labels: Labels = (), amount: int = 1) -> None:
        """Add to a counter, whose name must be registered."""
        self.counter(name, labels).value += amount

    def counter(self, name: str, labels: Labels = ()) -> Figure:
        """A counter to be kept; it is shown from now on. Its name must be registered."""
        assert name in METRICS, name
        key = (name, labels)
        found = self._counters.get(key)
        if found is None:
            found = self._counters[key] = Figure()
        return found

    def histogram(self, name: str, labels: Labels) -> Histogram:
        """A histogram to be kept; it is shown from now on. Its name must be registered."""
        assert name in METRICS, name
        return self._histograms.setdefault((name, labels), Histogram())

    def gauge(self, name: str, read: Callable[[], int]) -> None:
        """Register where a gauge is read from."""
        assert name in METRICS, name
        self._gauges[name] = read

    def read(self) -> list[Reading]:
        """Every figure as it is now, each family's in a fixed order."""
        found: list[Reading] = [(name, (), int(read())) for name, read in self._gauges.items()]
        found += [(*key, self._counters[key].value) for key in sorted(self._counters)]
        return found + [(*key, self._histograms[key]) for key in sorted(self._histograms)]

    def samples(self) -> list[Sample]:
        """The same as lines of a scrape."""
        found: list[Sample] = []
        for name, labels, value in self.read():
            if isinstance(value, Histogram):
                found += value.samples(name, labels)
            else:
                found.append(Sample(name, "", labels, str(value)))
        return found

    def render(self) -> str:
        """This worker's figures alone, as Prometheus text."""
        return exposition(METRICS, [((), self.samples())])
