"""The evidence as Parquet, made from the CSV.gz by Arrow: block by block, so that memory does not grow with the month."""

from hashlib import sha256
from itertools import islice
from pathlib import Path
from pkgutil import resolve_name
from typing import Any, Final

from gateway.kernel.errors import BadRequest

_BLOCK: Final = (
    2 << 20
)  # bytes of CSV read at a time: what Arrow keeps in memory is a multiple of it
_BLOCKS_PER_GROUP: Final = 16  # that become one row group
_CHUNK: Final = 1 << 20
_DECIMAL: Final = ("list_usd", "net_usd")
_WHOLE: Final = ("attempt", "status", "input", "cache_read", "cache_write", "output")


def parquet(source: Path, to: Path) -> int:
    """Write the rows of a CSV.gz as Parquet; how many. Raises BadRequest where pyarrow is not installed."""
    try:
        arrow, reading, writing = (
            resolve_name(name) for name in ("pyarrow", "pyarrow.csv", "pyarrow.parquet")
        )
    except ImportError as error:
        raise BadRequest("Parquet needs pyarrow: pip install 'weighbridge[reports]', or write .csv.gz alone") from error  # fmt: skip
    rows = 0
    part = to.with_name(f"{to.name}.part")
    with reading.open_csv(
        source,
        read_options=reading.ReadOptions(block_size=_BLOCK, use_threads=False),
        convert_options=reading.ConvertOptions(column_types=_types(arrow, source, reading), strings_can_be_null=True),
    ) as blocks, writing.ParquetWriter(part, blocks.schema, compression="zstd") as writer:  # fmt: skip
        while group := list(islice(blocks, _BLOCKS_PER_GROUP)):
            writer.write_table(arrow.Table.from_batches(group))
            rows += sum(block.num_rows for block in group)
    part.replace(to)
    return rows


def _types(arrow: Any, source: Path, reading: Any) -> dict[str, Any]:
    with reading.open_csv(source) as opened:
        names = opened.schema.names
    kinds = dict.fromkeys(names, arrow.string())
    kinds |= dict.fromkeys(_DECIMAL, arrow.decimal128(38, 12))
    kinds |= dict.fromkeys(_WHOLE, arrow.int64())
    return kinds | {"occurred_at": arrow.timestamp("us", tz="UTC"), "day": arrow.date32()}


def file_digest(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    whole = sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            whole.update(chunk)
    return whole.hexdigest()
