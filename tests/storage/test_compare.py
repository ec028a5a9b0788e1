"""weighbridge prices compare, on each store: a month's exact tokens at another model's prices."""

import json
from decimal import Decimal
from pathlib import Path

from tests.commands.lines import ran


def test_a_month_is_priced_again_on_another_model(url: str, tmp_path: Path) -> None:
    config = tmp_path / "w.toml"
    config.write_text(f'[storage]\nfolder = "{tmp_path}"\nurl = "{url}"\n', encoding="utf-8")
    words = ("--users", "5", "--per-day", "5", "--days", "5", "--until", "2026-11-22")
    assert ran("simulate", *words, "--config", str(config)).status == 0
    asked = ("prices", "compare", "--month", "2026-11", "--config", str(config))
    done = ran(*asked, "--to", "gpt-5.4-mini", "--provider", "azure", "--json")
    rows = [json.loads(line) for line in done.out.splitlines()]
    assert done.status == 0
    assert len(rows) > 3
    assert all(row["left_out"] == {} and row["requests"] > 0 for row in rows)
    opus = next(row for row in rows if row["model"] == "anthropic.claude-sonnet-4-6")
    assert Decimal(opus["to_list_usd"]) < Decimal(opus["list_usd"])
    assert opus["to_pace"]["total_ms_p95"] >= opus["to_pace"]["total_ms_p50"] > 0
    assert "same token counts" in opus["note"]
    shown = ran(*asked, "--to", "gpt-5.4-mini", "--provider", "azure", "--model", "gpt*").out
    assert "same token counts" in shown
    assert "claude" not in shown
    for wrong, said in (
        (("--to", "gpt-99"), "has no model 'gpt-99'; did you mean gpt-5"),
        (("--to", "gpt-5.4"), "name one"),
        (
            ("--to", "gpt-5.4", "--provider", "azure", "--scope", "regional"),
            "--scope global --tier batch",
        ),
        (("--to", "gpt-5.4", "--provider", "azure", "--scope", "data_zone"), "--geo"),
        (("--to", "gpt-5.4", "--provider", "nimbus"), "expected one of"),
    ):
        refused = ran(*asked, *wrong)
        assert (refused.status, said in " ".join(refused.err.split())) == (2, True), refused.err
