"""Provider-reported prompt tokens of known requests: what the formula must count, to the token.

Used by the tests and, where no recorded traffic is at hand, by the token benchmark. To add one: a line in GOLDEN.
"""

from typing import Final

from gateway.metering.prompt import Function, Image, Prompt, ToolCall, Turn
from gateway.wire.jsondoc import Json

CITY: Final[Json] = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
}
LOCATION: Final[Json] = {
    "type": "object",
    "properties": {
        "location": {
            "type": "string",
            "description": "The city and state, e.g. San Francisco, CA",
        }
    },
    "required": ["location"],
}
QUERY: Final[Json] = {
    "type": "object",
    "properties": {"query": {"type": "string"}},
    "required": ["query"],
}
HELPFUL: Final = Turn("system", "You are a helpful assistant.")
PARIS: Final = Turn("user", "What's the weather in Paris?")


def said(*texts: str) -> tuple[Turn, ...]:
    return tuple(Turn("user", text) for text in texts)


def chat(*turns: Turn, functions: tuple[Function, ...] = ()) -> Prompt:
    return Prompt("chat", turns, functions)


GOLDEN: Final[dict[str, tuple[str, Prompt, int]]] = {
    "older": ("gpt-3.5-turbo", chat(*said("Hello")), 8),
    "gpt-4": ("gpt-4", chat(*said("Tell me a joke about OpenTelemetry")), 15),
    "4o": ("gpt-4o", chat(*said("Hello, world!")), 11),
    "tool": (
        "gpt-4o",
        chat(
            *said("What is the weather in Berlin"),
            functions=(Function("get_current_weather", "Get the current weather", LOCATION),),
        ),
        63,
    ),
    "tool with system": (
        "gpt-4.1-mini",
        chat(
            HELPFUL,
            *said("What is the temperature in Tokyo?"),
            functions=(Function("get_temperature", "", CITY),),
        ),
        50,
    ),
    "reasoning tool": (
        "gpt-5-mini",
        chat(PARIS, functions=(Function("get_weather", "Get weather for a city", CITY),)),
        130,
    ),
    "reasoning tool, longer": (
        "gpt-5-mini",
        chat(
            PARIS,
            functions=(Function("get_weather", "Get the current weather for a city.", CITY),),
        ),
        132,
    ),
    "call without tools": (
        "gpt-4o",
        chat(
            *said("What is the weather in Paris? Use the tool."),
            Turn("assistant", tool_calls=(ToolCall("get_weather", '{"city":"Paris"}'),)),
            Turn("tool", "sunny in Paris"),
            Turn("assistant", "The weather in Paris is currently sunny."),
            *said("Reply with exactly: OK"),
        ),
        65,
    ),
    "call with tools": (
        "gpt-4.1-nano",
        chat(
            *said("Use the tool"),
            Turn("assistant", tool_calls=(ToolCall("sample_tool", '{"query": "test"}'),)),
            Turn("tool", "Tool executed successfully"),
            functions=(Function("sample_tool", None, QUERY),),
        ),
        65,
    ),
    "image": (
        "gpt-4o-mini",
        chat(Turn("user", "What's in this image?", images=(Image(width=1, height=1),))),
        8512,
    ),
    "responses": ("gpt-4o", Prompt("responses", said("What is 2 + 2?")), 15),
    "responses, reasoning": (
        "o3-mini",
        Prompt("responses", said("How do I cross the street?")),
        13,
    ),
    "responses, reasoning with system": (
        "gpt-5",
        Prompt("responses", (HELPFUL, *said("How do I cross the street?"))),
        23,
    ),
    "embedding": ("text-embedding-3-small", Prompt("embeddings", said("Hello, world!")), 4),
    "embeddings": ("text-embedding-3-small", Prompt("embeddings", said("hello", "world")), 2),
}
