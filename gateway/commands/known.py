"""A name in a filter that nobody has: said on stderr, with the nearest that there are."""

from gateway import app as composition
from gateway.commands.names import nearest
from gateway.commands.output import ERRORS
from gateway.config import Config
from gateway.kernel.clock import SystemClock
from gateway.storage.engine import Database


async def tell_unknown(
    configured: Config, database: Database, *, team: str | None = None, user: str | None = None
) -> None:
    """Where nothing was found for a team or user: say so if no key is theirs either."""
    if team is None and user is None:
        return
    keys = await composition.directory(configured, database, SystemClock()).list()
    for word, asked, known in (
        ("team", team, {key.team for key in keys}),
        ("user", user, {key.user for key in keys}),
    ):
        if asked is not None and asked not in known:
            near = nearest(asked, known)
            also = f"; did you mean {near}?" if near else ": weighbridge keys list shows them"
            ERRORS.print(f"no row here and no key of a {word} {asked!r}{also}", highlight=False, soft_wrap=True)  # fmt: skip
