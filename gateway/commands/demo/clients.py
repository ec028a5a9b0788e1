"""The demo's clients: the real SDKs of three clouds in a process of their own, each with base URL and key changed.

Reads ``{"url": …, "keys": {user: made key}}`` on standard input; writes one JSON line per call.
The only module that imports SDKs, and only here, where the extra ``demo`` is installed.
"""

import json
import sys
from collections.abc import Callable, Iterator
from typing import Any

PROMPT = "Say in one sentence what a weighbridge does."
REGION = "us-east-1"
CLAUDE = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
Call = tuple[str, str, str, Callable[[], str]]


def _openai(url: str, keys: dict[str, Any]) -> Iterator[Call]:
    from openai import AzureOpenAI, OpenAI

    azure = AzureOpenAI(
        azure_endpoint=f"{url}/azure", api_key=keys["user-0001"]["key"], api_version="2024-10-21"
    )
    v1 = OpenAI(base_url=f"{url}/azure/openai/v1", api_key=keys["user-0002"]["key"])
    messages: Any = [{"role": "user", "content": PROMPT}]

    def chat() -> str:
        return (
            azure.chat.completions.create(model="gpt-4o", messages=messages)
            .choices[0]
            .message.content
            or ""
        )

    def stream() -> str:
        chunks = azure.chat.completions.create(model="gpt-4o", messages=messages, stream=True)
        return "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)

    def responses() -> str:
        events = v1.responses.create(model="gpt-5.4", input=PROMPT, stream=True)
        return "".join(
            event.delta for event in events if event.type == "response.output_text.delta"
        )

    def embeddings() -> str:
        found = v1.embeddings.create(model="text-embedding-3-small", input=[PROMPT, "second text"])
        return f"{len(found.data)} vectors"

    def leave() -> str:
        chunks = azure.chat.completions.create(model="gpt-4o", messages=messages, stream=True)
        for number, _ in enumerate(chunks):
            if number == 6:
                chunks.close()
                break
        return "left after 6 chunks"

    yield "user-0001", "openai · AzureOpenAI", "chat", chat
    yield "user-0001", "openai · AzureOpenAI", "chat, streamed", stream
    yield "user-0002", "openai · OpenAI v1", "responses, streamed", responses
    yield "user-0002", "openai · OpenAI v1", "embeddings", embeddings
    yield "user-0001", "openai · AzureOpenAI", "client leaves mid-stream (cancelled)", leave


def _refused(url: str, keys: dict[str, Any]) -> Iterator[Call]:
    import openai

    stranger = openai.AzureOpenAI(
        azure_endpoint=f"{url}/azure", api_key="wb_not_a_key", api_version="2024-10-21"
    )

    def refused() -> str:
        try:
            stranger.chat.completions.create(
                model="gpt-4o", messages=[{"role": "user", "content": PROMPT}]
            )
        except openai.AuthenticationError as error:
            return f"refused {error.status_code}, not booked"
        return "NOT refused"

    yield "nobody", "openai · AzureOpenAI", "unknown key", refused


def _aws(url: str, keys: dict[str, Any]) -> Iterator[Call]:
    import boto3
    from anthropic import AnthropicBedrock

    pair = keys["user-0003"]
    runtime = boto3.client(
        "bedrock-runtime",
        endpoint_url=f"{url}/bedrock",
        region_name=REGION,
        aws_access_key_id=pair["aws_access_key_id"],
        aws_secret_access_key=pair["aws_secret_access_key"],
    )
    claude = AnthropicBedrock(
        base_url=f"{url}/bedrock",
        aws_region=REGION,
        aws_access_key=pair["aws_access_key_id"],
        aws_secret_key=pair["aws_secret_access_key"],
    )
    messages: Any = [{"role": "user", "content": [{"text": PROMPT}]}]

    def converse() -> str:
        answer = runtime.converse(modelId="amazon.nova-pro-v1:0", messages=messages)
        return str(answer["output"]["message"]["content"][0]["text"])

    def converse_stream() -> str:
        stream = runtime.converse_stream(modelId=CLAUDE, messages=messages)["stream"]
        return "".join(
            e["contentBlockDelta"]["delta"]["text"] for e in stream if "contentBlockDelta" in e
        )

    def leave() -> str:
        stream = runtime.converse_stream(modelId=CLAUDE, messages=messages)["stream"]
        for number, _ in enumerate(stream):
            if number == 4:
                break
        stream.close()
        return "left after 4 events"

    def anthropic() -> str:
        with claude.messages.stream(
            model=CLAUDE, max_tokens=100, messages=[{"role": "user", "content": PROMPT}]
        ) as stream:
            return stream.get_final_text()

    yield "user-0003", "boto3 (SigV4)", "converse", converse
    yield "user-0003", "boto3 (SigV4)", "converse, streamed", converse_stream
    yield "user-0003", "anthropic · Bedrock (SigV4)", "messages, streamed", anthropic
    yield "user-0003", "boto3 (SigV4)", "client leaves mid-stream (drained)", leave


def _google(url: str, keys: dict[str, Any]) -> Iterator[Call]:
    from anthropic import AnthropicVertex
    from google import genai  # noqa: TID251  # the demo's own process
    from google.genai import types  # noqa: TID251  # the demo's own process

    key = keys["user-0004"]["key"]
    options = types.HttpOptions(base_url=f"{url}/google")
    gemini = genai.Client(api_key=key, http_options=options)
    express = genai.Client(vertexai=True, api_key=key, http_options=options)
    claude = AnthropicVertex(
        base_url=f"{url}/google/v1", project_id="demo", region="us-east5", access_token=key
    )

    def generate() -> str:
        return gemini.models.generate_content(model="gemini-2.5-flash", contents=PROMPT).text or ""

    def stream() -> str:
        found = express.models.generate_content_stream(model="gemini-2.5-pro", contents=PROMPT)
        return "".join(chunk.text or "" for chunk in found)

    def anthropic() -> str:
        answer = claude.messages.create(
            model="claude-sonnet-4-5@20250929",
            max_tokens=100,
            messages=[{"role": "user", "content": PROMPT}],
        )
        return str(getattr(answer.content[0], "text", ""))

    yield "user-0004", "google-genai · Gemini API", "generateContent", generate
    yield "user-0004", "google-genai · Vertex express", "streamGenerateContent", stream
    yield "user-0004", "anthropic · Vertex", "rawPredict", anthropic


def main() -> None:
    """Make every call, one after the other; a failing one is reported and the rest go on."""
    told = json.load(sys.stdin)
    url, keys = told["url"], told["keys"]
    for calls in (_openai, _aws, _google, _refused):
        for user, sdk, what, call in calls(url, keys):
            try:
                record = {"ok": True, "said": call()}
            except Exception as error:  # noqa: BLE001  # an SDK may raise anything; the demo says what
                record = {"ok": False, "said": f"{type(error).__name__}: {error}"[:160]}
            print(json.dumps({"user": user, "sdk": sdk, "what": what, **record}), flush=True)  # noqa: T201  # a program reads it


if __name__ == "__main__":
    main()
