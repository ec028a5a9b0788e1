"""Where regions lie: a place that is only partly known, completed.

To add a region: a line in the seed's regions.csv. A sovereign geo is a partition of its own, with its
own accounts and endpoints: a request that does not say so is not in it.
"""

from collections.abc import Iterable
from typing import Final, TypeAlias

import msgspec

from gateway.pricing.dimensions import OPEN, ORDER, Dimension, Place

_GEO: Final = OPEN.index(ORDER.index(Dimension.GEO))
_REGION: Final = OPEN.index(ORDER.index(Dimension.REGION))

Named: TypeAlias = tuple[str, ...]


class Region(msgspec.Struct, frozen=True):
    """A provider's region and the geo it lies in."""

    provider: str
    region: str
    geo: str
    sovereign: bool = False


class Atlas:
    """The known regions of every provider."""

    def __init__(self, regions: Iterable[Region] = ()) -> None:
        regions = tuple(regions)
        self._geo = {(item.provider, item.region): item.geo for item in regions}
        self._sovereign = {(item.provider, item.geo) for item in regions if item.sovereign}

    def regions(self, provider: str) -> tuple[str, ...]:
        """The regions of a provider, sorted."""
        return tuple(sorted(region for theirs, region in self._geo if theirs == provider))

    def geos(self, provider: str) -> tuple[str, ...]:
        """The geos that the regions of a provider lie in, sorted."""
        return tuple(sorted({geo for (theirs, _), geo in self._geo.items() if theirs == provider}))

    def located(self, provider: str, place: Place) -> Place:
        """The place, its geo filled in where only a known region is given."""
        region = place[_REGION]
        if place[_GEO] is not None or region is None:
            return place
        return _with_geo(place, self._geo.get((provider, region)))

    def completions(self, provider: str, place: Place, named: Iterable[Named]) -> list[Place]:
        """What a partly known place may turn out to be: each place of ``named`` that fits it.

        The first is the place that no row names.
        """
        found: list[Place] = [tuple([term or "" for term in place])]
        for theirs in named:
            pairs = tuple(zip(place, theirs, strict=True))
            if any(a and b and a != b for a, b in pairs):
                continue
            whole = self._whole(provider, place, tuple([a or b for a, b in pairs]))
            if whole is not None:
                found.append(whole)
        return found

    def _whole(self, provider: str, place: Place, candidate: Named) -> Place | None:
        """The candidate with the geo of its region; None where that contradicts what is known."""
        lies_in = self._geo.get((provider, candidate[_REGION]))
        if place[_GEO] is not None:
            guessed = place[_REGION] is None
            return None if guessed and lies_in not in (None, place[_GEO]) else candidate
        geo = candidate[_GEO] or lies_in
        if (provider, geo) in self._sovereign:
            return None
        return _with_geo(candidate, geo or "")


def names_region(place: Place) -> bool:
    """Whether the place says which region it is."""
    return place[_REGION] is not None


def _with_geo(place: Place, geo: str | None) -> Place:
    return tuple([geo if i == _GEO else term for i, term in enumerate(place)])
