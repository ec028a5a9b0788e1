"""A file is whole under its name, or not there: what was killed half way leaves the one of before."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole(to: Path) -> Iterator[Path]:
    """Where to write what shall be at ``to``: beside it, and moved there on leaving; straight there if it is no file.

    Raises OSError where neither can be written.
    """
    if to.exists() and not to.is_file():  # a pipe, /dev/stdout
        yield to
        return
    part = to.with_name(f"{to.name}.part")
    try:
        yield part
        part.replace(to)
    finally:
        part.unlink(missing_ok=True)


def write_whole(to: Path, content: bytes) -> None:
    """Write a file, whole or not at all. Raises OSError."""
    with whole(to) as part:
        part.write_bytes(content)
