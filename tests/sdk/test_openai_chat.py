"""The openai SDK, unmodified: AzureOpenAI and OpenAI v1 style, chat, sync and async, streamed and not."""

import asyncio
from typing import Any

import openai
import pytest
from openai import AsyncAzureOpenAI, AsyncOpenAI, AzureOpenAI, OpenAI

from gateway.commands.demo.answers import TEXT
from tests.sdk.weighing import BIG, Opened, Weighing

VERSION = "2024-10-21"
MESSAGES: Any = [{"role": "user", "content": "What does a weighbridge do?"}]


@pytest.fixture
def azure(weighing: Weighing, monkeypatch: pytest.MonkeyPatch, opened: Opened) -> AzureOpenAI:
    """By environment alone."""
    monkeypatch.setenv("AZURE_OPENAI_ENDPOINT", weighing.azure)
    monkeypatch.setenv("AZURE_OPENAI_API_KEY", weighing.key.key)
    monkeypatch.setenv("OPENAI_API_VERSION", VERSION)
    return opened(AzureOpenAI())


@pytest.fixture
def v1(weighing: Weighing, monkeypatch: pytest.MonkeyPatch, opened: Opened) -> OpenAI:
    """By environment alone, for another user."""
    monkeypatch.setenv("OPENAI_BASE_URL", f"{weighing.azure}/openai/v1")
    monkeypatch.setenv("OPENAI_API_KEY", weighing.keys["indexer"].key)
    return opened(OpenAI())


def test_azure_by_environment(weighing: Weighing, azure: AzureOpenAI) -> None:
    answer = azure.chat.completions.create(model="gpt-4o", messages=MESSAGES)
    row = weighing.booked(operation="chat.completions", model="gpt-4o", provider="azure")
    assert answer.choices[0].message.content == TEXT
    assert answer.usage is not None
    assert answer.usage.total_tokens == row.provider_total
    assert (row.scope, row.deployment) == ("global", "gpt-4o")


def test_azure_by_constructor_with_a_prompt_that_is_partly_cached(weighing: Weighing) -> None:
    key = weighing.keys["indexer"].key
    with AzureOpenAI(azure_endpoint=weighing.azure, api_key=key, api_version=VERSION) as client:
        answer = client.chat.completions.create(
            model="gpt-4o", messages=[{"role": "user", "content": BIG}]
        )
    row = weighing.booked(user="user-0002", cost_centre="4100")
    assert answer.usage is not None
    assert answer.usage.prompt_tokens_details is not None
    cached = {line.unit: line.quantity for line in row.lines}["cache_read_text"]
    assert answer.usage.prompt_tokens_details.cached_tokens == cached == 1024


def test_a_key_as_the_bearer_token_an_entra_client_sends(weighing: Weighing) -> None:
    with AzureOpenAI(
        azure_endpoint=weighing.azure,
        azure_ad_token_provider=lambda: weighing.key.key,
        api_version=VERSION,
    ) as client:
        client.chat.completions.create(model="gpt-4o", messages=MESSAGES)
    weighing.booked()


def test_v1_by_environment(weighing: Weighing, v1: OpenAI) -> None:
    answer = v1.chat.completions.create(model="gpt-5.4", messages=MESSAGES)
    weighing.booked(model="gpt-5.4", team="search", app="indexer")
    assert answer.usage is not None
    assert answer.usage.completion_tokens_details is not None
    assert answer.usage.completion_tokens_details.reasoning_tokens == 17


@pytest.mark.parametrize("name", ["chat-prod", "team/gpt 4o.ü"])
def test_a_deployment_has_any_name(name: str, weighing: Weighing, azure: AzureOpenAI) -> None:
    azure.chat.completions.create(model=name, messages=MESSAGES)
    flags = () if name == "chat-prod" else ("served_model_unknown",)
    row = weighing.booked(deployment=name, model="gpt-4o", flags=flags)
    assert row.served_model == ("gpt-4o-2024-11-20" if name == "chat-prod" else name)


