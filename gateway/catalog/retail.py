"""The Azure retail price list as rows of meters: from a packaged snapshot or from the live feed's pages.

A feed page is ``{"Items": [{"meterName", "productName", "armRegionName", "retailPrice", "unitOfMeasure",
"effectiveStartDate", "type", "currencyCode"}, …]}``; a snapshot has ``items`` with ``regions`` merged.
"""

import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import date
from decimal import Decimal
from typing import Final, NamedTuple

from gateway.catalog.figure import Figure, SourceUnreadable

_PER: Final = {"1M": 1_000_000, "1K": 1000, "1": 1, "100": 100, "1 Second": 1, "1 Hour": 3600}
_PER_HOUR_UNITS: Final = {"1/Hour": 1, "1/Day": 1, "1/Month": 1}  # what stands reserved, not used
_CONSUMPTION: Final = "Consumption"
_USD: Final = "USD"


class Meter(NamedTuple):
    """One price of one meter. ``per``: in units, or in seconds where the meter counts hours of sound."""

    name: str
    product: str
    regions: frozenset[str]
    figure: Figure
    since: date
    source: str


class Listed(NamedTuple):
    """What the list says: the figure, since when, and which list it was."""

    figure: Figure
    since: date
    source: str


class Retail:
    """The meters of a snapshot, and of a feed over it. ``label`` is how rows name it."""

    def __init__(self, label: str, pages: Iterable[bytes], before: Iterable[Meter] = ()) -> None:
        """Raises SourceUnreadable where a page is none, or holds another currency than USD."""
        self.label = label
        self.meters = (*before, *(meter for page in pages for meter in _meters(page, label)))
        self._by_name: dict[str, list[Meter]] = defaultdict(list)
        for meter in self.meters:
            self._by_name[meter.name].append(meter)

    def under(self, label: str, pages: Iterable[bytes]) -> "Retail":
        """The same with a feed over it: where both state a meter's price of one day, the feed is right."""
        return Retail(label, pages, self.meters)

    def latest(
        self, names: Iterable[str], within: Collection[str], without: Collection[str], day: date
    ) -> Listed | None:
        """The figure that holds on a day, and since when: in the regions ``within``, else outside ``without``.

        None where no meter of these names is sold there, or where the regions disagree.
        """
        found: dict[str, Meter] = {}
        for name in names:
            for meter in self._by_name.get(name, ()):
                if meter.since <= day:
                    sold = (
                        meter.regions & frozenset(within)
                        if within
                        else meter.regions - frozenset(without)
                    )
                    _note(found, meter, sold)
        figures = list(found.values())
        if not figures or any(not m.figure.equals(figures[0].figure) for m in figures):
            return None
        newest = max(figures, key=lambda meter: meter.since)
        return Listed(newest.figure, newest.since, newest.source)


def _note(found: dict[str, Meter], meter: Meter, regions: Collection[str]) -> None:
    """Keep the meter for every region it is the newest of."""
    for region in regions:
        known = found.get(region)
        if known is None or known.since <= meter.since:
            found[region] = meter


def _meters(page: bytes, source: str) -> Iterator[Meter]:
    read: object = json.loads(page, parse_float=Decimal, parse_int=Decimal)
    if not isinstance(read, Mapping):
        raise SourceUnreadable("azure retail: a page is an object with items")
    items = read.get("items", read.get("Items"))
    if not isinstance(items, list):
        raise SourceUnreadable("azure retail: a page has no items")
    for item in items:
        if isinstance(item, Mapping) and item.get("type", _CONSUMPTION) == _CONSUMPTION:
            yield from _meter(item, source)


def _meter(item: Mapping[str, object], source: str) -> Iterator[Meter]:
    if item.get("currencyCode", _USD) != _USD:
        raise SourceUnreadable(
            f"azure retail: prices in {item.get('currencyCode')}: ask for {_USD}"
        )
    price, measure = item.get("retailPrice"), str(item.get("unitOfMeasure"))
    per = _PER.get(measure, _PER_HOUR_UNITS.get(measure))
    if not isinstance(price, Decimal) or per is None:
        raise SourceUnreadable(f"azure retail: {item.get('meterName')}: {price} per {measure!r}")
    listed = item.get("regions", [item.get("armRegionName")])
    regions = (
        frozenset(str(region) for region in listed) if isinstance(listed, list) else frozenset()
    )
    since = date.fromisoformat(str(item.get("effectiveStartDate"))[:10])
    name, product = str(item.get("meterName")), str(item.get("productName"))
    yield Meter(name, product, regions, Figure(price, per), since, source)
