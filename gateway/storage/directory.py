"""The directory: gateway keys in the database, and the snapshot of them that requests are checked against.

Keys are stored as peppered digests; the key itself is shown once, when it is made. To give a key a further
property: a field of NewKey and of Principal, a column of tables.KEY and a revision.
"""

from collections.abc import Iterable, Sequence
from hashlib import sha256
from secrets import token_bytes
from typing import Any, Final

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.identity import keys
from gateway.identity.principal import Principal
from gateway.kernel.clock import Clock, SystemClock
from gateway.kernel.errors import NotFound, RevokedKey, UnknownKey
from gateway.storage.engine import Database
from gateway.storage.errors import StoreUnavailable
from gateway.storage.renewing import Renewing
from gateway.storage.tables import KEY, VERSION

_KEYS: Final = "keys"
_MODELS: Final = msgspec.json.Decoder(tuple[str, ...])
_UNKNOWN: Final = "this gateway key is unknown: check that it was copied whole"


class NewKey(msgspec.Struct, frozen=True, kw_only=True):
    """What a key is made for. Times are epoch microseconds, half-open; None means no bound."""

    user: str
    team: str
    org: str = "default"
    cost_centre: str | None = None
    app: str | None = None
    models: tuple[str, ...] = ()
    allow_unpriced: bool = False
    allow_batches: bool = False
    allow_shared: bool = False
    not_before_us: int | None = None
    expires_us: int | None = None
    tags: tuple[str, ...] = ()


class MadeKey(msgspec.Struct, frozen=True):
    """A new key with its secrets, which exist nowhere else from here on."""

    key: str
    key_id: str
    aws_access_key_id: str
    aws_secret_access_key: str


class StoredKey(msgspec.Struct, frozen=True):
    """A key as the database knows it, without secrets."""

    key_id: str
    prefix: str
    access_key_id: str
    org: str
    user: str
    team: str
    cost_centre: str | None
    app: str | None
    models: tuple[str, ...]
    allow_unpriced: bool
    allow_batches: bool
    created_us: int
    not_before_us: int | None
    expires_us: int | None
    revoked_us: int | None
    rotated_from: str | None
    tags: tuple[str, ...] = ()
    allow_shared: bool = False

    def principal(self) -> Principal:
        """Who it stands for."""
        return Principal(
            key_id=self.key_id,
            org=self.org,
            user=self.user,
            team=self.team,
            cost_centre=self.cost_centre,
            app=self.app,
            models=self.models,
            allow_unpriced=self.allow_unpriced,
            allow_batches=self.allow_batches,
            allow_shared=self.allow_shared,
            expires_us=self.expires_us,
            tags=self.tags,
        )


class _Door(msgspec.Struct, frozen=True):
    """What the snapshot keeps of a key."""

    stored: StoredKey
    principal: Principal

    def opened(self, now_us: int) -> Principal:
        """The principal. Raises RevokedKey outside the key's lifetime."""
        key = self.stored
        if key.revoked_us is not None:
            raise RevokedKey(f"the gateway key {key.prefix}… was revoked")
        if key.expires_us is not None and now_us >= key.expires_us:
            raise RevokedKey(f"the gateway key {key.prefix}… has expired")
        if key.not_before_us is not None and now_us < key.not_before_us:
            raise RevokedKey(f"the gateway key {key.prefix}… is not valid yet")
        return self.principal


