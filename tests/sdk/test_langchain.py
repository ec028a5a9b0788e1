"""LangChain's chat models and embeddings, unmodified, on the gateway."""

import gzip
import hashlib
from importlib import resources
from pathlib import Path

import pytest
from langchain_openai import AzureChatOpenAI, ChatOpenAI, OpenAIEmbeddings

from gateway.commands.demo.answers import TEXT
from gateway.metering import vocabulary
from tests.sdk.weighing import Weighing

VERSION = "2024-10-21"
CL100K = "https://openaipublic.blob.core.windows.net/encodings/cl100k_base.tiktoken"


@pytest.fixture
def azure(weighing: Weighing, monkeypatch: pytest.MonkeyPatch) -> AzureChatOpenAI:
    monkeypatch.setenv("AZURE_OPENAI_ENDPOINT", weighing.azure)
    monkeypatch.setenv("AZURE_OPENAI_API_KEY", weighing.key.key)
    monkeypatch.setenv("OPENAI_API_VERSION", VERSION)
    return AzureChatOpenAI(azure_deployment="chat-prod")


@pytest.fixture
def v1(weighing: Weighing, monkeypatch: pytest.MonkeyPatch) -> ChatOpenAI:
    monkeypatch.setenv("OPENAI_API_BASE", f"{weighing.azure}/openai/v1")
    monkeypatch.setenv("OPENAI_API_KEY", weighing.keys["indexer"].key)
    return ChatOpenAI(model="gpt-4o")


def total(message: object) -> int:
    usage = getattr(message, "usage_metadata", None)
    assert usage is not None
    return int(usage["total_tokens"])


def test_azure_takes_its_deployment_from_the_path(
    weighing: Weighing, azure: AzureChatOpenAI
) -> None:
    answer = azure.invoke("weigh")
    row = weighing.booked(deployment="chat-prod", model="gpt-4o")
    assert answer.text == TEXT
    assert total(answer) == row.provider_total
    assert b'"model":null' in weighing.cloud.asked[-1].body.replace(b": ", b":")


def test_azure_streamed_asks_for_its_usage(weighing: Weighing, azure: AzureChatOpenAI) -> None:
    chunks = list(azure.stream("weigh"))
    row = weighing.booked(stream=True, deployment="chat-prod")
    assert "".join(chunk.text for chunk in chunks) == TEXT
    assert sum(total(chunk) for chunk in chunks if chunk.usage_metadata) == row.provider_total


def test_v1(weighing: Weighing, v1: ChatOpenAI) -> None:
    answer = v1.invoke("weigh")
    row = weighing.booked(user="user-0002", model="gpt-4o")
    assert total(answer) == row.provider_total


def test_v1_streamed_does_not_ask_and_is_weighed(weighing: Weighing, v1: ChatOpenAI) -> None:
    chunks = list(v1.stream("weigh"))
    weighing.booked(stream=True, team="search")
    assert "".join(chunk.text for chunk in chunks) == TEXT
    assert all(chunk.usage_metadata is None for chunk in chunks)


def test_v1_over_the_responses_api(weighing: Weighing, v1: ChatOpenAI) -> None:
    model = v1.model_copy(update={"use_responses_api": True})
    answer = model.invoke("weigh")
    row = weighing.booked(operation="responses")
    assert answer.text == TEXT
    assert total(answer) == row.provider_total


def test_embeddings_as_token_ids_need_no_tokenizer_here(
    weighing: Weighing, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    shipped = resources.files(vocabulary) / vocabulary.FILES["cl100k_base"]
    cached = tmp_path / hashlib.sha1(CL100K.encode()).hexdigest()
    cached.write_bytes(gzip.decompress(shipped.read_bytes()))
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    monkeypatch.setenv("OPENAI_API_BASE", f"{weighing.azure}/openai/v1")
    monkeypatch.setenv("OPENAI_API_KEY", weighing.key.key)
    texts = ["What does a weighbridge do?", "It weighs."]
    vectors = OpenAIEmbeddings(model="text-embedding-3-small").embed_documents(texts)
    row = weighing.booked(operation="embeddings", model="text-embedding-3-small")
    assert [len(vector) for vector in vectors] == [8, 8]
    body = weighing.cloud.asked[-1].body
    assert b"weighbridge" not in body
    assert row.counted_input == body.partition(b'"input"')[2].partition(b"]]")[0].count(b",") + 1
