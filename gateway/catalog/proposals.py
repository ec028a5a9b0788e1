"""What the sources know and the files do not: new figures of known models, and new models.

Nothing here names a cloud: where the figures of a key hold is learned from the lines that refer to such keys
already ('us.' is a geo, 'azure/eu/' a zone), and so is which model of genai-prices stands beside it. What
follows a known prefix is a model by the book's own rule of names, never by likeness.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from decimal import Decimal
from typing import Final, NamedTuple

from gateway.catalog import lines as text
from gateway.catalog.figure import Figure, Slot, per_of
from gateway.catalog.lines import Cells, Key
from gateway.catalog.reference import parse
from gateway.catalog.sources import Sources
from gateway.metering.units import UNITS
from gateway.pricing import load
from gateway.pricing.dimensions import GLOBAL
from gateway.pricing.resolve import Names, canonical, shortest

# What a model of a mode does → the unit it is counted by, where it is not charged by tokens.
_MODES: Final = {
    "chat": "",
    "completion": "",
    "responses": "",
    "realtime": "",
    "embedding": "",
    "image_generation": "images_out",
    "image_edit": "images_out",
    "rerank": "search_units",
    "audio_transcription": "audio_seconds",
    "audio_speech": "characters_in",
    "video_generation": "video_seconds",
}
_UPLIFT: Final = "regional_endpoint_uplift_multiplier"
_RARE: Final = (
    20  # a place of less than a twentieth of a prefix's lines is an exception, not its rule
)
_FIRST_DAY: Final = "2026-01-01"  # the first day the book speaks for, where a source gives none
_SPLIT: Final = ("@", "latest")  # versions and moving names: the plain name speaks for them
# Stated without its lifetime; for these models that is the shortest, for all others every one.
_SHORT_LIVED: Final = ("claude", "cache_write", "cache_write_5m")


class Place(NamedTuple):
    """Where the figures of a prefix hold, and what they are multiplied by."""

    provider: str
    scope: str
    geo: str
    region: str
    factor: Decimal
    remark: str


class Known(NamedTuple):
    """What the lines teach: places by prefix, second sources and names by provider, what is priced."""

    places: dict[tuple[str, str], Counter[Place]]
    seconds: dict[str, set[str]]
    names: dict[str, Names]
    profiles: frozenset[str]
    priced: set[Key]


def proposals(files: Mapping[str, bytes], sources: Sources, day: date) -> tuple[Cells, ...]:
    """A line for every figure that no line holds, by key; corroborated where a second source agrees.

    Where two keys of one source state different figures for one line, neither is proposed.
    """
    known = _learned(files, sources)
    found: dict[Key, Cells] = {}
    torn: set[Key] = set()
    for key in sources.litellm.models():
        if _current(key, sources, day):
            for line in _lines(key, known, sources, day):
                slot = text.key_of(line)
                other = found.setdefault(slot, line)
                if other["price"] != line["price"]:
                    torn.add(slot)
    return tuple(found[slot] for slot in sorted(found.keys() - torn))


def _learned(files: Mapping[str, bytes], sources: Sources) -> Known:
    whole = [
        line
        for name, content in files.items()
        if name not in (load.ALIASES, load.REGIONS)
        for line in text.read(content)
    ]
    profiles = frozenset({line["geo"] for line in whole} - {""} | {GLOBAL})
    priced = {text.key_of(line) for line in whole}
    known = Known(defaultdict(Counter), defaultdict(set), _names(files, whole), profiles, priced)
    for line in whole:
        _learn(line, known, sources)
    return known


def _names(files: Mapping[str, bytes], whole: Iterable[Cells]) -> dict[str, Names]:
    models: dict[str, set[str]] = defaultdict(set)
    spelt: dict[str, dict[str, str]] = defaultdict(dict)
    for line in whole:
        models[line["provider"]].add(line["model"])
    for alias in text.read(files.get(load.ALIASES, b"")):
        spelt[alias["provider"]][alias["wire"]] = alias["canonical"]
    return {
        provider: Names(frozenset(known), spelt[provider]) for provider, known in models.items()
    }


def _learn(line: Cells, known: Known, sources: Sources) -> None:
    terms, factor = parse(line["source_ref"])
    _, *remarks = line["source_ref"].split("; ")
    key = terms[0].key
    plain = UNITS[line["unit"]].is_token and not terms[0].field and (factor != 1 or not remarks)
    if not (plain and sources.litellm.has(key)):
        return
    tail = _tail(key, known.profiles)
    prefix = sources.litellm.text(key, "litellm_provider"), key.removesuffix(tail)
    place = (line["provider"], line["scope"], line["geo"], line["region"])
    known.places[prefix][Place(*place, factor, "; ".join(remarks))] += 1
    if len(terms) > 1 and terms[1].key.endswith(tail):
        known.seconds[line["provider"]].add(terms[1].key.removesuffix(tail))


def _tail(key: str, profiles: Iterable[str]) -> str:
    """The model in a key: what follows the last slash and the geo of its profile."""
    last = key.rpartition("/")[2]
    first, dot, rest = last.partition(".")
    return rest if dot and first in profiles else last


def _current(key: str, sources: Sources, day: date) -> bool:
    ends = sources.litellm.text(key, "deprecation_date")
    plain = not any(mark in key for mark in _SPLIT)
    return (
        plain and sources.litellm.text(key, "mode") in _MODES and not "" < ends <= day.isoformat()
    )


def _lines(key: str, known: Known, sources: Sources, day: date) -> Iterator[Cells]:
    tail = _tail(key, known.profiles)
    prefix = sources.litellm.text(key, "litellm_provider"), key.removesuffix(tail)
    uplift = sources.litellm.number(key, _UPLIFT) or Decimal(1)
    for place in _places(known.places[prefix], uplift):
        # Names on the wire are compared in lower case; a source may spell them as a catalogue does.
        spelt = (tail, tail.lower())
        model = canonical(known.names[place.provider], spelt) or shortest(tail.lower())
        for stated, figure in _charged(key, sources):
            slot = _named(stated, model)
            if figure.usd > 0:
                line = _line(key, place, model, slot, figure)
                if not _priced(line, known.priced):
                    seconds = sorted(f"{second}{tail}" for second in known.seconds[place.provider])
                    yield _sourced(line, stated, figure, seconds, sources, day)


def _charged(key: str, sources: Sources) -> Iterator[tuple[Slot, Figure]]:
    """The figures a model is charged by: its tokens, or where it has no output tokens what it makes."""
    figures = sources.litellm.figures(key)
    counted = _MODES[sources.litellm.text(key, "mode")]
    tokens = any(slot.unit.startswith("output_") for slot in figures)
    for slot, figure in sorted(figures.items()):
        if UNITS[slot.unit].is_token or (slot.unit == counted and not tokens):
            yield slot, figure


def _places(seen: Counter[Place], uplift: Decimal) -> list[Place]:
    """The usual places of a prefix; of one place with and without a surcharge, the one the key states."""
    usual = [place for place, count in seen.items() if count * _RARE >= seen.total()]
    factors: dict[tuple[str, ...], set[Decimal]] = defaultdict(set)
    for place in usual:
        factors[place[:4]].add(place.factor)
    return sorted(
        place
        for place in usual
        if (len(factors[place[:4]]) == 1 and place.factor in (1, uplift)) or place.factor == uplift
    )


def _named(slot: Slot, model: str) -> Slot:
    word, stated, meant = _SHORT_LIVED
    return slot._replace(unit=meant) if word in model and slot.unit == stated else slot


def _priced(line: Cells, priced: set[Key]) -> bool:
    """Whether a line speaks for it: at its place or without one; a refinement also by a lower context."""
    key, anywhere = text.key_of(line), text.key_of({**line, "geo": "", "region": ""})
    if UNITS[line["unit"]].refines and (
        key._replace(context_gt=0) in priced or anywhere._replace(context_gt=0) in priced
    ):
        return True
    return key in priced or anywhere in priced


def _line(key: str, place: Place, model: str, slot: Slot, figure: Figure) -> Cells:
    per = per_of(slot.unit)
    return {
        "provider": place.provider,
        "model": model,
        "scope": place.scope,
        "geo": place.geo,
        "region": place.region,
        "tier": slot.tier,
        "unit": slot.unit,
        "context_gt": str(slot.context_gt),
        "price": figure.times(place.factor if UNITS[slot.unit].is_token else Decimal(1)).text(per),
        "per": str(per),
        "currency": "USD",
        "valid_from": _FIRST_DAY,
        "valid_to": "",
        "source": "",
        "source_ref": f"{key}; {place.remark}"
        if place.remark and UNITS[slot.unit].is_token
        else key,
        "evidence": "single",
    }


def _sourced(
    line: Cells, slot: Slot, own: Figure, seconds: Iterable[str], sources: Sources, day: date
) -> Cells:
    """The line with its source, and with a second one beside it where that states the same."""
    for second in seconds:
        figure = sources.genai.figure(second, slot, day)
        if figure is not None and figure.equals(own):
            head, *remarks = line["source_ref"].split("; ")
            both = {
                "source": f"{sources.litellm.label} + {sources.genai.label}",
                "source_ref": "; ".join((f"{head} = {second}", *remarks)),
                "evidence": "corroborated",
            }
            return {**line, **both}
    return {**line, "source": sources.litellm.label}
