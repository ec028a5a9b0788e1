"""Two teams behind one upstream credential: each sees what its own keys made, through an unmodified SDK."""

import io
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import openai
import pytest
from openai import OpenAI

from tests.serving import Running, deployments, serving, serving_app
from tests.storage.kept_cloud import KeepingCloud

DEPLOYED = deployments(
    ("gpt-4o", "gpt-4o-2024-11-20", "global"), ("gpt-4o-mini", "gpt-4o-mini", "global")
)


class Two(NamedTuple):
    running: Running
    cloud: KeepingCloud
    ours: Any  # OpenAI clients, asked for more than their types allow
    theirs: Any
    shared: Any
    narrow: Any


@pytest.fixture
def two(url: str, tmp_path: Path) -> Iterator[Two]:
    cloud = KeepingCloud()
    with ExitStack() as stack:
        upstream = stack.enter_context(serving_app(cloud))
        running = stack.enter_context(serving(tmp_path, upstream, DEPLOYED, database=url))
        made = running.make_keys(
            {"team": "search", "allow_batches": True},
            {"team": "platform", "allow_batches": True, "allow_shared": True},
            {"team": "core", "allow_batches": True, "models": ("gpt-4o-mini",)},
        )
        keys = [running.key.key, *(each.key for each in made)]
        clients = [
            stack.enter_context(
                closing(
                    OpenAI(base_url=f"{running.url}/azure/openai/v1", api_key=key, max_retries=0)
                )
            )
            for key in keys
        ]
        yield Two(running, cloud, *clients)


def lines(*models: str, **members: Any) -> tuple[str, io.BytesIO]:
    rows = [
        {"custom_id": m, "url": "/v1/chat/completions", "body": {"model": m, **members}}
        for m in models
    ]
    return "in.jsonl", io.BytesIO("\n".join(map(json.dumps, rows)).encode())


def uploaded(client: Any, *models: str) -> str:
    return str(client.files.create(file=lines(*(models or ("gpt-4o",))), purpose="batch").id)


def batched(client: Any, file: str) -> str:
    endpoint = "/v1/chat/completions"
    made = client.batches.create(input_file_id=file, endpoint=endpoint, completion_window="24h")
    return str(made.id)


def test_what_one_team_made_is_not_there_for_another(two: Two) -> None:
    ours, theirs, cloud = two.ours, two.theirs, two.cloud
    file = uploaded(ours)
    batch = batched(ours, file)
    answer = ours.responses.create(model="gpt-4o", input="weigh")
    asked = len(cloud.seen)
    again = {"model": "gpt-4o", "input": "on"}
    part = {"role": "user", "content": [{"type": "input_file", "file_id": file}]}
    item = {"type": "item_reference", "id": answer.output[0].id}
    by_id = [
        {"id": item["id"]},
        {"id": item["id"], "type": "image_generation_call"},
        {"id": item["id"], "type": "reasoning", "summary": []},
    ]
    reaching: list[Callable[[Any], Any]] = [
        lambda c: c.files.retrieve(file),
        lambda c: c.files.content(file),
        lambda c: c.files.delete(file),
        lambda c: c.batches.retrieve(batch),
        lambda c: c.batches.cancel(batch),
        lambda c: batched(c, file),
        lambda c: c.responses.retrieve(answer.id),
        lambda c: c.responses.delete(answer.id),
        lambda c: c.responses.create(**again, previous_response_id=answer.id),
        lambda c: c.responses.create(model="gpt-4o", input=[part]),
        lambda c: c.responses.create(model="gpt-4o", input=[item]),
        *(
            partial(lambda named, c: c.responses.create(model="gpt-4o", input=[named]), named)
            for named in by_id
        ),
        lambda c: c.files.retrieve("file-nobody"),
        lambda c: c.responses.create(**again, conversation="conv_nobody"),
        lambda c: c.responses.create(
            **again, tools=[{"type": "file_search", "vector_store_ids": ["vs_nobody"]}]
        ),
    ]
    for reach in reaching:
        with pytest.raises(openai.NotFoundError) as refused:
            reach(theirs)
        assert refused.value.code == "unknown_resource"
    assert len(cloud.seen) == asked
    assert ours.batches.retrieve(batch).status == "in_progress"
    assert ours.responses.create(**again, previous_response_id=answer.id).id
    assert ours.responses.create(model="gpt-4o", input=[item, part, *by_id]).id
    assert ours.responses.retrieve(answer.id).id == answer.id
    assert two.narrow.files.retrieve(file).id == file  # another key of the same team
    assert two.shared.files.retrieve(file).id == file
    assert ours.files.delete(file).deleted


