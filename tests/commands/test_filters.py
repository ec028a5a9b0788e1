"""Names typed into options: a mistyped one is said on stderr with the nearest there are, and never silently matches nothing.

Every option that takes text is in one of the tables here: the parser is asked for them, so that a new one is not forgotten.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import pytest
import typer

from gateway.__main__ import command_line
from gateway.commands.names import instead
from gateway.kernel.names import nearest
from tests.commands.lines import ran

MONTH: Final = "2025-01"  # over, wherever and whenever this runs
PRICE: Final = ("price", "--provider", "azure", "--usage", '{"input_text":1}')
GPT: Final = (*PRICE, "--model", "gpt-5.4", "--scope", "global")
COMPARE: Final = ("prices", "compare", "--month", MONTH)
BUDGET: Final = ("budgets", "set", "--usd", "5", "--window", "month", "--name")
COST: Final = ("fixed-costs", "add", "c", "--amount", "1", "--from", MONTH, "--source", "s")
DIRECT: Final = (*COST, "--kind", "own", "--rule", "direct")

# Option → what is typed (its last word is the mistyped name), the exit status, and the name that was meant.
NAMED: Final[dict[str, tuple[tuple[str, ...], int, str]]] = {
    "usage --team": (("usage", "--team", "serch"), 0, "search"),
    "usage --user": (("usage", "--user", "user-001"), 0, "user-0001"),
    "usage --model": (("usage", "--model", "gpt-5.44"), 0, "gpt-5.4"),
    "statement --team": (("statement", MONTH, "--team", "serch"), 0, "search"),
    "statement --cost-centre": (("statement", MONTH, "--cost-centre", "4110"), 2, "4100"),
    "statement --owner": (("statement", MONTH, "--cost-centre", "4100", "--owner", "owner-410"), 2, "owner-4100"),
    "chargeback --cost-centre": (("chargeback", MONTH, "--cost-centre", "4110"), 2, "4100"),
    "chargeback --owner": (("chargeback", MONTH, "--cost-centre", "4100", "--owner", "owner-410"), 2, "owner-4100"),
    "explore --team": (("explore", "--team", "search", "--team", "serch"), 0, "search"),
    "explore --by": (("explore", "--by", "tem"), 2, "team"),
    "price --provider": (("price", "--model", "m", "--usage", "{}", "--provider", "azur"), 2, "azure"),
    "price --model": ((*PRICE, "--scope", "global", "--model", "gpt-5.44"), 0, "gpt-5.4"),
    "price --scope": ((*PRICE, "--model", "gpt-5.4", "--scope", "globl"), 2, "global"),
    "price --geo": ((*GPT, "--geo", "uss"), 2, "us"),
    "price --region": ((*GPT, "--region", "swedncentral"), 0, "swedencentral"),
    "price --tier": ((*GPT, "--tier", "bach"), 0, "batch"),
    "price --team": ((*GPT, "--team", "serch"), 0, "search"),
    "count --provider": (("count", "--operation", "chat", "--model", "m", "--provider", "azur"), 2, "azure"),
    "count --operation": (("count", "--provider", "azure", "--model", "m", "--operation", "chatt"), 2, "chat.completions"),
    "keys create --models": (("keys", "create", "--user", "u", "--team", "t", "--models", "gpt5.44*"), 0, "gpt-5.4"),
    "keys rotate key_id": (("keys", "rotate", "key_none"), 2, "keys list"),
    "keys revoke key_id": (("keys", "revoke", "key_none"), 2, "keys list"),
    "budgets set --org": ((*BUDGET, "o", "--org", "defalt"), 0, "default"),
    "budgets set --team": ((*BUDGET, "t", "--team", "serch"), 0, "search"),
    "budgets set --cost-centre": ((*BUDGET, "c", "--cost-centre", "4110"), 0, "4100"),
    "budgets set --user": ((*BUDGET, "u", "--user", "user-001"), 0, "user-0001"),
    "budgets set --app": ((*BUDGET, "a", "--app", "answer"), 0, "answers"),
    "budgets set --key": ((*BUDGET, "k", "--key", "key_none"), 0, "keys list"),
    "budgets set --provider": ((*BUDGET, "p", "--provider", "azur"), 2, "azure"),
    "budgets set --model": ((*BUDGET, "m", "--model", "gpt5.44*"), 0, "gpt-5.4"),
    "budgets set --window": (("budgets", "set", "--usd", "5", "--window", "mnth"), 2, "month"),
    "budgets set --each": ((*BUDGET, "e", "--each", "usr"), 2, "user"),
    "budgets set --unit": (("budgets", "set", "--window", "day", "--unit", "web_serch=1"), 2, "web_search_requests"),
    "budgets set --tz": ((*BUDGET, "z", "--tz", "Europe/Berln"), 2, "Europe/Berlin"),
    "budgets set --rename": (("budgets", "set", "--rename", "x", "--usd", "5", "--window", "month", "--name", "lab budgt"), 2, "lab budget"),
    "budgets show name": (("budgets", "show", "lab budgt"), 2, "lab budget"),
    "budgets raise name": (("budgets", "raise", "--by", "1", "--until", "2099-01-01", "--reason", "r", "lab budgt"), 2, "lab budget"),
    "budgets remove name": (("budgets", "remove", "lab budgt"), 2, "lab budget"),
    "budgets history name": (("budgets", "history", "lab budgt"), 2, "lab budget"),
    "budgets alerts name": (("budgets", "alerts", "lab budgt"), 2, "lab budget"),
    "people list --owner": (("people", "list", "--owner", "owner-410"), 0, "owner-4100"),
    "people erase user": (("people", "erase", "user-001"), 2, "user-0001"),
    "prices list --provider": (("prices", "list", "--limit", "1", "--provider", "azur"), 0, "azure"),
    "prices list --model": (("prices", "list", "--model", "gpt5.44*"), 0, "gpt-5.4"),
    "prices list --unit": (("prices", "list", "--unit", "input_txt"), 0, "input_text"),
    "prices list --scope": (("prices", "list", "--scope", "globl"), 2, "global"),
    "prices list --tier": (("prices", "list", "--tier", "bach"), 2, "batch"),
    "prices list --layer": (("prices", "list", "--layer", "shiped"), 2, "shipped"),
    "prices show name": (("prices", "show", "gpt-5.44"), 2, "gpt-5.4"),
    "prices coverage --provider": (("prices", "coverage", "--provider", "azur"), 2, "azure"),
    "prices coverage --model": (("prices", "coverage", "--model", "gpt5.44*"), 0, "gpt-5.4"),
    "prices compare --to": ((*COMPARE, "--to", "gpt-5.44"), 2, "gpt-5.4"),
    "prices compare --model": ((*COMPARE, "--to", "gpt-5.4-mini", "--provider", "azure", "--model", "gpt5.44*"), 0, "gpt-5.4"),
    "prices compare --team": ((*COMPARE, "--to", "gpt-5.4-mini", "--provider", "azure", "--team", "serch"), 0, "search"),
    "prices compare --provider": ((*COMPARE, "--to", "gpt-5.4-mini", "--provider", "azur"), 2, "azure"),
    "prices compare --scope": ((*COMPARE, "--to", "gpt-5.4-mini", "--provider", "azure", "--scope", "globl"), 2, "global"),
    "prices compare --geo": ((*COMPARE, "--to", "gpt-5.4-mini", "--provider", "azure", "--geo", "uss"), 2, "us"),
    "prices compare --region": ((*COMPARE, "--to", "gpt-5.4-mini", "--provider", "azure", "--region", "swedncentral"), 0, "swedencentral"),
    "prices compare --tier": ((*COMPARE, "--to", "gpt-5.4-mini", "--provider", "azure", "--tier", "bach"), 2, "batch"),
    "contracts show name": (("contracts", "show", "enterprse"), 2, "enterprise"),
    "fixed-costs add --kind": ((*COST, "--kind", "seet"), 2, "seat"),
    "fixed-costs add --rule": ((*COST, "--kind", "own", "--rule", "tokns"), 2, "tokens"),
    "fixed-costs add --currency": ((*COST, "--kind", "own", "--currency", "EURO"), 2, "EUR"),
    "fixed-costs add --pool": ((*COST, "--kind", "own", "--pool", "modl=x"), 2, "model"),
    "fixed-costs add --cost-centre": ((*DIRECT, "--cost-centre", "4110"), 0, "4100"),
    "fixed-costs remove name": (("fixed-costs", "remove", "--from", MONTH, "seat"), 2, "seats"),
    "fx set currency": (("fx", "set", MONTH, "--source", "s", "EURO", "0.9"), 2, "EUR"),
    "focus --version": (("focus", MONTH, "--out", "f.csv", "--version", "1.3"), 2, "1.4"),
    "focus --profile": (("focus", MONTH, "--out", "f.csv", "--profile", "chargebak"), 2, "chargeback"),
    "focus --dataset": (("focus", MONTH, "--out", "f.csv", "--dataset", "cost"), 2, "cost-and-usage"),
    "journal --form": (("journal", MONTH, "--out", "j.csv", "--form", "netsuit"), 2, "netsuite"),
    "close --to": (("close", MONTH, "--to", "aproved"), 2, "approved"),
    "rebuild what": (("rebuild", "rolup"), 2, "rollup"),
}  # fmt: skip

# Text that is no name of something there is: figures and dates, what is new, and what the answer itself decides.
FREE: Final = {
    "count --model": "any model is counted; the answer says how sure the count is",
    "migrate --role": "the server says whether it knows it",
    "reconcile --confirm": "what a bill says; checked against it",
    "prices refresh --package": "of pip",
    "prices refresh --accept": "what waits is listed again",
    "prices refresh --retail": "files or an address",
    "prices refresh --offers": "files or an address",
    "prices diff before": "a file, a folder, or 'shipped'",
    "prices diff after": "a file, a folder, or 'shipped'",
}
DATES: Final = (
    "since", "until", "at", "month", "period", "expires", "from", "to", "on", "posted",
)  # fmt: skip
WRITTEN: Final = (
    "author", "reason", "note", "journal", "source", "tag", "usage", "company-code", "document-type", "by", "rate",
    "amount", "name", "user", "team", "app", "cost-centre", "alert", "alert-forecast", "store-down",
    "usd", "usd-list", "tokens", "input-tokens", "output-tokens", "requests", "concurrent",
)  # fmt: skip


def text_options() -> Iterator[tuple[str, str]]:
    """Every option and argument of every command that takes text: its name with its command's, and its own."""

    def below(command: Any, path: tuple[str, ...]) -> Iterator[tuple[str, str]]:
        for name, one in getattr(command, "commands", {}).items():
            yield from below(one, (*path, name))
        for one in () if hasattr(command, "commands") else command.params:
            if one.bare_type() not in {"Path", "list[Path]", "bool", "int"}:
                yield " ".join((*path, one.opts[0])), one.opts[0].removeprefix("--")

    yield from below(typer.main.get_command(command_line(None)), ())


