"""The laws of a hold: not consumed ⇒ nothing held; consumed ⇒ what is posted is what the row used, whatever happens."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any, Literal

import orjson
import pytest

from gateway.exchange.growth import exception
from gateway.kernel.errors import UpstreamFailed
from gateway.ledger.entry import FAIL_OPEN, OVER_HOLD, SHADOW_REFUSED, STOPPED
from gateway.metering import asking
from gateway.metering.count import Counter
from gateway.pricing.book import Book
from gateway.quota.amount import amount
from gateway.quota.budget import Budget, Scope
from gateway.wire import jsondoc
from gateway.wire.eventstream import encode
from gateway.wire.messages import Head
from tests.laws.house import House, Steps
from tests.laws.test_exchange import CASES, CHAT, recorded

DOLLAR = 10**9  # in nano-USD


def budget(name: str, **changes: Any) -> Budget:
    fields: dict[str, Any] = {
        "id": name, "name": name, "scope": Scope(), "measure": "usd_net", "limit": 1000 * DOLLAR,
        "window": "month",
    }  # fmt: skip
    return Budget(**(fields | changes))


SEVEN = (
    budget("org"),
    budget("team", scope=Scope(team="core"), measure="usd_list"),
    budget("user", each="user", measure="tokens", limit=10**9, window="day"),
    budget("out", measure="output_tokens", limit=10**9, window="week"),
    budget("at-once", each="key", measure="concurrent", limit=1, window="always"),
    budget("rate", measure="requests", limit=1000, window="minute"),
    budget("shadow", measure="requests", limit=1, window="day", shadow=True),
)


async def played(
    counter: Counter,
    book: Book,
    name: str,
    at: int | None,
    act: str,
    abandon: Literal["drain", "cancel"] = "drain",
    *,
    budgets: tuple[Budget, ...] = SEVEN,
) -> House:
    path, body, transcript = CASES[name]
    head, chunks = recorded(*transcript)
    async with asyncio.TaskGroup() as group:
        steps = Steps(at)
        house = House(
            counter, book, head, chunks, steps=steps, abandon=abandon, group=group, budgets=budgets
        )
        task = group.create_task(guarded(house.call(path, body)))

        def fail() -> None:
            raise UpstreamFailed("the upstream died")

        acts: dict[str, Callable[[], object]] = {
            "leave": house.presence.leave,
            "cancel": task.cancel,
            "fail": fail,
            "nothing": lambda: None,
        }
        steps.act = acts[act]  # type: ignore[assignment]  # what an act returns does not matter
        await task
    return house


async def guarded(call: Any) -> None:
    try:
        await call
    except (asyncio.CancelledError, UpstreamFailed):
        return


def assert_law(house: House) -> None:
    """Before and after the ledger's own transaction."""
    engine, rows = house.quotas.engine, house.spool.settled
    pending = {key.budget: counter.pending for key, counter in engine.counters.items()}
    if not house.upstreams.consumed:
        assert not engine.holds
        assert not any(pending.values())
        assert not house.holding.live
        return
    if rows:
        (row,) = rows
        held = {line.key: line.amount for hold in engine.holds.values() for line in hold.lines}
        named = house.budgets.snapshot.budgets
        assert held == {key: amount(named[key.budget], row) for key in held}
        assert not house.holding.live
    engine.post(house.budgets.snapshot.amounts(rows), [row.request_id for row in rows])
    if rows:
        assert not engine.holds
        assert not any(counter.pending for counter in engine.counters.values())
    else:
        assert len(engine.holds) == 1


@pytest.mark.parametrize("abandon", ["drain", "cancel"])
@pytest.mark.parametrize("act", ["leave", "cancel", "fail"])
@pytest.mark.parametrize(
    "name", ["chat", "chat-stream-stripped", "converse-stream", "gemini-stream"]
)
def test_whatever_happens_at_any_await_a_hold_becomes_what_was_used_or_nothing(
    counter: Counter, book: Book, name: str, act: str, abandon: Literal["drain", "cancel"]
) -> None:
    whole = asyncio.run(played(counter, book, name, None, "nothing"))
    assert whole.status() == 200
    for at in range(len(whole.steps.names)):
        assert_law(asyncio.run(played(counter, book, name, at, act, abandon)))


def test_what_is_left_of_every_budget_is_said_in_the_answers_head(
    counter: Counter, book: Book
) -> None:
    house = asyncio.run(played(counter, book, "chat", None, "nothing"))
    headers = dict(house.sent[0]["headers"])
    assert b'"org"' in headers[b"x-weighbridge-budgets"]
    assert b'"rate";q=1000' in headers[b"ratelimit-policy"]
    assert b'"at-once";r=0' in headers[b"ratelimit"]


