"""Plausibility: figures far from their neighbours, the mark of a unit mistake (per thousand, per million).

A lint warns, it does not refuse: a person reads it beside the source. To widen it, add a neighbourhood.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, TypeAlias

from gateway.pricing.row import Row

RATIO_MAX: Final = 500
_GROUP_MIN: Final = 2
_FAMILY_PARTS: Final = 2  # 'gpt-5.4-mini' and 'gpt-5.4-pro' are of one family

Group: TypeAlias = tuple[str, ...]


def family(model: str) -> str:
    """The first words of a model's name."""
    return "-".join(model.split("-")[:_FAMILY_PARTS])


# From the closest neighbours to the widest: same unit of one model, of one family, of one provider.
NEIGHBOURHOODS: Final[tuple[Callable[[Row], Group], ...]] = (
    lambda row: (row.provider, row.unit, row.model),
    lambda row: (row.provider, row.unit, family(row.model)),
    lambda row: (row.provider, row.unit),
)


def lint(rows: Iterable[Row], beside: Iterable[Row] = ()) -> tuple[str, ...]:
    """What is off by a factor of ``RATIO_MAX`` or more from the middle of its neighbours, one line a row.

    ``beside``: further neighbours, which are not judged themselves.
    """
    figures = [row for row in rows if row.pico and not row.as_unit]
    judged = len(figures)
    figures += [row for row in beside if row.pico and not row.as_unit]
    found: dict[int, str] = {}
    for neighbourhood in NEIGHBOURHOODS:
        groups: dict[Group, list[int]] = defaultdict(list)
        for index, row in enumerate(figures):
            groups[neighbourhood(row)].append(index)
        for group in groups.values():
            for index, text in _outliers(figures, group):
                found.setdefault(index, text)
    return tuple(found[index] for index in sorted(found) if index < judged)


def _outliers(rows: Sequence[Row], group: Sequence[int]) -> Iterator[tuple[int, str]]:
    ordered = sorted(_per_billion(rows[index]) for index in group)
    if len(ordered) < _GROUP_MIN:
        return
    for index in group:
        row, price = rows[index], _per_billion(rows[index])
        low, high = _middle_without(ordered, price)
        if price >= RATIO_MAX * high:
            factor = f"{price // high}"
        elif low >= RATIO_MAX * price:
            factor = f"1/{low // price}"
        else:
            continue
        yield index, f"{row.origin}: {row.price_id()} is {factor} times its neighbours"


def _per_billion(row: Row) -> int:
    return max(1, row.pico * 10**9 // row.per)


def _middle_without(ordered: Sequence[int], price: int) -> tuple[int, int]:
    """The middle of the others: one figure twice, or the two around it."""
    at = bisect_left(ordered, price)
    others = len(ordered) - 1
    low, high = (others - 1) // 2, others // 2
    return ordered[low + (low >= at)], ordered[high + (high >= at)]
