"""The JavaScript SDKs, unmodified, each by its constructor: openai, anthropic, google-genai, the AWS SDK, the AI SDK.

They need Node 20 or newer and the packages of ``tests/sdk/javascript``: ``make test-js`` installs these and runs
this module; without them it is skipped and says so.
"""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest

from gateway.commands.demo.answers import TEXT
from gateway.storage.directory import MadeKey
from tests.sdk.weighing import Weighing

HERE: Final = Path(__file__).parent / "javascript"
NODE: Final = shutil.which("node")
SECONDS_MAX: Final = 60
pytestmark = pytest.mark.skipif(
    NODE is None or not (HERE / "node_modules").is_dir(),
    reason="the JavaScript SDKs are not installed: make test-js",
)
NOVA: Final = "amazon.nova-pro-v1:0"
CLAUDE: Final = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
GEMINI: Final = "gemini-2.5-flash"
CALLS: Final = {
    "openai AzureOpenAI chat": ("gpt-4o", "chat.completions"),
    "openai AzureOpenAI chat streamed": ("gpt-4o", "chat.completions"),
    "openai v1 responses streamed": ("gpt-5.4", "responses"),
    "anthropic Foundry messages streamed": ("claude-sonnet-5", "messages"),
    "genai generateContent": (GEMINI, "generateContent"),
    "genai generateContentStream": (GEMINI, "streamGenerateContent"),
    "AWS converse over HTTP/1.1": (NOVA, "converse"),
    "AWS converseStream over HTTP/1.1": (CLAUDE, "converse-stream"),
    "AI SDK Azure responses": ("gpt-5.4", "responses"),
    "AI SDK Azure chat streamed": ("gpt-4o", "chat.completions"),
    "AI SDK Bedrock": (NOVA, "converse"),
    "AI SDK Bedrock streamed": (CLAUDE, "converse-stream"),
    "AI SDK Google": (GEMINI, "generateContent"),
    "AI SDK Google streamed": (GEMINI, "streamGenerateContent"),
}
OVER_HTTP2: Final = {
    "AWS converse": (NOVA, "converse"),
    "AWS converseStream": (CLAUDE, "converse-stream"),
}
REFUSED: Final = {
    "openai AzureOpenAI chat": ("gpt-4o", "AuthenticationError", 401),
    "anthropic Foundry messages streamed": ("claude-sonnet-5", "AuthenticationError", 401),
    "genai generateContent": (GEMINI, "ApiError", 401),
    "AWS converse over HTTP/1.1": (NOVA, "AccessDeniedException", 403),
    "AI SDK Azure responses": ("gpt-5.4", "AI_APICallError", 401),
    "AI SDK Bedrock": (NOVA, "AI_APICallError", 403),
    "AI SDK Google": (GEMINI, "AI_APICallError", 401),
}


def called(weighing: Weighing, call: str, model: str, key: MadeKey | None = None) -> dict[str, Any]:
    """What the SDK gave its caller, or the error it raised."""
    assert NODE is not None
    key = key or weighing.key
    environment = {
        "PATH": os.environ["PATH"],
        "GATEWAY": weighing.url,
        "MODEL": model,
        "KEY": key.key,
        "ACCESS_KEY_ID": key.aws_access_key_id,
        "SECRET": key.aws_secret_access_key,
        "AI_SDK_LOG_WARNINGS": "false",
    }
    done = subprocess.run(
        [NODE, "calls.mjs", call],
        cwd=HERE,
        env=environment,
        capture_output=True,
        timeout=SECONDS_MAX,
        check=True,
    )
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told


@pytest.mark.parametrize("call", CALLS)
def test_an_sdk_by_its_constructor_alone(weighing: Weighing, call: str) -> None:
    model, operation = CALLS[call]
    told = called(weighing, call, model)
    assert told.get("text") == TEXT, told
    row = weighing.booked(operation=operation)
    assert told.get("tokens", row.provider_total) == row.provider_total


@pytest.mark.parametrize("call", OVER_HTTP2)
def test_the_aws_sdk_over_its_own_http2(over_http2: Weighing, call: str) -> None:
    model, operation = OVER_HTTP2[call]
    told = called(over_http2, call, model)
    assert told.get("text") == TEXT, told
    row = over_http2.booked(operation=operation)
    assert told["tokens"] == row.provider_total


@pytest.mark.parametrize("call", REFUSED)
def test_an_unknown_key_is_the_sdks_own_error(weighing: Weighing, call: str) -> None:
    model, name, status = REFUSED[call]
    stranger = MadeKey("wb_unknown", "key-unknown", "WBAK0000000000000001", "wb_unknown")
    told = called(weighing, call, model, stranger)
    assert (told["error"], told["status"]) == (name, status), told
    weighing.nothing_booked()
