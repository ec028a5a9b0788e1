"""Why metered and invoiced differ, from what both sides say: the first cause that fits, in the order of certainty.

A cause is a hint for a person, never a correction: the difference stays what it is. To add one: a function
from Evidence to a sentence or '', and its place in ``_CAUSES``.
"""

from collections.abc import Callable
from typing import Final

import msgspec

from gateway.kernel.money import PICO_PER_USD, format_usd

MATCHED: Final = "matched"
OPEN: Final = "open"
SETTLED: Final = frozenset({MATCHED, "rounding", "within 0.1 %"})
_MICRO: Final = PICO_PER_USD // 1_000_000
_MILLION: Final = 1_000_000
_PER_MILLE: Final = 1_000


class Side:
    """One side's sums."""

    def __init__(self) -> None:
        self.tokens = self.pico = self.rows = self.unpriced = self.uncertain = 0
        self.scopes: dict[str, int] = {}
        self.tiers: dict[str, int] = {}
        self.names: set[str] = set()

    def add(self, tokens: int, pico: int, scope: str, tier: str) -> None:
        """Take tokens in."""
        self.tokens += tokens
        self.pico += pico
        self.scopes[_plain(scope)] = self.scopes.get(_plain(scope), 0) + tokens
        self.tiers[tier] = self.tiers.get(tier, 0) + tokens


class Evidence(msgspec.Struct, frozen=True):
    """What a cause is found by.

    is_used        the model was metered on this account at all
    class_gap      tokens by which all cache classes of the direction together differ
    neighbour_gap  tokens by which the other days of the line differ
    retried        failed attempts of the model that were sent again
    """

    metered: Side
    invoiced: Side
    is_routed: bool
    is_named: bool
    is_used: bool
    class_gap: int
    neighbour_gap: int
    retried: int

    @property
    def gap(self) -> int:
        """Tokens invoiced less metered."""
        return self.invoiced.tokens - self.metered.tokens

    @property
    def off(self) -> int:
        """Pico-USD invoiced less metered."""
        return self.invoiced.pico - self.metered.pico


def cause_of(seen: Evidence) -> tuple[str, str]:
    """The cause's name and its sentence."""
    for name, finds in _CAUSES:
        note = finds(seen)
        if note is not None:
            return name, note
    return OPEN, "nothing explains this: look at the requests of these days"


def _matched(seen: Evidence) -> str | None:
    return "" if seen.gap == 0 and seen.off == 0 else None


def _rounding(seen: Evidence) -> str | None:
    """Bills round each row at the sixth decimal or later."""
    bound = (seen.invoiced.rows + 1) * _MICRO
    close = seen.gap == 0 and abs(seen.off) <= bound
    return f"the bill rounds each of its {seen.invoiced.rows:,} rows" if close else None


def _unread(seen: Evidence) -> str | None:
    if seen.is_named:
        return None
    names = sorted(seen.invoiced.names)
    return f"no model is known by the meter {names[0] if names else ''!r}: --confirm meter:WORDS=MODEL says which it is"


def _outside(seen: Evidence) -> str | None:
    if (seen.is_routed and seen.is_used) or not seen.invoiced.tokens:
        return None
    if seen.is_routed:
        return "this model on this account is used without the gateway"
    return "this account is used without the gateway, or is an upstream's: --confirm account:ID=UPSTREAM"


def _unpriced(seen: Evidence) -> str | None:
    missing = seen.metered.unpriced
    return f"{missing:,} metered tokens have no price yet" if missing and seen.gap == 0 else None


def _tier(seen: Evidence) -> str | None:
    return _moved("tier", seen.metered.tiers, seen.invoiced.tiers) if seen.gap == 0 else None


def _region(seen: Evidence) -> str | None:
    named = {name: tokens for name, tokens in seen.invoiced.scopes.items() if name}
    whole = sum(named.values()) == seen.invoiced.tokens
    return _moved("scope", seen.metered.scopes, named) if seen.gap == 0 and whole else None


def _price(seen: Evidence) -> str | None:
    if seen.gap or not seen.invoiced.tokens:
        return None
    ours, theirs = _per_million(seen.metered), _per_million(seen.invoiced)
    return f"same tokens, ${theirs} a million invoiced, ${ours} metered"


def _cache(seen: Evidence) -> str | None:
    bound = max(abs(seen.gap) // 100, 1)
    same = seen.gap and abs(seen.class_gap) <= bound
    return "all input together agrees: counted under another cache class" if same else None


def _late(seen: Evidence) -> str | None:
    made_good = seen.gap and abs(seen.gap + seen.neighbour_gap) <= abs(seen.gap) // 100
    return "the bill has it on another day" if made_good else None


def _close(seen: Evidence) -> str | None:
    tokens = abs(seen.gap) * _PER_MILLE <= seen.metered.tokens
    money = abs(seen.off) * _PER_MILLE <= abs(seen.metered.pico)
    return f"{seen.gap:+,} tokens" if tokens and money and seen.metered.tokens else None


def _uncertain(seen: Evidence) -> str | None:
    counted = seen.metered.uncertain
    fits = counted and abs(seen.gap) <= counted
    return f"{counted:,} tokens were counted by us: the streams were cut before their usage" if fits else None  # fmt: skip


def _retried(seen: Evidence) -> str | None:
    if not seen.retried or seen.gap <= 0:
        return None
    return f"{seen.retried:,} attempts failed and were sent again: the provider may bill both"


def _not_billed(seen: Evidence) -> str | None:
    return "metered, and not on this bill: late, or another account's" if not seen.invoiced.tokens else None  # fmt: skip


_CAUSES: Final[tuple[tuple[str, Callable[[Evidence], str | None]], ...]] = (
    (MATCHED, _matched),
    ("rounding", _rounding),
    ("unread", _unread),
    ("outside the gateway", _outside),
    ("missing price", _unpriced),
    ("tier", _tier),
    ("region", _region),
    ("price", _price),
    ("cache", _cache),
    ("late", _late),
    ("not invoiced", _not_billed),
    ("within 0.1 %", _close),
    ("stream cut", _uncertain),
    ("retry billed twice", _retried),
)
CAUSES: Final = (*(name for name, _ in _CAUSES), OPEN)


def _moved(what: str, ours: dict[str, int], theirs: dict[str, int]) -> str | None:
    if ours == theirs or not theirs or not ours:
        return None
    return f"invoiced under {what} {_named(theirs)}, metered under {_named(ours)}"


def _named(parts: dict[str, int]) -> str:
    return ", ".join(sorted(name or "none" for name, tokens in parts.items() if tokens)) or "none"


def _plain(scope: str) -> str:
    """Ledger and bill say the same scope in two words."""
    return "regional" if scope == "in_region" else scope


def _per_million(side: Side) -> str:
    return format_usd(side.pico * _MILLION // side.tokens)
