"""The books of a soak against what its provider was asked and stated, call by call."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from gateway import app as composition
from gateway.ledger.entry import Entry, EntryKind, Outcome
from gateway.storage.ledger import Ledger
from tests.faults.streams import used
from tests.prove.books import FINAL, expired
from tests.prove.soak_origin import counts, number_of
from tests.prove.soak_place import Place

UNITS = ("input_text", "cache_read_text", "output_text")
EXAMPLES_MAX = 5
REPORTED = (EntryKind.USAGE, "reported", Outcome.COMPLETE)


class Verdict(NamedTuple):
    """Figures of a run. ``lost`` .. ``held`` have to be 0.

    asked        calls the provider was asked by name; ``again``: those asked twice, on another connection
    lost         calls a client has whole and the ledger does not
    wrong        rows that say another usage than was stated for their call
    doubled      calls with more rows than they were asked
    uncovered    calls the provider was asked and that have no row
    invented     rows of usage of calls the provider was never asked; who dies before it sends leaves an interrupted one
    unsaid       of the SDKs' calls: tokens stated and not on a row, beyond rows that are not final
    """

    asked: int
    again: int
    whole: int
    rows: int
    by_kind: dict[str, int]
    provenances: dict[str, int]
    sdk_stated: tuple[int, ...]
    sdk_booked: tuple[int, ...]
    sdk_other: int
    lost: int
    wrong: int
    doubled: int
    uncovered: int
    invented: int
    unsaid: int
    unsound: int
    left_over: int
    held: int
    examples: tuple[str, ...]

    @property
    def breaches(self) -> int:
        return (
            self.lost + self.wrong + self.doubled + self.uncovered + self.invented
            + self.unsaid + self.unsound + self.left_over + self.held
        )  # fmt: skip


class _Seen:
    """What the rows say, taken in one by one."""

    def __init__(self, sdk_user: str) -> None:
        self.rows = 0
        self.wrong = 0
        self.final: Counter[str] = Counter()
        self.metered: set[str] = set()
        self.reported: set[str] = set()
        self.parts: dict[str, list[int]] = {}
        self.kinds: Counter[str] = Counter()
        self.provenances: Counter[str] = Counter()
        self.booked = [0, 0, 0, 0]
        self.other = 0
        self.examples: list[str] = []
        self._sdk_user = sdk_user

    def add(self, row: Entry) -> None:
        self.rows += 1
        self.kinds[str(row.kind)] += 1
        self.provenances[row.provenance] += 1
        if row.user == self._sdk_user:
            if row.provenance == "reported":
                self.booked = [a + b for a, b in zip(self.booked, _units(row), strict=True)]
            else:
                self.other += 1
            return
        call = row.client_call_id or ""
        self.final[call] += row.kind in FINAL
        if row.kind is EntryKind.USAGE:
            self.metered.add(call)
        if (row.kind, row.provenance, row.outcome) == REPORTED:
            self.reported.add(call)
            if _units(row) != _stated(call):
                self.wrong += 1
                self.examples.append(f"wrong {call} {used(row)} {row.flags}")
        elif row.kind is not EntryKind.REPRICE:
            before = self.parts.get(call, [0, 0, 0, 0])
            self.parts[call] = [a + b for a, b in zip(before, _units(row), strict=True)]

    def has(self, call: str) -> bool:
        """Whether its rows say what was stated: one, or an estimate (its hold had ended) and what that lacked."""
        if call in self.reported:
            return True
        return self.parts.get(call, [0])[1:] == _stated(call)[1:]

    def unsaid(self, stated: Sequence[int]) -> int:
        """Tokens and calls that SDKs were told of and no row has, beyond rows that are not final."""
        if self.other:
            return max(0, stated[0] - self.booked[0] - self.other)
        return sum(abs(a - b) for a, b in zip(stated, self.booked, strict=True))


def judged(place: Place, whole: set[str], *, sdk_user: str) -> Verdict:
    """Compare, when nobody serves any more."""
    held, _ = asyncio.run(expired(place.config))
    seen = _Seen(sdk_user)

    async def read() -> int:
        async with composition.opened(place.config) as database:
            ledger = Ledger(database)
            async for row in ledger.usage():
                seen.add(row)
            is_sound = (await ledger.verify()).is_sound
            return int(not is_sound) + await ledger.quarantined()

    return _compared(place, whole, seen, asyncio.run(read()), held)


def _compared(place: Place, whole: set[str], seen: _Seen, unsound: int, held: int) -> Verdict:
    truth, final = place.origin.truth, seen.final
    odd = {
        "lost": [call for call in whole if not seen.has(call)],
        "doubled": [call for call, times in final.items() if times > truth.asked.get(call, 0) > 0],
        "uncovered": [call for call in truth.asked if not final[call]],
        "invented": [call for call in seen.metered if call not in truth.asked],
    }
    examples = [f"{name} {call}" for name, calls in odd.items() for call in calls[:EXAMPLES_MAX]]
    return Verdict(
        asked=len(truth.asked),
        again=sum(times > 1 for times in truth.asked.values()),
        whole=len(whole),
        rows=seen.rows,
        by_kind=dict(seen.kinds),
        provenances=dict(seen.provenances),
        sdk_stated=tuple(truth.unnamed),
        sdk_booked=tuple(seen.booked),
        sdk_other=seen.other,
        wrong=seen.wrong,
        unsaid=seen.unsaid(truth.unnamed),
        unsound=unsound,
        left_over=sum(1 for _ in (place.var / "spool").iterdir()),
        held=held,
        examples=(*examples, *seen.examples[:EXAMPLES_MAX]),
        **{name: len(calls) for name, calls in odd.items()},
    )


def _units(row: Entry) -> list[int]:
    units = used(row)
    return [1, *(units.get(name, 0) for name in UNITS)]


def _stated(call: str) -> list[int]:
    said = counts(number_of(call))
    return [1, said.input, said.cached, 0 if call.startswith("embeddings") else said.output]
