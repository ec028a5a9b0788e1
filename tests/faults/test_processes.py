"""Two gateways as they are run, over one folder: slow readers, secrets, revocation, and the end of one of them."""

import asyncio
import itertools
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import orjson
import pytest

from gateway import app as composition
from gateway.commands.demo.answers import sse
from gateway.config import Config
from gateway.kernel.clock import SystemClock
from gateway.ledger.entry import EntryKind, Outcome
from gateway.storage.directory import MadeKey, NewKey
from tests.faults.gateways import (
    CREDENTIAL,
    ENVIRONMENT,
    Process,
    books,
    free_port,
    prepared,
    settings,
)
from tests.faults.origin import Asked, Origin, Step, json_answer, standing, streamed
from tests.faults.streams import CHAT, EXACT, SSE, STREAMS, Stream, stream_of, used
from tests.faults.visitor import Got, Visitor, ask, post, until

CALL_ID: Final = "amz-sdk-invocation-id"
PROMPT: Final = "canary-in-the-prompt-8f1d"
ANSWERED: Final = "canary-in-the-answer-77ac"
MIB: Final = 1024 * 1024
LARGE: Final = 24 * MIB  # more than the kernel's own buffers on the way can hold
RSS_GROWTH_MAX: Final = 6 * MIB
RUNNING_S: Final = 3.0
SERVER_DRAIN_S: Final = 6
_numbers = itertools.count()


