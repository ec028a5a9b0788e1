"""Unmodified SDKs that call, one thread each, until standard input ends: a line of JSON in, one line of figures out.

In: ``{"url": …, "key": …, "aws_access_key_id": …, "aws_secret_access_key": …, "pause_s": …}``. Out: calls that came to
their end, by SDK, and errors by SDK and type. To call with another SDK: a function here and its line in ``main``.
"""

import json
import random
import sys
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

import boto3
from anthropic import AnthropicBedrock
from google import genai
from google.genai import types
from openai import AzureOpenAI, OpenAI

Made = Callable[[dict[str, Any]], list[Callable[[str], object]]]
CLAUDE = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"


def _openai(told: dict[str, Any]) -> list[Callable[[str], object]]:
    azure = AzureOpenAI(
        azure_endpoint=f"{told['url']}/azure", api_key=told["key"], api_version="2024-10-21"
    )
    v1 = OpenAI(base_url=f"{told['url']}/azure/openai/v1", api_key=told["key"])

    def turns(text: str) -> Any:
        return [{"role": "user", "content": text}]

    return [
        lambda text: azure.chat.completions.create(
            model="gpt-4o", messages=turns(text), max_tokens=200
        ),
        lambda text: list(
            azure.chat.completions.create(
                model="gpt-4o", messages=turns(text), stream=True, max_tokens=200
            )
        ),
        lambda text: list(
            v1.responses.create(model="gpt-5.4", input=text, stream=True, max_output_tokens=200)
        ),
        lambda text: v1.embeddings.create(model="text-embedding-3-small", input=[text, "second"]),
    ]


def _aws(told: dict[str, Any]) -> list[Callable[[str], object]]:
    pair = (told["aws_access_key_id"], told["aws_secret_access_key"])
    runtime = boto3.client(
        "bedrock-runtime",
        endpoint_url=f"{told['url']}/bedrock",
        region_name="us-east-1",
        aws_access_key_id=pair[0],
        aws_secret_access_key=pair[1],
    )
    claude = AnthropicBedrock(
        base_url=f"{told['url']}/bedrock",
        aws_region="us-east-1",
        aws_access_key=pair[0],
        aws_secret_key=pair[1],
    )

    def turns(text: str) -> Any:
        return [{"role": "user", "content": [{"text": text}]}]

    def streamed(text: str) -> object:
        with claude.messages.stream(
            model=CLAUDE, max_tokens=100, messages=[{"role": "user", "content": text}]
        ) as stream:
            return stream.get_final_text()

    return [
        lambda text: runtime.converse(modelId="us.amazon.nova-lite-v1:0", messages=turns(text)),
        lambda text: list(runtime.converse_stream(modelId=CLAUDE, messages=turns(text))["stream"]),
        streamed,
    ]


def _google(told: dict[str, Any]) -> list[Callable[[str], object]]:
    options = types.HttpOptions(base_url=f"{told['url']}/google")
    gemini = genai.Client(api_key=told["key"], http_options=options)
    return [
        lambda text: gemini.models.generate_content(model="gemini-2.5-flash", contents=text),
        lambda text: list(
            gemini.models.generate_content_stream(model="gemini-2.5-pro", contents=text)
        ),
    ]


def _calling(made: Made, told: dict[str, Any], done: Counter[str], stop: threading.Event) -> None:
    name = made.__name__.strip("_")
    calls, chance = made(told), random.Random(name)
    while not stop.wait(chance.random() * 2 * told["pause_s"]):
        text = f"Say in one sentence what weighbridge {chance.random()} does. " * chance.randint(
            1, 30
        )
        try:
            chance.choice(calls)(text)
            done[name] += 1
        except Exception as error:  # noqa: BLE001  # whatever an SDK makes of what it met
            done[f"{name} {type(error).__name__} {getattr(error, 'status_code', '')}"] += 1


def main() -> None:
    told = json.loads(sys.stdin.readline())
    stop, done = threading.Event(), Counter[str]()
    threads = [
        threading.Thread(target=_calling, args=(made, told, done, stop))
        for made in (_openai, _aws, _google)
    ]
    for one in threads:
        one.start()
    sys.stdin.read()
    stop.set()
    for one in threads:
        one.join()
    print(json.dumps(done))


if __name__ == "__main__":
    main()
