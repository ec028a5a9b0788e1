"""Whether a closed month is what was sealed: its rows, its kept statements, its signature."""

import asyncio
from collections.abc import Callable, Iterator
from hashlib import sha256

import msgspec

from gateway import app as composition
from gateway.config import Config
from gateway.identity.signing import is_signed, signer
from gateway.ledger.closing import FROZEN, signed_bytes
from gateway.storage.chain import sealed_faults
from gateway.storage.closing import ClosingStore, Standing, Step
from gateway.storage.evidence import read_rows
from gateway.storage.reporting import requests_of


class Proof(msgspec.Struct, frozen=True):
    """What was looked at, in words, and what is wrong; nothing of both for a month whose close never began."""

    said: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()


def proof_of(config: Config, period: int, told: Callable[[str, int], None] | None) -> Proof:
    """Compare a closed month with what its newest step sealed."""
    kept, expected = asyncio.run(_read(config, period))
    steps, documents = kept.steps, kept.documents
    if not steps:
        return Proof(faults=kept.faults)
    last = steps[-1]
    rows = read_rows(
        config.database_url(), period, zone=config.org.timezone, expected=expected, version=last.sealed.version,
        progress=None if told is None else lambda count: told("rows hashed", count),
    )  # fmt: skip
    faults = [*kept.faults, *_documents(steps, documents)]
    said = [f"{last.state}, revision {last.revision}: {len(documents[last.revision]):,} kept statements"]  # fmt: skip
    if (rows.rows, rows.digest) == (last.sealed.rows, last.sealed.digest):
        said.append(f"{rows.rows:,} rows, SHA-256 {rows.digest}")
    elif last.state in FROZEN and kept.standing.state in FROZEN:
        faults.append(f"the rows are not those that were sealed: {rows.rows:,} rows {rows.digest}, sealed {last.sealed.rows:,} rows {last.sealed.digest}")  # fmt: skip
    else:
        said.append(f"{rows.rows - last.sealed.rows:+,} rows since it was {last.state}")
    if last.signature:
        is_good = is_signed(last.signature, signed_bytes(period, last.sealed))
        (said if is_good else faults).append(f"{'signed by' if is_good else 'the signature is not of'} {signer(last.signature)}")  # fmt: skip
    return Proof(tuple(said), tuple(faults))


class _Kept(msgspec.Struct, frozen=True):
    """What a close left behind: its steps, by revision what each kept, and what is wrong with that in itself."""

    standing: Standing
    steps: list[Step]
    documents: dict[int, dict[str, bytes]]
    faults: tuple[str, ...]


async def _read(config: Config, period: int) -> tuple[_Kept, int]:
    async with composition.opened(config) as database:
        store = ClosingStore(database)
        standing, steps = await store.standing(period), await store.steps(period)
        documents = {one.revision: await store.documents(period, one.revision) for one in steps}
        async with database.read() as connection:
            faults = await sealed_faults(connection, period)
        if lost := _lost(standing, steps):
            faults.append(f"it is {standing.state}, and what its steps kept is not there: {lost}")
        return _Kept(standing, steps, documents, tuple(faults)), await requests_of(database, period)


def _lost(standing: Standing, steps: list[Step]) -> str:
    """The steps that were taken and are not there, in words."""
    taken = standing.revision if standing.is_kept else standing.revision - 1
    gone = sorted(set(range(1, taken + 1)) - {one.revision for one in steps})
    return ", ".join(f"revision {one}" for one in gone)


def _documents(steps: list[Step], documents: dict[int, dict[str, bytes]]) -> Iterator[str]:
    for step in steps:
        kept = documents[step.revision]
        found = {name: sha256(text).hexdigest() for name, text in kept.items()}
        for name in sorted(found.keys() | step.sealed.documents.keys()):
            if found.get(name) != step.sealed.documents.get(name):
                yield f"revision {step.revision}: the kept statement of {name or 'unallocated'} is not the one that was sealed"
