"""Clients that leave in the middle of a stream: one row each, by the upstream's policy, in the SDK's own way of leaving."""

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from anthropic import AnthropicBedrock, AnthropicFoundry
from google import genai
from google.genai import types
from openai import AsyncAzureOpenAI, AzureOpenAI

from tests.sdk.weighing import Opened, Weighing

PARTS = 9  # so many parts of a stream pass, then upstream waits for the client to have left
NOTICED_SECONDS = 0.05
CLAUDE = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
TEXT_MESSAGES: Any = [{"role": "user", "content": "weigh"}]
MESSAGES = [{"role": "user", "content": [{"text": "weigh"}]}]


@pytest.fixture(autouse=True)
def goes_on(weighing: Weighing) -> Iterator[Callable[[], None]]:
    """Lets upstream go on, once the gateway has had the time to see that the client is gone."""
    with weighing.cloud.held(PARTS) as release:

        def go_on() -> None:
            time.sleep(NOTICED_SECONDS)
            release()

        yield go_on


@pytest.fixture(scope="module")
def azure(everything: Weighing, kept: Opened) -> AzureOpenAI:
    return kept(
        AzureOpenAI(
            azure_endpoint=everything.azure, api_key=everything.key.key, api_version="2024-10-21"
        )
    )


@pytest.fixture(scope="module")
def runtime(everything: Weighing, kept: Opened) -> Any:
    key = everything.key
    session = boto3.Session(
        key.aws_access_key_id, key.aws_secret_access_key, region_name="us-east-1"
    )
    return kept(session.client("bedrock-runtime", endpoint_url=everything.bedrock))


def taken(stream: Iterator[Any], count: int) -> list[Any]:
    return [item for item, _ in zip(stream, range(count), strict=False)]


@pytest.mark.parametrize("chunks", [1, 6])
def test_openai_closes_and_upstream_is_cancelled(
    chunks: int, weighing: Weighing, azure: AzureOpenAI
) -> None:
    stream = azure.chat.completions.create(model="gpt-4o", messages=TEXT_MESSAGES, stream=True)
    assert len(taken(stream, chunks)) == chunks
    stream.close()
    (weighed,) = weighing.rows(1)
    row = weighed.row
    assert (row.outcome, row.status, row.price_status) == ("client_left", 200, "priced")
    assert row.provenance in ("counted", "estimated")
    counts = {line.unit: line.quantity for line in row.lines}
    assert counts["input_text"] == row.counted_input
    assert counts.get("output_text", 0) == row.counted_output
    assert (row.counted_output or 0) < weighed.units["output_text"]
    assert row.user == "user-0001"


def test_async_openai_cancelled_by_a_timeout(weighing: Weighing) -> None:
    async def main() -> None:
        async with AsyncAzureOpenAI(
            azure_endpoint=weighing.azure, api_key=weighing.key.key, api_version="2024-10-21"
        ) as client:
            stream = await client.chat.completions.create(
                model="gpt-4o", messages=TEXT_MESSAGES, stream=True
            )
            async with stream:
                async for _ in stream:
                    break

    asyncio.run(main())
    assert weighing.rows(1)[0].row.outcome == "client_left"


def test_the_responses_api_left(weighing: Weighing, azure: AzureOpenAI) -> None:
    stream = azure.responses.create(model="gpt-5.4", input="weigh", stream=True)
    taken(stream, 5)
    stream.close()
    row = weighing.rows(1)[0].row
    assert (row.outcome, row.operation) == ("client_left", "responses")
    assert row.provenance in ("counted", "estimated")


@pytest.mark.parametrize("events", [1, 5])
def test_boto3_closes_and_the_stream_is_drained_and_reported_exactly(
    events: int, weighing: Weighing, runtime: Any, goes_on: Callable[[], None]
) -> None:
    stream = runtime.converse_stream(modelId=CLAUDE, messages=MESSAGES)["stream"]
    taken(iter(stream), events)
    stream.close()
    goes_on()
    weighing.booked(outcome="client_left", stream=True, provenance="reported")


def test_boto3_leaves_an_invoke_stream(
    weighing: Weighing, runtime: Any, goes_on: Callable[[], None]
) -> None:
    body = {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 64, "messages": TEXT_MESSAGES}
    answer = runtime.invoke_model_with_response_stream(modelId=CLAUDE, body=json.dumps(body))
    taken(iter(answer["body"]), 3)
    answer["body"].close()
    goes_on()
    weighing.booked(outcome="client_left", stream=True)


def test_anthropic_leaves_bedrock_and_the_stream_is_drained(
    weighing: Weighing, opened: Opened, goes_on: Callable[[], None]
) -> None:
    client = opened(
        AnthropicBedrock(
            base_url=weighing.bedrock, aws_region="us-east-1", api_key=weighing.key.key
        )
    )
    with client.messages.stream(model=CLAUDE, max_tokens=64, messages=TEXT_MESSAGES) as stream:
        taken(iter(stream.text_stream), 2)
    goes_on()
    weighing.booked(outcome="client_left", stream=True)


def test_anthropic_leaves_foundry_and_the_input_side_is_reported(
    weighing: Weighing, opened: Opened
) -> None:
    client = opened(
        AnthropicFoundry(base_url=f"{weighing.azure}/anthropic", api_key=weighing.key.key)
    )
    with client.messages.stream(
        model="claude-sonnet-5", max_tokens=64, messages=TEXT_MESSAGES
    ) as stream:
        taken(iter(stream.text_stream), 2)
    (weighed,) = weighing.rows(1)
    row = weighed.row
    assert (row.outcome, row.provenance) == ("client_left", "partial")
    counts = {line.unit: line.quantity for line in row.lines}
    assert counts["input_text"] == weighed.units["input_text"]
    assert 0 < counts["output_text"] < weighed.units["output_text"]


def test_google_leaves_and_the_stream_is_drained(
    weighing: Weighing, opened: Opened, goes_on: Callable[[], None]
) -> None:
    options = types.HttpOptions(base_url=weighing.google)
    client = opened(genai.Client(api_key=weighing.key.key, http_options=options))
    stream: Any = client.models.generate_content_stream(model="gemini-2.5-pro", contents="weigh")
    taken(stream, 3)
    stream.close()
    goes_on()
    weighing.booked(outcome="client_left", stream=True, provenance="reported")
