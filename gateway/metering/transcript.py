"""What the model was seen to write, collected within a bound: text, reasoning and tool calls, for tiktoken.

To collect another kind of output: one method here, and one field in ``Observed``.
"""

from typing import Final

from gateway.metering.prompt import NOTHING_OBSERVED, Observed, ToolCall

CHARS_MAX: Final = 4 * 1024 * 1024  # more text than any model writes in one answer
CALLS_MAX: Final = 1024


class Transcript:
    """Takes pieces in the order they arrive; what goes beyond the bound is dropped and ``clipped`` is set."""

    __slots__ = ("_calls", "_chars", "_reasoning", "_text", "clipped")

    def __init__(self) -> None:
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._calls: dict[object, tuple[list[str], list[str]]] = {}
        self._chars = 0
        self.clipped = False

    def write(self, text: str | None) -> None:
        """Visible text of the answer."""
        if text:
            self._text.append(self._fitting(text))

    def think(self, text: str | None) -> None:
        """Reasoning the provider lets us see."""
        if text:
            self._reasoning.append(self._fitting(text))

    def call(self, key: object, name: str | None = None, arguments: str | None = None) -> None:
        """A piece of a tool call; pieces of one call share ``key`` (hashable, e.g. the block's index)."""
        found = self._calls.get(key)
        if found is None:
            if len(self._calls) >= CALLS_MAX:
                self.clipped = True
                return
            found = self._calls[key] = ([], [])
        if name:
            found[0].append(self._fitting(name))
        if arguments:
            found[1].append(self._fitting(arguments))

    def observed(self, choices: int = 1) -> Observed:
        """Everything collected so far; ``choices``: how many alternatives were seen."""
        if not (self._text or self._reasoning or self._calls):
            return NOTHING_OBSERVED
        calls: tuple[ToolCall, ...] = ()
        if self._calls:
            pairs = self._calls.values()
            calls = tuple([ToolCall(_joined(name), _joined(said)) for name, said in pairs])
        reasoning = _joined(self._reasoning) if self._reasoning else ""
        return Observed(_joined(self._text), reasoning, calls, max(choices, 1), self.clipped)

    def _fitting(self, text: str) -> str:
        """The part of a piece that is still within the bound."""
        room = CHARS_MAX - self._chars
        if len(text) > room:
            self.clipped = True
            text = text[:room]
        self._chars += len(text)
        return text


def _joined(pieces: list[str]) -> str:
    text = "".join(pieces)
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:  # an emoji cut in two by the provider is whole again once joined
        text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text
