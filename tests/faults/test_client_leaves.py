"""Clients that leave: noticed at once, in every form and at every moment, and each call still has its one row."""

import asyncio
import itertools
import time
from collections.abc import Awaitable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Literal, NamedTuple

import pytest

from gateway.commands.demo import answers
from gateway.ledger.entry import Entry, Outcome
from gateway.metering.count import Counter
from gateway.metering.prompt import Observed
from gateway.upstream.pool import UpstreamPool
from tests.faults.gateways import in_process, settings
from tests.faults.origin import Asked, Origin, Step, json_answer, standing
from tests.faults.streams import CHAT, EXACT, STREAMS, UNASKED, Stream, stream_of, used
from tests.faults.visitor import LEAVINGS, Got, Leaving, Visitor, post, until
from tests.serving import Running

Moment = Literal["before the head", "stalled", "flowing"]
MOMENTS: Final[tuple[Moment, ...]] = ("before the head", "stalled", "flowing")
CALL_ID: Final = "amz-sdk-invocation-id"
PROMPTLY_S: Final = 1.0  # the promise is 0.1 s; this machine may be busy
REST_S: Final = 0.6  # how long an upstream lets wait for what it still has to say
EXACT_MODELS: Final = {"chat": "gpt-4o", "responses": "gpt-5.4"}
_numbers = itertools.count()


def paced(asked: Asked) -> list[Step]:
    """What the request's own header says of its pace: silent before the head, in the middle, or flowing."""
    stream, moment = stream_of(asked), asked.header("x-moment")
    if moment == "before the head":
        return [REST_S, *stream.steps()]
    if moment == "stalled":
        steps = stream.steps()
        return [*steps[:4], REST_S, *steps[4:]]
    if moment == "at the end":
        steps = stream.steps()
        return [*steps[:-1], REST_S, steps[-1]]
    return stream.steps(pause_s=0.02)


class House(NamedTuple):
    """A gateway of one policy, and its upstream."""

    gateway: Running
    origin: Origin

    def opened(self) -> tuple[int, int]:
        """Connections to the upstream: open, and of these idle."""
        assert self.gateway.gateway._proxy is not None
        pool = self.gateway.gateway._proxy.exchanges.sending.upstreams
        assert isinstance(pool, UpstreamPool)
        figures = pool.statistics().values()
        return sum(one.open for one in figures), sum(one.idle for one in figures)

    def calls(self) -> set[str | None]:
        """The calls that have reached the upstream."""
        return {asked.header("x-call") for asked in self.origin.asked}

    def left(self, call_id: str) -> list[float]:
        """When the upstream lost its peer in the middle of answering a call."""
        return [at for asked, at in self.origin.left if asked.header("x-call") == call_id]


@contextmanager
def standing_house(folder: Path, policy: str) -> Iterator[House]:
    with (
        standing(lambda: Origin(paced).running()) as origin,
        in_process(settings(folder, origin.port, abandon=policy)) as gateway,
    ):
        yield House(gateway, origin)


