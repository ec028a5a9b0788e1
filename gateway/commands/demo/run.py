"""weighbridge demo: the whole product in under a minute, on loopback, with the real SDKs."""

import asyncio
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections import Counter as Multiset
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer
import uvicorn
from rich.text import Text

from gateway import app as composition, shipped
from gateway.commands import demo as room
from gateway.commands.demo.month import Closed, closed_month
from gateway.commands.demo.scripted import Scripted
from gateway.commands.output import CONSOLE, plain, shown_usd, stop, styled
from gateway.commands.statement.command import drawn as drawn_statement
from gateway.commands.usage import drawn as drawn_usage
from gateway.edge.server import server_config
from gateway.kernel.clock import SystemClock, instant
from gateway.ledger.entry import Entry
from gateway.ledger.statement import Statement
from gateway.storage.directory import NewKey
from gateway.storage.ledger import Ledger
from gateway.storage.migrate import upgrade

PAUSE_MS = 12  # between stream parts, as a fast model writes
READY_SECONDS_MAX = 30
CREDENTIAL = "demo-provider-credential"
SDKS = ("openai", "boto3", "google.genai", "anthropic")
PEOPLE = {
    "user-0001": ("search", "4100", "assistant"),
    "user-0002": ("search", "4100", "indexer"),
    "user-0003": ("support", "4200", "answers"),
    "user-0004": ("platform", "4300", "batch-tools"),
}


def demo(
    *,
    folder: Annotated[
        Path, typer.Option(help="made afresh; kept afterwards, to look around in")
    ] = Path("var/demo"),
) -> None:
    """Scripted providers of three clouds, the gateway, the real SDKs; then the rows and the statement."""
    missing = [name for name in SDKS if find_spec(name) is None]
    if missing:
        stop(
            f"the demo drives the real SDKs: pip install 'weighbridge[demo]' (missing: {', '.join(missing)})"
        )
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    started = time.perf_counter()
    scripted = Scripted(pause_ms=PAUSE_MS)
    with _serving(scripted) as scripted_url, _gateway(folder, scripted_url) as (url, config):
        keys = asyncio.run(_keys(config))
        CONSOLE.print(
            styled(
                "[dim]providers {} · gateway {} · SQLite {}[/]\n",
                scripted_url,
                url,
                folder / "weighbridge.db",
            )
        )
        _run_clients(url, keys)
        rows, statement = asyncio.run(_booked(config, scripted))
    _show(rows, statement, scripted, started, folder)


