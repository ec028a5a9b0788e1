"""Uploads: an input file of batches is read line by line for its models; of any other file only the id matters."""

import json
from typing import Any

import pytest
from hypothesis import given, strategies as st

from gateway.dialects.contract import NAME_CHARS_MAX, Request
from gateway.dialects.openai_files import UPLOAD
from gateway.kernel.errors import MalformedBody
from tests.dialects.answers import read, whole

TYPE = b"multipart/form-data; boundary=edge"


def form(content: bytes, purpose: str = "batch", name: str = "file") -> bytes:
    return (
        b'--edge\r\nContent-Disposition: form-data; name="purpose"\r\n\r\n%b\r\n'
        b'--edge\r\nContent-Disposition: form-data; name="%b"; filename="in.jsonl"\r\n\r\n%b\r\n--edge--\r\n'
    ) % (purpose.encode(), name.encode(), content)


def line(model: str, **members: Any) -> bytes:
    return json.dumps({"custom_id": "1", "body": {"model": model, **members}}).encode()


@given(
    models=st.lists(st.sampled_from(["gpt-4o", "gpt-4o-mini", "ü"]), min_size=1, max_size=8),
    end=st.sampled_from([b"\n", b"\r\n", b"\n\n", b"\n  \n"]),
    last=st.sampled_from([b"", b"\n"]),
)
def test_every_model_of_every_line_is_named_once(
    models: list[str], end: bytes, last: bytes
) -> None:
    content = end.join(map(line, models)) + last
    assert UPLOAD.read_request(form(content), TYPE).named == tuple(dict.fromkeys(models))


def test_what_the_lines_name_is_named_by_the_file() -> None:
    content = line("m", previous_response_id="r1") + b"\n" + line("m", input=[{"file_id": "f1"}])
    assert UPLOAD.read_request(form(content), TYPE).refers == {"r1", "f1"}


def test_another_purpose_is_not_looked_into() -> None:
    assert UPLOAD.read_request(form(b"anything", "user_data"), TYPE) == Request()


@pytest.mark.parametrize(
    "searching",
    [
        b'"data_sources":[{"type":"azure_search","parameters":{}}]',
        b'"data\\u005fsources":[{"type":"azure_search","parameters":{}}]',
        b'"tools":[{"type":"azure_ai_search","project_connection_id":"c"}]',
    ],
)
def test_a_line_that_searches_as_the_gateway_is_refused(searching: bytes) -> None:
    content = line("m") + b'\n{"body":{"model":"m",' + searching + b"}}"
    with pytest.raises(MalformedBody, match="line 2 of the file has a store searched"):
        UPLOAD.read_request(form(content), TYPE)


@pytest.mark.parametrize(
    "content",
    [
        b"not json",
        b"[]",
        b"{}",
        b'{"body":{}}',
        b'{"body":{"model":null}}',
        b'{"body":[{"model":"m"}]}',
        b'{"body":{"model":"m","model":"n"}}',
        b'{"body":{"model":"m"},"body":{"model":"n"}}',
        b'{"body":{"model":"m"},"Body":{"model":"n"}}',
        line("m") + b"\n" + b'{"body":{"model":""}}',
        b"\n".join(line(f"m{number}") for number in range(65)),
        line("m" * (NAME_CHARS_MAX + 1)),
    ],
)
def test_a_line_that_could_hide_a_model_is_refused(content: bytes) -> None:
    with pytest.raises(MalformedBody, match=r"line|64 models"):
        UPLOAD.read_request(form(content), TYPE)


@pytest.mark.parametrize(
    "body",
    [form(line("m"), name="attachment"), form(line("m")).replace(b"--edge--", b"--edge"), b"none"],
)
def test_a_form_without_its_one_file_is_refused(body: bytes) -> None:
    with pytest.raises(MalformedBody):
        UPLOAD.read_request(body, TYPE)


def test_the_id_under_which_it_is_kept_is_what_was_made() -> None:
    assert read(UPLOAD, whole({"id": "file-1", "object": "file"})).made == ("file-1",)
    assert read(UPLOAD, whole({"error": {"message": "no"}})).made == ()
