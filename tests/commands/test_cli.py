"""The command line as people and programs use it: what goes in, what comes out, what it says when something is wrong."""

import json
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from gateway.__main__ import COMMANDS, PANELS
from gateway.storage.migrate import downgrade, revision_of
from tests.commands.lines import Run
from tests.serving import RawUpstream, Script, deployments, raw_exchange, serving

CHAT = b'{"id":"c","object":"chat.completion","model":"gpt-4o-2024-11-20","choices":[],"usage":{"prompt_tokens":19,"completion_tokens":10,"total_tokens":29}}'
USAGE_FIELDS = [
    "id",
    "request_id",
    "occurred_at",
    "user",
    "team",
    "cost_centre",
    "app",
    "key_id",
    "provider",
    "operation",
    "model",
    "deployment",
    "region",
    "tier",
    "status",
    "stream",
    "provenance",
    "lines",
    "catalog",
    "contract",
    "list_usd",
    "net_usd",
    "price_status",
    "counted_input",
    "counted_output",
    "first_byte_ms",
    "total_ms",
    "usage_raw",
]


def records(out: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.splitlines()]


def test_a_key_is_made_listed_rotated_and_revoked(run: Run, config: str) -> None:
    made = records(
        run(
            "keys", "create", "--user", "user-0001", "--team", "core", "--cost-centre", "4100", "--models",
            "gpt-*, claude-*", "--expires", "2099-01-01", "--json", "--config", config,
        ).out
    )[0]  # fmt: skip
    assert set(made) == {"key", "key_id", "aws_access_key_id", "aws_secret_access_key"}
    assert made["key"].startswith("wb_")
    (listed,) = records(run("keys", "list", "--json", "--config", config).out)
    assert (listed["models"], listed["state"], listed["cost_centre"]) == (
        ["gpt-*", "claude-*"],
        "active",
        "4100",
    )
    secrets = (made["key"], made["aws_secret_access_key"])
    assert not any(secret in json.dumps(listed) for secret in secrets)
    second = records(run("keys", "rotate", made["key_id"], "--json", "--config", config).out)[0]
    assert second["key"] != made["key"]
    assert (
        records(run("keys", "revoke", second["key_id"], "--json", "--config", config).out)[0][
            "revoked"
        ]
        is True
    )
    states = [
        key["state"] for key in records(run("keys", "list", "--json", "--config", config).out)
    ]
    assert states == ["expired", "revoked"]


@pytest.mark.parametrize(
    ("given", "shown"),
    [("2199-01-01", "until 2199-01-01 "), ("2199-01-01T14:30", "until 2199-01-01 14:30 ")],
)
def test_the_list_of_keys_says_until_when_each_works(
    run: Run, config: str, given: str, shown: str
) -> None:
    run(
        "keys",
        "create",
        "--user",
        "user-0001",
        "--team",
        "payments",
        "--expires",
        given,
        "--config",
        config,
    )
    assert shown in " ".join(run("keys", "list", "--config", config).out.split()) + " "


def test_a_key_that_does_not_exist_is_said_to_be_so(run: Run, config: str) -> None:
    ended = run("keys", "revoke", "key_none", "--config", config)
    assert ended.status == 2
    assert "keys list" in " ".join(ended.err.split())


@pytest.mark.parametrize(
    ("words", "usd", "status"),
    [
        (["--provider", "azure", "--model", "gpt-5.4", "--scope", "global"], "0.082", "priced"),
        (
            [
                "--provider",
                "azure",
                "--model",
                "gpt-5.4",
                "--scope",
                "data_zone",
                "--region",
                "japaneast",
            ],
            "0.0984",
            "priced",
        ),
        (["--provider", "azure", "--model", "gpt-5.4", "--scope", "data_zone"], None, "ambiguous"),
        (
            [
                "--provider",
                "azure",
                "--model",
                "gpt-5.4",
                "--scope",
                "global",
                "--tier",
                "priority",
            ],
            "0.164",
            "priced",
        ),
        (["--provider", "azure", "--model", "gpt-99", "--scope", "global"], None, "unpriced"),
        (["--provider", "azure", "--model", "gpt-5.4"], None, "unpriced"),
    ],
)
def test_a_price_is_exact_or_unknown(
    run: Run, words: list[str], usd: str | None, status: str
) -> None:
    usage = '{"input_text":12000,"cache_read_text":88000,"output_text":2000}'
    (record,) = records(run("price", *words, "--usage", usage, "--json").out)
    assert (record["list_usd"], record["net_usd"], record["status"]) == (usd, usd, status)
    assert {line["unit"] for line in record["lines"]} == {
        "input_text",
        "cache_read_text",
        "output_text",
    }


