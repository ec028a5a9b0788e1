"""The close of a period: its states, which step may follow which, and where a late row goes.

To add a state: its name in ``STATES``, in order, and in ``FROZEN`` where rows may no longer enter.
"""

from collections.abc import Collection, Iterable, Mapping
from hashlib import sha256
from typing import Final, Literal

import msgspec

from gateway.kernel.errors import BadRequest
from gateway.ledger.entry import Entry
from gateway.ledger.period import next_period

State = Literal["open", "provisional", "reconciled", "approved", "posted"]
STATES: Final[tuple[State, ...]] = ("open", "provisional", "reconciled", "approved", "posted")
FROZEN: Final = frozenset({"reconciled", "approved", "posted"})  # no row enters any more
_STEPS: Final[Mapping[str, tuple[str, ...]]] = {
    "provisional": ("open", "provisional", "reconciled", "approved"),  # back: with a reason
    "reconciled": ("provisional",),
    "approved": ("reconciled",),
    "posted": ("approved",),
}


class Refused(BadRequest):
    """A step of the close that may not be taken now."""

    code = "close_refused"


def check_step(was: str, to: str, note: str) -> None:
    """Raises Refused where ``to`` may not follow ``was``, or lacks its reason."""
    before = _STEPS.get(to, ())
    if was == "posted":
        raise Refused(
            "the month is posted: it never changes; what comes late goes to the open month"
        )
    if was not in before:
        raise Refused(f"the month is {was}: {to} follows {' or '.join(before[:1]) or 'nothing'}")
    if was in FROZEN and to not in FROZEN and not note:
        raise Refused(f"back from {was} to {to} needs a --note that says why")
    if to == "reconciled" and not note:
        raise Refused("reconciled needs a --note: how metered and invoiced amounts compare, and why; it is printed on the statements")  # fmt: skip


def open_from(period: int, frozen: Collection[int]) -> int:
    """The period itself, or the first one after it that still takes rows."""
    while period in frozen:
        period = next_period(period)
    return period


def moved(entry: Entry, frozen: Collection[int]) -> Entry:
    """The entry in the period that takes it; its day stays, and says of which month it is."""
    if entry.period not in frozen:
        return entry
    return msgspec.structs.replace(entry, period=open_from(entry.period, frozen))


class Sealed(msgspec.Struct, frozen=True, kw_only=True):
    """What a close keeps as proof.

    rows, digest  of the ledger's rows: SHA-256 over the digests of their canonical bytes, in the order of ids
    version       of the canonical bytes (ledger.digest)
    net_pico      the sum of those rows
    link          the newest link of the digest chain when the rows were read, and its digest
    documents     name → SHA-256 of the kept statement
    evidence      file → SHA-256 of the row-level evidence that was written
    """

    rows: int = 0
    digest: str = ""
    version: int = 0
    net_pico: int = 0
    link: int = 0
    link_digest: str = ""
    documents: dict[str, str] = {}
    evidence: dict[str, str] = {}


def signed_bytes(period: int, sealed: Sealed) -> bytes:
    """What a signature of a posted month is over."""
    return msgspec.json.encode({"period": period, "sealed": sealed}, order="sorted")


def digest_of(row_digests: Iterable[bytes]) -> str:
    """The digest of rows from their own digests, joined and in the order of their ids."""
    whole = sha256()
    for part in row_digests:
        whole.update(part)
    return whole.hexdigest()
