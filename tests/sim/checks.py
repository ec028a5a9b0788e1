"""What must be true after every run, whatever went wrong in it: the invariants I1 to I5 of the design."""

from collections import Counter
from collections.abc import Iterator
from typing import Final

from gateway.ledger.digest import split_ids
from gateway.ledger.entry import Entry, EntryKind, Line, Outcome
from gateway.ledger.rollup import roll
from gateway.storage.snapshots import BudgetSnapshot
from tests.sim.store import BUDGETS
from tests.sim.world import World

FAILURES_EXPECTED: Final = frozenset({"flush", "adopt", "spool"})
FINAL: Final = frozenset({EntryKind.USAGE, EntryKind.INTERRUPTED, EntryKind.UNCONFIRMED})


def breaches(world: World) -> list[str]:
    """Every breach in words; [] where all holds."""
    return [
        *_one_row_each(world),
        *_complete_is_durable(world),
        *_amounts(world),
        *_sums(world),
        *_nothing_left(world),
        *_nothing_odd(world),
    ]


def rows_by_call(world: World) -> dict[str, list[Entry]]:
    """The final rows, by the call's own name."""
    found: dict[str, list[Entry]] = {}
    for row in world.store.rows.values():
        if row.kind in FINAL:
            found.setdefault(row.client_call_id or "", []).append(row)
    return found


def _one_row_each(world: World) -> Iterator[str]:
    """I1: an attempt that was forwarded has exactly one final row; only a power cut may take an open one."""
    rows = rows_by_call(world)
    for call, times in Counter(world.upstreams.forwarded).items():
        count = len(rows.get(call, ()))
        if times != 1 or count > 1 or (count == 0 and call not in world.excused):
            yield f"{call}: forwarded {times} times, {count} final rows"
    for call in set(rows) - set(world.upstreams.forwarded):
        if rows[call][0].kind is not EntryKind.INTERRUPTED:
            yield f"{call}: never forwarded, and yet a row of kind {rows[call][0].kind}"


def _complete_is_durable(world: World) -> Iterator[str]:
    """I4: what a client has whole from the provider is a usage row, through every crash."""
    rows = rows_by_call(world)
    for call, got in world.truth.items():
        if not got.whole or call not in world.upstreams.forwarded or got.status >= 500:
            continue
        kinds = [row.kind for row in rows.get(call, ())]
        if kinds != [EntryKind.USAGE]:
            yield f"{call}: the client has it whole, its rows are {kinds}"


def _amounts(world: World) -> Iterator[str]:
    """I2 and I3: complete answers are booked as the provider counted them, at a price."""
    said: dict[str, tuple[Line, ...]] = {}
    for row in world.store.rows.values():
        plan = world.plans[row.client_call_id or ""]
        is_plain = plan.fault.kind != "garbage" and row.provenance == "reported"
        if is_plain and row.outcome is Outcome.COMPLETE and row.kind is EntryKind.USAGE:
            if said.setdefault(plan.case, row.lines) != row.lines:
                yield f"{plan.call}: other lines than the same answer had before"
            if row.net_pico is not None and row.net_pico <= 0:
                yield f"{plan.call}: a complete answer that costs {row.net_pico}"
        if row.net_pico is not None and row.kind in FINAL and row.net_pico < 0:
            yield f"{plan.call}: a negative charge"


def _sums(world: World) -> Iterator[str]:
    """Rollup, counters and chain hold the rows, each once."""
    if roll(world.store.rows.values()) != world.store.rollup:
        yield "the rollup is not the sum of the rows"
    budgets = BudgetSnapshot(1, [(budget, 0) for budget in BUDGETS])
    posted = {key: value for key, value in world.store.counters.items() if value}
    if budgets.amounts(world.store.rows.values()) != posted:
        yield "the counters are not the sum of the rows"
    linked = [one for ids in world.store.chain for one in split_ids(ids)]
    if sorted(linked) != sorted(world.store.rows):
        yield "the chain does not link every row once"


def _nothing_left(world: World) -> Iterator[str]:
    """I5: no journal, no open request, no task."""
    left = sorted(path.name for path in world.root.iterdir())
    if left:
        yield f"journals left: {left}"
    for worker in world.workers:
        if worker.spool.open_intents or worker.proxy.open:
            yield f"{worker.spool.name[:4]}: something is still open"
        if worker.loop.tasks:
            yield f"{worker.spool.name[:4]}: {len(worker.loop.tasks)} tasks never ended"
    if world.store.quarantine:
        yield f"quarantined: {world.store.quarantine}"


def _nothing_odd(world: World) -> Iterator[str]:
    yield from world.oddities
    for worker in (*world.workers, *world.dead):
        for what, error in worker.watch.failures:
            if what not in FAILURES_EXPECTED:
                yield f"{what} failed: {error}"