@pytest.fixture(scope="module")
def cancelling(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with standing_house(tmp_path_factory.mktemp("cancel"), "cancel") as house:
        yield house


@pytest.fixture(scope="module")
def draining(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with standing_house(tmp_path_factory.mktemp("drain"), "drain") as house:
        yield house


class Departure(NamedTuple):
    """One client of one stream, that leaves at a moment in a form. ``call_id`` is told to both sides."""

    stream: Stream
    moment: Moment
    how: Leaving
    call_id: str
    after: int = 2  # the part that it has seen when it leaves

    def request(self, key: str) -> bytes:
        headers = {CALL_ID: self.call_id, "x-call": self.call_id, "x-moment": self.moment}
        return post(self.stream.path, self.stream.body, key, headers)


def departures() -> list[Departure]:
    every = itertools.product(STREAMS, MOMENTS, LEAVINGS)
    return [
        Departure(stream, moment, how, f"call-{next(_numbers)}") for stream, moment, how in every
    ]


async def leave(house: House, one: Departure) -> float:
    """Ask, leave when the moment has come; when that was."""
    visitor = await Visitor.connect(house.gateway.port)
    await visitor.send(one.request(house.gateway.key.key))
    if one.moment == "before the head":
        await until(lambda: one.call_id in house.calls())
    else:
        await visitor.read_until(one.stream.parts[one.after])
    left = time.monotonic()
    visitor.leave(one.how)
    if one.how == "half":
        await asyncio.sleep(2 * REST_S)  # it goes on listening; nobody answers
        visitor.close()
    return left


def together(work: Sequence[Awaitable[float]]) -> list[float]:
    async def run() -> list[float]:
        return await asyncio.gather(*work)

    return asyncio.run(run())


def rows_of(house: House, before: int, calls: Sequence[str]) -> dict[str, list[Entry]]:
    rows = house.gateway.rows(before + len(calls))
    assert len(rows) == before + len(calls)
    return {call: [row for row in rows if row.client_call_id == call] for call in calls}


def until_idle(house: House, seconds: float = 5) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        opened, idle = house.opened()
        if opened == idle == house.origin.open:
            return
        time.sleep(0.02)
    raise AssertionError((house.opened(), house.origin.open))


def test_under_cancel_the_upstream_is_left_at_once_and_what_was_used_is_booked(
    cancelling: House,
) -> None:
    house, every = cancelling, departures()
    before = len(house.gateway.rows(0))
    left = together([leave(house, one) for one in every])
    rows = rows_of(house, before, [one.call_id for one in every])
    delays = []
    for one, at in zip(every, left, strict=True):
        (noticed,) = house.left(one.call_id)
        delays.append(noticed - at)
        (row,) = rows[one.call_id]
        assert row.outcome is Outcome.CLIENT_LEFT, one
        assert row.net_pico, one
        if one.moment != "before the head":
            known = "partial" if one.stream.running else ("counted", "estimated")
            assert row.provenance in known, one
    assert max(delays) < PROMPTLY_S
    print(
        f"upstream left after {sorted(delays)[len(delays) // 2] * 1000:.1f} ms (median), {max(delays) * 1000:.1f} ms (worst)"
    )
    until_idle(house)


def test_under_drain_the_usage_is_exact_in_every_dialect_however_the_client_left(
    draining: House,
) -> None:
    house, every = draining, departures()
    before = len(house.gateway.rows(0))
    together([leave(house, one) for one in every])
    rows = rows_of(house, before, [one.call_id for one in every])
    for one in every:
        assert house.left(one.call_id) == []
        (row,) = rows[one.call_id]
        assert (used(row), row.provenance) == (EXACT, "reported"), one
        assert row.outcome is Outcome.CLIENT_LEFT, one
        assert row.price_status == "priced"
    until_idle(house)


def at_every_part() -> list[Departure]:
    return [
        Departure(stream, "flowing", "rst", f"call-{next(_numbers)}", after)
        for stream in STREAMS
        for after in range(len(stream.parts) - 1)
    ]


def test_under_drain_the_usage_is_exact_at_whichever_part_the_client_left(draining: House) -> None:
    house, every = draining, at_every_part()
    before = len(house.gateway.rows(0))
    together([leave(house, one) for one in every])
    rows = rows_of(house, before, [one.call_id for one in every])
    for one in every:
        (row,) = rows[one.call_id]
        assert (used(row), row.provenance) == (EXACT, "reported"), one


def test_under_cancel_what_was_written_is_counted_at_whichever_part_the_client_left(
    cancelling: House, counter: Counter
) -> None:
    """Tokenized exactly for these models: at least what the client saw, at most the whole text."""
    house, every = cancelling, [one for one in at_every_part() if one.stream.running is None]
    before = len(house.gateway.rows(0))
    together([leave(house, one) for one in every])
    rows = rows_of(house, before, [one.call_id for one in every])
    for one in every:
        (row,) = rows[one.call_id]
        if row.provenance == "reported":
            continue  # it had all been sent before the departure was heard of
        written = used(row).get("output_text", 0)
        assert row.net_pico, one
        if model := EXACT_MODELS.get(one.stream.name):
            seen = answers.TEXT[: 12 * max(one.after - 2, 0)]
            texts = [Observed(text=text) for text in (seen, answers.TEXT)]
            least, most = (counter.output(text, model).tokens for text in texts)
            # A word that is cut in two has a token more than the whole.
            assert least - 1 <= written <= most + 1, one


def test_under_cancel_what_the_provider_said_by_then_is_booked_at_whichever_part_the_client_left(
    cancelling: House,
) -> None:
    """Where the usage runs along: never more than the whole, and from the first running usage on a price."""
    house, every = cancelling, [one for one in at_every_part() if one.stream.running is not None]
    assert len({one.stream.name for one in every}) > 1
    before = len(house.gateway.rows(0))
    together([leave(house, one) for one in every])
    rows = rows_of(house, before, [one.call_id for one in every])
    for one in every:
        (row,) = rows[one.call_id]
        assert row.provenance in ("reported", "partial", "counted", "estimated"), one
        if row.provenance == "reported":
            assert used(row) == EXACT, one
        assert used(row).get("output_text", 0) <= EXACT["output_text"] + 5, one
        assert row.net_pico, one


@pytest.mark.parametrize("policy", ["cancelling", "draining"])
def test_a_hundred_clients_leaving_at_once_are_a_hundred_rows_and_no_connection(
    policy: str, request: pytest.FixtureRequest
) -> None:
    house: House = request.getfixturevalue(policy)
    calls = [f"storm-{next(_numbers)}" for _ in range(100)]
    streams = itertools.cycle(STREAMS)

    async def run() -> float:
        visitors = [await Visitor.connect(house.gateway.port) for _ in calls]
        asked = [Departure(next(streams), "flowing", "fin", call) for call in calls]
        for visitor, one in zip(visitors, asked, strict=True):
            await visitor.send(one.request(house.gateway.key.key))
        for visitor in visitors:
            await visitor.read_until(b"\r\n\r\n")
        left = time.monotonic()
        for visitor, how in zip(visitors, itertools.cycle(LEAVINGS), strict=False):
            visitor.leave(how)
        await asyncio.sleep(0.5)
        for visitor in visitors:
            visitor.close()
        return left

    before = len(house.gateway.rows(0))
    left = asyncio.run(run())
    rows = rows_of(house, before, calls)
    assert all(len(found) == 1 for found in rows.values())
    until_idle(house)
    if policy == "cancelling":
        noticed = [house.left(call)[0] - left for call in calls if house.left(call)]
        assert max(noticed) < PROMPTLY_S
        print(f"{len(noticed)} upstream streams closed within {max(noticed) * 1000:.0f} ms")
    else:
        assert all(used(found[0]) == EXACT for found in rows.values())


@pytest.mark.parametrize("policy", ["cancelling", "draining"])
@pytest.mark.parametrize("stream", [CHAT, UNASKED], ids=lambda stream: stream.name)
def test_a_client_that_closes_right_at_the_protocols_end_has_a_complete_answer(
    policy: str, stream: Stream, request: pytest.FixtureRequest
) -> None:
    house: House = request.getfixturevalue(policy)
    call = f"call-{next(_numbers)}"

    async def run() -> None:
        visitor = await Visitor.connect(house.gateway.port)
        headers = {CALL_ID: call, "x-moment": "at the end"}
        await visitor.send(post(stream.path, stream.body, house.gateway.key.key, headers))
        await visitor.read_until(b"data: [DONE]\n\n")
        visitor.leave("fin")

    before = len(house.gateway.rows(0))
    asyncio.run(run())
    ((row,),) = rows_of(house, before, [call]).values()
    assert (row.outcome, row.provenance, used(row)) == (Outcome.COMPLETE, "reported", EXACT)


@pytest.mark.parametrize("policy", ["cancelling", "draining"])
def test_on_a_kept_connection_only_the_call_that_was_left_is_left(
    policy: str, request: pytest.FixtureRequest
) -> None:
    house: House = request.getfixturevalue(policy)
    calls = [f"kept-{next(_numbers)}" for _ in range(4)]

    async def run() -> list[Got]:
        visitor = await Visitor.connect(house.gateway.port)
        got = []
        for call in calls[:3]:
            one = Departure(CHAT, "stalled", "fin", call)
            await visitor.send(one.request(house.gateway.key.key))
            got.append(await visitor.rest())
        last = Departure(CHAT, "stalled", "fin", calls[3])
        await visitor.send(last.request(house.gateway.key.key))
        await visitor.read_until(CHAT.parts[2])
        visitor.leave("rst")
        return got

    before = len(house.gateway.rows(0))
    got = asyncio.run(run())
    assert [(one.clean, one.body) for one in got] == [(True, CHAT.content())] * 3
    rows = rows_of(house, before, calls)
    assert [rows[call][0].outcome for call in calls] == [Outcome.COMPLETE] * 3 + [
        Outcome.CLIENT_LEFT
    ]


@pytest.mark.parametrize("policy", ["cancelling", "draining"])
@pytest.mark.parametrize("how", LEAVINGS)
def test_an_answer_that_is_not_streamed_is_read_to_its_end_for_nobody(
    policy: str, how: Leaving, request: pytest.FixtureRequest
) -> None:
    house: House = request.getfixturevalue(policy)
    call, usual = f"call-{next(_numbers)}", house.origin.answer
    usage = {"prompt_tokens": 61, "completion_tokens": 47, "total_tokens": 108}
    body = (
        b'{"model": "gpt-4o-2024-11-20", "choices": [], "usage": %s}'
        % repr(usage).replace("'", '"').encode()
    )
    house.origin.answer = lambda asked: [REST_S, *json_answer(body)]

    async def run() -> None:
        visitor = await Visitor.connect(house.gateway.port)
        asked = {key: value for key, value in CHAT.body.items() if not key.startswith("stream")}
        count = len(house.origin.asked)
        await visitor.send(post(CHAT.path, asked, house.gateway.key.key, {CALL_ID: call}))
        await until(lambda: len(house.origin.asked) > count)
        visitor.leave(how)
        await asyncio.sleep(0.1)
        visitor.close()

    before = len(house.gateway.rows(0))
    try:
        asyncio.run(run())
        ((row,),) = rows_of(house, before, [call]).values()
    finally:
        house.origin.answer = usual
    assert (used(row), row.provenance, row.outcome) == (EXACT, "reported", Outcome.CLIENT_LEFT)
    assert house.left(call) == []
    until_idle(house)
