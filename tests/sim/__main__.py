"""python -m tests.sim --seeds 0:1000: play seeds, print how many a second, and the seed of every failure."""

import argparse
import sys
import time
from collections import Counter

from gateway.commands.output import CONSOLE
from tests.sim.runs import ran, replay, tools


def main() -> int:
    """The exit status: 1 where any invariant broke."""
    asked = argparse.ArgumentParser(prog="python -m tests.sim", description=__doc__)
    asked.add_argument("--seeds", default="0:1000", help="from:to")
    asked.add_argument("--story", action="store_true", help="print what happened")
    options = asked.parse_args()
    first, _, after = options.seeds.partition(":")
    tools()
    began, failed, kinds, virtual_s, count = time.monotonic(), 0, Counter[str](), 0.0, 0
    for one in ran(range(int(first), int(after))):
        count += 1
        virtual_s += one.world.clock.seconds
        kinds.update(str(row.kind) for row in one.world.store.rows.values())
        kinds["killed"] += len(one.world.dead)
        kinds["power cuts"] += len(one.world.cut_power_s)
        if options.story:
            CONSOLE.print("\n".join(one.world.story), highlight=False, markup=False)
        if one.breaches:
            failed += 1
            CONSOLE.print(f"seed {one.seed} fails; replay: {replay(one.seed)}", markup=False)
            CONSOLE.print("\n".join(f"  {text}" for text in one.breaches), markup=False)
    seconds = time.monotonic() - began
    CONSOLE.print(
        f"{count} seeds, {failed} failed, {count / seconds:.1f} seeds/s, "
        f"{virtual_s / seconds:,.0f} x real time; {dict(kinds)}",
        markup=False,
    )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
