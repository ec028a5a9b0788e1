"""The budgets at one moment, in memory: which cover a request, and what rows post to their counters.

Requests, the ledger's flush, edits, ``verify`` and ``rebuild`` all sum rows by this one fold. What is
posted follows from quota/ alone: a new measure or window needs nothing here.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from gateway.ledger.entry import Entry
from gateway.quota.amount import amount
from gateway.quota.budget import CONCURRENT, Budget, Subject
from gateway.quota.hold import CounterKey
from gateway.quota.subject import of_entry, subject_value
from gateway.quota.window import Span, previous, window_of

SUBJECTS_MAX: Final = 4096
_INDEXED: Final = ("key", "user", "app", "team", "cost_centre")  # narrow ones: hundreds of each
_LAST: Final = 99  # rank of what no budget has any more


class BudgetSnapshot:
    """Budgets of one version. Immutable but for what it remembers."""

    def __init__(self, version: int = -1, budgets: Iterable[tuple[Budget, int]] = ()) -> None:
        """``budgets``: each with the instant of its last restating (``kept_from``)."""
        self.version = version
        self.budgets: dict[str, Budget] = {}
        self._kept: dict[str, int] = {}
        self._by_value: dict[tuple[str, str], list[Budget]] = {}
        self._wide: list[Budget] = []
        self._spans: dict[str, Span] = {}
        self._posting: dict[Subject, tuple[tuple[Budget, str], ...]] = {}
        self._covering: dict[Subject, tuple[Budget, ...]] = {}
        for budget, restated_us in budgets:
            self.budgets[budget.id] = budget
            self._kept[budget.id] = kept_from(budget, restated_us)
            self._shelf(budget).append(budget)

    def _shelf(self, budget: Budget) -> list[Budget]:
        for name in _INDEXED:
            value = getattr(budget.scope, name)
            if value is not None:
                return self._by_value.setdefault((name, value), [])
        return self._wide

    def over(self, subject: Subject) -> tuple[Budget, ...]:
        """The budgets whose scope covers a request."""
        found = self._covering.get(subject)
        if found is None:
            if len(self._covering) >= SUBJECTS_MAX:
                self._covering.clear()
            found = self._covering[subject] = tuple(self._search(subject))
        return found

    def _search(self, subject: Subject) -> Iterable[Budget]:
        shelves = [self._wide]
        for name in _INDEXED:
            value = getattr(subject, name)
            if value is not None:
                shelves.append(self._by_value.get((name, value), []))
        return [budget for shelf in shelves for budget in shelf if budget.scope.covers(subject)]

    def kept_us(self, budget_id: str) -> int:
        """The start of the earliest window whose counters the budget keeps."""
        return self._kept[budget_id]

    def amounts(self, entries: Iterable[Entry]) -> dict[CounterKey, int]:
        """What rows add to which counters; counters they add nothing to are not named."""
        sums: dict[CounterKey, int] = {}
        if self.budgets:
            for entry in entries:
                self._add(sums, entry)
        return {key: added for key, added in sums.items() if added}

    def _add(self, sums: dict[CounterKey, int], entry: Entry) -> None:
        for budget, value in self._posted_to(of_entry(entry)):
            window_us = self._start_us(budget, entry.occurred_us)
            if window_us >= self._kept[budget.id]:
                key = CounterKey(budget.id, value, window_us)
                sums[key] = sums.get(key, 0) + amount(budget, entry)

    def _posted_to(self, subject: Subject) -> tuple[tuple[Budget, str], ...]:
        """The budgets that rows of a subject are posted to, with the value each is split by."""
        found = self._posting.get(subject)
        if found is None:
            if len(self._posting) >= SUBJECTS_MAX:
                self._posting.clear()
            covering = [budget for budget in self.over(subject) if posts(budget)]
            found = tuple([(budget, subject_value(budget, subject)) for budget in covering])
            self._posting[subject] = found
        return found

    def _start_us(self, budget: Budget, at_us: int) -> int:
        """The start of the window; rows of one flush lie in the same, mostly."""
        span = self._spans.get(budget.id)
        is_inside = span is not None and span.start_us <= at_us
        if span is None or not is_inside or (span.end_us is not None and at_us >= span.end_us):
            span = self._spans[budget.id] = window_of(budget, at_us)
        return span.start_us

    def rank(self, key: CounterKey) -> int:
        """Where the counter stands in the lock order, before its key; of a removed budget: last."""
        budget = self.budgets.get(key.budget)
        return _LAST if budget is None else budget.scope.width

    def in_lock_order(
        self, keys: Iterable[CounterKey], ranks: Mapping[CounterKey, int] | None = None
    ) -> Sequence[CounterKey]:
        """Counters sorted as every writer locks them. ``ranks``: those of hold lines, where known."""
        known = ranks or {}
        return sorted(keys, key=lambda key: (known.get(key, self.rank(key)), key))


def posts(budget: Budget) -> bool:
    """Whether rows are posted to it: what rolls or counts requests in flight is held only."""
    return budget.measure != CONCURRENT and budget.window != "minute"


def kept_from(budget: Budget, restated_us: int) -> int:
    """The start of the earliest window whose counters are kept: the one before ``restated_us``'s own.

    A budget restated then has the sums of this window and the one before; rows of earlier windows that
    arrive late are not posted, since a part of a window's rows would be no window's sum.
    """
    return previous(budget, window_of(budget, restated_us)).start_us
