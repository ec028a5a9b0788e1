"""A call that goes on from an earlier answer is held by what that one weighed, however long the chain has grown."""

import asyncio
from typing import Any, Final, NamedTuple

import orjson
import pytest
from hypothesis import given, settings, strategies as st
from msgspec.structs import replace

from gateway.exchange.margins import MARGINS
from gateway.ledger.entry import OVER_HOLD, Entry
from gateway.metering.count import Confidence, Counter
from gateway.pricing.book import Book
from gateway.providers.contract import Deployment
from gateway.quota.budget import Budget, Scope
from gateway.wire.messages import Head
from tests.laws.house import PRINCIPAL, House

PATH: Final = "/azure/openai/v1/responses"
SERVED: Final = {"gpt-4o": "gpt-4o-2024-11-20", "small": "gpt-4o-mini-2024-07-18"}
SMALL: Final = Deployment("small", "azure-all", "gpt-4o-mini", "global")
INPUT: Final = Budget(
    id="in", name="in", scope=Scope(), measure="input_tokens", limit=10**9, window="month"
)
MONEY: Final = replace(INPUT, id="money", name="money", measure="usd_net", limit=10**15)


class Turn(NamedTuple):
    """What one call adds: words of the client's, thoughts and words of the model's; whether old thoughts are read."""

    said: int
    thought: int
    answered: int
    rereads: bool = False
    body: dict[str, Any] = {}
    output: list[dict[str, Any]] = [{"type": "message", "id": "msg_1"}]
    more: dict[str, Any] = {}
    model: str = "gpt-4o"


class Held(NamedTuple):
    tokens: int
    entry: Entry


class Chain:
    """A provider that keeps answers: each is read again by whoever goes on from it."""

    def __init__(self, counter: Counter, book: Book, *, single_tenant: bool = False) -> None:
        self.counter, self.book = counter, book
        self.words = self.thoughts = self.made = 0
        self.claims: dict[str, Any] = {}
        self.single_tenant = single_tenant

    async def play(self, turn: Turn, team: str = "core") -> Held:
        read = self.words + turn.said + (self.thoughts if turn.rereads else 0)
        self.words += turn.said + turn.answered
        self.thoughts += turn.thought
        before, self.made = self.made, self.made + 1
        written = turn.thought + turn.answered
        usage = {
            "input_tokens": read, "output_tokens": written, "total_tokens": read + written,
            "output_tokens_details": {"reasoning_tokens": turn.thought},
        }  # fmt: skip
        answer = {
            "id": f"resp_{self.made}", "object": "response", "status": "completed", "usage": usage,
            "model": SERVED[turn.model], "output": turn.output, **turn.more,
        }  # fmt: skip
        raw = orjson.dumps(answer)
        head = Head(200, ((b"content-type", b"application/json"),))
        body = {"model": turn.model, "input": "a " * turn.said, "max_output_tokens": written + 16}
        if before:
            body["previous_response_id"] = f"resp_{before}"
        async with asyncio.TaskGroup() as group:
            house = House(
                self.counter, self.book, head, [raw], group=group, budgets=(INPUT, MONEY), deployments=(SMALL,)
            )  # fmt: skip
            house.keys.principal = replace(PRINCIPAL, team=team)
            house.resources.claims = self.claims  # whoever serves the next turn knows them
            await house.call(PATH, {**body, **turn.body})
        assert house.status() == 200, house.body()
        lines = {line.key.budget: line.amount for line in house.quotas.given[0].lines}
        return Held(lines["in"], house.spool.settled[0])


def played(chain: Chain, *turns: Turn) -> list[Held]:
    async def play() -> list[Held]:
        return [await chain.play(turn) for turn in turns]

    return asyncio.run(play())


turns = st.tuples(
    st.integers(1, 400), st.integers(0, 9_000), st.integers(1, 30_000), st.booleans()
).map(lambda drawn: Turn(*drawn))


@settings(max_examples=40, deadline=None)
@given(st.lists(turns, min_size=2, max_size=6))
def test_a_chain_is_held_by_what_it_weighs(counter: Counter, book: Book, many: list[Turn]) -> None:
    """Whichever thoughts a turn reads again: never more than its hold, and its hold is no flat allowance either."""
    chain = Chain(counter, book)
    thoughts = 0
    for at, held in enumerate(played(chain, *many)):
        assert OVER_HOLD not in held.entry.flags
        used = sum(line.quantity for line in held.entry.lines if line.unit == "input_text")
        assert used <= held.tokens
        counted = held.entry.counted_input or 0
        beyond = MARGINS.slack(Confidence.ESTIMATE).over(counted) + at * 600
        assert held.tokens <= used + thoughts + beyond
        thoughts += many[at].thought


WINDOW: Final = 128_000  # tokens, of the model: held where nobody can tell
LONG: Final = Turn(10, 0, 70_000)
AGAIN: Final = Turn(10, 0, 10)


@pytest.mark.parametrize(
    "first",
    [
        LONG._replace(body={"store": False}),
        LONG._replace(body={"truncation": "auto"}),
        LONG._replace(output=[{"type": "image_generation_call"}, {"type": "message"}]),
        LONG._replace(output=[{"type": "message"}, {"type": "web_search_call"}]),
        LONG._replace(output=[{"type": "compaction"}]),
        LONG._replace(more={"model": "gpt-4o-mini-2024-07-18"}),
        LONG._replace(more={"model": "of-another-house"}),
        LONG._replace(more={"usage": None}),
        LONG._replace(more={"error": {"code": "server_error"}}),
        LONG._replace(model="small"),
    ],
)
def test_what_an_answer_does_not_tell_of_the_next_call_is_not_taken_from_it(
    counter: Counter, book: Book, first: Turn
) -> None:
    chain = Chain(counter, book)
    played(chain, first)
    chain.claims.setdefault("azure/resp_1", claimed(chain))
    assert played(chain, AGAIN)[0].tokens >= WINDOW


def claimed(chain: Chain) -> Any:
    """A claim such as is made of any answer."""
    elsewhere = Chain(chain.counter, chain.book)
    played(elsewhere, LONG)
    return replace(elsewhere.claims["azure/resp_1"], tokens=None, model=None)


def test_what_tools_of_the_provider_told_an_answer_is_carried_where_it_went_on_from_it(
    counter: Counter, book: Book
) -> None:
    chain = Chain(counter, book)
    searched = LONG._replace(output=[{"type": "web_search_call"}, {"type": "message"}], more={
        "tool_usage": {"web_search": {"num_requests": 1}},
    })  # fmt: skip
    _, second = played(chain, searched, AGAIN)
    assert 70_000 < second.tokens < 72_000
    assert OVER_HOLD not in second.entry.flags


def test_a_turn_that_leaves_out_what_does_not_fit_is_held_whole_and_carries_nothing(
    counter: Counter, book: Book
) -> None:
    cut = AGAIN._replace(body={"truncation": "auto"})
    _, second, third = played(Chain(counter, book), LONG, cut, AGAIN)
    assert second.tokens > 70_000
    assert third.tokens >= WINDOW  # what was left out may be read again


def test_anothers_answer_carries_nothing_and_is_not_there(counter: Counter, book: Book) -> None:
    chain = Chain(counter, book)
    played(chain, LONG)
    with pytest.raises(AssertionError, match="unknown_resource"):
        asyncio.run(chain.play(AGAIN, "search"))
