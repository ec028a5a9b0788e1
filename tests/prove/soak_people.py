"""What people do to a gateway that serves: keys, limits and prices change, reports are read, all by the commands.

To do something else: a method of Meanwhile and its line in ``DEEDS``.
"""

import random
import subprocess
import time
from collections.abc import Callable
from typing import Any, Final

from tests.prove.soak_load import Load
from tests.prove.soak_place import TEAMS, Place

KEYS_MIN: Final = 2  # made meanwhile, before the oldest of them is revoked
PRICES: Final = (
    "provider,model,scope,geo,region,tier,unit,context_gt,price,per,currency,valid_from,valid_to,source,source_ref,evidence\n"
    "azure,gpt-4o-2024-11-20,global,,,standard,input_text,0,{price},1000000,USD,2026-01-01,,soak,soak,single\n"
)


class Meanwhile:
    """What people do to a gateway that serves."""

    def __init__(self, place: Place, load: Load) -> None:
        self.problems: list[str] = []
        self.took_s: dict[str, float] = {}
        self._place = place
        self._load = load
        self._made: list[dict[str, Any]] = []
        self._count = 0

    def next(self) -> None:
        deed = DEEDS[self._count % len(DEEDS)]
        self._count += 1
        began = time.monotonic()
        try:
            deed(self)
        except (subprocess.TimeoutExpired, OSError, ValueError, KeyError) as error:
            self.problems.append(f"{deed.__name__}: {type(error).__name__}: {error}"[:300])
        self.took_s[deed.__name__] = time.monotonic() - began

    def _said(self, *words: str) -> str:
        done = self._place.command(*words)
        if done.returncode:
            self.problems.append(f"{' '.join(words)}: {done.returncode}: {done.stderr[-300:]}")
        return done.stdout

    def key_made(self) -> None:
        made = self._place.made_key(f"user-1{self._count:03}", random.choice(TEAMS))
        self._made.append(made)
        self._load.keys.append(made["key"])

    def key_revoked(self) -> None:
        if len(self._made) > KEYS_MIN:
            gone = self._made.pop(0)
            self._load.keys.remove(gone["key"])
            self._said("keys", "revoke", gone["key_id"])

    def limit_changed(self) -> None:
        self._said("budgets", "set", "--name", "roomy money", "--usd", str(1_000_000 + self._count))

    def raised(self) -> None:
        more = (
            "--by",
            "0.10",
            "--until",
            "2027-01-01",
            "--reason",
            "soak",
            "--author",
            "owner-4100",
        )
        self._said("budgets", "raise", "small", *more)

    def priced(self) -> None:
        path = self._place.folder / "prices.csv"
        path.write_text(PRICES.format(price=f"2.{50 + self._count % 40}"))
        self._said("prices", "import", str(path), "--author", "owner-4100", "--reason", "soak")

    def usage(self) -> None:
        self._said("usage", "--limit", "50", "--json")

    def statement(self) -> None:
        self._said("statement", time.strftime("%Y-%m", time.gmtime()), "--json")

    def spend(self) -> None:
        self._said("spend", "--json")

    def standing(self) -> None:
        self._said("budgets", "show", "--json")

    def applied(self) -> None:
        self._said("apply", "--file", str(self._place.folder / "budgets.toml"))


DEEDS: Final[tuple[Callable[[Meanwhile], None], ...]] = (
    Meanwhile.key_made,
    Meanwhile.usage,
    Meanwhile.limit_changed,
    Meanwhile.statement,
    Meanwhile.key_revoked,
    Meanwhile.spend,
    Meanwhile.raised,
    Meanwhile.priced,
    Meanwhile.standing,
    Meanwhile.applied,
)
