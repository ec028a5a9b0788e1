"""Settled entries under the names of OpenTelemetry's conventions for generative AI (1.41, in development).

To add an operation of theirs: a line in ``_OPERATIONS``; what has none keeps our own name.
"""

from collections.abc import Mapping
from typing import Final

from gateway.ledger.entry import Entry, Outcome, reported_tokens
from gateway.telemetry.exposition import Labels
from gateway.telemetry.metrics import Histogram, Reading

DURATION: Final = "gen_ai.client.operation.duration"
FIRST_CHUNK: Final = "gen_ai.client.operation.time_to_first_chunk"
TOKENS: Final = "gen_ai.client.token.usage"
# Name → unit, help.
INSTRUMENTS: Final = {
    DURATION: ("s", "GenAI operation duration."),
    FIRST_CHUNK: ("s", "Time until the first chunk of a streamed answer."),
    TOKENS: ("{token}", "Number of input and output tokens used."),
}
MODELS_MAX: Final = 100
OTHER: Final = "_OTHER"
# The conventions' own buckets: milliseconds from 10 ms to 81.92 s, tokens by powers of four.
_BOUNDS_MS: Final = tuple(10 * 2**power for power in range(14))
_BOUNDS_TOKENS: Final = tuple(4**power for power in range(14))
_STATUSES: Final = range(400, 600)
_CHAT: Final = "chat"
_EMBEDDINGS: Final = "embeddings"
_GENERATE: Final = "generate_content"
_OPERATIONS: Final = {
    "chat.completions": _CHAT,
    "responses": _CHAT,
    "messages": _CHAT,
    "converse": _CHAT,
    "converse-stream": _CHAT,
    "rawPredict": _CHAT,
    "streamRawPredict": _CHAT,
    "completions": "text_completion",
    "embeddings": _EMBEDDINGS,
    "embedContent": _EMBEDDINGS,
    "batchEmbedContents": _EMBEDDINGS,
    "generateContent": _GENERATE,
    "streamGenerateContent": _GENERATE,
}


class GenAi:
    """A process's figures under those names. Attributes are closed sets, and of models the first hundred priced."""

    def __init__(self, names: Mapping[str, str]) -> None:
        """``names``: our provider → the conventions' name for it."""
        self._names = names
        self._models: set[str] = set()
        self._histograms: dict[tuple[str, Labels], Histogram] = {}

    def settled(self, entry: Entry) -> None:
        """Add an entry's times and, where the provider has reported them, its tokens."""
        told = self._told(entry)
        failed = _failed(entry)
        ended = (*told, ("error.type", failed)) if failed else told
        if entry.total_ms is not None:
            self._add(DURATION, ended, entry.total_ms, _BOUNDS_MS)
        if entry.stream and entry.first_byte_ms is not None:
            self._add(FIRST_CHUNK, ended, entry.first_byte_ms, _BOUNDS_MS)
        if entry.provenance == "reported":
            for kind, tokens in zip(("input", "output"), reported_tokens(entry), strict=True):
                if tokens > 0:
                    labels = (*told, ("gen_ai.token.type", kind))
                    self._add(TOKENS, labels, tokens, _BOUNDS_TOKENS)

    def read(self) -> list[Reading]:
        """Every figure as it is now."""
        return [(*key, self._histograms[key]) for key in sorted(self._histograms)]

    def _told(self, entry: Entry) -> Labels:
        told = (
            ("gen_ai.operation.name", _OPERATIONS.get(entry.operation, entry.operation)),
            ("gen_ai.provider.name", self._names.get(entry.provider, entry.provider)),
        )
        model = self._model(entry)
        return (*told, ("gen_ai.request.model", model)) if model else told

    def _model(self, entry: Entry) -> str | None:
        """The name in the price book, never what a client wrote: one without a price is left out."""
        model = entry.model
        if model is None or not entry.lines or entry.net_pico is None:
            return None
        if model not in self._models:
            if len(self._models) >= MODELS_MAX:
                return OTHER
            self._models.add(model)
        return model

    def _add(self, name: str, labels: Labels, value: int, bounds: tuple[int, ...]) -> None:
        found = self._histograms.get((name, labels))
        if found is None:
            found = self._histograms[name, labels] = Histogram(bounds)
        found.add(value)


def _failed(entry: Entry) -> str | None:
    """The conventions' error.type: a status, or how the exchange ended; None where it is complete."""
    if entry.outcome is Outcome.COMPLETE:
        return None
    if entry.outcome is Outcome.ERROR and entry.status in _STATUSES:
        return str(entry.status)
    return str(entry.outcome)
