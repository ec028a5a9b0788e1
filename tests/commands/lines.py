"""Fixtures of command-line tests: run one in this process, with a configuration of its own."""

import io
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from types import SimpleNamespace

import pytest

from gateway.__main__ import main

Run = Callable[..., SimpleNamespace]


def ran(*words: str) -> SimpleNamespace:
    """The same without fixtures, for those of a wider scope than a test."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setattr(sys, "argv", ["weighbridge", *words])
        try:
            main()
            status = 0
        except SystemExit as error:
            status = int(error.code or 0)
    return SimpleNamespace(status=status, out=out.getvalue(), err=err.getvalue())


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
