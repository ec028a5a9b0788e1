"""JSON documents: what is refused, what an edit leaves alone, and streams cut anywhere."""

import json
from collections.abc import Callable
from itertools import pairwise
from typing import TypeAlias

import orjson
import pytest
from hypothesis import example, given, settings, strategies as st

from gateway.wire.jsondoc import (
    DEPTH_MAX,
    HEAD_BYTES_MAX,
    TAIL_BYTES_MAX,
    ArrayItems,
    BoundedBody,
    Json,
    MalformedJson,
    arr,
    at,
    member_span,
    obj,
    parse,
    parse_object,
    replace_member,
    splice_member,
    string,
)
from gateway.wire.spelling import HARMLESS_CHARS_MAX, HARMLESS_MAX, spelling

SENSITIVE = ("model", "stream", "stream_options")

NAMES = st.text(max_size=8) | st.sampled_from([*SENSITIVE, "a\\", '"', "}", "é"])
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20)
    | st.sampled_from(['"model":1', "},{", "\\", '\\"', "model"])
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)
PAIRS = st.lists(st.tuples(NAMES, VALUES), max_size=6)
OBJECTS = st.dictionaries(NAMES, VALUES, max_size=6)
BLANKS = st.text(alphabet=" \t\r\n", max_size=3).map(str.encode)


def compact(value: object) -> bytes:
    return orjson.dumps(value)


def as_boto3(value: object) -> bytes:
    return json.dumps(value).encode()


def indented(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, indent=1).encode()


Encoder: TypeAlias = Callable[[object], bytes]
ENCODERS = st.sampled_from([compact, as_boto3, indented])


def cut(raw: bytes, places: list[int]) -> list[bytes]:
    ends = sorted({0, len(raw), *(place % (len(raw) + 1) for place in places)})
    return [raw[start:end] for start, end in pairwise(ends)]


CUTS = st.lists(st.integers(0, 10_000), max_size=8)


# ── reading ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"nothing",
        b'{"a":NaN}',
        b'{"a":1e999}',
        b'\xef\xbb\xbf{"a":1}',
        '{"a":1}'.encode("utf-16"),
        '{"a":1}'.encode("utf-32-le"),
        b'{"a":"\xff"}',
        b'{"a":"\\ud800"}',
        b'{"a":1}}',
        b"[" * 1_000_000,
    ],
    ids=lambda raw: repr(raw[:12]),
)
def test_what_two_parsers_may_read_differently_is_no_document(raw: bytes) -> None:
    with pytest.raises(MalformedJson):
        parse(raw)


def test_an_error_quotes_nothing_of_the_body() -> None:
    with pytest.raises(MalformedJson) as raised:
        parse(b'{"prompt": "canary" canary}')
    assert "canary" not in str(raised.value)


@given(VALUES, ENCODERS)
def test_every_document_is_read_as_it_was_meant(value: Json, encode: Encoder) -> None:
    assert parse(encode(value)) == value


@pytest.mark.parametrize("raw", [b"[]", b'"model"', b"1", b"null"])
def test_a_request_body_must_be_an_object(raw: bytes) -> None:
    with pytest.raises(MalformedJson):
        parse_object(raw, SENSITIVE)


@given(OBJECTS, ENCODERS)
def test_an_object_whose_names_differ_is_accepted(value: dict[str, Json], encode: Encoder) -> None:
    variants = {name for name in value if name.casefold() in SENSITIVE and name not in SENSITIVE}
    plain = {name: part for name, part in value.items() if name not in variants}
    raw = encode(plain)
    assert parse_object(raw, SENSITIVE) == plain


@pytest.mark.parametrize(
    "raw",
    [
        b'{"model":"a","model":"b"}',
        b'{"model":"a","x":{"model":1},"model":"a"}',
        b'{"model":"a","mod\\u0065l":"b"}',
        b'{"mod\\u0065l":"a","\\u006Dodel":"b"}',
        b'{ "mo\\u0064el" : "a" , "x" : "\\\\" , "model" : "b" }',
        b'{"stream":false,"x":[1,2],"stream":true}',
        # As long as it would be with blanks behind its colons and commas, and once only.
        b'{"model":11,"model":22,"a":1,"b":1,"c":1,"d":1,"e":1}',
    ],
)
def test_a_sensitive_name_twice_is_refused_in_any_spelling(raw: bytes) -> None:
    with pytest.raises(MalformedJson, match="twice"):
        parse_object(raw, SENSITIVE)


