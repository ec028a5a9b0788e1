"""azure-ai-inference, unmodified: it sends the key twice, asks for no usage, and speaks to /models."""

from typing import Any

import pytest
from azure.ai.inference import ChatCompletionsClient, EmbeddingsClient
from azure.ai.inference.models import UserMessage
from azure.core.credentials import AzureKeyCredential
from azure.core.exceptions import ClientAuthenticationError, ResourceNotFoundError

from gateway.commands.demo.answers import TEXT
from tests.sdk.weighing import Opened, Weighing

MESSAGES: list[Any] = [UserMessage("What does a weighbridge do?")]


@pytest.fixture
def client(weighing: Weighing, opened: Opened) -> ChatCompletionsClient:
    return opened(
        ChatCompletionsClient(f"{weighing.azure}/models", AzureKeyCredential(weighing.key.key))
    )


def test_chat(weighing: Weighing, client: ChatCompletionsClient) -> None:
    answer = client.complete(messages=MESSAGES, model="gpt-4o")
    row = weighing.booked(operation="chat.completions", model="gpt-4o")
    assert answer.choices[0].message.content == TEXT
    assert answer.usage.total_tokens == row.provider_total


def test_chat_streamed_without_the_usage_nobody_asked_for(
    weighing: Weighing, client: ChatCompletionsClient
) -> None:
    updates: list[Any] = list(client.complete(messages=MESSAGES, model="gpt-4o", stream=True))
    weighing.booked(stream=True)
    text = "".join(update.choices[0].delta.content or "" for update in updates if update.choices)
    assert text == TEXT
    assert all(update.usage is None for update in updates)


def test_embeddings(weighing: Weighing, opened: Opened) -> None:
    client = opened(
        EmbeddingsClient(f"{weighing.azure}/models", AzureKeyCredential(weighing.key.key))
    )
    answer = client.embed(input=["one", "two"], model="text-embedding-3-small")
    weighing.booked(operation="embeddings", model="text-embedding-3-small")
    assert len(answer.data) == 2


def test_refusals_are_the_sdks_own_errors(
    weighing: Weighing, client: ChatCompletionsClient, opened: Opened
) -> None:
    with pytest.raises(ResourceNotFoundError, match="no deployment named 'gpt-none'"):
        client.complete(messages=MESSAGES, model="gpt-none")
    stranger = opened(
        ChatCompletionsClient(f"{weighing.azure}/models", AzureKeyCredential("wb_unknown"))
    )
    with pytest.raises(ClientAuthenticationError):
        stranger.complete(messages=MESSAGES, model="gpt-4o")
    weighing.nothing_booked()
