"""The anthropic SDK, unmodified, on all three clouds: Bedrock, Bedrock mantle, Vertex and Foundry."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from anthropic import (
    AnthropicBedrock,
    AnthropicBedrockMantle,
    AnthropicFoundry,
    AnthropicVertex,
    AsyncAnthropicBedrock,
    AsyncAnthropicFoundry,
    AsyncAnthropicVertex,
)

from gateway.commands.demo.answers import TEXT
from tests.sdk.weighing import BIG, Opened, Weighing

REGION = "us-east-1"
ON_BEDROCK = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
ON_MANTLE = "anthropic.claude-sonnet-5"
ON_VERTEX = "claude-sonnet-4-5@20250929"
ON_FOUNDRY = "claude-sonnet-5"
ACCOUNT = "123456789012"
PROFILE_ARN = f"arn:aws:bedrock:{REGION}:{ACCOUNT}:inference-profile/{ON_BEDROCK}"
OPAQUE_ARN = f"arn:aws:bedrock:{REGION}:{ACCOUNT}:application-inference-profile/abc123def456"
Client = Any
Road = tuple[Callable[["Setting"], Client], str, dict[str, Any]]


class Setting:
    """What a client may be given: the gateway's address and keys, and environment variables."""

    def __init__(self, weighing: Weighing, patch: pytest.MonkeyPatch, key: str = "") -> None:
        self.weighing = weighing
        self.patch = patch
        self.made = weighing.keys[key] if key else weighing.key

    def environment(self, **variables: str) -> None:
        for name, value in variables.items():
            self.patch.setenv(name, value)


def bedrock_by_bearer(given: Setting) -> Client:
    given.environment(
        ANTHROPIC_BEDROCK_BASE_URL=given.weighing.bedrock,
        AWS_BEARER_TOKEN_BEDROCK=given.made.key,
        AWS_REGION=REGION,
    )
    return AnthropicBedrock()


def bedrock_by_pair(given: Setting) -> Client:
    given.environment(
        ANTHROPIC_BEDROCK_BASE_URL=given.weighing.bedrock,
        AWS_ACCESS_KEY_ID=given.made.aws_access_key_id,
        AWS_SECRET_ACCESS_KEY=given.made.aws_secret_access_key,
        AWS_REGION=REGION,
        ANTHROPIC_CUSTOM_HEADERS="X-Team: core",
    )
    return AnthropicBedrock()


def bedrock_by_constructor(given: Setting) -> Client:
    return AnthropicBedrock(
        base_url=given.weighing.bedrock,
        aws_region=REGION,
        aws_access_key=given.made.aws_access_key_id,
        aws_secret_key=given.made.aws_secret_access_key,
    )


def mantle_by_bearer(given: Setting) -> Client:
    given.environment(
        ANTHROPIC_BEDROCK_MANTLE_BASE_URL=f"{given.weighing.bedrock}/anthropic",
        AWS_BEARER_TOKEN_BEDROCK=given.made.key,
        AWS_REGION=REGION,
    )
    return AnthropicBedrockMantle()


def mantle_by_pair(given: Setting) -> Client:
    return AnthropicBedrockMantle(
        base_url=f"{given.weighing.bedrock}/anthropic",
        aws_region=REGION,
        aws_access_key=given.made.aws_access_key_id,
        aws_secret_key=given.made.aws_secret_access_key,
    )


def vertex_by_environment(given: Setting) -> Client:
    given.environment(
        ANTHROPIC_VERTEX_BASE_URL=f"{given.weighing.google}/v1",
        ANTHROPIC_VERTEX_PROJECT_ID="their-project",
        CLOUD_ML_REGION="us-east5",
        ANTHROPIC_CUSTOM_HEADERS=f"Authorization: Bearer {given.made.key}",
    )
    return AnthropicVertex()


def vertex_by_constructor(given: Setting) -> Client:
    return AnthropicVertex(
        base_url=f"{given.weighing.google}/v1",
        project_id="their-project",
        region="us-east5",
        access_token=given.made.key,
    )


def foundry_by_environment(given: Setting) -> Client:
    given.environment(
        ANTHROPIC_FOUNDRY_BASE_URL=f"{given.weighing.azure}/anthropic",
        ANTHROPIC_FOUNDRY_API_KEY=given.made.key,
    )
    return AnthropicFoundry()


def foundry_by_constructor(given: Setting) -> Client:
    return AnthropicFoundry(
        base_url=f"{given.weighing.azure}/anthropic",
        azure_ad_token_provider=lambda: given.made.key,
    )


ROADS: dict[str, Road] = {
    road.__name__: (road, model, expected)
    for roads, model, expected in (
        (
            (bedrock_by_bearer, bedrock_by_pair, bedrock_by_constructor),
            ON_BEDROCK,
            {"provider": "bedrock", "model": "anthropic.claude-sonnet-4-5", "geo": "us"},
        ),
        (
            (mantle_by_bearer, mantle_by_pair),
            ON_MANTLE,
            {"provider": "bedrock", "model": "anthropic.claude-sonnet-5", "scope": "in_region"},
        ),
        (
            (vertex_by_environment, vertex_by_constructor),
            ON_VERTEX,
            {"provider": "google", "model": "claude-sonnet-4-5", "region": "us-east5"},
        ),
        (
            (foundry_by_environment, foundry_by_constructor),
            ON_FOUNDRY,
            {"provider": "azure", "model": "claude-sonnet-5", "scope": "global"},
        ),
    )
    for road in roads
}