class KeySnapshot:
    """The keys at one moment, in memory. Implements the exchange's port Keys."""

    def __init__(self, master: bytes, stored: Iterable[tuple[bytes, StoredKey]] = ()) -> None:
        """``stored``: digest and key. Raises ValueError on a master secret that is too short."""
        self._master = master
        self._pepper = keys.derive_pepper(master)
        self._by_digest: dict[bytes, _Door] = {}
        self._proven: dict[bytes, _Door] = {}
        self._by_access_key_id: dict[str, _Door] = {}
        for digest, key in stored:
            door = _Door(key, key.principal())
            self._by_digest[digest] = door
            self._by_access_key_id[key.access_key_id] = door

    def by_key(self, key: str, now_us: int) -> Principal:
        """The principal of a bearer key. Raises UnknownKey, RevokedKey."""
        # Under its hash, not as it is: a key in use is proven once per snapshot, and kept nowhere.
        shown = sha256(key.encode()).digest()
        door = self._proven.get(shown)
        if door is None:
            if not keys.looks_valid(key):  # a typo or a scan: not worth a digest
                raise UnknownKey(_UNKNOWN)
            door = self._by_digest.get(keys.digest(key, self._pepper))
            if door is None:
                raise UnknownKey(_UNKNOWN)
            self._proven[shown] = door
        return door.opened(now_us)

    def by_access_key_id(self, access_key_id: str, now_us: int) -> tuple[Principal, str]:
        """The principal and secret of an AWS access key id of ours. Raises UnknownKey, RevokedKey."""
        door = self._by_access_key_id.get(access_key_id)
        if door is None:
            raise UnknownKey("this access key id is unknown: use the pair that the gateway issued")
        return door.opened(now_us), keys.derive_secret(self._master, access_key_id)


class Directory:
    """The key store, and this process's current snapshot of it. Implements the exchange's port Keys."""

    def __init__(self, database: Database, master: bytes, *, clock: Clock | None = None) -> None:
        """``master``: the secret that digests and AWS secrets derive from. Raises ValueError if too short."""
        self._database = database
        self._master = master
        self._pepper = keys.derive_pepper(master)
        self._clock = clock or SystemClock()
        self._version: int | None = None
        self.current = KeySnapshot(master)
        self.renewing = Renewing(self.refresh)

    # The exchange's side: memory only.

    def by_key(self, key: str, now_us: int) -> Principal:
        """The principal of a bearer key. Raises UnknownKey, RevokedKey."""
        return self.current.by_key(key, now_us)

    def by_access_key_id(self, access_key_id: str, now_us: int) -> tuple[Principal, str]:
        """The principal and secret of an AWS access key id of ours. Raises UnknownKey, RevokedKey."""
        return self.current.by_access_key_id(access_key_id, now_us)

    async def renewed(self, named: str) -> bool:
        """Whether a key or access key id that was not known may be known now: it was looked for. Never raises.

        What has not the form of one is not looked for.
        """
        return keys.looks_issued(named) and await self.renewing.renewed()

    async def look(self) -> int:
        """The job behind ``renewed``: wait until a key is missed, and look; how many ms to pause."""
        return await self.renewing.step()

    async def refresh(self) -> bool:
        """Load the keys again if any changed; whether they did. Raises StoreUnavailable."""
        before = self._version
        try:
            rows = await self._changed()
        except StoreUnavailable:
            rows = (
                await self._changed()
            )  # the first was of a server that was started again, or hears it again
        if not rows:
            raise StoreUnavailable("the schema is missing or too old: run `weighbridge migrate`")
        version = int(rows[0]["as_of"])
        if version == self._version:
            return False
        if self._version is not None and self._version != before and version < self._version:
            return False  # another look began later, and has ended earlier
        held = [row for row in rows if row["key_id"] is not None]
        stored = [(bytes(row["digest"]), _stored(row)) for row in held]
        self.current = KeySnapshot(self._master, stored)
        self._version = version
        return True

    async def _changed(self) -> Sequence[sa.RowMapping]:
        """Version and keys; where the version is the one that is held, one row without a key.

        One statement: it sees one state by itself, and a database that takes seconds to answer is asked once.
        """
        known = -1 if self._version is None else self._version
        joined = VERSION.outerjoin(KEY, VERSION.c.version != known)
        query = sa.select(VERSION.c.version.label("as_of"), KEY).select_from(joined)
        async with self._database.glance() as connection:
            found = await connection.execute(query.where(VERSION.c.name == _KEYS))
            return found.mappings().all()

    async def snapshot(self) -> KeySnapshot:
        """The keys as the database has them now. Raises StoreUnavailable."""
        await self.refresh()
        return self.current

    # The administrator's side. All raise StoreUnavailable; those that name a key raise NotFound.

    async def create(self, new: NewKey) -> MadeKey:
        """Make a key; its secrets are in the answer and nowhere else."""
        async with self._database.write() as connection:
            return await self._insert(connection, new, rotated_from=None)

    async def list(self) -> list[StoredKey]:
        """Every key, oldest first, revoked ones too."""
        query = sa.select(KEY).order_by(KEY.c.created_us, KEY.c.key_id)
        async with self._database.read() as connection:
            return [_stored(row) for row in (await connection.execute(query)).mappings()]

    async def rotate(self, key_id: str, *, overlap_us: int = 0) -> MadeKey:
        """A new key for the same purpose; the old one works for ``overlap_us`` more, and no longer."""
        now = self._clock.wall_us()
        async with self._database.write() as connection:
            old = await _named(connection, key_id)
            if old.revoked_us is not None:
                raise NotFound(f"the key {key_id} was revoked: create a new one")
            new = NewKey(**{name: getattr(old, name) for name in NewKey.__struct_fields__})
            new = msgspec.structs.replace(new, not_before_us=None)
            made = await self._insert(connection, new, rotated_from=key_id)
            end = min(now + overlap_us, old.expires_us or now + overlap_us)
            await _change(connection, key_id, {"expires_us": end})
        return made

    async def revoke(self, key_id: str) -> None:
        """End a key; every process refuses it within seconds. Revoking twice keeps the first moment."""
        async with self._database.write() as connection:
            old = await _named(connection, key_id)
            if old.revoked_us is None:
                await _change(connection, key_id, {"revoked_us": self._clock.wall_us()})

    async def _insert(
        self, connection: AsyncConnection, new: NewKey, *, rotated_from: str | None
    ) -> MadeKey:
        key = keys.mint(token_bytes)
        access_key_id = keys.mint_access_key_id(token_bytes)
        made = MadeKey(
            key,
            keys.mint_key_id(token_bytes),
            access_key_id,
            keys.derive_secret(self._master, access_key_id),
        )
        row = msgspec.structs.asdict(new) | {
            "key_id": made.key_id,
            "digest": keys.digest(key, self._pepper),
            "prefix": keys.public_prefix(key),
            "access_key_id": access_key_id,
            "models": msgspec.json.encode(new.models).decode(),
            "tags": msgspec.json.encode(new.tags).decode(),
            "created_us": self._clock.wall_us(),
            "revoked_us": None,
            "rotated_from": rotated_from,
        }
        await connection.execute(sa.insert(KEY), row)
        await _raise_version(connection)
        return made


