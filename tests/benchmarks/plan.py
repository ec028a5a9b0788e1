"""Which loads run how often: rounds in which every target is measured once, in shuffled order.

Targets of one round meet the same weather of a shared machine, so ratios are taken within rounds. To spend
more time on a load: its figures in ``FULL`` and ``QUICK``.
"""

import random
from collections import defaultdict
from collections.abc import Callable
from typing import Final, NamedTuple

from tests.benchmarks.measure import Bench, Burst, Crowd, Pace, Saturation

ORDER_SEED: Final = 20261122
STREAMS_TTFB: Final = 4
PACED: Final = {
    "target": 125,
    "stretch": 175,
}  # streams of 100 chunks a second: a little above the targets
CROWD: Final = 1_000


class Scale(NamedTuple):
    """How much of each load.

    rounds     of the ratios; ``paced_rounds`` of the paced streams
    *_s        seconds of a run; ``ttfb_times``, ``burst_times``: repetitions within a run
    """

    rounds: int
    saturate_s: float
    sequential_s: float
    ttfb_times: int
    burst_times: int
    paced_rounds: int
    paced_s: float
    crowd_rounds: int


FULL: Final = Scale(7, 1.5, 0.4, 8, 25, 2, 3.0, 2)
QUICK: Final = Scale(3, 0.7, 0.25, 4, 8, 1, 1.5, 1)


class Samples(NamedTuple):
    """Every figure by target, in the order of the rounds."""

    saturation: dict[str, list[Saturation]]
    turns: dict[str, list[Saturation]]
    sequential: dict[str, list[float]]
    first_bytes: dict[str, list[float]]
    burst: dict[str, list[Burst]]
    paced: dict[str, dict[str, list[Pace]]]
    crowd: dict[str, list[Crowd]]


async def run(bench: Bench, scale: Scale, say: Callable[[str], None]) -> Samples:
    """All rounds. Raises Void or Failed where a target lost or changed something."""
    samples = Samples(
        defaultdict(list), defaultdict(list), defaultdict(list), defaultdict(list), defaultdict(list),
        {name: defaultdict(list) for name in PACED}, defaultdict(list),
    )  # fmt: skip
    order = random.Random(ORDER_SEED)
    await _warm(bench, say)
    for round_ in range(scale.rounds):
        say(f"round {round_ + 1} of {scale.rounds}")
        await _round(bench, scale, samples, order)
    for round_ in range(scale.paced_rounds):
        for load, streams in PACED.items():
            for name in _shuffled(bench, order, ("metered", "nginx")):
                say(f"paced streams, {streams} x 100/s, {name}, {round_ + 1}")
                pace = await bench.paced(bench.targets[name], streams, scale.paced_s)
                samples.paced[load][name].append(pace)
    for round_ in range(scale.crowd_rounds):
        for name in _shuffled(bench, order, ("metered", "nginx")):
            say(f"{CROWD} open streams, {name}, {round_ + 1}")
            samples.crowd[name].append(await bench.crowd(bench.targets[name], CROWD))
    return samples


async def _warm(bench: Bench, say: Callable[[str], None]) -> None:
    """Caches, pools and the adaptive interpreter settle before anything counts."""
    for name, target in bench.targets.items():
        say(f"warming up {name}")
        await bench.saturate(target, 0.5)
        await bench.burst(target, 3)


async def _round(bench: Bench, scale: Scale, samples: Samples, order: random.Random) -> None:
    for name in _shuffled(bench, order, tuple(bench.targets)):
        target = bench.targets[name]
        samples.saturation[name].append(await bench.saturate(target, scale.saturate_s))
        samples.sequential[name].append(await bench.sequential(target, scale.sequential_s))
        samples.turns[name].append(await bench.turns(target, scale.saturate_s))
    for name in _shuffled(bench, order, ("direct", "metered", "nginx")):
        target = bench.targets[name]
        samples.first_bytes[name].append(
            await bench.first_bytes(target, STREAMS_TTFB, scale.ttfb_times)
        )
        samples.burst[name].append(await bench.burst(target, scale.burst_times))


def _shuffled(bench: Bench, order: random.Random, names: tuple[str, ...]) -> list[str]:
    found = [name for name in names if name in bench.targets]
    order.shuffle(found)
    return found
