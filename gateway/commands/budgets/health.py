"""What the doctor says of budgets: those near or over their limit, and those that no key can ever reach."""

import asyncio
from collections.abc import Collection, Iterator, Sequence
from typing import Final

from gateway import app as composition, shipped
from gateway.commands.budgets.pictures import frees
from gateway.commands.budgets.words import amount, unit
from gateway.config import Config
from gateway.kernel.clock import SystemClock
from gateway.quota.budget import Budget, Subject
from gateway.quota.standing import Standing
from gateway.storage.budgets import BudgetStore
from gateway.storage.directory import StoredKey
from gateway.storage.standings import Stand

FULLEST: Final = 3  # of a split budget
Said = tuple[str, str, str]  # state, found, cure
_WORRYING: Final = {"near": "is near its limit", "spent": "is spent", "over": "is over its limit"}
_CURE: Final = "weighbridge budgets show; raise it for a time with weighbridge budgets raise"
_UNREACHED: Final = "no active key matches its scope: mend it with budgets set, or make the key"


def budget_health(configured: Config) -> list[Said]:
    """What is to be said of the budgets; nothing where there are none. Raises Unavailable."""

    async def ask() -> tuple[Sequence[Stand], list[StoredKey]]:
        clock = SystemClock()
        async with composition.opened(configured) as database:
            store = BudgetStore(database, clock)  # of what is held on Valkey its own check speaks
            keys = await composition.directory(configured, database, clock).list()
            return await store.stand(await store.list(), FULLEST), keys

    stands, keys = asyncio.run(ask())
    now_us = SystemClock().wall_us()
    active = [key for key in keys if _is_active(key, now_us)]
    worries = [*_near(stands), *_unreached([one.budget for one in stands], active)]
    if not stands or worries:
        return worries
    return [("ok", f"{len(stands)}, none near its limit", "")]


def out_of_sight(configured: Config) -> str:
    """What is held for a part of a prompt that nobody can see, and for which deployments that is not their own context."""
    quotas, ceilings = configured.quotas, shipped.ceilings()
    if isinstance(quotas.unseen_tokens, int):
        return f"a part of a prompt out of sight is held at {quotas.unseen_tokens:,} tokens: what weighs more overruns a limit"  # fmt: skip
    unknown = sorted(
        {
            one.model
            for one in configured.deployments
            if one.model and not ceilings.context(one.model)
        }
    )
    beside = f" ({quotas.default_context_tokens:,} tokens for {', '.join(unknown)})" if unknown else ""  # fmt: skip
    return f"a prompt with parts out of sight is held at its model's whole context{beside}"


def _near(stands: Sequence[Stand]) -> Iterator[Said]:
    for standing in (standing for one in stands for standing in one.fullest):
        if standing.level in _WORRYING and not standing.is_rate:
            yield "warn", _words(standing), _CURE


def _words(one: Standing) -> str:
    budget = one.budget
    of = f" of {one.value}" if one.value else ""
    used = f"{amount(budget, one.posted + one.pending)} of {amount(budget, one.limit)} {unit(budget)}"  # fmt: skip
    return f"{budget.name}{of} {_WORRYING[one.level]}: {used}, frees {frees(one)}"


def _unreached(budgets: Sequence[Budget], keys: Collection[StoredKey]) -> Iterator[Said]:
    """By what a key alone decides: which provider and model it will ask for nobody can know."""
    for budget in budgets:
        if not any(budget.scope.covers(_subject(key, budget)) for key in keys):
            yield "warn", budget.name, _UNREACHED


def _subject(key: StoredKey, budget: Budget) -> Subject:
    scope = budget.scope
    return Subject(
        org=key.org,
        team=key.team,
        user=key.user,
        key=key.key_id,
        cost_centre=key.cost_centre,
        app=key.app,
        provider=scope.provider,
        model=scope.model,
        tags=key.tags,
    )


def _is_active(key: StoredKey, now_us: int) -> bool:
    return key.revoked_us is None and (key.expires_us is None or now_us < key.expires_us)
