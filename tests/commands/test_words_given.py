"""What is given on the command line: every spelling that the gateway takes, and no word taken silently that means nothing."""

import json
from pathlib import Path
from typing import Any

import pytest

from gateway.__main__ import COMMANDS
from tests.commands.lines import Run

USAGE = '{"input_text":1000}'
SONNET = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
SONNET_ARN = f"arn:aws:bedrock:us-east-1:111122223333:inference-profile/{SONNET}"


def priced(run: Run, *words: str) -> dict[str, Any]:
    made: dict[str, Any] = json.loads(run("price", "--usage", USAGE, "--json", *words).out)
    return made


@pytest.mark.parametrize(
    "model",
    [SONNET, SONNET.replace(":", "%3A"), SONNET_ARN, SONNET_ARN.replace(":", "%3A").replace("/", "%2F"), SONNET_ARN.replace(":", "%3a")],
)  # fmt: skip
def test_a_model_is_priced_as_an_sdk_writes_it_into_a_path(run: Run, model: str) -> None:
    made = priced(run, "--provider", "bedrock", "--model", model)
    assert (made["status"], made["list_usd"]) == ("priced", "0.0033")


def test_a_count_is_of_the_model_that_a_percent_encoded_name_means(run: Run) -> None:
    body = (
        b'{"messages":[{"role":"user","content":[{"text":"How many tokens is this, and why?"}]}]}'
    )
    words = ("count", "--provider", "bedrock", "--operation", "converse", "--json", "--model")
    plain, encoded = (run(*words, model, stdin=body).out for model in (SONNET_ARN, SONNET_ARN.replace("/", "%2F").replace(":", "%3A")))  # fmt: skip
    assert plain == encoded
    assert json.loads(plain)["confidence"] == "estimate"


@pytest.mark.parametrize(
    ("model", "confidence"),
    [("gpt-99", "estimate"), ("gpt-5.4", "exact"), ("gpt-6.1-sol", "exact")],
)
def test_only_a_count_by_a_proven_formula_is_called_exact(
    run: Run, model: str, confidence: str
) -> None:
    body = b'{"messages":[{"role":"user","content":"hi"}]}'
    out = run("count", "--provider", "azure", "--operation", "chat", "--model", model, "--json", stdin=body).out  # fmt: skip
    assert json.loads(out)["confidence"] == confidence


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--model", "gpt-5.4", "--scope", "data_zone"), "--geo would decide: apac, eu, us"),
        (("--model", "gpt-55.4", "--scope", "global"), "no model 'gpt-55.4' of azure; did you mean gpt-5.4"),
        (("--model", "gpt-5.4", "--scope", "global", "--tier", "nope"), "no price under global nope; there are: data_zone batch"),
        (("--model", "gpt-5.4", "--scope", "data_zone", "--region", "swedncentral"), "no region 'swedncentral' of azure; did you mean swedencentral"),
    ],
)  # fmt: skip
def test_a_price_that_is_not_found_says_what_would_decide_it(
    run: Run, words: tuple[str, ...], said: str
) -> None:
    found = run("price", "--provider", "azure", "--usage", USAGE, *words)
    assert (found.status, found.out.count("n/a")) == (0, 4)
    assert said in found.err


