"""What is configured and can match nothing: a name nobody has is a discount, a limit or a share that never comes.

What the file alone can tell is refused when it is read (``gateway.config``); here is what only prices and keys can.
To check another glob: its line in ``unmatched`` or in ``costs_unmatched``.
"""

import asyncio
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from fnmatch import fnmatchcase

from msgspec.structs import replace

from gateway import premises, shipped
from gateway.commands.contracts import idle_terms, pays, selector
from gateway.commands.prices.imports import imported
from gateway.commands.prices.undecided import models_of
from gateway.config import Config
from gateway.exchange.bounds import PRIORITY
from gateway.exchange.remedy import remedy
from gateway.exchange.routing import named_at
from gateway.kernel.clock import SystemClock, instant
from gateway.kernel.errors import ConfigurationError, Unavailable
from gateway.pricing.book import Book
from gateway.pricing.contract import Contract
from gateway.pricing.cover import covers
from gateway.pricing.dimensions import PROVISIONED, SCOPES, Circumstances
from gateway.pricing.rate import Status
from gateway.providers.contract import Deployment
from gateway.quota.budget import Budget
from gateway.reporting.fixed import FixedCost
from gateway.storage.budgets import BudgetStore
from gateway.storage.costs import CostStore
from gateway.storage.directory import StoredKey

Said = tuple[str, str, str, str]  # check, state, found, cure
_NAMES = "see weighbridge prices list for how it names things"


def contracts_unmatched(configured: Config) -> list[Said]:
    """Contracts whose terms fit no price. Raises ConfigurationError and Unavailable."""
    if not configured.contracts:
        return []
    book = shipped.price_book(configured, imported(configured))
    cure = f"no price of the book is left for it: {_NAMES}, and which terms come before"
    idle = [
        ("contract", "warn", f"{contract.name}: {pays(term)} for {selector(term)}", cure)
        for contract, term in idle_terms(configured.contracts, book)
    ]
    count = len(configured.contracts)
    return idle or [("contract", "ok", f"{count} contract{'s' * (count > 1)}", "")]


def unmatched(configured: Config) -> list[Said]:
    """Keys, budgets, contracts and fixed costs over names that nobody has. Raises ConfigurationError and Unavailable."""
    premises.prepare_folder(configured)
    book = shipped.price_book(configured, imported(configured))

    async def ask() -> tuple[list[StoredKey], list[Budget], Sequence[FixedCost]]:
        clock = SystemClock()
        async with premises.opened(configured) as database:
            keys = await premises.directory(configured, database, clock).list()
            return (
                keys,
                await BudgetStore(database, clock).list(),
                await CostStore(database).costs(),
            )

    keys, budgets, costs = asyncio.run(ask())
    now = SystemClock().wall_us()
    active = [key for key in keys if key.revoked_us is None and now < (key.expires_us or now + 1)]
    models = models_of(book)
    wires = {name for one in _places(configured) for name in (one.wire, one.named or one.wire)}
    day = instant(now)
    due = [cost for cost in costs if cost.last is None or cost.last >= day.year * 100 + day.month]
    return [
        *_payers(configured.contracts, active, now),
        *_keys(active, models | wires),
        *_budgets(budgets, models),
        *_costs(due, configured, models),
    ]


def differing_alternatives(configured: Config) -> list[tuple[str, str]]:
    """Deployments whose alternatives are another model, each with its cure: a gateway does not start with them."""
    cure = "a deployment's alternatives are the same model: name it, or make it a deployment"
    with suppress(Unavailable):  # said elsewhere
        try:
            shipped.routes(configured, shipped.price_book(configured, imported(configured)))
        except ConfigurationError as error:
            return [(one, cure) for one in error.problems]
    return []


def deployments_unpriced(configured: Config) -> list[Said]:
    """Deployments whose requests will be refused: no price for their model, or none at their place."""
    book = shipped.price_book(configured, imported(configured))
    found: list[Said] = []
    for deployment in configured.deployments:
        found += _deployment(configured, deployment, book)
    if not configured.upstreams:
        found.append(("upstreams", "warn", "none configured", "see config/weighbridge.toml"))
    return found


