"""The price book as people and programs look at it and change it: list, show, import."""

import asyncio
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gateway import premises, shipped
from gateway.commands.prices.rerate import spilling
from gateway.ledger.entry import Line
from gateway.ledger.missing import Gaps, Missed, Wanted
from gateway.pricing import load
from gateway.pricing.book import Book
from gateway.storage.ledger import Ledger
from tests.commands.lines import Run
from tests.storage.conftest import make_entry

OWN = "azure,gpt-5.4,global,,,standard,output_text,0,{price},1000000,USD,{since},,annex 2,row 7,manual"

PLACES = """
[upstreams.eu]
provider = "azure"
base_url = "https://eu.example.com"
[upstreams.us]
provider = "azure"
base_url = "https://us.example.com"
[[deployments]]
name = "chat"
upstream = "eu"
model = "gpt-5.4"
scope = "global"
[[deployments.also]]
upstream = "us"
scope = "provisioned"
spill = "data_zone"
"""


@pytest.fixture
def run(run: Run, config: str) -> Run:
    """One command line on a configuration of its own; its status, output, errors and records."""

    def command(*words: str) -> SimpleNamespace:
        done = run(*words, "--config", config)
        done.records = [json.loads(one) for one in done.out.splitlines() if one.startswith("{")]
        return done

    return command


def price_file(folder: Path, *lines: str) -> str:
    path = folder / "own.csv"
    path.write_text("\n".join((",".join(load.COLUMNS), *lines, "")), encoding="utf-8")
    return str(path)


def output_price(run: Run, at: str) -> dict[str, Any]:
    words = ("--model", "gpt-5.4", "--unit", "output_text", "--scope", "global")
    asked = run("prices", "list", *words, "--tier", "standard", "--at", at, "--json")
    return next(one for one in asked.records if not one["context_gt"])


def test_an_import_is_tried_brought_told_and_charged_by(run: Run, tmp_path: Path) -> None:
    file = price_file(tmp_path, OWN.format(price="13.5", since="2026-12-01"))
    tried = run("prices", "import", file, "--dry-run", "--json")
    assert [(one["price_usd"], one["was"], one["import"]) for one in tried.records] == [
        ("13.5", "15 / 1M", 1)
    ]
    assert output_price(run, "2026-12-01")["layer"] == "shipped"
    done = run("prices", "import", file, "--author", "user-0001", "--reason", "annex 2")
    assert done.status == 0
    assert "13.5 / 1M" in done.out
    before, after = output_price(run, "2026-11-30"), output_price(run, "2026-12-01")
    assert (before["layer"], before["price_usd"], before["valid_to"]) == ("shipped", "15", "2026-12-01")  # fmt: skip
    assert (after["layer"], after["price_usd"], after["source"]) == ("imported", "13.5", "annex 2")
    (told,) = run("prices", "imports", "--json").records
    assert (told["author"], told["reason"], told["file"], told["rows"]) == (
        "user-0001", "annex 2", "own.csv", 1,
    )  # fmt: skip
    usage = ("--provider", "azure", "--model", "gpt-5.4", "--scope", "global", "--usage", '{"output_reasoning": 1000000}')  # fmt: skip
    (charged,) = run("price", *usage, "--at", "2026-12-01", "--json").records
    assert charged["list_usd"] == "13.5"
    assert charged["lines"][0]["price_id"] == after["price_id"]
    assert "nothing new" in run("prices", "import", file).out


def test_an_import_names_the_catalog_that_rows_are_charged_by(run: Run, tmp_path: Path) -> None:
    later = OWN.format(price="13.5", since="2026-12-01")
    file = price_file(tmp_path, later, later.replace(",output_text,", ",input_text,"))
    assert run("prices", "import", file).status == 0
    (told,) = run("prices", "imports", "--json").records
    (book,) = [
        one for one in run("doctor", "--json").records if (one["check"], one["state"]) == ("prices", "ok")
    ]  # fmt: skip
    assert book["found"].endswith(f"catalog {told['catalog']}")


