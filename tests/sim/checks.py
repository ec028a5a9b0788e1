"""What must be true after every run, whatever went wrong in it: the invariants I1 to I5 of the design."""

from collections import Counter
from collections.abc import Iterator
from typing import Final

from gateway.ledger.digest import split_ids
from gateway.ledger.entry import FAIL_OPEN, FAILED_OVER, Entry, EntryKind, Line, Outcome
from gateway.ledger.rollup import roll
from gateway.quota.budget import REQUESTS
from gateway.storage.snapshots import BudgetSnapshot
from tests.sim.cloud import FIRST, Forwarded
from tests.sim.world import World

FAILURES_EXPECTED: Final = frozenset(
    {"flush", "adopt", "spool", "expire", "extend", "quota.reserve", "quota.grow", "quota.settle"}
)
FINAL: Final = frozenset({EntryKind.USAGE, EntryKind.INTERRUPTED, EntryKind.UNCONFIRMED})


def breaches(world: World) -> list[str]:
    """Every breach in words; [] where all holds."""
    return [
        *_one_row_each(world),
        *_one_last(world),
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


def _by_hold(world: World) -> set[str]:
    """The calls that have a row made of their hold, which names the first place: adjusted, if more is known by then."""
    rows = world.store.rows.values()
    return {
        row.client_call_id or ""
        for row in rows
        if row.kind is EntryKind.ADJUSTMENT
        or (row.kind is EntryKind.UNCONFIRMED and row.outcome is Outcome.INTERRUPTED)
    }


def _one_row_each(world: World) -> Iterator[str]:
    """I1: an attempt that was forwarded has exactly one final row, after power cuts too."""
    rows = [
        (Forwarded(call, row.upstream), row)
        for call, each in rows_by_call(world).items()
        for row in each
    ]
    counts, forwarded = Counter(one for one, _ in rows), Counter(world.upstreams.forwarded)
    by_hold = _by_hold(world)
    for one, times in forwarded.items():
        at_first = counts[one._replace(upstream=FIRST)] if one.call in by_hold else 0
        if times != 1 or counts[one] > 1 or not counts[one] + at_first:
            yield f"{one}: forwarded {times} times, {counts[one]} final rows"
    for one, row in rows:
        if one not in forwarded and row.kind is EntryKind.USAGE:
            yield f"{one}: never forwarded, and yet a row of kind {row.kind}"


def _one_last(world: World) -> Iterator[str]:
    """A request is counted once: of its attempts' rows the last is without the flag, and no other.

    But for one that was never forwarded: a void finds no room on a disk that has failed.
    """
    excused, forwarded = world.excused | _by_hold(world), set(world.upstreams.forwarded)
    for call, rows in rows_by_call(world).items():
        sent = [row for row in rows if Forwarded(call, row.upstream) in forwarded]
        if call not in excused and not _ends_once(rows) and not _ends_once(sent):
            yield f"{call}: of {len(rows)} attempts not the last alone is without the flag"


def _ends_once(rows: list[Entry]) -> bool:
    last = [row.attempt for row in rows if FAILED_OVER not in row.flags]
    return last == [max((row.attempt for row in rows), default=0)]


def _complete_is_durable(world: World) -> Iterator[str]:
    """I4: what a client has whole from the provider is a usage row, through every crash."""
    rows = rows_by_call(world)
    by_hold = _by_hold(world)
    forwarded = world.upstreams.calls()
    for call, got in world.truth.items():
        if not got.whole or call not in forwarded or got.status >= 500:
            continue
        kinds = [row.kind for row in rows.get(call, ()) if FAILED_OVER not in row.flags]
        if kinds != [EntryKind.USAGE] and not (kinds and call in by_hold):
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
    rows = world.store.rows.values()
    adopted = {row.client_call_id for row in rows if row.kind is EntryKind.ADJUSTMENT}
    forwarded = world.upstreams.calls() - adopted
    for row in rows:
        given_up = row.kind is EntryKind.UNCONFIRMED and row.outcome is Outcome.INTERRUPTED
        call = row.client_call_id or ""
        if given_up and call in forwarded and call not in world.excused:
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
    sent = world.upstreams.calls()
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
