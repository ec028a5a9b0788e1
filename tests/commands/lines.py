"""Run a command line in this process; the fixtures for it are in conftest.py."""

import io
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
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
