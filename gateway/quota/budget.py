"""The budget: a scope, a measure, a window and a limit; a value, edited by making another.

To add a scope attribute: a field of ``Subject`` and of ``Scope``. To add a measure: quota/amount.py.
"""

from fnmatch import fnmatchcase
from typing import Final, Literal

import msgspec

Window = Literal["minute", "day", "week", "month", "quarter", "year", "always"]
StoreDown = Literal["deny", "allow", "allow_within"]

USD_LIST: Final = "usd_list"  # in nano-USD
USD_NET: Final = "usd_net"  # in nano-USD
TOKENS: Final = "tokens"
INPUT_TOKENS: Final = "input_tokens"
OUTPUT_TOKENS: Final = "output_tokens"
REQUESTS: Final = "requests"
CONCURRENT: Final = (
    "concurrent"  # requests in flight; its window is "always" and nothing is ever posted
)
UNIT: Final = "unit:"  # followed by a unit's name: its quantity
MONEY: Final = frozenset({USD_LIST, USD_NET})
MEASURES: Final = (USD_LIST, USD_NET, TOKENS, INPUT_TOKENS, OUTPUT_TOKENS, REQUESTS, CONCURRENT)


class Subject(msgspec.Struct, frozen=True):
    """Who asks for what: everything a scope can look at. ``tags``: sorted 'name=value' texts of the key."""

    org: str
    team: str
    user: str
    key: str
    cost_centre: str | None = None
    app: str | None = None
    provider: str | None = None
    model: str | None = None
    tags: tuple[str, ...] = ()


class Scope(msgspec.Struct, frozen=True, omit_defaults=True):
    """Which requests a budget is over: all that is named must match; nothing named matches everything.

    ``model`` is a glob over canonical names; ``tag`` one 'name=value'; all else matches exactly.
    """

    org: str | None = None
    team: str | None = None
    cost_centre: str | None = None
    user: str | None = None
    app: str | None = None
    key: str | None = None
    provider: str | None = None
    model: str | None = None
    tag: str | None = None

    def covers(self, subject: Subject) -> bool:
        """Whether a request is in scope."""
        if self.model is not None and not fnmatchcase(subject.model or "", self.model):
            return False
        if self.tag is not None and self.tag not in subject.tags:
            return False
        return all(
            wanted is None or wanted == getattr(subject, name)
            for name, wanted in zip(_EXACT, self._exact(), strict=True)
        )

    def _exact(self) -> tuple[str | None, ...]:
        return (
            self.org,
            self.team,
            self.cost_centre,
            self.user,
            self.app,
            self.key,
            self.provider,
        )

    @property
    def width(self) -> int:
        """Lock order: the fewer requests a scope covers the lower, the whole org's last."""
        narrow = (self.key, self.user, self.app, self.model, self.tag, self.team)
        return next((at for at, value in enumerate(narrow) if value is not None), len(narrow))


_EXACT: Final = ("org", "team", "cost_centre", "user", "app", "key", "provider")


class Raise(msgspec.Struct, frozen=True):
    """A temporary increase of a limit, valid in [from_us, to_us), with who granted it and why."""

    amount: int
    from_us: int
    to_us: int
    reason: str
    author: str


class Budget(msgspec.Struct, frozen=True, kw_only=True):
    """A limit on what a scope may use in a window.

    id            stable for ever; editing keeps it, and with it the usage
    name          for people, unique
    each          split by this attribute of Subject ("user", "team", "key", "app", …): one counter per value; '' = one
    measure       one of MEASURES, or 'unit:<name>'
    limit         in the measure's own whole units: nano-USD, tokens, requests
    window        calendar windows in ``timezone``; minute: rolling (GCRA); always: never ends (concurrent)
    year_start    first month (1..12) of the fiscal year: quarters and years follow it
    hard          refuse when it is spent; soft ones only count and alert
    shadow        hard, but only in the row's flags: nothing is refused
    carry_over_percent  how much of the limit may come over, unspent, from the window before
    burst_percent for minute: how far ahead of the even rate one may be
    alerts        percentages of the limit at which to alert, once per window each
    forecast_alerts  the same for what the window will end with, if it goes on as it has
    store_down    what to do when the store cannot be asked; ``store_down_percent``: of what was left
    zero_priced   requests that cost nothing pass a spent money budget
    clamp         lower a request's output ceiling to what is left instead of refusing it
    stop          end a running stream when the budget runs out under it
    """

    id: str
    name: str
    scope: Scope
    measure: str
    limit: int
    window: Window
    each: str = ""
    timezone: str = "UTC"
    year_start: int = 1
    hard: bool = True
    shadow: bool = False
    carry_over_percent: int = 0
    burst_percent: int = 20
    alerts: tuple[int, ...] = ()
    forecast_alerts: tuple[int, ...] = ()
    store_down: StoreDown = "deny"
    store_down_percent: int = 10
    zero_priced: bool = True
    clamp: bool = False
    stop: bool = False
    raises: tuple[Raise, ...] = ()
    created_us: int = 0

    @property
    def holds(self) -> bool:
        """Whether a request has to reserve on it before it is sent."""
        return self.hard