@pytest.mark.parametrize("name", ["Model", "MODEL", "\u017ftream", "Stream_Options"])
def test_a_sensitive_name_in_another_case_is_refused(name: str) -> None:
    with pytest.raises(MalformedJson, match="another case"):
        parse_object(json.dumps({"model": "a", name: "b"}).encode(), SENSITIVE)


def test_names_that_are_remembered_as_harmless_are_few_and_short() -> None:
    """Twice as many as are remembered, each twice, and then a wrong one, twice."""
    names = [f"x{number}" for number in range(2 * HARMLESS_MAX)] + ["long" * HARMLESS_CHARS_MAX]
    for name in names * 2:
        parse_object(compact({"model": "a", name: 1}), SENSITIVE)
        harmless = spelling(SENSITIVE).harmless
        assert len(harmless) <= HARMLESS_MAX
        assert max(map(len, harmless)) <= HARMLESS_CHARS_MAX
    for _ in range(2):
        with pytest.raises(MalformedJson, match="another case"):
            parse_object(compact({"Model": "a", names[0]: 1}), SENSITIVE)


@pytest.mark.parametrize(
    "raw",
    [
        b'{"model":"a","tools":[{"model":"b","stream":1}],"stream":true}',
        b'{"contents":[{"role":"model"},{"role":"model"}],"model":"a"}',
        b'{"model":"mod\\u0065l","x":"\\u006dodel","temperature":1}',
        b'{"model":"a","text":"\\"model\\":\\"b\\""}',
    ],
)
def test_the_same_word_elsewhere_is_no_duplicate(raw: bytes) -> None:
    assert parse_object(raw, SENSITIVE) == orjson.loads(raw)


@given(OBJECTS, st.sampled_from(SENSITIVE), VALUES, st.sampled_from(["\\u{:04x}", "{:c}"]))
def test_a_second_spelling_of_a_sensitive_name_never_passes(
    value: dict[str, Json], name: str, second: Json, letter: str
) -> None:
    raw = json.dumps({**value, name: 1}).encode()
    spelling = letter.format(ord(name[0])) + name[1:]
    doubled = raw[:-1] + f',"{spelling}":{json.dumps(second)}}}'.encode()
    with pytest.raises(MalformedJson):
        parse_object(doubled, SENSITIVE)


@given(st.integers(1, DEPTH_MAX * 2), st.integers(0, 200))
def test_depth_is_bounded_and_breadth_is_not(depth: int, breadth: int) -> None:
    deep = b"[" * (depth - 1) + b"]" * (depth - 1) if depth > 1 else b"1"
    raw = b'{"a":%b,"b":[%b]}' % (deep, b",".join([b"[]"] * breadth))
    if depth > DEPTH_MAX:
        with pytest.raises(MalformedJson, match="nested"):
            parse_object(raw, SENSITIVE)
    else:
        assert parse_object(raw, SENSITIVE) == orjson.loads(raw)


@given(PAIRS | PAIRS.map(lambda pairs: [*pairs, *pairs[:1]]), ENCODERS, BLANKS)
def test_any_list_of_members_is_judged_and_found_exactly(
    pairs: list[tuple[str, Json]], encode: Encoder, blank: bytes
) -> None:
    pairs = [(name, part) for name, part in pairs if name.casefold() == name]
    members = (encode(name) + blank + b":" + blank + encode(part) for name, part in pairs)
    raw = b"{" + blank + (b"," + blank).join(members) + blank + b"}" + blank
    names = [name for name, _ in pairs]
    if len(set(names)) < len(names):
        with pytest.raises(MalformedJson):
            parse_object(raw, SENSITIVE)
    else:
        assert parse_object(raw, SENSITIVE) == dict(pairs)
    for name, part in dict(pairs).items():
        span = member_span(raw, name)
        assert span is not None
        assert orjson.loads(raw[span[0] : span[1]]) == part


