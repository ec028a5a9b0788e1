"""The openai SDK on other clouds (Bedrock mantle and runtime, Vertex), and with every credential header at once."""

from typing import Any

import pytest
from openai import AzureOpenAI, BedrockOpenAI, OpenAI
from openai.providers import bedrock, vertex

from gateway.commands.demo.answers import TEXT
from tests.sdk.weighing import Opened, Weighing

REGION = "us-east-1"
GPT_OSS = "openai.gpt-oss-120b"
MESSAGES: Any = [{"role": "user", "content": "What does a weighbridge do?"}]


@pytest.fixture(params=["bearer", "pair"])
def mantle(
    request: pytest.FixtureRequest,
    weighing: Weighing,
    monkeypatch: pytest.MonkeyPatch,
    opened: Opened,
) -> OpenAI:
    monkeypatch.setenv("AWS_BEDROCK_BASE_URL", f"{weighing.bedrock}/openai/v1")
    monkeypatch.setenv("AWS_REGION", REGION)
    if request.param == "bearer":
        monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", weighing.key.key)
        return opened(BedrockOpenAI())
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", weighing.key.aws_access_key_id)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", weighing.key.aws_secret_access_key)
    return opened(OpenAI(provider=bedrock()))


def test_responses_on_mantle(weighing: Weighing, mantle: OpenAI) -> None:
    answer = mantle.responses.create(model=GPT_OSS, input="weigh")
    row = weighing.booked(
        provider="bedrock", upstream="mantle-test", operation="responses", model=GPT_OSS
    )
    assert answer.output_text == TEXT
    assert answer.usage is not None
    assert answer.usage.total_tokens == row.provider_total
    with mantle.responses.stream(model=GPT_OSS, input="weigh") as stream:
        assert stream.get_final_response().output_text == TEXT
    weighing.booked(upstream="mantle-test", operation="responses", stream=True)


def test_chat_on_mantle_by_environment(
    weighing: Weighing, monkeypatch: pytest.MonkeyPatch, opened: Opened
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", f"{weighing.bedrock}/v1")
    monkeypatch.setenv("OPENAI_API_KEY", weighing.key.key)
    client = opened(OpenAI())
    chunks = list(client.chat.completions.create(model=GPT_OSS, messages=MESSAGES, stream=True))
    weighing.booked(upstream="mantle-test", operation="chat.completions", stream=True)
    assert all(chunk.usage is None for chunk in chunks)


def test_a_signature_for_the_runtime_goes_to_the_runtime(
    weighing: Weighing, opened: Opened
) -> None:
    provider = bedrock(
        endpoint="runtime",
        region=REGION,
        base_url=f"{weighing.bedrock}/openai/v1",
        access_key_id=weighing.key.aws_access_key_id,
        secret_access_key=weighing.key.aws_secret_access_key,
    )
    client = opened(OpenAI(provider=provider))
    answer = client.responses.create(model="openai.gpt-oss-120b-1:0", input="weigh")
    weighing.booked(upstream="runtime-test", operation="responses", model=GPT_OSS)
    assert answer.output_text == TEXT


def test_responses_on_vertex(weighing: Weighing, opened: Opened) -> None:
    base = f"{weighing.google}/v1/projects/theirs/locations/us-central1/publishers/openai/v1"
    provider = vertex(base_url=base, token_provider=lambda: weighing.key.key)
    client = opened(OpenAI(provider=provider))
    answer = client.responses.create(model="gpt-oss-120b-maas", input="weigh")
    weighing.booked(
        provider="google",
        upstream="vertex-test",
        operation="responses",
        model="gpt-oss-120b-maas",
    )
    assert answer.output_text == TEXT
    assert "/projects/proj-1/" in weighing.cloud.asked[-1].path


@pytest.mark.parametrize("other", ["the same", "foreign"])
def test_no_credential_header_reaches_upstream_however_many_are_sent(
    other: str, weighing: Weighing, opened: Opened
) -> None:
    key = weighing.key.key
    second = key if other == "the same" else "sk-of-another-place"
    headers = {
        "Authorization": f"Bearer {second}",
        "x-api-key": second,
        "x-goog-api-key": second,
        "Cookie": f"session={second}",
        "Ocp-Apim-Subscription-Key": second,
    }
    client = opened(
        AzureOpenAI(
            azure_endpoint=weighing.azure,
            api_key=key,
            api_version="2024-10-21",
            default_headers=headers,
        )
    )
    client.chat.completions.create(model="gpt-4o", messages=MESSAGES)
    weighing.booked()
    sent = weighing.cloud.asked[-1].headers
    assert not any(second.encode() in value for _, value in sent)
    assert not {b"cookie", b"ocp-apim-subscription-key"} & {name for name, _ in sent}
