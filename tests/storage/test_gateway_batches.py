"""Batches are booked once, to who created them, although nobody ever looks again: on real sockets, both stores."""

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from openai import OpenAI

from gateway import app as composition
from gateway.config import Config
from gateway.jobs import poll
from gateway.ledger.entry import Entry, EntryKind
from gateway.storage import resources
from gateway.storage.tables import WORK
from tests.faults.gateways import Process, free_port
from tests.serving import Running, deployments, serving, serving_app
from tests.storage.kept_cloud import MODEL, KeepingCloud
from tests.storage.test_gateway_kept import batched, uploaded

DEPLOYED = deployments(("gpt-4o", "gpt-4o-2024-11-20", "global"))


@pytest.fixture
def _pace(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing but the waiting is shorter."""
    monkeypatch.setattr(poll, "PAUSE_MS", 50)
    monkeypatch.setattr(poll, "FIRST_WAIT_US", 100_000)
    monkeypatch.setattr(poll, "WAIT_US_MAX", 300_000)
    monkeypatch.setattr(resources, "FIRST_ASKED_US", 0)


@contextmanager
def client(url: str, key: str) -> Iterator[Any]:
    made = OpenAI(base_url=f"{url}/azure/openai/v1", api_key=key, max_retries=0)
    with closing(made):
        yield made


def until(condition: Callable[[], bool], seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def left(config: Config) -> int:
    """Batches still to be asked."""

    async def count() -> int:
        async with composition.opened(config) as database, database.read() as connection:
            return int(await connection.scalar(sa.select(sa.func.count()).select_from(WORK)) or 0)

    return asyncio.run(count())


def usage(rows: list[Entry]) -> list[Entry]:
    return [row for row in rows if row.operation == "batches.retrieve"]


@pytest.mark.usefixtures("_pace")
def test_a_batch_that_nobody_retrieves_is_booked_once_by_several_gateways(
    url: str, tmp_path: Path
) -> None:
    cloud = KeepingCloud()
    with ExitStack() as stack:
        upstream = stack.enter_context(serving_app(cloud))
        folders = [tmp_path / "one", tmp_path / "two"]
        for folder in folders:
            folder.mkdir()
        tagged: dict[str, Any] = {
            "cost_centre": "4100",
            "app": "indexer",
            "tags": ("project=alpha",),
        }
        shared = (
            url if url.startswith("postgresql") else f"sqlite+aiosqlite:///{tmp_path}/shared.db"
        )
        one, _ = [
            stack.enter_context(serving(each, upstream, DEPLOYED, database=shared, **tagged))
            for each in folders
        ]
        openai = stack.enter_context(client(one.url, one.key.key))
        names = [batched(openai, uploaded(openai)) for _ in range(3)]
        until(lambda: all(f"GET /openai/v1/batches/{name}" in cloud.seen for name in names))
        assert usage(one.rows(3)) == []
        cloud.status = "completed"
        until(lambda: left(one.config) == 0)
        openai.batches.retrieve(names[0])  # and a client that looks at last
        time.sleep(0.5)
        booked = usage(one.rows(6))
        assert sorted(str(row.settles) for row in booked) == [
            f"azure/azure-test/{name}/usage" for name in names
        ]
        row = booked[0]
        assert (row.user, row.team, row.cost_centre, row.app, row.tags, row.flags) == (
            "user-0001", "core", "4100", "indexer", ("project=alpha",), (),
        )  # fmt: skip
        assert (row.tier, row.served_model, row.provider_total) == ("batch", MODEL, 1300)
        assert openai.files.content(
            f"file-out-{names[1]}"
        ).read()  # claimed by the gateway's own look


@pytest.mark.usefixtures("_pace")
def test_a_batch_that_does_not_say_what_it_used_is_told_of_and_not_asked_again(
    url: str, tmp_path: Path
) -> None:
    cloud = KeepingCloud()
    cloud.status, cloud.usage, cloud.output = "completed", None, None
    with ExitStack() as stack:
        upstream = stack.enter_context(serving_app(cloud))
        running = stack.enter_context(serving(tmp_path, upstream, DEPLOYED, database=url))
        openai = stack.enter_context(client(running.url, running.key.key))
        batched(openai, uploaded(openai))
        until(lambda: left(running.config) == 0)
        (row,) = usage(running.rows(2))
        assert (row.kind, row.net_pico, row.flags) == (EntryKind.UNCONFIRMED, 0, ("usage_unsaid",))


CONTRACTS = """
[[contracts]]
name = "of-core"
team = "core"
[[contracts.terms]]
discount_percent = "10"

[[contracts]]
name = "of-platform"
team = "platform"
[[contracts.terms]]
discount_percent = "50"
"""


@pytest.mark.usefixtures("_pace")
@pytest.mark.parametrize("by", ["client", "gateway"])
def test_a_batch_is_charged_by_its_creators_contract_whoever_sees_its_end(
    url: str, tmp_path: Path, by: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if by == "client":
        monkeypatch.setattr(resources, "FIRST_ASKED_US", 3_600_000_000)
    cloud = KeepingCloud()
    cloud.status = "completed"
    with ExitStack() as stack:
        upstream = stack.enter_context(serving_app(cloud))
        settings = DEPLOYED + CONTRACTS
        running = stack.enter_context(serving(tmp_path, upstream, settings, database=url))
        (key,) = running.make_keys({"team": "platform", "allow_shared": True})
        openai = stack.enter_context(client(running.url, running.key.key))
        name = batched(openai, uploaded(openai))
        if by == "client":
            other = stack.enter_context(client(running.url, key.key))
            assert other.batches.retrieve(name).status == "completed"
        (row,) = usage(running.rows(2))
        assert (row.team, row.key_id) == ("core", running.key.key_id)
        assert row.contract is not None
        assert row.contract.startswith("of-core@")
        assert row.list_pico is not None
        assert row.net_pico == row.list_pico * 9 // 10 > 0


def line_of(model: str, asked: int, written: int, status: int = 200) -> bytes:
    usage = {"prompt_tokens": asked, "completion_tokens": written, "total_tokens": asked + written}
    body = {"object": "chat.completion", "model": model, "usage": usage}
    return json.dumps(
        {"custom_id": "1", "response": {"status_code": status, "body": body}}
    ).encode()


@pytest.mark.usefixtures("_pace")
def test_what_a_batch_object_does_not_say_its_output_file_does(url: str, tmp_path: Path) -> None:
    cloud = KeepingCloud()
    cloud.usage, cloud.cut_once = None, True
    lines = [line_of(MODEL, 100 + n, 10) for n in range(500)]
    cloud.output = b"\n".join([*lines, line_of("gpt-4o-mini", 7, 3), line_of(MODEL, 999, 999, 429)])
    with ExitStack() as stack:
        upstream = stack.enter_context(serving_app(cloud))
        running = stack.enter_context(serving(tmp_path, upstream, DEPLOYED, database=url))
        openai = stack.enter_context(client(running.url, running.key.key))
        name = batched(openai, uploaded(openai))
        cloud.status = "completed"
        openai.batches.retrieve(name)  # says nothing of what was used, and books nothing
        until(lambda: left(running.config) == 0)
        row = running.rows(2)[1]
        assert len(running.rows(3, seconds=0.5)) == 2
        assert cloud.seen.count(f"GET /openai/v1/files/file-out-{name}/content") == 2
        assert (row.operation, row.settles) == ("batches.results", f"azure/azure-test/{name}/usage")
        assert [(line.unit, line.quantity, line.model) for line in row.lines] == [
            ("input_text", sum(range(100, 600)), None),
            ("output_text", 5_000, None),
            ("input_text", 7, "gpt-4o-mini"),
            ("output_text", 3, "gpt-4o-mini"),
        ]
        assert (row.tier, row.price_status, row.provenance, row.flags) == (
            "batch", "priced", "reported", (),
        )  # fmt: skip
        assert row.net_pico == sum(line.net_pico or 0 for line in row.lines) > 0


def test_a_batch_outlives_the_worker_that_created_it(url: str, tmp_path: Path) -> None:
    cloud = KeepingCloud()
    with ExitStack() as stack:
        upstream = stack.enter_context(serving_app(cloud))
        config, key, path = _written(tmp_path, upstream, url)
        port = free_port()
        first = Process(path(port), port, log=tmp_path / "one.log").until_ready()
        with client(f"http://127.0.0.1:{port}", key) as openai:
            name = batched(openai, uploaded(openai))
        first.kill()
        cloud.status = "completed"
        assert left(config) == 1
        asyncio.run(_due_now(config))
        port = free_port()
        second = Process(path(port), port, log=tmp_path / "two.log").until_ready()
        try:
            until(lambda: left(config) == 0, 30)
            with client(f"http://127.0.0.1:{port}", key) as openai:
                openai.batches.retrieve(name)
        finally:
            second.end()
        rows = Running("", 0, config, None, None).rows(2)  # type: ignore[arg-type]
        assert [row.operation for row in rows] == ["batches.create", "batches.retrieve"]
        assert (rows[1].settles, rows[1].flags, rows[1].user) == (
            f"azure/azure-test/{name}/usage", (), "user-0001",
        )  # fmt: skip


def _written(
    folder: Path, upstream: str, database: str
) -> tuple[Config, str, Callable[[int], Path]]:
    """A configuration with its database and a key, to be served on any port."""
    with serving(folder, upstream, DEPLOYED, database=database) as running:
        config, key = running.config, running.key.key

    def on(port: int) -> Path:
        path = folder / f"on-{port}.toml"
        text = (folder / "weighbridge.toml").read_text()
        path.write_text(f"[server]\nport = {port}\n{text}")
        return path

    return config, key, on


async def _due_now(config: Config) -> None:
    async with composition.opened(config) as database, database.write() as connection:
        await connection.execute(sa.update(WORK).values(due_us=0))


@pytest.mark.usefixtures("_pace")
def test_a_batch_the_gateway_asks_about_itself_is_charged_by_its_creators_contract(
    url: str, tmp_path: Path
) -> None:
    contract = (
        '[[contracts]]\nname = "half"\nteam = "core"\n[[contracts.terms]]\ndiscount_percent = 50\n'
    )
    cloud = KeepingCloud()
    with (
        serving_app(cloud) as upstream,
        serving(tmp_path, upstream, DEPLOYED + contract, database=url) as running,
        client(running.url, running.key.key) as openai,
    ):
        batched(openai, uploaded(openai))
        cloud.status = "completed"
        until(lambda: left(running.config) == 0)
        (row,) = usage(running.rows(2))
    assert row.list_pico is not None
    assert row.net_pico == row.list_pico // 2
    assert row.contract is not None
    assert row.contract.startswith("half@")
