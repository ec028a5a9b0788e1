"""A key that another process made a moment ago is known on its first call; strangers cost the store next to nothing."""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from secrets import token_bytes
from typing import Any, Final, NamedTuple

import pytest

from gateway.identity import keys
from gateway.jobs import reload
from gateway.storage.directory import Directory
from gateway.storage.renewing import RENEW_PAUSE_MS
from tests.faults.gateways import ENVIRONMENT, in_process, settings
from tests.faults.origin import Origin, standing
from tests.faults.streams import CHAT, answering
from tests.faults.visitor import Got, ask, post
from tests.serving import Running

NEVER_MS: Final = 3_600_000
LARGE: Final = {**CHAT.body, "padding": "x" * 400_000}  # whose key is looked at before its body


class House(NamedTuple):
    """A gateway that never looks at its keys by itself."""

    gateway: Running
    path: str

    def created(self) -> dict[str, Any]:
        """A key made by a process of its own."""
        command = [
            sys.executable,
            "-m",
            "gateway",
            "keys",
            "create",
            "--config",
            self.path,
            "--json",
        ]
        made = subprocess.run(
            [*command, "--user", "user-0002", "--team", "core"],
            env={**os.environ, **ENVIRONMENT},
            capture_output=True,
            check=True,
        )
        key: dict[str, Any] = json.loads(made.stdout)
        return key

    @property
    def directory(self) -> Directory:
        proxy = self.gateway.gateway._proxy
        assert proxy is not None
        found = proxy.exchanges.admission._keys
        assert isinstance(found, Directory)
        return found

    async def ask(self, key: str, body: Any = CHAT.body) -> Got:
        return await ask(self.gateway.port, post(CHAT.path, body, key))


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    path = settings(folder := tmp_path_factory.mktemp("keys"), 1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reload, "PAUSE_MS", NEVER_MS)
        with standing(lambda: Origin(answering()).running()) as origin:
            path = settings(folder, origin.port)
            with in_process(path) as gateway:
                yield House(gateway, str(path))


@pytest.mark.parametrize("body", [CHAT.body, LARGE], ids=["small", "large"])
def test_a_key_that_was_just_made_is_accepted_on_its_first_call(house: House, body: Any) -> None:
    made = house.created()
    assert asyncio.run(house.ask(made["key"], body)).status == 200


def test_a_flood_of_unknown_keys_is_refused_with_a_few_looks_and_holds_up_nobody_who_is_known(
    house: House,
) -> None:
    before = house.directory.renewing.looks
    known = house.gateway.key.key

    async def run() -> tuple[list[Got], list[float], float]:
        strangers = [asyncio.create_task(house.ask(keys.mint(token_bytes))) for _ in range(300)]
        began, waits = time.monotonic(), []
        for _ in range(10):
            asked = time.monotonic()
            assert (await house.ask(known)).status == 200
            waits.append(time.monotonic() - asked)
        return await asyncio.gather(*strangers), waits, time.monotonic() - began

    refused, _, took_s = asyncio.run(run())
    assert {got.status for got in refused} == {401}
    assert {got.document()["error"]["code"] for got in refused} == {"unknown_key"}
    looks = house.directory.renewing.looks - before
    assert 1 <= looks <= 2 + took_s / (RENEW_PAUSE_MS / 1000)


def test_while_the_store_does_not_answer_an_unknown_key_is_refused_in_time_and_a_known_one_served(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def silent() -> bool:
        await asyncio.sleep(4)
        return False

    monkeypatch.setattr(house.directory.renewing, "_refresh", silent)

    async def run() -> tuple[Got, float, Got, float]:
        began = time.monotonic()
        stranger = asyncio.create_task(house.ask(keys.mint(token_bytes)))
        known = await house.ask(house.gateway.key.key)
        served_s = time.monotonic() - began
        return await stranger, time.monotonic() - began, known, served_s

    stranger, refused_s, known, served_s = asyncio.run(run())
    assert (stranger.status, known.status) == (401, 200)
    assert served_s < refused_s
    assert 0.9 < refused_s < 3
