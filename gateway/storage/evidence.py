"""A month's rows read once, in the order of their ids, by several processes: their digest, and the evidence file.

The id space is cut into shards (an id begins with its time); each is hashed and written as a member of a gzip
file by a worker, and the parent joins them in order. So memory is bounded by a shard per worker, and the digest
does not depend on how it was cut. To add a column of the evidence: a name in ``COLUMNS`` and its cell in ``_cells``.
"""

import asyncio
import csv
import gzip
import io
import multiprocessing
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import msgspec
import sqlalchemy as sa

from gateway.kernel.clock import instant
from gateway.kernel.money import format_usd
from gateway.ledger.digest import COLUMNS as HASHED, VERSION, canonical_values
from gateway.ledger.entry import Line
from gateway.ledger.period import next_period, period_start_us
from gateway.metering.units import UNITS
from gateway.reporting.tabular import inert
from gateway.storage.engine import Database
from gateway.storage.tables import LEDGER

ROWS_PER_SHARD: Final = 40_000
SHARDS_MAX: Final = 2_000
ROWS_PER_FETCH: Final = 2_000
WORKERS: Final = 2
ALONE_MAX: Final = 20_000  # rows up to which starting workers costs more than it saves
COLUMNS: Final = (
    "id", "request_id", "attempt", "kind", "ref_id", "occurred_at", "day", "org", "team", "user", "cost_centre",
    "app", "key_id", "provider", "operation", "upstream", "deployment", "model", "region", "tier", "status",
    "provenance", "price_status", "input", "cache_read", "cache_write", "output", "list_usd", "net_usd", "lines",
)  # fmt: skip
_COUNTS: Final = ("input", "cache_read", "cache_write", "output")
_CLASSES: Final = {
    name: ("output" if unit.direction == "output" else f"cache_{unit.cache}" if unit.cache else "input")
    for name, unit in UNITS.items()
    if unit.is_token
}  # fmt: skip
_NAMES: Final = tuple(dict.fromkeys((*HASHED[VERSION], "lines")))
_AT: Final = {name: at for at, name in enumerate(_NAMES)}
_ORDERS: Final = {version: tuple(_AT[name] for name in names) for version, names in HASHED.items()}
_LINES_AT, _STREAM_AT, _NET_AT = _AT["lines"], _AT["stream"], _AT["net_pico"]
_BOOK_AT: Final = _AT["catalog"]
_ID_NAMES: Final = ("id", "request_id", "ref_id")
_IDS_AT: Final = tuple(_AT[name] for name in _ID_NAMES)
_HEX_DIGITS: Final = 32
_TEXTS_AT: Final = (_AT["flags"], _AT["tags"])
_LINES: Final = msgspec.json.Decoder(list[Line])
_LIST: Final = msgspec.json.Decoder(list[str])
_US_PER_MS: Final = 1000
Progress = Callable[[int], None]  # rows read by now


class Shard(msgspec.Struct, frozen=True):
    """A cut of the id space, [first, end); None: without bound. ``writes``: whether evidence is wanted.

    version  of the canonical bytes that are hashed
    """

    url: str
    period: int
    first: UUID | None
    end: UUID | None
    writes: bool
    version: int = VERSION


class Read(msgspec.Struct, frozen=True):
    """What a worker made of a shard. ``member``: of the gzip file, b'' where none is wanted."""

    rows: int
    net_pico: int
    digests: bytes
    member: bytes
    books: frozenset[str] = frozenset()


class Rows(msgspec.Struct, frozen=True):
    """A month's rows: how many, their sum, and the SHA-256 over the digests of their canonical bytes.

    books  the price books they were charged by, as rows name them
    """

    rows: int
    net_pico: int
    digest: str
    books: tuple[str, ...] = ()


def read_rows(
    url: str,
    period: int,
    *,
    zone: str,
    expected: int,
    to: Path | None = None,
    version: int = VERSION,
    progress: Progress | None = None,
) -> Rows:
    """Read every row of a period; with ``to`` write them as CSV.gz. ``expected``: about how many there are.

    Runs event loops of its own: from async code call it in a thread. Raises StoreUnavailable.
    """
    whole, rows, net, books = sha256(), 0, 0, frozenset[str]()
    with _file(to) as write:
        shards = _shards(url, period, zone, expected)
        wanted = [
            msgspec.structs.replace(one, writes=to is not None, version=version) for one in shards
        ]
        for read in _each(wanted, expected):
            whole.update(read.digests)
            write(read.member)
            rows, net, books = rows + read.rows, net + read.net_pico, books | read.books
            if progress is not None:
                progress(rows)
    return Rows(rows, net, whole.hexdigest(), tuple(sorted(books)))


@contextmanager
def _file(to: Path | None) -> Iterator[Callable[[bytes], object]]:
    """Where members of the gzip file go; it is whole under its name, or not there."""
    if to is None:
        yield lambda _member: None
        return
    part = to.with_name(f"{to.name}.part")
    with part.open("wb") as file:
        head = io.StringIO()
        csv.writer(head).writerow(COLUMNS)
        file.write(gzip.compress(head.getvalue().encode(), mtime=0))
        yield file.write
    part.replace(to)


