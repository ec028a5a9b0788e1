"""The room's wall: what a database driver raises, said once in the gateway's own words.

To map a further foreign error: a line in ``_is_refusal``, ``_unavailable`` or ``_CURES``.
"""

import socket
import sqlite3
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar, Final

import asyncpg
import sqlalchemy.exc

from gateway.kernel.errors import GatewayError, Unavailable


class StoreUnavailable(Unavailable):
    """The database cannot be used now: away, busy, full, or its schema is older than this program."""

    code = "store_unavailable"


class StoreStarting(StoreUnavailable):
    """The database is starting up (or shutting down): waiting helps."""

    cure: ClassVar[str] = "wait until the database has started"


class RowRefused(GatewayError):
    """The database will never take the row: a value does not fit, or a rule of the schema forbids it."""

    code = "row_refused"


# Data exceptions, integrity violations, a value past what an index holds, and our own guards (append-only).
_REFUSALS: Final = frozenset({"22", "23", "54", "WB"})
_NOT_GRANTED: Final = "42501"
_DAMAGED: Final = frozenset({"SQLITE_NOTADB", "SQLITE_CORRUPT"})
_STARTING: Final = "57P03"
POOLED: Final = "where a pooler in transaction mode stands before it, end storage.url with ?statement_cache_size=0"
# A statement prepared on one of a pooler's servers is unknown to the next, or there already.
_NOT_KEPT: Final = frozenset({"26000", "42P05"})
# By the beginning of the server's code of an error, what to do about it.
_CURES: Final = {
    "3D000": "make it, or mend storage.url",
    "28": "mend the user or the password of storage.url",
    "25006": "it is read-only, as a replica is: name the primary in storage.url",
    "53300": "raise its max_connections, or run fewer workers",
    _STARTING: "wait until it has started",
    "08P01": POOLED,
    "08": "start it, or mend storage.url",  # these two: the server is going, coming or gone
    "57P": "start it, or mend storage.url",
}
# The same of what this side of the connection raises.
_CURES_OF_OURS: Final = (
    (
        asyncpg.ClientConfigurationError,
        "mend what stands after the ? of storage.url; authorities of its certificate: PGSSLROOTCERT",
    ),
    (socket.gaierror, "mend the host of storage.url"),
    (ssl.SSLError, "see the server's certificate, and the authorities in PGSSLROOTCERT"),
    (OSError, "start it, or mend storage.url"),
)
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
    if isinstance(cause, asyncpg.ClientConfigurationError):
        return False
    if isinstance(cause, asyncpg.InterfaceError):
        return isinstance(cause, ValueError)  # asyncpg's encoder: the value does not fit its type
    refusals = (sqlite3.IntegrityError, sqlite3.DataError, OverflowError, UnicodeEncodeError)
    return isinstance(cause, refusals)


def _unavailable(cause: BaseException, file: Path | None) -> StoreUnavailable:
    reason = _reason(cause)
    if _DAMAGED & {getattr(cause, "sqlite_errorname", "")}:
        cure = "remove its -wal and -shm and put its backup in its place, or move all three away to begin anew"
        return StoreUnavailable(
            f"{file or 'the database'} is no sound SQLite database: {cause}; {cure}"
        )
    if _sqlstate(cause) == _NOT_GRANTED:
        return StoreUnavailable(
            "the role may not do this; run `weighbridge migrate --role NAME` as the owner of the tables"
        )
    if _sqlstate(cause) in _NOT_KEPT:
        return StoreUnavailable(f"the database does not know its own statement: {POOLED}")
    if _sqlstate(cause).startswith("42") or "no such table" in reason or "no such column" in reason:
        return StoreUnavailable("the schema is missing or too old: run `weighbridge migrate`")
    cure = _cure(cause)
    kind = StoreStarting if _sqlstate(cause) == _STARTING else StoreUnavailable
    return kind(f"the database cannot be used now: {reason}{cure and '; '}{cure}")


def _cure(cause: BaseException) -> str:
    state = _sqlstate(cause)
    for said, cure in _CURES.items():
        if state.startswith(said):
            return _of_entry(cause) or cure
    if isinstance(cause, ConnectionError) and "rejected SSL" in str(cause):
        return "it speaks no TLS: switch that on there, or take sslmode out of storage.url"
    return next((cure for kind, cure in _CURES_OF_OURS if isinstance(cause, kind)), "")


def _of_entry(cause: BaseException) -> str:
    """Where the server's rules of entry (pg_hba.conf) keep us out, and no password would help."""
    if "pg_hba.conf" not in str(cause):
        return ""
    return "its pg_hba.conf lets this user not in from here, or only over TLS (sslmode=require in storage.url)"


def _reason(cause: BaseException) -> str:
    # Postgres' own message can quote a row's values; SQLite's names columns only.
    name = type(cause).__name__
    return f"{name}: {cause}" if isinstance(cause, sqlite3.Error) else name