def test_an_unasked_stream_shows_no_usage_and_is_weighed_all_the_same(
    weighing: Weighing, azure: AzureOpenAI
) -> None:
    chunks = list(azure.chat.completions.create(model="gpt-4o", messages=MESSAGES, stream=True))
    weighing.booked(stream=True)
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == TEXT
    # The filter results' chunk, the first, is the only one without a choice: nothing we asked for is seen.
    assert [number for number, chunk in enumerate(chunks) if not chunk.choices] == [0]
    assert all(chunk.usage is None for chunk in chunks)
    assert b'"include_usage":true' in weighing.cloud.asked[-1].body


def test_a_stream_that_asks_for_usage_sees_it(weighing: Weighing, azure: AzureOpenAI) -> None:
    chunks = list(
        azure.chat.completions.create(
            model="gpt-4o",
            messages=[{"role": "user", "content": BIG}],
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    row = weighing.booked(stream=True)
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.total_tokens == row.provider_total


def test_a_refused_wish_for_usage_is_retried_once_and_remembered(
    weighing: Weighing, azure: AzureOpenAI
) -> None:
    for _ in range(2):
        chunks = azure.chat.completions.create(model="gpt-4o-old", messages=MESSAGES, stream=True)
        assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == TEXT
    asked = [b"stream_options" in each.body for each in weighing.cloud.asked[-3:]]
    assert asked == [True, False, False]
    first, second = weighing.rows(2)
    assert "usage_opt_in_refused" in first.row.flags
    for weighed in (first, second):
        row = weighed.row
        assert (row.status, row.outcome, row.price_status) == (200, "complete", "priced")
        # The output is the cloud's very text, so its count is tiktoken's own; the prompt's is a formula.
        assert row.provenance in ("estimated", "counted")
        assert {line.unit for line in row.lines} == {"input_text", "output_text"}
        assert row.provider_total == (row.counted_input or 0) + (row.counted_output or 0)


def test_the_client_closes_at_done_and_the_row_is_complete(
    weighing: Weighing, azure: AzureOpenAI, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weighing.cloud, "pause_ms", 3)
    for _ in range(3):
        with azure.chat.completions.create(
            model="gpt-4o", messages=MESSAGES, stream=True, stream_options={"include_usage": True}
        ) as stream:
            assert [chunk.usage for chunk in stream][-1] is not None
    for weighed in weighing.rows(3):
        weighing.check(weighed, stream=True)


def test_async_clients_at_the_same_time(weighing: Weighing) -> None:
    async def main() -> list[str]:
        azure = AsyncAzureOpenAI(
            azure_endpoint=weighing.azure, api_key=weighing.key.key, api_version=VERSION
        )
        v1 = AsyncOpenAI(
            base_url=f"{weighing.azure}/openai/v1", api_key=weighing.keys["indexer"].key
        )

        async def streamed() -> str:
            chunks = await azure.chat.completions.create(
                model="gpt-4o", messages=MESSAGES, stream=True
            )
            return "".join([c.choices[0].delta.content or "" async for c in chunks if c.choices])

        async def whole() -> str:
            answer = await v1.chat.completions.create(model="gpt-5.4", messages=MESSAGES)
            return answer.choices[0].message.content or ""

        async with azure, v1:
            return await asyncio.gather(*(each() for each in (streamed, whole) for _ in range(4)))

    assert asyncio.run(main()) == [TEXT] * 8
    rows = weighing.rows(8)
    assert sum(weighed.row.user == "user-0002" for weighed in rows) == 4
    total = sum(weighed.row.provider_total or 0 for weighed in rows)
    assert total == sum(sum(weighed.units.values()) for weighed in rows)


def test_retries_of_one_call_are_told_from_new_calls(
    weighing: Weighing, azure: AzureOpenAI
) -> None:
    with pytest.raises(openai.InternalServerError):
        azure.chat.completions.create(model="gpt-4o-503", messages=MESSAGES)
    rows = weighing.rows(3)
    assert [weighed.row.client_attempt for weighed in rows] == [1, 2, 3]
    for weighed in rows:
        weighing.check(weighed, status=503, outcome="error", price_status="free", lines=())