@pytest.fixture(params=ROADS)
def road(request: pytest.FixtureRequest) -> Road:
    return ROADS[request.param]


@pytest.fixture
def setting(weighing: Weighing, monkeypatch: pytest.MonkeyPatch) -> Setting:
    return Setting(weighing, monkeypatch)


def asking(text: str) -> list[Any]:
    return [{"role": "user", "content": text}]


def test_a_message(weighing: Weighing, setting: Setting, road: Road, opened: Opened) -> None:
    make, model, expected = road
    client = opened(make(setting))
    answer = client.messages.create(model=model, max_tokens=64, messages=asking(BIG))
    row = weighing.booked(deployment=model, **expected)
    assert answer.content[0].text == TEXT
    usage = answer.usage
    assert usage.input_tokens + usage.cache_read_input_tokens + usage.output_tokens == (
        row.provider_total
    )
    assert usage.cache_read_input_tokens == 1024


def test_a_message_streamed(
    weighing: Weighing, setting: Setting, road: Road, opened: Opened
) -> None:
    make, model, expected = road
    client = opened(make(setting))
    with client.messages.stream(model=model, max_tokens=64, messages=asking("weigh")) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    row = weighing.booked(stream=True, **expected)
    assert text == TEXT
    assert final.usage.input_tokens + final.usage.output_tokens == row.provider_total


@pytest.mark.parametrize("make", [vertex_by_constructor, foundry_by_constructor, mantle_by_bearer])
def test_counting_tokens_is_free(
    make: Callable[[Setting], Client], weighing: Weighing, setting: Setting, opened: Opened
) -> None:
    model = {road.__name__: model for road, model, _ in ROADS.values()}[make.__name__]
    client = opened(make(setting))
    assert client.messages.count_tokens(model=model, messages=asking("weigh")).input_tokens == 7
    weighing.nothing_booked()


def test_the_project_in_the_path_is_ours_not_the_clients(
    weighing: Weighing, setting: Setting, opened: Opened
) -> None:
    client = opened(vertex_by_constructor(setting))
    client.messages.create(model=ON_VERTEX, max_tokens=64, messages=asking("weigh"))
    weighing.booked()
    assert weighing.cloud.asked[-1].path == (
        f"/v1/projects/proj-1/locations/us-east5/publishers/anthropic/models/{ON_VERTEX}:rawPredict"
    )


@pytest.mark.parametrize("make", [bedrock_by_bearer, bedrock_by_pair])
def test_a_profile_arn_is_the_model_it_names(
    make: Callable[[Setting], Client], weighing: Weighing, setting: Setting, opened: Opened
) -> None:
    client = opened(make(setting))
    client.messages.create(model=PROFILE_ARN, max_tokens=64, messages=asking("weigh"))
    weighing.booked(model="anthropic.claude-sonnet-4-5", geo="us", deployment=PROFILE_ARN)
    # Byte for byte as this SDK writes it: colons as they are, only the slash encoded.
    assert weighing.cloud.asked[-1].path == f"/model/{PROFILE_ARN.replace('/', '%2F')}/invoke"


def test_an_opaque_arn_passes_and_is_booked_unpriced(
    weighing: Weighing, setting: Setting, opened: Opened
) -> None:
    client = opened(bedrock_by_pair(setting))
    client.messages.create(model=OPAQUE_ARN, max_tokens=64, messages=asking("weigh"))
    row = weighing.booked(price_status="unpriced", model=None, flags=("unpriced",))
    assert row.net_pico is None


def test_the_rows_belong_to_the_key_that_was_used(
    weighing: Weighing, monkeypatch: pytest.MonkeyPatch, opened: Opened
) -> None:
    setting = Setting(weighing, monkeypatch, "indexer")
    for make in (bedrock_by_constructor, vertex_by_constructor, foundry_by_constructor):
        _, model, expected = ROADS[make.__name__]
        client = opened(make(setting))
        client.messages.create(model=model, max_tokens=64, messages=asking("weigh"))
        weighing.booked(user="user-0002", team="search", cost_centre="4100", **expected)


def test_async_clients_of_three_clouds_at_the_same_time(weighing: Weighing) -> None:
    key = weighing.key

    async def main() -> list[str]:
        bedrock = AsyncAnthropicBedrock(
            base_url=weighing.bedrock,
            aws_region=REGION,
            aws_access_key=key.aws_access_key_id,
            aws_secret_key=key.aws_secret_access_key,
        )
        vertex = AsyncAnthropicVertex(
            base_url=f"{weighing.google}/v1",
            project_id="p",
            region="us-east5",
            access_token=key.key,
        )
        foundry = AsyncAnthropicFoundry(base_url=f"{weighing.azure}/anthropic", api_key=key.key)
        clients = ((bedrock, ON_BEDROCK), (vertex, ON_VERTEX), (foundry, ON_FOUNDRY))

        async def one(client: Client, model: str) -> str:
            async with client.messages.stream(
                model=model, max_tokens=64, messages=asking("weigh")
            ) as stream:
                return str(await stream.get_final_text())

        async with bedrock, vertex, foundry:
            return await asyncio.gather(*(one(*each) for each in clients * 2))

    assert asyncio.run(main()) == [TEXT] * 6
    rows = weighing.rows(6)
    assert sorted(weighed.row.provider for weighed in rows) == (
        ["azure", "azure", "bedrock", "bedrock", "google", "google"]
    )
    assert all(weighed.row.provenance == "reported" for weighed in rows)
    assert sum(weighed.row.provider_total or 0 for weighed in rows) == (
        sum(sum(weighed.units.values()) for weighed in rows)
    )
