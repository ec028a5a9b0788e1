"""A terminal or a file without our marks gets likenesses, never a traceback; programs get what was meant."""

import json
import os
import subprocess
import sys

import pytest

from tests.commands.lines import ran


def printed(encoding: str, *words: str) -> subprocess.CompletedProcess[bytes]:
    environment = {**os.environ, "PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"}
    return subprocess.run(
        [sys.executable, "-m", "gateway", *words],
        capture_output=True, timeout=60, check=False, env=environment,
    )  # fmt: skip


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A budget and a user whose names no code page of Windows has all of."""
    folder = tmp_path_factory.mktemp("likeness")
    path = folder / "c.toml"
    path.write_text(f'[storage]\nfolder = "{folder / "var"}"\n', encoding="utf-8")
    made = ("budgets", "set", "--team", "Zoë-漢字", "--usd", "5", "--window", "month")
    assert ran(*made, "--config", str(path)).status == 0
    return str(path)


@pytest.mark.parametrize("encoding", ["ascii", "cp437"])
def test_a_table_is_printed_in_any_encoding(config: str, encoding: str) -> None:
    found = printed(encoding, "budgets", "show", "--config", config)
    assert (found.returncode, found.stderr) == (0, b"")
    text = found.stdout.decode(encoding)
    assert "5.00" in text
    assert "-" * 8 in text or "─" in text


@pytest.mark.parametrize("encoding", ["cp1252", "utf-8"])
def test_a_record_is_exact_in_any_encoding(config: str, encoding: str) -> None:
    found = printed(encoding, "budgets", "list", "--json", "--config", config)
    (record,) = (json.loads(line) for line in found.stdout.decode(encoding).splitlines())
    assert "Zoë-漢字" in json.dumps(record, ensure_ascii=False)


def test_a_mistake_keeps_its_mark_and_its_sentence() -> None:
    found = printed("ascii", "usage", "--since", "漢")
    assert found.returncode == 2
    assert found.stderr.startswith(b"x --since")
