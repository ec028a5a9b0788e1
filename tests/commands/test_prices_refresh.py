"""The shipped price files against the very packages they name: nothing may differ in a byte."""

import json
import subprocess
import sys
from collections.abc import Iterable
from datetime import date
from pathlib import Path

import pytest

from gateway import shipped
from gateway.catalog import lines
from gateway.catalog.manifest import packages
from gateway.catalog.refresh import refresh
from gateway.catalog.sources import Sources
from gateway.commands.prices.refresh import REVIEW, refreshed, sources
from tests.commands.lines import Run

SEED = Path(shipped.__file__).parent / "pricing" / "seed"
FETCH_SECONDS_MAX = 90


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pinned packages, fetched once; skipped with pip's own words where there is no index."""
    room = tmp_path_factory.mktemp("wheels")
    names = [package.requirement for package in packages(shipped.source_manifest())]
    words = ("download", "--no-deps", "--only-binary", ":all:", "--quiet", "--dest", str(room))
    try:
        done = subprocess.run(
            [sys.executable, "-m", "pip", *words, *names],
            capture_output=True,
            text=True,
            timeout=FETCH_SECONDS_MAX,
            check=False,
        )
    except subprocess.TimeoutExpired:
        pytest.skip(f"the index did not answer within {FETCH_SECONDS_MAX} s")
    if done.returncode:
        pytest.skip(f"the pinned packages are not to be had: {done.stderr.strip()[-300:]}")
    return room


@pytest.fixture
def run(run: Run) -> Run:
    """Run ``prices refresh`` in this process; its status, its output, its error output."""
    return lambda *words: run("prices", "refresh", *words)


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """The shipped files, to be spoilt."""
    for path in SEED.glob("*.csv"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "review").mkdir()
    (tmp_path / REVIEW).write_bytes((SEED / REVIEW).read_bytes())
    return tmp_path


def same(folder: Path) -> bool:
    names = [*(path.name for path in SEED.glob("*.csv")), REVIEW]
    return all((folder / name).read_bytes() == (SEED / name).read_bytes() for name in names)


def test_a_refresh_from_the_pinned_packages_reproduces_the_shipped_files_byte_for_byte(
    run: Run, wheels: Path, copied: Path
) -> None:
    done = run(
        "--wheels", str(wheels), "--folder", str(copied), "--on", "2026-11-22", "--write", "--json"
    )
    assert done.status == 0, done.out[-2000:]
    *waiting, counted = [json.loads(line) for line in done.out.splitlines()]
    assert {record["verdict"] for record in waiting} == {"waiting", "unread"}
    assert counted["lines"].keys() == {"held", "rule", "ended"}
    assert counted["lines"]["held"] > 7000
    assert same(copied)


DAY = date(2026, 11, 22)
Files = dict[str, bytes]


@pytest.fixture(scope="module")
def held(wheels: Path) -> Sources:
    """The sources of the pinned packages."""
    return sources((), wheels)


@pytest.fixture(scope="module")
def files() -> Files:
    """The shipped files."""
    return {path.name: path.read_bytes() for path in SEED.glob("*.csv")}


def test_a_figure_altered_in_the_files_is_found_against_its_source(
    held: Sources, files: Files
) -> None:
    """Every kind of evidence: a meter of the provider, two packages that agree, one package alone."""
    whole = lines.read(files["azure.csv"])
    spoilt = []
    for evidence in ("authoritative", "corroborated", "single"):
        line = next(
            made
            for made in whole
            if made["evidence"] == evidence and not lines.by_rule(made) and not made["valid_to"]
        )
        line["price"] = "123.456"
        spoilt.append(line["model"])
    outcome = refresh(files | {"azure.csv": lines.write(whole)}, held, DAY)
    found = [d.before["model"] for d in outcome.deltas] + [
        d.line["model"] for d in outcome.disputes
    ]
    assert sorted(found) == sorted(spoilt)


def without_model(files: Files, model: str) -> tuple[Files, dict[tuple[str, ...], str]]:
    """The files without a model; its figures by key, where a source states them and they are open-ended."""
    whole = lines.read(files["bedrock.csv"])
    rest = lines.write(line for line in whole if line["model"] != model)
    taken = [line for line in whole if line["model"] == model]
    assert taken
    return files | {"bedrock.csv": rest}, figures_of(
        line for line in taken if "bare id" not in line["source_ref"]
    )


def figures_of(whole: Iterable[lines.Cells]) -> dict[tuple[str, ...], str]:
    return {
        (*lines.key_of(line).terms, line["unit"], line["context_gt"]): line["price"]
        for line in whole
        if not lines.by_rule(line) and not line["valid_to"]
    }


def test_a_model_taken_out_of_the_files_is_proposed_again_at_the_same_prices(
    held: Sources, files: Files
) -> None:
    model = "anthropic.claude-sonnet-4-6"
    spoilt, figures = without_model(files, model)
    _, growth = refreshed(spoilt, held, DAY, [f"bedrock/{model}"])
    back = [made for made in lines.read(growth.files["bedrock.csv"]) if made["model"] == model]
    found = figures_of(back)
    assert len(figures) > 20
    assert {key: found.get(key) for key in figures} == figures
    assert {made["scope"] for made in back if made["price"] == "=output_text"} >= {"geo", "global"}


def test_what_only_one_source_knows_waits_until_a_person_accepts_it(
    held: Sources, files: Files
) -> None:
    model = "zai.glm-4.7"
    spoilt, figures = without_model(files, model)
    _, growth = refreshed(spoilt, held, DAY)
    waiting = [made for made in growth.waiting if made["model"] == model]
    assert {made["price"] for made in waiting} == set(figures.values())
    assert not any(made["model"] == model for made in growth.added)
    _, growth = refreshed(spoilt, held, DAY, [f"bedrock/{model}"])
    assert not any(made["model"] == model for made in growth.waiting)
    assert any(made["model"] == model for made in growth.added)


def test_without_write_nothing_is_written_and_another_content_is_refused(
    run: Run, wheels: Path, copied: Path
) -> None:
    before = {path.name: path.read_bytes() for path in copied.glob("*.csv")}
    assert run("--wheels", str(wheels), "--folder", str(copied), "--on", "2027-03-01").status == 0
    assert {path.name: path.read_bytes() for path in copied.glob("*.csv")} == before
    done = run("--package", "litellm==0.0.1", "--wheels", str(wheels))
    assert (done.status, "no such wheel" in done.err) == (2, True)
    done = run("--package", "leftpad==1")
    assert (done.status, "NAME==VERSION" in done.err) == (2, True)


def test_a_wheel_with_another_content_than_pinned_is_refused(run: Run, tmp_path: Path) -> None:
    import zipfile  # noqa: PLC0415  # one test

    for package in packages(shipped.source_manifest()):
        name = f"{package.name.replace('-', '_')}-{package.version}-py3-none-any.whl"
        with zipfile.ZipFile(tmp_path / name, "w") as made:
            made.writestr(package.member, "{}")
    done = run("--wheels", str(tmp_path))
    assert done.status == 2
    assert "do not use it before you know why" in " ".join(done.err.split())
