"""Canonical model names: exact, by alias, or by taking off an exact version or date suffix. Never fuzzy.

A dated name the book knows is a model of its own, at its own price: exact wins over any suffix rule.
To teach the book another spelling, add a line to the seed's aliases.csv.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

# In this order, each at most once: first the version of a model card, then the date of a snapshot.
_SUFFIXES: Final = (
    re.compile(r":0$"),
    re.compile(r"-v1$"),
    re.compile(r"[-@]20\d\d(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])$"),
    re.compile(r"-20\d\d-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])$"),
)


class Names(msgspec.Struct, frozen=True):
    """What one provider's models are called. ``aliases``: another spelling → canonical name."""

    models: frozenset[str]
    aliases: dict[str, str] = {}

    def exact(self, name: str) -> str | None:
        """The model of exactly that name or alias."""
        return name if name in self.models else self.aliases.get(name)


def canonical(known: Names, names: Sequence[str]) -> str | None:
    """The canonical name of the first candidate that has one; None where none has (then: unpriced).

    Every candidate is tried as it stands before any suffix is taken off.
    """
    spelt = [*names, *(shorter for name in names for shorter in _shortened(name))]
    return next((model for name in spelt if (model := known.exact(name)) is not None), None)


def shortest(name: str) -> str:
    """A name with every exact suffix taken off: what a model new to the book is called."""
    return (name, *_shortened(name))[-1]


def _shortened(name: str) -> Iterator[str]:
    for suffix in _SUFFIXES:
        shorter = suffix.sub("", name)
        if shorter != name:
            name = shorter
            yield name
