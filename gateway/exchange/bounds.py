"""The most a request may use and cost, before it is sent: what its hold is sized by.

Each direction at the dearest price it may meet, in every context tier and service tier it may end in, every choice
to its ceiling. What tiktoken cannot know is covered by ``Margins``, whose figures come from recorded traffic
(exchange/README.md). To cover another kind of input: its classes in ``_classes``; another billed piece: ``_pieces``.
"""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Final

import msgspec
from msgspec.structs import replace

from gateway.dialects.contract import Request
from gateway.exchange import beside, guarding
from gateway.exchange.booking import Counts
from gateway.exchange.bound import Bound, plus, together
from gateway.exchange.hidden import hidden, unsized
from gateway.exchange.margins import MARGINS, Margins
from gateway.metering.count import Confidence, Count
from gateway.metering.families import family_of, plain_name
from gateway.metering.hosted import OWN_UNITS
from gateway.metering.images import image_tokens, image_tokens_most
from gateway.metering.prompt import Image
from gateway.metering.units import UNITS
from gateway.pricing.book import Book
from gateway.pricing.ceilings import Ceilings
from gateway.pricing.charged import Price
from gateway.pricing.contract import Bargain
from gateway.pricing.dimensions import DISCOUNTED, STANDARD, Circumstances, key_of
from gateway.pricing.ladder import Ladder, dearer
from gateway.quota.amount import Estimate

_KEPT_MAX: Final = 1024
_SECONDS: Final = "audio_seconds"
_IMAGES: Final = "images_out"
_CHARACTERS: Final = "characters_in"
_PICTURES: Final = frozenset({"image"})
# A search is billed by the query or by the prompt, as the model's generation says.
_EITHER: Final = frozenset({"grounding_google_search", "grounding_google_search_prompts"})
OPEN: Final = "auto"  # the provider picks the tier: priority where the account has it
PRIORITY: Final = "priority"
_PICTURE: Final = "output_image"
_UNSEEN: Final = frozenset({"image", "audio", "video", "document"})
# Writes that a model makes unasked; the other lifetimes come from marks in a request.
_UNASKED: Final = frozenset({"cache_write_30m", "cache_write_12h"})
_WRITES: Final = frozenset(name for name, unit in UNITS.items() if unit.cache == "write")
_TOLD_NOT: Final = frozenset({"cache_write", "cache_write_5m"})  # also where a longer one was asked


class _Billed(msgspec.Struct, frozen=True):
    """What a price book bills a model by: classes of output, and pieces. ``is_writing``: it fills its cache unasked."""

    written: tuple[str, ...]
    pieces: frozenset[str]
    is_writing: bool
    is_known: bool


class _Known(msgspec.Struct, frozen=True, gc=False):
    """What is the same whichever model of a call is bounded."""

    counts: Counts
    ceilings: Ceilings
    default_output: int
    bargain: Bargain | None
    margins: Margins


def most(
    book: Book,
    under: Circumstances,
    request: Request,
    counts: Counts,
    ceilings: Ceilings,
    default_output: int,
    bargain: Bargain | None = None,
    margins: Margins = MARGINS,
) -> Bound:
    """The bound of a request served under ``under`` and ``bargain``; ``default_output``: where nobody knows a ceiling.

    Another model that it may have asked may read and write as much each time.
    """
    known = _Known(counts, ceilings, default_output, bargain, margins)
    bound = _with_others(book, under, request, known)
    if (bound.unseen and margins.unseen is None) or margins.tool is None:
        allowing = replace(known, margins=margins.allowing())
        paced = _with_others(book, under, request, allowing)
        bound = replace(bound, estimate=replace(bound.estimate, paced=paced.estimate))
    return bound


def _with_others(book: Book, under: Circumstances, request: Request, known: _Known) -> Bound:
    """The same with one set of margins."""
    bound = _alone(book, under, request, known)
    for name, times in request.others:
        model = book.canonical(under.provider, (name,))
        passes = request.passes * times
        asked = replace(request, passes=passes, hosted=0, tool_units={}, units={}, guarded=False)
        other = _alone(book, replace(under, model=model), asked, known)
        if not other.priced:  # pictures are billed at the standard tier whatever the call's
            other = _alone(book, replace(under, model=model, tier=STANDARD), asked, known)
        bound = together(bound, other, None if other.priced else name)
    return bound


