"""The output file of a batch: the sum of its lines, however the file is cut on its way."""

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from gateway.dialects.contract import Request
from gateway.dialects.openai_batch_output import RESULTS
from gateway.metering.meter import Reading
from tests.dialects.answers import head, odd_values


def line(usage: Any, model: str = "gpt-4o", status: int = 200) -> bytes:
    body = {"model": model, "usage": usage}
    return json.dumps({"response": {"status_code": status, "body": body}, "error": None}).encode()


def read(*chunks: bytes) -> Reading:
    meter = RESULTS.meter(Request(works_on="batch_1"), head("application/octet-stream"))
    for chunk in chunks:
        meter.feed(chunk)
    return meter.read()


def of(asked: int, written: int) -> dict[str, int]:
    return {"prompt_tokens": asked, "completion_tokens": written, "total_tokens": asked + written}


FILE = b"\r\n".join(
    [
        line(of(10, 5)),
        line({"input_tokens": 7, "output_tokens": 2, "total_tokens": 9}, "gpt-5.4"),
        b"",
        line(of(1000, 1000), status=400),
        line({"prompt_tokens": 4, "total_tokens": 4}, "text-embedding-3-small"),
        line(of(20, 1)),
    ]
)


@given(places=st.lists(st.integers(0, len(FILE)), max_size=12))
def test_the_sum_by_model_does_not_depend_on_the_cuts(places: list[int]) -> None:
    ends = sorted({0, len(FILE), *places})
    reading = read(*[FILE[start:end] for start, end in pairwise(ends)])
    assert [(part.model, part.counts) for part in reading.components] == [
        (None, {"input_text": 30, "output_text": 6}),
        ("gpt-5.4", {"input_text": 7, "output_text": 2}),
        ("text-embedding-3-small", {"input_text": 4}),
    ]
    assert (reading.model, reading.tier, reading.work_id) == ("gpt-4o", "batch", "batch_1")
    assert (reading.final, reading.work_ended, reading.flags) == (True, True, ())
    assert read(*[FILE[at : at + 1] for at in range(len(FILE))]).components == reading.components


@pytest.mark.parametrize(
    ("odd", "flag"),
    [
        (line({"prompt_tokens": -1, "completion_tokens": 1}), "usage_invalid"),
        (line(None), "usage_unsaid"),
        (b"{not json", "blind"),
    ],
)
def test_a_line_that_does_not_say_it_is_flagged_and_the_others_count(odd: bytes, flag: str) -> None:
    reading = read(line(of(10, 5)) + b"\n" + odd + b"\n" + line(of(1, 1)))
    assert reading.components[0].counts == {"input_text": 11, "output_text": 6}
    assert reading.flags == (flag,)


def test_a_file_of_refusals_has_used_nothing() -> None:
    reading = read(line(of(10, 5), status=429))
    assert (reading.components, reading.final, reading.work_ended) == ((), True, True)
    assert read().components == ()


def test_a_line_of_megabytes_says_its_usage_all_the_same() -> None:
    body = {"model": "m", "data": [{"embedding": "A" * (40 << 20)}], "usage": of(9, 0)}
    long = json.dumps({"response": {"status_code": 200, "body": body}}).encode()
    reading = read(
        line(of(1, 1)), b"\n", *[long[at : at + (1 << 20)] for at in range(0, len(long), 1 << 20)]
    )
    assert reading.components[0].counts["input_text"] == 10


@settings(max_examples=100, deadline=None)
@given(value=odd_values)
def test_no_line_makes_it_raise(value: Any) -> None:
    read(line(value), b"\n", json.dumps(value).encode())
