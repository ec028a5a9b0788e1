"""The epoch: one unbroken life of Valkey's memory, and this process's holds as it has to know them.

Every script names the epoch it was asked in. Where the server's memory is another (it was started again,
failed over, flushed, or lost a key), the script does nothing and answers LOST: then an epoch begins on
empty keys, every process registers what it holds, by force, and nothing new is held until a time of grace
has passed in which all of them have looked. So what is in flight keeps its room. To add a call: a method
of ``Epoch`` over ``ask``.
"""

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from secrets import token_hex
from typing import Any, Final
from uuid import UUID

import msgspec
import sqlalchemy as sa

from gateway.kernel.ids import minted_us
from gateway.quota.hold import CounterKey, Hold
from gateway.storage import valkey_prelude as prelude, valkey_scripts as scripts
from gateway.storage.engine import Database
from gateway.storage.errors import RowRefused, StoreUnavailable
from gateway.storage.tables import VERSION
from gateway.storage.valkey_server import ValkeyServer

LOOK_MS: Final = 500  # how often a process looks whether the epoch is still its own
GRACE_MS: Final = (
    5_000  # two looks, each after a call that took its longest: whoever is alive has registered
)
HOLDS_PER_CALL_MAX: Final = 200
NAMES_MAX: Final = 65_536
_TRIES: Final = 5  # epochs that end while one begins
_US_PER_MS: Final = 1_000
_INSTALLATION: Final = (
    "installation"  # the name of the row whose number tells this database from others
)
_NUMBERS: Final = 2**62
_FORGETFUL: Final = "Valkey loses its memory again and again: see `weighbridge doctor`"

_ENCODER: Final = msgspec.msgpack.Encoder()
_KEY: Final = msgspec.json.Decoder(tuple[str, str, int])
_TEXT: Final = msgspec.json.Encoder()


class Kept(msgspec.Struct):
    """A hold of this process: what has to be registered where Valkey has forgotten it.

    ``lines``: counter's name → (amount as it now stands, units per minute or 0).
    """

    lines: dict[str, tuple[int, int]]
    expires_us: int
    entry: bytes


