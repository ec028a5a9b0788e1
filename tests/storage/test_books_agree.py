"""One month said in every way there is says one sum: rows, rollups, statements, chargeback, FOCUS, journal, evidence.

Random ledgers (zones with half hours and daylight saving, a leap day, no lines, 10^10 tokens, prices of one pico,
discounts of the whole, credits, late rows of a year ago) under random steps: rows, re-rating, closes, going back,
rates, shared costs. After each step every month is asked in every way, for every team, user, model and cost centre.
"""

import asyncio
import gzip
import random
from collections import defaultdict
from collections.abc import Callable, Iterable
from csv import DictReader
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gateway import shipped
from gateway.commands.close.command import Wanted, take
from gateway.commands.focus import bundle
from gateway.commands.journal import _past
from gateway.commands.statement.asked import Asked, KeptMonth, LiveMonth, gathered, live
from gateway.config import Config
from gateway.kernel.clock import SystemClock
from gateway.kernel.ids import new_id
from gateway.kernel.money import format_usd, parse_usd
from gateway.ledger.closing import FROZEN, STATES
from gateway.ledger.currency import from_usd
from gateway.ledger.entry import Entry, EntryKind, Line
from gateway.ledger.period import day_and_period, period_start_us
from gateway.ledger.reprice import Tariff, repriced
from gateway.ledger.validity import total
from gateway.pricing.book import Book
from gateway.pricing.row import Row
from gateway.reporting.fixed import FixedCost
from gateway.reporting.fold import PLATFORM
from gateway.reporting.journal import Past, entries
from gateway.reporting.organisation import Organisation
from gateway.reporting.roster import imported, read_csv
from gateway.storage.closing import ClosingStore
from gateway.storage.costs import CostStore
from gateway.storage.engine import Database
from gateway.storage.ledger import Ledger
from gateway.storage.organisation import OrganisationStore
from gateway.storage.rerating import rerated

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(240)]
Make = Callable[..., Entry]
MONTHS = (202401, 202402, 202403)
DAY_US = 86_400_000_000
CENT = 10**10
ZONES = ("Asia/Kolkata", "America/St_Johns", "Australia/Lord_Howe", "Pacific/Apia")
MODELS = ("model-a", "model-b", None)
ROSTER = """team,user,cost_centre,currency,gl_account,valid_from,valid_until
team-1,,4100,EUR,=1,,2024-02-11
team-1,,4200,,652310,2024-02-11,2024-02-29
team-1,,4100,EUR,=1,2024-02-29,
team-2,,007,JPY,652310,2024-01-15,
,user-0003,Caf\u00e9,,652310,2024-01-20,2024-02-29
,user-0003,007,JPY,652310,2024-02-29,
team-3,,Cafe\u0301,,652310,,
"""


