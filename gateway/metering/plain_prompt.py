"""Prompts without roles: text, several texts, or token ids that the client already encoded.

``"a"``, ``["a", "b"]``, ``[1, 2]`` and ``[[1, 2], [3]]`` are the four forms; anything else is refused.
"""

from gateway.kernel.errors import MalformedBody
from gateway.metering.prompt import Prompt, Shape, Turn
from gateway.wire.jsondoc import Json


def plain_prompt(shape: Shape, given: Json, *further: Json) -> Prompt:
    """The prompt of such an input; ``further`` strings belong to it. Raises MalformedBody on another form.

    No input at all is the provider's to refuse.
    """
    texts: list[str] = [text for text in further if isinstance(text, str)]
    token_ids = 0
    for entry in _entries(given):
        if isinstance(entry, str):
            texts.append(entry)
        elif isinstance(entry, int):
            token_ids += 1
        elif isinstance(entry, list) and all(isinstance(each, int) for each in entry):
            token_ids += len(entry)
        else:
            raise MalformedBody("the input must be text, an array of texts, or arrays of token ids")
    return Prompt(shape, turns=tuple(Turn("user", text) for text in texts), token_ids=token_ids)


def texts_in(given: Json) -> int:
    """How many inputs there are: each is answered for itself. One array of token ids is one input."""
    entries = _entries(given)
    if entries and all(isinstance(entry, int) for entry in entries):
        return 1
    return max(len(entries), 1)


def _entries(given: Json) -> list[Json]:
    if given is None:
        return []
    return given if isinstance(given, list) else [given]
