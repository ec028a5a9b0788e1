"""What an exchange needs from the rooms with I/O. Implementations: storage, upstream, telemetry."""

from collections.abc import AsyncIterator
from typing import Protocol
from uuid import UUID

from gateway.identity.principal import Principal
from gateway.ledger.entry import Entry
from gateway.providers.contract import Target, Upstream
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

    async def close(self) -> None:
        """Give the connection back, or abort it where the body was not read to its end. Idempotent."""
        ...


class Upstreams(Protocol):
    """The configured upstreams, with their credentials."""

    async def send(self, upstream: Upstream, target: Target) -> Response:
        """Send one request. Raises UpstreamUnreachable, UpstreamTimeout or UpstreamMalformed."""
        ...


class Keys(Protocol):
    """Snapshot of the gateway keys, in memory."""

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

    async def settle(self, entry: Entry) -> None:
        """Record the final entry durably (group fdatasync); returns once it would survive a power cut."""
        ...

    def void(self, entry_id: UUID) -> None:
        """Record that nothing was consumed: the intent leaves no row."""
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


class Deferred(Protocol):
    """Work whose usage shows up later, in another call's answer (batches)."""

    async def creator(self, settles: str) -> Entry | None:
        """The entry that created the work, by its once-only key; None where it was not created through us."""
        ...