def test_the_title_of_an_unknown_model_is_the_name_that_was_asked(run: Run) -> None:
    words = ("--provider", "azure", "--model", "gpt-55.4[/]", "--scope", "global", "--usage", USAGE)
    assert "gpt-55.4[/] (not in the price book)" in run("price", *words).out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("keys", "create", "--user", "", "--team", "core"), "--user is empty"),
        (("keys", "create", "--user", "u", "--team", "  "), "--team is empty"),
        (("keys", "create", "--user", "a\nb", "--team", "core"), "found 'a\\nb'"),
        (("keys", "create", "--user", "u", "--team", "core", "--app", "a\u202eb"), "--app holds the invisible character U+202E: type it again without, found 'a\\u202eb'"),
        (("keys", "create", "--user", "u", "--team", "core", "--expires", "2020-01-01"), "is past"),
        (("budgets", "set", "--team", "a\nb", "--usd", "5", "--window", "month"), "--team holds the invisible character U+000A"),
        (("budgets", "set", "--team", "", "--usd", "5", "--window", "month"), "--team is empty"),
        (("keys", "rotate", "key_1", "--overlap-hours", "-1"), "a whole number of at least 0"),
        (("usage", "--limit", "-1"), "a whole number of at least 1"),
        (("prices", "list", "--limit", "-1"), "a whole number of at least 0"),
    ],
)  # fmt: skip
def test_what_means_nothing_is_refused_with_its_cure(
    run: Run, config: str, words: tuple[str, ...], said: str
) -> None:
    found = run(*words, "--config", config)
    assert (found.status, found.out) == (2, "")
    assert said in found.err
    assert len([line for line in found.err.splitlines() if line.startswith("✗")]) == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--context", "-5", "--usage", USAGE), "a whole number of at least 0"),
        (("--geo", "mars", "--usage", USAGE), "no 'mars' of azure; there are ae, apac"),
        (("--usage", '{"input_text":1,"output_text":2,"input_text":3}'), "input_text twice"),
    ],
)
def test_a_price_is_not_asked_for_what_cannot_be(
    run: Run, words: tuple[str, ...], said: str
) -> None:
    found = run("price", "--provider", "azure", "--model", "gpt-5.4", "--scope", "global", *words)
    assert (found.status, found.out) == (2, "")
    assert said in found.err


Words = tuple[str, ...]
UNREADABLE = ("", "   ", "a\u202eb", "a\x9bb", "a\x1bb", "\u3164", "x" * 201)
FAMILY = "\U0001f468\u200d\U0001f469\u200d\U0001f467"


@pytest.mark.parametrize("name", UNREADABLE)
def test_nothing_unreadable_is_written_anywhere(
    run: Run, config: str, tmp_path: Path, name: str
) -> None:
    cost = ("fixed-costs", "add", "--kind", "own", "--amount", "1", "--from", "2025-01")
    file = tmp_path / "people.csv"
    file.write_text(
        f'user,cost_centre,person\nu,4100,"{name.strip() or chr(0)}"\n', encoding="utf-8"
    )
    budget = ("budgets", "set", "--usd", "5", "--window", "month")
    for words in (
        (*cost, name, "--source", "s"),
        (*cost, "c", "--source", name),
        (*cost, "c", "--source", "s", "--author", name),
        (*cost, "c", "--source", "s", "--rule", "direct", "--cost-centre", f"{name or ' '}=1,{'4' * 41}=1"),
        ("fx", "set", "2025-01", "EUR", "0.9", "--source", name),
        ("fx", "set", "2025-01", "EUR", "0.9", "--source", "s", "--author", name),
        ("people", "import", str(file)),
        ("people", "erase", "u", "--author", name),
        ("keys", "create", "--user", "u", "--team", name),
        ("keys", "create", "--user", "u", "--team", "t", "--cost-centre", name),
        (*budget, "--team", name),
        (*budget, "--name", name),
        (*budget, "--name", "b", "--rename", name),
        ("prices", "rerate", "--reason", name or " "),
    ):  # fmt: skip
        found = run(*words, "--config", config)
        assert (found.status, found.out) == (2, ""), words
        assert found.err.isprintable() or found.err.replace("\n", "").isprintable()
    for listed in (
        ("fixed-costs", "list"),
        ("fx", "list"),
        ("people", "list"),
        ("keys", "list"),
        ("budgets", "list"),
    ):
        assert run(*listed, "--json", "--config", config).out == ""  # fmt: skip


def test_a_family_is_a_name_wherever_one_is_written(run: Run, config: str, tmp_path: Path) -> None:
    file = tmp_path / "people.csv"
    file.write_text(f"user,cost_centre,name,person\nu,4100,{FAMILY},{FAMILY}\n", encoding="utf-8")
    written: tuple[Words, ...] = (
        ("people", "import", str(file)),
        ("keys", "create", "--user", FAMILY, "--team", f"Team {FAMILY}"),
        ("budgets", "set", "--team", f"Team {FAMILY}", "--usd", "5", "--window", "month"),
        ("fixed-costs", "add", FAMILY, "--kind", "own", "--amount", "1", "--from", "2025-01", "--source", FAMILY),
        ("fx", "set", "2025-01", "EUR", "0.9", "--source", FAMILY, "--author", FAMILY),
    )  # fmt: skip
    for words in written:
        made = run(*words, "--config", config)
        assert (made.status, made.err) == (0, ""), words
    for words in (
        ("keys", "list"),
        ("people", "list"),
        ("fx", "list"),
        ("fixed-costs", "list"),
        ("budgets", "list"),
    ):
        assert FAMILY in run(*words, "--config", config).out  # fmt: skip
    (rate,) = run("fx", "list", "--json", "--config", config).out.splitlines()
    assert json.loads(rate)["source"] == FAMILY


