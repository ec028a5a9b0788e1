"""One life of a worker: the real proxy, exchanges, journal and jobs on one virtual loop.

What is real: edge.proxy and relay, exchange, admission, booking, storage.spool (segments, carrying, backlog),
storage.ledger's transactions, storage.orphans, jobs. What is simulated is handed in by the world. To see
whether a bug would be found, hand in other ``Parts``.
"""

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import msgspec
import orjson

from gateway.edge.abandon import Abandonment, Bounds
from gateway.edge.presence import SCOPE_KEY, ClientPresence
from gateway.edge.proxy import Proxy
from gateway.exchange.admission import Admission
from gateway.exchange.counting import Counting
from gateway.exchange.exchange import Exchanges
from gateway.exchange.failover import Failover
from gateway.exchange.holding import Holding
from gateway.exchange.owning import Owning
from gateway.exchange.reserving import Reserving
from gateway.exchange.routing import Routes
from gateway.identity.principal import Principal
from gateway.jobs.adopt import Adopter
from gateway.jobs.expire import Extender, Sweeper
from gateway.jobs.flush import Flusher
from gateway.kernel.clock import Clock
from gateway.kernel.errors import UnknownKey
from gateway.ledger.entry import Entry
from gateway.metering.count import Counter
from gateway.metering.ratio import Ratios
from gateway.pricing.book import Book
from gateway.pricing.ceilings import Ceilings
from gateway.providers import installed
from gateway.providers.contract import Deployment, Upstream
from gateway.storage.backlog import Pending
from gateway.storage.orphans import Orphan, orphans
from gateway.storage.quota_batch import BatchedQuotas
from gateway.storage.spool import Spool
from tests.laws.house import FixedBudgets, MemoryResources, Steps
from tests.sim.cloud import CALL, CALL_ID, CASES, FIRST, SECOND, Plan, SimUpstreams
from tests.sim.disk import SimDisk, syncer_of
from tests.sim.loop import VirtualLoop
from tests.sim.quotas import HOLD_US, SimHolds, SimQuotaStore
from tests.sim.store import SimLedger, SimStore

KEY = "wb_" + "a" * 49
PRINCIPAL = Principal(key_id="key_1", org="default", user="user-0001", team="core")
MIB = 1024 * 1024
_NOBODY = ThreadPoolExecutor(1)  # never asked: the texts of a simulation are short


class Parts(NamedTuple):
    """The classes a worker is made of: the product's own, but for a mutant's one."""

    spool: type[Spool] = Spool
    flusher: type[Flusher[Pending]] = Flusher
    ledger: type[SimLedger] = SimLedger
    exchanges: type[Exchanges] = Exchanges
    orphans: Callable[..., Iterator[Orphan]] = orphans
    quotas: type[BatchedQuotas] = BatchedQuotas
    sweeper: type[Sweeper] = Sweeper


class Tools(NamedTuple):
    """What every worker of a world shares and does not change; loaded once."""

    counter: Counter
    book: Book


class OneKey:
    """A directory of one."""

    def by_key(self, key: str, now_us: int) -> Principal:
        if key != KEY:
            raise UnknownKey("unknown")
        return PRINCIPAL

    def by_access_key_id(self, access_key_id: str, now_us: int) -> tuple[Principal, str]:
        raise UnknownKey("unknown")

    async def renewed(self, named: str) -> bool:
        return False


class Nothing:
    """No deferred work."""

    async def creator(self, settles: str) -> Entry | None:
        return None


class Watch:
    """The observer: what failed, by step; a failed request is a bug of ours."""

    def __init__(self) -> None:
        self.failures: list[tuple[str, str]] = []

    def settled(self, entry: Entry) -> None: ...

    def refused(self, provider: str, code: str) -> None: ...

    def tried(self, upstream: str, ended: str) -> None: ...

    def left(self, upstream: str) -> None: ...

    def turned(self, upstream: str, location: str, name: str, state: str) -> None: ...

    def failed(self, what: str, error: BaseException) -> None:
        self.failures.append((what, f"{type(error).__name__}: {error}"))