@contextmanager
def _serving(app: Any) -> Iterator[str]:
    """A uvicorn server in a thread, on a free port of loopback."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    server = uvicorn.Server(
        server_config(app, "127.0.0.1", listener.getsockname()[1], drain_seconds=2)
    )
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


@contextmanager
def _gateway(folder: Path, scripted_url: str) -> Iterator[tuple[str, Path]]:
    """The gateway as users run it: a process of its own, by ``weighbridge serve``."""
    port = _free_port()
    template = (resources.files(room) / "demo.toml").read_text()
    config = folder / "demo.toml"
    config.write_text(template.format(gateway_port=port, folder=folder, scripted_url=scripted_url))
    environment = {**os.environ, "WEIGHBRIDGE_DEMO_CREDENTIAL": CREDENTIAL}  # noqa: TID251  # a child's environment
    os.environ["WEIGHBRIDGE_DEMO_CREDENTIAL"] = CREDENTIAL  # noqa: TID251  # this process reads the same file
    log = (folder / "gateway.log").open("wb")
    process = subprocess.Popen(  # noqa: S603  # our own interpreter and module
        [sys.executable, "-m", "gateway", "serve", "--config", str(config)],
        env=environment, stdout=log, stderr=log,
    )  # fmt: skip
    try:
        url = f"http://127.0.0.1:{port}"
        _wait_until_ready(url, process, folder)
        yield url, config
    finally:
        process.terminate()
        process.wait()
        log.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_until_ready(url: str, process: subprocess.Popen[bytes], folder: Path) -> None:
    deadline = time.perf_counter() + READY_SECONDS_MAX
    while time.perf_counter() < deadline:
        if process.poll() is not None:
            break
        try:
            with urllib.request.urlopen(f"{url}/-/ready", timeout=1):  # noqa: S310  # loopback
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    stop(f"the gateway did not start: see {folder / 'gateway.log'}")


async def _keys(config: Path) -> dict[str, dict[str, str]]:
    """One key per demo user."""
    configured = shipped.configured(config)
    upgrade_needed = configured.database_url()
    await asyncio.to_thread(upgrade, upgrade_needed)
    made: dict[str, dict[str, str]] = {}
    async with composition.opened(configured) as database:
        directory = composition.directory(configured, database, SystemClock())
        for user, (team, cost_centre, app) in PEOPLE.items():
            new = NewKey(user=user, team=team, cost_centre=cost_centre, app=app)
            key = await directory.create(new)
            made[user] = {
                "key": key.key,
                "aws_access_key_id": key.aws_access_key_id,
                "aws_secret_access_key": key.aws_secret_access_key,
            }
    await asyncio.sleep(2.5)  # the running gateway reads new keys every two seconds
    return made


def _run_clients(url: str, keys: dict[str, dict[str, str]]) -> None:
    """Start the clients' process and show each call as it ends."""
    process = subprocess.Popen(
        [sys.executable, "-m", "gateway.commands.demo.clients"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(orjson.dumps({"url": url, "keys": keys}))
    process.stdin.close()
    failed = 0
    with CONSOLE.status("loading the SDKs …") as status:
        for line in process.stdout:
            call = orjson.loads(line)
            mark = styled("[green]✓[/]") if call["ok"] else styled("[red]✗[/]")
            failed += not call["ok"]
            said = styled(
                "{} {:<10} {:<30} {:<37} [dim]{}[/]",
                mark, call["user"], call["sdk"], call["what"], call["said"],
            )  # fmt: skip
            CONSOLE.print(said, highlight=False, no_wrap=True, overflow="ellipsis" if call["ok"] else "fold")  # fmt: skip
            status.update("calling …")
    if process.wait() != 0 or failed:
        stop(f"{failed or 'some'} calls did not go through")


async def _booked(config: Path, scripted: Scripted) -> tuple[list[Entry], Statement]:
    """The rows, once the flush has brought all of them in, and the month's statement."""
    configured = shipped.configured(config)
    period = int(instant(SystemClock().wall_us()).strftime("%Y%m"))
    async with composition.opened(configured) as database:
        ledger = Ledger(database)
        rows: list[Entry] = []
        for _ in range(100):
            rows = [entry async for entry in ledger.usage()]
            if len(rows) >= len(scripted.asked):
                break
            await asyncio.sleep(0.1)
        return rows, await ledger.statement(period)


def _show(
    rows: list[Entry], statement: Statement, scripted: Scripted, started: float, folder: Path
) -> None:
    now = instant(SystemClock().wall_us())
    CONSOLE.print()
    CONSOLE.print(drawn_usage(rows, "One row per request"))
    CONSOLE.print()
    CONSOLE.print(drawn_statement(statement, now.strftime("%Y-%m")))
    CONSOLE.print()
    CONSOLE.print(_verdict(rows, scripted), highlight=False)
    CONSOLE.print(_ties(rows, statement), highlight=False)
    CONSOLE.print(
        styled("\n[bold]And a month of an organisation[/], simulated, closed and posted:\n")
    )
    closed = closed_month(folder, now.date())
    CONSOLE.print(closed.shown)
    CONSOLE.print(
        styled("\n[green]✓[/] the statement: [bold]{}[/]", closed.statement), highlight=False
    )
    if closed.statement.suffix == ".html":
        CONSOLE.print("  (as HTML: the PDF needs the system's libpango)")
    _try_next(folder, now.strftime("%Y-%m"), closed, time.perf_counter() - started)


def _try_next(folder: Path, month: str, closed: Closed, seconds: float) -> None:
    config = folder / "demo.toml"
    commands = (
        f"export WEIGHBRIDGE_DEMO_CREDENTIAL={CREDENTIAL}",
        f"weighbridge usage --config {config} --json",
        f"weighbridge statement {month} --config {config}",
        f"weighbridge keys list --config {config}",
        "weighbridge price --provider azure --model gpt-5.4 --scope global --usage '{\"input_text\": 12000}'",
        f"weighbridge statement {closed.month} --cost-centre 4100 --to 4100.xlsx --config {closed.config}",
        f"weighbridge spend {closed.month} --models --config {closed.config}",
        f"weighbridge verify --period {closed.month} --config {closed.config}",
    )
    CONSOLE.print(
        styled(
            "\n[bold]Try next[/] [dim]with .venv/bin on your PATH; done in {:.0f} s[/]", seconds
        ),
        highlight=False,
    )
    for command in commands:
        # Unbroken, whatever the width: a line that is copied has to run.
        CONSOLE.print(plain(f"  {command}"), highlight=False, soft_wrap=True)
    CONSOLE.print(styled("[dim]docs/sdk/ says how to point each SDK at your own gateway[/]"))


def _ties(rows: list[Entry], statement: Statement) -> Text:
    """The statement against the rows: to the pico-dollar."""
    booked = sum(row.net_pico or 0 for row in rows)
    mark = styled("[green]✓[/]") if booked == statement.total.net_pico else styled("[red]✗[/]")
    return styled(
        "{} the statement is the sum of the rows: {} USD, to the pico-dollar",
        mark,
        shown_usd(booked, 12),
    )


def _verdict(rows: list[Entry], scripted: Scripted) -> Text:
    """The rows against the providers' own list: the same number, and the same tokens."""
    stated = Multiset(
        asked.stated.prompt + (0 if "embeddings" in asked.path else asked.stated.output)
        for asked in scripted.asked
        if asked.stated is not None
    )
    reported = Multiset(row.provider_total or 0 for row in rows if row.provenance == "reported")
    counted = sum(row.provenance != "reported" for row in rows)
    exact = sum((stated & reported).values())
    mark = (
        styled("[green]✓[/]")
        if len(rows) == len(scripted.asked) and exact + counted == len(rows)
        else styled("[red]✗[/]")
    )
    leaked = any(b"wb_" in value for asked in scripted.asked for _, value in asked.headers)
    safe = (
        styled("[red]✗ a gateway key reached a provider[/]")
        if leaked
        else styled("[green]✓[/] no gateway key reached a provider")
    )
    return styled(
        "{} {} requests reached the providers, {} rows are booked; {} equal the provider's own count to the token, "
        "{} counted by tiktoken (the client left and the stream was cancelled)\n{}",
        mark, len(scripted.asked), len(rows), exact, counted, safe,
    )  # fmt: skip
