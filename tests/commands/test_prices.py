"""The price book's tools as people and programs use them."""

import json
from pathlib import Path

from gateway.pricing import load
from tests.commands.lines import Run

HEADER = ",".join(load.COLUMNS)


def price_file(path: Path, *lines: str) -> Path:
    path.write_text("\n".join((HEADER, *lines, "")), encoding="utf-8")
    return path


def test_the_shipped_prices_pass_their_lint(run: Run) -> None:
    done = run("prices", "lint")
    assert done.status == 0
    assert "nothing to mend" in done.out


def test_a_price_per_thousand_among_prices_per_million_is_named_with_its_cure(
    run: Run, tmp_path: Path
) -> None:
    path = price_file(
        tmp_path / "negotiated.csv",
        "azure,gpt-5.4,global,,,standard,input_text,0,2500,1000000,USD,2026-01-01,,contract,7,manual",
    )
    done = run("prices", "lint", str(path), "--json")
    (finding,) = [json.loads(line) for line in done.out.splitlines()]
    assert done.status == 1
    assert (finding["severity"], finding["rule"]) == ("implausible", "scale")
    assert finding["origin"] == f"{path}:2"
    assert "per 1,000 is not per 1,000,000" in finding["cure"]
    assert "times its neighbours" in run("prices", "lint", str(path)).out


def test_configured_files_are_judged_beside_the_shipped_ones(run: Run, tmp_path: Path) -> None:
    path = price_file(
        tmp_path / "own.csv",
        "azure,our-model,global,,,standard,input_text,0,5,1000000,USD,2026-01-01,,contract,7,manual",
        "azure,our-model,global,,,standard,output_text,0,4,1000000,USD,2026-01-01,,contract,7,manual",
    )
    config = tmp_path / "w.toml"
    config.write_text(f'[prices]\nfiles = ["{path}"]\n', encoding="utf-8")
    done = run("prices", "lint", "--config", str(config), "--json")
    rules = {json.loads(line)["rule"] for line in done.out.splitlines()}
    assert (done.status, rules - {"ends"}) == (1, {"output_below_input"})


def test_a_file_that_is_not_there_is_said_with_its_name(run: Run, tmp_path: Path) -> None:
    done = run("prices", "lint", str(tmp_path / "nowhere.csv"))
    assert done.status == 2
    assert "no such file" in done.err


def test_two_sets_of_prices_are_told_apart_row_by_row(run: Run, tmp_path: Path) -> None:
    row = "azure,m,global,,,standard,input_text,0,{},1000000,USD,2026-01-01,,contract,7,manual"
    one = price_file(tmp_path / "one.csv", row.format("2"))
    two = price_file(tmp_path / "two.csv", row.format("3"))
    done = run("prices", "diff", str(one), str(two), "--json")
    (found,) = [json.loads(line) for line in done.out.splitlines()]
    assert (done.status, found["change"], found["percent"]) == (1, "price", 50)
    assert (found["before"]["price"], found["after"]["price"]) == ("2", "3")
    assert "+50" in run("prices", "diff", str(one), str(two)).out
    same = run("prices", "diff", "shipped", "shipped")
    assert (same.status, "not a row differs" in same.out) == (0, True)
    bad = price_file(tmp_path / "bad.csv", row.format("x"))
    assert run("prices", "diff", str(bad)).status == 2
    bad = price_file(tmp_path / "bad.csv", row.format("2").replace("azure", "azur"))
    assert "did you mean 'azure'?" in " ".join(run("prices", "diff", str(bad)).err.split())
    assert (
        "no price files"
        in run("prices", "diff", str(tmp_path / "commands")).err
        + run("prices", "diff", str(config_folder(tmp_path))).err
    )


def config_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "empty"
    folder.mkdir()
    return folder


def test_what_the_book_covers_is_shown_by_family_and_by_model(run: Run) -> None:
    done = run("prices", "coverage", "--provider", "google", "--json")
    rows = {row["family"]: row for row in map(json.loads, done.out.splitlines())}
    assert rows["gemini"]["tiers"].keys() == {"standard", "batch", "flex", "priority"}
    assert rows["gemini"]["classes"]["audio"] > 20
    done = run("prices", "coverage", "--model", "gpt-5.4*", "--json")
    models = {(row["provider"], row["model"]) for row in map(json.loads, done.out.splitlines())}
    assert ("azure", "gpt-5.4-mini") in models
    assert "433 models" in run("prices", "coverage", "--at", "2026-11-30").out
    assert "nothing fits" in run("prices", "coverage", "--model", "no-such-*").out
