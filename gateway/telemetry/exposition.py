"""Prometheus text exposition of one worker's samples, or of several workers' told apart by a label."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

import msgspec

Labels: TypeAlias = tuple[tuple[str, str], ...]
"""Names and values, in the order they are shown in."""


class Sample(msgspec.Struct, frozen=True, array_like=True):
    """One line of a scrape. ``value`` is its text: a sum may be larger than any number of the wire between workers."""

    family: str
    suffix: str  # after the family's name: '' but for histograms
    labels: Labels
    value: str


def exposition(
    families: Mapping[str, tuple[str, str]],
    workers: Sequence[tuple[Labels, Iterable[Sample]]],
) -> str:
    """The whole answer to a scrape: each family once, with the samples of every worker.

    ``families``: name → (type, help), in their order; samples of others are passed over, since a worker of another
    version may answer. ``workers``: labels that its samples carry besides their own, and the samples.
    """
    lines: dict[str, list[str]] = {name: [] for name in families}
    for more, samples in workers:
        for sample in samples:
            if sample.family in lines:
                labels = _labels((*sample.labels, *more))
                line = f"{sample.family}{sample.suffix}{labels} {sample.value}"
                lines[sample.family].append(line)
    parts: list[str] = []
    for name, (kind, text) in families.items():
        parts += [f"# HELP {name} {text}", f"# TYPE {name} {kind}", *lines[name]]
    return "\n".join(parts) + "\n"


def _labels(labels: Labels) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{key}="{_escaped(value)}"' for key, value in labels) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