class Epoch:
    """One per process. All raise StoreUnavailable, and RowRefused where Lua could not count exactly."""

    def __init__(
        self, server: ValkeyServer, database: Database, *, grace_ms: int = GRACE_MS
    ) -> None:
        self.kept: dict[UUID, Kept] = {}
        self._server = server
        self._database = database
        self._grace_ms = grace_ms
        self._keys: tuple[str, ...] = ()
        self._token: str | None = None
        self._registering = asyncio.Lock()
        self._named: dict[CounterKey, str] = {}

    # What this process holds.

    def keep(self, hold: Hold) -> None:
        """A hold was granted."""
        lines = {
            self.name(one.key): (one.amount, one.rate.per_minute if one.rate else 0)
            for one in hold.lines
        }
        self.kept[hold.request_id] = Kept(lines, hold.expires_us, hold.entry)

    def drop(self, request_ids: Iterable[UUID]) -> None:
        """These are over."""
        for request_id in request_ids:
            self.kept.pop(request_id, None)

    def drop_expired(self, now_us: int) -> None:
        """Forget what nobody has extended: the sweeper has given it up."""
        self.drop([one for one, kept in self.kept.items() if kept.expires_us <= now_us])

    # Names.

    def name(self, key: CounterKey) -> str:
        """A counter's name in Valkey."""
        found = self._named.get(key)
        if found is None:
            if len(self._named) >= NAMES_MAX:
                self._named.clear()
            found = self._named[key] = named(key)
        return found

    # Asking.

    async def ask(
        self, script: str, arguments: Sequence[Any] = (), more: Sequence[bytes] = ()
    ) -> list[Any]:
        """A script's answer in this epoch, its status first. ``arguments``: those after the token.

        Repeated where the epoch ended meanwhile, and also where that was noticed before the answer came:
        what it says may be about a memory that is gone.
        """
        return decoded(await self._asked(script, arguments, more))

    async def ask_raw(self, script: str, arguments: Sequence[Any]) -> list[bytes]:
        """The same for a script whose answer is a list of texts, the status in the first."""
        found: list[bytes] = await self._asked(script, arguments, ())
        return found

    async def _asked(self, script: str, arguments: Sequence[Any], more: Sequence[bytes]) -> Any:
        for _ in range(_TRIES):
            token = await self._registered()
            answer = await self._run(script, [token, *arguments], more)
            status = decoded(answer[0] if isinstance(answer, list) else answer)[0]
            if status == prelude.LOST and self._token == token:
                self._token = None
            if status == prelude.PAST:
                raise RowRefused(f"a counter in Valkey is exact to {prelude.EXACT_MAX} only")
            if status != prelude.LOST and self._token == token:
                return answer
        raise StoreUnavailable(_FORGETFUL)

    async def begun(self) -> int:
        """Join the epoch that is on, or begin one; how many ms until it opens."""
        _, wait_us = await self.ask(scripts.LOOK)
        return -(-int(wait_us) // _US_PER_MS)

    async def _registered(self) -> str:
        """The epoch's token, once all that this process holds is registered in it."""
        token = self._token
        if token is not None:
            return token
        async with self._registering:
            for _ in range(_TRIES):
                if self._token is not None:
                    return self._token
                grace_us = self._grace_ms * _US_PER_MS
                begun = await self._run(scripts.BEGIN, [token_hex(16), grace_us], ())
                token = str(decoded(begun)[1])
                if await self._register(token):
                    self._token = token
                    return token
        raise StoreUnavailable(_FORGETFUL)

    async def _register(self, token: str) -> bool:
        """Register every hold; whether the epoch was still on."""
        for part in _parts(list(self.kept), HOLDS_PER_CALL_MAX):
            holds = [(one, self.kept[one]) for one in part if one in self.kept]
            lines = [
                [str(one), kept.expires_us, minted_us(one), [[n, *rest] for n, rest in kept.lines.items()]]
                for one, kept in holds
            ]  # fmt: skip
            entries = [kept.entry for _, kept in holds]
            answer = await self._run(scripts.REGISTER, [token, lines], entries)
            if decoded(answer)[0] == prelude.LOST:
                return False
        return True

    async def _run(self, script: str, request: Sequence[Any], more: Sequence[bytes]) -> Any:
        keys = self._keys or await self._made_keys()
        return await self._server.run(script, keys, [_ENCODER.encode(request), *more])

    async def _made_keys(self) -> tuple[str, ...]:
        """Under one hash tag, so that they lie together; each database has a tag of its own."""
        tag = f"{{weighbridge-{await _installation(self._database):x}}}"
        names = ("epoch", "counters", "holds", "entries", "expiry")
        self._keys = tuple([f"{tag}:{name}" for name in names])
        return self._keys

    async def first(self, what: str, ms: int) -> bool:
        """Whether this process is the first of all to do something within ``ms``."""
        keys = self._keys or await self._made_keys()
        return await self._server.first(f"{keys[0]}:{what}", ms)

    async def info(self) -> dict[str, Any]:
        """What the server says of itself."""
        return await self._server.info()

    async def close(self) -> None:
        """Close the connections."""
        await self._server.close()


def named(key: CounterKey) -> str:
    """A counter's name. Raises RowRefused where it is no text."""
    try:
        return _TEXT.encode((key.budget, key.subject, key.window_us)).decode()
    except UnicodeEncodeError as error:
        raise RowRefused("a counter's name is no text: it has a lone surrogate") from error


def key_of(name: str) -> CounterKey:
    """The counter of a name."""
    return CounterKey(*_KEY.decode(name))


def decoded(answer: bytes) -> list[Any]:
    """An answer's parts."""
    found: list[Any] = msgspec.msgpack.decode(answer)
    return found


def _parts(items: Sequence[UUID], size: int) -> Iterator[Sequence[UUID]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


async def _installation(database: Database) -> int:
    """The number of this database, made by whoever asks first."""
    number = int(token_hex(7), 16) % _NUMBERS
    row = {"name": _INSTALLATION, "version": number}
    query = sa.select(VERSION.c.version).where(VERSION.c.name == _INSTALLATION)
    async with database.read() as connection:
        found = (await connection.execute(query)).scalar_one_or_none()
    if found is None:
        async with database.write() as connection:
            await connection.execute(_MAKE, row)
            found = (await connection.execute(query)).scalar_one()
    return int(found)


_MAKE: Final = sa.text(
    "INSERT INTO directory_version (name, version) VALUES (:name, :version) ON CONFLICT (name) DO NOTHING"
)