def test_a_figure_that_is_none_is_said_in_words_with_an_example(run: Run) -> None:
    for words in (("usage", "--limit"), ("explore", "--top"), ("simulate", "--days"), ("price", "--context"), ("budgets", "set", "--burst")):  # fmt: skip
        found = run(*words, "many")
        assert (found.status, found.out) == (2, "")
        assert f"✗ {words[-1]}: expected a whole number" in found.err
        assert ", such as " in found.err
        assert ", found 'many'; see weighbridge" in found.err


def test_help_names_kinds_of_values_as_people_do(run: Run) -> None:
    for command in COMMANDS:
        told = run(command, "--help").out
        assert not {"<str>", "<int>", "<int range>", "<list[str]>"} & set(told.split())


def test_every_mistake_on_the_command_line_is_one_line_with_its_help(run: Run) -> None:
    for words, where in (
        (("keys", "create", "--team", "core"), "keys create"),
        (("keys", "list", "--nope"), "keys list"),
        (("usage", "--limit", "many"), "usage"),
        (("keyz",), "weighbridge"),
        (("keys", "lost"), "weighbridge keys"),
        (("usage", "--json=3"), "weighbridge usage"),
        (("usage", "2026-11", "2026-12"), "weighbridge usage"),
        (("prices", "import", "--json=3"), "weighbridge prices import"),
    ):
        found = run(*words)
        assert (found.status, found.out) == (2, "")
        assert found.err.startswith("✗ ")
        assert found.err.count("\n") == 1
        assert f"{where} --help" in found.err


def test_an_option_without_its_value_says_what_it_takes_and_whose_help_says_more(run: Run) -> None:
    for words, takes in (
        (("usage", "--limit"), "--limit: expected a whole number of at least 1, such as 20"),
        (("serve", "--config"), "--config: expected a path"),
        (("keys", "create", "--team"), "--team: expected text"),
        (("budgets", "set", "--burst"), "--burst: expected a whole number"),
    ):
        found = run(*words)
        assert (found.status, found.out) == (2, "")
        assert found.err.startswith(f"✗ {takes}")
        at = " ".join(words[:-1])
        assert found.err.endswith(f", found nothing; see weighbridge {at} --help\n")


def test_a_filter_that_nobody_fits_names_the_nearest_there_is(run: Run, config: str) -> None:
    run("keys", "create", "--user", "user-0001", "--team", "search", "--config", config)
    for words in (("usage", "--team", "serch"), ("usage", "--user", "user-001"), ("usage", "--team", "serch", "--json")):  # fmt: skip
        found = run(*words, "--config", config)
        assert found.status == 0
        assert "did you mean search?" in found.err or "did you mean user-0001?" in found.err
    assert run("usage", "--team", "search", "--config", config).err == ""


def test_brackets_of_a_team_are_shown_and_a_name_in_markup_breaks_nothing(
    run: Run, config: str
) -> None:
    for team, app in (("[prod] search", "a [/] b"), ("[test] search", "[bold]"), ("x", ":smile:")):
        made = run(
            "keys", "create", "--user", "u", "--team", team, "--app", app, "--config", config
        )
        assert made.status == 0
    out = run("keys", "list", "--config", config).out
    for name in ("[prod] search", "[test] search", "a [/] b", "[bold]", ":smile:"):
        assert name in out


def test_help_is_shown_as_it_is_written(run: Run) -> None:
    assert "[prices]" in run("price", "--help").out


def test_a_key_id_is_whole_however_long_the_names_beside_it_are(run: Run) -> None:
    name = "x" * 120
    made = json.loads(run("keys", "create", "--user", name, "--team", name, "--cost-centre", name, "--app", name, "--json").out)  # fmt: skip
    assert made["key_id"] in run("keys", "list").out
