"""Running seeds: one at a time, each in a folder of its own, with the gateway's tables loaded once."""

import tempfile
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

from gateway import shipped
from tests.sim.checks import breaches
from tests.sim.worker import Parts, Tools
from tests.sim.world import World

MEMORY: Final = Path("/dev/shm")  # a folder of our own is made below it
REPLAY: Final = "python -m tests.sim --seeds {seed}:{after} --story"


class Ran(NamedTuple):
    """A seed that was played."""

    seed: int
    world: World
    breaches: list[str]


@cache
def tools() -> Tools:
    """Vocabulary and prices, once a process."""
    return Tools(shipped.counter(), shipped.price_book(shipped.configured(None, {})))


def ran(seeds: Iterable[int], parts: Parts = Parts()) -> Iterator[Ran]:  # noqa: B008 - frozen
    """Play each seed and check it."""
    under = MEMORY if MEMORY.is_dir() else None
    with tempfile.TemporaryDirectory(prefix="wb-sim-", dir=under) as folder:
        for number, seed in enumerate(seeds):
            root = Path(folder) / f"run-{number}"
            root.mkdir()
            world = World(seed, root, tools(), parts)
            world.play()
            yield Ran(seed, world, breaches(world))


def replay(seed: int) -> str:
    """The command that plays one seed again."""
    return REPLAY.format(seed=seed, after=seed + 1)