def _alone(book: Book, under: Circumstances, request: Request, known: _Known) -> Bound:
    """The same of the model alone that the request is for."""
    ceilings, bargain, margins = known.ceilings, known.bargain, known.margins
    units = book.ladder(under).units
    billed = _billed(units)
    images, opaque = _parts(request)
    prompt = _read(request, images, known.counts.input, under.model, ceilings, margins)
    read = prompt * request.passes
    written = _written(request, ceilings.output(under.model), known.default_output, billed, margins)
    seen = _UNSEEN if opaque else _PICTURES if images else frozenset()
    classes = _classes(None if billed.is_writing else request.writes, seen)
    pieces = _pieces(request, billed, opaque, margins)
    usage = _Usage(read, written, classes, pieces, max(prompt, under.context_tokens or 0))
    others = _tiers(under.tier, request.tier, margins)
    amount = _priced(book, under, usage, others)
    net = amount if bargain is None else _priced(book, under, usage, others, bargain)
    other = beside.most(book, under, request, written, opaque + len(images), bargain)
    held = dict.fromkeys(classes, read) | dict.fromkeys(billed.written, written)
    estimate = Estimate(
        list_pico=plus(amount, other.list_pico),
        # Capacity already paid for may spill over, and is charged then: free is only what surely cannot.
        net_pico=other.net_pico if under.provisioned is True else plus(net, other.net_pico),
        input_tokens=read,
        output_tokens=written,
        units=held | other.units | pieces,
    )
    wanting = other.wanting or _wanting(request.tool_units, units)
    is_bounded = request.output_ceiling is not None
    return Bound(estimate, written, is_bounded, amount is not None, unsized(request), wanting)


def _wanting(offered: Mapping[str, int], priced: frozenset[str]) -> str | None:
    """A unit that tools bill and that has no price; of those that stand for each other, one with a price will do."""
    for unit in sorted(offered.keys() - OWN_UNITS):
        if unit not in priced and priced.isdisjoint(_EITHER if unit in _EITHER else ()):
            return unit
    return None


# ── how much ─────────────────────────────────────────────────────────────────────────────────────


def _parts(request: Request) -> tuple[list[Image], int]:
    """The images of a prompt, and how many parts of it cannot be seen."""
    images: list[Image] = []
    opaque = 0
    for turn in request.prompt.turns:
        opaque += turn.opaque
        if turn.images:
            images += turn.images
    return images, opaque


