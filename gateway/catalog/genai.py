"""genai-prices' data module, read as text and never run: dated figures per model.

The module is nothing but constructor calls with literal arguments, so its syntax tree is the data.
"""

import ast
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from typing import Final, NamedTuple

from gateway.catalog.figure import MILLION, Figure, Slot, SourceUnreadable
from gateway.pricing.dimensions import STANDARD

_DAWN: Final = date(1970, 1, 1)
_FIELDS: Final = {
    "input_text": "input_mtok",
    "output_text": "output_mtok",
    "output_reasoning": "output_reasoning_mtok",
    "cache_read_text": "cache_read_mtok",
    "cache_write": "cache_write_mtok",
    "cache_write_5m": "cache_write_mtok",
    "cache_write_1h": "cache_write_1h_mtok",
    "input_audio": "input_audio_mtok",
    "output_audio": "output_audio_mtok",
    "input_image": "input_image_mtok",
    "output_image": "output_image_mtok",
    "input_video": "input_video_mtok",
    "cache_read_audio": "cache_audio_read_mtok",
    "cache_read_image": "cache_image_read_mtok",
    "web_search_requests": "web_searches_kcount",
    "grounding_google_search": "web_searches_kcount",
    "grounding_google_search_prompts": "web_searches_kcount",
}
_PER_THOUSAND: Final = ("web_searches_kcount",)


class Dated(NamedTuple):
    """The prices of a model at a tier from a day on: per field the base and (threshold, price) pairs."""

    since: date
    tier: str
    fields: dict[str, tuple[Decimal, tuple[tuple[int, Decimal], ...]]]


class GenaiPrices:
    """The models of one version, each under 'provider/model'. ``label`` is how rows name it."""

    def __init__(self, version: str, content: bytes) -> None:
        """Raises SourceUnreadable where the module holds no providers."""
        self.label = f"genai-prices {version}"
        self._models: dict[str, tuple[Dated, ...]] = dict(_models(ast.parse(content)))
        if not self._models:
            raise SourceUnreadable("genai-prices: the data module holds no models")

    def keys(self) -> tuple[str, ...]:
        """Every 'provider/model', sorted."""
        return tuple(sorted(self._models))

    def starts(self, key: str, tier: str) -> tuple[date, ...]:
        """The days on which a model's prices at a tier change, earliest first."""
        return tuple(
            sorted(dated.since for dated in self._models.get(key, ()) if dated.tier == tier)
        )

    def figure(self, key: str, slot: Slot, day: date) -> Figure | None:
        """The figure that holds on a day; a context tier only where the source states one."""
        field = _FIELDS.get(slot.unit)
        counted = field in _PER_THOUSAND
        tier = STANDARD if counted else slot.tier
        running = [d for d in self._models.get(key, ()) if d.tier == tier and d.since <= day]
        if not running or field is None:
            return None
        latest = max(running, key=lambda dated: dated.since)
        base, tiers = latest.fields.get(field, (None, ()))
        usd = base if slot.context_gt == 0 or counted else dict(tiers).get(slot.context_gt)
        return None if usd is None else Figure(usd, 1000 if counted else MILLION)


def _models(module: ast.Module) -> Iterator[tuple[str, tuple[Dated, ...]]]:
    for provider in _calls(module, "Provider"):
        name = _text(provider, "id")
        for model in _calls(_argument(provider, "models"), "ModelInfo"):
            dated = (*_listed(model), *_variants(model))
            yield f"{name}/{_text(model, 'id')}", dated


def _listed(model: ast.Call) -> Iterator[Dated]:
    prices = _argument(model, "prices")
    if isinstance(prices, ast.Call):
        yield Dated(_DAWN, STANDARD, _fields(prices))
    for entry in _calls(prices, "ConditionalPrice") if isinstance(prices, ast.List) else ():
        since = _since(entry)
        if since is not None:
            yield Dated(since, STANDARD, _fields(_argument(entry, "prices")))


def _variants(model: ast.Call) -> Iterator[Dated]:
    for entry in _calls(_argument(model, "price_variants"), "PriceVariant"):
        when, since = _argument(entry, "when"), _since(entry)
        if since is not None and isinstance(when, ast.Dict) and len(when.values) == 1:
            tier = when.values[0]
            if isinstance(tier, ast.Constant) and isinstance(tier.value, str):
                yield Dated(since, tier.value, _fields(_argument(entry, "prices")))


def _since(entry: ast.Call) -> date | None:
    """The first day of an entry; None where it holds at certain hours only."""
    constraint = _argument(entry, "constraint")
    if not isinstance(constraint, ast.Call):
        return _DAWN
    start = _argument(constraint, "start_date")
    if not isinstance(start, ast.Call):
        return None
    year, month, day = (_whole(part) for part in start.args)
    return date(year, month, day)


def _fields(prices: ast.expr | None) -> dict[str, tuple[Decimal, tuple[tuple[int, Decimal], ...]]]:
    found = {}
    for keyword in prices.keywords if isinstance(prices, ast.Call) else ():
        value = keyword.value
        if keyword.arg is None or not isinstance(value, ast.Call):
            continue
        stated = _argument(value, "base") if value.args == [] else value
        base = _decimal(stated)
        tiers = tuple(
            (_whole(_argument(tier, "start")), usd)
            for tier in _calls(_argument(value, "tiers"), "Tier")
            if (usd := _decimal(_argument(tier, "price"))) is not None
        )
        if base is not None:
            found[keyword.arg] = base, tiers
    return found


def _calls(node: ast.AST | None, name: str) -> Iterator[ast.Call]:
    """The calls of a name directly in a list, or anywhere in a module."""
    inside: tuple[ast.AST, ...] = ()
    if isinstance(node, ast.List):
        inside = tuple(node.elts)
    elif isinstance(node, ast.Module):
        inside = tuple(ast.walk(node))
    for found in inside:
        if (
            isinstance(found, ast.Call)
            and isinstance(found.func, ast.Name)
            and found.func.id == name
        ):
            yield found


def _argument(call: ast.Call, name: str) -> ast.expr | None:
    return next((keyword.value for keyword in call.keywords if keyword.arg == name), None)


def _text(call: ast.Call, name: str) -> str:
    value = _argument(call, name)
    return value.value if isinstance(value, ast.Constant) and isinstance(value.value, str) else ""


def _whole(node: ast.expr | None) -> int:
    if isinstance(node, ast.Constant) and isinstance(node.value, int):
        return node.value
    raise SourceUnreadable("genai-prices: a whole number was expected")


def _decimal(node: ast.expr | None) -> Decimal | None:
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Decimal":
        (figure,) = node.args
        if isinstance(figure, ast.Constant) and isinstance(figure.value, str):
            return Decimal(figure.value)
    return None
