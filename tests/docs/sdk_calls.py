"""What the SDK pages say, done with the real SDKs in a process of its own; one JSON line per result.

``{"set_ups": [{"environment": …, "code": …}]}``: runs a page's blocks one after the other, so that each SDK is
loaded once. ``{"sdk": …, "url": …, "codes": […]}``: what one minimal call raises; the server answers
``<url>/<code>/…`` with that refusal. To add an SDK: a function here and a table in its page.
"""

# ruff: noqa: PLC0415  # an SDK is imported where it is used: loading one costs seconds

import io
import json
import os
import sys
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stdout
from typing import Any

MESSAGES: Any = [{"role": "user", "content": "hi"}]
CLAUDE = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
PAIR = ("WBAK0000000000000001", "wb_SECRET")


def openai(url: str) -> object:
    from openai import AzureOpenAI

    client = AzureOpenAI(azure_endpoint=f"{url}/azure", api_key="wb_K", api_version="2024-10-21")
    return client.chat.completions.create(model="gpt-4o", messages=MESSAGES)


def langchain_openai(url: str) -> object:
    from langchain_openai import AzureChatOpenAI

    return AzureChatOpenAI(
        azure_endpoint=f"{url}/azure",
        api_key="wb_K",  # type: ignore[arg-type]  # it takes a text as well
        api_version="2024-10-21",
        azure_deployment="gpt-4o",
    ).invoke("hi")


def boto3(url: str) -> object:
    import boto3 as sdk

    client = sdk.client(
        "bedrock-runtime",
        endpoint_url=f"{url}/bedrock",
        region_name="us-east-1",
        aws_access_key_id=PAIR[0],
        aws_secret_access_key=PAIR[1],
    )
    return client.converse(modelId=CLAUDE, messages=[{"role": "user", "content": [{"text": "hi"}]}])


def anthropic(url: str) -> object:
    from anthropic import AnthropicVertex

    client = AnthropicVertex(
        base_url=f"{url}/google/v1", project_id="any", region="us-east5", access_token="wb_K"
    )
    return client.messages.create(
        model="claude-sonnet-4-5@20250929", max_tokens=9, messages=MESSAGES
    )


def anthropic_bedrock(url: str) -> object:
    from anthropic import AnthropicBedrock

    client = AnthropicBedrock(
        base_url=f"{url}/bedrock",
        aws_region="us-east-1",
        aws_access_key=PAIR[0],
        aws_secret_key=PAIR[1],
    )
    return client.messages.create(model=CLAUDE, max_tokens=9, messages=MESSAGES)


def google_genai(url: str) -> object:
    from google import genai
    from google.genai import types

    client = genai.Client(api_key="wb_K", http_options=types.HttpOptions(base_url=f"{url}/google"))
    return client.models.generate_content(model="gemini-2.5-flash", contents="hi")


SDKS: dict[str, Callable[[str], object]] = {
    "openai": openai,
    "langchain-openai": langchain_openai,
    "boto3": boto3,
    "anthropic": anthropic,
    "anthropic-bedrock": anthropic_bedrock,
    "google-genai": google_genai,
}


def status(error: Exception) -> int | None:
    """The HTTP status, wherever an SDK keeps it."""
    response = getattr(error, "response", None)
    if isinstance(response, dict):
        return int(response["ResponseMetadata"]["HTTPStatusCode"])
    found = getattr(error, "status_code", None) or getattr(error, "code", None)
    return found if isinstance(found, int) else None


def refused(sdk: str, url: str, codes: list[str]) -> None:
    call = SDKS[sdk]

    def outcome(code: str) -> dict[str, object]:
        found: dict[str, object] = {"code": code, "raised": None, "status": None, "said": ""}
        try:
            call(f"{url}/{code}")
        except Exception as error:  # noqa: BLE001  # what it is is the question
            found |= {"raised": type(error).__name__, "status": status(error), "said": str(error)}
        return found

    with ThreadPoolExecutor(16) as pool:
        for line in pool.map(outcome, codes):
            print(json.dumps(line), flush=True)


def set_up(environment: dict[str, str], code: str) -> None:
    before = dict(os.environ)
    os.environ.update(environment)
    said = io.StringIO()
    failure = ""
    try:
        with redirect_stdout(said):
            exec(compile(code, "<page>", "exec"), {"__name__": "__main__"})
    except Exception:  # noqa: BLE001  # an SDK may raise anything; the test shows it
        failure = traceback.format_exc()
    os.environ.clear()
    os.environ.update(before)
    print(json.dumps({"said": said.getvalue(), "failure": failure}), flush=True)


def main() -> None:
    told = json.load(sys.stdin)
    if "sdk" in told:
        refused(told["sdk"], told["url"], told["codes"])
    for one in told.get("set_ups", ()):
        set_up(one["environment"], one["code"])


if __name__ == "__main__":
    main()
