"""Kept things under faults: whoever sees an id in a whole answer owns it, and nobody is shown another's, at any await."""

import asyncio
import json
from collections.abc import Callable
from typing import Any, Final

import pytest
from msgspec.structs import replace

from gateway.identity.claim import Claim
from gateway.kernel.errors import UpstreamFailed
from gateway.metering.count import Counter
from gateway.pricing.book import Book
from gateway.wire.messages import Head
from tests.laws.house import PRINCIPAL, House, Script, Steps
from tests.storage.test_work import work

Case = tuple[str, bytes | dict[str, Any], dict[str, Any]]
FORM: Final = (
    b'--x\r\ncontent-disposition: form-data; name="purpose"\r\n\r\nbatch\r\n'
    b'--x\r\ncontent-disposition: form-data; name="file"; filename="f.jsonl"\r\n\r\n'
    b'{"body":{"model":"gpt-4o"}}\r\n--x--\r\n'
)
RESPONSE: Final = {
    "id": "made", "object": "response", "status": "completed", "model": "gpt-4o-2024-11-20", "output": [],
    "usage": {"input_tokens": 9, "output_tokens": 3, "total_tokens": 12},
}  # fmt: skip
CASES: dict[str, Case] = {
    "file": ("/azure/openai/v1/files", FORM, {"id": "made", "object": "file"}),
    "batch": (
        "/azure/openai/v1/batches",
        {"input_file_id": "file-1", "endpoint": "/v1/chat/completions"},
        {"id": "made", "object": "batch", "status": "validating"},
    ),
    "response": ("/azure/openai/v1/responses", {"model": "gpt-4o", "input": "hi"}, RESPONSE),
}
INPUT: Final = Claim(
    "azure/file-1", PRINCIPAL.org, PRINCIPAL.team, "key_1", "azure-all", 0, None, ("gpt-4o",)
)
WORK: Final = work(1, work="azure/azure-all/batch_1", upstream="azure-all")


async def played(
    counter: Counter, book: Book, name: str, at: int | None, act: str, **changes: Any
) -> House:
    path, body, answer = CASES[name]
    raw = json.dumps(answer).encode()
    head = Head(
        200, ((b"content-type", b"application/json"), (b"content-length", b"%d" % len(raw)))
    )
    async with asyncio.TaskGroup() as group:
        steps = Steps(at)
        house = House(counter, book, head, [raw[:20], raw[20:]], steps=steps, group=group)
        house.keys.principal = replace(PRINCIPAL, allow_batches=True, **changes)
        house.resources.keep([INPUT])
        task = group.create_task(_guarded(house, path, body))

        def fail() -> None:
            raise UpstreamFailed("the upstream died")

        acts: dict[str, Callable[[], object]] = {
            "leave": house.presence.leave,
            "cancel": task.cancel,
            "fail": fail,
            "nothing": lambda: None,
        }
        steps.act = acts[act]  # type: ignore[assignment]  # what an act returns does not matter
        await task
    return house


async def _guarded(house: House, path: str, body: Any) -> None:
    kind = b"multipart/form-data; boundary=x" if isinstance(body, bytes) else b"application/json"
    try:
        await house.call(path, body, content_type=kind)
    except (asyncio.CancelledError, UpstreamFailed):
        return


@pytest.mark.parametrize("act", ["leave", "cancel", "fail"])
@pytest.mark.parametrize("name", CASES)
def test_whatever_happens_at_any_await_who_has_the_whole_answer_owns_what_it_made(
    counter: Counter, book: Book, name: str, act: str
) -> None:
    undisturbed = asyncio.run(played(counter, book, name, None, "nothing"))
    assert undisturbed.ended()
    assert undisturbed.resources.claims["azure/made"].team == PRINCIPAL.team
    assert len(undisturbed.resources.works) == (name == "batch")
    for at in range(len(undisturbed.steps.names)):
        house = asyncio.run(played(counter, book, name, at, act))
        if house.ended() and house.status() == 200:
            assert house.resources.claims["azure/made"].team == PRINCIPAL.team
            assert len(house.resources.works) == (name == "batch")
        assert len(house.resources.works) <= 1


def test_the_row_and_the_claim_are_there_before_the_end_is_released(
    counter: Counter, book: Book
) -> None:
    for name in CASES:
        steps = asyncio.run(played(counter, book, name, None, "nothing")).steps.names
        last = len(steps) - 1 - steps[::-1].index("send")
        assert "kept" in steps[:last]
        assert name == "file" or "settle" in steps[: steps.index("kept")]


