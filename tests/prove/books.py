"""What the ledger says in the end, compared with what the provider was asked and what the clients have."""

from collections import Counter
from typing import NamedTuple

from gateway.config import Config
from gateway.ledger.entry import Entry, EntryKind, Outcome
from tests.faults.gateways import Books, books
from tests.faults.streams import used
from tests.prove.load import usage_of

FINAL = frozenset({EntryKind.USAGE, EntryKind.INTERRUPTED, EntryKind.UNCONFIRMED})


class Verdict(NamedTuple):
    """Figures of one run. ``lost`` .. ``left_over`` have to be 0."""

    forwarded: int
    whole: int
    rows: int
    interrupted: int
    lost: int
    wrong: int
    doubled: int
    uncovered: int
    invented: int
    unsound: int
    left_over: int

    @property
    def breaches(self) -> int:
        return (
            self.lost + self.wrong + self.doubled + self.uncovered + self.invented
            + self.unsound + self.left_over
        )  # fmt: skip


def judged(
    config: Config, asked: list[str], whole: set[str], *, excused: bool = False, wait_s: float = 20
) -> Verdict:
    """Compare. ``excused``: after a power cut a call that was cut off may have only its hold."""
    found = books(config, len(asked), wait_s)
    rows: dict[str, list[Entry]] = {}
    for row in found.rows:
        if row.kind in FINAL:
            rows.setdefault(row.client_call_id or "", []).append(row)
    missing = [call for call in asked if call not in rows]
    folder = config.folder() / "spool"
    return Verdict(
        forwarded=len(asked),
        whole=len(whole),
        rows=len(found.rows),
        interrupted=sum(row.kind is EntryKind.INTERRUPTED for row in found.rows),
        lost=sum(call not in rows for call in whole),
        wrong=sum(_is_wrong(rows[call][0]) for call in whole if call in rows),
        doubled=sum(len(several) - 1 for several in rows.values())
        + sum(times - 1 for times in Counter(asked).values()),
        uncovered=0 if excused else len(missing),
        invented=sum(
            rows[call][0].kind is not EntryKind.INTERRUPTED for call in set(rows) - set(asked)
        ),
        unsound=_unsound(found),
        left_over=len(list(folder.iterdir())) if folder.is_dir() else 0,
    )


def _is_wrong(row: Entry) -> bool:
    """Whether the row of a whole answer is not the usage the provider stated."""
    as_said = used(row) == usage_of(row.client_call_id or "") and bool(row.net_pico)
    return not as_said or (row.kind, row.outcome) != (EntryKind.USAGE, Outcome.COMPLETE)


def _unsound(found: Books) -> int:
    """Ledger against rollup (and counters and chain, where there are some), and the quarantine."""
    return int(not found.verification.is_sound) + found.quarantined
