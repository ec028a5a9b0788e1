"""The drift watch over a time that has passed: what is asked for is what is looked at."""

import json

from tests.commands.lines import Run


def test_a_time_that_ends_in_the_past_is_the_week_before_its_end(run: Run, config: str) -> None:
    simulated = ("--users", "20", "--per-day", "5", "--days", "12", "--until", "2026-10-20")
    assert run("simulate", *simulated, "--config", config).status == 0

    def rows(*words: str) -> int:
        done = run("drift", *words, "--json", "--config", config)
        return sum(json.loads(line)["rows"] for line in done.out.splitlines())

    week = rows("--since", "2026-10-13", "--until", "2026-10-20")
    assert 0 < week < rows("--since", "2026-10-08", "--until", "2026-10-20")
    assert rows("--until", "2026-10-20") == week
    assert rows("--until", "2026-10-13") == rows("--since", "2026-10-06", "--until", "2026-10-13")
    assert rows("--until", "2026-10-08") == 0
