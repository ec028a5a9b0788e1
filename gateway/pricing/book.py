"""The price book: rows compiled for exact look-up by named dimensions, place, context tier and date.

A look-up never falls back across a named dimension (model, scope, tier) or a context tier. The most
specific place wins; a place that is not known is an answer only where every place agrees.
To add a dimension see ``dimensions``; to add prices, add rows.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import lru_cache, partial
from typing import Final

import msgspec

from gateway.kernel.remembered import remembered, whole
from gateway.pricing.atlas import Atlas, Region
from gateway.pricing.charged import Offer, Price, offers
from gateway.pricing.dimensions import (
    NAMED,
    ORDER,
    Circumstances,
    Dimension,
    Key,
    Place,
    Standing,
    key_of,
    place_of,
    standing_of,
)
from gateway.pricing.ladder import Ladder, ladder_of
from gateway.pricing.resolve import Names, canonical
from gateway.pricing.row import BookInvalid, Row, complaints
from gateway.pricing.shelf import NOTHING, Quotes, Shelf, Span, Stand, Whereabouts, shelf_of

CATALOG_CHARS: Final = 16  # of a version, as rows and people name it
_NAMES_BYTES_MAX: Final = 2048  # names come from clients
_PLACES_MAX: Final = 4096  # keys times places in use; beyond it the oldest are worked out anew


class Alias(msgspec.Struct, frozen=True):
    """Another spelling of a model's name, and who says so."""

    provider: str
    wire: str
    canonical: str
    source: str = ""


class Listed(msgspec.Struct, frozen=True):
    """A price as it stands under its full key, beside higher layers."""

    named: dict[Dimension, str]
    place: tuple[str, ...]
    unit: str
    price: Price


class Book:
    """A compiled price book. ``version`` is the digest of its rows; ``catalog``: its first characters, as rows name it."""

    def __init__(
        self,
        rows: tuple[Row, ...],
        shelves: dict[Key, Shelf],
        atlas: Atlas,
        names: dict[str, Names],
    ) -> None:
        self.rows = rows
        self.version = _digest(rows)
        self.catalog = self.version[:CATALOG_CHARS]
        self._shelves = shelves
        self._atlas = atlas
        self._names = names
        # A pure function of few arguments (configured places), asked for on every request. What is kept here knows the
        # parts and not the book: one that referred to itself would outlive its successor until a full collection.
        self._whereabouts = lru_cache(maxsize=_PLACES_MAX)(partial(_look_around, shelves, atlas))
        self._stands: dict[Standing, Stand] = {}
        self._ladders: dict[Standing, Ladder] = {}
        self._canonical = remembered(
            whole, entries_max=_PLACES_MAX, entry_bytes_max=_NAMES_BYTES_MAX
        )(partial(_named, names))

    @classmethod
    def compile(
        cls,
        rows: Iterable[Row],
        *,
        aliases: Iterable[Alias] = (),
        regions: Iterable[Region] = (),
        problems: Iterable[str] = (),
    ) -> "Book":
        """Check every row and build the look-up; ``problems`` were found before.

        Raises BookInvalid with every problem at once: unknown words, missing sources, references that
        lead nowhere, aliases of unknown models, two rows of one layer valid for one key and instant.
        """
        rows, aliases = tuple(rows), tuple(aliases)
        made, between = offers(rows)
        found = [
            *problems,
            *(text for row in rows for text in complaints(row)),
            *between,
            *_misnamed(rows, aliases),
        ]
        if found:
            raise BookInvalid(tuple(found))
        return cls(rows, _shelves(made), Atlas(regions), _names(rows, aliases))

    def canonical(self, provider: str, names: Iterable[str]) -> str | None:
        """The book's own name of a model, from candidates (most exact first); None: not in the book."""
        return self._canonical(provider, tuple(names))[0]

    def models(self, provider: str) -> frozenset[str]:
        """The canonical names of a provider's models."""
        known = self._names.get(provider)
        return frozenset() if known is None else known.models

    def regions(self, provider: str) -> tuple[str, ...]:
        """The regions of a provider that the book can place, sorted."""
        return self._atlas.regions(provider)

    def geos(self, provider: str) -> tuple[str, ...]:
        """The geos that those regions lie in, sorted."""
        return self._atlas.geos(provider)

    def priced(self, at: Circumstances) -> tuple[str, ...]:
        """The units that have any price under a request's named dimensions."""
        return tuple(self._shelf(key_of(at)).racks)

    def listed(self, at_us: int | None = None) -> Iterator[Listed]:
        """Every price there is, references among them; those valid at an instant, or all."""
        for key, shelf in self._shelves.items():
            named = {ORDER[i]: term or "" for i, term in zip(NAMED, key, strict=True)}
            for unit, rack in shelf.racks.items():
                for place, prices in rack.places.items():
                    known = tuple([term or "" for term in place])
                    for price in prices:
                        if at_us is None or price.since_us <= at_us < price.until_us:
                            yield Listed(named, known, unit, price)

    def context_tier(self, at: Circumstances, context_tokens: int) -> int:
        """The context tier of a prompt of so many tokens: the highest threshold that is exceeded, else 0."""
        return self._shelf(key_of(at)).tier(context_tokens, at.at_us)

    def quotes(self, at: Circumstances, context_tokens: int) -> Quotes:
        """The prices of a request whose prompt has so many tokens."""
        return self.stand(at).quotes(at.at_us, context_tokens)

    def stand(self, at: Circumstances) -> Stand:
        """The prices of all requests like this one, whenever and however long."""
        standing = standing_of(at)
        found = self._stands.get(standing)
        if found is None:
            key = key_of(at)
            look = partial(self._whereabouts, key, at.provider, place_of(at))
            if len(self._stands) >= _PLACES_MAX:
                self._stands.clear()
            found = self._stands[standing] = Stand(self._shelf(key), look)
        return found

    def span(self, at: Circumstances, unit: str) -> Span:
        """Within what time and prompt size a unit's price at the lowest context tier does not change."""
        return self._shelf(key_of(at)).span(unit, at.at_us)

    def unchanged(self, at: Circumstances) -> tuple[int, int]:
        """The half-open time around a request's instant in which no price under its named dimensions begins or ends."""
        return self._shelf(key_of(at)).unchanged(at.at_us)

    def ladder(self, at: Circumstances) -> Ladder:
        """The dearest prices a request may meet, by context tier; remembered while no price changes."""
        standing = standing_of(at)
        found = self._ladders.get(standing)
        if found is None or not found.holds(at.at_us):
            key = key_of(at)
            around = self._whereabouts(key, at.provider, place_of(at))
            if len(self._ladders) >= _PLACES_MAX:
                self._ladders.clear()
            found = self._ladders[standing] = ladder_of(self._shelf(key), around, at.at_us)
        return found

    def _shelf(self, key: Key) -> Shelf:
        return self._shelves.get(key, NOTHING)


