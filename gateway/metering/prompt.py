"""What tiktoken is to count, in neutral words: dialects write it, ``count`` reads it."""

from typing import Final, Literal

import msgspec

from gateway.metering.sized import Sized
from gateway.wire.jsondoc import Json

TURN_CHARACTERS: Final = 16  # a turn costs about as much as so many characters of text

Shape = Literal["chat", "responses", "embeddings", "plain"]


class ToolCall(msgspec.Struct, frozen=True):
    """A call the assistant made: function name and its JSON arguments as sent."""

    name: str
    arguments: str


class Image(msgspec.Struct, frozen=True, gc=False):
    """An image part. Width and height in pixels where the data URL's header tells, else None."""

    detail: str = "auto"
    width: int | None = None
    height: int | None = None


class Turn(msgspec.Struct, frozen=True):
    """One message.

    opaque  how many parts it has whose tokens cannot be known here (audio, files, remote media)
    sized   of those that are in the request, what bounds them
    """

    role: str
    text: str = ""
    name: str | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    legacy_call: ToolCall | None = None
    images: tuple[Image, ...] = ()
    opaque: int = 0
    sized: tuple[Sized, ...] = ()

    @property
    def calls(self) -> tuple[ToolCall, ...]:
        """Its calls of either form."""
        return self.tool_calls if self.legacy_call is None else (*self.tool_calls, self.legacy_call)


class Function(msgspec.Struct, frozen=True):
    """A tool the model may call; ``parameters`` is its JSON schema."""

    name: str
    description: str | None = None
    parameters: Json = None


class Schema(msgspec.Struct, frozen=True):
    """A response_format json_schema."""

    name: str
    description: str | None = None
    schema: Json = None


class Prompt(msgspec.Struct, frozen=True):
    """A request's countable content. ``token_ids``: tokens the client already encoded (embedding input)."""

    shape: Shape
    turns: tuple[Turn, ...] = ()
    functions: tuple[Function, ...] = ()
    schema: Schema | None = None
    token_ids: int = 0

    def characters(self) -> int:
        """Roughly how much there is to encode; decides whether counting leaves the event loop."""
        turns = TURN_CHARACTERS * len(self.turns)
        for turn in self.turns:
            turns += len(turn.text)
            for call in turn.calls:
                turns += len(call.arguments)
        if not self.functions and self.schema is None:
            return turns
        encoded = encoded_functions(self.functions), encoded_functions(self.schema)
        return turns + sum(len(part or b"") for part in encoded)


def encoded_functions(functions: tuple[Function, ...] | Schema | None) -> bytes | None:
    """What is offered, as bytes that tell it from any other offer; None where it has no such bytes."""
    try:
        return msgspec.json.encode(functions)
    except (UnicodeEncodeError, RecursionError):
        return None


EMPTY = Prompt("plain")


class Observed(msgspec.Struct, frozen=True):
    """What a meter saw the model write: visible text, reasoning text, tool calls; ``clipped`` at the bound."""

    text: str = ""
    reasoning: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    choices: int = 1
    clipped: bool = False


NOTHING_OBSERVED = Observed()
