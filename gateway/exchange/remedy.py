"""What to add to the configuration where a call cannot be priced: the very line, and what else it may say.

To tell of another gap: a branch of ``remedy``; whoever follows it can make the next call.
"""

from collections.abc import Iterable
from typing import Final

from msgspec.structs import replace

from gateway.metering.units import INPUT_TEXT
from gateway.pricing.book import Book
from gateway.pricing.cover import covers, cure_row
from gateway.pricing.dimensions import GLOBAL, SCOPES, Circumstances
from gateway.pricing.rate import Status

_SHOWN_MAX: Final = 8
_NO_MODEL: Final = (
    "names no model of the price book: if it is another name of one (a deployment, an application inference "
    "profile, a tuned model), say of which under [[deployments]]; else add price rows for it (weighbridge prices "
    "missing has them ready to fill), or use a key that allows unpriced models"
)
_WIDEST: Final = (GLOBAL, *sorted(SCOPES - {GLOBAL}))


def remedy(book: Book, status: Status, under: Circumstances, upstream: str) -> str:
    """What is wrong with a place that is ``ambiguous`` or ``unpriced``, and the cure, to follow its name."""
    if under.model is None:
        return _NO_MODEL
    is_nowhere = under.region is not None and under.region not in book.regions(under.provider)
    if status is Status.AMBIGUOUS or (is_nowhere and under.scope not in (None, GLOBAL)):
        return _placeless(book, under, upstream)
    scopes = [scope for scope in _WIDEST if _is_priced(book, replace(under, scope=scope))]
    if under.scope is None and scopes:
        return (
            f"says no scope to be priced in: add scope = {_either(scopes)} to its [[deployments]], as its kind of "
            "deployment is"
        )
    row = cure_row(under, INPUT_TEXT)
    also = f"; it has prices in scope {', '.join(scopes)}" if scopes else ""
    scope = under.scope or GLOBAL
    first = f'add scope = "{GLOBAL}" to its [[deployments]] and' if under.scope is None else "add"
    return (
        f"has no price in scope {scope}, tier {under.tier}{also}: {first} a price row such as {row!r}, or use a key "
        "that allows unpriced models"
    )


def _placeless(book: Book, under: Circumstances, upstream: str) -> str:
    """The region first: the upstream says it for all of its deployments."""
    regions = [
        region
        for region in book.regions(under.provider)
        if _settles(book, replace(under, region=region))
    ]
    if under.region is None and regions:
        return (
            f"has several prices and its region is not known: add region = {_either(regions)} to "
            f"[upstreams.{upstream}], or to its [[deployments]]"
        )
    where = (
        ""
        if under.region is None
        else f", and the price book does not know where {under.region!r} is"
    )
    geos = [geo for geo in book.geos(under.provider) if _settles(book, replace(under, geo=geo))]
    if geos:
        return f"has several prices{where}: add geo = {_either(geos)} to its [[deployments]]"
    row = f"add a price row for the place such as {cure_row(under, INPUT_TEXT)!r}"
    if regions:
        misspelt = f"set region = {_either(regions)} on its [[deployments]] where it is misspelt"
        return f"has several prices{where}: {misspelt}, else {row}"
    return f"has several prices{where}: {row}"


def _is_priced(book: Book, at: Circumstances) -> bool:
    return covers(book, at).status is not Status.UNPRICED


def _settles(book: Book, at: Circumstances) -> bool:
    return covers(book, at).status is Status.PRICED


def _either(words: Iterable[str]) -> str:
    quoted = [f'"{word}"' for word in words]
    more = " …" if len(quoted) > _SHOWN_MAX else ""
    return " or ".join(quoted[:_SHOWN_MAX]) + more