def test_a_price_id_shows_its_row_and_the_others_of_its_key(run: Run, tmp_path: Path) -> None:
    run("prices", "import", price_file(tmp_path, OWN.format(price="13.5", since="2026-12-01")))
    run("prices", "import", price_file(tmp_path, OWN.format(price="13", since="2027-01-01")))
    row = output_price(run, "2026-12-15")
    assert row["valid_to"] == "2027-01-01"
    (shown,) = run("prices", "show", row["price_id"], "--json").records
    assert [(one["layer"], one["price_usd"]) for one in shown["same_key"]] == [
        ("shipped", "15"), ("imported", "13.5"), ("imported", "13"),
    ]  # fmt: skip
    table = run("prices", "show", row["price_id"]).out
    assert "annex 2" in table
    assert "Rows of this key" in table


def test_a_model_is_shown_by_scope_place_and_tier(run: Run) -> None:
    shown = run("prices", "show", "gpt-5.4").out
    assert "azure · gpt-5.4 · global · standard" in shown
    assert "azure · gpt-5.4 · data_zone · eu · standard" in shown
    wrong = run("prices", "show", "gpt-99")
    assert wrong.status == 2
    assert "no model and no price 'gpt-99'" in wrong.err


def test_a_file_that_makes_no_book_changes_nothing(run: Run, tmp_path: Path) -> None:
    good, bad = OWN.format(price="13", since="2026-12-01"), OWN.format(price="12", since="2027-01-01")  # fmt: skip
    for lines, said in (
        ((good, bad), "own.csv:3: overlaps own.csv:2"),
        ((good.replace("output_text", "output_texts"),), "unit 'output_texts' is not known"),
        ((good.replace(",13,", ",13 USD,"),), "own.csv:2: '13 USD' is not an amount in USD"),
        (
            (good.replace("12-01,,", "12-01,2026-11-01,"),),
            "own.csv:2: valid_to is not after valid_from",
        ),
        ((good.replace(",1000000,", f",1{'0' * 29},"),), "context_gt are at most"),
    ):
        done = run("prices", "import", price_file(tmp_path, *lines))
        assert done.status == 2
        assert said in done.err.replace("\n", " ")
    assert run("prices", "imports", "--json").records == []
    assert output_price(run, "2027-02-01")["layer"] == "shipped"


def test_a_misspelt_provider_is_refused_wherever_a_price_file_is_read(
    run: Run, tmp_path: Path
) -> None:
    price = OWN.format(price="9", since="2026-12-01")
    file = price_file(tmp_path, price, price.replace("azure,gpt-5.4", "gogle,gemini-2.5-pro"))
    why = "provider 'gogle' is not known: expected one of azure, bedrock, google; did you mean 'google'?"
    done = run("prices", "import", file, "--dry-run")
    assert f"own.csv:3: {why}" in " ".join(done.err.split())
    (found,) = (
        one for one in run("prices", "lint", file, "--json").records if one["rule"] == "row"
    )
    assert (found["origin"], found["text"]) == (f"{file}:3", why)
    assert done.status
    own = tmp_path / "c.toml"
    own.write_text(
        f'{own.read_text(encoding="utf-8")}\n[prices]\nfiles = ["{file}"]\n', encoding="utf-8"
    )
    for words in (("prices", "list"), ("prices", "lint")):
        done = run(*words)
        assert done.status, words
        assert "gogle" in done.err + done.out, words


def test_a_figure_off_by_a_thousand_is_imported_with_a_warning(run: Run, tmp_path: Path) -> None:
    lines = [
        OWN.format(price=price, since="2026-12-01").replace("gpt-5.4", model)
        for price, model in (("15000", "gpt-5.4"), ("15", "gpt-5.4-a"), ("14", "gpt-5.4-b"))
    ]
    done = run("prices", "import", price_file(tmp_path, *lines), "--dry-run")
    assert "times its neighbours: check the unit" in done.err.replace("\n", " ")
    alone = run("prices", "import", price_file(tmp_path, lines[0]), "--dry-run")
    assert "times its neighbours: check the unit" in alone.err.replace("\n", " ")


def stand_in(monkeypatch: pytest.MonkeyPatch, found: Gaps) -> None:
    async def gaps(_ledger: Ledger, _book: Book, _since_us: int | None = None) -> Gaps:
        return found

    monkeypatch.setattr(Ledger, "gaps", gaps)


