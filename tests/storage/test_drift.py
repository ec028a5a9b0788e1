"""weighbridge drift and the doctor's line, on each store."""

import asyncio
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from uuid import uuid4

from gateway import app as composition, shipped
from gateway.kernel.ids import new_id
from gateway.ledger.entry import Entry, Line, Outcome
from gateway.storage.ledger import Ledger
from gateway.storage.partitions import Partitions
from tests.commands.lines import ran

AT_US = 1_795_000_000_000_000


def row(at: int, reported: int, **changes: Any) -> Entry:
    fields: dict[str, Any] = {
        "id": new_id(), "request_id": uuid4(), "occurred_us": AT_US + at, "booked_us": AT_US + at,
        "day": "2026-11-18", "period": 202611, "org": "default", "team": "t", "user": "user-0001",
        "key_id": "k", "provider": "azure", "operation": "chat", "upstream": "u", "model": "gpt-5.4",
        "status": 200, "outcome": Outcome.COMPLETE, "provenance": "reported", "price_status": "priced",
        "lines": (Line("input_text", reported, "p", 1, 1), Line("output_text", 5, "p", 1, 1)),
        "list_pico": 2, "net_pico": 2, "counted_input": 1000, "counted_output": 5, "count_confidence": "exact",
    }  # fmt: skip
    return Entry(**(fields | changes))


def booked(folder: Path, url: str, rows: Iterable[Entry]) -> Path:
    """A configuration whose ledger holds the rows."""
    config = folder / "w.toml"
    config.write_text(f'[storage]\nfolder = "{folder}"\nurl = "{url}"\n', encoding="utf-8")
    configured = shipped.configured(config)
    composition.ready_store(configured)

    async def append() -> None:
        async with composition.opened(configured) as database:
            await Partitions(database).ensure(AT_US)
            await Ledger(database).append(rows)

    asyncio.run(append())
    return config


def test_a_provider_that_begins_to_count_otherwise_is_seen(url: str, tmp_path: Path) -> None:
    before = [row(n, 1000) for n in range(600)]
    after = [row(1000 + n, 1200, flags=("tier_mismatch",)) for n in range(150)]
    config = booked(tmp_path, url, [*before, *after])
    done = ran("drift", "--since", "2026-11-01", "--config", str(config), "--json")
    (found,) = [json.loads(line) for line in done.out.splitlines()]
    assert done.status == 1
    assert (found["rows"], found["compared"], found["ratio_ppm"]) == (750, 750, 1_040_000)
    assert found["recent_ratio_ppm"] > 1_140_000
    assert [alarm["signal"] for alarm in found["alarms"]] == [
        "ratio_drift",
        "exact_off",
        "tier_mismatch",
    ]
    shown = ran("drift", "--since", "2026-11-01", "--config", str(config)).out
    assert "azure/gpt-5.4" in shown
    assert "another tier served than asked for: 20.0 % of rows" in " ".join(shown.split())
    doctor = ran("doctor", "--config", str(config), "--json").out
    lines = [json.loads(line) for line in doctor.splitlines()]
    assert {line["state"] for line in lines if line["check"] == "drift"} == {"warn"}


def test_where_nothing_drifts_it_says_so(url: str, tmp_path: Path) -> None:
    config = booked(tmp_path, url, [row(n, 1001) for n in range(10)])
    done = ran("drift", "--since", "2026-11-01", "--config", str(config))
    assert (done.status, "nothing drifts" in done.out) == (0, True)
    none = ran("drift", "--since", "2026-12-24", "--config", str(config))
    assert (none.status, "no rows" in none.out) == (0, True)
    assert ran("drift", "--since", "tomorrow", "--config", str(config)).status == 2
