"""An export that is killed half way leaves the file of before: half a journal would be booked as a whole one."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.commands.whole import write_whole

# The real writers, killed by the 30,001st of their rows.
KILLED = """
import os, signal, sys
from pathlib import Path
from gateway.commands import focus, journal

class Row(dict):
    def get(self, *name):
        os.kill(os.getpid(), signal.SIGKILL)
    items = __getitem__ = keys = get

out = Path(sys.argv[1])
rows = [{"entry": "x" * 99, "BilledCost": "1.0", "Tags": "{}"}] * 30_000 + [Row()]
if out.name.startswith("cost"):
    class Made:
        def rows(self, dataset): return rows
    focus._write(Made(), "cost-and-usage", "1.4", out)
else:
    journal._write(rows, ["entry", "BilledCost", "Tags"], out)
"""


@pytest.mark.parametrize(
    ("name", "before"),
    [
        ("cost.csv", b"the file of before"),
        ("cost.parquet", b"the file of before"),
        ("journal.csv", b"the file of before"),
        ("journal.csv", None),
    ],
)
def test_what_is_killed_half_way_leaves_the_file_of_before(
    tmp_path: Path, name: str, before: bytes | None
) -> None:
    out = tmp_path / name
    if before is not None:
        out.write_bytes(before)
    ended = subprocess.run([sys.executable, "-c", KILLED, str(out)], check=False, capture_output=True)  # fmt: skip
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    assert (out.read_bytes() if out.exists() else None) == before


def test_what_fails_leaves_nothing_beside_it_and_a_pipe_is_written_straight(tmp_path: Path) -> None:
    folder = tmp_path / "taken.csv"
    folder.mkdir()
    with pytest.raises(OSError, match="directory"):
        write_whole(folder, b"x")
    write_whole(tmp_path / "a.csv", b"1")
    write_whole(tmp_path / "a.csv", b"2")
    assert (tmp_path / "a.csv").read_bytes() == b"2"
    write_whole(Path("/dev/null"), b"x")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.csv", "taken.csv"]
