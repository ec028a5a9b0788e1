"""The doctor on what is configured and can match nothing: each named with its cure, and nothing said of what is right."""

import json
from pathlib import Path

from tests.commands.lines import Run

PLACES = """
[storage]
folder = "{folder}"
[upstreams.eu]
provider = "azure"
base_url = "https://eu.example.com"
[[deployments]]
name = "chat"
upstream = "eu"
model = "gpt-4o-2024-11-20"
scope = "{scope}"
"""
CONTRACT = """
[[contracts]]
name = "{name}"
{whom}
[[contracts.terms]]
model = "{model}"
discount_percent = 10
"""
CHECKS = ("contract", "deployment", "key", "budget", "fixed cost")
COST = ("fixed-costs", "add", "ptu", "--kind", "ptu", "--amount", "1", "--source", "s", "--from", "2026-10")  # fmt: skip


def said(run: Run, path: Path) -> list[tuple[str, str]]:
    """What the doctor warns of."""
    found = [json.loads(line) for line in run("doctor", "--json", "--config", str(path)).out.splitlines()]  # fmt: skip
    wrong = [one for one in found if one["check"] in CHECKS and one["state"] != "ok"]
    assert all(one["cure"] for one in wrong)
    return [(one["check"], one["found"]) for one in wrong]


def test_what_matches_something_is_not_spoken_of(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    text = PLACES.format(folder=tmp_path / "var", scope="global")
    text += CONTRACT.format(name="ours", whom='team = "search"', model="gpt-4o*")
    path.write_text(text + CONTRACT.format(name="all", whom="", model="*"), encoding="utf-8")
    config = ("--config", str(path))
    models = "gpt-4o*,chat,eu.anthropic.claude*,claude-*"
    assert run("keys", "create", "--user", "user-0001", "--team", "search", "--models", models, *config).status == 0  # fmt: skip
    assert run("budgets", "set", "--team", "search", "--model", "gpt-4o*", "--usd", "5", "--window", "month", *config).status == 0  # fmt: skip
    pool = "provider=azure,upstream=eu,scope=provisioned,model=gpt-*,deployment=anything"
    assert run(*COST, "--pool", pool, *config).status == 0
    assert said(run, path) == []


def test_each_thing_that_matches_nothing_is_named(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    text = PLACES.format(folder=tmp_path / "var", scope="in_region")
    text += CONTRACT.format(name="theirs", whom='team = "serach"', model="gpt-4o*")
    text += '[[contracts.terms]]\nmodel = "gpt-4o-mini*"\ndiscount_percent = 5\n'
    over = 'valid_to = 2026-01-01\norg = "gone"'
    text += CONTRACT.format(name="over", whom=over, model="*")
    path.write_text(text, encoding="utf-8")
    config = ("--config", str(path))
    run("keys", "create", "--user", "user-0001", "--team", "search", "--models", "gpt-4o*,gtp-*", *config)  # fmt: skip
    (key_id,) = [json.loads(one)["key_id"] for one in run("keys", "list", "--json", *config).out.splitlines()]  # fmt: skip
    run("budgets", "set", "--team", "search", "--model", "gtp-*", "--usd", "5", "--window", "month", "--name", "b", *config)  # fmt: skip
    run(*COST, "--pool", "provider=azur,upstream=us", *config)
    term, place, *others = said(run, path)
    assert term == ("contract", "theirs: list - 5% for gpt-4o-mini*")
    assert place[0] == "deployment"
    assert place[1].startswith("chat on eu has no price in scope in_region")
    assert others == [
        ("contract", "theirs: for team serach"),
        ("key", f"{key_id}: may use 'gtp-*', which no model is called"),
        ("budget", "b: over the model 'gtp-*', which there is none of"),
        ("fixed cost", "ptu: a pool of provider=azur, which there is none of"),
        ("fixed cost", "ptu: a pool of upstream=us, which there is none of"),
    ]
    run("keys", "revoke", key_id, *config)
    assert "key" not in dict(said(run, path))


def test_a_default_tier_that_has_no_price_is_named(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    text = PLACES.format(folder=tmp_path / "var", scope="global") + 'tier = "priority"\n'
    path.write_text(text.replace("gpt-4o-2024-11-20", "gpt-5"), encoding="utf-8")
    assert said(run, path) == []
    path.write_text(text.replace("gpt-4o-2024-11-20", "gpt-4o-mini-2024-07-18"), encoding="utf-8")
    assert said(run, path) == [("deployment", "chat on eu: no price for gpt-4o-mini at priority")]
