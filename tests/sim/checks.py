"""What must be true after every run, whatever went wrong in it: the invariants I1 to I5 of the design."""

from collections import Counter
from collections.abc import Iterator
from typing import Final

from gateway.ledger.digest import split_ids
from gateway.ledger.entry import FAIL_OPEN, Entry, EntryKind, Line, Outcome
from gateway.ledger.rollup import roll
from gateway.quota.budget import REQUESTS
from gateway.storage.snapshots import BudgetSnapshot
from tests.sim.world import World

FAILURES_EXPECTED: Final = frozenset(
    {"flush", "adopt", "spool", "expire", "extend", "quota.reserve", "quota.grow", "quota.settle"}
)
FINAL: Final = frozenset({EntryKind.USAGE, EntryKind.INTERRUPTED, EntryKind.UNCONFIRMED})


def breaches(world: World) -> list[str]:
    """Every breach in words; [] where all holds."""
    return [
        *_one_row_each(world),
        *_complete_is_durable(world),
        *_amounts(world),
        *_sums(world),
        *_nothing_left(world),
        *_within_budget(world),
        *_known(world),
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
    """I1: an attempt that was forwarded has exactly one final row, after power cuts too."""
    rows = rows_by_call(world)
    for call, times in Counter(world.upstreams.forwarded).items():
        count = len(rows.get(call, ()))
        if times != 1 or count > 1 or count == 0:
            yield f"{call}: forwarded {times} times, {count} final rows"
    for call in set(rows) - set(world.upstreams.forwarded):
        if rows[call][0].kind is EntryKind.USAGE:
            yield f"{call}: never forwarded, and yet a row of kind {rows[call][0].kind}"


def _complete_is_durable(world: World) -> Iterator[str]:
    """I4: what a client has whole from the provider is a usage row, through every crash."""
    rows = rows_by_call(world)
    # A hold may expire under it (the clock jumped, the store was away): then estimate and adjustment.
    adjusted = {
        row.client_call_id for row in world.store.rows.values() if row.kind is EntryKind.ADJUSTMENT
    }
    for call, got in world.truth.items():
        if not got.whole or call not in world.upstreams.forwarded or got.status >= 500:
            continue
        kinds = [row.kind for row in rows.get(call, ())]
        known = len(kinds) == 1 and (kinds == [EntryKind.USAGE] or call in adjusted)
        if not known:
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
    budgets = BudgetSnapshot(1, [(budget, 0) for budget in world.store.budgets])
    counters = world.store.engine.counters
    posted = {key: counter.posted for key, counter in counters.items() if counter.posted}
    rows = {key: n for key, n in budgets.amounts(world.store.rows.values()).items() if n}
    if rows != posted:
        yield f"the counters are not the sum of the rows: {posted} != {rows}"
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


def _known(world: World) -> Iterator[str]:
    """What was sent is known by its journal, not only by its hold, unless that expired before it was adopted."""
    if world.is_late:
        return
    for row in world.store.rows.values():
        given_up = row.kind is EntryKind.UNCONFIRMED and row.outcome is Outcome.INTERRUPTED
        call = row.client_call_id or ""
        if given_up and call in world.upstreams.forwarded and call not in world.excused:
            yield f"{call}: sent, and nothing but its hold was left of it"


def _within_budget(world: World) -> Iterator[str]:
    """Nothing held once all has expired; nothing overspent but what passed while the store was away."""
    engine = world.store.engine
    if engine.holds:
        yield f"holds left: {sorted(map(str, engine.holds))}"
    for key, counter in engine.counters.items():
        if counter.pending:
            yield f"{key}: {counter.pending} pending, and nothing is held"
    # A power cut may bring back an intent that was void: booked, though it was never sent and its hold is free.
    sent = set(world.upstreams.forwarded)
    strict = [
        row
        for row in world.store.rows.values()
        if FAIL_OPEN not in row.flags and row.client_call_id in sent
    ]
    budgets = BudgetSnapshot(1, [(budget, 0) for budget in world.store.budgets])
    for key, spent in budgets.amounts(strict).items():
        budget = budgets.budgets[key.budget]
        exact = budget.measure == REQUESTS and budget.window != "minute" and not budget.shadow
        if exact and spent > budget.limit:
            yield f"{key}: {spent} spent of {budget.limit}"


def _nothing_odd(world: World) -> Iterator[str]:
    yield from world.oddities
    for worker in (*world.workers, *world.dead):
        for what, error in worker.watch.failures:
            if what not in FAILURES_EXPECTED:
                yield f"{what} failed: {error}"
