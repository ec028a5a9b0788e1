"""What ``serve`` asks of the C library: memory of large bodies is the system's again when they are done."""

import ctypes
import subprocess
import sys

import pytest

SCRIPT = """
import sys
from gateway.commands.serve import give_back_large
from tests.prove.soak_serve import allocated
if sys.argv[1] == "told":
    give_back_large()
small = []
for _ in range(4):
    large = []
    for _ in range(4):
        large.append(bytes(3_000_000))
        small.append(bytes(50_000))
    del large
print(allocated()["heap_free_kib"])
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallinfo2"), reason="no glibc of 2.33 or later")
def test_memory_of_large_bodies_is_given_back() -> None:
    free_kib = {
        how: float(
            subprocess.run(
                [sys.executable, "-c", SCRIPT, how], check=True, capture_output=True, text=True
            ).stdout
        )
        for how in ("told", "not told")
    }
    assert free_kib["told"] < 2_000
    assert free_kib["not told"] > 5_000
