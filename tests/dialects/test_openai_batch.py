"""Batch objects: their usage is said once the work will not change any more."""

from typing import Any

import pytest

from gateway.dialects.contract import Request
from gateway.dialects.openai_batch import BATCH
from gateway.kernel.errors import MalformedBody
from gateway.metering.meter import Reading
from gateway.metering.usage import Source
from tests.dialects.answers import counts, read, whole

USAGE = {
    "input_tokens": 1000,
    "input_tokens_details": {"cached_tokens": 200},
    "output_tokens": 300,
    "output_tokens_details": {"reasoning_tokens": 100},
    "total_tokens": 1300,
}


def batch(status: str, usage: object = None, **members: Any) -> Reading:
    body = {"id": "batch_1", "object": "batch", "status": status, "usage": usage, **members}
    return read(BATCH, whole(body))


def test_completed_work_is_said_with_its_id_and_tier() -> None:
    reading = batch("completed", USAGE, model="gpt-4o-2024-11-20")
    assert (reading.work_id, reading.tier, reading.model) == (
        "batch_1",
        "batch",
        "gpt-4o-2024-11-20",
    )
    assert counts(reading) == {
        "input_text": 800,
        "cache_read_text": 200,
        "output_text": 200,
        "output_reasoning": 100,
    }
    assert (reading.source, reading.final, reading.balances()) == (Source.PROVIDER, True, True)


@pytest.mark.parametrize("status", ["validating", "in_progress", "finalizing", "cancelling"])
@pytest.mark.parametrize("usage", [None, USAGE], ids=["silent", "running"])
def test_work_under_way_bills_nothing_yet(status: str, usage: object) -> None:
    reading = batch(status, usage)
    assert (reading.components, reading.source, reading.final) == ((), Source.NONE, True)
    assert reading.work_id == "batch_1"


@pytest.mark.parametrize("status", ["failed", "expired", "cancelled"])
def test_work_given_up_bills_what_it_used(status: str) -> None:
    assert batch(status).final
    assert batch(status).components == ()
    assert counts(batch(status, USAGE))["input_text"] == 800


def test_completed_work_without_usage_is_unknown() -> None:
    reading = batch("completed")
    assert (reading.components, reading.final) == ((), False)


@pytest.mark.parametrize("body", [b"[]", b"{}", b'{"object":"list","data":[]}', b"no"])
def test_another_object_says_nothing(body: bytes) -> None:
    reading = read(BATCH, body)
    assert (reading.components, reading.work_id, reading.tier) == ((), None, "batch")


def test_only_a_creation_has_a_body() -> None:
    assert BATCH.read_request(b"", b"") == Request()
    made = BATCH.read_request(b'{"input_file_id":"file-1"}', b"")
    assert made == Request(works_on="file-1")
    with pytest.raises(MalformedBody):
        BATCH.read_request(b'{"input_file_id":"a","input_file_id":"b"}', b"")
