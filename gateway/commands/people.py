"""weighbridge people: import, list and erase who belongs where; the history of it.

To add a property: see reporting/roster.py; tables and records here follow from its changes.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Annotated, Final, TypeVar

import typer
from rich.console import Group
from rich.text import Text

from gateway import app as composition, shipped
from gateway.commands.authors import Author, author_of
from gateway.commands.known import tell
from gateway.commands.names import instead
from gateway.commands.output import CONSOLE, Table, emit, stop, styled, table
from gateway.commands.rosters import roster_in
from gateway.kernel.clock import instant
from gateway.kernel.errors import BadRequest, NotFound
from gateway.reporting.organisation import CostCentre
from gateway.reporting.roster import Change, Roster, imported, shown_day
from gateway.storage.organisation import Changed, OrganisationStore

T = TypeVar("T")
Json = Annotated[bool, typer.Option("--json", help="one object per line")]
Config = Annotated[Path | None, typer.Option(help="configuration file")]
_HUES: Final = {"add": "green", "change": "yellow", "end": "yellow", "remove": "red", "erase": "red"}  # fmt: skip

people = typer.Typer(
    help="Who belongs where: cost centres, dated assignments, people.", no_args_is_help=True
)


def with_organisation(config: Path | None, work: Callable[[OrganisationStore], Awaitable[T]]) -> T:
    """Do something with the organisation. What cannot be done ends with status 2."""
    configured = shipped.configured(config)
    composition.ready_store(configured)

    async def run() -> T:
        async with composition.opened(configured) as database:
            return await work(OrganisationStore(database))

    try:
        return asyncio.run(run())
    except (BadRequest, NotFound) as error:
        stop(error.message)


@people.command("import")
def import_file(
    file: Annotated[Path, typer.Argument(help="CSV: cost_centre with team, app or user, …")],
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only say what would change")] = False,
    prune: Annotated[
        bool, typer.Option("--prune", help="what the file does not name is removed")
    ] = False,
    author: Author = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """Make cost centres, assignments and people those of a file; closed months do not change."""
    wanted = roster_in(file)

    def plan(now: Roster) -> Roster:
        return imported(now, wanted, prune=prune)

    who = author_of(author)
    found = with_organisation(config, lambda store: store.revise(plan, who, dry_run=dry_run))
    if json:
        for change in found:
            emit({**_record(change), "dry_run": dry_run})
    elif not found:
        CONSOLE.print("nothing to change: it is so already")
    else:
        CONSOLE.print(drawn_changes(found, "Would change" if dry_run else "Changed"))


@people.command("list")
def list_all(
    *,
    owner: Annotated[
        str | None, typer.Option(help="show the names of people in this owner's cost centres")
    ] = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """Cost centres, and who belongs to them when. Names of people only for the owner who is named."""
    found = with_organisation(config, lambda store: store.roster())
    owners = {one.owner for one in found.centres.values() if one.owner}
    if owner is not None and owner not in owners:
        tell(
            f"no cost centre has an owner {owner!r}{instead(owner, owners, 'weighbridge people list')}"
        )
    if json:
        for record in _records(found, owner):
            emit(record)
    else:
        CONSOLE.print(drawn(found, owner))


@people.command()
def erase(
    user: Annotated[str, typer.Argument(help="the user id on the rows")],
    *,
    author: Author = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """Forget who a user id is. Rows, statements and history keep the id; nothing else is left."""
    who = author_of(author)

    async def forget(store: OrganisationStore) -> None:
        try:
            await store.erase(user, who)
        except NotFound:
            there = instead(user, (await store.roster()).people, "weighbridge people list")
            stop(f"nobody is known under the user id {user!r}{there}")

    with_organisation(config, forget)
    if json:
        emit({"erased": user})
    else:
        CONSOLE.print(f"{user} is a number again: name and mail address are gone", highlight=False)


@people.command()
def history(
    *,
    limit: Annotated[int, typer.Option(min=1)] = 50,
    config: Config = None,
    json: Json = False,
) -> None:
    """Who changed what of the organisation when, the newest first."""
    found = with_organisation(config, lambda store: store.history(limit))
    if json:
        for one in found:
            at = instant(one.at_us).isoformat(timespec="seconds")
            emit({"at": at, "author": one.author, **_record(one.change)})
    else:
        CONSOLE.print(_drawn_history(found))


def drawn_changes(found: Sequence[Change], title: str) -> Table:
    """The diff: before and after of what differs."""
    shown = table(title, (("", "left"), ("what", "left"), ("before", "left"), ("after", "left")))
    for one in found:
        shown.add_row(*_cells(one))
    return shown


def _cells(one: Change) -> tuple[Text, Text, str, str]:
    what = styled("{} [bold]{}[/]", one.kind, one.name)
    return (
        styled("[{}]{}[/]", _HUES[one.action], one.action),
        what,
        _said(one.before),
        _said(one.after),
    )


def _said(properties: dict[str, str]) -> str:
    return ", ".join(f"{key} {value}" for key, value in properties.items() if value)


def _drawn_history(found: Sequence[Changed]) -> Table:
    heads = ("when (UTC)", "who", "", "what", "before", "after")
    shown = table("History of the organisation", tuple((head, "left") for head in heads))
    for one in found:
        at = instant(one.at_us).strftime("%Y-%m-%d %H:%M")
        shown.add_row(at, one.author, *_cells(one.change))
    return shown


def drawn(found: Roster, owner: str | None) -> Group:
    """Cost centres with their subjects; names where the owner may see them."""
    heads = ("code", "name", "owner", "account", "currency", "charged")
    centres = table("Cost centres", tuple((head, "left") for head in heads))
    for one in sorted(found.centres.values(), key=lambda each: each.code):
        texts = (one.code, one.name, one.owner, one.gl_account, one.currency)
        centres.add_row(*texts, "yes" if one.posts else "no")
    names = visible(found, owner)
    columns = ("", "subject", "cost centre", "from", "until", "name")
    dated = table("\nAssignments", tuple((head, "left") for head in columns))
    for assigned in found.assignments:
        name = names.get(assigned.subject, "") if assigned.kind == "user" else ""
        ends = assigned.until_day or "—"
        begins = shown_day(assigned.from_day)
        dated.add_row(
            assigned.kind,
            assigned.subject,
            assigned.centre,
            begins,
            ends,
            name,
        )
    count = f"\n{len(found.people):,} people are known by name"
    return Group(centres, dated, count if owner else f"{count}; names are for --owner to see")


def visible(found: Roster, owner: str | None) -> dict[str, str]:
    """User id → name, of those assigned to a cost centre of this owner."""
    mine = {code for code, one in found.centres.items() if owner and one.owner == owner}
    ours = {one.subject for one in found.assignments if one.kind == "user" and one.centre in mine}
    return {user: found.people[user].name for user in sorted(ours) if user in found.people}


def _records(found: Roster, owner: str | None) -> list[dict[str, object]]:
    names = visible(found, owner)
    centres = [_centre(one) for _, one in sorted(found.centres.items())]
    return centres + [
        {
            "line": "assignment",
            "kind": one.kind,
            "subject": one.subject,
            "cost_centre": one.centre,
            "valid_from": None if shown_day(one.from_day) != one.from_day else one.from_day,
            "valid_until": one.until_day,
            "name": names.get(one.subject) if one.kind == "user" else None,
        }
        for one in found.assignments
    ]


def _centre(one: CostCentre) -> dict[str, object]:
    return {
        "line": "cost_centre",
        "cost_centre": one.code,
        "name": one.name,
        "owner": one.owner,
        "gl_account": one.gl_account,
        "currency": one.currency,
        "post": one.posts,
    }


def _record(one: Change) -> dict[str, object]:
    return {
        "action": one.action,
        "kind": one.kind,
        "name": one.name,
        "before": one.before,
        "after": one.after,
    }
