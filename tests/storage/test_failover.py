"""Several places on real sockets, on each database: rows are the calls that were billed."""

import asyncio
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pytest

from gateway.ledger.entry import FAILED_OVER, Entry, EntryKind
from gateway.ledger.rollup import REQUEST, roll
from gateway.quota.budget import Budget, Scope
from tests.faults.gateways import books
from tests.faults.origin import Answer, Asked, Origin, Step
from tests.faults.regions import (
    ANSWERED,
    CALL,
    NAMES,
    REFUSED,
    UNANSWERED,
    asked_all,
    region,
    steps,
)

SEED: Final = 20261130
CALLS: Final = 240


def billed(origins: Sequence[Origin]) -> dict[str, list[tuple[float, str]]]:
    """Per call, where it was asked, in order of time."""
    found: dict[str, list[tuple[float, str]]] = {}
    for name, origin in zip(NAMES, origins, strict=True):
        for asked in origin.asked:
            found.setdefault(asked.header(CALL) or "", []).append((asked.at, name))
    return {call: sorted(places) for call, places in found.items()}


def by_call(rows: Sequence[Entry]) -> dict[str, list[Entry]]:
    found: dict[str, list[Entry]] = {}
    for row in sorted(rows, key=lambda row: row.attempt):
        found.setdefault(row.client_call_id or "", []).append(row)
    return found


@pytest.mark.parametrize("retry", [False, True])
def test_rows_are_the_billed_calls_and_nothing_goes_on_after_a_byte_of_an_answer(
    tmp_path: Path, url: str, *, retry: bool
) -> None:
    chance = random.Random(SEED)
    deeds = (*ANSWERED, "whole", *REFUSED, *REFUSED, *UNANSWERED[: 1 + retry])
    plan = {
        f"call-{number}": {name: chance.choice(deeds) for name in NAMES} for number in range(CALLS)
    }
    with region(tmp_path, url, retry=retry) as place:
        place.gateway.put_budgets(
            Budget(id="b-requests", name="requests", scope=Scope(), measure="requests", limit=10**6, window="month"),
            Budget(id="b-usd", name="usd", scope=Scope(), measure="usd_net", limit=10**15, window="month"),
            Budget(id="b-busy", name="busy", scope=Scope(), measure="concurrent", limit=1000, window="always"),
        )  # fmt: skip
        for name, origin in zip(NAMES, place.origins, strict=True):
            origin.answer = _deeds_of(name, plan)
        got = asyncio.run(asked_all(place, list(plan)))
        asked = billed(place.origins)
        count = sum(map(len, asked.values()))
        found = books(place.gateway.config, count, 15)
        rows = by_call(found.rows)
        counters = place.gateway.counters()
    assert set(asked) == set(rows) == set(plan)
    for call, deed in plan.items():
        places = [name for _, name in asked[call]]
        assert [row.upstream for row in rows[call]] == places, (call, deed)
        assert_went_on(rows[call], [deed[name] for name in places], retry=retry)
        assert (got[call].status == 200) == (deed[places[-1]] in ANSWERED), (call, deed)
    final = [row for each in rows.values() for row in each if FAILED_OVER not in row.flags]
    assert len(final) == counters["b-requests"].posted == CALLS
    net_nano = sum(-(-(row.net_pico or 0) // 1000) for each in rows.values() for row in each)
    assert counters["b-usd"].posted == net_nano > 0
    assert [one.pending for one in counters.values()] == [0, 0, 0]
    assert found.verification.is_sound
    cells = roll(found.rows)
    assert sum(sums.quantity for cell, sums in cells.items() if cell.unit == REQUEST) == CALLS


def assert_went_on(rows: Sequence[Entry], deeds: Sequence[str], *, retry: bool) -> None:
    """Every attempt but the last may be followed, and is flagged and free; the last is as it is."""
    for row, deed in zip(rows[:-1], deeds[:-1], strict=True):
        assert deed in (*REFUSED, *(UNANSWERED if retry else ()))
        assert (FAILED_OVER in row.flags, row.net_pico) == (True, 0)
        assert (row.kind is EntryKind.UNCONFIRMED) == (deed in UNANSWERED)
    assert FAILED_OVER not in rows[-1].flags
    may_follow = REFUSED + (UNANSWERED if retry else ())
    assert deeds[-1] not in may_follow or len(rows) == len(NAMES)
    assert [row.attempt for row in rows] == list(range(1, len(rows) + 1))
    assert len({row.request_id for row in rows}) == 1


def _deeds_of(name: str, plan: dict[str, dict[str, str]]) -> Answer:
    def answer(asked: Asked) -> Sequence[Step]:
        return steps(plan[asked.header(CALL) or ""][name])

    return answer
