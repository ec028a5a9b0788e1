"""Budgets as programs read them: stable names, money as decimal text in USD, everything else whole numbers."""

from collections.abc import Sequence

import msgspec

from gateway.kernel.clock import instant
from gateway.quota.alert import Alert
from gateway.quota.budget import MONEY, Budget
from gateway.quota.form import amount_text, measure_word, mode_of, written
from gateway.quota.plan import Difference, Edit
from gateway.quota.standing import Standing
from gateway.storage.budgets import Change

Raised = tuple[Budget, Alert]


class Told(msgspec.Struct, frozen=True):
    """A line of a history, with what was different before."""

    change: Change
    differences: tuple[Difference, ...]


def told(changes: Sequence[Change]) -> list[Told]:
    """A history with the differences from one line to the next."""
    found, before = [], None
    for change in changes:
        is_end = change.action == "remove"
        edit = Edit(before, None if is_end else change.budget)
        found.append(Told(change, () if is_end else edit.differences))
        before = None if is_end else change.budget
    return found


def amount(measure: str, value: int | None) -> str | int | None:
    """Decimal text for money, a whole number for all else."""
    if value is None:
        return None
    return amount_text(measure, value) if measure in MONEY else value


def budget(one: Budget) -> dict[str, object]:
    """A budget in its written form, with id and measure."""
    rows = written(one, whole=True)
    limit = amount(one.measure, one.limit)
    made = None if not one.created_us else _time(one.created_us)
    return {
        "id": one.id,
        "measure": measure_word(one.measure),
        "limit": limit,
        **rows,
        "created_at": made,
    }


def edit(one: Edit) -> dict[str, object]:
    """What was changed, key by key."""
    changes = [
        {"key": each.key, "before": each.before, "after": each.after} for each in one.differences
    ]
    return {
        "action": one.action,
        "budget": one.budget.name,
        "id": one.budget.id,
        "changes": changes,
    }


def standing(one: Standing) -> dict[str, object]:
    """A counter as it stands."""
    measure = one.budget.measure
    end_us = one.span.end_us
    return {
        "budget": one.budget.name,
        "id": one.budget.id,
        "each": one.budget.each or None,
        "subject": one.value if one.budget.each else None,
        "measure": measure_word(measure),
        "mode": mode_of(one.budget),
        "window": one.budget.window,
        "window_start": None if end_us is None else _time(one.span.start_us),
        "window_end": None if end_us is None else _time(end_us),
        "spent": amount(measure, one.posted),
        "held": amount(measure, one.pending),
        "limit": amount(measure, one.limit),
        "own_limit": amount(measure, one.budget.limit),
        "raised": amount(measure, one.raised),
        "carried": amount(measure, one.carried),
        "left": amount(measure, one.left),
        "used_percent": one.percent,
        "forecast": amount(measure, one.forecast),
        "level": one.level,
    }


def change(one: Told) -> dict[str, object]:
    """A line of a budget's history."""
    changes = [
        {"key": each.key, "before": each.before, "after": each.after} for each in one.differences
    ]
    return {
        "at": _time(one.change.at_us),
        "author": one.change.author,
        "action": one.change.action,
        "budget": one.change.budget.name,
        "id": one.change.budget.id,
        "changes": changes,
    }


def alert(of: Budget, one: Alert) -> dict[str, object]:
    """An alert that was raised."""
    starts = one.key.window_us
    return {
        "at": _time(one.at_us),
        "budget": of.name,
        "id": of.id,
        "subject": one.key.subject if of.each else None,
        "window_start": _time(starts) if starts else None,
        "kind": one.kind,
        "percent": one.percent,
        "used": amount(of.measure, one.used),
    }


def _time(us: int) -> str:
    return instant(us).isoformat()
