"""kill -9 of serving processes under load: what a client has whole is booked, what was sent has a row, once.

The truth is the upstream's own list of what it was asked, and the clients' of what they got to the end.
"""

import asyncio
import itertools
import random
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from gateway.commands.demo import answers
from gateway.commands.demo.answers import Counts
from gateway.ledger.entry import Entry, EntryKind, Outcome
from tests.faults.gateways import Books, books, free_port, prepared, settings
from tests.faults.nursery import Nursery, nursery
from tests.faults.origin import Asked, Origin, Step, json_answer, standing
from tests.faults.streams import BUILDERS, CHAT, Stream, used
from tests.faults.visitor import ask, post

CLIENTS: Final = 14
KILLS: Final = 6
SEED: Final = 20261122
CALL_ID: Final = "amz-sdk-invocation-id"
JSON: Final = "json"
KINDS: Final = (*BUILDERS, JSON, JSON)
PAUSE_S: Final = 0.004


def counts(number: int) -> Counts:
    """Usage that tells every call from every other."""
    return Counts(input=1000 + number, cached=0, output=47)


def answer(asked: Asked) -> list[Step]:
    name, _, number = (asked.header("x-call") or "").partition("-")
    if name == JSON:
        return [PAUSE_S, *json_answer(answers.chat("gpt-4o-2024-11-20", counts(int(number))))]
    return BUILDERS[name](counts(int(number))).steps(PAUSE_S)


class Load:
    """Clients that call until told to stop. ``whole``: the calls that came to their end."""

    def __init__(self, port: int, key: str, seed: int) -> None:
        self.whole: set[str] = set()
        self.broken = 0
        self.stopping = False
        self._port = port
        self._key = key
        self._chance = random.Random(seed)
        self._numbers = itertools.count()

    async def run(self) -> None:
        async with asyncio.TaskGroup() as clients:
            for _ in range(CLIENTS):
                clients.create_task(self._client())

    async def _client(self) -> None:
        while not self.stopping:
            name, number = self._chance.choice(KINDS), next(self._numbers)
            await asyncio.sleep(self._chance.random() / 20)
            try:
                await self._call(name, number)
            except OSError:
                self.broken += 1
                await asyncio.sleep(0.05)

    async def _call(self, name: str, number: int) -> None:
        call = f"{name}-{number}"
        stream = CHAT if name == JSON else BUILDERS[name](counts(number))
        got = await ask(self._port, post(*_asked(name, stream), self._key, _named(call)))
        if not got.clean:
            self.broken += 1
            return
        assert got.status == 200, got
        if name != JSON:
            assert got.body == stream.content()
        self.whole.add(call)


def _asked(name: str, stream: Stream) -> tuple[str, Any]:
    body = {key: value for key, value in stream.body.items() if not key.startswith("stream")}
    return stream.path, body if name == JSON else stream.body


def _named(call: str) -> dict[str, str]:
    return {CALL_ID: call, "x-call": call}


def kill_one_by_one(serving: Nursery, chance: random.Random) -> None:
    """Of all the processes on the port only one lives in the end; it adopts what the others left."""
    for _ in range(KILLS):
        time.sleep(0.3 + chance.random() / 2)
        serving.kill(chance.choice(serving.alive))
    time.sleep(0.5)


class Played:
    """A round that is over."""

    def __init__(self, load: Load, asked: list[str], found: Books, spools: list[Path]) -> None:
        self.whole = load.whole
        self.broken = load.broken
        self.asked = asked
        self.found = found
        self.spools = spools
        self.rows: dict[str, list[Entry]] = {}
        for row in found.rows:
            self.rows.setdefault(row.client_call_id or "", []).append(row)


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Played]:
    folder, port = tmp_path_factory.mktemp("kill"), free_port()
    with standing(lambda: Origin(answer).running()) as origin:
        path = settings(folder, origin.port, port=port, abandon="drain")
        config, key = prepared(path)
        load = Load(port, key.key, SEED)
        with nursery(path, folder / "processes.log") as serving:
            for pid in [serving.begin() for _ in range(KILLS + 1)]:
                serving.until_listening(pid)
            asyncio.run(loaded(load, serving))
            asked = [one.header("x-call") or "" for one in origin.asked]
            books(config, len(asked))
        yield Played(load, asked, books(config), list((folder / "var" / "spool").iterdir()))


async def loaded(load: Load, serving: Nursery) -> None:
    """The killing, under load."""
    async with asyncio.TaskGroup() as group:
        group.create_task(load.run())
        await asyncio.to_thread(kill_one_by_one, serving, random.Random(SEED))
        load.stopping = True


def test_there_was_load_and_there_were_victims(played: Played) -> None:
    print(f"{len(played.asked)} calls reached the upstream, {len(played.whole)} came to their end,")
    print(f"{played.broken} broke; {len(played.found.rows)} rows after {KILLS} kills")
    assert len(played.whole) > 20 * KILLS
    assert played.broken >= KILLS


def test_every_call_that_a_client_has_whole_has_its_row_with_its_own_usage(played: Played) -> None:
    for call in played.whole:
        (row,) = played.rows[call]
        number = int(call.partition("-")[2])
        assert used(row) == {"input_text": counts(number).input, "output_text": 47}
        assert (row.kind, row.outcome) == (EntryKind.USAGE, Outcome.COMPLETE)
        assert row.net_pico


def test_every_call_that_reached_the_upstream_has_exactly_one_row(played: Played) -> None:
    assert set(Counter(played.asked).values()) == {1}
    assert {call: len(played.rows.get(call, ())) for call in played.asked} == dict.fromkeys(
        played.asked, 1
    )
    for call in set(played.asked) - played.whole:
        (row,) = played.rows[call]
        assert row.kind in (EntryKind.USAGE, EntryKind.INTERRUPTED)
        assert row.net_pico


def test_nothing_is_invented_but_what_was_about_to_be_sent(played: Played) -> None:
    for call in set(played.rows) - set(played.asked):
        (row,) = played.rows[call]
        assert row.kind is EntryKind.INTERRUPTED


def test_ledger_and_rollup_are_equal_and_nothing_is_left_over(played: Played) -> None:
    assert played.found.verification.is_sound, played.found.verification
    assert played.found.verification.entries == len(played.found.rows)
    assert played.found.quarantined == 0
    assert played.spools == []