def test_the_wire_name_of_a_bedrock_model_says_its_scope(run: Run) -> None:
    model = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
    usage = '{"input_text":10,"cache_write_5m":3000,"cache_write_1h":7000,"cache_read_text":20000,"output_text":700}'
    (record,) = records(
        run("price", "--provider", "bedrock", "--model", model, "--usage", usage, "--json").out
    )
    assert (record["list_usd"], record["status"]) == ("0.076758", "priced")


def test_wrong_words_are_refused_with_their_cure(run: Run) -> None:
    base = ["price", "--provider", "azure", "--model", "m", "--scope", "global", "--usage"]
    for usage, cure in (
        ('{"tokens":1}', "input_text"),
        ("[]", "JSON object"),
        ('{"input_text":-1}', "negative"),
    ):
        ended = run(*base, usage)
        assert ended.status == 2
        assert cure in ended.err
    ended = run(
        "price", "--provider", "nobody", "--model", "m", "--scope", "global", "--usage", "{}"
    )
    assert ended.status == 2
    assert "azure" in ended.err


def test_a_count_is_what_the_gateway_counts(run: Run) -> None:
    body = b'{"model":"gpt-4o","messages":[{"role":"user","content":"Hello, world!"}]}'
    words = (
        "count",
        "--provider",
        "azure",
        "--operation",
        "chat.completions",
        "--model",
        "gpt-4o",
        "--json",
    )
    assert records(run(*words, stdin=body).out) == [{"input": 11, "confidence": "exact"}]
    assert len(records(run(*words, stdin=body + b"\n" + body).out)) == 2
    assert run(*words, stdin=b"nonsense").status == 2


def test_every_command_has_help(run: Run) -> None:
    for name in COMMANDS:
        assert run(name, "--help").status == 0
    assert "statement" in run("--help").out


def test_doctor_names_what_is_wrong_with_its_cure(run: Run, config: str, tmp_path: Path) -> None:
    before = run("doctor", "--json", "--config", config)
    (database,) = [f for f in records(before.out) if f["check"] == "database"]
    assert (before.status, database["state"]) == (0, "ok")
    assert database["found"] == "SQLite: will be made at the first start"
    assert run("migrate", "--config", config).status == 0
    after = run("doctor", "--json", "--config", config)
    assert after.status == 0
    assert {f["check"] for f in records(after.out)} >= {
        "configuration",
        "folder",
        "database",
        "vocabulary",
        "prices",
        "clock",
    }
    bad = tmp_path / "bad.toml"
    bad.write_text("[server]\nport = 70000\nprot = 1\n", encoding="utf-8")
    ended = run("doctor", "--config", str(bad))
    assert "server.port" in ended.out
    assert ended.status == run("serve", "--config", str(bad)).status == 2


@pytest.mark.parametrize(
    "mistake",
    [
        "[server]\nport = 'x'\n",
        "nothing = 1\n",
        "not toml",
        "[server]\nhost = '300.1.1.1'\n",
        "[server]\ntls_certificate = '/nope.pem'\ntls_key = '/nope.pem'\n",
        "[prices]\nfiles = ['/nope.csv']\n",
        "[secrets]\nmaster = '${env:NOBODY_SET_THIS}'\n",
        "[storage]\nfolder = '/proc/nope'\n",
    ],
)
def test_doctor_and_serve_end_with_the_same_status_for_the_same_mistake(
    run: Run, tmp_path: Path, mistake: str
) -> None:
    path = tmp_path / "bad.toml"
    own = "" if "storage" in mistake else f'[storage]\nfolder = "{tmp_path / "var"}"\n'
    path.write_text(mistake + own, encoding="utf-8")
    found = run("doctor", "--json", "--config", str(path))
    assert found.status == run("serve", "--config", str(path)).status == 2
    assert any(one["mistake"] and one["cure"] for one in records(found.out))


def test_the_doctor_makes_and_migrates_no_database(run: Run, config: str, tmp_path: Path) -> None:
    for _ in range(2):
        found = {f["check"]: f for f in records(run("doctor", "--json", "--config", config).out)}
        assert found["database"]["found"] == "SQLite: will be made at the first start"
        assert list(tmp_path.rglob("*.db*")) == []
    assert run("migrate", "--config", config).status == 0
    (path,) = tmp_path.rglob("weighbridge.db")
    url = f"sqlite:///{path}"
    downgrade(url, "0012")
    found = {f["check"]: f for f in records(run("doctor", "--json", "--config", config).out)}
    assert (found["database"]["state"], found["database"]["cure"]) == (
        "warn",
        "the next start migrates it",
    )
    assert revision_of(url) == "0012"


