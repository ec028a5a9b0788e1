"""boto3, unmodified: SigV4 with a pair the gateway issued, over plain http; every operation of the runtime."""

import json
from collections.abc import Callable
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, EventStreamError

from gateway.commands.demo.answers import TEXT, Counts
from gateway.kernel.money import format_usd
from tests.sdk import shapes
from tests.sdk.weighing import BIG, Opened, Weighing

REGION = "us-east-1"
NOVA = "amazon.nova-pro-v1:0"
CLAUDE = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
PROFILE_ARN = f"arn:aws:bedrock:{REGION}:123456789012:inference-profile/{CLAUDE}"
MESSAGES = [{"role": "user", "content": [{"text": "What does a weighbridge do?"}]}]
Runtime = Any


@pytest.fixture(scope="module")
def runtime(everything: Weighing, kept: Opened) -> Runtime:
    """By environment alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_CONFIG_FILE", "/nonexistent")
        patch.setenv("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", everything.bedrock)
        patch.setenv("AWS_ACCESS_KEY_ID", everything.key.aws_access_key_id)
        patch.setenv("AWS_SECRET_ACCESS_KEY", everything.key.aws_secret_access_key)
        patch.setenv("AWS_DEFAULT_REGION", REGION)
        return kept(boto3.Session().client("bedrock-runtime"))


@pytest.fixture
def client(weighing: Weighing, opened: Opened) -> Callable[..., Runtime]:
    """By constructor, with any pair."""

    def made(access_key_id: str, secret: str, **more: Any) -> Runtime:
        session = boto3.Session(access_key_id, secret, region_name=REGION)
        return opened(session.client("bedrock-runtime", endpoint_url=weighing.bedrock, **more))

    return made


def test_converse(weighing: Weighing, runtime: Runtime) -> None:
    answer = runtime.converse(modelId=NOVA, messages=MESSAGES)
    row = weighing.booked(
        provider="bedrock",
        operation="converse",
        model="amazon.nova-pro",
        scope="in_region",
        region=REGION,
        deployment=NOVA,
    )
    assert answer["output"]["message"]["content"][0]["text"] == TEXT
    assert answer["usage"]["totalTokens"] == row.provider_total
    assert (row.client_attempt, len(row.client_call_id or "")) == (1, 36)


def test_converse_with_a_prompt_that_is_partly_cached(weighing: Weighing, runtime: Runtime) -> None:
    messages = [{"role": "user", "content": [{"text": BIG}]}]
    answer = runtime.converse(modelId=CLAUDE, messages=messages)
    row = weighing.booked(model="anthropic.claude-sonnet-4-5", scope="geo", geo="us")
    cached = {line.unit: line.quantity for line in row.lines}["cache_read_text"]
    assert answer["usage"]["cacheReadInputTokens"] == cached == 1024


def test_converse_streamed(weighing: Weighing, runtime: Runtime) -> None:
    events = list(runtime.converse_stream(modelId=CLAUDE, messages=MESSAGES)["stream"])
    row = weighing.booked(operation="converse-stream", stream=True)
    text = "".join(
        event["contentBlockDelta"]["delta"]["text"]
        for event in events
        if "contentBlockDelta" in event
    )
    assert text == TEXT
    assert events[-1]["metadata"]["usage"]["totalTokens"] == row.provider_total


FAMILIES = {
    "amazon.nova-lite-v1:0": {"messages": MESSAGES},
    "amazon.titan-text-express-v1": {"inputText": "weigh"},
    "amazon.titan-embed-text-v2:0": {"inputText": "weigh"},
    "meta.llama3-1-8b-instruct-v1:0": {"prompt": "weigh", "max_gen_len": 64},
    "mistral.mistral-large-2407-v1:0": {"prompt": "<s>[INST] weigh [/INST]"},
    "cohere.command-text-v14": {"prompt": "weigh"},
    "cohere.embed-english-v3": {"texts": ["weigh", "this"], "input_type": "search_document"},
    CLAUDE: {
        "anthropic_version": "bedrock-2023-05-31",
        "max_tokens": 64,
        "messages": [{"role": "user", "content": "weigh"}],
    },
}


@pytest.mark.parametrize("model", FAMILIES)
def test_invoke(model: str, weighing: Weighing, runtime: Runtime) -> None:
    answer = runtime.invoke_model(modelId=model, body=json.dumps(FAMILIES[model]))
    row = weighing.booked(operation="invoke", deployment=model)
    body = json.loads(answer["body"].read())
    if shapes.family_of(model):
        assert body.keys() == shapes.family(model, Counts(0, 0, 0)).keys()
    else:
        assert body["content"][0]["text"] == TEXT
    stated = answer["ResponseMetadata"]["HTTPHeaders"]["x-amzn-bedrock-input-token-count"]
    assert {line.unit: line.quantity for line in row.lines}["input_text"] == int(stated)


@pytest.mark.parametrize(
    "model",
    [
        each
        for each in FAMILIES
        if "embed" not in each and "titan" not in each and "cohere" not in each
    ],
)
def test_invoke_streamed(model: str, weighing: Weighing, runtime: Runtime) -> None:
    answer = runtime.invoke_model_with_response_stream(
        modelId=model, body=json.dumps(FAMILIES[model])
    )
    last = [json.loads(event["chunk"]["bytes"]) for event in answer["body"]][-1]
    row = weighing.booked(operation="invoke-with-response-stream", stream=True)
    metrics = last["amazon-bedrock-invocationMetrics"]
    assert metrics["inputTokenCount"] + metrics["outputTokenCount"] == row.provider_total


def test_counting_tokens_is_free(weighing: Weighing, runtime: Runtime) -> None:
    answer = runtime.count_tokens(modelId=CLAUDE, input={"converse": {"messages": MESSAGES}})
    assert answer["inputTokens"] == 7
    body = json.dumps(FAMILIES[CLAUDE]).encode()
    answer = runtime.count_tokens(modelId=CLAUDE, input={"invokeModel": {"body": body}})
    assert answer["inputTokens"] == 7
    weighing.nothing_booked()


def test_a_guardrail_is_billed_by_its_units(weighing: Weighing, runtime: Runtime) -> None:
    answer = runtime.apply_guardrail(
        guardrailIdentifier="gr-1",
        guardrailVersion="1",
        source="INPUT",
        content=[{"text": {"text": "weigh"}}],
    )
    weighing.booked(operation="apply-guardrail", model="guardrail")
    assert answer["usage"]["contentPolicyUnits"] == 2


def test_ids_and_arns_reach_upstream_byte_for_byte_and_name_the_same_model(
    weighing: Weighing, runtime: Runtime
) -> None:
    for name in (CLAUDE, PROFILE_ARN):
        runtime.converse(modelId=name, messages=MESSAGES)
        weighing.booked(deployment=name, model="anthropic.claude-sonnet-4-5", geo="us")
        sent = name.replace(":", "%3A").replace("/", "%2F")
        assert weighing.cloud.asked[-1].path == f"/model/{sent}/converse"


def test_a_session_token_is_signed_and_stays_here(
    weighing: Weighing, client: Callable[..., Runtime]
) -> None:
    runtime = client(
        weighing.key.aws_access_key_id,
        weighing.key.aws_secret_access_key,
        aws_session_token="team=core",
    )
    runtime.converse(modelId=NOVA, messages=MESSAGES)
    weighing.booked()
    assert not any(name == b"x-amz-security-token" for name, _ in weighing.cloud.asked[-1].headers)


def test_the_pair_of_another_user_books_to_that_user(
    weighing: Weighing, client: Callable[..., Runtime]
) -> None:
    made = weighing.keys["indexer"]
    runtime = client(made.aws_access_key_id, made.aws_secret_access_key)
    runtime.converse(modelId=NOVA, messages=MESSAGES)
    weighing.booked(user="user-0002", team="search", cost_centre="4100", app="indexer")


def test_wrong_secrets_and_unknown_keys_raise_the_sdks_own_error_at_once(
    weighing: Weighing, client: Callable[..., Runtime]
) -> None:
    wrong = client(weighing.key.aws_access_key_id, "x" * 40)
    unknown = client("AKIAIOSFODNN7EXAMPLE", weighing.key.aws_secret_access_key)
    for runtime in (wrong, unknown):
        with pytest.raises(runtime.exceptions.AccessDeniedException) as caught:
            runtime.converse(modelId=NOVA, messages=MESSAGES)
        meta = caught.value.response["ResponseMetadata"]
        assert (meta["HTTPStatusCode"], meta["RetryAttempts"]) == (403, 0)
    weighing.nothing_booked()


def test_retries_of_one_call_share_its_id(
    weighing: Weighing, client: Callable[..., Runtime]
) -> None:
    key = weighing.key
    runtime = client(
        key.aws_access_key_id,
        key.aws_secret_access_key,
        config=Config(retries={"mode": "standard", "total_max_attempts": 3}),
    )
    with pytest.raises(runtime.exceptions.ThrottlingException) as caught:
        runtime.converse(modelId="amazon.nova-pro-429", messages=MESSAGES)
    assert caught.value.response["ResponseMetadata"]["RetryAttempts"] == 2
    rows = weighing.rows(3)
    for weighed in rows:
        weighing.check(weighed, status=429, outcome="error", price_status="free", lines=())
    assert len({weighed.row.client_call_id for weighed in rows}) == 1
    assert [weighed.row.client_attempt for weighed in rows] == [1, 2, 3]


def test_an_exception_inside_a_stream_raises_and_is_counted(
    weighing: Weighing, runtime: Runtime
) -> None:
    stream = runtime.converse_stream(modelId="amazon.throttled", messages=MESSAGES)["stream"]
    with pytest.raises(EventStreamError, match="too many tokens"):
        list(stream)
    row = weighing.rows(1)[0].row
    assert (row.status, row.outcome, row.provenance) == (200, "error", "estimated")
    assert row.counted_output


def test_a_typed_error_of_upstreams_own(weighing: Weighing, runtime: Runtime) -> None:
    with pytest.raises(runtime.exceptions.ResourceNotFoundException, match="scripted refusal 404"):
        runtime.converse(modelId="amazon.nova-pro-404", messages=MESSAGES)
    weighing.booked(status=404, outcome="error", price_status="free")


def test_an_object_is_read_only_from_where_the_owner_said(
    weighing: Weighing, runtime: Runtime
) -> None:
    def asked(uri: str) -> Any:
        picture = {"format": "png", "source": {"s3Location": {"uri": uri, "bucketOwner": "1" * 12}}}
        content = [{"text": "What is in it? Not s3://theirs/a, surely."}, {"image": picture}]
        return runtime.converse(modelId=NOVA, messages=[{"role": "user", "content": content}])

    assert asked("s3://media/a.png")["usage"]
    weighing.booked(provider="bedrock", status=200)
    for uri in ("s3://theirs/a.png", "s3://media-of-others/a.png"):
        with pytest.raises(ClientError, match=r"runtime-test\.object_uris") as caught:
            asked(uri)
        assert caught.value.response["Error"]["Code"] == "AccessDeniedException"
    weighing.nothing_booked()


def test_what_cannot_be_metered_is_refused_with_a_reason(
    weighing: Weighing, runtime: Runtime
) -> None:
    with pytest.raises(ClientError, match="async invoke does not pass this gateway") as caught:
        runtime.start_async_invoke(
            modelId="amazon.nova-reel-v1:0",
            modelInput={"taskType": "TEXT_VIDEO"},
            outputDataConfig={"s3OutputDataConfig": {"s3Uri": "s3://bucket/x"}},
        )
    assert caught.value.response["Error"]["Code"] == "AccessDeniedException"
    assert "call the provider itself" in caught.value.response["Error"]["Message"]
    weighing.nothing_booked()


@pytest.mark.parametrize(
    ("model", "config", "dollars"),
    [
        ("amazon.titan-image-generator-v1", {"width": 512, "height": 512}, "0.016"),
        ("amazon.titan-image-generator-v2:0", {}, "0.02"),
        ("amazon.titan-image-generator-v2:0", {"quality": "premium"}, "0.024"),
        ("amazon.nova-canvas-v1:0", {"width": 512, "height": 512}, "0.08"),
        ("amazon.nova-canvas-v1:0", {"quality": "premium"}, "0.12"),
        ("amazon.nova-canvas-v1:0", {"width": 2048, "height": 2048, "quality": "premium"}, "0.16"),
    ],
)
def test_pictures_are_priced_by_their_size_and_quality(
    weighing: Weighing, runtime: Runtime, model: str, config: dict[str, Any], dollars: str
) -> None:
    asked = {
        "taskType": "TEXT_IMAGE",
        "textToImageParams": {"text": "a weighbridge"},
        "imageGenerationConfig": {"numberOfImages": 2, **config},
    }
    answer = runtime.invoke_model(modelId=model, body=json.dumps(asked))
    assert len(json.loads(answer["body"].read())["images"]) == 2
    row = weighing.booked(operation="invoke", deployment=model, provenance="counted")
    assert row.list_pico is not None
    assert format_usd(row.list_pico) == dollars