def _stored(row: sa.RowMapping) -> StoredKey:
    fields: dict[str, Any] = {name: row[name] for name in StoredKey.__struct_fields__}
    fields["models"] = _MODELS.decode(row["models"])
    fields["tags"] = _MODELS.decode(row["tags"])
    fields["allow_unpriced"] = bool(row["allow_unpriced"])
    for permission in ("allow_batches", "allow_shared"):
        fields[permission] = bool(row[permission])
    return StoredKey(**fields)


async def _named(connection: AsyncConnection, key_id: str) -> StoredKey:
    query = sa.select(KEY).where(KEY.c.key_id == key_id).with_for_update()
    row = (await connection.execute(query)).mappings().one_or_none()
    if row is None:
        raise NotFound(f"there is no key {key_id}: `weighbridge keys list` shows them")
    return _stored(row)


async def _change(connection: AsyncConnection, key_id: str, values: dict[str, int]) -> None:
    await connection.execute(sa.update(KEY).where(KEY.c.key_id == key_id).values(values))
    await _raise_version(connection)


async def _raise_version(connection: AsyncConnection) -> None:
    # In the transaction of the change itself: whoever sees the number sees the change.
    raised = sa.update(VERSION).where(VERSION.c.name == _KEYS)
    await connection.execute(raised.values(version=VERSION.c.version + 1))
