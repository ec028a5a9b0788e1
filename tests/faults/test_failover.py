"""A place that fails is left alone and comes back; places take turns; each is asked and priced as what it is."""

import asyncio
import re
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.faults.origin import json_answer
from tests.faults.regions import HEAD_S, WHOLE, Region, asked_all, region, steps


async def _loaded(place: Region, seconds: float, tag: str, clients: int = 6) -> list[int]:
    """The statuses that so many clients saw, each calling all the time."""
    ends = time.monotonic() + seconds
    statuses: list[int] = []

    async def client(number: int) -> None:
        turn = 0
        while time.monotonic() < ends:
            got = await place.call(f"{tag}-{number}-{turn}", stream=False)
            statuses.append(got.status)
            turn += 1

    await asyncio.gather(*map(client, range(clients)))
    return statuses


@pytest.mark.parametrize("deed", ["503", "silent"])
def test_a_place_that_fails_is_left_alone_but_for_a_probe_and_comes_back(
    tmp_path: Path, deed: str
) -> None:
    with region(tmp_path, failures=5) as place:
        east = place.origins[0]
        east.answer = lambda _: steps(deed)
        asyncio.run(_loaded(place, 1.0 if deed == "503" else HEAD_S + 1.0, "opens"))
        assert 'breaker_changes_total{state="open",upstream="east"}' in place.metrics()
        before, began = len(east.asked), time.monotonic()
        statuses = asyncio.run(_loaded(place, 3.0, "open"))
        lasted = time.monotonic() - began
        probes = len(east.asked) - before
        # One probe a second; a silent one ends with its own client's timeout, and nobody else's.
        assert 1 <= probes <= lasted + 1
        failed = sum(status != 200 for status in statuses)
        assert failed <= (probes if deed == "silent" else 0)
        assert failed <= len(statuses) // 20
        assert "weighbridge_open_breakers 1" in place.metrics()
        east.answer = lambda _: json_answer(WHOLE)
        asyncio.run(_loaded(place, 1.5 + HEAD_S * (deed == "silent"), "back"))
        before = len(east.asked)
        assert set(asyncio.run(_loaded(place, 0.3, "closed"))) == {200}
        assert len(east.asked) - before > 1  # no probe any more: the first again
        assert "weighbridge_open_breakers 0" in place.metrics()


def test_places_take_turns_by_their_weights(tmp_path: Path) -> None:
    weights = ("weight = 6", "weight = 3", "weight = 1")
    with region(tmp_path, weights=weights) as place:
        asyncio.run(asked_all(place, [f"call-{number}" for number in range(600)]))
        counts = [len(origin.asked) for origin in place.origins]
        assert sum(counts) == 600
        # Six standard deviations of a binomial distribution.
        for count, share in zip(counts, (0.6, 0.3, 0.1), strict=True):
            assert abs(count - 600 * share) <= 6 * (600 * share * (1 - share)) ** 0.5
        # What the first cannot serve is shared by the others' weights.
        for origin in place.origins:
            origin.asked.clear()
        place.origins[0].answer = lambda _: steps("503")
        statuses = Counter(
            one.status
            for one in asyncio.run(asked_all(place, [f"more-{n}" for n in range(300)])).values()
        )
        assert statuses == {200: 300}
        west, north = (len(origin.asked) for origin in place.origins[1:])
        assert west + north == 300
        assert abs(west - 225) <= 6 * (300 * 0.75 * 0.25) ** 0.5


def test_a_first_place_that_is_away_costs_nothing_and_leaves_no_row(tmp_path: Path) -> None:
    with region(tmp_path, away="east") as place:
        got = asyncio.run(place.call("call-1"))
        (row,) = place.gateway.rows(1)
        assert re.search(rb"\r\nx-weighbridge-attempts: 2\r\n", got.head + b"\r\n", re.IGNORECASE)
        assert (row.upstream, row.attempt, row.status, row.flags) == ("west", 2, 200, ())
        assert 'attempts_total{ended="unreachable",upstream="east"} 1' in place.metrics()
        assert (
            'failovers_total{upstream="east"}' not in place.metrics()
        )  # nothing had been sent there


def test_a_place_with_a_name_and_a_zone_of_its_own_is_priced_as_that(tmp_path: Path) -> None:
    with region(tmp_path) as place:
        for origin in place.origins[:2]:
            origin.answer = lambda _: steps("429")
        asyncio.run(place.call("call-1", stream=False))
        rows = sorted(place.gateway.rows(3), key=lambda row: row.attempt)
        assert "/deployments/gpt-4o-north/" in place.origins[2].asked[0].target
        assert [(row.scope, row.geo) for row in rows] == [
            ("global", None),
            ("global", None),
            ("data_zone", "us"),
        ]
