"""What an exchange needs from the rooms with I/O. Implementations: storage, upstream, telemetry."""

from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from typing import Protocol
from uuid import UUID

from gateway.identity.claim import Claim
from gateway.identity.principal import Principal
from gateway.ledger.entry import Entry
from gateway.ledger.work import Told, Work
from gateway.providers.contract import Target, Upstream
from gateway.quota.budget import Budget, Subject
from gateway.quota.hold import Balance, CounterKey, Hold, HoldLine, Verdict
from gateway.wire.messages import Head


class Client(Protocol):
    """Whoever asked."""

    @property
    def gone(self) -> bool:
        """Whether it has left: there is nobody to answer."""
        ...


class Response(Protocol):
    """An upstream answer whose head has arrived and whose body is still coming."""

    @property
    def head(self) -> Head:
        """Status and headers, as sent."""
        ...

    def body(self) -> AsyncIterator[bytes]:
        """The raw body, chunk by chunk, undecoded.

        Raises UpstreamFailed (or UpstreamTimeout) where the upstream dies, stalls or breaks its framing,
        after every received byte has been yielded.
        """
        ...

    def whole(self, length: int) -> bytes | None:
        """The body, where all its ``length`` bytes have come and none was read: it is closed then. Else None."""
        ...

    async def close(self) -> None:
        """Give the connection back, or abort it where the body was not read to its end. Idempotent."""
        ...


class Upstreams(Protocol):
    """The configured upstreams, with their credentials."""

    async def send(
        self, upstream: Upstream, target: Target, leaving: Callable[[], None]
    ) -> Response:
        """Send one request. ``leaving``: called right before its first byte is written, not earlier.

        Raises UpstreamUnreachable or BadRequest where nothing was sent; UpstreamTimeout, UpstreamMalformed or
        UpstreamFailed where something may have been.
        """
        ...


class Keys(Protocol):
    """Snapshot of the gateway keys, in memory."""

    async def renewed(self, named: str) -> bool:
        """Whether a key or access key id that was not known may be known now: it was looked for, for a second at most.

        However many ask, the store is asked a few times a second. Never raises.
        """
        ...

    def by_key(self, key: str, now_us: int) -> Principal:
        """The principal of a bearer key. Raises UnknownKey, RevokedKey."""
        ...

    def by_access_key_id(self, access_key_id: str, now_us: int) -> tuple[Principal, str]:
        """The principal and secret of an AWS access key id of ours. Raises UnknownKey, RevokedKey."""
        ...


class Spool(Protocol):
    """The journal of this worker: what was sent is known before it is sent, what was used before it is delivered."""

    def intent(self, entry: Entry) -> None:
        """Record that an attempt is about to be forwarded; ``entry`` is what to book if nothing more is heard.

        A write without fsync (kill -9 safe). Raises SpoolFull where it cannot be written.
        """
        ...

    async def intent_durable(self, entry: Entry) -> None:
        """As ``intent``, but returns once it would survive a power cut: for what passes without a hold."""
        ...

    def progress(self, entry: Entry) -> None:
        """Say an open intent again with what is known by now; without fsync, never raises."""
        ...

    async def settle(self, entry: Entry) -> None:
        """Record the final entry durably (group fdatasync); returns once it would survive a power cut."""
        ...

    def void(self, entry_id: UUID) -> None:
        """Record that nothing was consumed: the intent leaves no row."""
        ...


class Quotas(Protocol):
    """The engine that holds budgets. Every method is named by the request id and may be repeated."""

    async def reserve(self, hold: Hold) -> Verdict:
        """Hold all lines or none. A known id is answered Granted again. Raises Unavailable."""
        ...

    async def grow(self, request_id: UUID, lines: tuple[HoldLine, ...]) -> Verdict:
        """Raise a hold's amounts to these, all or nothing. Raises Unavailable."""
        ...

    def settle(self, request_id: UUID, used: Mapping[CounterKey, int]) -> None:
        """Fix the hold to what was used (more than held is taken too); queued, never raises.

        Counters that ``used`` does not name are freed, a rolling minute gets its unused share back. The
        hold itself goes when the ledger books the row; where this call is lost, that frees everything.
        """
        ...

    def void(self, request_id: UUID) -> None:
        """Nothing was used: free the hold; queued, never raises."""
        ...

    def charge(self, hold: Hold) -> None:
        """Count on its rolling minutes what passed without a hold; queued, never refused, never raises.

        Forgotten where the store is away for longer than that minute.
        """
        ...

    async def extend(self, request_ids: Collection[UUID], expires_us: int) -> None:
        """Keep these holds until then. Raises Unavailable."""
        ...

    async def balances(self, lines: Sequence[HoldLine]) -> tuple[Balance, ...]:
        """How these counters stand (amounts are not looked at). Raises Unavailable."""
        ...


class Budgets(Protocol):
    """Snapshot of the budgets, in memory."""

    @property
    def version(self) -> int:
        """Raised by every change of a budget."""
        ...

    def over(self, subject: Subject) -> tuple[Budget, ...]:
        """The budgets whose scope covers a request."""
        ...

    async def refresh(self) -> bool:
        """Load them again if they changed; whether they did. Raises Unavailable."""
        ...


class Observer(Protocol):
    """What telemetry wants to know; implementations never raise and never block."""

    def settled(self, entry: Entry) -> None:
        """An entry was settled."""
        ...

    def refused(self, provider: str, code: str) -> None:
        """A request was refused by the gateway itself."""
        ...

    def failed(self, what: str, error: BaseException) -> None:
        """Something of ours failed; ``what`` names the step."""
        ...


class Resources(Protocol):
    """Whose the kept things are: the claims of files, batches, stored responses."""

    async def find(self, resources: Collection[str]) -> Mapping[str, Claim]:
        """The claims there are of these. Raises Unavailable."""
        ...

    def keep(
        self, claims: Sequence[Claim], works: Sequence[Work] = (), told: Sequence[Told] = ()
    ) -> None:
        """Claim; known at once to this worker, and to all when written. The first claim stands. Never raises.

        ``works``: deferred work to be asked from now on, until it says what it used. ``told``: what is known of
        the end of some.
        """
        ...

    async def is_unbooked(self, work: str, now_us: int) -> bool:
        """Whether this work is still to be asked for what it used; then that is done at once. Raises Unavailable."""
        ...

    async def is_open(
        self, provider: str, upstream: str, made_by_us: int, wanted_us: int | None = None
    ) -> bool:
        """Whether work kept there and made by then is still to be asked for what it used. Raises Unavailable.

        ``wanted_us``: now; then such work is asked at once.
        """
        ...

    async def kept(self) -> None:
        """Return once everything claimed so far is durable, or after a bounded time without a database."""
        ...


class Deferred(Protocol):
    """Work whose usage shows up later, in another call's answer (batches)."""

    async def creator(self, settles: str) -> Entry | None:
        """The entry that created the work, by its once-only key; None where it was not created through us."""
        ...


class Watch(Protocol):
    """What telemetry wants to know of places; implementations never raise and never block."""

    def tried(self, upstream: str, ended: str) -> None:
        """A call with several places was tried at one; ``ended``: answered, refused, unreachable, unanswered."""
        ...

    def left(self, upstream: str) -> None:
        """A request was really sent elsewhere after that upstream had not served it."""
        ...

    def turned(self, upstream: str, location: str, name: str, state: str) -> None:
        """The breaker of a place is now ``state``."""
        ...
