"""Which proposals become lines: what two sources agree on, and what a person accepts by name.

A new model also gets the lines its provider's other models are charged by another unit with (reasoning as
output text, a picture as text input), where most of them are.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Final, NamedTuple

from gateway.catalog import lines as text
from gateway.catalog.finding import faults
from gateway.catalog.lines import AS_UNIT, Cells
from gateway.catalog.lint import judge
from gateway.pricing import load

_CORROBORATED: Final = "corroborated"
_AUTHORITY: Final = "authoritative"
_USUAL_PERCENT: Final = 60


class Growth(NamedTuple):
    """The files with what was accepted, those lines, and what waits for a person."""

    files: dict[str, bytes]
    added: tuple[Cells, ...]
    waiting: tuple[Cells, ...]


class Custom(NamedTuple):
    """Charged as another unit, and why: how a provider's models usually are."""

    unit: str
    as_unit: str
    reference: str
    evidence: str


Group = tuple[str, str, str, str]  # provider, model, scope, tier


def grown(
    files: Mapping[str, bytes], proposed: Iterable[Cells], accept: Iterable[str], now_us: int
) -> Growth:
    """Add the proposed lines on which two sources agree, and those whose 'provider/model' fits a pattern.

    Whatever the lint finds implausible in the result waits, whoever accepts it.
    """
    patterns = tuple(accept)
    taken: list[Cells] = []
    waiting: list[Cells] = []
    for line in proposed:
        name = f"{line['provider']}/{line['model']}"
        wanted = line["evidence"] == _CORROBORATED or any(fnmatchcase(name, p) for p in patterns)
        (taken if wanted else waiting).append(line)
    while taken and (refused := _refused(_with(files, taken).files, taken, now_us)):
        waiting += refused
        taken = [line for line in taken if line not in refused]
    return _with(files, taken)._replace(waiting=tuple(sorted(waiting, key=text.key_of)))


def _refused(files: Mapping[str, bytes], taken: list[Cells], now_us: int) -> list[Cells]:
    """The taken lines that the lint of the files they are in finds something about."""
    whole = {name: text.read(content) for name, content in _price_files(files)}
    found = []
    for fault in faults(judge(files, now_us)):
        name, _, number = fault.origin.rpartition(":")
        if name in whole:
            line = whole[name][int(number) - 2]  # the header is line 1
            found += [line] if line in taken else []
    return found


def _with(files: Mapping[str, bytes], proposed: list[Cells]) -> Growth:
    taken = list(proposed)
    whole = {name: text.read(content) for name, content in _price_files(files)}
    usual = _customs([line for lines in whole.values() for line in lines])
    known = {_group(line) for lines in whole.values() for line in lines}
    taken += _by_custom([line for line in taken if _group(line) not in known], usual)
    made = dict(files)
    for name, lines in whole.items():
        providers = {line["provider"] for line in lines}
        more = [line for line in taken if line["provider"] in providers]
        if more:
            made[name] = text.write([*lines, *more])
    return Growth(made, tuple(taken), ())


def _price_files(files: Mapping[str, bytes]) -> Iterator[tuple[str, bytes]]:
    for name, content in files.items():
        if name not in (load.ALIASES, load.REGIONS):
            yield name, content


def _group(line: Cells) -> Group:
    return line["provider"], line["model"], line["scope"], line["tier"]


def _customs(lines: Iterable[Cells]) -> dict[str, tuple[Custom, ...]]:
    """Per provider the customs that most of its models follow where they could."""
    units: dict[Group, set[str]] = defaultdict(set)
    followed: Counter[tuple[str, Custom]] = Counter()
    by_figure: dict[Group, set[str]] = defaultdict(set)
    for line in lines:
        units[_group(line)].add(line["unit"])
        if not line["price"].startswith(AS_UNIT):
            by_figure[_group(line)].add(line["unit"])
        elif line["evidence"] != _AUTHORITY:
            custom = Custom(
                line["unit"],
                line["price"].removeprefix(AS_UNIT),
                line["source_ref"],
                line["evidence"],
            )
            followed[line["provider"], custom] += 1
    usual: dict[str, list[Custom]] = defaultdict(list)
    for (provider, custom), count in sorted(followed.items()):
        could = sum(
            group[0] == provider and custom.as_unit in units[group] and custom.unit not in own
            for group, own in by_figure.items()
        )
        if count * 100 >= could * _USUAL_PERCENT:
            usual[provider].append(custom)
    return {provider: tuple(customs) for provider, customs in usual.items()}


def _by_custom(lines: Iterable[Cells], usual: Mapping[str, tuple[Custom, ...]]) -> Iterator[Cells]:
    """For every new group of lines the customs of its provider that have what they refer to."""
    groups: dict[Group, list[Cells]] = defaultdict(list)
    for line in lines:
        groups[_group(line)].append(line)
    for key in sorted(groups):
        provider, group = key[0], groups[key]
        own = {line["unit"] for line in group}
        for custom in usual.get(provider, ()):
            if custom.as_unit in own and custom.unit not in own:
                own.add(custom.unit)
                yield _line(group, custom)


def _line(group: list[Cells], custom: Custom) -> Cells:
    like = next((line for line in group if line["unit"] == custom.as_unit), group[0])
    return {
        **like,
        "geo": "",
        "region": "",
        "unit": custom.unit,
        "context_gt": "0",
        "price": f"{AS_UNIT}{custom.as_unit}",
        "source": like["source"].split(" + ", maxsplit=1)[0],
        "source_ref": custom.reference,
        "evidence": custom.evidence,
    }
