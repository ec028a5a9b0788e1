"""Two gateways on one folder, one port, with different configurations: said at the start, and every row booked once."""

import asyncio
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from gateway.commands.beside import Note, beside_health, is_taken, leave, note_of, others, told
from gateway.config import Config
from gateway.edge.server import listening
from tests.faults.gateways import Process, books, free_port, prepared, settings
from tests.faults.origin import Origin, standing
from tests.faults.streams import CHAT, answering
from tests.faults.visitor import ask, post, until

CALLS: Final = 60
CALL_ID: Final = "amz-sdk-invocation-id"


class House(NamedTuple):
    """Two configuration files on one port and folder, which nobody serves yet."""

    port: int
    paths: tuple[Path, Path]
    config: Config
    key: str

    def started(self, at: int) -> Process:
        path = self.paths[at]
        return Process(path, self.port, log=path.with_suffix(".log"))

    def health(self, at: int) -> list[tuple[str, str, str]]:
        """What the doctor says, with that file."""
        return beside_health(self.config, self.paths[at])

    async def calls(self, numbers: range) -> None:
        await asyncio.gather(*map(self._call, numbers))

    async def _call(self, number: int) -> None:
        request = post(CHAT.path, CHAT.body, self.key, {CALL_ID: f"call-{number}"})
        assert (await ask(self.port, request)).status == 200


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    port = free_port()
    with standing(lambda: Origin(answering()).running()) as origin:
        first, second = (
            settings(tmp_path, origin.port, port=port, head_s=head_s, name=f"{head_s}.toml")
            for head_s in (600, 599)
        )
        config, key = prepared(first)
        yield House(port, (first, second), config, key.key)


def test_two_configurations_on_one_port_and_folder_are_said_and_book_every_call_once(
    house: House,
) -> None:
    assert house.health(0) == []
    first = house.started(0).until_ready()
    second = None
    try:
        assert house.health(0) == [("ok", f"gateway {first.pid} on port {house.port}", "")]
        ((state, found, _),) = house.health(1)
        assert (state, "another configuration" in found) == ("warn", True)
        second = house.started(1)
        asyncio.run(
            until(lambda: "Weighbridge on" in house.paths[1].with_suffix(".log").read_text(), 30)
        )
        said = f"! gateway {first.pid} listens on port {house.port} too, with another configuration"
        assert second.log.read_text().startswith(said)
        assert first.log.read_text().startswith("Weighbridge on")
        assert [said[0] for said in house.health(0)] == ["warn"]
        asyncio.run(house.calls(range(CALLS)))
        first.kill()  # and the other books what it leaves
        asyncio.run(house.calls(range(CALLS, 2 * CALLS)))
        rows = books(house.config, 2 * CALLS).rows
    finally:
        for one in filter(None, (first, second)):
            one.end()
    assert Counter(row.client_call_id for row in rows) == {f"call-{n}": 1 for n in range(2 * CALLS)}
    assert not list((house.config.folder() / "spool").iterdir())


def test_a_note_lives_as_long_as_whoever_left_it_or_a_fork_of_it(tmp_path: Path) -> None:
    note = note_of("127.0.0.1", 8080, None)
    held = leave(tmp_path, note)
    assert others(tmp_path) == [note]
    fork = os.dup(held)  # as a worker has it
    os.close(held)
    assert others(tmp_path) == [note]
    os.close(fork)
    assert others(tmp_path) == []
    assert not list((tmp_path / "serving").iterdir())


@pytest.mark.parametrize(
    ("beside", "taken", "said"),
    [
        ((), False, ()),
        ((), True, ("another process listens on port 8080",)),
        (
            (Note(7, "h", 8080, "a"),),
            True,
            ("gateway 7 serves the same configuration on port 8080",),
        ),
        ((Note(7, "h", 8080, "b"),), True, ("gateway 7 listens on port 8080 too, with another",)),
        (
            (Note(7, "h", 9090, "a"),),
            True,
            ("gateway 7 serves on this folder too, on port 9090", "another process listens"),
        ),
    ],
)
def test_each_way_of_standing_beside_another_has_its_sentence(
    *, beside: tuple[Note, ...], taken: bool, said: tuple[str, ...]
) -> None:
    found = told(Note(1, "h", 8080, "a"), list(beside), taken=taken)
    assert len(found) == len(said)
    assert all(one.startswith(sentence) for one, sentence in zip(found, said, strict=True))
    assert all("; " in one for one in found)


def test_a_port_that_somebody_shares_is_seen_though_it_could_be_bound() -> None:
    with listening("127.0.0.1", 0) as held:
        held.listen()
        port = held.getsockname()[1]
        listening("127.0.0.1", port).close()
        assert is_taken("127.0.0.1", port)
    assert not is_taken("127.0.0.1", port)
