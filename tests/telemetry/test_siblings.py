"""Workers that meet in a folder: every one of them answers for all, and a bad one spoils nothing."""

import asyncio
import re
import select
import socket
import stat
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gateway.telemetry.metrics import Metrics
from gateway.telemetry.siblings import BYTES_MAX, PATIENCE_S, Siblings

pytestmark = pytest.mark.anyio

REFUSALS = "weighbridge_refusals_total"
LABELS = (("code", "no_key"), ("provider", "one"))


class Told:
    """What went wrong, by step."""

    def __init__(self) -> None:
        self.failures: list[tuple[str, type[BaseException]]] = []

    def settled(self, entry: Any) -> None: ...

    def refused(self, provider: str, code: str) -> None: ...

    def failed(self, what: str, error: BaseException) -> None:
        self.failures.append((what, type(error)))


class Worker:
    def __init__(self, folder: Path | None, refusals: int) -> None:
        self.metrics = Metrics()
        self.metrics.add(REFUSALS, LABELS, refusals)
        self.told = Told()
        self.siblings = Siblings(self.metrics, self.told, folder)

    async def refusals(self) -> dict[str, int]:
        """By worker, as a scrape shows them."""
        return shown(await self.siblings.scrape())


def shown(text: bytes) -> dict[str, int]:
    pattern = REFUSALS + r'\{code="no_key",provider="one",worker="(\d+)"\} (\d+)\n'
    return {slot: int(value) for slot, value in re.findall(pattern, text.decode())}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "telemetry" / "8080"


async def test_every_worker_answers_for_all(folder: Path) -> None:
    one, two, three = (Worker(folder, count) for count in (1, 20, 300))
    async with one.siblings.open(), two.siblings.open(), three.siblings.open():
        for worker in (one, two, three):
            assert await worker.refusals() == {"0": 1, "1": 20, "2": 300}
        two.metrics.add(REFUSALS, LABELS)
        assert await three.refusals() == {"0": 1, "1": 21, "2": 300}
        text = (await one.siblings.scrape()).decode()
    assert text.count(f"# TYPE {REFUSALS} counter\n") == 1
    assert one.told.failures == two.told.failures == three.told.failures == []


async def test_who_has_left_is_reported_no_more_and_who_comes_takes_its_number(
    folder: Path,
) -> None:
    one, two, late = Worker(folder, 1), Worker(folder, 20), Worker(folder, 300)
    async with one.siblings.open():
        async with two.siblings.open():
            assert await one.refusals() == {"0": 1, "1": 20}
        assert await one.refusals() == {"0": 1}
        async with late.siblings.open():
            assert await one.refusals() == {"0": 1, "1": 300}


async def test_a_socket_that_nobody_listens_on_is_a_dead_workers(folder: Path) -> None:
    one, two = Worker(folder, 1), Worker(folder, 20)
    async with one.siblings.open():
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(folder / "1.sock"))
        assert await one.refusals() == {"0": 1}
        async with two.siblings.open():
            assert await one.refusals() == {"0": 1, "1": 20}
    assert one.told.failures == []


async def test_only_this_user_may_ask_and_nothing_is_kept(folder: Path) -> None:
    one = Worker(folder, 1)
    async with one.siblings.open():
        assert modes(folder) == {"0.lock": 0o600, "0.sock": 0o600, "": 0o700}
    assert modes(folder).keys() == {"0.lock", ""}
    assert sizes(folder) == [0]


def modes(folder: Path) -> dict[str, int]:
    found = {path.name: path for path in folder.iterdir()} | {"": folder}
    return {name: stat.S_IMODE(path.stat().st_mode) for name, path in found.items()}


def sizes(folder: Path) -> list[int]:
    return [path.stat().st_size for path in folder.iterdir()]


async def test_a_folder_deeper_than_a_socket_may_lie_serves_too(tmp_path: Path) -> None:
    deep = tmp_path / ("deep" * 25) / "8080"
    one, two = Worker(deep, 1), Worker(deep, 20)
    async with one.siblings.open(), two.siblings.open():
        assert await one.refusals() == await two.refusals() == {"0": 1, "1": 20}


async def test_one_worker_alone_has_no_label() -> None:
    one = Worker(None, 1)
    async with one.siblings.open():
        text = await one.siblings.scrape()
    assert b'weighbridge_refusals_total{code="no_key",provider="one"} 1\n' in text
    assert b"worker" not in text.replace(b"dead workers", b"").replace(b"worker's", b"")


@pytest.fixture
def a_file(tmp_path: Path) -> Path:
    path = tmp_path / "telemetry"
    path.write_text("a file where the folder should be")
    return path / "8080"


async def test_where_workers_cannot_meet_each_serves_and_answers_alone(a_file: Path) -> None:
    one = Worker(a_file, 1)
    async with one.siblings.open():
        text = await one.siblings.scrape()
    assert b'weighbridge_refusals_total{code="no_key",provider="one"} 1\n' in text
    assert one.told.failures == [("scrape", NotADirectoryError)]


Says = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def _silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        await reader.read()
    writer.close()


async def _endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        for _ in range(2 * BYTES_MAX // 4096):
            writer.write(b" " * 4096)
            await writer.drain()
    writer.close()


def _saying(text: bytes) -> Says:
    async def says(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(text)
        writer.close()

    return says


@pytest.mark.parametrize(
    ("says", "is_failure"),
    [
        (_silent, True),
        (_endless, True),
        (_saying(b"not json"), True),
        (_saying(b'[["weighbridge_refusals_total","",[["code"]],"1"]]'), True),
        (_saying(b""), False),
        (_saying(b'[["weighbridge_of_tomorrow_total","",[],"1"]]'), False),
    ],
    ids=["silent", "endless", "no json", "malformed", "empty", "unknown"],
)
async def test_a_sibling_that_answers_badly_costs_a_bounded_time_and_spoils_nothing(
    folder: Path, says: Says, *, is_failure: bool
) -> None:
    one, two = Worker(folder, 1), Worker(folder, 20)
    async with one.siblings.open(), two.siblings.open():
        bad = await asyncio.start_unix_server(says, folder / "7.sock")
        began = time.monotonic()
        text = await one.siblings.scrape()
        seconds = time.monotonic() - began
        bad.close()
    assert shown(text) == {"0": 1, "1": 20}
    assert b"tomorrow" not in text
    assert seconds < PATIENCE_S + 3
    assert [step for step, _kind in one.told.failures] == ["scrape"] * is_failure


async def test_a_slow_asker_holds_a_worker_for_a_bounded_time(folder: Path) -> None:
    one = Worker(folder, 1)
    for number in range(10_000):
        one.metrics.add(REFUSALS, (("code", f"c{number}"), ("provider", "one")))
    whole = len(msgspec.json.encode(one.metrics.samples()))
    async with one.siblings.open():
        with socket.socket(socket.AF_UNIX) as asker:
            asker.connect(str(folder / "0.sock"))
            ended = select.poll()
            ended.register(asker, 0)  # nothing but its end
            began = time.monotonic()
            while not ended.poll(0):
                assert time.monotonic() < began + 30
                await asyncio.sleep(0.05)
            got = 0
            with suppress(ConnectionError):
                while part := asker.recv(1 << 16):
                    got += len(part)
    assert 0 < got < whole
