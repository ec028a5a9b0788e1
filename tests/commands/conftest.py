"""Fixtures of command-line tests: run one in this process, with a configuration of its own."""

import io
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from gateway.__main__ import main
from tests.commands.lines import Run


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run one command line; its status, its output, its error output."""

    def command(*words: str, stdin: bytes = b"") -> SimpleNamespace:
        monkeypatch.setattr(sys, "argv", ["weighbridge", *words])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        capsys.readouterr()
        try:
            main()
            status = 0
        except SystemExit as error:
            status = int(error.code or 0)
        captured = capsys.readouterr()
        return SimpleNamespace(status=status, out=captured.out, err=captured.err)

    return command


@pytest.fixture
def config(tmp_path: Path) -> str:
    """A configuration on a SQLite file of its own."""
    path = tmp_path / "c.toml"
    path.write_text(f'[storage]\nfolder = "{tmp_path / "var"}"\n', encoding="utf-8")
    return str(path)
