"""weighbridge keys: make, list, rotate and revoke gateway keys."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from gateway import app as composition, shipped
from gateway.commands.moments import instant_of
from gateway.commands.names import instead, name_of
from gateway.commands.output import CONSOLE, Listed, emit, plain, stop, styled, table
from gateway.commands.prices.imports import current_book
from gateway.commands.prices.undecided import tell_unfit
from gateway.config import Config as Configuration
from gateway.kernel.clock import SystemClock, instant
from gateway.kernel.errors import NotFound
from gateway.reporting.organisation import ours
from gateway.storage.directory import Directory, MadeKey, NewKey, StoredKey

T = TypeVar("T")
Config = Annotated[Path | None, typer.Option(help="configuration file; defaults without one")]
Json = Annotated[bool, typer.Option("--json", help="one object per line")]
US_PER_SECOND = 1_000_000
_TAG = re.compile(r"[A-Za-z0-9._:/-]{1,64}=[A-Za-z0-9._:/-]{1,64}")

keys = typer.Typer(help="Gateway keys: who may call, and who pays.", no_args_is_help=True)


def _with_directory(
    config: Path | None, work: Callable[[Directory], Awaitable[T]], key_id: str = ""
) -> T:
    configured = shipped.configured(config)
    composition.ready_store(configured)

    async def run() -> T:
        async with composition.opened(configured) as database:
            there = composition.directory(configured, database, SystemClock())
            try:
                return await work(there)
            except NotFound as error:
                known = [key.key_id for key in await there.list()]
                if key_id in known:
                    stop(error.message)
                stop(f"there is no key {key_id!r}{instead(key_id, known, 'weighbridge keys list')}")

    return asyncio.run(run())


@keys.command()
def create(
    *,
    user: Annotated[str, typer.Option(help="who calls")],
    team: Annotated[str, typer.Option(help="who pays")],
    cost_centre: Annotated[str | None, typer.Option(help="cost centre, e.g. 4100")] = None,
    app: Annotated[str | None, typer.Option(help="application")] = None,
    models: Annotated[str, typer.Option(help="globs: 'gpt-*,o3'; else every priced one")] = "",
    allow_unpriced: Annotated[
        bool, typer.Option("--allow-unpriced", help="pass what has no price, flagged")
    ] = False,
    allow_batches: Annotated[
        bool, typer.Option("--allow-batches", help="may make batches")
    ] = False,
    allow_shared: Annotated[
        bool, typer.Option("--allow-shared", help="may touch files and batches of other teams")
    ] = False,
    expires: Annotated[str | None, typer.Option(help="date or time, UTC")] = None,
    tag: Annotated[
        list[str] | None, typer.Option(help="name=value, repeatable: for budgets and reports")
    ] = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """Make a key and its AWS pair; the secrets are shown once and stored nowhere."""
    configured = shipped.configured(config)
    new = NewKey(
        user=name_of(user, "--user"),
        team=name_of(team, "--team"),
        org=configured.org.name,
        cost_centre=_payer(cost_centre),
        app=name_of(app, "--app"),
        models=tuple(glob.strip() for glob in models.split(",") if glob.strip()),
        allow_unpriced=allow_unpriced,
        allow_batches=allow_batches,
        allow_shared=allow_shared,
        expires_us=_ends(expires),
        tags=_tags(tag or []),
    )
    _show_made(_with_directory(config, lambda directory: directory.create(new)), json=json)
    _tell_models(configured, new.models)


def _payer(cost_centre: str | None) -> str | None:
    if said := ours(cost_centre or ""):
        stop(f"--cost-centre: {said}")
    return name_of(cost_centre, "--cost-centre")


@keys.command("list")
def list_keys(*, config: Config = None, json: Json = False) -> None:
    """Every key, oldest first, without secrets."""
    found = _with_directory(config, lambda directory: directory.list())
    if json:
        for key in found:
            emit(_record(key))
        return
    headings = ("key id", "prefix", "team", "user", "cost centre", "app", "models", "state")
    shown = table(
        "Gateway keys",
        [(heading, "left") for heading in headings],
        ("prefix", "app", "cost centre"),
    )
    # What rotate and revoke ask for is never cut, however long the names beside it are.
    shown.columns[0].min_width = max((len(key.key_id) for key in found), default=0)
    for key in found:
        models = Listed(*key.models) if key.models else plain("every priced model")
        shown.add_row(
            key.key_id,
            f"{key.prefix}…",
            key.team,
            key.user,
            key.cost_centre or "",
            key.app or "",
            models,
            _shown_state(key),
        )
    CONSOLE.print(shown)


@keys.command()
def rotate(
    key_id: str,
    *,
    overlap_hours: Annotated[int, typer.Option(min=0, help="how long the old key still works")] = 0,
    config: Config = None,
    json: Json = False,
) -> None:
    """A new key for the same purpose; the old one ends, now or after an overlap."""
    overlap_us = overlap_hours * 3600 * US_PER_SECOND
    made = _with_directory(
        config, lambda directory: directory.rotate(key_id, overlap_us=overlap_us), key_id
    )
    _show_made(made, json=json)


@keys.command()
def revoke(key_id: str, *, config: Config = None, json: Json = False) -> None:
    """End a key; every worker refuses it within five seconds."""
    _with_directory(config, lambda directory: directory.revoke(key_id), key_id)
    if json:
        emit({"key_id": key_id, "revoked": True})
    else:
        CONSOLE.print(
            styled("[green]✓[/] {} is revoked; every worker refuses it within 5 s", key_id)
        )


def _tell_models(configured: Configuration, globs: Sequence[str]) -> None:
    """Say of each glob that fits no model: a key of none but such may call nothing."""
    wires = {name for one in configured.deployments for name in (one.wire, one.named or one.wire)}
    for glob in globs:
        tell_unfit(current_book(configured), wires, model=glob)


def _ends(expires: str | None) -> int | None:
    """When a new key ends, epoch microseconds; one that has ended already would be a dead key."""
    ends = instant_of(expires, "--expires", such_as="2027-01-01")
    if ends is not None and ends <= SystemClock().wall_us():
        stop(f"--expires {expires} is past: the key would never work; name a later date, or leave it out")  # fmt: skip
    return ends


def _tags(given: list[str]) -> tuple[str, ...]:
    wrong = [tag for tag in given if not _TAG.fullmatch(tag)]
    if wrong:
        stop(f"--tag is name=value of letters, digits and . _ : / -, found {wrong[0]!r}")
    return tuple(sorted(set(given)))


def _show_made(made: MadeKey, *, json: bool) -> None:
    record = {
        "key": made.key,
        "key_id": made.key_id,
        "aws_access_key_id": made.aws_access_key_id,
        "aws_secret_access_key": made.aws_secret_access_key,
    }
    if json:
        emit(record)
        return
    shown = table("Shown once, stored nowhere", (("", "left"), ("", "left")))
    for name, value in record.items():
        shown.add_row(name, styled("[bold]{}[/]", value))
    CONSOLE.print(shown)


def _state(key: StoredKey) -> str:
    now = SystemClock().wall_us()
    if key.revoked_us is not None:
        return "revoked"
    if key.expires_us is not None and now >= key.expires_us:
        return "expired"
    return "active"


def _shown_state(key: StoredKey) -> str:
    """With its end, where a key that is active has one."""
    state = _state(key)
    if state != "active" or key.expires_us is None:
        return state
    return instant(key.expires_us).strftime("until %Y-%m-%d %H:%M").removesuffix(" 00:00")


def _record(key: StoredKey) -> dict[str, object]:
    return {
        "key_id": key.key_id,
        "prefix": key.prefix,
        "aws_access_key_id": key.access_key_id,
        "org": key.org,
        "user": key.user,
        "team": key.team,
        "cost_centre": key.cost_centre,
        "app": key.app,
        "models": list(key.models),
        "allow_unpriced": key.allow_unpriced,
        "allow_batches": key.allow_batches,
        "allow_shared": key.allow_shared,
        "tags": list(key.tags),
        "created_at": _time(key.created_us),
        "expires_at": _time(key.expires_us),
        "revoked_at": _time(key.revoked_us),
        "rotated_from": key.rotated_from,
        "state": _state(key),
    }


def _time(us: int | None) -> str | None:
    return None if us is None else instant(us).isoformat()