async def called(
    counter: Counter, book: Book, budgets: tuple[Budget, ...], *, away: bool = False
) -> House:
    head, chunks = recorded("azure", "chat-basic")
    async with asyncio.TaskGroup() as group:
        house = House(counter, book, head, chunks, group=group, budgets=budgets)
        house.quotas.is_away = away
        house.observer.may_fail = ("quota.reserve",)
        await house.call(CHAT, {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 9})
    return house


def test_a_spent_budget_refuses_with_its_figures_and_nothing_is_sent(
    counter: Counter, book: Book
) -> None:
    house = asyncio.run(called(counter, book, (budget("tiny", limit=1), *SEVEN)))
    assert house.status() == 429
    error = orjson.loads(house.sent[1]["body"])["error"]
    assert error["code"] == "insufficient_quota"
    assert error["weighbridge"]["budget"] == "tiny"
    assert error["weighbridge"]["limit"] == "0.000000001"
    assert not house.upstreams.consumed
    assert not house.quotas.engine.holds
    assert not any(counter.pending for counter in house.quotas.engine.counters.values())


def test_a_budget_in_shadow_refuses_nothing_and_marks_the_row(counter: Counter, book: Book) -> None:
    house = asyncio.run(called(counter, book, (budget("tiny", limit=1, shadow=True),)))
    assert house.status() == 200
    assert SHADOW_REFUSED in house.spool.settled[0].flags


def test_a_budget_in_money_refuses_a_model_without_a_price(counter: Counter, book: Book) -> None:
    async def run() -> House:
        async with asyncio.TaskGroup() as group:
            house = House(counter, book, Head(200, ()), [], group=group, budgets=(budget("org"),))
            house.may_use_unpriced()
            path = "/azure/openai/deployments/nothing-priced/chat/completions"
            await house.call(path, {"messages": []})
        return house

    house = asyncio.run(run())
    assert house.status() == 403
    assert b"budget 'org'" in house.sent[1]["body"]
    assert not house.upstreams.consumed


@pytest.mark.parametrize(
    ("policy", "status"), [("deny", 503), ("allow", 200), ("allow_within", 503)]
)
def test_a_store_that_is_away_is_met_as_each_budget_says(
    counter: Counter, book: Book, policy: Any, status: int
) -> None:
    house = asyncio.run(called(counter, book, (budget("org", store_down=policy),), away=True))
    assert house.status() == status
    if status == 200:
        assert house.spool.settled[0].flags.count(FAIL_OPEN) == 1
        assert FAIL_OPEN in house.spool.intended[0].flags  # a worker that dies now says so as well
        assert "intent_durable" in house.steps.names
    else:
        assert not house.spool.settled
        assert not house.spool.intents


def test_what_passed_without_its_hold_counts_in_its_minute_afterwards(
    counter: Counter, book: Book
) -> None:
    budgets = (
        budget("pace", measure="requests", limit=60, window="minute", store_down="allow"),
        budget("all", measure="requests", limit=60, store_down="allow"),
    )
    house = asyncio.run(called(counter, book, budgets, away=True))
    assert house.status() == 200
    counters = house.quotas.engine.counters
    assert [key.budget for key in counters] == ["pace"]
    (minute,) = counters.values()
    assert 0 < minute.tat_us - house.clock.us <= 1_000_000
    assert minute.pending == 0


def test_a_provider_that_charges_more_than_was_held_is_booked_and_flagged(
    counter: Counter, book: Book
) -> None:
    # The recorded answer has more output than the ceiling that this request states.
    async def run() -> House:
        head, chunks = recorded("azure", "chat-basic")
        async with asyncio.TaskGroup() as group:
            out = budget("out", measure="output_tokens", limit=10**6)
            house = House(counter, book, head, chunks, group=group, budgets=(out,))
            await house.call(CHAT, {"messages": [], "max_tokens": 1})
        return house

    house = asyncio.run(run())
    (row,) = house.spool.settled
    assert OVER_HOLD in row.flags
    assert_law(house)
    assert [one.posted for one in house.quotas.engine.counters.values()] == [
        sum(line.quantity for line in row.lines if line.unit.startswith("output"))
    ]


def test_a_budget_that_clamps_lowers_the_ceiling_to_what_is_left(
    counter: Counter, book: Book
) -> None:
    async def run() -> House:
        head, chunks = recorded("azure", "chat-basic")
        async with asyncio.TaskGroup() as group:
            small = budget("small", measure="output_tokens", limit=40, clamp=True)
            house = House(counter, book, head, chunks, group=group, budgets=(small,))
            await house.call(CHAT, {"messages": [], "max_tokens": 5000})
        return house

    house = asyncio.run(run())
    assert house.status() == 200
    assert dict(house.sent[0]["headers"])[b"x-weighbridge-clamped"] == b"40"
    (target,) = house.upstreams.consumed
    assert orjson.loads(target.body) == {"messages": [], "max_tokens": 40}
    assert_law(house)