class House:
    """A ledger with its organisation, and what was done to it."""

    def __init__(self, database: Database, config: Config, entry: Make, seed: int) -> None:
        self.database, self.config, self.entry = database, config, entry
        self.folder = config.folder() / "evidence"
        self.dice = random.Random(seed)
        self.ledger, self.zone = Ledger(database), config.org.timezone
        self.kept: dict[int, tuple[int, dict[str, bytes]]] = {}
        self.costs = 0

    def row(self, month: int) -> Entry:
        start = period_start_us(month, self.zone)
        at_us = start + self.dice.randrange(28 * DAY_US) + self.dice.choice([0, DAY_US, -1])
        day, period = day_and_period(at_us, self.zone)
        units = self.dice.sample(["input_text", "output_text", "cache_read_text", "input_audio"], self.dice.randrange(4))  # fmt: skip
        lines = tuple(self.line(unit) for unit in units)
        sums = {name: total([getattr(line, name) for line in lines]) for name in ("list_pico", "net_pico")}  # fmt: skip
        status = "priced" if None not in sums.values() else "partial"
        return self.entry(
            day=day, period=period, occurred_us=at_us, booked_us=at_us + 1, provider="azure", scope="global",
            lines=lines, price_status=status, team=f"team-{self.dice.randrange(1, 5)}",
            user=f"user-{self.dice.randrange(1, 5):04}", app=self.dice.choice(["=app", "", None]),
            model=self.dice.choice(MODELS), provenance=self.dice.choice(["reported", "partial"]), **sums,
        )  # fmt: skip

    def line(self, unit: str) -> Line:
        quantity = self.dice.choice([0, 1, 7, 10**10])
        listed = self.dice.choice([None, 0, 1, 10**9 + 1, 5 * CENT, 10**15 + 7])
        net = None if listed is None else self.dice.choice([0, listed, listed * 94 // 100])
        return Line(unit, quantity, None if listed is None else "p", listed, net)

    def credit(self, of: Entry) -> Entry:
        lines = tuple(
            msgspec.structs.replace(
                line,
                quantity=-line.quantity,
                list_pico=None if line.list_pico is None else -line.list_pico,
                net_pico=None if line.net_pico is None else -line.net_pico,
            )
            for line in of.lines
        )
        sums = {name: total([getattr(line, name) for line in lines]) for name in ("list_pico", "net_pico")}  # fmt: skip
        return msgspec.structs.replace(of, id=new_id(), kind=EntryKind.REVERSAL, ref_id=of.id, lines=lines, **sums)  # fmt: skip

    async def rows(self) -> None:
        made = [self.row(self.dice.choice(MONTHS)) for _ in range(self.dice.randrange(6, 16))]
        await self.ledger.append([*made, *(self.credit(one) for one in made if self.dice.random() < 0.2)])  # fmt: skip

    async def rerate(self) -> None:
        priced = [
            Row(terms=("azure", model, "global", "", "", "standard"), unit=unit, pico=self.dice.choice([0, 1, 10**6]), per=self.dice.choice([1, 1000]), source="s", evidence="manual")
            for model in ("model-a", "model-b") for unit in ("input_text", "output_text") if self.dice.random() < 0.8
        ]  # fmt: skip
        by = Tariff(Book.compile(priced))

        def reprice(row: Entry, corrections: Any) -> tuple[Entry, ...]:
            return repriced(row, corrections, by, self.dice.randrange(10**15, 10**15 + 9))

        async for _ in rerated(self.database, reprice, None, None, dry_run=False):
            pass

    async def close(self) -> None:
        month = self.dice.choice(MONTHS[:2])
        now = (await ClosingStore(self.database).standing(month)).state
        if now == "posted":
            return
        to = STATES[STATES.index(now) + 1]
        if now in FROZEN and self.dice.random() < 0.3:
            to = "provisional"
        wanted = Wanted(period=month, to=to, author="owner-4100", note="a reason", journal="=1", evidence=self.folder if to == "reconciled" else None)  # fmt: skip
        await asyncio.to_thread(take, self.config, wanted)
        if to == "reconciled":
            await self._evidence(month)

    async def _evidence(self, month: int) -> None:
        """The rows that were written beside the step say what the ledger says."""
        file = self.folder / f"{month // 100}-{month % 100:02}-rows.csv.gz"
        with gzip.open(file, "rt", encoding="utf-8", newline="") as opened:
            written = {row["id"]: row["net_usd"] for row in DictReader(opened)}
        booked = [one async for one in self.ledger.usage() if one.period == month]
        assert written == {str(one.id): "" if one.net_pico is None else format_usd(one.net_pico) for one in booked}  # fmt: skip

    async def rate(self) -> None:
        await self._unless_frozen(
            lambda store, month: store.set_rate(
                month, "EUR", self.dice.choice(["0.9", "1000", "0.000000000001"]), "s", "a"
            )
        )

    async def cost(self) -> None:
        self.costs += 1
        rule = self.dice.choice(["tokens", "list_cost", "even", "direct"])
        made = FixedCost(
            id=str(new_id()), name=f"=cost {self.costs}", kind="own", first=self.dice.choice(MONTHS), last=None,
            pico=self.dice.choice([1, 10**12 // 3, 10**15]), rule=rule, shares={"4100": 1, "4200": 2} if rule == "direct" else {},
            capacity=self.dice.choice([None, 10**11]), source="s",
        )  # fmt: skip
        made = msgspec.structs.replace(made, last=made.first)
        await self._unless_frozen(lambda store, _: store.add([made]), made.first)

    async def _unless_frozen(
        self, do: Callable[[CostStore, int], Any], month: int | None = None
    ) -> None:
        month = month or self.dice.choice(MONTHS)
        if (await ClosingStore(self.database).standing(month)).state not in FROZEN:
            await do(CostStore(self.database), month)

    # What has to agree

    async def check(self) -> None:
        assert (await self.ledger.verify()).is_sound
        known = await OrganisationStore(self.database).organisation()
        booked: dict[int, list[Entry]] = defaultdict(list)
        async for one in self.ledger.usage():
            booked[one.period].append(one)
        for month in {*MONTHS, *booked}:
            await self._month(month, booked[month], known)

    async def _month(self, month: int, rows: list[Entry], known: Organisation) -> None:
        said = await self.ledger.statement(month)
        assert {(r.team, r.user, r.model): r.net_pico or 0 for r in said.rows} == sums(rows, lambda e, m: (e.team, e.user, m))  # fmt: skip
        assert {r.team: r.net_pico or 0 for r in said.teams} == sums(rows, lambda e, _: e.team)
        net = sum(sums(rows, lambda *_: "").values())
        assert (said.total.net_pico or 0) == net
        by_centre = sums(rows, lambda e, _: known.centre_of(e.team, e.day, user=e.user, app=e.app or ""))  # fmt: skip
        now = await live(self.database, self.config, Asked(period=month))
        self._live(now, by_centre)
        state = (await ClosingStore(self.database).standing(month)).state
        made = await bundle(self.database, self.config, month, ("1.4", "chargeback"))
        assert made.faults() == []
        used: dict[str, int] = defaultdict(int)
        for one in made.used:
            used[one.code] += one.net_pico
        assert nonzero(used) == nonzero(by_centre)
        cents = {code: c for code, c in made.cents.items() if c}
        if state in FROZEN:
            await self._frozen(month, cents)
        else:
            assert cents == {c: now.ledgered.cents(c) for c in now.codes if now.ledgered.cents(c)}

    def _live(self, now: LiveMonth, by_centre: dict[str, int]) -> None:
        accounts = now.ledgered.accounts
        assert nonzero({c: one.net_pico for c, one in accounts.items()}) == nonzero(by_centre)
        summary = now.summary()
        assert sum(one.cents for one in summary.shares) == summary.cents
        assert sum(one.cents for one in summary.parts) == summary.cents
        for code in now.codes:
            made = now.statement(code)
            assert sum(line.cents for line in made.lines) == made.cents
            if made.converted is not None:
                rate = parse_usd(made.converted.rate.split()[0])
                assert abs(made.converted.minor * CENT - from_usd(made.cents * CENT, rate)) <= CENT // 2  # fmt: skip

    async def _frozen(self, month: int, cents: dict[str, int]) -> None:
        """What was kept says what FOCUS and the journal say, and never changes while it is frozen."""
        store = ClosingStore(self.database)
        standing = await store.standing(month)
        found = await gathered(self.database, self.config, Asked(period=month))
        assert isinstance(found, KeptMonth)
        assert {
            c: found.statement(c).cents for c in found.codes if found.statement(c).cents
        } == cents
        past: dict[str, Past] = await _past(store, month)
        debits: dict[str, int] = {}
        for one in entries([found.statement(code) for code in found.codes], past):
            assert sum(line.debit_cents - line.credit_cents for line in one.lines) == 0
            code = one.lines[0].centre
            debits[code] = sum(line.debit_cents - line.credit_cents for line in one.lines if line.centre == code)  # fmt: skip
        assert debits == {code: c for code, c in cents.items() if code not in {"", PLATFORM}}
        documents = await store.documents(month, standing.revision)
        figures = {name: unsealed(text) for name, text in documents.items()}
        before = self.kept.get(month)
        first = [s.revision for s in await store.steps(month) if s.state == "reconciled"][-1]
        if before is not None and before[0] == first:
            assert before[1] == figures
        self.kept[month] = (first, figures)


def sums(rows: Iterable[Entry], key: Callable[[Entry, str], Any]) -> dict[Any, int]:
    """Net of the rows' lines by a key of row and line's model."""
    found: dict[Any, int] = {}
    for one in rows:
        own = one.model or ""
        found.setdefault(key(one, own), 0)
        for line in one.lines:
            place = key(one, own if line.model is None else line.model)
            found[place] = found.get(place, 0) + (line.net_pico or 0)
    return found


def nonzero(found: dict[str, int]) -> dict[str, int]:
    return {code: pico for code, pico in found.items() if pico}


def unsealed(document: bytes) -> bytes:
    """A kept document without what each step of a close says anew."""
    made = msgspec.json.decode(document)
    return msgspec.json.encode({k: v for k, v in made.items() if k not in {"state", "revision", "seal"}})  # fmt: skip


@pytest.mark.parametrize("seed", range(2))
async def test_a_month_says_one_sum_in_every_way_after_every_step(
    database: Database, url: str, entry: Make, tmp_path: Path, seed: int
) -> None:
    path = tmp_path / "c.toml"
    path.write_text(
        f'[storage]\nfolder = "{tmp_path / "var"}"\nurl = "{url}"\n[org]\nname = "org-1"\ntimezone = "{ZONES[seed % len(ZONES)]}"\n'
        f'[statements]\nmarkup_basis_points = {seed % 4 * 333}\ntax_basis_points = {seed % 4 * 1900}\naccount = "652300"\nrecharge_account = "652390"\n'
        f'platform_centre = "5900"\nshare_unallocated = {str(seed % 3 == 1).lower()}\n',
        encoding="utf-8",
    )
    house = House(database, shipped.configured(path), entry, seed)
    roster = read_csv(ROSTER)
    await OrganisationStore(database, SystemClock()).revise(lambda was: imported(was, roster), "a")
    steps = [house.rate, house.cost, *[house.rerate] * 2, *[house.rows] * 3, *[house.close] * 5]
    house.dice.shuffle(steps)
    for step in (house.rows, *steps):
        await step()
        await house.check()
    assert house.kept  # a month was frozen, and what it said was said again after every step
