"""The composition root: Config → a wired ASGI app with its task group. The only module that knows every room."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Coroutine, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from shutil import disk_usage
from typing import Any

from gateway.config import Config
from gateway.edge.abandon import Abandonment, Bounds
from gateway.edge.limits import MIB
from gateway.edge.probes import PREFIX, Elsewhere, Probes
from gateway.edge.proxy import Proxy
from gateway.exchange.admission import Admission
from gateway.exchange.breaker import Bounds as Trips
from gateway.exchange.counting import Counting
from gateway.exchange.ending import within
from gateway.exchange.exchange import Exchanges
from gateway.exchange.failover import Failover
from gateway.exchange.following import Follower
from gateway.exchange.holding import Holding
from gateway.exchange.owning import Owning
from gateway.exchange.reserving import Reserving
from gateway.jobs.adopt import Adopter
from gateway.jobs.alert import Alerter
from gateway.jobs.attend import Attendant
from gateway.jobs.expire import Extender, Sweeper
from gateway.jobs.flush import Flusher
from gateway.jobs.forget import Forgetter
from gateway.jobs.months import Keeper
from gateway.jobs.poll import Poller
from gateway.jobs.reload import Reloader
from gateway.kernel.clock import NS_PER_MS, US_PER_SECOND, Clock, SystemClock
from gateway.ledger.period import Calendar
from gateway.livebook import LiveBook
from gateway.metering.ratio import Ratios
from gateway.premises import (
    QuotaEngine,
    budget_store,
    directory,
    master_secret,
    opened,
    prepare_folder,
    probe_credential,
    quota_engine,
    ready_store,
)
from gateway.pricing.book import Book
from gateway.pricing.contract import Contracts
from gateway.providers import installed
from gateway.shipped import ceilings, counter
from gateway.storage.backlog import Pending
from gateway.storage.budgets import BudgetStore
from gateway.storage.directory import Directory
from gateway.storage.engine import Database
from gateway.storage.fitness import fit
from gateway.storage.holds import Holds
from gateway.storage.ledger import Ledger
from gateway.storage.orphans import orphans, survey
from gateway.storage.partitions import Partitions
from gateway.storage.prices import PriceStore, publish
from gateway.storage.resources import ResourceStore
from gateway.storage.spool import Spool
from gateway.storage.work import WorkStore
from gateway.telemetry.genai import GenAi
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.observe import Telemetry
from gateway.telemetry.pushing import Pusher
from gateway.telemetry.siblings import Siblings
from gateway.upstream.deadlines import Deadlines
from gateway.upstream.keyring import Surroundings, credential_for
from gateway.upstream.pool import UpstreamPool
from gateway.upstream.transport import RelayTransport

__all__ = [
    "Gateway",
    "budget_store",
    "directory",
    "master_secret",
    "opened",
    "prepare_folder",
    "probe_credential",
    "ready_store",
]

Scope = MutableMapping[str, Any]
SETTLE_SECONDS_MAX = 5  # counting the longest text that was seen takes a second or two
# Both, 2 for a driver that says good-bye to a server that is paused, and 2 for closing, are within REST_SECONDS.
BOOK_SECONDS_MAX = 4
SETTLE_LOOK_S = 0.01
NS_PER_SECOND = 1_000_000_000


class Gateway:
    """The ASGI app: lifespan, data plane by mount, probes. Build it in the process that serves it."""

    def __init__(self, config: Config, *, clock: Clock | None = None) -> None:
        self.config = config
        self.clock = clock or SystemClock()
        self.metrics, self.providers = Metrics(), installed()
        genai = GenAi({each.name: each.genai_name for each in self.providers})
        told = config.telemetry
        self.observer = Telemetry(self.metrics, self.clock, genai if told.otlp_endpoint else None)
        sources = (self.metrics.read, genai.read)
        self._pusher = Pusher(told, sources, self.clock, self.observer)
        self.prices = LiveBook(config, self.observer)
        self.ceilings = ceilings()
        self.counter = counter() if config.relay.count else None
        self._calendar = Calendar(config.org.timezone)
        self._proxy: Proxy | None = None
        self._spool: Spool | None = None
        meeting = config.folder() / "telemetry" / str(config.server.port)
        several = config.server.workers > 1
        self._siblings = Siblings(self.metrics, self.observer, meeting if several else None)
        self._probes = Probes(problems=self._problems, metrics=self._siblings.scrape)
        self._elsewhere = Elsewhere([each.mount for each in self.providers])

    @property
    def book(self) -> Book:
        """The price book as it is now."""
        return self.prices.book

    def __call__(self, scope: Scope, receive: Any, send: Any) -> Awaitable[None]:
        """ASGI."""
        proxy = self._proxy
        if proxy is not None and scope["type"] == "http":
            provider = proxy.mounted(scope["raw_path"])
            if provider is not None:
                return proxy.serve(provider, scope, receive, send)
        return self._beside(scope, receive, send)

    async def _beside(self, scope: Scope, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["raw_path"].startswith(PREFIX):
            await self._probes(scope, receive, send)
        else:
            await self._elsewhere(scope, receive, send)

    async def _lifespan(self, receive: Any, send: Any) -> None:
        await receive()
        async with self.running():
            await send({"type": "lifespan.startup.complete"})
            await receive()
        await send({"type": "lifespan.shutdown.complete"})

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Gateway"]:
        """Everything that lives as long as the gateway serves; at the end what is settled is flushed."""
        async with self._siblings.open(), opened(self.config) as database:
            parts = await self._furnished(database)
            try:
                await parts.resources.adopt()
                await parts.engine.opened(observer=self.observer)
                async with asyncio.TaskGroup() as group:
                    tasks = [group.create_task(job) for job in self._jobs(parts)]
                    self._proxy = self._wired(group, parts)
                    yield self
                    await self._settled()
                    for task in tasks:
                        task.cancel()
            finally:
                self._proxy = None
                await parts.close(self.observer)

    async def _settled(self) -> None:
        """Requests that the server cut at the end of its drain still settle: the journal waits for them."""
        deadline_ns = self.clock.ticks_ns() + SETTLE_SECONDS_MAX * 1000 * NS_PER_MS
        while self._open() and self.clock.ticks_ns() < deadline_ns:  # noqa: ASYNC110  # once in a life
            await asyncio.sleep(SETTLE_LOOK_S)

    async def _furnished(self, database: Database) -> "_Parts":
        config, clock, observer = self.config, self.clock, self.observer
        await fit(database, starting=observer.waits, newer=observer.newer)
        keys = directory(config, database, clock)
        await keys.refresh()
        budgets = BudgetStore(database, clock)
        await budgets.refresh()
        engine = quota_engine(config, database, clock, observer)
        await self.prices.follow(PriceStore(database))
        await publish(database, self.book.rows, self.book.catalog)
        partitions = Partitions(database)
        await partitions.ensure(clock.wall_us())
        ledger = Ledger(database, clock=clock, observer=observer, on_posted=engine.posted)
        (spools := config.folder() / "spool").mkdir(parents=True, exist_ok=True)
        spool = self._spool = Spool(spools, clock=clock, observer=observer)
        self.metrics.gauge("weighbridge_spool_pending", lambda: spool.unflushed)
        self.metrics.gauge("weighbridge_spool_bytes", lambda: spool.bytes_on_disk)
        self.metrics.gauge("weighbridge_spool_lag_seconds", lambda: spool.lag_ns // NS_PER_SECOND)
        self.metrics.gauge("weighbridge_orphan_spools", lambda: survey(spools).orphaned)
        hold_us = config.quotas.hold_seconds * US_PER_SECOND
        holding = Holding(budgets, engine.quotas, clock=clock, observer=observer, hold_us=hold_us)
        return _Parts(
            database=database,
            keys=keys,
            resources=ResourceStore(database, observer, config.folder() / "claims"),
            budgets=budgets,
            engine=engine,
            holding=holding,
            holds=Holds(database, ledger),
            partitions=partitions,
            ledger=ledger,
            spools=spools,
            spool=spool,
            flusher=Flusher(spool, ledger, observer),
            tokens=(tokens := RelayTransport(clock=clock)),
            pool=self._pool(tokens),
            counting=ThreadPoolExecutor(1, "tiktoken"),
            alerter=Alerter(budgets, observer, observer),
        )

    def _jobs(self, parts: "_Parts") -> tuple[Coroutine[Any, Any, None], ...]:
        clock, observer, ledger = self.clock, self.observer, parts.ledger
        own = parts.spool.name
        self.metrics.gauge("weighbridge_price_import", lambda: self.prices.version)
        self.metrics.gauge("weighbridge_price_book_stale", lambda: self.prices.is_stale)
        self.metrics.gauge("weighbridge_disk_free_bytes", lambda: disk_usage(parts.spools).free)
        self.metrics.gauge("weighbridge_open_exchanges", self._open)
        self.metrics.gauge("weighbridge_claims_waiting", lambda: parts.resources.waiting)
        self.metrics.gauge("weighbridge_open_holds", lambda: len(parts.holding.live))
        self.metrics.gauge("weighbridge_quota_waiting", lambda: parts.engine.waiting)
        beside = [self._pusher.run()]
        if (valkey := parts.engine.valkey) is not None:
            beside.append(Attendant(valkey.truth, observer).run())
            beside.append(Sweeper(valkey.holds, ledger, clock, observer).run())
        return (
            *beside,
            parts.flusher.run(),
            parts.resources.run(),
            Adopter(lambda: orphans(parts.spools, own, clock=clock), ledger, observer).run(),
            Reloader((parts.keys, parts.budgets, self.prices), observer, parts.keys.look).run(),
            parts.engine.quotas.run(),
            Extender(
                lambda: parts.holding.live,
                parts.engine.quotas,
                clock,
                observer,
                ttl_us=self.config.quotas.hold_seconds * US_PER_SECOND,
            ).run(),
            Sweeper(parts.holds, ledger, clock, observer).run(),
            Keeper(parts.partitions, clock, observer).run(),
            parts.pool.run(),
            parts.alerter.run(),
            self._poller(parts).run(),
            Forgetter(parts.resources, clock, observer).run(),
        )

    def _poller(self, parts: "_Parts") -> Poller:
        follower = Follower(lambda: self._proxy.exchanges if self._proxy else None, self.providers)
        clock, observer = self.clock, self.observer
        works = WorkStore(parts.database)
        poller = Poller(
            works, follower.ask, parts.ledger, zone=self._calendar, clock=clock, observer=observer
        )
        self.metrics.gauge("weighbridge_batches_overdue", lambda: poller.overdue)
        return poller

    def _pool(self, tokens: RelayTransport) -> UpstreamPool:
        """``tokens``: the transport credentials are fetched with."""
        config, limits = self.config, self.config.limits
        surroundings = Surroundings(
            environ=config.environment,
            transport=tokens,
            clock=self.clock,
            observer=self.observer,
        )
        credentials = {
            name: credential_for(name, setting, surroundings)
            for name, setting in config.credentials.items()
        }
        return UpstreamPool(
            config.upstreams,
            credentials,
            clock=self.clock,
            deadlines=Deadlines(
                connect_s=limits.connect_seconds,
                head_s=limits.first_byte_seconds,
                idle_s=limits.stream_idle_seconds,
            ),
            stock=config.relay.transport == "stock",
            connections_max=limits.connections_per_upstream,
        )

    def _wired(self, group: asyncio.TaskGroup, parts: "_Parts") -> Proxy:
        limits, quotas, prices = self.config.limits, self.config.quotas, self.prices
        counting = Counting(self.counter, Ratios(), parts.counting)
        admission = Admission(
            keys=parts.keys,
            routes=lambda: prices.routes,
            book=lambda: prices.book,
            canonical=prices.canonical,
            counting=counting,
            contracts=Contracts(self.config.contracts),
        )
        exchanges = Exchanges(
            admission=admission,
            upstreams=parts.pool,
            spool=parts.spool,
            deferred=parts.ledger,
            counting=counting,
            book=lambda: prices.book,
            canonical=prices.canonical,
            zone=self._calendar,
            clock=self.clock,
            observer=self.observer,
            owning=self._owning(parts),
            reserving=Reserving(
                parts.holding,
                book=lambda: prices.book,
                ceilings=self.ceilings,
                margins=quotas.margins(),
                default_output=quotas.default_output_tokens,
                expose=quotas.expose,
            ),
            failover=self._failover(),
        )
        return Proxy(
            self.providers, exchanges, abandonment=self._abandonment(group),
            clock=self.clock, observer=self.observer, body_bytes_max=limits.body_mib * MIB,
        )  # fmt: skip

    def _owning(self, parts: "_Parts") -> Owning:
        return Owning(
            parts.resources,
            lambda: self.prices.routes,
            book=lambda: self.prices.book,
            canonical=self.prices.canonical,
            upstreams=parts.pool,
        )

    def _failover(self) -> Failover:
        told = self.config.failover
        failover = Failover(
            clock=self.clock,
            watch=self.observer,
            attempts=told.attempts,
            retry_unanswered=told.retry_unanswered,
            bounds=Trips(told.open_after_failures, told.open_error_percent, told.probe_seconds * NS_PER_SECOND),
        )  # fmt: skip
        self.metrics.gauge("weighbridge_open_breakers", failover.open_places)
        return failover

    def _abandonment(self, group: asyncio.TaskGroup) -> Abandonment:
        limits = self.config.limits
        return Abandonment(
            group.create_task,
            drain=Bounds(limits.drain_seconds, limits.drain_mib * MIB),
            streams_max=limits.drain_streams,
        )

    def _open(self) -> int:
        return 0 if self._proxy is None else self._proxy.open

    def _problems(self) -> tuple[str, ...]:
        if self._proxy is None:
            return ("starting or stopping",)
        if self._spool is not None and not self._spool.is_accepting:
            return ("the spool cannot be written: see the disk of the storage folder",)
        return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Parts:
    """What a running gateway is made of; ``tokens`` is the transport credentials are fetched with."""

    database: Database
    keys: Directory
    resources: ResourceStore
    budgets: BudgetStore
    engine: QuotaEngine
    holding: Holding
    holds: Holds
    partitions: Partitions
    ledger: Ledger
    spools: Path
    spool: Spool
    flusher: Flusher[Pending]
    tokens: RelayTransport
    pool: UpstreamPool
    counting: ThreadPoolExecutor
    alerter: Alerter

    async def close(self, observer: Telemetry) -> None:
        """What is settled is booked, or stays for the next start; the journal ends, connections close."""
        drains = (self.engine.quotas.drain(), self.resources.drain(), self.flusher.drain())
        if not await within(BOOK_SECONDS_MAX, *drains):
            observer.failed("ending", TimeoutError())
        self.resources.close()
        self.spool.close()
        await self.engine.close()
        await self.pool.aclose()
        await self.tokens.aclose()
        self.counting.shutdown(wait=False)