def _shards(url: str, period: int, zone: str, expected: int) -> Iterator[Shard]:
    """The month in equal parts of time, and what was minted before and after it (late rows, corrections)."""
    count = max(1, min(SHARDS_MAX, expected // ROWS_PER_SHARD))
    first_ms = period_start_us(period, zone) // _US_PER_MS
    end_ms = period_start_us(next_period(period), zone) // _US_PER_MS
    cuts = [first_ms + (end_ms - first_ms) * at // count for at in range(count + 1)]
    bounds: list[UUID | None] = [None, *(UUID(int=ms << 80) for ms in cuts), None]
    for first, end in pairwise(bounds):
        yield Shard(url, period, first, end, writes=False)


def _each(shards: Sequence[Shard], expected: int) -> Iterator[Read]:
    """The shards, read and in order; no more of them at a time than there are workers, and one ahead."""
    if expected <= ALONE_MAX:
        yield from map(read_shard, shards)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(WORKERS, mp_context=context) as pool:
        waiting: list[Future[Read]] = []
        for shard in shards:
            waiting.append(pool.submit(read_shard, shard))
            if len(waiting) > WORKERS:
                yield waiting.pop(0).result()
        for one in waiting:
            yield one.result()


def read_shard(shard: Shard) -> Read:
    """Read, hash and write one shard, in this process."""
    return asyncio.run(_read_shard(shard))


async def _read_shard(shard: Shard) -> Read:
    database = Database(shard.url)
    digests, member = bytearray(), io.BytesIO()
    rows = net = 0
    books: set[str | None] = set()
    try:
        with gzip.GzipFile(fileobj=member, mode="wb", compresslevel=3, mtime=0) as packed:
            async with database.snapshot() as connection:
                options = {"yield_per": ROWS_PER_FETCH}
                query = _query(shard, is_postgres=database.is_postgres)
                result = await connection.stream(query, execution_options=options)
                async for part in result.partitions():
                    text = io.StringIO()
                    digests += b"".join(
                        _hashed(map(tuple, part), shard.version, text if shard.writes else None)
                    )
                    rows += len(part)
                    books |= {row[_BOOK_AT] for row in part}
                    net += sum(row[_NET_AT] or 0 for row in part)
                    packed.write(text.getvalue().encode())
    finally:
        await database.close()
    written = member.getvalue() if shard.writes and rows else b""
    return Read(rows, net, bytes(digests), written, frozenset(book for book in books if book))


def _query(shard: Shard, *, is_postgres: bool) -> sa.Select[Any]:
    columns = [_column(name, is_postgres=is_postgres) for name in _NAMES]
    key: sa.ColumnElement[Any] = LEDGER.c.id
    period: sa.ColumnElement[Any] = LEDGER.c.period
    is_inside = shard.first is not None and shard.end is not None
    if not is_postgres and is_inside:
        period = LEDGER.c.period.op("+")(0)  # SQLite: by the id's index, not by the month's
    wanted: list[sa.ColumnElement[bool]] = [period == shard.period]
    if shard.first is not None:
        wanted.append(key >= shard.first)
    if shard.end is not None:
        wanted.append(key < shard.end)
    order = key if is_postgres or is_inside else sa.func.hex(key)  # and here by the month's
    return sa.select(*columns).where(*wanted).order_by(order)


def _column(name: str, *, is_postgres: bool) -> sa.ColumnElement[Any]:
    """A column to be read; ids as text, since making objects of them costs more than hashing the row."""
    column: sa.ColumnElement[Any] = LEDGER.c[name]
    if name not in _ID_NAMES:
        return column
    return sa.cast(column, sa.Text) if is_postgres else sa.func.lower(sa.func.hex(column))


def _hyphenated(text: str | None) -> str | None:
    """An id as both engines' text names it; None for none."""
    if not text or len(text) != _HEX_DIGITS:
        return text or None
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def _hashed(
    rows: Iterable[tuple[Any, ...]], version: int, text: io.StringIO | None
) -> Iterator[bytes]:
    """Each row's digest; its cells are written to ``text`` on the way."""
    writer = None if text is None else csv.writer(text, lineterminator="")
    order = _ORDERS[version]
    for row in rows:
        lines = _LINES.decode(row[_LINES_AT])
        values = list(row)
        for at in _IDS_AT:
            values[at] = _hyphenated(values[at])
        values[_STREAM_AT] = bool(values[_STREAM_AT])
        for at in _TEXTS_AT:
            values[at] = () if values[at] == "[]" else _LIST.decode(values[at])
        picked = [values[at] for at in order]
        yield sha256(canonical_values(picked, lines, version)).digest()
        if writer is not None and text is not None:
            writer.writerow(_cells(values, lines))
            # Quoted by hand: the writer looks at every character of this one, the longest.
            escaped = row[_LINES_AT].replace('"', '""')
            text.write(f',"{escaped}"\r\n')


_PLAIN: Final = ("org", "team", "user", "cost_centre", "app", "key_id", "provider", "operation", "upstream", "deployment", "model", "region", "tier")  # fmt: skip
_PLAIN_AT: Final = tuple(_AT[name] for name in _PLAIN)


def _cells(row: Sequence[Any], lines: list[Line]) -> list[object]:
    """All cells but the last, which is the lines as they are kept."""
    counts = dict.fromkeys(_COUNTS, 0)
    for line in lines:
        name = _CLASSES.get(line.unit)
        if name is not None:
            counts[name] += line.quantity
    texts = [row[at] for at in _PLAIN_AT]
    texts = [inert(text) if text else text for text in texts]
    at = _AT
    return [
        row[at["id"]], row[at["request_id"]], row[at["attempt"]], row[at["kind"]], row[at["ref_id"]],
        instant(row[at["occurred_us"]]).isoformat(timespec="microseconds").replace("+00:00", "Z"), row[at["day"]],
        *texts, row[at["status"]], row[at["provenance"]], row[at["price_status"]],
        *counts.values(), _usd(row[at["list_pico"]]), _usd(row[_NET_AT]),
    ]  # fmt: skip


def _usd(pico: int | None) -> str:
    return "" if pico is None else format_usd(pico)
