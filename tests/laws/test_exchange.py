"""The laws of an exchange: consumed means exactly one row (or still held), not consumed means neither."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Literal

import pytest

from gateway.dialects.contract import NAME_CHARS_MAX
from gateway.kernel.errors import UpstreamFailed
from gateway.ledger.entry import Outcome
from gateway.metering.count import Counter
from gateway.pricing.book import Book
from gateway.wire.messages import Head
from tests.laws.house import KEY, House, Steps

TRANSCRIPTS = Path(__file__).parents[1] / "transcripts"
TOO_LONG: Final = "n" * (NAME_CHARS_MAX + 1)
CHAT = "/azure/openai/deployments/gpt-4o/chat/completions"
CONVERSE = "/bedrock/model/us.anthropic.claude-sonnet-4-5-20250929-v1%3A0/converse-stream"
GEMINI = "/google/v1/models/gemini-2.5-flash:streamGenerateContent"


def recorded(provider: str, case: str) -> tuple[Head, list[bytes]]:
    meta = json.loads((TRANSCRIPTS / provider / f"{case}.meta.json").read_text())
    body = (TRANSCRIPTS / provider / f"{case}.response").read_bytes()
    headers = tuple((k.encode(), v.encode()) for k, v in meta["http"]["headers"])
    lengths = meta["chunk_lengths"] or [len(body)]
    chunks, start = [], 0
    for length in lengths:
        chunks.append(body[start : start + length])
        start += length
    return Head(meta["http"]["status"], headers), chunks


CASES: dict[str, tuple[str, dict[str, Any], tuple[str, str]]] = {
    "chat": (
        CHAT,
        {"messages": [{"role": "user", "content": "Say hello"}]},
        ("azure", "chat-basic"),
    ),
    # The same, but all of it is here with its head, of an announced length.
    "chat-whole": (
        CHAT,
        {"messages": [{"role": "user", "content": "Say hello"}]},
        ("azure", "chat-basic"),
    ),
    "chat-stream": (
        CHAT,
        {
            "messages": [{"role": "user", "content": "hi"}],
            "stream": True,
            "stream_options": {"include_usage": True},
        },
        ("azure", "chat-stream-usage"),
    ),
    "chat-stream-stripped": (
        CHAT,
        {"messages": [{"role": "user", "content": "hi"}], "stream": True},
        ("azure", "chat-stream-usage"),
    ),
    "converse-stream": (
        CONVERSE,
        {"messages": [{"role": "user", "content": [{"text": "hi"}]}]},
        ("bedrock", "converse-stream"),
    ),
    "gemini-stream": (
        GEMINI,
        {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]},
        ("google", "gemini-stream-nonmonotone"),
    ),
}


async def played(
    counter: Counter,
    book: Book,
    name: str,
    at: int | None,
    act: str,
    abandon: Literal["drain", "cancel"],
) -> tuple[House, BaseException | None]:
    """Play one case; at step ``at`` the client leaves, the request is cancelled, or the upstream dies."""
    path, body, transcript = CASES[name]
    head, chunks = recorded(*transcript)
    if name == "chat-whole":
        length = str(len(b"".join(chunks))).encode()
        head = Head(head.status, (*head.headers, (b"Content-Length", length)))
    async with asyncio.TaskGroup() as group:
        steps = Steps(at)
        house = House(counter, book, head, chunks, steps=steps, abandon=abandon, group=group)
        house.upstreams.arrived = name == "chat-whole"
        task = group.create_task(_guarded(house.call(path, body)))

        def fail() -> None:
            raise UpstreamFailed("the upstream died")

        acts: dict[str, Callable[[], object]] = {
            "leave": house.presence.leave,
            "cancel": task.cancel,
            "fail": fail,
            "nothing": lambda: None,
        }
        steps.act = acts[act]  # type: ignore[assignment]  # what an act returns does not matter
        error = await task
    return house, error


async def _guarded(call: Any) -> BaseException | None:
    try:
        await call
    except (asyncio.CancelledError, UpstreamFailed) as error:
        return error
    return None


def steps_of(counter: Counter, book: Book, name: str) -> int:
    house, _ = asyncio.run(played(counter, book, name, None, "nothing", "drain"))
    return len(house.steps.names)


def assert_law(house: House) -> None:
    """Consumed ⇒ exactly one row or still held; not consumed ⇒ neither; complete ⇒ a durable row."""
    rows, held = house.spool.settled, house.spool.intents
    if house.upstreams.consumed:
        assert len(rows) + len(held) == 1
    else:
        assert not rows
        assert not held
    if house.ended() and house.status() == 200:
        assert len(rows) == 1
    for row in rows:
        assert row.list_pico is None or row.list_pico == sum(
            line.list_pico or 0 for line in row.lines
        )


@pytest.mark.parametrize("name", CASES)
def test_an_undisturbed_exchange_is_one_row_and_the_bytes_are_the_providers(
    counter: Counter, book: Book, name: str
) -> None:
    house, error = asyncio.run(played(counter, book, name, None, "nothing", "drain"))
    assert error is None
    assert_law(house)
    (row,) = house.spool.settled
    assert (row.outcome, row.provenance, row.price_status) == (
        Outcome.COMPLETE,
        "reported",
        "priced",
    )
    _, chunks = recorded(*CASES[name][2])
    if name != "chat-stream-stripped":
        assert house.body() == b"".join(chunks)
    else:
        assert b'"usage":{' not in house.body().replace(b" ", b"")
        assert b"[DONE]" in house.body()
        assert b'"include_usage":true' in house.upstreams.consumed[0].body


@pytest.mark.parametrize("abandon", ["drain", "cancel"])
@pytest.mark.parametrize("act", ["leave", "cancel", "fail"])
@pytest.mark.parametrize("name", CASES)
def test_whatever_happens_at_any_await_there_is_one_row_or_a_hold(
    counter: Counter, book: Book, name: str, act: str, abandon: Literal["drain", "cancel"]
) -> None:
    for at in range(steps_of(counter, book, name)):
        house, _ = asyncio.run(played(counter, book, name, at, act, abandon))
        assert_law(house)


def test_a_whole_answer_goes_out_in_one_piece_after_its_row_and_else_not_at_all(
    counter: Counter, book: Book
) -> None:
    house, _ = asyncio.run(played(counter, book, "chat-whole", None, "nothing", "drain"))
    names = house.steps.names
    settled = names.index("settle")
    assert "send" not in names[:settled]
    assert "chunk" not in names
    assert [message.get("more_body") for message in house.sent] == [None, False]
    for act, statuses in (("cancel", [503]), ("fail", [502]), ("leave", [])):
        house, _ = asyncio.run(played(counter, book, "chat-whole", settled, act, "drain"))
        assert len(house.spool.settled) == 1
        assert [m["status"] for m in house.sent if "status" in m] == statuses
        assert house.ended() == bool(statuses), "a clean error, no break"


@pytest.mark.parametrize("name", ["chat-stream", "converse-stream", "gemini-stream"])
def test_a_drained_stream_is_reported_exactly_wherever_the_client_left(
    counter: Counter, book: Book, name: str
) -> None:
    whole, _ = asyncio.run(played(counter, book, name, None, "nothing", "drain"))
    for at in range(1, len(whole.steps.names) - 2):
        house, _ = asyncio.run(played(counter, book, name, at, "leave", "drain"))
        (row,) = house.spool.settled
        assert row.provenance == "reported"
        assert row.lines == whole.spool.settled[0].lines


def test_what_never_reached_the_provider_leaves_nothing(counter: Counter, book: Book) -> None:
    async def run() -> House:
        async with asyncio.TaskGroup() as group:
            house = House(counter, book, Head(200, ()), [], group=group)
            house.upstreams.unreachable = True
            await house.call(CHAT, {"messages": []})
        return house

    house = asyncio.run(run())
    assert house.status() == 502
    assert_law(house)


@pytest.mark.parametrize(
    ("path", "body", "key", "status"),
    [
        (CHAT, {"messages": []}, "wb_wrong", 401),
        ("/azure/openai/deployments/unknown/chat/completions", {"messages": []}, None, 404),
        ("/azure/openai/assistants", {}, None, 403),
        ("/bedrock/model/nobody.knows-v1%3A0/converse", {"messages": []}, None, 403),
        ("/google", {}, None, 400),
        (CHAT, ["not an object"], None, 400),
        ("/azure/openai/v1/chat/completions", {"messages": [], "model": None}, None, 400),
        ("/azure/openai/deployments/nothing-priced/chat/completions", {"messages": []}, None, 403),
        (CHAT, {"messages": [], "service_tier": TOO_LONG}, None, 400),
        ("/bedrock/v1/chat/completions", {"messages": [], "model": TOO_LONG}, None, 400),
        (f"/bedrock/model/{TOO_LONG}/converse", {"messages": []}, None, 400),
    ],
)
def test_a_refusal_consumes_nothing_and_books_nothing(
    counter: Counter, book: Book, path: str, body: Any, key: str | None, status: int
) -> None:
    async def run() -> House:
        async with asyncio.TaskGroup() as group:
            house = House(counter, book, Head(200, ()), [], group=group)
            await house.call(path, body, KEY if key is None else key)
        return house

    house = asyncio.run(run())
    assert house.status() == status
    assert not house.upstreams.consumed
    assert_law(house)


def test_an_error_of_the_providers_is_a_row_that_costs_nothing(
    counter: Counter, book: Book
) -> None:
    head, chunks = recorded("azure", "error-429-ratelimit")

    async def run() -> House:
        async with asyncio.TaskGroup() as group:
            house = House(counter, book, head, chunks, group=group)
            await house.call(CHAT, {"messages": []})
        return house

    house = asyncio.run(run())
    (row,) = house.spool.settled
    assert (row.status, row.outcome, row.list_pico, row.price_status) == (
        429,
        Outcome.ERROR,
        0,
        "free",
    )
    assert house.body() == b"".join(chunks)
