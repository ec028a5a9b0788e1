"""Price files held against their sources: every figure is looked up again where its reference says.

A figure that still stands is kept byte for byte. One that moved is replaced where the provider itself says so
or where two sources agree; what only one source says waits among the disputes for a person. Nothing is edited:
the old line is closed and a new one added. What a source knows beyond the files is found in ``proposals``.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from datetime import date
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import NamedTuple

from gateway.catalog import lines as text
from gateway.catalog.lines import Cells
from gateway.catalog.reference import parse
from gateway.catalog.sources import Sources, Stated
from gateway.pricing import load

_AUTHORITY = "authoritative"
_AGREEING_MIN = 2


class Verdict(StrEnum):
    """What became of a line."""

    HELD = "held"  # every source it names still states the figure
    RULE = "rule"  # charged as another unit, free by a remark, or written by hand
    ENDED = "ended"  # history
    REPLACED = "replaced"  # the figure moved, and enough sources say so
    ANNOUNCED = "announced"  # it stands, and a dated source says that it will move
    DISPUTED = "disputed"  # the sources do not agree, or only one says so
    GONE = "gone"  # no source states it any more


_FOR_A_PERSON = (Verdict.ANNOUNCED, Verdict.DISPUTED, Verdict.GONE)


class Delta(NamedTuple):
    """A line that moved: before, after, and what the sources state."""

    before: Cells
    after: Cells


class Dispute(NamedTuple):
    """A line that waits for a person."""

    line: Cells
    verdict: Verdict
    stated: tuple[Stated, ...]


class Outcome(NamedTuple):
    """A refresh: the files as they would be, what moved, what waits, and how many lines stand."""

    files: dict[str, bytes]
    deltas: tuple[Delta, ...]
    disputes: tuple[Dispute, ...]
    counts: Counter[Verdict]


def refresh(
    files: Mapping[str, bytes], sources: Sources, day: date, accept: Iterable[str] = ()
) -> Outcome:
    """Hold every price file against the sources as of a day; ``aliases.csv`` and ``regions.csv`` stand.

    accept  patterns of 'provider/model' for which one source is enough, because a person has looked
    The files must have passed their lint.
    """
    patterns = tuple(accept)
    geos = _geos(files)
    made: dict[str, bytes] = {}
    deltas: list[Delta] = []
    disputes: list[Dispute] = []
    counts: Counter[Verdict] = Counter()
    for name, content in files.items():
        if name in (load.ALIASES, load.REGIONS):
            made[name] = content
            continue
        kept: list[Cells] = []
        whole = text.read(content)
        elsewhere = _named_places(whole, geos)
        for line in whole:
            verdict, stated = _judged(line, sources, day, geos, elsewhere)
            counts[verdict] += 1
            moved = _moved(line, verdict, stated, sources, day, accepted=_named(line, patterns))
            kept += moved or (line,)
            if moved:
                deltas.append(Delta(line, moved[1]))
            elif verdict in _FOR_A_PERSON:
                disputes.append(Dispute(line, verdict, stated))
        made[name] = text.write(kept)
    return Outcome(made, tuple(deltas), tuple(disputes), counts)


def unread(files: Mapping[str, bytes], sources: Sources) -> tuple[tuple[str, str], ...]:
    """The meters of the provider's list that no row refers to, as (product, name): told, never dropped."""
    referred = {
        name
        for file, content in files.items()
        if file not in (load.ALIASES, load.REGIONS)
        for line in text.read(content)
        for term in parse(line["source_ref"]).terms
        for name in term.names
    }
    meters = {(meter.product, meter.name) for meter in sources.retail.meters}
    return tuple(sorted(pair for pair in meters if pair[1] not in referred))


Geos = Mapping[tuple[str, str], frozenset[str]]


class Named(NamedTuple):
    """The regions that lines of one key without its place speak for: by their own name, and by their geo's."""

    regions: frozenset[str]
    geos: frozenset[str]


Elsewhere = Mapping[tuple[str, ...], Named]


def _geos(files: Mapping[str, bytes]) -> Geos:
    found: dict[tuple[str, str], set[str]] = defaultdict(set)
    for line in text.read(files.get(load.REGIONS, b"")):
        found[line["provider"], line["geo"]].add(line["region"])
    return {key: frozenset(regions) for key, regions in found.items()}


def _place_less(line: Cells) -> tuple[str, ...]:
    return (line["model"], line["scope"], line["tier"], line["unit"], line["context_gt"])


