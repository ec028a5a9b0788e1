"""What a model can write at most: the output ceiling of every model that has one, from a file; opens no files.

A hold is sized by it where a request names no ceiling of its own. To add a model: a line in ceilings.csv.
"""

from collections.abc import Mapping
from typing import Final

import msgspec

from gateway.pricing.load import Cells, lines_of

COLUMNS: Final = ("model", "output", "context", "source", "source_ref")
TOKENS_MAX: Final = 100_000_000  # ten times the largest context there is


class CeilingsInvalid(ValueError):
    """A ceilings file that must not be used; ``problems`` holds every mistake, each with its place."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class Ceiling(msgspec.Struct, frozen=True, gc=False):
    """One line. ``output``: tokens of one answer, 0 where the model writes none; ``context``: its window, 0: not known."""

    model: str
    output: int
    context: int
    source: str
    source_ref: str


class Ceilings(msgspec.Struct, frozen=True):
    """The ceilings by canonical model name."""

    named: Mapping[str, Ceiling] = {}

    @classmethod
    def from_bytes(cls, content: bytes, name: str = "ceilings.csv") -> "Ceilings":
        """Read a file's content. Raises CeilingsInvalid with every bad line."""
        problems: list[str] = []
        named: dict[str, Ceiling] = {}
        for ceiling in lines_of(name, content, COLUMNS, _ceiling, problems):
            if ceiling.model in named:
                problems.append(f"{name}: {ceiling.model!r} stands there twice")
            named[ceiling.model] = ceiling
        if problems:
            raise CeilingsInvalid(tuple(problems))
        return cls(named)

    def output(self, model: str | None) -> int | None:
        """The most tokens one answer of a model may have, 0 where it writes none; None: not known."""
        found = self.named.get(model or "")
        return None if found is None else found.output

    def context(self, model: str | None) -> int | None:
        """The most tokens a model reads at once; None: not known."""
        found = self.named.get(model or "")
        return (found.context or None) if found else None


def _ceiling(cells: Cells, _origin: str) -> Ceiling:
    if not (cells["model"] and cells["source"] and cells["source_ref"]):
        raise ValueError("a ceiling names its model, its source and the source's own word for it")
    return Ceiling(
        cells["model"],
        _tokens(cells, "output"),
        _tokens(cells, "context"),
        cells["source"],
        cells["source_ref"],
    )


def _tokens(cells: Cells, column: str) -> int:
    """A whole number; an empty cell is 0."""
    text = cells[column]
    if not text:
        return 0
    if not (text.isascii() and text.isdigit() and 0 < int(text) <= TOKENS_MAX):
        raise ValueError(f"{column} {text!r} is not a number of tokens from 1 to {TOKENS_MAX}")
    return int(text)
