"""An upstream that breaks off, falls silent or sends rubbish: the client gets what came and sees the break.

Whatever happens there is exactly one row, with what is known and how it is known, and no connection leaks.
"""

import asyncio
import itertools
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import pytest

from gateway.ledger.entry import Entry, EntryKind, Outcome
from gateway.upstream.connections import Statistics
from gateway.upstream.pool import UpstreamPool
from tests.faults.gateways import in_process, settings
from tests.faults.origin import Origin, standing
from tests.faults.proxy import FaultProxy
from tests.faults.streams import EXACT, STREAMS, UNASKED, Stream, answering, used
from tests.faults.visitor import Got, Visitor, arrived, ask, post
from tests.serving import Running

ENDS: Final = ("reset", "truncate", "stall")
CALL_ID: Final = "amz-sdk-invocation-id"
TOGETHER_MAX: Final = 40
_numbers = itertools.count()


class House(NamedTuple):
    """A gateway, and the faulty road to its upstream."""

    gateway: Running
    proxy: FaultProxy
    origin: Origin

    def connections(self) -> list[Statistics]:
        assert self.gateway.gateway._proxy is not None
        pool = self.gateway.gateway._proxy.exchanges.sending.upstreams
        assert isinstance(pool, UpstreamPool)
        return list(pool.statistics().values())


class Case(NamedTuple):
    """A stream and its fault, at an octet of the answer (below 0: a fault of the whole of it)."""

    stream: Stream
    fault: str
    at: int
    call_id: str

    def request(self, key: str) -> bytes:
        where = f"@{self.at}" if self.at >= 0 else ""
        headers = {CALL_ID: self.call_id, "x-fault": self.fault + where}
        return post(self.stream.path, self.stream.body, key, headers)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with (
        standing(lambda: Origin(answering()).running()) as origin,
        standing(lambda: FaultProxy(origin.port, seed=20261122).running()) as proxy,
        in_process(
            settings(tmp_path_factory.mktemp("upstream"), proxy.port, idle_s=1, head_s=2)
        ) as gateway,
    ):
        yield House(gateway, proxy, origin)


def case(stream: Stream, fault: str, at: int) -> Case:
    return Case(stream, fault, at, f"call-{next(_numbers)}")


def played(house: House, cases: Sequence[Case]) -> list[tuple[Case, Got, list[Entry]]]:
    """Every case, some of them at a time, with the rows that its call left."""

    async def run() -> list[Got]:
        gate = asyncio.Semaphore(TOGETHER_MAX)

        async def one(each: Case) -> Got:
            async with gate:
                return await ask(house.gateway.port, each.request(house.gateway.key.key))

        return await asyncio.gather(*(one(each) for each in cases))

    before = len(house.gateway.rows(0))
    got = asyncio.run(run())
    rows = house.gateway.rows(before + len(cases))
    assert len(rows) == before + len(cases)
    of = {
        each.call_id: [row for row in rows if row.client_call_id == each.call_id] for each in cases
    }
    return [(each, one, of[each.call_id]) for each, one in zip(cases, got, strict=True)]


