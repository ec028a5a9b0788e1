"""Lowering a request's ceiling in its own bytes: one figure changes, and nothing else."""

import json
from typing import Any, NamedTuple

import msgspec
import pytest
from hypothesis import given, settings, strategies as st

from gateway.dialects.anthropic import INVOKE, MESSAGES
from gateway.dialects.bedrock_families import ASYNC, FAMILIES
from gateway.dialects.contract import Dialect
from gateway.dialects.converse import CONVERSE, GUARDRAIL
from gateway.dialects.gemini import EMBED, GENERATE, INTERACTIONS, LIVE, PREDICT
from gateway.dialects.openai_batch import BATCH
from gateway.dialects.openai_chat import CHAT, COMPLETIONS, MISTRAL
from gateway.dialects.openai_media import EMBEDDINGS, IMAGE_EDITS, IMAGES, SPEECH, TRANSCRIPTION
from gateway.dialects.openai_realtime import REALTIME
from gateway.dialects.openai_responses import COMPACT, RESPONSES
from gateway.kernel.errors import MalformedBody
from tests.dialects.test_transcripts import CASES, METERED, dialect_of
from tests.dialects.transcripts import Case

CHATTED = '"messages":[{"role":"user","content":"héllo \\u4f60 \\"max_tokens\\": 9"}]'
PROMPTED = '"prompt":"a"'
JSON = b"application/json"


class Shape(NamedTuple):
    """A protocol: a body without a ceiling, where its ceiling stands, and what a model has to say about it."""

    dialect: Dialect
    body: str
    path: tuple[str, ...]
    model: str = ""

    @property
    def name(self) -> str:
        return f"{self.dialect.name} {'.'.join(self.path)} {self.model}".strip()


SHAPES = [
    Shape(CHAT, CHATTED, ("max_tokens",), "gpt-4o"),
    Shape(CHAT, CHATTED, ("max_completion_tokens",), "gpt-5"),
    Shape(CHAT, CHATTED, ("max_completion_tokens",), "o4-mini"),
    Shape(CHAT, CHATTED, ("max_tokens",), "mistral-large-3"),
    Shape(CHAT, f'"model":"gpt-6-sol",{CHATTED}', ("max_completion_tokens",)),
    Shape(MISTRAL, CHATTED, ("max_tokens",)),
    Shape(RESPONSES, '"input":"a"', ("max_output_tokens",)),
    Shape(MESSAGES, CHATTED, ("max_tokens",)),
    Shape(INVOKE, CHATTED, ("max_tokens",)),
    Shape(CONVERSE, CHATTED, ("inferenceConfig", "maxTokens")),
    Shape(GENERATE, '"contents":[]', ("generationConfig", "maxOutputTokens")),
    Shape(INTERACTIONS, '"input":"a"', ("generation_config", "max_output_tokens")),
    Shape(FAMILIES, CHATTED, ("inferenceConfig", "maxTokens"), "amazon.nova-lite"),
    Shape(FAMILIES, '"inputText":"a"', ("textGenerationConfig", "maxTokenCount"), "amazon.titan-text-lite"),
    Shape(FAMILIES, PROMPTED, ("max_gen_len",), "meta.llama3-1-8b-instruct"),
    Shape(FAMILIES, PROMPTED, ("max_tokens",), "mistral.mistral-7b-instruct"),
    Shape(FAMILIES, CHATTED, ("max_tokens",), "cohere.command-r"),
    Shape(FAMILIES, CHATTED, ("max_completion_tokens",), "openai.gpt-oss-120b"),
]  # fmt: skip
each_shape = pytest.mark.parametrize("shape", SHAPES, ids=[shape.name for shape in SHAPES])


def with_ceiling(path: tuple[str, ...], value: str) -> str:
    *outer, last = path
    text = f'"{last}":{value}'
    for name in reversed(outer):
        text = f'"{name}":{{{text}}}'
    return text


