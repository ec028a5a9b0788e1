"""An agent's turn: tools, a system prompt and a long history that came before, and one new message behind it.

The history is the same in every turn of a run, as it is in the life of an agent, so that what a counter remembers of
it is measured as well. To make turns longer: ``EXCHANGES``.
"""

import random
from typing import Final

import orjson

from tests.benchmarks import shapes

EXCHANGES: Final = 19  # of a question, a call of a tool, its result and an answer: 64 KB in all
TOOLS: Final = 20
_SEED: Final = 7
_WORDS: Final = [
    "the",
    "lorry",
    "at",
    "dock",
    "seven",
    "was",
    "heavier",
    "than",
    "its",
    "papers",
    "say",
    "by",
    "310",
    "kg;",
    "customs",
    "{released}",
    "it,",
    "the",
    "night",
    "shift",
    "signed",
    '"for',
    'it",',
    "and",
    "the",
    "scale",
    "reads",
    "eighteen",
    "tonnes:",
    "journal,",
    "gate,",
    "bridge,",
    "crate,",
    "seal,",
    "weight,",
    "hour",
]


def asking(path: str, port: int, key: str) -> shapes.Asking:
    """The turn, cut where its number goes."""
    chance = random.Random(_SEED)
    messages: list[dict[str, object]] = [{"role": "system", "content": _said(chance, 600)}]
    for index in range(EXCHANGES):
        messages += _exchange(chance, f"call_{index}")
    messages.append({"role": "user", "content": "Journal number #"})
    tools = [_tool(chance, index) for index in range(TOOLS)]
    asked = {"messages": messages, "model": shapes.DEPLOYMENT, "max_tokens": 400, "tools": tools}
    return shapes.cut(path, shapes.JSON, port, key, orjson.dumps(asked).decode())


def _exchange(chance: random.Random, call: str) -> list[dict[str, object]]:
    given = orjson.dumps({"dock": _said(chance, 12)}).decode()
    function = {"name": "tool_1", "arguments": given}
    return [
        {"role": "user", "content": _said(chance, 50)},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": call, "type": "function", "function": function}],
        },
        {"role": "tool", "tool_call_id": call, "content": _said(chance, 200)},
        {"role": "assistant", "content": _said(chance, 80)},
    ]


def _tool(chance: random.Random, index: int) -> dict[str, object]:
    members = {
        f"part_{at}": {"type": "string", "description": _said(chance, 10)} for at in range(5)
    }
    parameters = {"type": "object", "properties": members, "required": ["part_0"]}
    named = {"name": f"tool_{index}", "description": _said(chance, 50), "parameters": parameters}
    return {"type": "function", "function": named}


def _said(chance: random.Random, words: int) -> str:
    return " ".join(chance.choices(_WORDS, k=words))