def _deployment(configured: Config, deployment: Deployment, book: Book) -> Iterator[Said]:
    upstreams = {upstream.name: upstream for upstream in configured.upstreams}
    for place in (deployment, *deployment.also):
        upstream = upstreams[place.upstream]
        speaker = shipped.provider_named(upstream.provider)
        named = named_at(speaker, place, upstream, book.canonical)
        if named.model is None:
            cure = "name a model of the price book, or add price rows under [prices] files"
            yield "deployment", "warn", f"{place.wire}: no price for {place.model}", cure
            return
        at = Circumstances(
            upstream.provider, named.model, named.scope, SystemClock().wall_us(), geo=named.geo,
            region=named.region, shadow_scope=named.spill,
        )  # fmt: skip
        covered = covers(book, at)
        if covered.status is not Status.PRICED:
            lacks, _, cure = remedy(book, covered.status, at, place.upstream).partition(": ")
            yield "deployment", "fail", f"{place.wire} on {place.upstream} {lacks}", cure
        elif place.tier == PRIORITY and not _is_priced(book, replace(at, tier=PRIORITY)):
            found = f"{place.wire} on {place.upstream}: no price for {named.model} at priority"
            yield "deployment", "warn", found, "add a price row of that tier under [prices] files, or leave out tier"  # fmt: skip


def _is_priced(book: Book, at: Circumstances) -> bool:
    return covers(book, at).status is Status.PRICED


def _places(configured: Config) -> Iterator[Deployment]:
    for deployment in configured.deployments:
        yield deployment
        yield from deployment.also


def _payers(
    contracts: Iterable[Contract], keys: Collection[StoredKey], now_us: int
) -> Iterator[Said]:
    """Contracts that nobody is charged by; without any key nobody can know."""
    for contract in contracts if keys else ():
        in_force = now_us < contract.until_us
        if in_force and not any(_pays_by(contract, key) for key in keys):
            whom = ", ".join(f"{name} {value}" for name, value in (("org", contract.org), ("team", contract.team)) if value)  # fmt: skip
            cure = "no active key is of it: mend contracts.org and contracts.team, or make the key"
            yield "contract", "warn", f"{contract.name}: for {whom}", cure


def _pays_by(contract: Contract, key: StoredKey) -> bool:
    return contract.org in {None, key.org} and contract.team in {None, key.team}


def _keys(keys: Iterable[StoredKey], names: Collection[str]) -> Iterator[Said]:
    """Model lists of keys; a wire name may have a place before its first dot (``eu.``)."""
    for key in keys:
        for glob in key.models:
            if not _fits(glob, names) and not _fits(glob.partition(".")[2] or glob, names):
                found = f"{key.key_id}: may use {glob!r}, which no model is called"
                yield "key", "warn", found, f"rotate it with a name there is: {_NAMES}"


def _budgets(budgets: Iterable[Budget], models: Collection[str]) -> Iterator[Said]:
    for budget in budgets:
        glob = budget.scope.model
        if glob is not None and not _fits(glob, models):
            found = f"{budget.name}: over the model {glob!r}, which there is none of"
            yield (
                "budget",
                "warn",
                found,
                f"nothing ever counts: mend it with budgets set; {_NAMES}",
            )


def _costs(
    costs: Iterable[FixedCost], configured: Config, models: Collection[str]
) -> Iterator[Said]:
    known: dict[str, Collection[str]] = {
        "provider": shipped.provider_names(),
        "model": models,
        "scope": SCOPES | {PROVISIONED},
        "upstream": [upstream.name for upstream in configured.upstreams],
    }
    for cost in costs:
        for name, glob in cost.pool.items():
            if name in known and not _fits(glob, known[name]):
                found = f"{cost.name}: a pool of {name}={glob}, which there is none of"
                cure = "all of it stays idle: remove it from this month on and add it with a name there is"
                yield "fixed cost", "warn", found, cure


def _fits(glob: str, names: Iterable[str]) -> bool:
    return any(fnmatchcase(name, glob) for name in names)