def test_doctor_tells_of_batches_that_nobody_asks(run: Run, config: str, tmp_path: Path) -> None:
    assert run("migrate", "--config", config).status == 0
    (path,) = tmp_path.rglob("weighbridge.db")
    with closing(sqlite3.connect(path)) as database, database:
        fields = ("azure/a/batch_1", "azure", "a", "/p", "", b"{}", 0, 0, 3)
        names = "work, provider, upstream, raw_path, query, creator, made_us, due_us, attempts"
        places = ", ".join("?" * len(fields))
        database.execute(f"INSERT INTO deferred_work ({names}) VALUES ({places})", fields)
    found = {f["check"]: f for f in records(run("doctor", "--json", "--config", config).out)}
    assert found["batches"]["state"] == "warn"
    assert found["batches"]["found"].startswith("1 ")


def test_rows_and_statement_of_a_served_request(run: Run, tmp_path: Path) -> None:
    upstream = RawUpstream(
        lambda head, body: Script(200, [("content-type", "application/json")], [CHAT])
    )
    extra = deployments(("gpt-4o", "gpt-4o-2024-11-20", "global"))
    with (
        upstream.running() as url,
        serving(tmp_path, url, extra, cost_centre="4100", app="assistant") as running,
    ):
        request = (
            b"POST /azure/openai/deployments/gpt-4o/chat/completions?api-version=1 HTTP/1.1\r\nhost: x\r\n"
            b"api-key: " + running.key.key.encode() + b"\r\ncontent-type: application/json\r\ncontent-length: 15\r\n\r\n"
            b'{"messages":[]}'
        )  # fmt: skip
        assert raw_exchange(running.port, request)[1] == CHAT
        running.rows(1)
    config = str(tmp_path / "weighbridge.toml")
    (tmp_path / "weighbridge.toml").write_text(
        f'[storage]\nfolder = "{tmp_path / "var"}"\n', encoding="utf-8"
    )
    (row,) = records(run("usage", "--json", "--config", config).out)
    assert set(USAGE_FIELDS) <= set(row)
    assert (row["user"], row["team"], row["cost_centre"], row["app"]) == (
        "user-0001",
        "core",
        "4100",
        "assistant",
    )
    assert {line["unit"]: line["quantity"] for line in row["lines"]} == {
        "input_text": 19,
        "output_text": 10,
    }
    assert row["net_usd"] == "0.0001475"
    assert row["usage_raw"]["total_tokens"] == 29
    assert {"unit", "quantity", "price_id", "list_usd", "net_usd"} <= set(row["lines"][0])
    assert records(run("usage", "--team", "nobody", "--json", "--config", config).out) == []
    assert "gpt-4o" in run("usage", "--config", config).out
    month = datetime.now(UTC).strftime("%Y-%m")
    lines = records(run("statement", month, "--json", "--config", config).out)
    assert [line["line"] for line in lines] == ["row", "team", "total"]
    assert {line["net_usd"] for line in lines} == {"0.0001475"}
    assert "core" in run("statement", month, "--config", config).out
    through = {line["through"] for line in lines}  # the month may end between the two
    assert through <= {None, *(f"{month}-{day:02}" for day in range(1, 32))}
    assert month != datetime.now(UTC).strftime("%Y-%m") or through != {None}
    assert run("statement", "November").status == 2


def test_a_month_that_has_not_begun_is_refused_in_words(
    run: Run, config: str, tmp_path: Path
) -> None:
    for ahead in (
        ("statement", "2099-12"),
        ("statement", "2099-12", "--team", "core"),
        ("chargeback", "2099-12"),
    ):
        for more in ((), ("--json",)):
            done = run(*ahead, *more, "--config", config)
            assert (done.status, done.out) == (2, "")
            assert "2099-12 has not begun: it begins on 2099-12-01 at 00:00 UTC" in " ".join(
                done.err.split()
            )
    out = str(tmp_path / "j.csv")
    assert run("journal", "2099-12", "--out", out, "--config", config).status == 2
    assert run("focus", "2099-12", "--out", out, "--config", config).status == 2
    assert not Path(out).exists()


def test_the_help_shows_every_command_once_under_what_it_is_for(run: Run) -> None:
    assert sorted(name for names in PANELS.values() for name in names) == sorted(COMMANDS)
    text = run("--help").out
    assert all(title in text for title in PANELS)
    lines = [line.strip("│ ").split(" ")[0] for line in text.splitlines() if line.startswith("│")]
    assert sorted(set(lines) & set(COMMANDS)) == sorted(COMMANDS)