@pytest.mark.parametrize("pieces", [10, 40_000])
def test_a_body_of_many_pieces_is_read_and_lowered_where_nobody_waits_for_it(
    counter: Counter, book: Book, monkeypatch: pytest.MonkeyPatch, pieces: int
) -> None:
    """250 KiB of nearly nothing take half a second to read: on the loop, every other call would stand still."""
    where: list[threading.Thread] = []
    parse = jsondoc.parse_object

    def watched(raw: bytes, sensitive: tuple[str, ...]) -> Any:
        where.append(threading.current_thread())
        return parse(raw, sensitive)

    monkeypatch.setattr(asking, "parse_object", watched)

    async def run() -> House:
        head, chunks = recorded("azure", "chat-basic")
        async with asyncio.TaskGroup() as group:
            small = budget("small", measure="output_tokens", limit=40, clamp=True)
            house = House(counter, book, head, chunks, group=group, budgets=(small,))
            await house.call(CHAT, {"messages": [], "max_tokens": 5000, "stop": [""] * pieces})
        return house

    house = asyncio.run(run())
    assert house.status() == 200
    assert orjson.loads(house.upstreams.consumed[0].body)["max_tokens"] == 40
    assert len(where) >= 2
    assert {thread is threading.main_thread() for thread in where} == {pieces == 10}


def sse(*events: Any) -> list[bytes]:
    return [b"data: %b\n\n" % orjson.dumps(event) for event in events]


def chat_event(text: str) -> dict[str, Any]:
    return {"model": "gpt-4o-2024-11-20", "choices": [{"index": 0, "delta": {"content": text}}]}


def converse_event(text: str) -> bytes:
    named = {":event-type": "contentBlockDelta", ":message-type": "event"}
    return encode(named, orjson.dumps({"delta": {"text": text}, "contentBlockIndex": 0}))


LONG = ["lorries drive across and nothing is unloaded; "] * 2_000  # some 18,000 tokens
ENDLESS: dict[str, tuple[str, dict[str, Any], bytes, list[bytes], bytes]] = {
    "chat": (
        CHAT,
        {"messages": [], "stream": True},
        b"text/event-stream",
        sse(*map(chat_event, LONG)),
        b'"finish_reason":"length"',
    ),
    "converse": (
        CASES["converse-stream"][0],
        {"messages": []},
        b"application/vnd.amazon.eventstream",
        [converse_event(text) for text in LONG],
        b"throttlingException",
    ),
    "gemini": (
        CASES["gemini-stream"][0],
        {"contents": []},
        b"text/event-stream",
        sse(*({"candidates": [{"content": {"parts": [{"text": text}]}}]} for text in LONG)),
        b'"finishReason":"MAX_TOKENS"',
    ),
}


def endless(
    counter: Counter, book: Book, name: str, cut: int, *, stop: bool = True
) -> tuple[House, list[bytes], bytes]:
    """A stream that a budget of 5,000 output tokens does not afford, in pieces of ``cut`` bytes."""
    path, body, kind, events, ending = ENDLESS[name]
    whole = b"".join(events)
    chunks = [whole[at : at + cut] for at in range(0, len(whole), cut)]

    async def run() -> House:
        async with asyncio.TaskGroup() as group:
            out = budget("out", measure="output_tokens", limit=5_000, stop=stop)
            head = Head(200, ((b"content-type", kind),))
            house = House(counter, book, head, chunks, group=group, budgets=(out,))
            await house.call(path, body)
        return house

    return asyncio.run(run()), events, ending


@pytest.mark.parametrize("cut", [97, 1_000, 16_384])
@pytest.mark.parametrize("name", ENDLESS)
def test_a_stream_ends_in_its_own_protocols_way_when_its_budget_runs_out(
    counter: Counter, book: Book, name: str, cut: int
) -> None:
    house, events, ending = endless(counter, book, name, cut)
    assert house.status() == 200
    assert house.ended()
    body = house.body()
    # Behind a whole event, whatever the cuts were: what came before is the provider's, byte for byte.
    begun = (
        body.rindex(b"data: ", 0, body.index(ending)) if name != "converse" else -len(exception())
    )
    assert b"".join(events).startswith(body[:begun])
    assert ending in body[begun:]
    (row,) = house.spool.settled
    assert STOPPED in row.flags
    assert row.outcome == "interrupted"
    used = sum(line.quantity for line in row.lines if line.unit.startswith("output"))
    assert 1_500 < used <= 5_000
    assert_law(house)


def test_a_budget_that_does_not_stop_streams_refuses_what_it_cannot_afford_whole(
    counter: Counter, book: Book
) -> None:
    house, _, _ = endless(counter, book, "chat", 1_000, stop=False)
    assert house.status() == 429
    assert not house.upstreams.consumed
