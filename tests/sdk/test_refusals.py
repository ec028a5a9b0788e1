"""What an SDK raises when the gateway refuses, when upstream does, and when upstream is not there.

A refusal that waiting does not cure is asked for once: the gateway's own count of refusals says so.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import anthropic
import boto3
import openai
import pytest
from google import genai
from google.genai import errors, types

from gateway.storage.directory import MadeKey
from tests.sdk.weighing import Opened, Weighing

REGION = "us-east-1"
TOO_LARGE = "x" * 1_100_000
UNTOLD_WAIT_US = 750_000  # what the openai SDK waits before its second retry, at the least
NOBODY = MadeKey("wb_unknown", "", "AKIAUNKNOWNUNKNOWN12", "x" * 40)


class Caller:
    """An SDK on its road: how to ask for a model with a key, and how to read what it raised."""

    def __init__(self, weighing: Weighing, kept: Opened) -> None:
        self.weighing = weighing
        self._kept = kept
        self._clients: dict[str, Any] = {}

    def client(self, key: MadeKey) -> Any:
        """A client of its own for each key, made once."""
        if key.key not in self._clients:
            self._clients[key.key] = self._kept(self.made(key))
        return self._clients[key.key]

    def made(self, key: MadeKey) -> Any:
        raise NotImplementedError

    def ask(self, key: MadeKey, model: str, text: str = "weigh") -> None:
        raise NotImplementedError

    def read(self, error: Any) -> tuple[str, int, str]:
        """The exception's class, the status and the message."""
        return type(error).__name__, error.status_code, str(error)


class OpenAI(Caller):
    priced, unpriced = "gpt-4o", "gpt-unpriced"
    spent = ("RateLimitError", 429)
    unknown_key = ("AuthenticationError", 401)
    denied = ("PermissionDeniedError", 403)
    too_large = ("APIStatusError", 413)
    throttled = ("RateLimitError", 429, 3)
    away = ("InternalServerError", 503, 3)

    def made(self, key: MadeKey) -> Any:
        return openai.AzureOpenAI(
            azure_endpoint=self.weighing.azure, api_key=key.key, api_version="2024-10-21"
        )

    def ask(self, key: MadeKey, model: str, text: str = "weigh") -> None:
        client = self.client(key)
        client.chat.completions.create(model=model, messages=[{"role": "user", "content": text}])


class Foundry(Caller):
    priced, unpriced = "claude-sonnet-5", "gpt-unpriced"
    spent = ("RateLimitError", 429)
    unknown_key = ("AuthenticationError", 401)
    denied = ("PermissionDeniedError", 403)
    too_large = ("ContentTooLargeError", 413)
    throttled = ("RateLimitError", 429, 3)
    away = ("ServiceUnavailableError", 503, 3)

    def made(self, key: MadeKey) -> Any:
        return anthropic.AnthropicFoundry(
            base_url=f"{self.weighing.azure}/anthropic", api_key=key.key
        )

    def ask(self, key: MadeKey, model: str, text: str = "weigh") -> None:
        client = self.client(key)
        client.messages.create(
            model=model, max_tokens=64, messages=[{"role": "user", "content": text}]
        )


class BedrockAnthropic(Foundry):
    priced, unpriced = "anthropic.claude-sonnet-4-5-20250929-v1:0", "anthropic.claude-none-v9:0"
    spent = ("BadRequestError", 400)
    unknown_key = ("PermissionDeniedError", 403)  # AWS has no 401
    too_large = ("BadRequestError", 400)

    def made(self, key: MadeKey) -> Any:
        return anthropic.AnthropicBedrock(
            base_url=self.weighing.bedrock,
            aws_region=REGION,
            aws_access_key=key.aws_access_key_id,
            aws_secret_key=key.aws_secret_access_key,
        )


