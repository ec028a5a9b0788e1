"""Sessions that go on: billed once in their hour, whoever asks again; where nobody can tell, billed and flagged."""

import asyncio
from collections.abc import Collection, Mapping
from typing import cast

import pytest
from hypothesis import given, strategies as st

from gateway.exchange.ports import Resources
from gateway.exchange.sessions import SESSION_US, unbooked
from gateway.identity.claim import Claim
from gateway.kernel.errors import Unavailable
from gateway.metering.hosted import CONTINUED
from gateway.metering.meter import Reading
from gateway.metering.usage import Component

NOW_US = 1_795_305_600_000_000
MAIN = Component("main", {"input_text": 9})


class Claims:
    """The claims there are, by name; None: nobody can tell."""

    def __init__(self, made_us: Mapping[str, int] | None) -> None:
        self.made_us = made_us
        self.asked = 0

    async def find(self, resources: Collection[str]) -> Mapping[str, Claim]:
        self.asked += 1
        if self.made_us is None:
            raise Unavailable("away")
        return {
            name: Claim(name, "org-1", "team-1", "key-1", "azure-1", self.made_us[name])
            for name in resources
            if name in self.made_us
        }


def read(
    claims: Claims, containers: tuple[str, ...], *, searches: int = 0, flag: str = CONTINUED
) -> Reading:
    counts = {"file_search_calls": searches, "code_interpreter_sessions": len(containers)}
    used = Component("hosted_tool", {unit: count for unit, count in counts.items() if count})
    reading = Reading(components=(MAIN, used), sessions=containers, flags=(flag, "x"))
    key = "azure/{}".format
    return asyncio.run(unbooked(reading, cast("Resources", claims), key, NOW_US))


def sessions(reading: Reading) -> int:
    assert reading.components[0] == MAIN
    return sum(part.counts.get("code_interpreter_sessions", 0) for part in reading.components)


@given(ages=st.dictionaries(st.sampled_from("abcd"), st.integers(0, 2 * SESSION_US), max_size=4))
def test_what_was_opened_within_the_hour_is_not_billed_again(ages: dict[str, int]) -> None:
    claims = Claims({f"azure/{name}": NOW_US - age for name, age in ages.items()})
    reading = read(claims, tuple("abcd"), searches=2)
    running = sum(age < SESSION_US for age in ages.values())
    assert sessions(reading) == 4 - running
    assert reading.components[1].counts["file_search_calls"] == 2
    assert (CONTINUED in reading.flags) == (len(ages) < 4)
    assert "x" in reading.flags


@pytest.mark.parametrize(("age", "billed"), [(SESSION_US - 1, 0), (SESSION_US, 1)])
def test_the_hour_is_half_open(age: int, billed: int) -> None:
    reading = read(Claims({"azure/a": NOW_US - age}), ("a",))
    assert sessions(reading) == billed
    assert reading.flags == ("x",)
    assert [part.role for part in reading.components] == ["main", "hosted_tool"][: 1 + billed]


def test_where_nobody_can_tell_it_is_billed_and_flagged() -> None:
    reading = read(Claims(None), ("a", "b"))
    assert (sessions(reading), reading.flags) == (2, (CONTINUED, "x"))


def test_an_answer_that_goes_on_from_nothing_is_not_looked_up() -> None:
    claims = Claims({"azure/a": NOW_US})
    assert sessions(read(claims, ("a",), flag="y")) == 1
    assert claims.asked == 0