def _named(
    known: dict[str, Names], provider: str, candidates: tuple[str, ...]
) -> tuple[str | None]:
    names = known.get(provider)
    return (None if names is None else canonical(names, candidates),)


def _look_around(
    shelves: dict[Key, Shelf], atlas: Atlas, key: Key, provider: str, place: Place
) -> Whereabouts:
    return shelves.get(key, NOTHING).whereabouts(atlas, provider, place)


def _shelves(made: Iterable[Offer]) -> dict[Key, Shelf]:
    keyed: dict[Key, list[Offer]] = defaultdict(list)
    for offer in made:
        keyed[offer.named].append(offer)
    return {named: shelf_of(group) for named, group in keyed.items()}


def _models(rows: Iterable[Row]) -> dict[str, frozenset[str]]:
    found: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        found[row.provider].add(row.model)
    return {provider: frozenset(models) for provider, models in found.items()}


def _misnamed(rows: Iterable[Row], aliases: Iterable[Alias]) -> Iterator[str]:
    """Aliases that lead nowhere, hide a model, or say two things."""
    models = _models(rows)
    said: dict[tuple[str, str], str] = {}
    for alias in aliases:
        known = models.get(alias.provider, frozenset())
        if alias.canonical not in known:
            yield f"alias {alias.wire!r}: {alias.canonical!r} has no price row"
        if alias.wire in known:
            yield f"alias {alias.wire!r} is a model of its own"
        if said.setdefault((alias.provider, alias.wire), alias.canonical) != alias.canonical:
            yield f"alias {alias.wire!r} stands for two models"


def _names(rows: Iterable[Row], aliases: Iterable[Alias]) -> dict[str, Names]:
    spelt: dict[str, dict[str, str]] = defaultdict(dict)
    for alias in aliases:
        spelt[alias.provider][alias.wire] = alias.canonical
    return {
        provider: Names(models, spelt.get(provider, {}))
        for provider, models in _models(rows).items()
    }


def _digest(rows: Iterable[Row]) -> str:
    digest = hashlib.sha256()
    for row in rows:
        digest.update(msgspec.msgpack.encode(msgspec.structs.replace(row, origin="")))
    return digest.hexdigest()
