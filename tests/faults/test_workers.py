"""Two workers on one port, as `serve` starts them: whichever a scrape reaches answers for both."""

import asyncio
import os
import re
import signal
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple

import pytest
from prometheus_client.parser import text_string_to_metric_families

from gateway.config import Config
from gateway.ledger.entry import Entry
from tests.faults.gateways import Process, books, free_port, is_listening, prepared, settings
from tests.faults.origin import Asked, Origin, Step, standing
from tests.faults.streams import CHAT, stream_of
from tests.faults.visitor import Got, ask, post, until

SCRAPE: Final = b"GET /-/metrics HTTP/1.1\r\nhost: x\r\n\r\n"
CALLS: Final = 40
WAIT_S: Final = 10
CALL_ID: Final = "amz-sdk-invocation-id"
Figures = Mapping[str, int]


class Pair(NamedTuple):
    """A supervisor of two."""

    process: Process
    config: Config
    key: str

    def children(self) -> list[int]:
        pid = self.process.pid
        return [int(n) for n in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    async def calls(self, count: int, name: str = "any") -> None:
        """Each on a connection of its own, so that both workers get some."""
        request = post(CHAT.path, CHAT.body, self.key, {CALL_ID: name})
        answers = await asyncio.gather(
            *(ask(self.process.port, request) for _ in range(count)),
        )
        assert all(got.status == 200 and got.clean for got in answers)

    async def scraped(self) -> Got:
        return await ask(self.process.port, SCRAPE)

    async def until_both_listen(self) -> None:
        await until(lambda: sum(map(is_listening, self.children())) == 2, 30)


def entries(got: Got) -> dict[str, int]:
    """Entries settled, by worker."""
    found: dict[str, int] = {}
    pattern = r'^weighbridge_entries_total\{[^}]*worker="(\d+)"\} (\d+)$'
    for worker, count in re.findall(pattern, got.body.decode(), re.MULTILINE):
        found[worker] = found.get(worker, 0) + int(count)
    return found


def workers(got: Got) -> list[str]:
    """The workers that a scrape shows."""
    return re.findall(
        r'^weighbridge_open_exchanges\{worker="(\d+)"\}', got.body.decode(), re.MULTILINE
    )


def answer(asked: Asked) -> list[Step]:
    return stream_of(asked).steps()


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    folder, port = tmp_path_factory.mktemp("workers"), free_port()
    with standing(lambda: Origin(answer).running()) as origin:
        path = settings(folder, origin.port, port=port)
        path.write_text(path.read_text().replace("[server]", "[server]\nworkers = 2", 1))
        config, key = prepared(path)
        started = Process(path, port, log=folder / "log")
        try:
            found = Pair(started.until_ready(), config, key.key)
            asyncio.run(found.until_both_listen())
            yield found
        finally:
            started.end()


def test_every_scrape_shows_both_workers_and_every_call_and_never_less_than_before(
    pair: Pair,
) -> None:
    async def run() -> None:
        before: Figures = entries(await pair.scraped())
        earlier = sum(before.values())
        for rounds in range(1, 6):
            await pair.calls(CALLS // 5)
            for _ in range(8):  # whichever worker takes the connection
                got = await pair.scraped()
                now = entries(got)
                assert workers(got) == ["0", "1"]
                assert sum(now.values()) == earlier + rounds * CALLS // 5
                assert all(now[worker] >= count for worker, count in before.items())
                before = now
        assert before.keys() == {"0", "1"}, "one worker got every call"

    asyncio.run(run())


def test_the_times_of_all_workers_are_the_times_of_the_rows(pair: Pair) -> None:
    """Rows of workers that have died since are in the ledger, and in no scrape."""

    async def run() -> tuple[Got, Got]:
        before = await pair.scraped()
        await pair.calls(CALLS, "timed")
        return before, await pair.scraped()

    first, last = asyncio.run(run())
    assert len(workers(first)) == len(workers(last)) == 2
    mine = timed(pair)
    for name, times in (
        ("weighbridge_request_duration_seconds", [row.total_ms for row in mine]),
        ("weighbridge_first_byte_seconds", [row.first_byte_ms for row in mine]),
    ):
        grown = [summed(last, name, of) - summed(first, name, of) for of in ("_sum", "_count")]
        assert grown == [pytest.approx(sum(ms or 0 for ms in times) / 1000), CALLS]


def timed(pair: Pair) -> list[Entry]:
    """The rows of the calls of that name, once the ledger has them all."""
    end = time.monotonic() + 20
    while True:
        found = [row for row in books(pair.config).rows if row.client_call_id == "timed"]
        if len(found) == CALLS or time.monotonic() > end:
            return found
        time.sleep(0.1)


def summed(got: Got, name: str, suffix: str) -> float:
    """Over all workers, as Prometheus's own parser reads the whole answer."""
    families = text_string_to_metric_families(got.body.decode())
    samples = [sample for family in families for sample in family.samples]
    return sum(float(one.value) for one in samples if one.name == name + suffix)


def test_a_worker_that_stands_still_is_left_out_in_time_and_comes_back(pair: Pair) -> None:
    async def answered() -> Got:
        while True:  # what the kernel gives to the one that stands still waits
            try:
                return await asyncio.wait_for(pair.scraped(), WAIT_S)
            except TimeoutError:
                continue

    async def run() -> None:
        await pair.calls(CALLS)
        before = entries(await pair.scraped())
        still = pair.children()[0]
        os.kill(still, signal.SIGSTOP)
        try:
            began = time.monotonic()
            got = await answered()
            seconds = time.monotonic() - began
        finally:
            os.kill(still, signal.SIGCONT)
        assert len(workers(got)) == 1
        assert b'weighbridge_failures_total{step="scrape",worker=' in got.body
        assert seconds % WAIT_S < 6
        assert entries(await pair.scraped()) == before

    asyncio.run(run())


def test_a_dead_workers_figures_end_and_its_successor_has_its_number(pair: Pair) -> None:
    async def run() -> None:
        await pair.calls(CALLS)
        before = entries(await pair.scraped())
        os.kill(pair.children()[0], signal.SIGKILL)
        got = await _after_the_death(pair)
        (alive,) = workers(got)
        assert entries(got) == {alive: before[alive]}
        await pair.until_both_listen()
        got = await pair.scraped()
        assert workers(got) == ["0", "1"]
        assert entries(got) == {alive: before[alive]}

    asyncio.run(run())


async def _after_the_death(pair: Pair) -> Got:
    """A scrape before the successor is there: a connection that the dead one had not answered is reset."""
    while True:
        try:
            got = await pair.scraped()
        except OSError:
            continue
        if len(workers(got)) == 1:
            return got


def test_workers_leave_when_the_one_who_watches_them_is_killed(pair: Pair) -> None:
    """Nobody would replace them, and they would share the port of the next start. The last test of this module."""

    async def run() -> None:
        await pair.until_both_listen()
        left = pair.children()
        pair.process.kill()
        await until(lambda: not any(map(_runs, left)), 30)

    asyncio.run(run())


def _runs(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"