def pick(document: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        document = document[name]
    return document


def without(document: Any, path: tuple[str, ...]) -> Any:
    """The document without its ceiling, and without an object that held nothing else."""
    name, *inner = path
    rest = {key: value for key, value in document.items() if key != name}
    if inner and isinstance(document.get(name), dict):
        left = without(document[name], tuple(inner))
        return {**rest, name: left} if left else rest
    return rest


def edit(before: bytes, after: bytes) -> tuple[bytes, bytes]:
    """The one span that differs: what stood there, and what stands there now."""
    start = 0
    while start < min(len(before), len(after)) and before[start] == after[start]:
        start += 1
    end = 0
    while end < min(len(before), len(after)) - start and before[-1 - end] == after[-1 - end]:
        end += 1
    return before[start : len(before) - end], after[start : len(after) - end]


# Members that must stay as they are: look-alikes of the ceiling in strings, in other objects, spelt with escapes.
blanks = st.text(" \t\r\n", max_size=3)
fillers = st.sampled_from(
    [
        '"metadata":{"max_tokens":5,"maxTokens":6,"inferenceConfig":{"maxTokens":7}}',
        '"x":"\\"max_tokens\\":1,{\\"maxOutputTokens\\":2}"',
        '"ключ \\u0022 \\ud83d\\ude00":[1.0,1e5,-0,{"generationConfig":{"maxOutputTokens":3}}]',
        '"y":[[],{},"}","{",[{"max_gen_len":1}]]',
        '"user":"\\\\"',
        '"stop":null',
        '"temperature":0.10',
    ]
)


@st.composite
def bodies(draw: st.DrawFn, shape: Shape, value: str | None) -> bytes:
    members = [shape.body, *draw(st.lists(fillers, max_size=3, unique=True))]
    if value is not None:
        members.append(with_ceiling(shape.path, value))
    members = draw(st.permutations(members))
    spaced = ",".join(f"{draw(blanks)}{member}{draw(blanks)}" for member in members)
    return f"{draw(blanks)}{{{spaced}}}{draw(blanks)}".encode()


@each_shape
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_higher_ceiling_becomes_the_new_one_and_no_other_byte_changes(
    data: st.DataObject, shape: Shape
) -> None:
    ceiling = data.draw(st.integers(16, 10_000))
    value = data.draw(st.integers(ceiling + 1, 2**31 - 1))
    written = data.draw(st.sampled_from([str(value), f"{value}.0", "-1", '"unlimited"']))
    body = data.draw(bodies(shape, written))
    lowered = shape.dialect.clamp(body, ceiling, shape.model)
    assert lowered is not None
    was, now = edit(body, lowered)
    assert was in written.encode()
    assert now in str(ceiling).encode()
    assert pick(json.loads(lowered), shape.path) == ceiling
    read, again = (shape.dialect.read_request(each, JSON) for each in (body, lowered))
    assert again.output_ceiling == ceiling
    assert msgspec.structs.replace(again, output_ceiling=None) == msgspec.structs.replace(
        read, output_ceiling=None
    )


@each_shape
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_body_without_a_ceiling_gets_one_in_its_own_place(
    data: st.DataObject, shape: Shape
) -> None:
    ceiling = data.draw(st.integers(16, 10_000))
    body = data.draw(bodies(shape, data.draw(st.sampled_from([None, "null"]))))
    lowered = shape.dialect.clamp(body, ceiling, shape.model)
    assert lowered is not None
    before, after = json.loads(body), json.loads(lowered)
    assert pick(after, shape.path) == ceiling
    assert without(after, shape.path) == without(before, shape.path)
    was, _ = edit(body, lowered)
    assert was in b"null"
    assert shape.dialect.read_request(lowered, JSON).output_ceiling == ceiling


@each_shape
@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_a_ceiling_that_is_low_enough_stays_as_it_is_written(
    data: st.DataObject, shape: Shape
) -> None:
    ceiling = data.draw(st.integers(16, 10_000))
    value = data.draw(st.integers(1, ceiling))
    written = data.draw(st.sampled_from([str(value), f"{value}.0", f'"{value}"']))
    body = data.draw(bodies(shape, written))
    assert shape.dialect.clamp(body, ceiling, shape.model) == body


@pytest.mark.parametrize(
    "dialect",
    [COMPACT, EMBEDDINGS, IMAGES, IMAGE_EDITS, TRANSCRIPTION, SPEECH, BATCH, REALTIME, ASYNC, GUARDRAIL, EMBED, PREDICT, LIVE],
    ids=lambda dialect: dialect.name,
)  # fmt: skip
def test_an_operation_without_a_ceiling_is_not_lowered(dialect: Dialect) -> None:
    assert dialect.clamp(b'{"max_tokens":100}', 50) is None


@pytest.mark.parametrize(
    ("budget", "done"), [(1023, True), (1024, False), (5000, False), ('"x"', False)]
)
def test_thoughts_need_room_below_the_ceiling(budget: object, done: bool) -> None:  # noqa: FBT001  # a table
    thinking = f'"thinking":{{"type":"enabled","budget_tokens":{budget}}}'
    body = f'{{"max_tokens":4096,{CHATTED},{thinking}}}'.encode()
    for dialect in (MESSAGES, INVOKE):
        assert (dialect.clamp(body, 1024) is not None) == done
    own = f'{{{CHATTED},"additionalModelRequestFields":{{{thinking}}}}}'.encode()
    assert (CONVERSE.clamp(own, 1024) is not None) == done


def test_a_disabled_thinking_needs_no_room() -> None:
    body = f'{{"max_tokens":4096,{CHATTED},"thinking":{{"type":"disabled"}}}}'.encode()
    assert MESSAGES.clamp(body, 10) is not None


def test_every_name_of_a_ceiling_is_lowered() -> None:
    body = f'{{"max_tokens":4096,"max_completion_tokens":"9000",{CHATTED}}}'.encode()
    lowered = CHAT.clamp(body, 100, "gpt-4o") or b""
    assert (json.loads(lowered)["max_tokens"], json.loads(lowered)["max_completion_tokens"]) == (
        100,
        100,
    )
    own = f'{{{CHATTED},"inferenceConfig":{{"maxTokens":500}},"additionalModelRequestFields":{{"max_tokens":900,"top_k":5}}}}'
    document = json.loads(CONVERSE.clamp(own.encode(), 100) or b"")
    assert document["inferenceConfig"] == {"maxTokens": 100}
    assert document["additionalModelRequestFields"] == {"max_tokens": 100, "top_k": 5}


def test_gemini_keeps_the_spelling_of_the_body() -> None:
    snake = b'{"contents":[],"generation_config":{"max_output_tokens":900,"temperature":0}}'
    assert GENERATE.clamp(snake, 100) == snake.replace(b"900", b"100")
    assert GENERATE.clamp(b'{"contents":[],"generation_config":{}}', 100) == (
        b'{"contents":[],"generation_config":{"maxOutputTokens":100}}'
    )


def test_a_text_completion_never_gets_more_than_it_would_have_had() -> None:
    assert COMPLETIONS.clamp(b'{"prompt":"a"}', 100) == b'{"prompt":"a","max_tokens":16}'
    assert COMPLETIONS.clamp(b'{"prompt":"a"}', 5) == b'{"prompt":"a","max_tokens":5}'
    assert (
        COMPLETIONS.clamp(b'{"prompt":"a","max_tokens":200}', 100)
        == b'{"prompt":"a","max_tokens":100}'
    )


def test_what_cannot_be_lowered_so_far_says_so() -> None:
    assert RESPONSES.clamp(b'{"input":"a"}', 15) is None  # the API refuses it
    assert CHAT.clamp(b'{"messages":[]}', 0) is None
    assert FAMILIES.clamp(b'{"prompt":"a"}', 100, "vendor.unknown") is None
    assert (
        FAMILIES.clamp(
            b'{"textToImageParams":{},"imageGenerationConfig":{}}', 9, "amazon.nova-canvas"
        )
        is None
    )
    high = b'{"messages":[],"additionalModelRequestFields":{"reasoningConfig":{"maxReasoningEffort":"high"}}}'
    assert CONVERSE.clamp(high, 100) is None


@pytest.mark.parametrize(
    ("dialect", "body"),
    [
        (CONVERSE, '{"messages":[],"inferenceConfig":{"maxTokens":9,"maxTokens":9999}}'),
        (CONVERSE, '{"messages":[],"inferenceConfig":{"maxTokens":9,"max\\u0054okens":9999}}'),
        (
            CONVERSE,
            '{"messages":[],"additionalModelRequestFields":{"max_tokens":9,"max_tokens":9999}}',
        ),
        (
            GENERATE,
            '{"contents":[],"generationConfig":{"maxOutputTokens":9,"maxOutputTokens":9999}}',
        ),
        (GENERATE, '{"contents":[],"generationConfig":{"candidateCount":1,"candidateCount":8}}'),
        (CONVERSE, '{"messages":[],"additionalModelRequestFields":{"n":8,"n":1}}'),
        (PREDICT, '{"instances":[],"parameters":{"sampleCount":8,"sampleCount":1}}'),
        (FAMILIES, '{"imageGenerationConfig":{"numberOfImages":5,"numberOfImages":1}}'),
        (
            FAMILIES,
            '{"inputText":"a","textGenerationConfig":{"maxTokenCount":9,"maxTokenCount":999}}',
        ),
        (
            MESSAGES,
            '{"messages":[],"max_tokens":9,"thinking":{"budget_tokens":1,"budget_tokens":99}}',
        ),
    ],
    ids=lambda value: getattr(value, "name", value),
)
def test_a_ceiling_that_is_given_twice_is_refused(dialect: Dialect, body: str) -> None:
    with pytest.raises(MalformedBody, match="twice"):
        dialect.read_request(body.encode(), JSON)


RECORDED = [(case, dialect) for case, dialect in METERED if case.request_body]


@pytest.mark.parametrize(("case", "dialect"), RECORDED, ids=[case.name for case, _ in RECORDED])
def test_a_recorded_request_is_lowered_or_says_that_it_cannot_be(
    case: Case, dialect: Dialect
) -> None:
    if dialect is REALTIME:
        return
    lowered = dialect.clamp(case.request_body, 50, case.expected["billing_model"] or "")
    if lowered is None:
        assert dialect.name not in (
            "openai_chat",
            "gemini",
            "converse",
            "anthropic",
            "anthropic_invoke",
        )
        return
    before, after = (
        dialect.read_request(each, case.request_type) for each in (case.request_body, lowered)
    )
    assert after.output_ceiling == min(50, before.output_ceiling or 50)
    blank = msgspec.structs.replace(
        after, output_ceiling=before.output_ceiling, opted_body=before.opted_body
    )
    assert blank == before


def test_the_recorded_requests_are_there() -> None:
    assert len(RECORDED) > 50
    assert CASES
    assert dialect_of(CASES[0]) is not None