def large() -> list[bytes]:
    """The parts of a stream of about LARGE bytes, most of them in one event after the other."""
    event = b'data: {"choices": [], "obfuscation": "%b"}\n\n' % (b"x" * (64 * 1024 - 43))
    return [*CHAT.parts[:3], *[event] * (LARGE // len(event) - 1), *CHAT.parts[3:]]


def answer(asked: Asked) -> list[Step]:
    """The stream of the dialect, at the pace its request asks for."""
    stream = stream_of(asked)
    whole = stream.steps()
    said = orjson.dumps({"error": {"message": f"no: {PROMPT}", "type": "invalid"}})
    rubbish = f'{{"choices": "{ANSWERED}", "usage": -1'.encode()
    paces: dict[str | None, Callable[[], list[Step]]] = {
        "large": lambda: streamed(SSE, large()),
        "slow": lambda: stream.steps(pause_s=RUNNING_S / len(stream.parts)),
        "stalled": lambda: [*whole[:4], 60.0, *whole[4:]],
        "stalled late": lambda: [*whole[:4], *LONG_TEXT, 60.0, *whole[4:]],
        "refused": lambda: json_answer(said, status=400),
        "rubbish": lambda: json_answer(rubbish),
    }
    return paces.get(asked.header("x-pace"), lambda: whole)()


LONG_TEXT: Final = streamed(
    SSE, [sse({"choices": [{"index": 0, "delta": {"content": "forty tons of text " * 3000}}]})]
)[1:-1]


class House(NamedTuple):
    """Two serving processes over one folder."""

    folder: Path
    config: Config
    key: MadeKey
    first: Process
    second: Process
    origin: Origin

    def request(self, stream: Stream, pace: str, call: str = "", key: str = "") -> bytes:
        headers = {CALL_ID: call or f"call-{next(_numbers)}", "x-pace": pace}
        return post(stream.path, stream.body, key or self.key.key, headers)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("processes")
    ports = free_port(), free_port()
    with standing(lambda: Origin(answer, send_buffer_bytes=64 * 1024).running()) as origin:
        paths = [
            settings(
                folder,
                origin.port,
                port=port,
                server_drain_s=SERVER_DRAIN_S,
                name=f"weighbridge-{port}.toml",
            )
            for port in ports
        ]
        config, key = prepared(paths[0])
        both = [
            Process(path, port, log=folder / f"{port}.log")
            for path, port in zip(paths, ports, strict=True)
        ]
        try:
            for one in both:
                one.until_ready()
            yield House(folder, config, key, both[0], both[1], origin)
        finally:
            for one in both:
                one.end()


def test_a_reader_that_stands_still_costs_no_memory_and_gets_every_byte(house: House) -> None:
    async def run() -> tuple[Got, int, int]:
        port, request = house.first.port, house.request(CHAT, "large")
        visitor = await Visitor.connect(port, receive_buffer_bytes=64 * 1024)
        sent, before = house.origin.sent, house.first.rss_bytes()
        await visitor.send(request)
        await visitor.read_until(CHAT.parts[2])
        await asyncio.sleep(1.5)
        taken, grown = house.origin.sent - sent, house.first.rss_bytes() - before
        got = await visitor.rest()
        visitor.close()
        return got, taken, grown

    got, taken, grown = asyncio.run(run())
    print(
        f"stalled after {taken / MIB:.1f} MiB of {LARGE / MIB:.0f}; RSS grew {grown / MIB:.1f} MiB"
    )
    assert taken < LARGE - 2 * MIB
    assert grown < RSS_GROWTH_MAX
    assert got == Got(got.head, b"".join(large()), clean=True)


def test_no_secret_and_no_prompt_is_in_any_log_file_journal_or_figure(house: House) -> None:
    """Every way a call can end, then a look into all that is kept."""
    secrets = [house.key.key, CREDENTIAL, "wb_" + "f" * 49, house.key.aws_secret_access_key]
    body = {**CHAT.body, "messages": [{"role": "user", "content": PROMPT}], "user": PROMPT}
    wrong = {"authorization": f"Bearer {secrets[2]}"}

    async def run() -> None:
        port, key = house.second.port, house.key.key
        for pace in ("", "refused", "rubbish"):
            headers = {"x-pace": pace, "x-prompt": PROMPT}
            await ask(port, post(CHAT.path, body, key, headers))
        await ask(port, post(CHAT.path, body, key, wrong))
        await ask(port, post(CHAT.path, PROMPT.encode(), key))
        await ask(port, post(f"/azure/openai/v1/{PROMPT}", body, key))
        await ask(port, post("/azure/openai/v1/chat/completions", {**body, "model": PROMPT}, key))
        await ask(
            port, b"GET /%b HTTP/1.1\r\nx-secret: %b\r\n\r\n" % (PROMPT.encode(), key.encode())
        )
        await ask(port, f"POST {CHAT.path} HTTP/1.1\r\nauthorization: {key}\x01\r\n\r\n".encode())
        leaver = await Visitor.connect(port)
        await leaver.send(post(CHAT.path, body, key, {"x-pace": "stalled"}))
        await leaver.read_until(CHAT.parts[2])
        leaver.leave("rst")
        await asyncio.gather(*(ask(port, house.request(stream, "")) for stream in STREAMS))

    asyncio.run(run())
    assert len(books(house.config, 9).rows) >= 9
    figures = asyncio.run(
        ask(house.second.port, b"GET /-/metrics HTTP/1.1\r\nhost: x\r\n\r\n")
    ).body
    assert b'weighbridge_entries_total{outcome="complete"' in figures
    kept = {"metrics": figures}
    for path in house.folder.rglob("*"):
        if path.is_file() and path.suffix != ".toml" and path.name != "master.key":
            kept[str(path.relative_to(house.folder))] = path.read_bytes()
    assert any(name.endswith(".db") for name in kept)
    assert any(name.endswith(".log") for name in kept)
    for secret in (*secrets, PROMPT, ANSWERED):
        found = [name for name, octets in kept.items() if secret.encode() in octets]
        assert found == [], secret


def test_a_revoked_key_is_refused_by_every_process_within_five_seconds(house: House) -> None:
    made = asyncio.run(_another_key(house.config))
    both = (house.first.port, house.second.port)

    async def statuses() -> list[int]:
        asked = (ask(port, house.request(CHAT, "", key=made.key)) for port in both)
        return [got.status for got in await asyncio.gather(*asked)]

    async def wait_for(expected: list[int]) -> float:
        began = time.monotonic()
        while time.monotonic() - began < 10:
            if await statuses() == expected:
                return time.monotonic() - began
            await asyncio.sleep(0.1)
        raise AssertionError(await statuses())

    asyncio.run(wait_for([200, 200]))
    path = next(house.folder.glob("weighbridge-*.toml"))
    command = ["keys", "revoke", made.key_id, "--config", str(path)]
    subprocess.run(
        [sys.executable, "-m", "gateway", *command],
        env=ENVIRONMENT,
        check=True,
        capture_output=True,
        timeout=60,
    )
    seconds = asyncio.run(wait_for([401, 401]))
    print(f"refused everywhere {seconds:.1f} s after the command returned")
    assert seconds < 5


async def _another_key(config: Config) -> MadeKey:
    async with composition.opened(config) as database:
        directory = composition.directory(config, database, SystemClock())
        return await directory.create(NewKey(user="user-0002", team="core"))


def journals(house: House) -> set[str]:
    return {path.name for path in (house.folder / "var" / "spool").iterdir()}


async def stopped(
    house: House, calls: dict[str, Stream], stalled: Sequence[str]
) -> tuple[list[Got], list[Got]]:
    """Start the calls, say SIGTERM in their midst; what they got in the end."""
    port, asked = house.first.port, len(house.origin.asked)
    async with asyncio.TaskGroup() as clients:
        running = [
            clients.create_task(ask(port, house.request(stream, "slow", call)))
            for call, stream in calls.items()
        ]
        held = [
            clients.create_task(ask(port, house.request(CHAT, "stalled late", call)))
            for call in stalled
        ]
        await until(lambda: len(house.origin.asked) == asked + len(calls) + len(stalled))
        house.first.signal(signal.SIGTERM)
        began = time.monotonic()
        await asyncio.sleep(0.3)
        with pytest.raises(ConnectionError):
            await ask(port, house.request(CHAT, ""))
        assert await asyncio.to_thread(house.first.wait, SERVER_DRAIN_S + 8) == 0
        seconds = time.monotonic() - began
    print(f"gone {seconds:.1f} s after SIGTERM")
    assert seconds < SERVER_DRAIN_S + 4
    return [one.result() for one in running], [one.result() for one in held]


def test_at_sigterm_running_streams_finish_and_every_row_is_booked(house: House) -> None:
    """The last test of this module: one of the two processes ends in it."""
    calls = {f"last-{next(_numbers)}": stream for stream in STREAMS * 2}
    stalled = [f"stalled-{next(_numbers)}" for _ in range(8)]
    spools = journals(house)
    got, cut = asyncio.run(stopped(house, calls, stalled))
    for one, stream in zip(got, calls.values(), strict=True):
        assert (one.body, one.clean) == (stream.content(), True)
    assert not any(one.clean for one in cut)
    # It is gone: what it has not booked by now, nobody will but an adopter.
    rows = [row for row in books(house.config).rows if row.client_call_id in {*calls, *stalled}]
    of = {row.client_call_id: row for row in rows}
    assert len(rows) == len(of) == len(calls) + len(stalled)
    for call in calls:
        assert (used(of[call]), of[call].outcome) == (EXACT, Outcome.COMPLETE)
    for call in stalled:
        assert (of[call].outcome, of[call].kind) == (Outcome.INTERRUPTED, EntryKind.USAGE)
        assert used(of[call])["output_text"] > 10_000
        assert of[call].net_pico
    # The other process lives on, with its own journal; that of the one that left is gone.
    assert len(spools) == 2
    assert journals(house) < spools
    assert len(journals(house)) == 1
    assert asyncio.run(ask(house.second.port, house.request(CHAT, ""))).status == 200
    log = house.first.log.read_text()
    assert "Traceback" not in log, log
    assert "step_failed" not in log, log
