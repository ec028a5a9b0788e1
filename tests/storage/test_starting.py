"""How a gateway starts, or says why it does not: the real command, in processes of its own, on both databases."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

from gateway.commands.doctor import _findings
from gateway.pricing.book import Book
from gateway.storage.migrate import upgrade
from tests.storage.conftest import on_server
from tests.storage.test_fitness import recovering

ROOT: Final = Path(__file__).parents[2]
NOBODY: Final = "postgresql://nobody@127.0.0.1:9/none"  # the discard port: nothing listens there
BANNER: Final = "Weighbridge on http"
PATIENCE_S: Final = 60.0
ENDED_S_MAX: Final = 5.0  # on a busy machine; before, it was the 15 s of an ending by force


class Ended(NamedTuple):
    """What a command left behind."""

    status: int
    out: str
    err: str

    def says_once(self, *sentences: str) -> bool:
        """Status 2, nothing on stdout, and on stderr a line for each sentence, with its mark."""
        lines = self.err.splitlines()
        matched = len(lines) == len(sentences) and all(
            line.startswith("✗ ") and sentence in line
            for line, sentence in zip(lines, sentences, strict=True)
        )
        return (self.status, self.out) == (2, "") and matched


def written(folder: Path, server: str = "", *, url: str = "", rest: str = "") -> Path:
    path = folder / "weighbridge.toml"
    storage = f'[storage]\nfolder = "{folder / "var"}"\nurl = "{url}"\n'
    path.write_text(f"[server]\n{server}\n{storage}{rest}", encoding="utf-8")
    return path


def ran(*words: str, root: Path = ROOT) -> Ended:
    done = subprocess.run(
        [sys.executable, "-m", "gateway", *words],
        cwd=root, capture_output=True, text=True, timeout=PATIENCE_S, check=False,
        env={**os.environ, "PYTHONPATH": str(root), "COLUMNS": "80"},
    )  # fmt: skip
    return Ended(done.returncode, done.stdout, done.stderr)


def serve(path: Path, *, root: Path = ROOT) -> Ended:
    return ran("serve", "--config", str(path), root=root)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Started:
    """A gateway that runs in a process of its own, with what it says in files."""

    def __init__(self, process: "subprocess.Popen[bytes]", folder: Path) -> None:
        self.process = process
        self._folder = folder

    @property
    def out(self) -> str:
        return (self._folder / "out").read_text(encoding="utf-8")

    @property
    def err(self) -> str:
        return (self._folder / "err").read_text(encoding="utf-8")

    def until(self, reached: Any, seconds: float = PATIENCE_S) -> None:
        deadline = time.monotonic() + seconds
        while not reached():
            assert time.monotonic() < deadline, self.out + self.err
            time.sleep(0.02)


def diagnosed(path: Path, *, root: Path = ROOT) -> tuple[int, list[dict[str, str]]]:
    """The doctor's status and findings; it never ends in a traceback."""
    ended = ran("doctor", "--json", "--config", str(path), root=root)
    assert "Traceback" not in ended.err
    return ended.status, [json.loads(line) for line in ended.out.splitlines()]


def failed(findings: list[dict[str, str]]) -> dict[str, str]:
    return {one["found"]: one["cure"] for one in findings if one["state"] == "fail"}


@contextmanager
def started(path: Path) -> Iterator[Started]:
    folder = path.parent
    with (folder / "out").open("wb") as out, (folder / "err").open("wb") as err:
        process = subprocess.Popen(
            [sys.executable, "-m", "gateway", "serve", "--config", str(path)],
            cwd=ROOT, stdout=out, stderr=err,
        )  # fmt: skip
        try:
            yield Started(process, folder)
        finally:
            process.terminate()
            process.wait(timeout=PATIENCE_S)


