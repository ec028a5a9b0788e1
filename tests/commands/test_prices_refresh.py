"""The shipped price files against the very packages they name: nothing may differ in a byte."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from gateway import shipped
from gateway.__main__ import main
from gateway.catalog.manifest import packages

Run = Callable[..., SimpleNamespace]
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
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run one command line in this process; its status, its output, its error output."""

    def command(*words: str) -> SimpleNamespace:
        monkeypatch.setattr(sys, "argv", ["weighbridge", "prices", "refresh", *words])
        capsys.readouterr()
        try:
            main()
            status = 0
        except SystemExit as ended:
            status = int(ended.code or 0)
        out, err = capsys.readouterr()
        return SimpleNamespace(status=status, out=out, err=err)

    return command


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """The shipped files, to be spoilt."""
    for path in SEED.glob("*.csv"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path


def same(folder: Path) -> bool:
    return all(
        (folder / path.name).read_bytes() == path.read_bytes() for path in SEED.glob("*.csv")
    )


def test_a_refresh_from_the_pinned_packages_reproduces_the_shipped_files_byte_for_byte(
    run: Run, wheels: Path, copied: Path
) -> None:
    done = run(
        "--wheels", str(wheels), "--folder", str(copied), "--on", "2026-11-22", "--write", "--json"
    )
    assert done.status == 0, done.out[-2000:]
    (counted,) = [json.loads(line) for line in done.out.splitlines()]
    assert counted["lines"].keys() == {"held", "rule", "ended"}
    assert counted["lines"]["held"] > 6000
    assert same(copied)


def test_a_figure_altered_in_the_files_is_found_against_its_source(
    run: Run, wheels: Path, copied: Path
) -> None:
    """Every kind of evidence: a meter of the provider, two packages that agree, one package alone."""
    path = copied / "azure.csv"
    lines = path.read_text(encoding="utf-8").splitlines()
    spoilt = []
    for evidence in ("authoritative", "corroborated", "single"):
        at, line = next(
            (i, text)
            for i, text in enumerate(lines)
            if text.endswith(f",{evidence}")
            and ",USD,2026" in text
            and "=" not in text.split(",")[8]
        )
        cells = line.split(",")
        cells[8] = "123.456"
        lines[at] = ",".join(cells)
        spoilt.append(cells[1])
    path.write_text("\n".join([*lines, ""]), encoding="utf-8")
    done = run("--wheels", str(wheels), "--folder", str(copied), "--on", "2026-11-22", "--json")
    records = [json.loads(line) for line in done.out.splitlines()]
    found = [r for r in records if r["verdict"]]
    assert len(found) == 3
    assert {(r.get("line") or r["before"])["model"] for r in found} == set(spoilt)
    assert done.status == 1


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
