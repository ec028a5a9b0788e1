"""When a stream has written all and only has its usage left to say: whoever leaves then has had the whole answer."""

from typing import Any

import pytest

from gateway.dialects.anthropic import MESSAGES
from gateway.dialects.contract import Dialect, Request
from gateway.dialects.converse import CONVERSE
from gateway.dialects.openai_chat import CHAT
from gateway.dialects.openai_media import SPEECH
from gateway.dialects.openai_responses import RESPONSES
from gateway.metering.meter import has_written
from tests.dialects.answers import SSE, events, head

Step = tuple[dict[str, Any], bool]


def choice(index: int, reason: str | None) -> dict[str, Any]:
    return {"choices": [{"index": index, "delta": {"content": "a"}, "finish_reason": reason}]}


CASES: dict[str, tuple[Dialect, tuple[Step, ...]]] = {
    "chat": (
        CHAT,
        (
            ({"choices": []}, False),
            (choice(0, None), False),
            (choice(1, None), False),
            (choice(0, "stop"), False),
            (choice(1, "length"), True),
        ),
    ),
    "responses": (
        RESPONSES,
        (
            ({"type": "response.created"}, False),
            ({"type": "response.output_item.added"}, False),
            ({"type": "response.output_text.delta", "delta": "a"}, False),
            ({"type": "response.output_item.done"}, True),
            ({"type": "response.output_item.added"}, False),
            ({"type": "response.output_item.done"}, True),
        ),
    ),
    "messages": (
        MESSAGES,
        (
            ({"type": "message_start", "message": {}}, False),
            ({"type": "content_block_start", "index": 0}, False),
            ({"type": "content_block_delta", "index": 0, "delta": {"text": "a"}}, False),
            ({"type": "content_block_stop", "index": 0}, True),
            ({"type": "content_block_start", "index": 1}, False),
            ({"type": "content_block_stop", "index": 1}, True),
        ),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_meter_knows_when_the_last_word_was_written(name: str) -> None:
    dialect, steps = CASES[name]
    meter = dialect.meter(Request(), head(SSE))
    assert not has_written(meter)
    for document, written in steps:
        meter.feed(events(document))
        assert has_written(meter) is written, document


@pytest.mark.parametrize("dialect", [CONVERSE, SPEECH], ids=lambda dialect: dialect.name)
def test_a_meter_that_cannot_tell_never_says_so(dialect: Dialect) -> None:
    assert not has_written(dialect.meter(Request(), head()))
