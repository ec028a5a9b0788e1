"""A name in a filter that nobody has: said on stderr, with the nearest that there are.

What is asked for is answered all the same, with nothing: a team without use has none, and its report says so. So the
exit status stays 0. A word that the program itself defines (a scope, a format) is a mistake instead, with status 2.
To tell another kind of name: its words in ``_NOWHERE``.
"""

import asyncio
from collections.abc import Collection, Iterable
from contextlib import suppress
from fnmatch import fnmatchcase
from typing import Final

from gateway import premises
from gateway.commands.names import instead
from gateway.commands.output import ERRORS
from gateway.config import Config
from gateway.kernel.errors import Unavailable
from gateway.storage.engine import Database
from gateway.storage.known import Kind, is_known, names

SCOPED: Final = (Kind.ORG, Kind.TEAM, Kind.COST_CENTRE, Kind.USER, Kind.APP, Kind.KEY)
_NOWHERE: Final = {
    Kind.ORG: ("no row and no key of an org", "weighbridge keys list"),
    Kind.TEAM: ("no row and no key of a team", "weighbridge keys list"),
    Kind.USER: ("no row and no key of a user", "weighbridge keys list"),
    Kind.APP: ("no row and no key of an app", "weighbridge keys list"),
    Kind.MODEL: ("no row and no price of a model", "weighbridge prices list"),
    Kind.COST_CENTRE: ("no key and nobody is of a cost centre", "weighbridge people list"),
    Kind.KEY: ("there is no key", "weighbridge keys list"),
}


def tell(said: str) -> None:
    """Say on stderr what a reader of the result has to know; the result itself stays pure."""
    ERRORS.print(said, highlight=False, soft_wrap=True)


async def tell_unknown(
    database: Database, kind: Kind, asked: Iterable[str | None], also: Collection[str] = ()
) -> None:
    """Say of each name that nobody has which are nearest; None asks for nothing. ``also``: names known elsewhere."""
    for name in dict.fromkeys(asked):
        if name is None or name in also or await is_known(database, kind, name):
            continue
        said, listed = _NOWHERE[kind]
        tell(f"{said} {name!r}{instead(name, {*also, *await names(database, kind)}, listed)}")


def tell_filters(
    configured: Config,
    *,
    team: str | None = None,
    user: str | None = None,
    model: str | None = None,
    parties: Collection[str] = (),
    models: Collection[str] = (),
) -> None:
    """The same of the filters of a report over rows; ``parties``: teams of contracts, ``models``: those with a price.

    Not to be called where an event loop runs.
    """
    if {team, user, model} == {None}:
        return

    async def ask() -> None:
        async with premises.opened(configured) as database:
            await tell_unknown(database, Kind.TEAM, [team], parties)
            await tell_unknown(database, Kind.USER, [user])
            await tell_unknown(database, Kind.MODEL, [model], models)

    asyncio.run(ask())


def tell_scope(configured: Config, named: Iterable[tuple[Kind, str | None]]) -> None:
    """Say of the names that a budget or a cost is over which nobody has: over a mistyped one nothing ever happens."""
    asked = [(kind, name) for kind, name in named if name]

    async def ask() -> None:
        async with premises.opened(configured) as database:
            for kind, name in asked:
                also = (configured.org.name,) if kind is Kind.ORG else ()
                await tell_unknown(database, kind, [name], also)

    if asked:
        asyncio.run(ask())


def tell_no_team(configured: Config, team: str, *, has_store: bool) -> None:
    """Say of a team that neither a contract nor a key names: it pays the list price, as a mistyped one does."""
    parties = {contract.team for contract in configured.contracts if contract.team}
    if has_store:
        with suppress(Unavailable):  # that it is away was said when its prices were asked for
            tell_filters(configured, team=team, parties=parties)
    elif team not in parties:
        tell(
            f"no contract of a team {team!r}{instead(team, parties, 'weighbridge contracts list')}"
        )


async def tell_unfit(
    database: Database, kind: Kind, glob: str | None, also: Collection[str] = ()
) -> None:
    """The same of a glob that fits no name; None and * ask for nothing."""
    if glob in {None, "*"} or fits(glob, also):
        return
    there = {*also, *await names(database, kind)}
    if not fits(glob, there):
        said, listed = _NOWHERE[kind]
        tell(f"{said} {glob!r}{instead(glob or '', there, listed)}")


def fits(glob: str | None, known: Iterable[str]) -> bool:
    """Whether a glob fits any of the names."""
    return any(fnmatchcase(name, glob or "*") for name in known)
