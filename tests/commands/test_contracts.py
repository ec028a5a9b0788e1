"""Contracts as people and programs look at them, and as a running gateway charges by them."""

import json
from pathlib import Path

import pytest

from gateway import shipped
from gateway.commands.contracts import idle_terms, selector
from tests.commands.lines import Run
from tests.serving import RawUpstream, Script, deployments, raw_exchange, serving

CONTRACT = """
[[contracts]]
name = "enterprise"
team = "core"
currency = "EUR"
margin_percent = "2.5"
[[contracts.terms]]
model = "gpt-4o*"
unit = "output_text"
discount_percent = "12.5"
[[contracts.terms]]
unit = "input_text"
price = "2"
"""
CHAT = (
    b'{"id":"c","object":"chat.completion","model":"gpt-4o-2024-11-20","choices":[],'
    b'"usage":{"prompt_tokens":1000,"completion_tokens":100,"total_tokens":1100}}'
)


@pytest.fixture
def run(run: Run, config: str) -> Run:
    Path(config).write_text(CONTRACT, encoding="utf-8")
    return lambda *words: run(*words, "--config", config)


def test_a_contract_is_listed_and_shown_with_its_terms_in_order(run: Run) -> None:
    (listed,) = [json.loads(line) for line in run("contracts", "list", "--json").out.splitlines()]
    assert (listed["name"], listed["team"], listed["currency"]) == ("enterprise", "core", "EUR")
    assert listed["margin_percent"] == "2.50"
    assert [(one["unit"], one["discount_percent"], one["price_usd"]) for one in listed["terms"]] == [
        ("output_text", "12.50", None), ("input_text", None, "2"),
    ]  # fmt: skip
    assert "team core" in run("contracts", "list").out
    shown = run("contracts", "show", "enterprise").out
    assert "list - 12.50%" in shown
    assert "2 / 1M USD" in shown
    assert "2.50% on top of every line" in shown


def test_a_contract_that_is_not_there_is_named_with_those_that_are(run: Run) -> None:
    wrong = run("contracts", "show", "nobody")
    assert wrong.status == 2
    assert "enterprise" in wrong.err


def test_a_running_gateway_books_list_and_net_and_names_the_contract(tmp_path: Path) -> None:
    upstream = RawUpstream(
        lambda head, body: Script(200, [("content-type", "application/json")], [CHAT])
    )
    extra = deployments(("gpt-4o", "gpt-4o-2024-11-20", "global")) + CONTRACT
    with upstream.running() as base, serving(tmp_path, base, extra) as running:
        body = b'{"messages":[{"role":"user","content":"hi"}],"max_tokens":100}'
        head = (
            "POST /azure/openai/deployments/gpt-4o/chat/completions?api-version=1 HTTP/1.1\r\n"
            f"host: x\r\napi-key: {running.key.key}\r\ncontent-type: application/json\r\n"
            f"content-length: {len(body)}\r\n\r\n"
        )
        raw_exchange(running.port, head.encode() + body)
        (row,) = running.rows(1)
    # 1,000 at 2.5 and 100 at 10 USD per million, in pico-USD; then 2 flat and 10 less 12.5 %, each plus 2.5 %.
    assert row.list_pico == 2_500_000_000 + 1_000_000_000
    assert [line.net_pico for line in row.lines] == [2_050_000_000, 896_875_000]
    assert row.net_pico == 2_946_875_000
    assert row.contract is not None
    assert row.contract.startswith("enterprise@")


def test_a_term_that_fits_nothing_is_named(tmp_path: Path) -> None:
    text = CONTRACT.replace('model = "gpt-4o*"', 'model = "gtp-4o*"')
    path = tmp_path / "c.toml"
    path.write_text(text, encoding="utf-8")
    configured = shipped.configured(path, {})
    found = [selector(term) for _, term in idle_terms(configured.contracts, shipped.price_book(configured))]  # fmt: skip
    assert found == ["gtp-4o* output_text"]


def test_the_doctor_names_a_term_that_fits_nothing(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    storage = f'[storage]\nfolder = "{tmp_path / "var"}"\n'
    path.write_text(storage + CONTRACT.replace('model = "gpt-4o*"', 'model = "gtp-4o*"'), encoding="utf-8")  # fmt: skip
    found = [json.loads(line) for line in run("doctor", "--json", "--config", str(path)).out.splitlines()]  # fmt: skip
    (idle,) = [each for each in found if each["check"] == "contract"]
    assert idle["state"] == "warn"
    assert "gtp-4o* output_text" in idle["found"]
    assert "prices list" in idle["cure"]


def test_what_a_usage_costs_a_team_is_told_by_its_contract(run: Run) -> None:
    asked = ("price", "--provider", "azure", "--model", "gpt-4o-2024-11-20", "--scope", "global", "--json")  # fmt: skip
    usage = ("--usage", '{"output_text": 1000000}', "--at", "2026-11-22")
    theirs, others = (
        json.loads(run(*asked, *usage, "--team", team).out) for team in ("core", "search")
    )
    assert (theirs["list_usd"], theirs["net_usd"]) == ("10", "8.96875")
    assert theirs["contract"].startswith("enterprise@")
    assert (others["net_usd"], others["contract"]) == ("10", None)