class Got:
    """What a client received. ``whole``: all of it, to a clean end."""

    def __init__(self, presence: ClientPresence, now_whole: Callable[[], None]) -> None:
        self._presence = presence
        self._now_whole = now_whole
        self.status = 0
        self.body = b""
        self.whole = False

    async def send(self, message: Any) -> None:
        await asyncio.sleep(0)
        if self._presence.gone:
            return
        if message["type"] == "http.response.start":
            self.status = message["status"]
            return
        self.body += message.get("body", b"")
        self.whole = not message.get("more_body", False)
        if self.whole:
            self._now_whole()


class Worker:
    """``truth``: what the clients got, filled as it happens."""

    def __init__(
        self,
        root: Path,
        *,
        tools: Tools,
        loop: VirtualLoop,
        clock: Clock,
        store: SimStore,
        upstreams: SimUpstreams,
        truth: dict[str, Got],
        chance: Random,
        parts: Parts,
        now_whole: "Callable[[Worker], None]",
    ) -> None:
        self.loop = loop
        self.disk = SimDisk()
        self.watch = Watch()
        self.is_dead = False
        self.is_leaving = False
        self.dies_at = 0  # the step after which it is killed; 0: it is not
        self.open: set[str] = set()
        self._truth = truth
        self._now_whole = now_whole
        self._parts = parts
        self._root = root
        self._clock = clock
        self.spool = parts.spool(
            root,
            clock=clock,
            observer=self.watch,
            disk=self.disk,
            syncer=syncer_of(chance),
        )
        self.disk.keep(self.spool._lock)
        self.ledger = parts.ledger(store, clock, lambda: not self.is_dead)
        self.flusher = parts.flusher(self.spool, self.ledger, self.watch)
        self.adopter = Adopter(self._orphans, self.ledger, self.watch)
        self.quotas = parts.quotas(
            SimQuotaStore(store, lambda: not self.is_dead), clock=clock, observer=self.watch
        )
        self.holding = Holding(
            FixedBudgets(store.budgets),
            self.quotas,
            clock=clock,
            observer=self.watch,
            hold_us=HOLD_US,
        )
        self.proxy = self._wired(tools, upstreams, parts)
        sweeper = parts.sweeper(SimHolds(store, self.ledger), self.ledger, clock, self.watch)
        live = self.holding
        extender = Extender(lambda: live.live, self.quotas, clock, self.watch, ttl_us=HOLD_US)
        self._jobs = [
            loop.create_task(job.run())
            for job in (self.flusher, self.adopter, self.quotas, extender, sweeper)
        ]

    def _wired(self, tools: Tools, upstreams: SimUpstreams, parts: Parts) -> Proxy:
        book = tools.book
        counting = Counting(tools.counter, Ratios(), _NOBODY)
        places, deployments = _places()
        routes = Routes(places, deployments, (), {})
        admission = Admission(
            keys=OneKey(),
            routes=lambda: routes,
            book=lambda: book,
            canonical=book.canonical,
            counting=counting,
        )
        exchanges = parts.exchanges(
            admission=admission,
            upstreams=upstreams,
            spool=self.spool,
            deferred=Nothing(),
            counting=counting,
            book=lambda: book,
            canonical=book.canonical,
            zone=lambda org, us: ("2026-12-01", 202612),
            clock=self._clock,
            observer=self.watch,
            owning=Owning(
                MemoryResources(Steps()),
                admission.routes,
                book=lambda: book,
                canonical=book.canonical,
                upstreams=upstreams,
            ),
            reserving=Reserving(
                self.holding,
                book=lambda: book,
                ceilings=Ceilings(),
                default_output=1_000,
                expose=False,
            ),
            failover=Failover(clock=self._clock, watch=self.watch),
        )
        return Proxy(
            installed(),
            exchanges,
            abandonment=Abandonment(self.loop.create_task, drain=Bounds(20, MIB)),
            clock=self._clock,
            observer=self.watch,
        )

    def _orphans(self) -> Iterator[Orphan]:
        for orphan in self._parts.orphans(
            self._root, self.spool.name, clock=self._clock, disk=self.disk
        ):
            self.disk.keep(orphan._lock)
            yield orphan
            self.disk.open_fds.pop(orphan._lock, None)

    def call(self, plan: Plan) -> None:
        """A client begins a call; where it leaves or we cut it, that happens later."""
        presence = ClientPresence()
        got = self._truth[plan.call] = Got(presence, lambda: self._now_whole(self))
        task = self.loop.create_task(self._answered(plan, presence, got))
        if plan.leaves_s is not None:
            self.loop.call_later(plan.leaves_s, presence.leave)
        if plan.cancelled_s is not None:
            self.loop.call_later(plan.cancelled_s, task.cancel)

    async def _answered(self, plan: Plan, presence: ClientPresence, got: Got) -> None:
        case = CASES[plan.case]
        raw = orjson.dumps(case.body)
        scope = {
            "type": "http",
            "method": "POST",
            "raw_path": case.path.encode(),
            "query_string": b"api-version=2024-10-21",
            "headers": [
                (b"authorization", f"Bearer {KEY}".encode()),
                (b"content-type", b"application/json"),
                (CALL_ID.encode(), plan.call.encode()),
                (CALL, plan.call.encode()),
            ],
            SCOPE_KEY: presence,
        }

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": raw, "more_body": False}

        self.open.add(plan.call)
        try:
            await self.proxy(scope, receive, got.send)
        finally:
            self.open.discard(plan.call)

    def leave(self) -> None:
        """SIGTERM: serve what is open, book what is settled, go."""
        if not self.is_leaving:
            self.is_leaving = True
            self.loop.create_task(self._leave())

    async def _leave(self) -> None:
        while self.proxy.open:  # noqa: ASYNC110  # virtual time costs nothing
            await asyncio.sleep(1.0)
        for job in self._jobs:
            job.cancel()
        await asyncio.gather(*self._jobs, return_exceptions=True)
        await self.quotas.drain()
        await self.flusher.drain()
        await self.quotas.close()
        self.spool.close()
        self.disk.die()

    def kill(self) -> None:
        """kill -9: nothing of it runs any more, and the kernel lets go of its locks."""
        self.is_dead = True
        self.disk.die()

    def bury(self) -> None:
        """Let the dead's tasks end, where they can change nothing any more, so that none is left pending."""
        self.loop.call_exception_handler = lambda context: None  # type: ignore[method-assign]
        self.loop._odd = lambda text: None
        for _ in range(20):
            for task in list(self.loop.tasks):
                task.cancel()
            for _ in range(2_000):
                if not self.loop._ready:
                    break
                self.loop.step()
            if not self.loop.tasks:
                return


def _places() -> tuple[tuple[Upstream, ...], tuple[Deployment, ...]]:
    policies = ("drain", "cancel")
    places = tuple(
        Upstream(
            f"{provider.name}-{service or 'all'}",
            provider.name,
            "https://example.invalid",
            service,
            "us-east-1",
            "proj",
            "us-east-1",
            policies[number % 2],  # type: ignore[arg-type]  # both are policies
        )
        for number, provider in enumerate(installed())
        for service in provider.services
    )
    azure = next(place for place in places if place.provider == "azure")
    spare = Deployment("gpt-4o", SECOND, "gpt-4o-2024-11-20", "global")
    deployment = msgspec.structs.replace(spare, upstream=FIRST, also=(spare,))
    return (*places, msgspec.structs.replace(azure, name=SECOND)), (deployment,)