def test_a_port_in_use_is_said_once_before_anything_is_promised(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        ended = serve(written(tmp_path, f"port = {port}"))
    assert ended.says_once(f"server.port: {port} on 127.0.0.1 is in use; stop what listens there")


def test_everything_that_is_in_the_way_of_listening_is_said_at_once(tmp_path: Path) -> None:
    certificate = tmp_path / "c.pem"
    server = f'host = "300.1.1.1"\ntls_certificate = "{certificate}"\ntls_key = "{certificate}"'
    ended = serve(written(tmp_path, server))
    assert ended.says_once(
        "server.host: '300.1.1.1' is no address of this machine; expected one such as 127.0.0.1",
        f"server.tls_certificate: {certificate}: No such file or directory; expected a PEM file",
    )
    certificate.write_text("no certificate", encoding="utf-8")
    ended = serve(written(tmp_path, server.replace("300.1.1.1", "127.0.0.1")))
    assert ended.says_once("expected a certificate and its own key, both PEM")


@pytest.mark.parametrize("damage", ["missing", "damaged"])
def test_a_vocabulary_that_is_not_whole_is_named(tmp_path: Path, damage: str) -> None:
    root = tmp_path / "installed"
    shutil.copytree(ROOT / "gateway", root / "gateway")
    shutil.copytree(ROOT / "migrations", root / "migrations")
    (file,) = root.rglob("o200k_base.tiktoken.gz")
    file.unlink() if damage == "missing" else file.write_bytes(b"damaged")
    ended = serve(written(tmp_path, f"port = {free_port()}"), root=root)
    assert ended.says_once(f"{file}: vocabulary o200k_base is damaged")
    assert "reinstall the weighbridge package" in ended.err


def test_a_database_of_another_kind_is_refused(tmp_path: Path) -> None:
    rest = '[upstreams.a]\nprovider = "azur"\n'
    ended = serve(written(tmp_path, f"port = {free_port()}", url="mysql://x", rest=rest))
    assert ended.says_once(
        "upstreams.a.provider: expected one of azure, bedrock, google, found 'azur'",
        "storage.url: expected sqlite+aiosqlite:///path/to/file or postgresql://user@host/database, found 'mysql'",
    )


def test_a_database_that_is_away_is_said_once(tmp_path: Path) -> None:
    ended = serve(written(tmp_path, f"port = {free_port()}", url=NOBODY))
    assert ended.says_once("ConnectionRefusedError; start it, or mend storage.url")


def test_a_damaged_file_of_sqlite_is_named_with_what_to_do(tmp_path: Path) -> None:
    path = written(tmp_path, f"port = {free_port()}")
    file = tmp_path / "var" / "weighbridge.db"
    file.parent.mkdir()
    file.write_bytes(b"garbage, not a database" * 1000)
    said = f"{file} is no sound SQLite database: file is not a database; remove its -wal and -shm and put its backup"
    assert serve(path).says_once(said)
    assert ran("keys", "list", "--config", str(path)).says_once(said)


@pytest.mark.parametrize("dialect", ["postgres"])
def test_a_database_that_nobody_migrated_is_said_once(tmp_path: Path, empty_url: str) -> None:
    ended = serve(written(tmp_path, f"port = {free_port()}", url=empty_url))
    assert ended.says_once("the schema is missing or too old: run `weighbridge migrate`")


@pytest.mark.parametrize("workers", [1, 2])
def test_the_banner_comes_once_it_serves(tmp_path: Path, url: str, workers: int) -> None:
    port = free_port()
    server = f"port = {port}\nworkers = {workers}"
    with started(written(tmp_path, server, url=url)) as gateway:
        gateway.until(lambda: BANNER in gateway.out)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/-/ready", timeout=5) as answer:
            assert answer.status == 200
        gateway.process.send_signal(signal.SIGTERM)
        assert gateway.process.wait(timeout=PATIENCE_S) == 0
        assert (gateway.out.count(BANNER), gateway.err) == (1, "")


def test_a_start_that_waits_for_its_database_ends_at_once_when_told(tmp_path: Path) -> None:
    place = f"port = {free_port()}\nworkers = 2"
    with recovering() as server, started(written(tmp_path, place, url=server.url())) as gateway:
        gateway.until(lambda: "database" in gateway.err)
        asked = time.monotonic()
        gateway.process.send_signal(signal.SIGTERM)
        assert gateway.process.wait(timeout=PATIENCE_S) == 0
        assert time.monotonic() - asked < ENDED_S_MAX
        assert (gateway.out, "Traceback" in gateway.err) == ("", False)


def test_workers_that_cannot_start_are_tried_again_ever_more_rarely(tmp_path: Path) -> None:
    server = f"port = {free_port()}\nworkers = 2"
    with started(written(tmp_path, server, url=NOBODY)) as gateway:
        gateway.until(lambda: gateway.err.count("tried again in 4 s") == 2)
        lines = gateway.err.splitlines()
        assert [line.rpartition(" in ")[2] for line in lines] == ["1 s"] * 2 + ["2 s"] * 2 + ["4 s"] * 2  # fmt: skip
        assert all("ConnectionRefusedError; start it, or mend storage.url" in one for one in lines)
        asked = time.monotonic()
        gateway.process.send_signal(signal.SIGTERM)
        assert gateway.process.wait(timeout=PATIENCE_S) == 0
        assert time.monotonic() - asked < 1  # a pause is not waited for
        assert gateway.out == ""


def test_a_mistake_that_only_a_worker_can_see_ends_all(tmp_path: Path) -> None:
    server = f"port = {free_port()}\nworkers = 2"
    rest = '[quotas]\nengine = "valkey"\nvalkey = "mysql://127.0.0.1"\n'
    ended = serve(written(tmp_path, server, rest=rest))
    assert ended.says_once("quotas.valkey")


_UPSTREAM: Final = """
[upstreams.a]
provider = "azure"
base_url = "http://127.0.0.1:9"
credential = { type = "anonymous" }
"""
_PLACES: Final = {  # what a deployment of gpt-5.4 says of its place → what it lacks, and the cure
    'scope = "global"': ("", ""),
    'scope = "data_zone"\ngeo = "us"': ("", ""),
    'scope = "data_zone"': ("has several prices and its region is not known", "add region = "),
    "": ("says no scope to be priced in", 'add scope = "global"'),
    'scope = "in_region"': ("has no price in scope in_region", "add a price row such as"),
}


def test_the_doctor_names_deployments_that_no_call_could_use_and_the_line_to_add(
    tmp_path: Path,
) -> None:
    deployments = "".join(
        f'[[deployments]]\nname = "d{index}"\nupstream = "a"\nmodel = "gpt-5.4"\n{said}\n'
        for index, said in enumerate(_PLACES)
    )
    status, findings = diagnosed(written(tmp_path, rest=_UPSTREAM + deployments))
    wrong = failed(findings)
    expected = [(f"d{index} on a {lacks}", cure) for index, (lacks, cure) in enumerate(_PLACES.values()) if cure]  # fmt: skip
    assert (status, len(wrong)) == (1, len(expected))
    for (found, said), (lacks, cure) in zip(wrong.items(), expected, strict=True):
        assert (found[: len(lacks)], said[: len(cure)]) == (lacks, cure)


@pytest.mark.parametrize("dialect", ["postgres"])
def test_the_doctor_calls_a_postgres_that_nobody_migrated_by_its_name(
    tmp_path: Path, empty_url: str
) -> None:
    status, findings = diagnosed(written(tmp_path, url=empty_url))
    assert (status, failed(findings)) == (1, {"at revision None": "run weighbridge migrate"})


@pytest.mark.parametrize("dialect", ["postgres"])
def test_the_doctor_says_of_a_replica_that_it_takes_no_writes(tmp_path: Path, url: str) -> None:
    server, _, name = url.rpartition("/")
    on_server(f"{server}/postgres", f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    status, findings = diagnosed(written(tmp_path, url=url))
    (wrong,) = failed(findings).items()
    assert (status, wrong[0]) == (1, "the database is read-only, as a replica is")
    assert wrong[1].startswith("name the primary in storage.url")


def test_the_doctor_makes_the_price_book_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[int] = []
    compiled = Book.compile

    def counted(*rows: Any, **other: Any) -> Book:
        made.append(1)
        return compiled(*rows, **other)

    monkeypatch.setattr(Book, "compile", counted)
    prices = tmp_path / "own.csv"
    head = "provider,model,scope,geo,region,tier,unit,context_gt,price,per,currency,valid_from,valid_to,source,source_ref,evidence"
    prices.write_text(f"{head}\n", encoding="utf-8")
    path = written(tmp_path, rest=f'[prices]\nfiles = ["{prices}"]\n')
    upgrade(f"sqlite:///{tmp_path / 'var' / 'weighbridge.db'}")
    for expected in (1, 2):
        found = {one.check for one in _findings(path) if one.state == "ok"}
        assert found > {"prices", "unpriced"}
        assert len(made) == expected
        prices.write_text(f"{head}\n\n", encoding="utf-8")  # who asks for it after that has it anew


def test_the_doctor_finds_nothing_wrong_with_a_folder_that_no_gateway_has_used(
    tmp_path: Path,
) -> None:
    status, findings = diagnosed(written(tmp_path))
    assert (status, failed(findings)) == (0, {})
    assert "SQLite: will be made at the first start" in {one["found"] for one in findings}


def test_the_doctor_goes_on_where_a_check_cannot(tmp_path: Path) -> None:
    root = tmp_path / "installed"
    shutil.copytree(ROOT / "gateway", root / "gateway")
    (file,) = root.rglob("o200k_base.tiktoken.gz")
    file.unlink()
    path = tmp_path / "weighbridge.toml"
    server = 'host = "300.1.1.1"\ntls_certificate = "/nope.pem"\ntls_key = "/nope.pem"'
    path.write_text(f'[server]\n{server}\n[storage]\nfolder = "/proc/nope"\n', encoding="utf-8")
    status, findings = diagnosed(path, root=root)
    wrong = " | ".join(failed(findings))
    assert status == 2
    assert {one["check"] for one in findings if one["state"] == "ok"} >= {"prices", "clock"}
    for said in ("storage.folder: /proc/nope", "no address of this machine", "server.tls_certificate: /nope.pem", "vocabulary o200k_base is damaged"):  # fmt: skip
        assert said in wrong