class Boto3(Caller):
    priced, unpriced = "us.anthropic.claude-sonnet-4-5-20250929-v1:0", "amazon.none-v1:0"
    spent = ("ServiceQuotaExceededException", 400)
    unknown_key = ("AccessDeniedException", 403)
    denied = ("AccessDeniedException", 403)
    too_large = ("ValidationException", 400)
    throttled = ("ThrottlingException", 429, 3)
    away = ("ServiceUnavailableException", 503, 3)

    def made(self, key: MadeKey) -> Any:
        session = boto3.Session(
            key.aws_access_key_id, key.aws_secret_access_key, region_name=REGION
        )
        return session.client("bedrock-runtime", endpoint_url=self.weighing.bedrock)

    def ask(self, key: MadeKey, model: str, text: str = "weigh") -> None:
        messages = [{"role": "user", "content": [{"text": text}]}]
        self.client(key).converse(modelId=model, messages=messages)

    def read(self, error: Any) -> tuple[str, int, str]:
        meta = error.response["ResponseMetadata"]
        return type(error).__name__, meta["HTTPStatusCode"], str(error)


class Google(Caller):
    priced, unpriced = "gemini-2.5-flash", "gemini-none"
    spent = ("ClientError", 429)
    unknown_key = ("ClientError", 401)
    denied = ("ClientError", 403)
    too_large = ("ClientError", 413)
    throttled = ("ClientError", 429, 1)
    away = ("ServerError", 503, 1)

    def made(self, key: MadeKey) -> Any:
        options = types.HttpOptions(base_url=self.weighing.google)
        return genai.Client(api_key=key.key, http_options=options)

    def ask(self, key: MadeKey, model: str, text: str = "weigh") -> None:
        self.client(key).models.generate_content(model=model, contents=text)

    def read(self, error: Any) -> tuple[str, int, str]:
        assert isinstance(error, errors.APIError)
        assert error.status
        return type(error).__name__, error.code, str(error.message)


CALLERS: tuple[type[Any], ...] = (OpenAI, Foundry, BedrockAnthropic, Boto3, Google)


@pytest.fixture(scope="module", params=CALLERS, ids=lambda caller: caller.__name__)
def caller(request: pytest.FixtureRequest, everything: Weighing, kept: Opened) -> Any:
    made: Any = request.param(everything, kept)
    return made


@pytest.fixture
def refused(weighing: Weighing, caller: Any) -> Iterator[Callable[..., str]]:
    """Asks, and checks the class, the status, and that the SDK asked once: it did not wait to try again."""

    def check(code: str, expected: tuple[str, int], *asked: Any) -> str:
        before = weighing.refusals()
        with pytest.raises(Exception) as caught:  # noqa: PT011  # read, and checked, by its own SDK
            caller.ask(*asked)
        assert weighing.refusals() - before == Counter({code: 1})
        name, status, message = caller.read(caught.value)
        assert (name, status) == expected
        weighing.nothing_booked()
        return str(message)

    yield check
    assert weighing.unclaimed == 0


def test_an_unknown_key(caller: Any, refused: Callable[..., str]) -> None:
    assert "unknown" in refused("unknown_key", caller.unknown_key, NOBODY, caller.priced)


def test_a_model_the_key_may_not_use(
    weighing: Weighing, caller: Any, refused: Callable[..., str]
) -> None:
    model = "gpt-5.4" if caller.priced == "gpt-4o" else caller.priced
    message = refused("model_not_allowed", caller.denied, weighing.keys["narrow"], model)
    assert "team 'support' may not use" in message
    assert "gpt-4o*, amazon.nova-*" in message


def test_a_model_without_a_price(
    weighing: Weighing, caller: Any, refused: Callable[..., str]
) -> None:
    message = refused("unpriced", caller.denied, weighing.keys["indexer"], caller.unpriced)
    assert "names no model of the price book" in message
    assert "price row" in message


def test_a_budget_that_is_spent(
    weighing: Weighing, caller: Any, refused: Callable[..., str]
) -> None:
    """Waiting does not help: the SDK does not wait, and the words say what it would have cost."""
    message = refused("budget_spent", caller.spent, weighing.keys["broke"], caller.priced)
    assert "budget 'team broke' has 0.000000001 of 0.000000001 USD left for this month" in message
    assert "this request may use up to" in message


