"""``weighbridge serve`` that tells on SIGUSR2 what is in its memory: ``python -m tests.prove.soak_serve CONFIG FOLDER``.

The product is as it is; a handler that forked workers inherit writes FOLDER/PID.json: tasks, the collector's objects by
type (what was frozen before serving is left out), and the size of every container that a module keeps.
"""

import asyncio
import ctypes
import gc
import os
import signal
import sys
import threading
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Any, Final

import orjson

from gateway.commands.serve import serve
from gateway.kernel.remembered import Remembered

TYPES: Final = 60
COLLECT: Final = "collect"  # a file of that name in the folder: collect first, and tell how much
_MALLOC: Final = (
    "arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost",
)  # fmt: skip
SIZED: Final = (dict, list, set, Remembered)


class _Mallinfo(ctypes.Structure):
    _fields_ = tuple((name, ctypes.c_size_t) for name in _MALLOC)  # type: ignore[mutable-override]  # ctypes reads it once


def allocated() -> dict[str, float]:
    """KiB that the C library has from the system, has given out, and keeps for later; blocks of Python's own."""
    try:
        mallinfo = ctypes.CDLL(None).mallinfo2
    except (AttributeError, OSError):  # another C library
        return {}
    mallinfo.restype = _Mallinfo
    found = mallinfo()
    return {
        "heap_kib": (found.arena + found.hblkhd) / 1024,
        "heap_used_kib": (found.uordblks + found.hblkhd) / 1024,
        "heap_free_kib": found.fordblks / 1024,
        "blocks": sys.getallocatedblocks(),
    }


def told(*, collect: bool) -> dict[str, Any]:
    """What is there now."""
    garbage = gc.collect() if collect else 0
    loops = [one for one in gc.get_objects() if isinstance(one, asyncio.AbstractEventLoop)]
    tasks: Counter[str] = Counter()
    for loop in loops:
        for task in asyncio.all_tasks(loop):
            coroutine = task.get_coro()
            tasks[getattr(coroutine, "__qualname__", "?")] += 1
    objects = Counter(
        f"{type(one).__module__}.{type(one).__qualname__}" for one in gc.get_objects()
    )
    kept = {
        f"{name}.{key}": len(value)
        for name, module in list(sys.modules.items())
        if name.startswith("gateway")
        for key, value in vars(module).items()
        if isinstance(value, SIZED) and not key.startswith("__")
    }
    return {
        "garbage": garbage,
        "collections": [one["collections"] for one in gc.get_stats()],
        "allocated": allocated(),
        "tasks": dict(tasks),
        "objects": sum(objects.values()),
        "types": dict(objects.most_common(TYPES)),
        "kept": {name: size for name, size in kept.items() if size > 20},
        "threads": sorted(one.name for one in threading.enumerate()),
    }


def main(config: Path, folder: Path) -> None:
    """Serve until SIGTERM."""

    def tell(signum: int, frame: FrameType | None) -> None:
        part = folder / f"{os.getpid()}.part"
        part.write_bytes(orjson.dumps(told(collect=(folder / COLLECT).exists())))
        part.rename(folder / f"{os.getpid()}.json")

    signal.signal(signal.SIGUSR2, tell)
    serve(config=config)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