def test_every_option_that_takes_text_is_told_of_here() -> None:
    there = dict(text_options())
    assert len(there) > 100, "the parser is read"
    untold = {
        option
        for option, own in there.items()
        if option not in NAMED and option not in FREE and own not in {*DATES, *WRITTEN}
    }
    assert not untold, "say in NAMED what a mistyped one prints, or in FREE why it names nothing"
    assert not (NAMED.keys() | FREE.keys()) - there.keys(), "no such options any more"


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A gateway with a key, a cost centre, a person, a budget, a cost and a contract."""
    folder = tmp_path_factory.mktemp("filters")
    path = folder / "c.toml"
    path.write_text(
        f'[storage]\nfolder = "{folder / "var"}"\n'
        '[[contracts]]\nname = "enterprise"\nteam = "search"\n[[contracts.terms]]\ndiscount_percent = 5\n',
        encoding="utf-8",
    )
    people = folder / "people.csv"
    people.write_text(
        "user,cost_centre,name,owner,person\nuser-0001,4100,Support,owner-4100,Person One\n",
        encoding="utf-8",
    )
    key = (
        "keys",
        "create",
        "--user",
        "user-0001",
        "--team",
        "search",
        "--cost-centre",
        "4100",
        "--app",
        "answers",
    )
    seats = (
        "fixed-costs",
        "add",
        "seats",
        "--kind",
        "own",
        "--amount",
        "1",
        "--from",
        "2024-01",
        "--source",
        "s",
    )
    for words in (
        key,
        ("people", "import", str(people)),
        (*BUDGET, "lab budget", "--team", "search"),
        seats,
    ):
        made = ran(*words, "--config", str(path))
        assert made.status == 0, made.err
    return str(path)  # fmt: skip


def asked(words: tuple[str, ...], config: str) -> SimpleNamespace:
    has_config = words[0] != "count"
    has_json = (words[0], *words[1:2]) not in {("fixed-costs", "add"), ("fixed-costs", "remove"), ("rebuild", "rolup")}  # fmt: skip
    more = (*(("--config", config) if has_config else ()), *(("--json",) if has_json else ()))
    return ran(*words, *more)


@pytest.mark.parametrize("option", NAMED)
def test_a_mistyped_name_is_said_with_the_nearest_and_json_stays_pure(
    option: str, config: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    words, status, meant = NAMED[option]
    found = asked(words, config)
    said = " ".join(found.err.split())
    assert found.status == status, said
    assert meant in said
    typed = next(word for word in reversed(words) if word not in {"0.9", "EUR"})
    assert typed.partition("=")[0] in said
    if words[:2] != ("fixed-costs", "add"):
        assert all(isinstance(json.loads(line), dict) for line in found.out.splitlines())


def test_a_name_that_is_there_is_not_remarked_upon(config: str) -> None:
    for words in (
        ("usage", "--team", "search", "--user", "user-0001", "--model", "gpt-5.4"),
        ("statement", MONTH, "--team", "search"),
        ("explore", "--team", "search"),
        (*GPT, "--team", "search"),
        (*COMPARE, "--to", "gpt-5.4-mini", "--provider", "azure", "--model", "gpt-5*", "--team", "search"),
        ("people", "list", "--owner", "owner-4100"),
        ("prices", "list", "--provider", "az*", "--model", "gpt-5.4", "--unit", "input_*", "--tier", "batch"),
        ("prices", "coverage", "--provider", "azure", "--model", "gpt-*"),
        (*BUDGET, "t", "--team", "search", "--cost-centre", "4100", "--app", "answers"),
    ):  # fmt: skip
        found = asked(words, config)
        assert (found.status, found.err) == (0, ""), words


def test_of_thousands_of_names_a_line_tells_the_nearest_and_how_many_there_are() -> None:
    codes = [f"team-{code}" for code in range(1000, 9000)]
    said = instead("tema-4100", codes, "weighbridge people list")
    assert "team-4100" in said
    assert said.endswith("? weighbridge people list shows all 8,000")
    assert said.count(",") == 3, "three names, and a thousands separator"
    assert "8,000" in instead("zzzz", codes, "weighbridge people list")
    assert instead("x", [], "weighbridge people list") == "; there are none yet (weighbridge people list)"  # fmt: skip


def test_the_nearest_is_found_whatever_the_case_and_in_what_a_glob_spells_out() -> None:
    assert nearest("SERCH", ["Search", "support"]) == "Search"
    assert nearest("gpt5*", ["gpt-5", "claude"]) == "gpt-5"
    assert nearest("[ab]*", ["", "search"]) == ""
