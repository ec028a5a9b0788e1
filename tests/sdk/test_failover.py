"""SDKs, unmodified and told not to try again, before a first place that refuses: they see the second one's answer.

Both attempts are rows of one request, each checked against what the cloud stated.
"""

from typing import Any

import boto3
import openai
import pytest
from anthropic import AnthropicFoundry
from botocore.config import Config
from google import genai
from google.genai import types
from openai import AzureOpenAI, OpenAI

from gateway.commands.demo.answers import TEXT
from gateway.ledger.entry import FAILED_OVER
from tests.sdk.weighing import Opened, Weighing

MESSAGES: Any = [{"role": "user", "content": "What does a weighbridge do?"}]


@pytest.fixture
def azure(weighing: Weighing, opened: Opened) -> AzureOpenAI:
    return opened(
        AzureOpenAI(
            azure_endpoint=weighing.azure, api_key=weighing.key.key, api_version="2024-10-21",
            max_retries=0,
        )
    )  # fmt: skip


def assert_two_attempts(weighing: Weighing, status: int, **expected: Any) -> None:
    """The first refused and costing nothing, the second whole; one request."""
    first, second = weighing.rows(2)
    assert (first.row.status, first.row.attempt, first.row.flags) == (status, 1, (FAILED_OVER,))
    assert (first.row.list_pico, first.row.net_pico, first.row.outcome) == (0, 0, "error")
    assert first.row.request_id == second.row.request_id
    weighing.check(second, attempt=2, deployment=first.row.deployment, **expected)


def test_openai_on_a_deployments_path(weighing: Weighing, azure: AzureOpenAI) -> None:
    raw = azure.chat.completions.with_raw_response.create(model="spare-429", messages=MESSAGES)
    assert raw.headers["x-weighbridge-attempts"] == "2"
    assert raw.parse().choices[0].message.content == TEXT
    assert_two_attempts(weighing, 429, model="gpt-4o")


def test_openai_streamed(weighing: Weighing, azure: AzureOpenAI) -> None:
    stream = azure.chat.completions.create(model="spare-429", messages=MESSAGES, stream=True)
    said = "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)
    assert said == TEXT
    assert_two_attempts(weighing, 429)


def test_openai_with_the_name_in_the_body(weighing: Weighing, opened: Opened) -> None:
    client = opened(
        OpenAI(base_url=f"{weighing.azure}/openai/v1", api_key=weighing.key.key, max_retries=0)
    )
    answer = client.chat.completions.create(model="spare-v1-503", messages=MESSAGES)
    assert answer.choices[0].message.content == TEXT
    assert_two_attempts(weighing, 503)


def test_a_first_place_that_is_away_leaves_no_row(weighing: Weighing, azure: AzureOpenAI) -> None:
    raw = azure.chat.completions.with_raw_response.create(model="spare-gone", messages=MESSAGES)
    assert raw.headers["x-weighbridge-attempts"] == "2"
    weighing.booked(attempt=2, upstream="azure-test", deployment="spare-gone")


def test_where_no_place_serves_the_last_ones_own_words_are_raised(
    weighing: Weighing, azure: AzureOpenAI
) -> None:
    with pytest.raises(openai.InternalServerError, match="scripted refusal 503") as caught:
        azure.chat.completions.create(model="spare-twice-429", messages=MESSAGES)
    assert caught.value.response.headers["x-weighbridge-attempts"] == "2"
    first, second = [weighed.row for weighed in weighing.rows(2)]
    assert (first.status, first.flags) == (429, (FAILED_OVER,))
    assert (second.status, second.flags) == (503, ())


def test_anthropic_on_foundry(weighing: Weighing, opened: Opened) -> None:
    base_url = f"{weighing.azure}/anthropic"
    client = opened(AnthropicFoundry(base_url=base_url, api_key=weighing.key.key, max_retries=0))
    client.messages.create(model="spare-claude-503", max_tokens=64, messages=MESSAGES)
    assert_two_attempts(weighing, 503, model="claude-sonnet-5")


@pytest.mark.parametrize("streamed", [False, True])
def test_boto3(weighing: Weighing, opened: Opened, *, streamed: bool) -> None:
    key = weighing.key
    session = boto3.Session(
        key.aws_access_key_id, key.aws_secret_access_key, region_name="us-east-1"
    )
    once = Config(retries={"total_max_attempts": 1})
    client = opened(session.client("bedrock-runtime", endpoint_url=weighing.bedrock, config=once))
    turns = [{"role": "user", "content": [{"text": "What does a weighbridge do?"}]}]
    if streamed:
        stream = client.converse_stream(modelId="spare-nova-503", messages=turns)["stream"]
        deltas = [event["contentBlockDelta"] for event in stream if "contentBlockDelta" in event]
        said = "".join(delta["delta"]["text"] for delta in deltas)
    else:
        answer = client.converse(modelId="spare-nova-503", messages=turns)
        said = answer["output"]["message"]["content"][0]["text"]
    assert said == TEXT
    assert_two_attempts(weighing, 503, model="amazon.nova-pro", scope="in_region")


def test_google_genai(weighing: Weighing, opened: Opened) -> None:
    client = opened(
        genai.Client(
            api_key=weighing.key.key, http_options=types.HttpOptions(base_url=weighing.google)
        )
    )
    answer = client.models.generate_content(model="spare-gemini-429", contents="weigh")
    assert answer.text == TEXT
    assert_two_attempts(weighing, 429, model="gemini-2.5-flash")
