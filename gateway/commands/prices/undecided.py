"""Why a price was not found, and what would decide it: the values there are, from the book itself."""

from collections.abc import Collection, Iterator
from fnmatch import fnmatchcase
from typing import Final

from gateway.commands.names import instead
from gateway.commands.output import ERRORS, stop
from gateway.metering.units import UNITS
from gateway.pricing.book import Book
from gateway.pricing.dimensions import SCOPES, TIERS, Circumstances, Dimension
from gateway.pricing.row import Layer
from gateway.shipped import provider_names

_SHOWN: Final = 12
_WORDS: Final = {"scope": sorted(SCOPES), "tier": sorted(TIERS), "layer": tuple(map(str, Layer))}


def models_of(book: Book) -> frozenset[str]:
    """Every provider's models, as the book names them."""
    return frozenset[str]().union(*map(book.models, provider_names()))


def check_words(**asked: str | None) -> None:
    """Stop at a scope, tier or layer that the program does not have; None asks for any."""
    for option, word in asked.items():
        if word is not None and word not in _WORDS[option]:
            stop(f"--{option}: expected one of {', '.join(_WORDS[option])}, found {word!r}")


def tell_unfit(book: Book, wires: Collection[str] = (), **globs: str | None) -> None:
    """Say on stderr of each glob (provider, model, unit) that fits nothing in the book which names are nearest.

    ``wires``: names of deployments, which are models too.
    """
    there = {
        "provider": {*provider_names()},
        "model": {*models_of(book), *wires},
        "unit": {*UNITS},
    }
    for what, glob in globs.items():
        if glob is not None and not any(fnmatchcase(name, glob) for name in there[what]):
            also = instead(glob, there[what], "weighbridge prices list")
            ERRORS.print(f"the price book has no {what} {glob!r}{also}", highlight=False, soft_wrap=True)  # fmt: skip


def check_place(book: Book, provider: str, geo: str | None, region: str | None) -> None:
    """Stop at a geo that the book does not have; say so of a region, which may be new and priced as anywhere."""
    if geo is None and region is None:
        return
    here = [one.place for one in book.listed() if one.named[Dimension.PROVIDER] == provider]
    geos = {place[0] for place in here if place[0]} | set(book.geos(provider))
    regions = {place[1] for place in here if place[1]} | set(book.regions(provider))
    if geo is not None and geo not in geos:
        stop(f"--geo: the price book has no {geo!r} of {provider}; there are {', '.join(sorted(geos))}")  # fmt: skip
    if region is not None and region not in regions:
        there = instead(region, regions, f"weighbridge prices list --provider {provider}")
        ERRORS.print(f"the price book knows no region {region!r} of {provider}{there}", highlight=False, soft_wrap=True)  # fmt: skip


def tell_undecided(book: Book, under: Circumstances, status: str, asked: str) -> None:
    """Say on stderr what to give where a price was not found; ``asked``: the model as it was given."""
    for hint in _hints(book, under, status, asked):
        ERRORS.print(hint, highlight=False, soft_wrap=True)


def _hints(book: Book, under: Circumstances, status: str, asked: str) -> Iterator[str]:
    """Sentences that say what to give; none where everything has its price."""
    if under.model is None:
        also = instead(asked, book.models(under.provider), "weighbridge prices list")
        yield f"the price book has no model {asked!r} of {under.provider}{also}"
        return
    if status not in {"ambiguous", "unpriced", "partial"}:
        return
    there = [
        one
        for one in book.listed(under.at_us)
        if one.named[Dimension.PROVIDER] == under.provider
        and one.named[Dimension.MODEL] == under.model
    ]
    fits = [
        one.place
        for one in there
        if one.named[Dimension.SCOPE] == under.scope and one.named[Dimension.TIER] == under.tier
    ]
    if not fits:
        pairs = {f"{o.named[Dimension.SCOPE]} {o.named[Dimension.TIER]}" for o in there}
        yield f"{under.model} has no price under {under.scope} {under.tier}; there are: {_few(pairs)}"
    elif status == "ambiguous":
        for at, (option, given) in enumerate((("--geo", under.geo), ("--region", under.region))):
            values = {place[at] for place in fits if place[at]}
            if given is None and values:
                yield f"{option} would decide: {_few(values)}"


def _few(names: set[str]) -> str:
    told = sorted(names)
    more = f" and {len(told) - _SHOWN} more" if len(told) > _SHOWN else ""
    return ", ".join(told[:_SHOWN]) + more