def test_a_body_over_the_limit(
    weighing: Weighing, caller: Any, refused: Callable[..., str]
) -> None:
    message = refused("payload_too_large", caller.too_large, weighing.key, caller.priced, TOO_LARGE)
    assert "over the limit of 1048576 bytes" in message


@pytest.mark.parametrize("status", ["throttled", "away"])
def test_upstreams_own_errors_pass_and_each_attempt_has_its_row(
    status: str, weighing: Weighing, caller: Any
) -> None:
    expected, code, attempts = getattr(caller, status)
    with pytest.raises(Exception, match=f"scripted refusal {code}") as caught:
        caller.ask(weighing.key, f"{caller.priced.split(':')[0]}-{code}")
    assert caller.read(caught.value)[:2] == (expected, code)
    for weighed in weighing.rows(attempts):
        weighing.check(weighed, status=code, outcome="error", price_status="free", lines=())


@pytest.mark.parametrize("sdk", [OpenAI, Foundry], ids=lambda caller: caller.__name__)
def test_an_unknown_deployment(sdk: type[Any], weighing: Weighing, opened: Opened) -> None:
    made = sdk(weighing, opened)
    before = weighing.refusals()
    with pytest.raises((openai.NotFoundError, anthropic.NotFoundError)) as caught:
        made.ask(weighing.key, "gpt-none")
    assert "no deployment named 'gpt-none' is configured" in str(caught.value)
    assert weighing.refusals() - before == Counter({"unknown_deployment": 1})
    weighing.nothing_booked()


def test_an_unknown_path_names_the_right_one(weighing: Weighing, opened: Opened) -> None:
    client = opened(openai.OpenAI(base_url=weighing.azure, api_key=weighing.key.key))
    with pytest.raises(openai.NotFoundError, match="<gateway>/azure/openai/v1"):
        client.chat.completions.create(
            model="gpt-4o", messages=[{"role": "user", "content": "weigh"}]
        )
    weighing.nothing_booked()


def test_an_upstream_that_is_not_there_costs_nothing(weighing: Weighing, opened: Opened) -> None:
    with pytest.raises(openai.InternalServerError) as caught:
        OpenAI(weighing, opened).ask(weighing.key, "gone")
    assert caught.value.status_code == 502
    weighing.nothing_booked()


def test_a_key_in_the_url_is_refused(weighing: Weighing, opened: Opened) -> None:
    client = opened(
        openai.OpenAI(
            base_url=f"{weighing.google}/v1beta/openai",
            api_key="none",
            default_query={"key": weighing.key.key},
        )
    )
    with pytest.raises(openai.BadRequestError, match="ends up in logs"):
        client.chat.completions.create(
            model="gemini-2.5-flash", messages=[{"role": "user", "content": "weigh"}]
        )
    weighing.nothing_booked()


@pytest.mark.parametrize("sdk", [OpenAI, Foundry], ids=lambda caller: caller.__name__)
def test_a_rate_makes_the_sdk_wait_as_long_as_it_takes(
    sdk: type[Any], weighing: Weighing, opened: Opened
) -> None:
    made, key = sdk(weighing, opened), weighing.keys["rated"]
    before = weighing.refusals()
    for _ in range(3):
        made.ask(key, made.priced)
    assert set(weighing.refusals() - before) == {"too_many_requests"}
    assert [weighed.row.status for weighed in weighing.rows(3)] == [200, 200, 200]


def test_upstreams_hint_to_wait_reaches_the_sdk(weighing: Weighing, opened: Opened) -> None:
    """Three attempts, 30 ms apart."""
    with pytest.raises(openai.RateLimitError):
        OpenAI(weighing, opened).ask(weighing.key, "gpt-4o-429")
    _, second, third = (weighed.row for weighed in weighing.rows(3))
    assert third.occurred_us - second.occurred_us < UNTOLD_WAIT_US
