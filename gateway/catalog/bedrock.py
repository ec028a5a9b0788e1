"""The AWS price list's offer files against the book: what each usage type says, and what the book charges.

An offer file is ``{"products": {sku: {"attributes": {"usagetype", "regionCode", "servicename", …}}}, "terms":
{"OnDemand": {sku: {term: {"effectiveDate", "priceDimensions": {rateCode: {"unit", "description",
"pricePerUnit": {"USD": "0.0008"}}}}}}}}``. A usage type is region, model, and words for unit, tier, context and
scope; marketplace models say the same words in their description. A model is matched by its letters and digits,
all of them, or not at all. To read another word, add it to ``WORDS``.
"""

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from typing import Final, NamedTuple

from gateway.catalog.figure import Figure, Slot, SourceUnreadable
from gateway.kernel.clock import epoch_us
from gateway.pricing.book import Book
from gateway.pricing.charged import Price
from gateway.pricing.dimensions import GLOBAL, STANDARD, Circumstances
from gateway.pricing.shelf import Ambiguous

PROVIDER: Final = "bedrock"
_USAGE: Final = re.compile(
    r"^[A-Z0-9]+-(?P<model>.+?)(?:-mantle)?-(?P<what>input-tokens|output-tokens|cache-read-input-token-count|"
    r"cache-write-input-token-count|cache-read-tokens|cache-write-tokens-30m)"
    r"(?P<rest>(?:-(?:standard|batch|flex|priority|long-context|long-ctx|cross-region-global|cross-region-geo))*)$"
)
_EDITION: Final = " (Amazon Bedrock Edition)"
_SKIPPED: Final = (
    "reserved",
    "provisioned",
    "custom",
    "storage",
    "image",
    "video",
    "audio",
    "search",
)
# What the words of a usage type, or of a marketplace description in lower case, mean: the first that is there.
WORDS: Final[dict[str, tuple[tuple[str, str], ...]]] = {
    "unit": (
        ("cache-read", "cache_read_text"),
        ("cache read", "cache_read_text"),
        ("cache-write-tokens-30m", "cache_write_30m"),
        ("cache write 1h", "cache_write_1h"),
        ("1h cache write", "cache_write_1h"),
        ("cache-write", "cache_write_5m"),
        ("cache write", "cache_write_5m"),
        ("input-tokens", "input_text"),
        ("input token", "input_text"),
        ("output-tokens", "output_text"),
        ("output token", "output_text"),
        ("response token", "output_text"),
    ),
    "tier": (("batch", "batch"), ("flex", "flex"), ("priority", "priority"), ("latency optimized", "latency")),
    "scope": (
        ("cross-region-global", GLOBAL),
        ("global", GLOBAL),
        ("cross-region-geo", "geo"),
        ("regional cris", "geo"),
    ),
    "long": (("long-context", "long"), ("long-ctx", "long"), ("long context", "long")),
}  # fmt: skip
_PER: Final = {"1K tokens": 1000, "1M tokens": 1_000_000}


class Offer(NamedTuple):
    """One price of an offer file. ``long``: above the model's own context threshold, which the list does not say."""

    model: str
    region: str
    scope: str
    slot: Slot
    long: bool
    figure: Figure
    since: date
    rate_code: str


class Checked(NamedTuple):
    """An offer against the book: ``agrees``, ``differs``, ``absent`` (no price) or ``unread`` (no such model)."""

    verdict: str
    offer: Offer
    model: str = ""
    price: Price | None = None


def offers(contents: Iterable[bytes]) -> tuple[tuple[Offer, ...], Counter[str]]:
    """The offers of some files, and how many usage types of which shape say nothing of tokens.

    Raises SourceUnreadable where a file is no offer file, or has no price in USD.
    """
    found: list[Offer] = []
    unread: Counter[str] = Counter()
    for content in contents:
        for attributes, term, code, priced in _priced(content):
            offer = _offer(attributes, term, code, priced)
            if offer is None:
                unread[re.sub(r"[0-9.]+", "#", attributes.get("usagetype", "?"))] += 1
            else:
                found.append(offer)
    return tuple(found), unread


