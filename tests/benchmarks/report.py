"""From samples to verdicts: paired ratios within rounds, their median and range, and whether the target is met.

To add a line: its entry in ``lines``; the figure behind it comes from ``plan.Samples``.
"""

from collections.abc import Sequence
from statistics import median
from typing import Final, NamedTuple

from tests.benchmarks.plan import Samples

NOT_MEASURED: Final = "not measured"


class Line(NamedTuple):
    """One target: what is measured, the bar, the median with its range, and how it compares.

    ``lower`` says that less is better. ``values`` are the figures of the rounds, () where not measured.
    """

    what: str
    unit: str
    bar: float
    stretch: float | None
    values: Sequence[float]
    lower: bool = True

    @property
    def measured(self) -> float | None:
        """The median of the rounds."""
        return median(self.values) if self.values else None

    def verdict(self) -> str:
        """In one word."""
        found = self.measured
        if found is None:
            return NOT_MEASURED
        if self.stretch is not None and self._holds(found, self.stretch):
            return "stretch"
        return "met" if self._holds(found, self.bar) else "missed"

    def _holds(self, found: float, bar: float) -> bool:
        return found <= bar if self.lower else found >= bar


def lines(samples: Samples, rated: dict[str, list[float]]) -> list[Line]:
    """Every target of the product, in the order of its promise; ``rated`` of benchmarks/rating."""
    cpu = {name: [run.cpu_us for run in runs] for name, runs in samples.saturation.items()}
    waits, firsts = samples.sequential, samples.first_bytes
    paced = samples.paced["target"]["metered"]
    stretch = samples.paced["stretch"]["metered"]
    crowd = samples.crowd["metered"]
    return [
        Line("CPU per 1 KB request, metered, counted, booked", "x nginx", 8, 5.5, _paired(cpu, "metered", "nginx")),
        Line("CPU of metering without tiktoken, over unmetered", "x unmetered", 1.35, None, _paired(cpu, "uncounted", "unmetered")),
        Line("CPU with tiktoken on every request, over without", "x uncounted", 1.5, None, _paired(cpu, "metered", "uncounted")),
        Line("added latency, one client, p50", "ms", 0.6, 0.4, _added(waits, "metered")),
        Line("added time to first byte, 4 streams, p50", "ms", 1.5, 0.5, _added(firsts, "metered")),
        Line("paced streams, delivered", "chunks/s", 12_000, 17_000, [run.came for run in (*paced, *stretch)], lower=False),
        Line("CPU per paced chunk", "us", 83, None, [run.cpu_us for run in paced]),
        Line("burst of 8 x 100 chunks", "chunks/s", 70_000, None, [run.per_second for run in samples.burst["metered"]], lower=False),
        Line("memory per 1,000 open streams", "MB", 24, 20, [run.mb_per_1000 for run in crowd]),
        Line("1,000 clients leave, the last upstream closed after", "s", 0.2, None, [run.left_s for run in crowd]),
        *[Line(f"CPU of rating a request, {name}", "us", 10, None, figures) for name, figures in rated.items()],
    ]  # fmt: skip


def _paired(figures: dict[str, list[float]], one: str, other: str) -> list[float]:
    """The ratio within each round."""
    return [a / b for a, b in zip(figures.get(one, []), figures.get(other, []), strict=False) if b]


def _added(figures: dict[str, list[float]], one: str) -> list[float]:
    """What a target adds to going direct, within each round."""
    pairs = zip(figures.get(one, []), figures.get("direct", []), strict=False)
    return [found - direct for found, direct in pairs]