def after_head(stream: Stream) -> list[int]:
    """Octets where an answer may break off once its head is through: early, between and inside of events."""
    first, middle = stream.offset(0), stream.offset(stream.whole // 2)
    before_usage, end = stream.offset(stream.whole), len(stream.octets())
    return [
        first,
        first + 9,
        stream.offset(1),
        middle,
        middle + 11,
        before_usage - 3,
        end - 5,
        end - 1,
    ]


def assert_no_leak(house: House) -> None:
    for pool in house.connections():
        assert pool.open == pool.idle
        assert pool.connecting == pool.waiting == 0
    assert house.proxy.open == sum(pool.open for pool in house.connections())


def assert_known(each: Case, row: Entry) -> None:
    """The row charges what is known at the cut, and says how it is known."""
    stream = each.stream
    assert row.list_pico is not None
    assert row.net_pico is not None
    assert row.price_status == "priced"
    if each.at >= stream.offset(stream.whole + 1):
        assert (used(row), row.provenance) == (EXACT, "reported")
        return
    assert row.net_pico > 0
    if stream.running is not None and each.at >= stream.offset(stream.running):
        assert row.provenance == "partial"
        assert used(row)["input_text"] == EXACT["input_text"]
    else:
        assert row.provenance in ("counted", "estimated")
        assert 0 < used(row)["input_text"] <= 2 * EXACT["input_text"]
    assert used(row).get("output_text", 0) <= 2 * EXACT["output_text"]


@pytest.mark.parametrize("end", ENDS)
def test_a_stream_that_ends_early_is_passed_on_as_far_as_it_came_and_booked_once(
    house: House, end: str
) -> None:
    cases = [case(stream, end, at) for stream in STREAMS for at in after_head(stream)]
    for each, got, rows in played(house, cases):
        expected = arrived(each.stream.octets()[: each.at])
        assert (got.status, got.body, got.clean) == (200, expected.body, False), each
        (row,) = rows
        assert (row.outcome, row.status, row.kind) == (
            Outcome.UPSTREAM_FAILED,
            200,
            EntryKind.USAGE,
        )
        assert_known(each, row)
    assert_no_leak(house)
    assert_whole(house)


def assert_whole(house: House, faults: str = "latency=0") -> None:
    """Calls whose bytes are all there pass as they are, on whatever connection there is."""
    for each, got, rows in played(house, [case(stream, faults, -1) for stream in STREAMS]):
        assert (got.status, got.body, got.clean) == (200, each.stream.content(), True)
        (row,) = rows
        assert (used(row), row.provenance, row.outcome) == (EXACT, "reported", Outcome.COMPLETE)


@pytest.mark.parametrize("end", ENDS)
def test_an_answer_that_ends_within_its_head_is_an_error_in_the_callers_own_words(
    house: House, end: str
) -> None:
    cases = [case(stream, end, at) for stream in STREAMS for at in (0, 20)]
    for each, got, rows in played(house, cases):
        assert (got.status, got.clean) in ((502, True), (504, True), (500, True), (408, True)), each
        said = got.document()
        assert said.get("error") or said.get("message")
        (row,) = rows
        # Sent, and nothing came back: to be reconciled with the invoice, at no cost until then.
        assert (row.kind, row.outcome) == (EntryKind.UNCONFIRMED, Outcome.UPSTREAM_FAILED)
        assert (row.status, row.lines, row.net_pico) == (0, (), 0)
    assert_no_leak(house)


@pytest.mark.parametrize("end", ENDS)
def test_a_cut_stream_without_its_usage_opt_in_shows_nothing_that_was_not_the_providers(
    house: House, end: str
) -> None:
    cases = [case(UNASKED, end, at) for at in after_head(UNASKED)]
    usage_chunk = UNASKED.parts[UNASKED.whole]
    for each, got, rows in played(house, cases):
        came = arrived(UNASKED.octets()[: each.at]).body
        # Once the usage chunk is there it is ours to take out; before, every byte passes.
        assert got.body == came.replace(usage_chunk, b"")
        assert not got.clean
        (row,) = rows
        assert row.outcome is Outcome.UPSTREAM_FAILED
        assert_known(each, row)
    assert_no_leak(house)


@pytest.mark.parametrize("faults", ["slice=3", "slice=200;latency=2"])
def test_slices_and_pauses_change_neither_byte_nor_count(house: House, faults: str) -> None:
    assert_whole(house, faults)


def test_a_flipped_byte_in_an_answer_passes_and_the_row_is_whole(house: House) -> None:
    cases = [
        case(stream, "corrupt", stream.offset(part) + 24)
        for stream in STREAMS
        for part in (2, stream.whole - 2)
    ]
    for each, got, rows in played(house, cases):
        octets = each.stream.octets()
        spoiled = octets[: each.at] + bytes([octets[each.at] ^ 0xFF]) + octets[each.at + 1 :]
        assert (got.body, got.clean) == (arrived(spoiled).body, True)
        (row,) = rows
        assert (used(row), row.net_pico is None) == (EXACT, False)
        assert row.outcome is Outcome.COMPLETE
        assert ("bad_crc" in row.flags) == (each.stream.name == "converse")


def test_a_flipped_byte_in_the_usage_event_passes_and_the_row_is_still_charged(
    house: House,
) -> None:
    cases = [case(stream, "corrupt", stream.offset(stream.whole) + 20) for stream in STREAMS]
    for each, got, rows in played(house, cases):
        assert (got.status, got.clean, len(got.body)) == (200, True, len(each.stream.content()))
        (row,) = rows
        assert row.net_pico is not None
        assert row.net_pico > 0


def test_rubbish_in_the_framing_is_a_break(house: House) -> None:
    # The first digit of a chunk's length.
    cases = [case(stream, "corrupt", stream.offset(stream.whole // 2)) for stream in STREAMS]
    for each, got, rows in played(house, cases):
        assert (got.body, got.clean) == (arrived(each.stream.octets()[: each.at]).body, False)
        (row,) = rows
        assert row.outcome is Outcome.UPSTREAM_FAILED
        assert_known(each, row)
    assert_no_leak(house)


def test_a_connection_that_the_upstream_closed_while_idle_costs_nobody_an_error(
    house: House,
) -> None:
    async def run() -> list[Got]:
        visitor = await Visitor.connect(house.gateway.port)
        got = []
        for stream in STREAMS * 2:
            # The whole answer, then FIN: the pool holds a connection that is about to die.
            headers = {"x-fault": f"truncate@{len(stream.octets())}"}
            await visitor.send(post(stream.path, stream.body, house.gateway.key.key, headers))
            got.append(await visitor.rest())
        visitor.close()
        return got

    before = len(house.gateway.rows(0))
    asked = len(house.origin.asked)
    assert [(got.status, got.clean) for got in asyncio.run(run())] == [(200, True)] * 10
    assert len(house.origin.asked) == asked + 10
    assert len(house.gateway.rows(before + 10)) == before + 10