def _priced(
    content: bytes,
) -> Iterator[tuple[dict[str, str], Mapping[str, object], str, Mapping[str, object]]]:
    read: object = json.loads(content)
    products, terms = _member(read, "products"), _member(_member(read, "terms"), "OnDemand")
    if not products:
        raise SourceUnreadable("aws price list: an offer file has products and terms")
    for sku, product in products.items():
        attributes = {key: str(value) for key, value in _member(product, "attributes").items()}
        for term in _member(terms, sku).values():
            if isinstance(term, Mapping):
                for code, priced in _member(term, "priceDimensions").items():
                    if isinstance(priced, Mapping):
                        yield attributes, term, code, priced


def _member(value: object, name: str) -> Mapping[str, object]:
    found = value.get(name) if isinstance(value, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def _offer(
    attributes: Mapping[str, str],
    term: Mapping[str, object],
    code: str,
    priced: Mapping[str, object],
) -> Offer | None:
    words = _words(attributes, priced)
    if words is None:
        return None
    model, said = words
    unit, per = _meaning("unit", said), _per(str(priced.get("unit")))
    if unit is None or per is None:
        return None
    slot = Slot(unit, _meaning("tier", said) or STANDARD)
    usd = _usd(priced, code)
    since = date.fromisoformat(str(term.get("effectiveDate"))[:10])
    scope = _meaning("scope", said) or "in_region"
    long = _meaning("long", said) is not None
    return Offer(
        model, attributes.get("regionCode", ""), scope, slot, long, Figure(usd, per), since, code
    )


def _words(attributes: Mapping[str, str], priced: Mapping[str, object]) -> tuple[str, str] | None:
    """The model and the words about it: of the usage type, else of a marketplace edition's description."""
    matched = _USAGE.match(attributes.get("usagetype", ""))
    if matched is not None:
        return matched["model"], f"{matched['what']}{matched['rest']}"
    name, said = attributes.get("servicename", ""), str(priced.get("description")).lower()
    if not name.endswith(_EDITION) or any(word in said for word in _SKIPPED):
        return None
    return name.removesuffix(_EDITION), said


def _meaning(kind: str, said: str) -> str | None:
    return next((meant for word, meant in WORDS[kind] if word in said), None)


def _per(unit: str) -> int | None:
    lower = unit.lower()
    return _PER.get(unit, 1_000_000 if "million" in lower and "token" in lower else None)


def _usd(priced: Mapping[str, object], code: str) -> Decimal:
    try:
        return Decimal(str(_member(priced, "pricePerUnit")["USD"]))
    except (KeyError, InvalidOperation) as error:
        raise SourceUnreadable(f"aws price list: {code}: no price in USD") from error


def checked(found: Iterable[Offer], book: Book, day: date) -> Iterator[Checked]:
    """Every offer against what the book charges on a day in its region."""
    at_us = epoch_us(_midnight(day))
    models = _by_letters(book)
    above = _thresholds(book)
    for offer in found:
        names = models.get(_letters(offer.model), set())
        if len(names) != 1:
            yield Checked("unread", offer)
            continue
        model = next(iter(names))
        price = _charged(book, offer, model, at_us, above.get(model, set()))
        if price is None:
            yield Checked("absent", offer, model)
        else:
            same = offer.figure.equals(Figure(Decimal(price.pico).scaleb(-12), price.per))
            yield Checked("agrees" if same else "differs", offer, model, price)


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def _charged(book: Book, offer: Offer, model: str, at_us: int, above: set[int]) -> Price | None:
    if offer.long and len(above) != 1:
        return None
    at = Circumstances(
        provider=PROVIDER,
        model=model,
        scope=offer.scope,
        at_us=at_us,
        region=offer.region or None,
        tier=offer.slot.tier,
    )
    tokens = next(iter(above)) + 1 if offer.long else 0
    price = book.quotes(at, tokens).price(offer.slot.unit)
    return None if price is None or isinstance(price, Ambiguous) else price


def _by_letters(book: Book) -> dict[str, set[str]]:
    """Models by the letters and digits of their name, with and without their publisher."""
    found: dict[str, set[str]] = defaultdict(set)
    for model in book.models(PROVIDER):
        for name in (model, model.partition(".")[2] or model):
            found[_letters(name)].add(model)
    return found


def _letters(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _thresholds(book: Book) -> dict[str, set[int]]:
    found: dict[str, set[int]] = defaultdict(set)
    for row in book.rows:
        if row.provider == PROVIDER and row.context_gt:
            found[row.model].add(row.context_gt)
    return found
