"""Providers' own price lists for `prices refresh`: files, or the pages of a feed that the user names."""

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Final, NamedTuple
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import urlopen

from gateway.catalog.bedrock import Checked, Offer, checked, offers
from gateway.catalog.figure import SourceUnreadable
from gateway.catalog.sources import Sources
from gateway.commands.output import CONSOLE, emit, stop, table
from gateway.kernel.money import format_usd
from gateway.pricing import load

_PAGES_MAX: Final = 1000  # of a hundred rows; the whole list has some thirty
_TIMEOUT_SECONDS: Final = 60
_LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")
_SHOWN: Final = 40


class Feeds(NamedTuple):
    """What the user brought: pages of the retail list, offers, and how many usage types are not of tokens."""

    pages: tuple[bytes, ...]
    offers: tuple[Offer, ...]
    silent: int
    day: date

    def over(self, held: Sources) -> Sources:
        """The packaged sources with the retail feed over its snapshot."""
        if not self.pages:
            return held
        try:
            return held._replace(retail=held.retail.under(f"azure-retail {self.day}", self.pages))
        except SourceUnreadable as error:
            stop(str(error))

    def checked(self, files: Mapping[str, bytes]) -> tuple[Checked, ...]:
        """Every offer against the book of the files."""
        return tuple(checked(self.offers, load.book(files), self.day)) if self.offers else ()


def read_feeds(retail: Iterable[str], offered: Iterable[str], day: date) -> Feeds:
    """The feeds. Stops where one is not to be had, or is none."""
    try:
        found, silent = offers(contents(offered))
        return Feeds(tuple(contents(retail)), found, silent.total(), day)
    except (SourceUnreadable, json.JSONDecodeError) as error:
        stop(str(error))


def contents(names: Iterable[str]) -> list[bytes]:
    """The files, and all pages of the addresses. Raises SourceUnreadable where one is not to be had."""
    found: list[bytes] = []
    for name in names:
        if "://" in name:
            found += _pages(name)
        elif Path(name).is_file():
            found.append(Path(name).read_bytes())
        else:
            raise SourceUnreadable(f"{name}: no such file")
    return found


def _pages(address: str) -> Iterator[bytes]:
    """The pages of a feed, each naming the next."""
    for _ in range(_PAGES_MAX):
        page = _fetched(address)
        yield page
        read: object = json.loads(page)
        following = read.get("NextPageLink") if isinstance(read, Mapping) else None
        if not isinstance(following, str) or not following:
            return
        address = following
    raise SourceUnreadable(f"{address}: more than {_PAGES_MAX} pages")


def _fetched(address: str) -> bytes:
    parts = urlsplit(address)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in _LOOPBACK):
        raise SourceUnreadable(f"{address}: prices are fetched over https only")
    try:
        with urlopen(address, timeout=_TIMEOUT_SECONDS) as answer:  # noqa: S310  # scheme checked above
            content: bytes = answer.read()
    except (URLError, OSError) as error:
        if isinstance(error, HTTPError):
            error.close()  # it holds the answer's connection
        raise SourceUnreadable(
            f"{address}: {error}: fetch it yourself and name the file"
        ) from error
    return content


def emit_offers(found: Iterable[Checked]) -> None:
    """Every offer that the book does not charge as listed, one object per line."""
    for one in found:
        if one.verdict != "agrees":
            emit({"verdict": f"offer {one.verdict}"} | _record(one))


def _record(one: Checked) -> dict[str, object]:
    offer, price = one.offer, one.price
    return {
        "model": one.model or offer.model,
        "region": offer.region,
        "scope": offer.scope,
        "tier": offer.slot.tier,
        "unit": offer.slot.unit,
        "long_context": offer.long,
        "listed": offer.figure.text(1_000_000),
        "charged": _per_million(one),
        "price_id": None if price is None else price.id,
        "since": offer.since.isoformat(),
        "rate_code": offer.rate_code,
    }


def _per_million(one: Checked) -> str | None:
    return None if one.price is None else format_usd(one.price.pico * 1_000_000 // one.price.per)


def show_offers(found: Iterable[Checked], silent: int) -> None:
    """How the offers stand against the book; those that differ one by one."""
    counted: dict[str, list[Checked]] = {"agrees": [], "differs": [], "absent": [], "unread": []}
    for one in found:
        counted[one.verdict].append(one)
    if not any(counted.values()) and not silent:
        return
    if counted["differs"]:
        shown = table(
            "the provider lists another price (per 1M)",
            (("model", "left"), ("where", "left"), ("unit", "left"), ("listed", "right"), ("charged", "right"), ("since", "left")),
        )  # fmt: skip
        for one in counted["differs"][:_SHOWN]:
            offer = one.offer
            where = f"{offer.scope} {offer.region} {offer.slot.tier}{' long' if offer.long else ''}"
            shown.add_row(
                one.model, where, offer.slot.unit, offer.figure.text(1_000_000),
                _per_million(one), offer.since.isoformat(),
            )  # fmt: skip
        CONSOLE.print(shown)
    CONSOLE.print(
        f"the provider's list: {len(counted['agrees']):,} prices are charged as listed, "
        f"{len(counted['differs']):,} are not, {len(counted['absent']):,} are not in the book, "
        f"{len(counted['unread']):,} are of models it does not know, {silent:,} are not of tokens",
        highlight=False,
    )