def _named_places(whole: Iterable[Cells], geos: Geos) -> Elsewhere:
    """Per key without its place: the regions that lines of their own speak for."""
    nothing = Named(frozenset(), frozenset())
    found: dict[tuple[str, ...], Named] = defaultdict(lambda: nothing)
    for line in whole:
        key, area = _place_less(line), _area(line, geos)
        known = found[key]
        if line["region"]:
            found[key] = known._replace(regions=known.regions | area)
        elif line["geo"]:
            found[key] = known._replace(geos=known.geos | area)
        else:
            found[key] = known
    return found


def _area(line: Cells, geos: Geos) -> frozenset[str]:
    """The regions a line's place has; none where it holds anywhere."""
    if line["region"]:
        return frozenset({line["region"]})
    return geos.get((line["provider"], line["geo"]), frozenset({line["geo"]} - {""}))


def _sold(line: Cells, geos: Geos, named: Named) -> tuple[frozenset[str], frozenset[str]]:
    """Where a line speaks: in these regions, or where none is given anywhere but in those."""
    area = _area(line, geos)
    if not area:
        return frozenset(), named.regions | named.geos
    return area if line["region"] else area - named.regions, frozenset()


def _judged(
    line: Cells, sources: Sources, day: date, geos: Geos, elsewhere: Elsewhere
) -> tuple[Verdict, tuple[Stated, ...]]:
    if text.by_rule(line):
        return Verdict.RULE, ()
    if not text.runs(line, day):
        return Verdict.ENDED, ()
    within, without = _sold(line, geos, elsewhere[_place_less(line)])
    as_of = max(day, date.fromisoformat(line["valid_from"]))
    reference = parse(line["source_ref"])
    slot = text.slot_of(line)
    stated = sources.state(reference, slot, within, without, as_of)
    verdict = _verdict(line, stated, as_of)
    change = None if line["valid_to"] else sources.next_change(reference, slot, as_of)
    if verdict is Verdict.HELD and change is not None:
        _term, figure, since = change
        return Verdict.ANNOUNCED, (*stated, Stated(sources.genai.label, figure, since))
    return verdict, stated


def _verdict(line: Cells, stated: tuple[Stated, ...], as_of: date) -> Verdict:
    figures = [found.figure for found in stated if found.figure is not None]
    if not figures:
        return Verdict.GONE
    own = text.figure_of(line)
    agreed = len(figures) == len(stated) and all(f.equals(figures[0]) for f in figures)
    if agreed and figures[0].equals(own):
        return Verdict.HELD
    enough = line["evidence"] == _AUTHORITY or len(figures) >= _AGREEING_MIN
    later = _since(line, stated, as_of) > date.fromisoformat(line["valid_from"])
    return (
        Verdict.REPLACED
        if agreed and enough and later and not line["valid_to"]
        else Verdict.DISPUTED
    )


def _since(line: Cells, stated: tuple[Stated, ...], day: date) -> date:
    """The day a figure moved: as a source dates it where that lies after the line's start, else the day."""
    start = date.fromisoformat(line["valid_from"])
    dated = [found.since for found in stated if found.since is not None and found.since > start]
    return max(dated, default=day)


def _named(line: Cells, patterns: Iterable[str]) -> bool:
    name = f"{line['provider']}/{line['model']}"
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _moved(
    line: Cells,
    verdict: Verdict,
    stated: tuple[Stated, ...],
    sources: Sources,
    day: date,
    *,
    accepted: bool,
) -> tuple[Cells, Cells] | None:
    """The line closed and its successor, where it may be replaced."""
    if verdict is Verdict.ANNOUNCED and accepted:
        return _announced(line, sources, day)
    agreed = stated and all(
        f.figure and f.figure.equals(stated[0].figure or f.figure) for f in stated
    )
    figure = stated[0].figure if agreed else None
    if figure is None or not (
        verdict is Verdict.REPLACED or (verdict is Verdict.DISPUTED and accepted)
    ):
        return None
    source = " + ".join(dict.fromkeys(found.source for found in stated))
    return text.replaced(line, _since(line, stated, day), figure, source)


def _announced(line: Cells, sources: Sources, day: date) -> tuple[Cells, Cells] | None:
    """The line closed on the day its dated source announces, and the one that source states from then on."""
    as_of = max(day, date.fromisoformat(line["valid_from"]))
    change = sources.next_change(parse(line["source_ref"]), text.slot_of(line), as_of)
    if change is None:
        return None
    term, figure, since = change
    closed, after = text.replaced(line, since, figure, sources.genai.label)
    _, *remarks = line["source_ref"].split("; ")
    head = f"{term.key} {term.field}".rstrip()
    return closed, {**after, "source_ref": "; ".join((head, *remarks)), "evidence": "single"}
