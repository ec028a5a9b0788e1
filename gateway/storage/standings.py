"""How budgets stand, read from their counters: the fullest of each, and those that have earned an alert."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.quota.alert import least_posted
from gateway.quota.budget import Budget
from gateway.quota.counters import Counter
from gateway.quota.hold import CounterKey
from gateway.quota.standing import Standing, standing
from gateway.quota.window import previous, window_of
from gateway.storage.among import among
from gateway.storage.tables import COUNTER

LATE_US: Final = 3_600_000_000  # rows of a window come in for so long after its end
DUE_MAX: Final = 5_000
_SUBJECTS_PER_QUERY: Final = 500


class Stand(msgspec.Struct, frozen=True):
    """A budget with its fullest counters, the fullest first; ``counters``: how many there are in all."""

    budget: Budget
    fullest: tuple[Standing, ...]
    counters: int


Held = Mapping[CounterKey, Counter]


async def stand(
    connection: AsyncConnection, budget: Budget, at_us: int, top: int, held: Held | None = None
) -> Stand:
    """How one budget stands; one that is not split always has its one counter.

    ``held``: what is held of which counter, where an engine beside the database keeps the holds.
    """
    if held is not None:
        return await _with_held(connection, budget, at_us, top, held)
    used = COUNTER.c.posted + COUNTER.c.pending
    ours = _window(budget, window_of(budget, at_us).start_us)
    if not budget.each:
        rows = await _rows(connection, ours, COUNTER.c.subject == "")
        return Stand(budget, (standing(budget, "", at_us, await _with_before(connection, budget, rows, at_us)),), 1)  # fmt: skip
    is_used = sa.or_(used != 0, COUNTER.c.tat_us > at_us)
    total = sa.select(sa.func.count()).select_from(COUNTER).where(ours, is_used)
    count = int((await connection.execute(total)).scalar_one())
    first = (used.desc(), COUNTER.c.tat_us.desc(), COUNTER.c.subject)
    rows = await _rows(connection, ours, is_used, order=first, limit=top)
    known = await _with_before(connection, budget, rows, at_us)
    found = [standing(budget, key.subject, at_us, known) for key in rows]
    return Stand(budget, tuple(found), count)


async def _with_held(
    connection: AsyncConnection, budget: Budget, at_us: int, top: int, held: Held
) -> Stand:
    """The same, of counters whose holds are elsewhere: the fullest are among the most spent and the held."""
    ours = _window(budget, window_of(budget, at_us).start_us)
    is_spent = sa.and_(ours, COUNTER.c.posted != 0)
    spent = await _rows(connection, is_spent, order=(COUNTER.c.posted.desc(),), limit=top)
    mine = {key: one for key, one in held.items() if _is_ours(key, one, budget, at_us)}
    subjects = sorted({key.subject for key in mine} | ({""} if not budget.each else set()))
    for start in range(0, len(subjects), _SUBJECTS_PER_QUERY):
        part = _of(connection, subjects[start : start + _SUBJECTS_PER_QUERY])
        spent |= await _rows(connection, ours, part)
    rows = {key: with_held(spent.get(key), mine.get(key)) for key in spent.keys() | mine.keys()}
    rows = dict(sorted(rows.items(), key=_fullest_first)[:top])
    known = await _with_before(connection, budget, rows, at_us)
    named = rows if budget.each else [CounterKey(budget.id, "", window_of(budget, at_us).start_us)]
    total = sa.select(sa.func.count()).select_from(COUNTER).where(is_spent)
    count = int((await connection.execute(total)).scalar_one())
    count += sum(not spent.get(key, Counter()).posted for key in mine)
    found = [standing(budget, key.subject, at_us, known) for key in named]
    return Stand(budget, tuple(found), count if budget.each else 1)


def with_held(spent: Counter | None, held: Counter | None) -> Counter:
    """What SQL has posted, with what is held elsewhere."""
    posted = spent.posted if spent else 0
    return Counter(posted, held.pending, held.tat_us) if held else Counter(posted)


def _is_ours(key: CounterKey, one: Counter, budget: Budget, at_us: int) -> bool:
    start_us = window_of(budget, at_us).start_us
    is_used = one.pending != 0 or one.tat_us > at_us
    return key.budget == budget.id and key.window_us == start_us and is_used


def _fullest_first(pair: tuple[CounterKey, Counter]) -> tuple[int, int, str]:
    key, one = pair
    return (-one.posted - one.pending, -one.tat_us, key.subject)


async def earning(
    connection: AsyncConnection, budgets: Iterable[Budget], now_us: int
) -> list[Standing]:
    """The counters that may have earned an alert: of this window, and of one that has just ended."""
    found: list[Standing] = []
    for budget in budgets:
        if not budget.alerts and not budget.forecast_alerts:
            continue
        span = window_of(budget, now_us)
        found += await _reaching(connection, budget, now_us)
        ended_us = span.start_us
        is_fresh = span.end_us is not None and now_us - ended_us < LATE_US
        if is_fresh and budget.created_us < ended_us:
            found += await _reaching(connection, budget, ended_us - 1)
    return found


async def _reaching(connection: AsyncConnection, budget: Budget, at_us: int) -> list[Standing]:
    span = window_of(budget, at_us)
    least = least_posted(budget, span, at_us)
    if least is None:
        return []
    rows = await _rows(
        connection,
        _window(budget, span.start_us),
        COUNTER.c.posted >= least,
        order=(COUNTER.c.posted.desc(), COUNTER.c.subject),
        limit=DUE_MAX,
    )
    known = await _with_before(connection, budget, rows, at_us)
    return [standing(budget, key.subject, at_us, known) for key in rows]


def _of(connection: AsyncConnection, subjects: Sequence[str]) -> sa.ColumnElement[bool]:
    return among(connection, (COUNTER.c.subject,), [(one,) for one in subjects])


def _window(budget: Budget, window_us: int) -> sa.ColumnElement[bool]:
    return sa.and_(COUNTER.c.budget == budget.id, COUNTER.c.window_us == window_us)


async def _with_before(
    connection: AsyncConnection, budget: Budget, rows: dict[CounterKey, Counter], at_us: int
) -> dict[CounterKey, Counter]:
    """With the counters of the window before, where unspent room comes over from it."""
    if not budget.carry_over_percent:
        return rows
    before_us = previous(budget, window_of(budget, at_us)).start_us
    subjects = sorted({key.subject for key in rows} | ({""} if not budget.each else set()))
    known = dict(rows)
    for start in range(0, len(subjects), _SUBJECTS_PER_QUERY):
        part = _of(connection, subjects[start : start + _SUBJECTS_PER_QUERY])
        known |= await _rows(connection, _window(budget, before_us), part)
    return known


async def _rows(
    connection: AsyncConnection,
    *conditions: sa.ColumnElement[bool],
    order: Sequence[sa.ColumnElement[object]] = (),
    limit: int | None = None,
) -> dict[CounterKey, Counter]:
    query = sa.select(COUNTER).where(*conditions).order_by(*order).limit(limit)
    return {
        CounterKey(row["budget"], row["subject"], row["window_us"]): Counter(
            row["posted"], row["pending"], row["tat_us"]
        )
        for row in (await connection.execute(query)).mappings()
    }