def test_what_only_long_prompts_lack_is_told_with_the_row_of_their_tier(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = "azure,gpt-99,global,,,standard,{},{},3,1000000,USD,2026-01-01,,annex 2,row 7,manual"
    rows = [line.format(unit, above) for unit, above in (("input_text", 0), ("output_text", 0), ("input_text", 272_000))]  # fmt: skip
    run("prices", "import", price_file(tmp_path, *rows))
    wanted = Wanted("azure", "gpt-99", "global", "", "", "standard", "output_text", 272_000)
    found = Gaps(Book.compile([]))
    noon_us = 1_795_348_800_000_000
    found._missed[wanted] = Missed(2, 9, first_us=noon_us, last_us=noon_us)
    stand_in(monkeypatch, found)
    (gap,) = run("prices", "missing", "--json").records
    assert (gap["context_gt"], gap["now"]) == (272_000, "unpriced")
    assert gap["row"].startswith("azure,gpt-99,global,,,standard,output_text,272000,<USD>,")
    assert "> 272,000" in run("prices", "missing").out
    told = run("doctor").out
    assert "gpt-99 output_text of prompts above 272,000 tokens: 2 times" in " ".join(told.split())
    filled = gap["row"].replace("<USD>", "3").replace("<where the price is from>", "s")
    run("prices", "import", price_file(tmp_path, filled))
    (cured,) = run("prices", "missing", "--json").records
    assert (cured["now"], cured["row"]) == ("priced", None)


def test_the_rows_to_fill_begin_with_the_first_time_a_price_was_missing(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = Wanted("azure", "gpt-99", "global", "", "", "standard", "output_text")
    noon_us, day_us = 1_795_348_800_000_000, 86_400_000_000  # 2026-11-22 12:00
    found = Gaps(Book.compile([]))
    found._missed[wanted] = Missed(2, 9, first_us=noon_us, last_us=noon_us + 3 * day_us)

    stand_in(monkeypatch, found)
    filled = run("prices", "missing", "--csv").out.replace("<USD>", "3").replace("<where the price is from>", "s")  # fmt: skip
    assert ",2026-11-22,," in filled
    late = filled.splitlines()[1].replace("2026-11-22,,", "2026-11-24,,")
    run("prices", "import", price_file(tmp_path, late))
    assert ",2026-11-22,2026-11-24," in run("prices", "missing", "--csv").out
    run("prices", "import", price_file(tmp_path, filled.splitlines()[1]))
    (cured,) = run("prices", "missing", "--json").records
    assert (cured["now"], cured["row"]) == ("priced", None)


def test_a_rerating_knows_the_scope_behind_every_place_of_a_deployment(tmp_path: Path) -> None:
    config = tmp_path / "c.toml"
    config.write_text(PLACES, encoding="utf-8")
    assert spilling(shipped.configured(config)) == {("chat", "us"): "data_zone"}


def test_a_row_whose_parts_cannot_be_told_is_named_and_left_alone(run: Run, tmp_path: Path) -> None:
    used = (
        ("input_text", 200_000),
        ("output_text", 5),
        ("cache_read_text", 200_000),
        ("output_text", 7),
    )
    lines = tuple(Line(unit, count, None, None, None) for unit, count in used)
    unknown = {"price_status": "unpriced", "list_pico": None, "net_pico": None}
    at = {"provider": "azure", "model": "gpt-5.4", "scope": "global"}
    rows = [make_entry(lines=lines, **unknown, **at), make_entry(lines=lines[:2], **unknown, **at)]
    config = shipped.configured(tmp_path / "c.toml")
    premises.ready_store(config)

    async def append() -> None:
        async with premises.opened(config) as database:
            await Ledger(database).append(rows)

    asyncio.run(append())
    asked = ("prices", "rerate", "--since", "2026-11-01", "--dry-run")
    (told,) = run(*asked, "--json").records
    assert (told["rows"], told["repriced"], told["unproved"]) == (2, 1, [str(rows[0].id)])
    assert str(rows[0].id) in run(*asked).out.replace("\n", "")


def test_a_count_no_row_can_hold_is_refused_in_words(run: Run) -> None:
    asked = ("price", "--provider", "azure", "--model", "gpt-5.4", "--scope", "global", "--json")
    assert run(*asked, "--usage", f'{{"input_text": {2**62}}}').status == 0
    wrong = run(*asked, "--usage", f'{{"input_text": {2**62 + 1}}}')
    assert (wrong.status, f"a count is at most {2**62}" in wrong.err) == (2, True)


def test_what_nothing_fits_says_so(run: Run) -> None:
    assert "no price fits" in run("prices", "list", "--model", "gpt-99").out
    wrong = run("prices", "list", "--layer", "mine")
    assert wrong.status == 2
    assert "shipped, configured, imported" in wrong.err
