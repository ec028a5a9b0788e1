"""What is booked where the answer does not say it: a charged refusal, a dead worker's request, a creator's batch."""

import asyncio
import json
from typing import Any

import pytest

from gateway.exchange import entries
from gateway.kernel.ids import new_id
from gateway.ledger.entry import Entry, Outcome
from gateway.metering.count import Counter
from gateway.pricing.book import Book
from gateway.wire.messages import Head
from tests.laws.house import House, Steps

CHAT = "/azure/openai/deployments/gpt-4o/chat/completions"
ASKED = {"messages": [{"role": "user", "content": "Say hello"}]}
JSON = ((b"content-type", b"application/json"),)
FILTERED = {"code": "content_filter", "innererror": {"code": "ResponsibleAIPolicyViolation"}}


def refused(counter: Counter, book: Book, status: int, error: dict[str, Any]) -> Entry:
    async def run() -> House:
        async with asyncio.TaskGroup() as group:
            raw = json.dumps({"error": error}).encode()
            house = House(
                counter, book, Head(status, JSON), [raw[i : i + 7] for i in range(0, len(raw), 7)],
                group=group,
            )  # fmt: skip
            await house.call(CHAT, ASKED)
        return house

    (row,) = asyncio.run(run()).spool.settled
    return row


@pytest.mark.parametrize(
    ("status", "error"),
    [(400, FILTERED), (400, {"innererror": FILTERED["innererror"]}), (408, {"code": "Timeout"})],
)
def test_a_refusal_that_charges_the_prompt_books_our_count_of_it(
    counter: Counter, book: Book, status: int, error: dict[str, Any]
) -> None:
    row = refused(counter, book, status, error)
    (line,) = row.lines
    assert (line.unit, line.quantity) == ("input_text", row.counted_input)
    assert row.net_pico
    assert (row.provenance, row.outcome, row.flags) == (
        "estimated",
        Outcome.ERROR,
        ("prompt_charged",),
    )


@pytest.mark.parametrize(
    ("status", "error"),
    [(400, {"code": "context_length_exceeded"}), (400, {"code": ["content_filter"]}),
     (403, FILTERED), (429, FILTERED)],
)  # fmt: skip
def test_any_other_refusal_costs_nothing(
    counter: Counter, book: Book, status: int, error: dict[str, Any]
) -> None:
    row = refused(counter, book, status, error)
    assert (row.lines, row.net_pico, row.flags) == ((), 0, ())


def test_what_a_dead_worker_leaves_gives_no_discount_that_nobody_confirmed(
    counter: Counter, book: Book
) -> None:
    async def intended(body: dict[str, Any]) -> Entry:
        kept: list[Entry] = []
        async with asyncio.TaskGroup() as group:
            house = House(counter, book, Head(500, JSON), [b"{}"], steps=Steps(), group=group)
            house.may_use_unpriced()
            place = house.spool.intent
            house.spool.intent = lambda entry: (kept.append(entry), place(entry))[1]  # type: ignore[method-assign,func-returns-value]
            await house.call(CHAT, body)
        return kept[0]

    plain = asyncio.run(intended(ASKED))
    cheap = asyncio.run(intended({**ASKED, "service_tier": "flex"}))
    assert plain.net_pico
    assert (cheap.tier, cheap.net_pico, cheap.flags) == (
        "standard",
        plain.net_pico,
        ("tier_unconfirmed",),
    )


def test_a_batch_is_charged_under_its_creators_tags() -> None:
    creator, seen = (
        Entry(
            id=new_id(), request_id=new_id(), occurred_us=0, booked_us=0, day="2026-11-22", period=202611,
            org="o", team=team, user="u", key_id="k", provider="azure", operation="batches", upstream="a",
            status=200, outcome=Outcome.COMPLETE, provenance="reported", tags=tags,
        )
        for team, tags in (("one", ("project=a",)), ("two", ("project=b",)))
    )  # fmt: skip
    booked = entries.deferred(seen, "azure/a/batch_1/usage", creator)
    assert (booked.team, booked.tags) == ("one", ("project=a",))
