"""What the ledger says in the end, compared with what the provider was asked and what the clients have."""

import asyncio
from collections import Counter
from typing import Final, NamedTuple

from gateway.config import Config
from gateway.jobs.expire import Sweeper
from gateway.jobs.ports import Holds as HoldsPort
from gateway.kernel.clock import SystemClock
from gateway.ledger.entry import Entry, EntryKind, Outcome
from gateway.premises import quota_engine
from gateway.quota.budget import REQUESTS
from gateway.storage.budgets import BudgetStore
from gateway.storage.engine import Database
from gateway.storage.holds import Holds
from gateway.storage.ledger import Ledger
from tests.faults.gateways import Books, books
from tests.faults.streams import used
from tests.prove.load import usage_of

FINAL = frozenset({EntryKind.USAGE, EntryKind.INTERRUPTED, EntryKind.UNCONFIRMED})


LIFE_US: Final = 3_600_000_000
LEFT_MAX: Final = 1_000


class Verdict(NamedTuple):
    """Figures of one run. ``lost`` .. ``overspent`` have to be 0.

    held       counters with anything pending, and holds, after the last hold has expired
    overspent  requests beyond a limit of requests (tokens are no proof here: the provider of the proofs states
               more of them than it was sent)
    """

    forwarded: int
    whole: int
    rows: int
    interrupted: int
    lost: int
    wrong: int
    doubled: int
    uncovered: int
    invented: int
    unsound: int
    left_over: int
    held: int
    overspent: int
    unconfirmed: int
    adjusted: int

    @property
    def breaches(self) -> int:
        return (
            self.lost + self.wrong + self.doubled + self.uncovered + self.invented
            + self.unsound + self.left_over + self.held + self.overspent
        )  # fmt: skip


def judged(
    config: Config, asked: list[str], whole: set[str], *, excess: int = 0, wait_s: float = 20
) -> Verdict:
    """Compare, once every hold that is left has expired: nobody serves any more.

    ``excess``: how many requests may have passed without their hold, which a crash of Postgres took with it.
    """
    books(config, len(asked), wait_s)
    held, over = asyncio.run(expired(config))
    found = books(config)
    rows: dict[str, list[Entry]] = {}
    adjusted: dict[str, list[Entry]] = {}
    for row in found.rows:
        kept = rows if row.kind in FINAL else adjusted
        kept.setdefault(row.client_call_id or "", []).append(row)
    missing = [call for call in asked if call not in rows]
    folder = config.folder() / "spool"
    return Verdict(
        forwarded=len(asked),
        whole=len(whole),
        rows=len(found.rows),
        interrupted=sum(row.kind is EntryKind.INTERRUPTED for row in found.rows),
        lost=sum(call not in rows for call in whole),
        wrong=sum(
            _is_wrong(call, [*rows[call], *adjusted.get(call, ())])
            for call in whole
            if call in rows
        ),
        doubled=sum(len(several) - 1 for several in rows.values())
        + sum(times - 1 for times in Counter(asked).values()),
        uncovered=len(missing),
        invented=sum(rows[call][0].kind is EntryKind.USAGE for call in set(rows) - set(asked)),
        unsound=_unsound(found),
        left_over=len(list(folder.iterdir())) if folder.is_dir() else 0,
        held=held,
        overspent=max(0, over - excess),
        unconfirmed=sum(row.kind is EntryKind.UNCONFIRMED for row in found.rows),
        adjusted=len(adjusted),
    )


class _Later:
    """A clock past the end of every hold."""

    def wall_us(self) -> int:
        return SystemClock().wall_us() + LIFE_US

    def ticks_ns(self) -> int:
        return SystemClock().ticks_ns()


async def expired(config: Config) -> tuple[int, int]:
    """Sweep past the expiry; what is still held then, and the most a counter is over its limit."""
    database = Database(config.database_url())
    ledger = Ledger(database, clock=_Later())
    holds: HoldsPort = Holds(database, ledger)
    engine = quota_engine(config, database, _Later())
    if engine.valkey is not None:
        await engine.valkey.truth.resync()
        holds = engine.valkey.holds
    while await Sweeper(holds, ledger, _Later(), Nobody()).sweep():
        pass
    held_there = engine.valkey.truth.all_states if engine.valkey else None
    store = BudgetStore(database, held=held_there)
    limits = {one.id: one.limit for one in await store.list() if one.measure == REQUESTS}
    counters = await store.counters()
    left = await holds.expired(_Later().wall_us(), LEFT_MAX)
    await engine.close()
    await database.close()
    held = sum(one.pending != 0 for one in counters) + len(left)
    over = [one.posted - limits.get(one.key.budget, one.posted) for one in counters]
    return held, max([0, *over])


class Nobody:
    """The observer of a sweep in which nothing may fail."""

    def settled(self, entry: Entry) -> None:
        raise AssertionError(entry)

    def refused(self, provider: str, code: str) -> None:
        raise AssertionError(code)

    def failed(self, what: str, error: BaseException) -> None:
        raise AssertionError(what) from error


def _is_wrong(call: str, rows: list[Entry]) -> bool:
    """Whether the rows of a whole answer do not add up to the usage the provider stated.

    More than one where its hold had expired before its row was booked: the estimate, and what it lacked.
    """
    units: Counter[str] = Counter()
    for row in rows:
        units.update(used(row))
    if units != usage_of(call) or sum(row.net_pico or 0 for row in rows) <= 0:
        return True
    return len(rows) == 1 and (rows[0].kind, rows[0].outcome) != (EntryKind.USAGE, Outcome.COMPLETE)


def _unsound(found: Books) -> int:
    """Ledger against rollup (and counters and chain, where there are some), and the quarantine."""
    return int(not found.verification.is_sound) + found.quarantined