@pytest.mark.parametrize(
    "changes", [{"team": "other"}, {"org": "other"}, {"models": ("gpt-4o-mini",)}]
)
def test_a_batch_on_anothers_file_or_model_is_not_sent(
    counter: Counter, book: Book, changes: dict[str, Any]
) -> None:
    house = asyncio.run(played(counter, book, "batch", None, "nothing", **changes))
    assert house.status() == (403 if "models" in changes else 404)
    assert (house.upstreams.consumed, house.spool.settled, house.spool.intents) == ([], [], {})


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize(
    "path",
    [
        "/azure/openai/v1/responses/input_tokens",
        "/google/v1beta/models/gemini-2.5-flash:countTokens",
        "/bedrock/model/amazon.nova-pro-v1:0/count-tokens",
        "/azure/openai/v1/responses",
    ],
)
def test_a_body_that_hides_what_it_names_is_not_sent(
    counter: Counter, book: Book, path: str, encoding: str
) -> None:
    text = '{"model":"gpt-4o","previous_response_id":"resp_of_another_team"}'

    async def sent(body: bytes) -> House:
        async with asyncio.TaskGroup() as group:
            house = House(counter, book, Head(200, ()), [b"{}"], group=group)
            await house.call(path, body)
        return house

    assert asyncio.run(sent(text.encode())).status() == 404
    hidden = asyncio.run(sent(text.encode(encoding)))
    assert hidden.status() == 400
    assert b"UTF-8" in hidden.body() or path.endswith("responses")
    assert hidden.upstreams.consumed == []


def test_a_file_of_a_batch_that_is_not_booked_is_not_deleted(counter: Counter, book: Book) -> None:
    made_s = 1_795_000_000
    open_work = replace(WORK, made_us=made_s * 1_000_000)

    async def deleted(claim: Claim | None, told: dict[str, Any], **changes: Any) -> House:
        raw = json.dumps({"id": "file-1", "object": "file", **told}).encode()
        async with asyncio.TaskGroup() as group:
            house = House(counter, book, Head(200, ()), [raw], group=group)
            house.keys.principal = replace(PRINCIPAL, **changes)
            house.resources.works.append(open_work)
            house.resources.keep([] if claim is None else [claim])
            await house.call("/azure/openai/v1/files/file-1", b"", method="DELETE")
        return house

    written = replace(INPUT, work=open_work.work)
    unread = replace(INPUT, models=None)
    shared = {"allow_shared": True}
    results: dict[str, Any] = {"purpose": "batch_output", "created_at": made_s}
    cases: list[tuple[Claim | None, dict[str, Any], dict[str, Any], int]] = [
        (written, {}, {}, 409),
        (replace(INPUT, work="azure/azure-all/batch_2"), {}, {}, 200),  # booked
        (INPUT, {}, {}, 200),
        (written, {}, {"team": "other"}, 404),
        (None, {}, {}, 404),
        *(
            (claim, told, changes, status)
            for claim, changes in ((None, shared), (unread, {}))
            for told, status in (
                ({}, 409),
                (results, 409),
                (results | {"created_at": "now"}, 409),
                (results | {"created_at": made_s - 601}, 200),  # older than the batch
                (results | {"purpose": "assistants"}, 200),
            )
        ),
    ]
    for claim, told, changes, status in cases:
        house = asyncio.run(deleted(claim, told, **changes))
        assert house.status() == status
        passed = [target for target in house.upstreams.consumed if target.method == b"DELETE"]
        assert len(passed) == (status == 200)


@pytest.mark.parametrize("answer", [500, 404, UpstreamFailed("the upstream died")])
def test_where_nobody_says_what_a_file_is_it_is_not_deleted(
    counter: Counter, book: Book, answer: Any
) -> None:
    async def deleted() -> House:
        head = Head(answer if isinstance(answer, int) else 200, ())
        async with asyncio.TaskGroup() as group:
            house = House(counter, book, head, [b"{}"], group=group)
            if isinstance(answer, UpstreamFailed):
                house.upstreams.by_name = {"azure-all": Script(fails=answer)}
            house.keys.principal = replace(PRINCIPAL, allow_shared=True)
            house.resources.works.append(replace(WORK, made_us=0))
            await house.call("/azure/openai/v1/files/file-1", b"", method="DELETE")
        return house

    house = asyncio.run(deleted())
    methods = [target.method for target in house.upstreams.consumed]
    if answer == 404:  # the provider's own word for it
        assert (house.status(), methods) == (404, [b"GET", b"DELETE"])
    else:
        assert (house.status(), methods) == (502, [b"GET"])
    assert house.spool.settled == []
