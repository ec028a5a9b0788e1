"""The demo's second half: a simulated month comes out closed, posted and printed."""

import asyncio
from datetime import date
from pathlib import Path

import pytest

from gateway import shipped
from gateway.app import opened
from gateway.commands.demo import month
from gateway.storage.closing import ClosingStore


def test_the_last_month_is_posted_and_its_statement_lies_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(month, "USERS", 3)
    monkeypatch.setattr(month, "PER_DAY", 4)
    found = month.closed_month(tmp_path, date(2026, 3, 15))
    assert found.month == "2026-02"
    assert found.statement.name.startswith("2026-02-")
    assert found.statement.read_bytes()[:5] in {b"%PDF-", b"<!doc"}

    async def state() -> str:
        async with opened(shipped.configured(found.config)) as database:
            return (await ClosingStore(database).standing(202602)).state

    assert asyncio.run(state()) == "posted"
