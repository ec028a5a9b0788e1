"""The report on counts, run as it is: without recorded traffic it claims nothing."""

import json
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).with_name("bench_tokens.py")


def test_without_recorded_traffic_no_target_is_said_to_be_met(tmp_path: Path) -> None:
    words = [sys.executable, str(SCRIPT), str(tmp_path / "none.jsonl.gz")]
    done = subprocess.run([*words, "--json"], capture_output=True, text=True, check=True)
    told = json.loads(done.stdout)
    assert "no recorded traffic" in told["source"]
    assert {each["met"] for each in told["targets"].values()} == {None}
    assert {each["percent"] for each in told["targets"].values()} == {None}
    shown = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    assert shown.count(": not measured, target ") == len(told["targets"])
    assert "met" not in shown
