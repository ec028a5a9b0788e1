"""The whole data plane on in-memory ports, with a fault or a cancellation at any await."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal, NamedTuple
from uuid import UUID

import orjson
from msgspec.structs import replace

from gateway.edge.abandon import Abandonment
from gateway.edge.presence import SCOPE_KEY, ClientPresence
from gateway.edge.proxy import Proxy
from gateway.exchange.admission import Admission
from gateway.exchange.counting import Counting
from gateway.exchange.exchange import Exchanges
from gateway.exchange.failover import Failover
from gateway.exchange.holding import Holding
from gateway.exchange.owning import Owning
from gateway.exchange.reserving import Reserving
from gateway.exchange.routing import RouteRule, Routes
from gateway.identity.claim import Claim
from gateway.identity.principal import Principal
from gateway.kernel.clock import Clock
from gateway.kernel.errors import QuotaUnavailable, UnknownKey, UpstreamFailed, UpstreamUnreachable
from gateway.ledger.entry import Entry
from gateway.ledger.work import Told, Work
from gateway.metering.count import Counter
from gateway.metering.ratio import Ratios
from gateway.pricing.book import Book
from gateway.providers import installed
from gateway.providers.contract import Deployment, Provider, Target, Upstream
from gateway.quota.budget import Budget, Subject
from gateway.quota.counters import Counters
from gateway.quota.hold import Balance, CounterKey, Hold, HoldLine, Verdict
from gateway.shipped import ceilings
from gateway.storage.snapshots import BudgetSnapshot
from gateway.wire.messages import Head

KEY = "wb_" + "a" * 49
PRINCIPAL = Principal(key_id="key_1", org="default", user="user-0001", team="core")


class Steps:
    """Numbers every await of a run, and does something at one of them."""

    def __init__(self, at: int | None = None, act: Callable[[], None] | None = None) -> None:
        self.names: list[str] = []
        self.at = at
        self.act = act

    async def reach(self, name: str) -> None:
        self.names.append(name)
        if self.at == len(self.names) - 1 and self.act is not None:
            self.act()
        await asyncio.sleep(0)


class FakeClock:
    def __init__(self) -> None:
        self.us = 1_795_000_000_000_000

    def wall_us(self) -> int:
        return self.us

    def ticks_ns(self) -> int:
        self.us += 1000
        return self.us * 1000


class MemorySpool:
    """Intents and settlements as the journal would hold them; settling is durable once it has begun."""

    def __init__(self, steps: Steps) -> None:
        self.steps = steps
        self.intents: dict[UUID, Entry] = {}
        self.intended: list[Entry] = []
        self.settled: list[Entry] = []

    def intent(self, entry: Entry) -> None:
        assert entry.id not in self.intents
        self.intents[entry.id] = entry
        self.intended.append(entry)

    async def intent_durable(self, entry: Entry) -> None:
        self.intent(entry)
        is_durable = False
        try:
            await self.steps.reach("intent_durable")
            is_durable = True
        finally:
            if not is_durable:
                self.void(entry.id)

    def progress(self, entry: Entry) -> None:
        if entry.id in self.intents:
            self.intents[entry.id] = entry

    async def settle(self, entry: Entry) -> None:
        self.intents.pop(entry.id, None)
        self.settled.append(entry)
        await self.steps.reach("settle")

    def void(self, entry_id: UUID) -> None:
        self.intents.pop(entry_id, None)


class MemoryQuotas:
    """The port Quotas over the reference engine; what is queued is carried out at once."""

    def __init__(self, steps: Steps, clock: Clock) -> None:
        self.steps = steps
        self.clock = clock
        self.engine = Counters()
        self.given: list[Hold] = []
        self.is_away = False

    async def reserve(self, hold: Hold) -> Verdict:
        await self.steps.reach("ask")
        if self.is_away:
            raise QuotaUnavailable("away")
        self.given.append(hold)
        verdict = self.engine.reserve(hold, self.clock.wall_us())
        await self.steps.reach("held")
        return verdict

    async def grow(self, request_id: UUID, lines: tuple[HoldLine, ...]) -> Verdict:
        await self.steps.reach("grow")
        return self.engine.grow(request_id, lines, self.clock.wall_us())

    def settle(self, request_id: UUID, used: Mapping[CounterKey, int]) -> None:
        self.engine.settle(request_id, used)

    def void(self, request_id: UUID) -> None:
        self.engine.void(request_id)

    def charge(self, hold: Hold) -> None:
        self.engine.reserve(hold, self.clock.wall_us())

    async def extend(self, request_ids: Collection[UUID], expires_us: int) -> None:
        self.engine.extend(request_ids, expires_us)

    async def balances(self, lines: Sequence[HoldLine]) -> tuple[Balance, ...]:
        return self.engine.balances(lines, self.clock.wall_us())


class FixedBudgets:
    """The port Budgets over budgets that nobody edits."""

    def __init__(self, budgets: Sequence[Budget]) -> None:
        self.version = 0
        self.snapshot = BudgetSnapshot(0, [(budget, 0) for budget in budgets])

    def over(self, subject: Subject) -> tuple[Budget, ...]:
        return self.snapshot.over(subject)

    async def refresh(self) -> bool:
        return False


STALL = b"(nothing more comes)"  # a chunk that never does


class FakeResponse:
    """``arrived``: its body is all there with its head."""

    def __init__(
        self, head: Head, chunks: Sequence[bytes], steps: Steps, *, arrived: bool = False
    ) -> None:
        self.head = head
        self._chunks = chunks
        self._steps = steps
        self._arrived = arrived
        self.closed = False

    def whole(self, length: int) -> bytes | None:
        body = b"".join(self._chunks)
        if not self._arrived or self.closed or len(body) != length:
            return None
        self.closed = True
        return body

    async def body(self) -> AsyncIterator[bytes]:
        for chunk in self._chunks:
            await self._steps.reach("chunk")
            if self.closed:
                raise UpstreamFailed("closed")
            if chunk is STALL:
                await asyncio.sleep(3600)
            yield chunk
        await self._steps.reach("end")

    async def close(self) -> None:
        self.closed = True
        await self._steps.reach("close")


class Script(NamedTuple):
    """What one upstream does: fails before its head, or answers."""

    head: Head = Head(503, ())
    chunks: Sequence[bytes] = ()
    fails: UpstreamFailed | None = None


class FakeUpstreams:
    """Answers every request with one scripted response; remembers what it was sent, which is what it bills."""

    def __init__(self, steps: Steps, head: Head, chunks: list[bytes]) -> None:
        self.steps = steps
        self.head = head
        self.chunks = chunks
        self.consumed: list[Target] = []
        self.asked: list[str] = []  # of every target consumed, the upstream
        self.unreachable = False
        self.arrived = False
        self.by_name: dict[str, Script] = {}

    async def send(
        self, upstream: Upstream, target: Target, leaving: Callable[[], None]
    ) -> FakeResponse:
        script = self.by_name.get(upstream.name, Script(self.head, self.chunks))
        await self.steps.reach("connect")
        if self.unreachable or isinstance(script.fails, UpstreamUnreachable):
            raise script.fails or UpstreamUnreachable("no route")
        leaving()
        self.consumed.append(target)
        self.asked.append(upstream.name)
        await self.steps.reach("head")
        if script.fails is not None:
            raise script.fails
        return FakeResponse(script.head, script.chunks, self.steps, arrived=self.arrived)


class OneKey:
    def __init__(self) -> None:
        self.principal = PRINCIPAL

    def by_key(self, key: str, now_us: int) -> Principal:
        if key != KEY:
            raise UnknownKey("unknown")
        return self.principal

    def by_access_key_id(self, access_key_id: str, now_us: int) -> tuple[Principal, str]:
        raise UnknownKey("unknown")

    async def renewed(self, named: str) -> bool:
        return False


class MemoryResources:
    """The port Resources, in memory."""

    def __init__(self, steps: Steps) -> None:
        self.steps = steps
        self.claims: dict[str, Claim] = {}
        self.works: list[Work] = []
        self.told: list[Told] = []

    async def find(self, resources: Collection[str]) -> Mapping[str, Claim]:
        await self.steps.reach("find")
        return {name: self.claims[name] for name in resources if name in self.claims}

    def keep(
        self, claims: Sequence[Claim], works: Sequence[Work] = (), told: Sequence[Told] = ()
    ) -> None:
        for claim in claims:
            self.claims.setdefault(claim.resource, claim)
        self.works.extend(works)
        self.told.extend(told)

    async def is_unbooked(self, work: str, now_us: int) -> bool:
        await self.steps.reach("is_unbooked")
        return any(one.work == work for one in self.works)

    async def is_open(
        self, provider: str, upstream: str, made_by_us: int, wanted_us: int | None = None
    ) -> bool:
        await self.steps.reach("is_open")
        return any(
            (one.provider, one.upstream) == (provider, upstream) and one.made_us <= made_by_us
            for one in self.works
        )

    async def kept(self) -> None:
        await self.steps.reach("kept")


class Nothing:
    def __init__(self) -> None:
        self.may_fail: tuple[str, ...] = ()
        self.tries: list[tuple[str, str]] = []
        self.moves: list[str] = []
        self.turns: list[tuple[str, str]] = []

    async def creator(self, settles: str) -> Entry | None:
        return None

    def settled(self, entry: Entry) -> None: ...
    def tried(self, upstream: str, ended: str) -> None:
        self.tries.append((upstream, ended))

    def left(self, upstream: str) -> None:
        self.moves.append(upstream)

    def turned(self, upstream: str, location: str, name: str, state: str) -> None:
        self.turns.append((upstream, state))

    def refused(self, provider: str, code: str) -> None: ...
    def failed(self, what: str, error: BaseException) -> None:
        if what not in self.may_fail:
            raise AssertionError(what) from error


class House:
    """One proxy with its ports, and one client."""

    def __init__(
        self,
        counter: Counter,
        book: Book,
        head: Head,
        chunks: list[bytes],
        *,
        steps: Steps | None = None,
        abandon: Literal["drain", "cancel"] = "drain",
        group: asyncio.TaskGroup,
        budgets: Sequence[Budget] = (),
        upstreams: Sequence[Upstream] = (),
        deployments: Sequence[Deployment] = (),
        rules: Sequence[RouteRule] = (),
        attempts: int = 3,
        retry_unanswered: bool = False,
    ) -> None:
        """``upstreams``, ``deployments``, ``rules``: before the house's own."""
        self.steps = steps or Steps()
        self.spool = MemorySpool(self.steps)
        self.upstreams = FakeUpstreams(self.steps, head, chunks)
        self.clock = FakeClock()
        providers: tuple[Provider, ...] = installed()
        places = tuple(
            Upstream(
                f"{p.name}-{service or 'all'}",
                p.name,
                "https://example.invalid",
                service,
                "us-east-1",
                "proj",
                "us-east-1",
                abandon,
            )
            for p in providers
            for service in p.services
        )
        own = (
            Deployment("gpt-4o", "azure-all", "gpt-4o-2024-11-20", "global"),
            Deployment("nothing-priced", "azure-all", "unheard-of", "global"),
        )
        self.keys = OneKey()
        counting = Counting(counter, Ratios(), ThreadPoolExecutor(1))
        routes = Routes((*upstreams, *places), (*deployments, *own), rules, {})
        admission = Admission(
            keys=self.keys,
            routes=lambda: routes,
            book=lambda: book,
            canonical=book.canonical,
            counting=counting,
        )
        nothing = Nothing()
        self.quotas = MemoryQuotas(self.steps, self.clock)
        self.budgets = FixedBudgets(budgets)
        self.observer = nothing
        self.holding = Holding(self.budgets, self.quotas, clock=self.clock, observer=nothing)
        self.resources = MemoryResources(self.steps)
        exchanges = Exchanges(
            admission=admission,
            upstreams=self.upstreams,
            spool=self.spool,
            deferred=nothing,
            counting=counting,
            book=lambda: book,
            canonical=book.canonical,
            zone=lambda org, us: ("2026-11-22", 202611),
            clock=self.clock,
            observer=nothing,
            owning=Owning(
                self.resources,
                admission.routes,
                book=lambda: book,
                canonical=book.canonical,
                upstreams=self.upstreams,
            ),
            reserving=Reserving(
                self.holding,
                book=lambda: book,
                ceilings=ceilings(),
                default_output=1_000,
                expose=True,
            ),
            failover=Failover(
                clock=self.clock,
                watch=nothing,
                attempts=attempts,
                retry_unanswered=retry_unanswered,
            ),
        )
        self.proxy = Proxy(
            providers,
            exchanges,
            abandonment=Abandonment(group.create_task),
            clock=self.clock,
            observer=nothing,
        )
        self.presence = ClientPresence()
        self.sent: list[dict[str, Any]] = []

    async def call(
        self,
        path: str,
        body: dict[str, Any] | bytes,
        key: str = KEY,
        content_type: bytes = b"application/json",
        method: str = "POST",
    ) -> None:
        """One request of the client's; what it receives is in ``sent``."""
        raw = body if isinstance(body, bytes) else orjson.dumps(body)
        scope = {
            "type": "http",
            "method": method,
            "raw_path": path.encode(),
            "query_string": b"api-version=2024-10-21",
            "headers": [
                (b"authorization", f"Bearer {key}".encode()),
                (b"content-type", content_type),
            ],
            SCOPE_KEY: self.presence,
        }

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": raw, "more_body": False}

        async def send(message: Any) -> None:
            await self.steps.reach("send")
            if not self.presence.gone:
                self.sent.append(message)

        await self.proxy(scope, receive, send)

    def may_use_unpriced(self) -> None:
        """The client's key allows models without a price."""
        self.keys.principal = replace(PRINCIPAL, allow_unpriced=True)

    def status(self) -> int:
        return int(self.sent[0]["status"])

    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.sent[1:])

    def ended(self) -> bool:
        """Whether the client saw a clean end."""
        return (
            bool(self.sent) and self.sent[-1].get("more_body") is False
        ) or self._last_is_refusal()

    def _last_is_refusal(self) -> bool:
        return (
            bool(self.sent)
            and self.sent[-1]["type"] == "http.response.body"
            and "more_body" not in self.sent[-1]
        )
