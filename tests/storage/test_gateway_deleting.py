"""A batch's output file is not gone before what it says is booked: the openai SDK downloads and deletes, both stores."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import openai
import pytest
import sqlalchemy as sa

from gateway import app as composition
from gateway.config import Config
from gateway.jobs import poll
from gateway.ledger.entry import Entry, EntryKind
from gateway.storage.tables import RESOURCE
from tests.serving import Running, serving, serving_app
from tests.storage.kept_cloud import MODEL, KeepingCloud
from tests.storage.test_gateway_batches import DEPLOYED, client, left, line_of, until
from tests.storage.test_gateway_kept import batched, uploaded


class One(NamedTuple):
    upstream: str
    running: Running
    cloud: KeepingCloud
    openai: Any  # of the team that makes batches
    patient: Any  # with the SDK's own retries


@pytest.fixture
def one(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[One]:
    """A batch is first looked at after a minute, which no test here waits for."""
    monkeypatch.setattr(poll, "PAUSE_MS", 300)
    cloud = KeepingCloud()
    with ExitStack() as stack:
        upstream = stack.enter_context(serving_app(cloud))
        running = stack.enter_context(serving(tmp_path, upstream, DEPLOYED, database=url))
        plain = stack.enter_context(client(running.url, running.key.key))
        yield One(upstream, running, cloud, plain, plain.with_options(max_retries=2))


def execute(config: Config, statement: sa.Executable) -> None:
    async def run() -> None:
        async with composition.opened(config) as database, database.write() as connection:
            await connection.execute(statement)

    asyncio.run(run())


def finished(one: One) -> str:
    """A batch that has ended, whose object says no usage."""
    name = batched(one.openai, uploaded(one.openai))
    one.cloud.usage, one.cloud.status = None, "completed"
    one.cloud.output = b"\n".join(line_of(MODEL, 100, 10) for _ in range(50))
    return name


def deleted(one: One, by: Any, file: str) -> int:
    """Delete until it passes; how often that was refused."""
    refused: list[openai.ConflictError] = []

    def passes() -> bool:
        try:
            return bool(by.files.delete(file).deleted)
        except openai.ConflictError as error:
            refused.append(error)
            return False

    until(passes)
    assert file in one.cloud.deleted
    for error in refused:
        assert (error.code, error.response.headers["retry-after"]) == ("not_yet_booked", "6")
        assert "in a minute" in error.message
    return len(refused)


def booked(one: One) -> Entry:
    rows = [row for row in one.running.rows(2) if row.settles and row.settles.endswith("/usage")]
    (row,) = rows
    assert {line.unit: line.quantity for line in row.lines} == {
        "input_text": 5_000,
        "output_text": 500,
    }
    assert (row.kind, row.price_status, row.team, row.flags) == (
        EntryKind.USAGE, "priced", "core", (),
    )  # fmt: skip
    assert row.net_pico is not None
    assert row.net_pico > 0
    return row


def test_who_downloads_and_deletes_at_once_is_charged(one: One) -> None:
    name = finished(one)
    file = one.openai.batches.retrieve(name).output_file_id
    assert len(one.openai.files.content(file).read().splitlines()) == 50
    deleted(one, one.openai, file)
    read = f"GET /openai/v1/files/{file}/content"
    seen = one.cloud.seen
    assert seen.count(read) == 2  # the client's, and the gateway's before the deletion
    assert seen.index(f"DELETE /openai/v1/files/{file}") > len(seen) - 1 - seen[::-1].index(read)
    booked(one)
    assert left(one.running.config) == 0


def test_the_sdk_waits_by_itself_until_the_file_may_go(one: One) -> None:
    name = finished(one)
    file = one.openai.batches.retrieve(name).output_file_id
    assert one.patient.files.delete(file).deleted
    booked(one)


def test_a_file_that_no_answer_named_waits_for_every_batch_of_its_upstream(one: One) -> None:
    finished(one)
    key = one.running.make_key(team="platform", allow_shared=True)
    with client(one.running.url, key.key) as shared:
        listed = [file.id for file in shared.files.list() if file.id.startswith("file-out-")]
        assert deleted(one, shared, listed[0]) >= 1
    booked(one)


def test_a_file_that_is_listed_before_its_batch_has_ended_waits_for_its_end(one: One) -> None:
    finished(one)
    one.cloud.status = "finalizing"
    key = one.running.make_key(team="platform", allow_shared=True)
    with client(one.running.url, key.key) as shared:
        (file,) = [each.id for each in shared.files.list() if each.id.startswith("file-out-")]
        for _ in range(2):  # also right after the gateway has looked
            with pytest.raises(openai.ConflictError, match="older than it have ended"):
                shared.files.delete(file)
            until(
                lambda: any(call.startswith("GET /openai/v1/batches/") for call in one.cloud.seen)
            )
            one.cloud.seen.clear()
        one.cloud.status = "completed"
        deleted(one, shared, file)
    booked(one)
    assert left(one.running.config) == 0


def test_results_that_are_older_than_every_open_batch_are_deleted_at_once(one: One) -> None:
    finished(one)
    one.cloud.status, one.cloud.written_s = "finalizing", int(time.time()) - 3600
    key = one.running.make_key(team="platform", allow_shared=True)
    with client(one.running.url, key.key) as shared:
        (file,) = [each.id for each in shared.files.list() if each.id.startswith("file-out-")]
        assert shared.files.delete(file).deleted


def test_a_file_for_something_else_never_waits_and_is_asked_about_only_while_a_batch_is_open(
    one: One,
) -> None:
    def asked(file: str) -> int:
        assert one.openai.files.delete(file).deleted
        return one.cloud.seen.count(f"GET /openai/v1/files/{file}")

    def other() -> str:
        made = one.openai.files.create(file=("a.txt", b"text"), purpose="assistants")
        return str(made.id)

    assert asked(other()) == 0
    batched(one.openai, uploaded(one.openai))
    assert asked(other()) == 1
    with pytest.raises(openai.NotFoundError):
        one.openai.files.delete("file-of-nobody")


def test_an_output_file_whose_batch_nobody_wrote_down_waits_as_well(
    one: One, url: str, tmp_path: Path
) -> None:
    """As claims of earlier versions are: a gateway that starts on their tables does not know whose file it is."""
    name = finished(one)
    one.cloud.content_status = 503
    file = one.openai.batches.retrieve(name).output_file_id
    execute(one.running.config, sa.update(RESOURCE).values(work=None))
    folder = tmp_path / "other"
    folder.mkdir()
    with ExitStack() as stack:
        other = stack.enter_context(serving(folder, one.upstream, DEPLOYED, database=url))
        patient = stack.enter_context(client(other.url, other.key.key))
        for _ in range(2):
            with pytest.raises(openai.ConflictError, match="not booked yet"):
                patient.files.delete(file)
        one.cloud.content_status = 200
        deleted(one, patient, file)
    booked(one)


@pytest.mark.parametrize("status", [404, 403])
def test_only_a_batch_whose_output_is_gone_is_given_up_early(
    one: One, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    monkeypatch.setattr(poll, "LOST_US", 0)
    monkeypatch.setattr(poll, "FIRST_WAIT_US", 100_000)
    name = finished(one)
    one.cloud.content_status = status
    file = one.openai.batches.retrieve(name).output_file_id
    read = f"GET /openai/v1/files/{file}/content"
    if status == 404:
        deleted(one, one.openai, file)
        (row,) = [row for row in one.running.rows(2) if row.kind is EntryKind.UNCONFIRMED]
        assert (row.flags, row.net_pico, row.team) == (("batch_output_lost",), 0, "core")
        assert left(one.running.config) == 0
        return
    until(lambda: one.cloud.seen.count(read) >= 3)
    with pytest.raises(openai.ConflictError):
        one.openai.files.delete(file)
    assert left(one.running.config) == 1
    one.cloud.content_status = 200
    deleted(one, one.openai, file)
    booked(one)


def test_where_the_batch_says_its_usage_nothing_waits(one: One) -> None:
    name = batched(one.openai, uploaded(one.openai))
    one.cloud.status = "completed"
    file = one.openai.batches.retrieve(name).output_file_id
    assert one.openai.files.delete(file).deleted
    assert left(one.running.config) == 0
    row = one.running.rows(2)[1]
    assert (row.operation, row.provider_total, row.price_status) == (
        "batches.retrieve",
        1300,
        "priced",
    )


def test_other_files_are_deleted_as_ever(one: One) -> None:
    file = uploaded(one.openai)
    batched(one.openai, file)
    assert one.openai.files.delete(file).deleted
    assert [call for call in one.cloud.seen if call.startswith("GET")] == []