def test_look_ups_give_what_is_there_and_of_the_right_type() -> None:
    document = parse(b'{"o":{"s":"x"},"a":[1,{"b":2}],"s":"t","n":null,"i":3}')
    assert obj(document, "o") == {"s": "x"}
    assert (obj(document, "a"), obj(document, "absent"), obj([], "o")) == ({}, {}, {})
    assert arr(document, "a") == [1, {"b": 2}]
    assert (arr(document, "o"), arr(document, "absent"), arr("s", "a")) == ([], [], [])
    assert string(document, "s") == "t"
    assert (string(document, "i"), string(document, "absent"), string(None, "s")) == (None,) * 3
    assert at(document, "a", 1, "b") == at(document, "a", -1, "b") == 2
    assert at(document, "a", 2) is at(document, "a", -3) is at(document, "a", "b") is None
    assert at(document, "o", 0) is at(document, "s", "x") is None
    assert at(document) == document


# ── editing ──────────────────────────────────────────────────────────────────────────────────────


@given(OBJECTS, ENCODERS, BLANKS, BLANKS)
def test_every_member_is_found_where_it_stands(
    value: dict[str, Json], encode: Encoder, before: bytes, after: bytes
) -> None:
    raw = before + encode(value) + after
    for name, part in value.items():
        span = member_span(raw, name)
        assert span is not None
        assert orjson.loads(raw[span[0] : span[1]]) == part
        assert raw[span[0] : span[1]].strip() == raw[span[0] : span[1]]
    assert member_span(raw, "no such name") is None


@given(OBJECTS.filter(bool), ENCODERS, VALUES, st.data())
def test_replacing_changes_one_value_and_no_other_byte(
    value: dict[str, Json], encode: Encoder, other: Json, draw: st.DataObject
) -> None:
    raw = encode(value)
    name = draw.draw(st.sampled_from(sorted(value)))
    edited = replace_member(raw, name, orjson.dumps(other))
    assert orjson.loads(edited) == value | {name: other}
    span = member_span(raw, name)
    assert span is not None
    assert edited.startswith(raw[: span[0]])
    assert edited.endswith(raw[span[1] :])
    assert len(edited) == len(raw) - (span[1] - span[0]) + len(orjson.dumps(other))


@given(OBJECTS, ENCODERS, BLANKS, BLANKS, BLANKS)
@example(value={}, encode=compact, before=b"", inside=b" ", after=b"\n")
def test_splicing_adds_one_member_and_changes_no_byte(
    value: dict[str, Json], encode: Encoder, before: bytes, inside: bytes, after: bytes
) -> None:
    raw = before + encode(value)[:-1] + inside + b"}" + after
    edited = splice_member(raw, 'added "name"', b'{"x":[1]}')
    assert orjson.loads(edited) == value | {'added "name"': {"x": [1]}}
    end = raw.rindex(b"}")
    assert edited[:end] == raw[:end]
    assert edited.endswith(raw[end:])


def test_of_two_equal_names_the_one_that_is_read_is_replaced() -> None:
    raw = b'{"a":1,"\\u0061":2}'
    assert parse(replace_member(raw, "a", b"3")) == {"a": 3}


def test_replacing_what_is_not_there_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(KeyError):
        replace_member(b'{"a":{"b":1}}', "b", b"2")


@given(st.binary(max_size=40) | st.text(alphabet='{}[]":,\\ a1', max_size=30).map(str.encode))
def test_no_bytes_at_all_make_an_edit_fail_in_another_way(raw: bytes) -> None:
    for edit in (
        lambda: member_span(raw, "a"),
        lambda: replace_member(raw, "a", b"1"),
        lambda: splice_member(raw, "a", b"1"),
    ):
        try:
            edit()
        except (MalformedJson, KeyError):
            continue


# ── answers ──────────────────────────────────────────────────────────────────────────────────────


@given(st.lists(VALUES, max_size=6), ENCODERS, BLANKS, BLANKS, CUTS)
def test_array_items_do_not_depend_on_the_cuts(
    values: list[Json], encode: Encoder, before: bytes, after: bytes, places: list[int]
) -> None:
    raw = before + encode(values) + after
    for chunks in (cut(raw, places), [raw], [raw[i : i + 1] for i in range(len(raw))]):
        items = ArrayItems()
        found = [orjson.loads(item) for chunk in chunks for item in items.feed(chunk)]
        assert found == values
        assert (items.done, items.broken) == (True, False)


