"""A deployment whose default service tier is priority: what names no tier is held at what it will be charged."""

import asyncio
from typing import Any, Final

import orjson
import pytest
from hypothesis import given, settings, strategies as st

from gateway.ledger.entry import OVER_HOLD, Entry
from gateway.metering.count import Counter
from gateway.pricing.book import Book
from gateway.providers.contract import Deployment
from gateway.quota.budget import Budget, Scope
from gateway.wire.messages import Head
from tests.laws.house import House

PATH: Final = "/azure/openai/v1/chat/completions"
MONEY: Final = Budget(
    id="money", name="money", scope=Scope(), measure="usd_net", limit=10**15, window="month"
)
CEILING: Final = 1_000


def placed(tier: str | None, model: str = "gpt-5") -> Deployment:
    return Deployment("fast", "azure-all", model, "global", tier=tier)


def played(
    counter: Counter,
    book: Book,
    deployment: Deployment,
    *asked: str | None,
    served: str = "priority",
    read: int = 9,
    model: str = "gpt-5-2025-08-07",
) -> list[tuple[int, Entry]]:
    """What was held for each call in nano-USD, and its row: one after the other, by one worker."""
    usage = {
        "prompt_tokens": read,
        "completion_tokens": CEILING,
        "total_tokens": read + CEILING,
    }
    answer = {"id": "c", "object": "chat.completion", "model": model, "choices": [], "usage": usage}
    raw = orjson.dumps(answer | {"service_tier": served})
    head = Head(200, ((b"content-type", b"application/json"),))

    async def play() -> list[tuple[int, Entry]]:
        async with asyncio.TaskGroup() as group:
            house = House(
                counter, book, head, [raw], group=group, budgets=(MONEY,), deployments=(deployment,)
            )
            for tier in asked:
                body: dict[str, Any] = {
                    "model": "fast", "max_completion_tokens": CEILING,
                    "messages": [{"role": "user", "content": "a " * read}],
                }  # fmt: skip
                await house.call(PATH, body if tier is None else {**body, "service_tier": tier})
            held = [hold.lines[0].amount for hold in house.quotas.given]
            return list(zip(held, house.spool.settled, strict=True))

    return asyncio.run(play())


@settings(max_examples=25, deadline=None)
@given(
    st.sampled_from(["priority", "default"]),
    st.lists(st.sampled_from([None, "auto", "priority"]), min_size=1, max_size=4),
    st.integers(1, 3_000),
)
def test_no_call_to_a_deployment_of_priority_is_charged_more_than_was_held(
    counter: Counter, book: Book, served: str, asked: list[str | None], read: int
) -> None:
    for held, row in played(counter, book, placed("priority"), *asked, served=served, read=read):
        assert row.tier == ("priority" if served == "priority" else "standard")
        assert row.net_pico is not None
        assert row.net_pico <= held * 1_000
        assert OVER_HOLD not in row.flags


def test_what_an_answer_says_of_its_deployment_is_learned_from_it(
    counter: Counter, book: Book
) -> None:
    first, second, third = played(counter, book, placed(None), None, None, "default")
    assert OVER_HOLD in first[1].flags
    assert OVER_HOLD not in second[1].flags
    assert second[0] > 1.9 * first[0]
    assert third[0] == first[0]  # which asked for the standard one by its name


@pytest.mark.parametrize("asked", ["priority", "auto"])
def test_nothing_is_learned_from_what_was_asked_for(
    counter: Counter, book: Book, asked: str
) -> None:
    dear, plain = played(counter, book, placed(None), asked, None)
    assert dear[0] > 1.9 * plain[0]


def test_a_model_without_a_price_for_priority_is_held_as_standard(
    counter: Counter, book: Book
) -> None:
    model = "gpt-4o-2024-11-20"
    standard = Deployment("fast", "azure-all", model, "regional", region="eastus")
    dear = Deployment("fast", "azure-all", model, "regional", region="eastus", tier="priority")
    (held, row), (same, _) = [
        played(counter, book, each, None, served="default", model=model)[0]
        for each in (dear, standard)
    ]
    assert held == same
    assert OVER_HOLD not in row.flags