def test_what_a_hosted_tool_found_for_one_team_is_not_there_for_another(two: Two) -> None:
    two.cloud.searches = 200
    found = two.ours.responses.create(model="gpt-4o", input="weigh").output[-1].model_dump()
    assert found["type"] == "web_search_call"
    for item in (found, {"type": "web_search_call", "id": found["id"]}):
        with pytest.raises(openai.NotFoundError, match=found["id"]):
            two.theirs.responses.create(model="gpt-4o", input=[item])
        assert two.ours.responses.create(model="gpt-4o", input=[item]).id
    # An answer that nobody keeps is nobody's: its conversation goes on as the client has it.
    kept_by_nobody = two.theirs.responses.create(model="gpt-4o", input="weigh", store=False)
    item = kept_by_nobody.output[-1].model_dump()
    assert two.theirs.responses.create(model="gpt-4o", input=[item], store=False).id


def test_a_listing_of_everybodys_things_needs_a_key_that_may(two: Two) -> None:
    uploaded(two.ours)
    for refuses in (two.ours.files.list, two.ours.batches.list, two.ours.chat.completions.list):
        with pytest.raises(openai.PermissionDeniedError, match="--allow-shared"):
            refuses()
    assert [each.id for each in two.shared.files.list()] == ["file-1"]


def test_what_a_batch_wrote_belongs_to_who_made_the_batch(two: Two) -> None:
    batch = batched(two.ours, uploaded(two.ours))
    two.cloud.status = "completed"
    seen = two.shared.batches.retrieve(batch)  # a key of another team that may look
    assert seen.output_file_id is not None
    assert two.ours.files.content(seen.output_file_id).read()
    with pytest.raises(openai.NotFoundError):
        two.theirs.files.content(seen.output_file_id)


def test_a_batch_uses_no_model_that_its_key_may_not(two: Two) -> None:
    narrow = two.narrow
    batched(narrow, uploaded(narrow, "gpt-4o-mini", "gpt-4o-mini"))
    mixed = uploaded(narrow, "gpt-4o-mini", "gpt-4o")
    with pytest.raises(openai.PermissionDeniedError, match="may not use 'gpt-4o'"):
        batched(narrow, mixed)
    batched(two.ours, mixed)
    with pytest.raises(openai.NotFoundError, match="no deployment named 'unheard'"):
        batched(two.ours, uploaded(two.ours, "unheard"))
    with pytest.raises(openai.BadRequestError, match="line 2 of the file names no model"):
        two.ours.files.create(
            file=("f.jsonl", b'{"body":{"model":"gpt-4o"}}\n{"body":{}}'), purpose="batch"
        )
    other = two.ours.files.create(file=("f.jsonl", b"anything"), purpose="user_data")
    with pytest.raises(openai.PermissionDeniedError, match='with purpose "batch"'):
        batched(two.ours, other.id)
    with pytest.raises(openai.PermissionDeniedError, match="through this gateway"):
        batched(two.shared, "file-from-elsewhere")


def test_what_a_batch_files_lines_name_must_be_the_teams_own(two: Two) -> None:
    theirs = uploaded(two.theirs)
    content = [{"role": "user", "content": [{"type": "file", "file": {"file_id": theirs}}]}]
    with pytest.raises(openai.NotFoundError):
        two.ours.files.create(file=lines("gpt-4o", messages=content), purpose="batch")
    assert two.theirs.files.create(file=lines("gpt-4o", messages=content), purpose="batch").id


@pytest.mark.parametrize("odd", ["\0", "x" * 5_000, "\u202e"], ids=["zero", "long", "bidi"])
def test_a_thing_is_its_teams_own_whatever_its_provider_calls_it(two: Two, odd: str) -> None:
    """An id that no database takes as it is must cost no other team's claim, and no row of what a batch used."""
    file = uploaded(two.ours)
    two.cloud._prefix = odd
    made = batched(two.ours, file), uploaded(two.ours)
    two.cloud._prefix = ""
    theirs = uploaded(two.theirs)
    assert all(odd in name for name in made)
    assert batched(two.theirs, theirs)
    with pytest.raises(openai.NotFoundError):
        batched(two.ours, theirs)
    assert {row.team for row in two.running.rows(2)} == {"core", "search"}


def test_an_id_that_no_database_takes_is_nobodys(two: Two) -> None:
    again: Any = {"model": "gpt-4o", "input": "on", "previous_response_id": "resp_\0"}
    asked = len(two.cloud.seen)
    with pytest.raises(openai.NotFoundError, match="was made through this gateway"):
        two.ours.responses.create(**again)
    with pytest.raises(openai.BadRequestError, match="no zero byte"):
        uploaded(two.ours, "gpt-4o\0")
    assert len(two.cloud.seen) == asked
