"""The chat formula: how many prompt tokens a request of the GPT families costs beyond its texts.

Fitted on provider-reported counts; the golden counts in the tests are its proof. To follow a new model generation:
add its constants beside the variants here, and its reported counts to the tests.
"""

from typing import Final

import msgspec

from gateway.metering.estimate import OPAQUE
from gateway.metering.families import Family
from gateway.metering.images import image_tokens, is_small
from gateway.metering.prompt import (
    Function,
    Observed,
    Prompt,
    Schema,
    ToolCall,
    Turn,
    encoded_functions,
)
from gateway.metering.render import Rendering, compact, minified, parallel, shown_schema
from gateway.metering.tally import Tally

OPENING: Final = 3
OPENING_REASONING: Final = 2
PER_MESSAGE: Final = 3
ONE_CALL: Final = 4
PARALLEL_CALLS_SMALL: Final = -3  # the small models are shown parallel calls a little shorter
CALL_REASONING: Final = 10
LEGACY_CALL: Final = 3
CALL_WRITTEN: Final = 7
CALLS_WRITTEN: Final = 14  # each, where there are several
WRITTEN_REASONING: Final = 8
CALL_WRITTEN_REASONING: Final = 13


class _Constants(msgspec.Struct, frozen=True, gc=False):
    """Tokens around tools, and around a response schema; each without and with a system message."""

    tools: int
    tools_system: int
    schema: int
    schema_system: int


# by: the Responses API, a reasoning family
_CONSTANTS: Final = {
    (False, False): _Constants(9, 5, 20, 16),
    (True, False): _Constants(3, 2, 14, 14),
    (False, True): _Constants(91, 91, 1, 1),
    (True, True): _Constants(8, 8, 1, 1),
}
_ROLE_TOKENS: Final = dict.fromkeys(
    ("system", "developer", "user", "assistant", "tool", "function"), 1
)
_SYSTEM: Final = frozenset({"system", "developer"})


def formula_tokens(prompt: Prompt, name: str, family: Family, tally: Tally) -> int:
    """Prompt tokens of a chat or Responses request; ``name`` is the plain model name (for images)."""
    total = OPENING_REASONING if family.reasoning else OPENING
    system_seen = False
    for turn in prompt.turns:
        opens_system = turn.role in _SYSTEM and not system_seen
        system_seen = system_seen or opens_system
        text = f"{turn.text}\n\n" if opens_system and prompt.functions else turn.text
        total += _message(turn, text, tally) + OPAQUE * turn.opaque
        if turn.tool_calls:
            total += _calls(turn.tool_calls, name, family, tally)
        if turn.images:
            total += sum(image_tokens(name, image) for image in turn.images)
    if prompt.functions or prompt.schema:
        total += _offered(prompt, family, tally, with_system=system_seen)
    return total


def call_tokens(call: ToolCall, tally: Tally) -> int:
    """A function call's own text: its name, once plain and once as the recipient, and its arguments."""
    return (
        tally.n(call.name) + tally.n(f"functions.{call.name}") + tally.n(minified(call.arguments))
    )


def written_overhead(observed: Observed, family: Family) -> int:
    """Output tokens around the visible text and calls of an answer; 0 where nothing was written."""
    calls = len(observed.tool_calls)
    if family.reasoning:
        return WRITTEN_REASONING * bool(observed.text) + CALL_WRITTEN_REASONING * calls
    return CALLS_WRITTEN * calls if calls > 1 else CALL_WRITTEN * calls


def namespace_tokens(functions: tuple[Function, ...], tally: Tally, *, is_responses: bool) -> int:
    """Tokens of the tools as the model is shown them; the same tools come with every turn, so they are remembered."""

    def rendered(fresh: Tally) -> int:
        rendering = Rendering(is_responses=is_responses)
        tokens = fresh.n(rendering.namespace(functions))
        fresh.guessed = fresh.guessed or rendering.clipped
        return tokens

    encoded = encoded_functions(functions)
    key = encoded and (b"responses" if is_responses else b"chat") + encoded
    return tally.remembered(key, rendered)


def _message(turn: Turn, text: str, tally: Tally) -> int:
    tokens = PER_MESSAGE + (_ROLE_TOKENS.get(turn.role) or tally.n(turn.role))
    if text:
        tokens += tally.n(text)
    if turn.name and turn.role != "tool":
        tokens += tally.n(f":{turn.name}")
    if call := turn.legacy_call:
        tokens += tally.n(call.name) + tally.n(call.arguments) + LEGACY_CALL
    return tokens


def _calls(calls: tuple[ToolCall, ...], name: str, family: Family, tally: Tally) -> int:
    if family.reasoning:
        return sum(call_tokens(call, tally) + CALL_REASONING for call in calls)
    if len(calls) > 1:
        small = PARALLEL_CALLS_SMALL if is_small(name) else 0
        return tally.n(parallel(calls)) + sum(tally.n(call.name) for call in calls) + small
    return sum(call_tokens(call, tally) + ONE_CALL for call in calls)


def _offered(prompt: Prompt, family: Family, tally: Tally, *, with_system: bool) -> int:
    """Tools and response schema."""
    is_responses = prompt.shape == "responses"
    constants = _CONSTANTS[is_responses, family.reasoning]
    tokens = 0
    if prompt.functions:
        tokens += namespace_tokens(prompt.functions, tally, is_responses=is_responses)
        tokens += constants.tools_system if with_system else constants.tools
    if prompt.schema:
        tokens += _schema(prompt.schema, tally)
        if not prompt.functions:
            tokens += constants.schema_system if with_system else constants.schema
    return tokens


def _schema(schema: Schema, tally: Tally) -> int:
    shown = tally.n(compact(shown_schema(schema.schema)))
    return shown + tally.n(schema.name) + tally.n(schema.description or "")
