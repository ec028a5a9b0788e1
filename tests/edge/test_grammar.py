"""The grammar of request heads as pure functions, over generated targets and fields."""

from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import given, settings, strategies as st

from gateway.edge.grammar import fields_status, fields_text, line_status, target_status

PIECES = st.sampled_from(
    b"/|.|..|%2e|%2E|%2f|%2F|;|%3b|a|%41|%5c|%00|%0d|%|%4|\\|#|<|:|?|@|~| |\x00|\xff".split(b"|")
)


def fields(headers: list[tuple[bytes, bytes]], version: str = "1.1") -> int:
    return fields_status(version, headers, dict(headers), fields_text(headers))


@settings(max_examples=200)
@given(st.lists(PIECES, max_size=12).map(b"".join))
def test_an_accepted_path_has_one_reading(target: bytes) -> None:
    """However a later hop decodes, splits or normalises it, it stays the path that was authorised."""
    if target_status(target):
        return
    path = target.partition(b"?")[0]
    assert path.startswith(b"/")
    assert b"//" not in path
    decoded = unquote_to_bytes(path)
    assert not set(decoded) & {0, 10, 13, ord("\\")}
    segments = decoded.replace(b"\\", b"/").split(b"/")
    assert not [each for each in segments if each.split(b";")[0] in (b".", b"..")]
    assert all(0x21 <= byte < 0x7F for byte in target)


@pytest.mark.parametrize(
    "target",
    [
        b"/",
        b"/azure/openai/deployments/gpt-4o/chat/completions?api-version=2024-10-21",
        b"/bedrock/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A1%3Ainference-profile%2Fx/converse-stream",
        b"/bedrock/model/anthropic.claude-3-5-sonnet-20241022-v2:0/invoke",
        b"/google/v1beta/models/gemini-2.5-pro:streamGenerateContent?alt=sse",
        b"/google/v1/projects/p/locations/l/publishers/anthropic/models/claude@20250514:rawPredict",
        b"/x/.hidden/..twodots/three.../a.b",
        b"/x?next=/../y//z",
    ],
)
def test_the_paths_of_the_sdks_pass(target: bytes) -> None:
    assert target_status(target) == 0


@given(st.binary(max_size=30))
def test_only_known_methods_and_versions_pass(method: bytes) -> None:
    known = method in (b"GET", b"POST", b"PUT", b"PATCH", b"DELETE", b"HEAD", b"OPTIONS")
    assert line_status(method, b"/", "1.1") == (0 if known else 405)
    assert line_status(method, b"/", "2.0") == 505


@given(st.text(alphabet="0123456789abcdefx+-_ ,.\t", max_size=8).map(str.encode))
def test_a_length_is_digits_or_refused(value: bytes) -> None:
    status = fields([(b"host", b"a"), (b"content-length", value)])
    assert status == (0 if value.isdigit() else 400)


@given(st.sampled_from([b"host", b"content-length", b"transfer-encoding", b"expect"]))
def test_a_field_that_frames_or_routes_comes_once(name: bytes) -> None:
    value = {b"content-length": b"1", b"transfer-encoding": b"chunked", b"expect": b"100-continue"}
    field = (name, value.get(name, b"a"))
    assert fields([(b"host", b"b"), field, field]) in (400, 501)


@given(st.binary(max_size=8))
def test_a_control_character_in_any_value_is_refused(value: bytes) -> None:
    """Also in an earlier one of two fields of the same name."""
    headers = [(b"host", b"a"), (b"x", value), (b"x", b"fine")]
    bad = any((byte < 0x20 and byte != 9) or byte == 0x7F for byte in value)
    assert fields(headers) == (400 if bad else 0)
