"""The room's wall: what a database driver raises, said once in the gateway's own words.

To map a further foreign error: a line in ``_is_refusal`` or ``_unavailable``.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import asyncpg
import sqlalchemy.exc

from gateway.kernel.errors import GatewayError, Unavailable


class StoreUnavailable(Unavailable):
    """The database cannot be used now: away, busy, full, or its schema is older than this program."""

    code = "store_unavailable"


class RowRefused(GatewayError):
    """The database will never take the row: a value does not fit, or a rule of the schema forbids it."""

    code = "row_refused"


# Data exceptions, integrity violations, and our own guards (append-only).
_REFUSALS: Final = frozenset({"22", "23", "WB"})
_NOT_GRANTED: Final = "42501"
_DAMAGED: Final = frozenset({"SQLITE_NOTADB", "SQLITE_CORRUPT"})
_NO_DATABASE: Final = "3D000"
_NOT_LET_IN: Final = "28"
_AWAY: Final = ("08", "57P")  # the server is going, coming or gone
_FOREIGN: Final = (
    sqlalchemy.exc.SQLAlchemyError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # its protocol's state, when a server goes in the middle of an answer
    sqlite3.Error,
    OverflowError,  # sqlite3: an int past 64 bits
    UnicodeEncodeError,  # a lone surrogate in a text
    OSError,  # includes TimeoutError
)


@contextmanager
def translated(file: Path | None = None) -> Iterator[None]:
    """Raise StoreUnavailable or RowRefused instead of what the drivers raise; other errors pass.

    ``file``: SQLite's, so that one that is damaged is named.
    """
    try:
        yield
    except _FOREIGN as error:
        cause = _cause(error)
        if _is_refusal(cause):
            raise RowRefused(f"the database refuses a row: {_reason(cause)}") from error
        raise _unavailable(cause, file) from error


def _cause(error: BaseException) -> BaseException:
    """The driver's own error below SQLAlchemy's wrapping."""
    origin = getattr(error, "orig", None) or error
    return origin if isinstance(origin, sqlite3.Error) else origin.__cause__ or origin


def _sqlstate(cause: BaseException) -> str:
    return str(getattr(cause, "sqlstate", None) or "")


def _is_refusal(cause: BaseException) -> bool:
    if _sqlstate(cause)[:2] in _REFUSALS:
        return True
    if isinstance(cause, asyncpg.InterfaceError):
        return isinstance(cause, ValueError)  # asyncpg's encoder: the value does not fit its type
    refusals = (sqlite3.IntegrityError, sqlite3.DataError, OverflowError, UnicodeEncodeError)
    return isinstance(cause, refusals)


def _unavailable(cause: BaseException, file: Path | None) -> StoreUnavailable:
    reason = _reason(cause)
    if _DAMAGED & {getattr(cause, "sqlite_errorname", "")}:
        cure = "put its backup in its place, or move it away to begin anew"
        return StoreUnavailable(
            f"{file or 'the database'} is no sound SQLite database: {cause}; {cure}"
        )
    if _sqlstate(cause) == _NOT_GRANTED:
        return StoreUnavailable(
            "the role may not do this; run `weighbridge migrate --role NAME` as the owner of the tables"
        )
    if _sqlstate(cause).startswith("42") or "no such table" in reason or "no such column" in reason:
        return StoreUnavailable("the schema is missing or too old: run `weighbridge migrate`")
    cure = _cure(cause)
    return StoreUnavailable(f"the database cannot be used now: {reason}{cure and '; '}{cure}")


def _cure(cause: BaseException) -> str:
    state = _sqlstate(cause)
    if state == _NO_DATABASE:
        return "make it, or mend storage.url"
    if state.startswith(_NOT_LET_IN):
        return "mend the user or the password of storage.url"
    if isinstance(cause, OSError) or state.startswith(_AWAY):
        return "start it, or mend storage.url"
    return ""


def _reason(cause: BaseException) -> str:
    # Postgres' own message can quote a row's values; SQLite's names columns only.
    name = type(cause).__name__
    return f"{name}: {cause}" if isinstance(cause, sqlite3.Error) else name