def _read(
    request: Request,
    images: list[Image],
    count: Count,
    model: str | None,
    ceilings: Ceilings,
    margins: Margins,
) -> int:
    """The most tokens of a prompt: its count with its slack, and what may be hidden in it."""
    tokens = margins.slack(count.confidence).over(count.tokens)
    if images and count.confidence is not Confidence.EXACT:
        tokens += _pictured(images, model or "", margins)
    tokens += -(-request.sealed // margins.sealed_characters)
    context = ceilings.context(model)
    return tokens + hidden(request, count.tokens, model or "", context, margins)


def _pictured(images: list[Image], model: str, margins: Margins) -> int:
    """What images may weigh beyond their count."""
    if not family_of(model).formula:
        return margins.image * len(images)
    name = plain_name(model)
    return sum([image_tokens_most(name, image) - image_tokens(name, image) for image in images])


def _written(
    request: Request, known: int | None, default_output: int, billed: _Billed, margins: Margins
) -> int:
    """The most tokens of all answers. A model whose output has no price while its input has one writes none."""
    if billed.is_known and not billed.written:
        return 0
    if not billed.is_known and request.prompt.shape == "embeddings":
        return 0
    ceiling = request.output_ceiling
    if ceiling is None:
        ceiling = default_output if known is None else known
    elif _PICTURE in billed.written:
        ceiling = max(ceiling, margins.picture)
    return ceiling * request.choices * request.passes


def _pieces(request: Request, billed: _Billed, opaque: int, margins: Margins) -> dict[str, int]:
    """What is billed by the piece: as the request says, else what the model is billed by."""
    pieces = dict(request.units)
    for unit, uses in request.tool_units.items():
        if unit not in OWN_UNITS:
            pieces[unit] = pieces.get(unit, 0) + uses
    # A picture whose size is asked for is not held once more as one of any size.
    coarser = {UNITS[unit].refines for unit in pieces}
    for unit in billed.pieces - pieces.keys() - coarser:
        quantity = _piece(unit, request, opaque, margins)
        if quantity:
            pieces[unit] = quantity
    return pieces


def _piece(unit: str, request: Request, opaque: int, margins: Margins) -> int:
    """How many of a unit a request may use that does not say so itself."""
    if unit == _IMAGES:
        return request.choices
    if unit == _CHARACTERS:
        return request.prompt.characters()
    if unit == _SECONDS:
        size = request.media_bytes
        return size // margins.bytes_per_second + 1 if size else margins.seconds
    if UNITS[unit].modality == "guardrail":
        pictures = opaque + sum([len(turn.images) for turn in request.prompt.turns])
        return pictures + request.prompt.characters() // guarding.POLICY_CHARACTERS + 1
    return 0


# ── at what price ────────────────────────────────────────────────────────────────────────────────


class _Usage(msgspec.Struct, frozen=True):
    """What is to be priced. ``reach``: the prompt that picks the context tier, at its longest."""

    read: int
    written: int
    classes: frozenset[str]
    pieces: dict[str, int]
    reach: int


@lru_cache(maxsize=_KEPT_MAX)
def _billed(units: frozenset[str]) -> _Billed:
    named = [UNITS[unit] for unit in sorted(units)]
    return _Billed(
        written=tuple(
            [each.name for each in named if each.is_token and each.direction == "output"]
        ),
        pieces=frozenset(each.name for each in named if not each.is_token),
        is_writing=not _UNASKED.isdisjoint(units),
        is_known=bool(units),
    )


@lru_cache(maxsize=_KEPT_MAX)
def _classes(writes: tuple[str, ...] | None, modalities: frozenset[str]) -> frozenset[str]:
    """The classes that the tokens of a prompt may turn out to be."""
    asked = _WRITES if writes is None else frozenset(writes)
    if asked:
        asked |= _TOLD_NOT
    return asked | {
        unit.name
        for unit in UNITS.values()
        if unit.is_token
        and unit.direction == "input"
        and unit.cache != "write"
        and unit.modality in {"text", *modalities}
    }


def _tiers(charged: str, asked: str | None, margins: Margins) -> tuple[str, ...]:
    """The other tiers it may be served at: standard for a discount that is not given, priority where it is open."""
    if charged in DISCOUNTED:
        return () if margins.trusts_discounts else (STANDARD,)
    return (PRIORITY,) if (asked or "").lower() == OPEN else ()


def _priced(
    book: Book,
    under: Circumstances,
    usage: _Usage,
    others: tuple[str, ...],
    bargain: Bargain | None = None,
) -> int | None:
    """The most it may cost at the asked tier, and at each of the others that has a price."""
    ladder = _ladder(book, under, bargain)
    amount = _dearest(ladder, _billed(ladder.units), usage)
    for tier in others if amount is not None else ():
        other = _ladder(book, replace(under, tier=tier), bargain)
        amount = max(amount or 0, _dearest(other, _billed(other.units), usage) or 0)
    return amount


def _ladder(book: Book, under: Circumstances, bargain: Bargain | None) -> Ladder:
    ladder = book.ladder(under)
    return ladder if bargain is None else bargain.ladder(ladder, key_of(under))


def _dearest(ladder: Ladder, billed: _Billed, usage: _Usage) -> int | None:
    """The most it may cost in pico-USD, over every context tier in reach; None where a tier has no price for it."""
    # A direction that has no price anywhere is not what the model is billed by.
    reads = bool(usage.read) and not usage.classes.isdisjoint(ladder.units)
    writes = bool(usage.written and billed.written)
    if not reads and not writes and usage.pieces.keys().isdisjoint(ladder.units):
        return 0 if billed.is_known and not (usage.read or usage.written or usage.pieces) else None
    dearest = 0
    for step in ladder.within(usage.reach):
        amount = _pieced(step.prices, usage.pieces)
        for wanted, tokens, classes in (
            (reads, usage.read, usage.classes),
            (writes, usage.written, billed.written),
        ):
            price = _top(step.prices, classes) if wanted else None
            if price is not None:
                amount += _amount(tokens, price, len(classes))
            elif wanted:
                return None
        dearest = max(dearest, amount)
    return dearest


def _pieced(prices: dict[str, Price], pieces: dict[str, int]) -> int:
    """What the pieces cost that have a price."""
    amount = 0
    for unit, quantity in pieces.items():
        price = prices.get(unit)
        if price is not None:
            amount += _amount(quantity, price, 1)
    return amount


def _top(prices: dict[str, Price], classes: Iterable[str]) -> Price | None:
    top: Price | None = None
    for unit in classes:
        price = prices.get(unit)
        if price is not None and dearer(price, top):
            top = price
    return top


def _amount(quantity: int, price: Price, lines: int) -> int:
    """Pico-USD of a quantity that may be split over so many lines, each rounded half up by itself."""
    whole, rest = divmod(price.pico, price.per)
    if not rest:
        return quantity * whole
    return -(-quantity * price.pico // price.per) + lines // 2 if quantity else 0