@given(st.lists(OBJECTS, min_size=1, max_size=4), st.integers(0, 10_000))
def test_whole_objects_are_known_before_the_array_is_cut_off(
    values: list[dict[str, Json]], place: int
) -> None:
    parts = [orjson.dumps(value) for value in values]
    raw = b"[" + b",\r\n".join(parts) + b"]"
    cut_at = place % len(raw)
    ends = [len(b"[" + b",\r\n".join(parts[: i + 1])) for i in range(len(parts))]
    items = ArrayItems()
    assert len(items.feed(raw[:cut_at])) == sum(end <= cut_at for end in ends)
    assert not items.done


@pytest.mark.parametrize("raw", [b'{"error":{}}', b"x", b'  "["'])
def test_what_is_no_array_is_broken_and_stays_so(raw: bytes) -> None:
    items = ArrayItems()
    assert items.feed(raw) == items.feed(b"[1]") == []
    assert items.broken


def test_an_item_beyond_the_bound_breaks_the_array_and_frees_its_bytes() -> None:
    items = ArrayItems(item_bytes_max=100)
    assert items.feed(b'[{"a":1},"' + b"x" * 80) == [b'{"a":1}']
    assert items.feed(b"x" * 80 + b'",{"b":2}]') == []
    assert items.feed(b",1]") == []
    assert (items.broken, len(items._item)) == (True, 0)


def test_bytes_behind_the_array_are_ignored() -> None:
    items = ArrayItems()
    assert items.feed(b"[1] [2]") == [b"1"]
    assert items.feed(b"[3]") == []
    assert items.done


@given(st.binary(max_size=200), CUTS)
def test_a_body_within_the_bound_is_kept_whole(raw: bytes, places: list[int]) -> None:
    body = BoundedBody(body_bytes_max=200)
    for chunk in cut(raw, places):
        body.feed(chunk)
    assert body.whole() == raw
    assert not body.overflowed


@settings(max_examples=30)
@given(st.integers(1, 3_000_000), st.integers(100, 200_000), st.sampled_from(["first", "last"]))
def test_usage_is_found_in_a_body_of_any_size(padding: int, step: int, place: str) -> None:
    usage = b'{"total":[1,"}"],"of":{"a":"\\""}}'
    members = [b'"image":"' + b"A" * padding + b'"', b'"usage":' + usage]
    raw = b"{%b,%b}" % tuple(members if place == "last" else reversed(members))
    body = BoundedBody(body_bytes_max=100_000)
    kept_max = 0
    for start in range(0, len(raw), step):
        body.feed(raw[start : start + step])
        kept_max = max(kept_max, len(body._kept) + len(body._head))
    assert body.find_object(b"usage") == usage
    assert (body.whole() is None) == (len(raw) > 100_000)
    assert kept_max <= HEAD_BYTES_MAX + 2 * TAIL_BYTES_MAX


@pytest.mark.parametrize(
    ("raw", "found"),
    [
        (b'{"usage":{"a":1},"x":{"usage" : {"a":2}}}', b'{"a":2}'),
        (b'{"text":"\\"usage\\":{\\"a\\":1}","usage":null}', None),
        (b'{"text":"x\\",\\"usage\\":{\\"a\\":9}","usage":{"a":1}}', b'{"a":1}'),
        (b'{"usage":{"a":1},"usage":{"a":', b'{"a":1}'),
        (b'{"usage":[{"a":1}]}', None),
        (b'"usage":{"a":1}', None),
    ],
)
def test_the_last_whole_object_of_that_name_counts(raw: bytes, found: bytes | None) -> None:
    body = BoundedBody()
    body.feed(raw)
    assert body.find_object(b"usage") == found


def test_a_hostile_repetition_of_the_name_ends_soon() -> None:
    body = BoundedBody(body_bytes_max=1000)
    body.feed(b'{"usage":' * 200_000)
    assert body.find_object(b"usage") is None
