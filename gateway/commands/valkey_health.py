"""What the doctor says of Valkey: whether it answers, whether it may forget, and which limits it cannot count to."""

import asyncio
from collections.abc import Iterator
from typing import Any, Final

from gateway import app as composition
from gateway.config import Config
from gateway.kernel.clock import SystemClock
from gateway.kernel.errors import ConfigurationError, Unavailable
from gateway.quota.budget import Budget
from gateway.storage.quotas_valkey import valkey_quotas
from gateway.storage.valkey_prelude import EXACT_MAX

Said = tuple[str, str, str]  # state, found, cure
_NOT_EVICTING: Final = "noeviction"


def valkey_health(configured: Config) -> list[Said]:
    """What is to be said of the server; nothing where no server keeps the holds."""
    if configured.quotas.engine != "valkey":
        return []
    try:
        return asyncio.run(_asked(configured))
    except ConfigurationError as error:
        return [("fail", problem, "mend the key") for problem in error.problems]
    except Unavailable as error:
        if not error.message.startswith("Valkey"):
            return []  # the database, of which its own check speaks
        return [
            ("fail", error.message, "start it, or mend quotas.valkey: budgets refuse without it")
        ]


async def _asked(configured: Config) -> list[Said]:
    async with composition.opened(configured) as database:
        engine = valkey_quotas(configured.quotas.valkey, database, clock=SystemClock())
        try:
            said = await engine.epoch.info()
            wait_ms = await engine.epoch.begun()
            held = await engine.truth.all_states()
        finally:
            await engine.quotas.close()
        async with composition.budget_store(configured, database) as store:
            budgets = await store.list()
    running = sum(one.pending != 0 for one in held.values())
    found = f"{_version(said)}, {len(held)} counters, {running} with something held"
    return [("ok", found, ""), *_wrong(said, wait_ms), *_too_large(budgets)]


def _version(said: dict[str, Any]) -> str:
    return f"{said.get('server_name', 'redis')} {said.get('valkey_version') or said.get('redis_version')}"


def _wrong(said: dict[str, Any], wait_ms: int) -> Iterator[Said]:
    if said.get("maxmemory") and said.get("maxmemory_policy") != _NOT_EVICTING:
        cure = f"set maxmemory-policy {_NOT_EVICTING}: what it evicts, every worker has to register again"
        yield "warn", f"may evict what is held ({said.get('maxmemory_policy')})", cure
    if said.get("role") not in {None, "master"}:
        yield "fail", "it is a replica", "name the primary in quotas.valkey"
    if said.get("cluster_enabled"):
        yield (
            "warn",
            "it is a cluster",
            "all slots have to lie on the server that quotas.valkey names",
        )
    if wait_ms:
        cure = "nothing: in this time every worker registers what it holds again"
        yield "warn", f"it had lost its memory; holds are granted in {wait_ms} ms", cure


def _too_large(budgets: list[Budget]) -> Iterator[Said]:
    for budget in budgets:
        if budget.limit > EXACT_MAX:
            cure = "lower it, or set quotas.engine to storage"
            yield "warn", f"{budget.name} is obeyed up to {EXACT_MAX} units only", cure
