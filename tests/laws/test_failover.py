"""The laws of several attempts: a row for each that was sent, one of them the last, and the hold ends with that one."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Literal

import orjson
import pytest
from msgspec.structs import replace

from gateway.exchange.routing import RouteAlternative, RouteRule
from gateway.exchange.whole import WHOLE_BYTES_MAX
from gateway.identity.claim import Claim
from gateway.kernel.errors import (
    UpstreamFailed,
    UpstreamMalformed,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from gateway.ledger.entry import FAILED_OVER, Entry, EntryKind, Outcome
from gateway.metering.count import Counter
from gateway.pricing.book import Book
from gateway.providers.contract import Deployment, Upstream
from gateway.quota.budget import Budget
from gateway.wire.messages import Head
from tests.laws.house import PRINCIPAL, STALL, House, Script, Steps
from tests.laws.test_exchange import CASES, CHAT, CONVERSE, recorded
from tests.laws.test_holds import SEVEN, budget, guarded

MODEL = "gpt-4o-2024-11-20"
NAMES = ("first", "second", "third")
GPT = Deployment(
    "gpt-4o", "first", MODEL, "global",
    also=(
        Deployment("gpt-4o", "second", MODEL, "data_zone", "eu", named="gpt-4o-eu"),
        Deployment("gpt-4o", "third", MODEL, "global"),
    ),
)  # fmt: skip
STREAM = CASES["chat-stream-stripped"]
ANSWER = recorded(*STREAM[2])
TOO_MANY = recorded("azure", "error-429-ratelimit")
AWAY = UpstreamUnreachable("no route")
LATE = UpstreamTimeout("nothing came")
DEAD = UpstreamMalformed("the connection died")


def answers(status: int = 200) -> Script:
    return Script(*ANSWER) if status == 200 else Script(Head(status, ()), [b"not now"])


def fails(error: UpstreamFailed) -> Script:
    return Script(fails=error)


REFUSES = Script(*TOO_MANY)
# What the three places do, and what the client sees of it: the place whose answer it gets, and the status.
STORIES: dict[str, tuple[tuple[Script, ...], str, int]] = {
    "refused, then answered": ((REFUSES, answers()), "second", 200),
    "refused twice, then answered": ((REFUSES, answers(503), answers()), "third", 200),
    "away, then answered": ((fails(AWAY), answers()), "second", 200),
    "refused, away, answered": ((REFUSES, fails(AWAY), answers()), "third", 200),
    "refused, then all away": ((REFUSES, fails(AWAY), fails(AWAY)), "first", 429),
    "away, refused, away": ((fails(AWAY), REFUSES, fails(AWAY)), "second", 429),
    "refused everywhere": ((REFUSES, answers(503), answers(500)), "third", 500),
    "all away": ((fails(AWAY), fails(AWAY), fails(AWAY)), "", 502),
    "refused, then no answer": ((REFUSES, fails(LATE), answers()), "", 504),
    "no answer": ((fails(DEAD), answers()), "", 502),
}


def house_of(
    counter: Counter,
    book: Book,
    scripts: Sequence[Script],
    group: asyncio.TaskGroup,
    *,
    abandon: Literal["drain", "cancel"] = "drain",
    deployments: Sequence[Deployment] = (GPT,),
    **settings: Any,
) -> House:
    """A house whose three places do what the scripts say."""
    upstreams = [
        Upstream(name, "azure", "https://example.invalid", "", "eastus2", abandon=abandon)
        for name in NAMES
    ]
    house = House(
        counter, book, *ANSWER, group=group, abandon=abandon, upstreams=upstreams,
        deployments=deployments, **settings,
    )  # fmt: skip
    house.upstreams.by_name = dict(zip(NAMES, scripts, strict=False))
    return house


async def played(
    counter: Counter,
    book: Book,
    scripts: Sequence[Script],
    at: int | None = None,
    act: str = "nothing",
    *,
    abandon: Literal["drain", "cancel"] = "drain",
    budgets: Sequence[Budget] = SEVEN,
    body: dict[str, Any] | None = None,
    path: str = CHAT,
    places: Sequence[Deployment] = (GPT,),
    kept: Sequence[Claim] = (),
    **settings: Any,
) -> House:
    async with asyncio.TaskGroup() as group:
        steps = Steps(at)
        house = house_of(
            counter, book, scripts, group, steps=steps, abandon=abandon, budgets=budgets,
            deployments=places, **settings,
        )  # fmt: skip
        house.resources.keep(kept)
        task = group.create_task(guarded(house.call(path, STREAM[1] if body is None else body)))

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


def assert_law(house: House) -> None:
    """A row, or an open intent, for each attempt that was sent and for no other; one of them the last."""
    rows, open_ones = house.spool.settled, list(house.spool.intents.values())
    owed = sorted([*rows, *open_ones], key=lambda entry: entry.attempt)
    assert len({entry.id for entry in owed}) == len(owed)
    assert len({entry.request_id for entry in owed}) <= 1
    asked = house.upstreams.asked
    assert [entry.upstream for entry in owed] == asked
    assert [FAILED_OVER in entry.flags for entry in owed] == [True] * (len(owed) - 1) + [
        False
    ] * bool(owed)
    assert all(entry.list_pico == 0 for entry in owed[:-1])
    if house.ended() and house.status() == 200:
        assert rows
        assert rows[-1].status == 200
    assert_holds(house, rows, owed)


def assert_holds(house: House, rows: list[Entry], owed: list[Entry]) -> None:
    engine, snapshot = house.quotas.engine, house.budgets.snapshot
    if not owed:
        assert not engine.holds
        assert not any(counter.pending for counter in engine.counters.values())
        return
    final = [row.request_id for row in rows if FAILED_OVER not in row.flags]
    engine.post(snapshot.amounts(rows), final)
    if final:
        assert not engine.holds
        assert not house.holding.live
        assert not any(counter.pending for counter in engine.counters.values())
        posted = {key.budget: one.posted for key, one in engine.counters.items()}
        if "shadow" in posted:  # counts requests: of many attempts there was one
            assert posted["shadow"] == 1
    else:
        assert len(engine.holds) == 1


@pytest.mark.parametrize("story", STORIES)
def test_a_place_that_cannot_serve_is_passed_over_and_every_attempt_sent_is_a_row(
    counter: Counter, book: Book, story: str
) -> None:
    scripts, serves, status = STORIES[story]
    house = asyncio.run(played(counter, book, scripts))
    assert house.status() == status
    assert_law(house)
    if not serves:
        assert house.spool.settled == [] or house.spool.settled[-1].kind is EntryKind.UNCONFIRMED
        return
    last = max(house.spool.settled, key=lambda row: row.attempt)
    assert (last.upstream, last.status) == (serves, status)
    assert last.attempt == NAMES.index(serves) + 1
    tried = NAMES.index(last.upstream) + 1 if status == 200 else 3
    assert dict(house.sent[0]["headers"])[b"x-weighbridge-attempts"] == b"%d" % tried
    if status == 429:  # the provider's own words, as they came
        assert house.body() == b"".join(TOO_MANY[1])


@pytest.mark.parametrize("abandon", ["drain", "cancel"])
@pytest.mark.parametrize("act", ["leave", "cancel", "fail"])
@pytest.mark.parametrize("story", STORIES)
def test_whatever_happens_at_any_await_of_several_attempts_the_rows_are_those_that_were_sent(
    counter: Counter, book: Book, story: str, act: str, abandon: Literal["drain", "cancel"]
) -> None:
    scripts = tuple(shortened(script) for script in STORIES[story][0])
    whole = asyncio.run(played(counter, book, scripts))
    for at in range(len(whole.steps.names)):
        assert_law(asyncio.run(played(counter, book, scripts, at, act, abandon=abandon)))


def shortened(script: Script) -> Script:
    """The same answer in three chunks: every await of its relay is the subject of other laws."""
    chunks = list(script.chunks)
    return script._replace(chunks=[*chunks[:1], b"".join(chunks[1:-1]), *chunks[-1:]])


def test_nothing_is_tried_for_a_client_who_is_gone(counter: Counter, book: Book) -> None:
    scripts = (REFUSES, answers())
    whole = asyncio.run(played(counter, book, scripts))
    connects = whole.steps.names.index("connect")
    for at in range(connects):
        house = asyncio.run(played(counter, book, scripts, at, "leave"))
        assert house.upstreams.asked == []
        assert_law(house)
    assert not asyncio.run(
        played(counter, book, scripts, connects, "leave", abandon="cancel")
    ).spool.settled
    for at in (connects, connects + 1, connects + 2):
        house = asyncio.run(played(counter, book, scripts, at, "leave"))
        assert house.upstreams.asked == ["first"]
        (row,) = house.spool.settled
        assert row.flags == ()


@pytest.mark.parametrize("status", [200, 400, 401, 403, 404, 408, 409, 422, 424])
def test_only_a_refusal_that_says_not_now_is_tried_elsewhere(
    counter: Counter, book: Book, status: int
) -> None:
    house = asyncio.run(played(counter, book, (answers(status), answers())))
    assert house.status() == status
    assert house.upstreams.asked == ["first"]
    assert b"x-weighbridge-attempts" not in dict(house.sent[0]["headers"])


def test_a_stream_that_dies_after_its_first_byte_is_not_tried_elsewhere(
    counter: Counter, book: Book
) -> None:
    scripts = (answers(), answers())
    whole = asyncio.run(played(counter, book, scripts))
    chunks = [at for at, name in enumerate(whole.steps.names) if name in ("chunk", "end")]
    for at in chunks:
        house = asyncio.run(played(counter, book, scripts, at, "fail"))
        assert house.upstreams.asked == ["first"]
        assert not house.ended()
        assert house.spool.settled[0].outcome is Outcome.UPSTREAM_FAILED
        assert_law(house)


@pytest.mark.parametrize("error", [LATE, DEAD])
def test_what_was_never_answered_is_tried_elsewhere_only_where_that_is_allowed(
    counter: Counter, book: Book, error: UpstreamFailed
) -> None:
    scripts = (fails(error), answers())
    house = asyncio.run(played(counter, book, scripts))
    assert house.status() == error.status
    assert house.upstreams.asked == ["first"]
    house = asyncio.run(played(counter, book, scripts, retry_unanswered=True))
    assert house.status() == 200
    first, second = house.spool.settled
    assert (first.kind, first.upstream, first.flags) == (
        EntryKind.UNCONFIRMED,
        "first",
        (FAILED_OVER,),
    )
    assert (second.kind, second.upstream) == (EntryKind.USAGE, "second")
    assert_law(house)


@pytest.mark.parametrize("act", ["leave", "cancel", "fail"])
def test_the_unanswered_and_retried_have_their_rows_whatever_happens(
    counter: Counter, book: Book, act: str
) -> None:
    scripts = (fails(LATE), fails(AWAY), shortened(answers()))
    whole = asyncio.run(played(counter, book, scripts, retry_unanswered=True))
    assert whole.status() == 200
    for at in range(len(whole.steps.names)):
        house = asyncio.run(
            played(counter, book, scripts, at, act, retry_unanswered=True, abandon="cancel")
        )
        assert_law(house)


def test_so_many_attempts_and_no_more(counter: Counter, book: Book) -> None:
    scripts = (REFUSES, answers(503), answers())
    house = asyncio.run(played(counter, book, scripts, attempts=2))
    assert house.status() == 503
    assert house.upstreams.asked == ["first", "second"]
    assert house.body() == b"not now"
    assert_law(house)


def test_the_second_place_is_asked_by_its_own_name_and_priced_as_what_it_is(
    counter: Counter, book: Book
) -> None:
    house = asyncio.run(played(counter, book, (REFUSES, answers())))
    paths = [target.path_and_query for target in house.upstreams.consumed]
    assert [path.split(b"/")[3] for path in paths] == [b"gpt-4o", b"gpt-4o-eu"]
    first, second = house.spool.settled
    assert (first.scope, second.scope, second.geo) == ("global", "data_zone", "eu")
    assert second.deployment == first.deployment == "gpt-4o"
    plain = asyncio.run(played(counter, book, (answers(),)))
    (cheaper,) = plain.spool.settled
    assert cheaper.list_pico is not None
    assert second.list_pico is not None
    assert second.list_pico > cheaper.list_pico


def test_the_hold_covers_the_dearest_place(counter: Counter, book: Book) -> None:
    out = (budget("org"),)

    def held(places: Deployment, **changes: Any) -> int:
        house = asyncio.run(
            played(counter, book, (answers(),), budgets=out, places=(places,), **changes)
        )
        (hold,) = house.quotas.given
        return hold.lines[0].amount

    dear = replace(GPT.also[0], named=None)
    assert held(replace(GPT, also=())) < held(replace(GPT, also=(dear,))) == held(dear)
    assert held(replace(dear, also=(replace(GPT, also=()),))) == held(dear)


def test_a_place_without_a_price_is_passed_over_unless_the_key_allows_it(
    counter: Counter, book: Book
) -> None:
    nowhere = replace(GPT, also=(Deployment("gpt-4o", "second", "unheard-of", "global"),))
    scripts = (REFUSES, answers())
    house = asyncio.run(played(counter, book, scripts, places=(nowhere,), budgets=()))
    assert house.status() == 429
    assert house.upstreams.asked == ["first"]


def test_what_one_place_keeps_is_asked_there_only(counter: Counter, book: Book) -> None:
    body = {"model": "gpt-4o", "input": "go on", "previous_response_id": "resp_1"}
    path = "/azure/openai/v1/responses"
    for place in ("first", "second", "gone"):
        kept = Claim("azure/resp_1", PRINCIPAL.org, PRINCIPAL.team, "key_1", place, 0)
        house = asyncio.run(
            played(counter, book, (REFUSES, answers()), body=body, path=path, kept=[kept])
        )
        assert house.upstreams.asked == (["first"] if place == "gone" else [place])
    del body["previous_response_id"]
    part = {"role": "user", "content": [{"type": "input_file", "file_id": "file_1"}]}
    kept = Claim("azure/file_1", PRINCIPAL.org, PRINCIPAL.team, "key_1", "second", 0)
    reading: dict[str, Any] = {"model": "gpt-4o", "input": [part]}
    house = asyncio.run(
        played(counter, book, (REFUSES, answers()), body=reading, path=path, kept=[kept])
    )
    assert house.upstreams.asked == ["second"]
    house = asyncio.run(played(counter, book, (REFUSES, answers(503)), body=body, path=path))
    assert house.upstreams.asked == ["first", "second", "third"]
    named = [orjson.loads(target.body)["model"] for target in house.upstreams.consumed]
    assert named == ["gpt-4o", "gpt-4o-eu", "gpt-4o"]


def test_a_refusal_that_does_not_end_is_not_waited_for(counter: Counter, book: Book) -> None:
    huge = Script(Head(503, ()), [b"x" * WHOLE_BYTES_MAX, b"x", b"never read"])
    house = asyncio.run(played(counter, book, (huge, answers())))
    assert house.status() == 200
    house = asyncio.run(played(counter, book, (huge, fails(AWAY), fails(AWAY))))
    assert house.status() == 503
    assert not house.ended()  # it was never whole
    assert_law(house)


def test_a_worker_that_dies_between_two_attempts_leaves_what_is_booked_once(
    counter: Counter, book: Book
) -> None:
    """The journal at any await: one open attempt counts the request, the refused ones cost nothing."""
    scripts = (REFUSES, answers(503), shortened(answers()))
    seen: list[list[Entry]] = []

    async def run() -> None:
        async with asyncio.TaskGroup() as group:
            steps = Steps()
            house = house_of(counter, book, scripts, group, steps=steps)
            reach = steps.reach

            async def look(name: str) -> None:
                seen.append([*house.spool.settled, *house.spool.intents.values()])
                await reach(name)

            steps.reach = look  # type: ignore[method-assign]
            await house.call(CHAT, STREAM[1])

    asyncio.run(run())
    for entries in seen:
        assert sum(FAILED_OVER not in entry.flags for entry in entries) == bool(entries)
        assert all(entry.list_pico == 0 for entry in entries if FAILED_OVER in entry.flags)
    assert max(len(entries) for entries in seen) == 3


def test_a_route_goes_to_another_region_when_the_first_has_no_capacity(
    counter: Counter, book: Book
) -> None:
    converse = recorded(*CASES["converse-stream"][2])

    async def run() -> House:
        async with asyncio.TaskGroup() as group:
            places = [
                Upstream(
                    name, "bedrock", "https://{location}.invalid", "runtime", region, None, region
                )
                for name, region in (("east", "us-east-1"), ("west", "us-west-2"))
            ]
            rule = RouteRule("bedrock", "us.*", "east", also=(RouteAlternative("west"),))
            house = House(counter, book, *converse, group=group, upstreams=places, rules=(rule,))
            house.upstreams.by_name["east"] = answers(503)
            await house.call(CONVERSE, CASES["converse-stream"][1])
        return house

    house = asyncio.run(run())
    assert house.status() == 200
    first, second = house.spool.settled
    assert (first.region, second.region) == ("us-east-1", "us-west-2")
    signed = [target.signing.region for target in house.upstreams.consumed if target.signing]
    assert signed == ["us-east-1", "us-west-2"]


def test_a_refusal_that_does_not_come_is_waited_for_shortly(
    counter: Counter, book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.exchange.whole.KEPT_SECONDS_MAX", 0.02)
    stalls = Script(Head(503, ()), [b"now", STALL])
    house = asyncio.run(played(counter, book, (stalls, answers())))
    assert house.status() == 200
    assert [row.status for row in house.spool.settled] == [503, 200]


def test_places_that_are_left_alone_are_not_asked_where_there_is_an_answer_to_pass_on(
    counter: Counter, book: Book
) -> None:
    async def run() -> list[int]:
        async with asyncio.TaskGroup() as group:
            house = house_of(counter, book, (answers(503),) * 3, group)
            counts = []
            for _ in range(8):
                before = len(house.upstreams.asked)
                await house.call(CHAT, STREAM[1])
                counts.append(len(house.upstreams.asked) - before)
        assert [state for _, state in house.observer.turns][:3] == ["open"] * 3
        return counts

    # Five failures open each; then one place a request, lest it be refused without being tried at all.
    assert asyncio.run(run()) == [3, 3, 3, 3, 3, 1, 1, 1]
