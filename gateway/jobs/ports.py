"""What the jobs need from the rooms beside them; storage implements all of it, and app.py wires it."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Protocol, TypeVar
from uuid import UUID

from gateway.ledger.entry import Entry
from gateway.ledger.work import Due
from gateway.quota.alert import Alert
from gateway.quota.budget import Budget
from gateway.quota.standing import Standing


class Waiting(Protocol):
    """A durable entry that the database does not hold yet."""

    @property
    def entry(self) -> Entry:
        """What to book."""
        ...


W = TypeVar("W", bound=Waiting)


class Journal(Protocol[W]):
    """This worker's spool, seen from its far end."""

    def take(self, limit: int) -> Sequence[W]:
        """The next entries to book, oldest first; each is handed out once."""
        ...

    def flushed(self, batch: Sequence[W]) -> None:
        """The database holds these. Called with () when idle, so that aged files can go."""
        ...

    @property
    def unflushed(self) -> int:
        """Settlements that the database does not hold yet."""
        ...


class Books(Protocol):
    """Where entries are booked."""

    async def append(self, entries: Iterable[Entry]) -> int:
        """Book exactly once, in one transaction; how many were new. Raises Unavailable."""
        ...

    async def quarantine(self, record_id: UUID, reason: str, record: bytes) -> None:
        """Keep what cannot be booked. Raises Unavailable."""
        ...


class Malformed(Protocol):
    """A record of a dead worker's spool that is no entry."""

    @property
    def entry_id(self) -> UUID:
        """The id it was written under."""
        ...

    @property
    def reason(self) -> str:
        """Why it cannot be read."""
        ...

    @property
    def text(self) -> bytes:
        """Its bytes."""
        ...


class Orphan(Protocol):
    """A dead worker's spool, locked by whoever holds this."""

    @property
    def name(self) -> str:
        """Its directory's name."""
        ...

    @property
    def damaged_bytes(self) -> int:
        """Bytes read so far that belong to no whole record."""
        ...

    def batches(self, limit: int) -> Iterator[Sequence[Entry | Malformed]]:
        """Everything to book, in lists of at most ``limit``."""
        ...

    def remove(self) -> None:
        """All of it is booked."""
        ...

    def release(self) -> None:
        """Let the next adopter begin again."""
        ...


class Attended(Protocol):
    """An engine of holds that has to hear what the database posts."""

    async def step(self) -> int:
        """Tell it what there is to tell; how many ms to pause."""
        ...


class Snapshot(Protocol):
    """Something kept in memory that the database is the truth of."""

    async def refresh(self) -> bool:
        """Load it again if it changed; whether it did. Raises Unavailable."""
        ...


class Months(Protocol):
    """The ledger's monthly partitions."""

    async def ensure(self, now_us: int) -> Sequence[str]:
        """Make what is missing; the names made. Raises Unavailable."""
        ...

    async def strays(self) -> int:
        """Rows that no monthly partition took. Raises Unavailable."""
        ...


class Expired(Protocol):
    """A hold that nobody extends any more."""

    @property
    def request_id(self) -> UUID:
        """Whose it is."""
        ...

    @property
    def entry(self) -> bytes:
        """The journal's entry of the first attempt, encoded."""
        ...

    @property
    def is_booked(self) -> bool:
        """Whether the request's last row is there, or the row of that entry."""
        ...


class Holds(Protocol):
    """The holds of every worker."""

    async def expired(self, now_us: int, limit: int) -> Sequence[Expired]:
        """Those that ended by then, the oldest first. Raises Unavailable."""
        ...

    async def free(self, request_ids: Collection[UUID]) -> None:
        """Remove them and give back what they have pending. Raises Unavailable."""
        ...


class Extends(Protocol):
    """The part of an engine of quotas that keeps holds."""

    async def extend(self, request_ids: Collection[UUID], expires_us: int) -> None:
        """Keep these holds until then. Raises Unavailable."""
        ...


class Raising(Protocol):
    """Where budgets stand, and where their alerts are kept."""

    async def earning(self) -> Sequence[Standing]:
        """The counters that may have earned an alert. Raises Unavailable."""
        ...

    async def alert(self, alerts: Sequence[Alert]) -> Sequence[Alert]:
        """Raise them; those that nobody had raised before. Raises Unavailable."""
        ...


class Alarm(Protocol):
    """Who hears of alerts; never raises."""

    def alerted(self, budget: Budget, alert: Alert) -> None:
        """An alert was raised, by us and for the first time."""
        ...


class Works(Protocol):
    """Deferred work that is to be asked for what it used."""

    async def take(self, now_us: int, limit: int, lease_us: int) -> Sequence[Due]:
        """What is due; nobody else is given it before the lease ends. Raises Unavailable."""
        ...

    async def again(self, work: str, due_us: int, begun_us: int) -> None:
        """It has not ended: ask again then, or at once if it became wanted since ``begun_us``. Raises Unavailable."""
        ...

    async def done(self, work: str) -> None:
        """It is booked or given up. Raises Unavailable."""
        ...

    async def overdue(self, before_us: int) -> int:
        """How many should have been asked before then. Raises Unavailable."""
        ...


class Forgets(Protocol):
    """What is kept until a time of its own."""

    async def forget(self, now_us: int) -> int:
        """Remove a bounded part of what has expired; how many. Raises Unavailable."""
        ...
