"""weighbridge fixed-costs: what is paid beside the calls, and whose part of it is how large."""

import csv
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

import typer

from gateway import premises, shipped
from gateway.commands.authors import Author, author_of
from gateway.commands.fx import Json, Path_, with_costs
from gateway.commands.known import tell_scope
from gateway.commands.moments import month_of, period_of
from gateway.commands.names import instead
from gateway.commands.output import CONSOLE, emit, shown_usd, stop, stop_all, styled, table, usd
from gateway.commands.payers import organisation_of, shared_costs
from gateway.config import Config
from gateway.kernel.clock import SystemClock
from gateway.kernel.ids import new_id
from gateway.kernel.money import PICO_PER_USD, format_usd, parse_usd, round_cents
from gateway.ledger.currencies import minor_digits
from gateway.ledger.period import day_and_period
from gateway.reporting.allocation import LIST_COST, Allocation, allocate
from gateway.reporting.amounts import in_cents, in_words
from gateway.reporting.fixed import (
    AMOUNT_MAX,
    KINDS,
    PICO_PER_MICRO,
    POOL_KEYS,
    RULES,
    FixedCost,
    check,
)
from gateway.storage.costs import CostStore
from gateway.storage.known import Kind

COLUMNS: Final = ("name", "kind", "amount", "currency", "from", "to", "pool", "rule", "capacity", "cost_centres", "source")  # fmt: skip
SEAT_COLUMNS: Final = ("seat", "team")
_AMOUNT_CHARS_MAX: Final = 40  # of one that is refused, in its refusal

fixed_costs = typer.Typer(
    help="What is paid beside the calls: provisioned capacity, reservations, seats.",
    no_args_is_help=True,
)


@fixed_costs.command("add")
def add_cost(
    name: Annotated[str, typer.Argument(help="as statements name it")],
    *,
    kind: Annotated[str, typer.Option(help=", ".join(KINDS))],
    amount: Annotated[str, typer.Option(help="a month, such as 73000; of a seat with --per-seat")],
    first: Annotated[str, typer.Option("--from", help="the first month, such as 2026-11")],
    last: Annotated[str | None, typer.Option("--to", help="the last month; else for ever")] = None,
    currency: Annotated[str, typer.Option(help="converted by the month's rate: fx set")] = "USD",
    pool: Annotated[
        str,
        typer.Option(help=f"which requests it serves, as deployment=ptu-*: {', '.join(POOL_KEYS)}"),
    ] = "",
    rule: Annotated[str, typer.Option(help=", ".join(RULES))] = "list_cost",
    capacity: Annotated[
        int | None, typer.Option(help="bought a month: seats, tokens, or USD of list cost")
    ] = None,
    cost_centre: Annotated[
        str, typer.Option(help="of the rule direct: 4100, or 4100=3,4200=1")
    ] = "",
    seats: Annotated[Path | None, typer.Option(help="CSV with the columns seat, team")] = None,
    per_seat: Annotated[bool, typer.Option("--per-seat", help="the amount is of one seat")] = False,
    source: Annotated[str, typer.Option(help="a contract, an invoice")] = "",
    author: Author = None,
    config: Path_ = None,
) -> None:
    """Charge a cost every month, until it is removed."""
    row = {
        "name": name, "kind": kind, "amount": amount, "currency": currency, "from": first,
        "to": last or "", "pool": pool, "rule": rule, "capacity": "" if capacity is None else str(capacity),
        "cost_centres": cost_centre, "source": source,
    }  # fmt: skip
    cost, configured = _cost(row, author_of(author), per_seat=per_seat), shipped.configured(config)
    whose = _seats(seats) if seats else {}
    _refuse(check(cost), rule, whose)
    with_costs(configured, lambda store: store.add([cost], whose))
    tell_scope(configured, [(Kind.COST_CENTRE, code) for code in cost.shares])
    CONSOLE.print(styled("[green]✓[/] {}: {} {} a month from {}", name, *_amount(cost), first))


@fixed_costs.command("import")
def import_costs(
    file: Annotated[Path, typer.Argument(help=f"CSV with the columns {', '.join(COLUMNS)}")],
    *,
    author: Author = None,
    config: Path_ = None,
) -> None:
    """Add the costs of a file, all or none; seats are added one cost at a time, with --seats."""
    rows = _rows(file, COLUMNS)
    costs = [_cost(row, author_of(author), where=f"{file.name}:{n}: ") for n, row in enumerate(rows, start=2)]  # fmt: skip
    problems = [
        f"{file.name}:{number}: {text}"
        for number, cost in enumerate(costs, start=2)
        for text in check(cost)
    ]
    if problems:
        stop_all(problems)

    async def add(store: CostStore) -> None:
        await store.add(costs)

    with_costs(shipped.configured(config), add)
    CONSOLE.print(styled("[green]✓[/] {} costs", len(costs)), highlight=False)


@fixed_costs.command("remove")
def remove_cost(
    name: Annotated[str, typer.Argument(help="as `fixed-costs list` shows it")],
    *,
    first: Annotated[str, typer.Option("--from", help="the first month without it")],
    author: Author = None,
    config: Path_ = None,
) -> None:
    """End a cost from a month on; what was charged before stays, and so does who added it."""
    period = period_of(first, "--from")

    async def remove(store: CostStore) -> list[FixedCost]:
        there = {cost.name for cost in await store.costs()}
        if name not in there:
            stop(f"no fixed cost {name!r}{instead(name, there, 'weighbridge fixed-costs list')}")
        return await store.remove(name, period, author_of(author))

    with_costs(shipped.configured(config), remove)
    CONSOLE.print(styled("[green]✓[/] {} ends before {}", name, first), highlight=False)


@fixed_costs.command("list")
def list_costs(*, config: Path_ = None, json: Json = False) -> None:
    """Every cost, with its months, its pool and its rule."""

    async def all_of(store: CostStore) -> list[FixedCost]:
        return await store.costs()

    costs = with_costs(shipped.configured(config), all_of)
    if json:
        for cost in costs:
            emit(_record(cost))
        return
    shown = table(
        "Fixed costs",
        (
            ("name", "left"), ("kind", "left"), ("a month", "right"), ("", "left"), ("from", "left"), ("to", "left"),
            ("pool", "left"), ("shared by", "left"), ("bought", "right"), ("source", "left"),
        ),
        ("source", "bought"),
    )  # fmt: skip
    for cost in costs:
        shown.add_row(
            cost.name, cost.kind, *_amount(cost), month_of(cost.first),
            "" if cost.last is None else month_of(cost.last), _pool(cost) or "everything", cost.rule,
            "" if cost.capacity is None else f"{cost.capacity:,}", cost.source,
        )  # fmt: skip
    CONSOLE.print(shown if costs else "no fixed costs yet: weighbridge fixed-costs add")


@fixed_costs.command("show")
def show_costs(
    month: Annotated[str | None, typer.Argument(help="such as 2026-11; else this one")] = None,
    *,
    config: Path_ = None,
    json: Json = False,
) -> None:
    """A month's fixed costs by cost centre, and what nobody used."""
    configured = shipped.configured(config)
    _, today = day_and_period(SystemClock().wall_us(), configured.org.timezone)
    period = today if month is None else period_of(month)
    found = _allocated(configured, period)
    for made in found:
        if json:
            emit(_allocation(made, period))
        else:
            _show(made, period)
    if not found and not json:
        CONSOLE.print(f"no fixed costs in {month_of(period)}: weighbridge fixed-costs list has those of every month")  # fmt: skip


def _allocated(configured: Config, period: int) -> list[Allocation]:
    premises.ready_store(configured)

    async def run(_store: CostStore) -> list[Allocation]:
        async with premises.opened(configured) as database:
            known = await organisation_of(database)
            return [allocate(cost, {}) for cost in await shared_costs(database, period, known)]

    return with_costs(configured, run)


def _cost(
    row: dict[str, str], author: str, *, per_seat: bool = False, where: str = ""
) -> FixedCost:
    """A cost of its written cells; ends with status 2 on a cell that cannot be read."""
    capacity = row["capacity"]
    if capacity and not (capacity.isascii() and capacity.isdigit()):
        stop(f"{where}--capacity: expected a whole number, found {capacity!r}")
    shares = {name: share or "1" for name, share in _pairs(row["cost_centres"]).items()}
    if not all(share.isascii() and share.isdigit() for share in shares.values()):
        stop(
            f"{where}--cost-centre: expected 4100, or 4100=3,4200=1, found {row['cost_centres']!r}"
        )
    return FixedCost(
        id=str(new_id()),
        name=row["name"],
        kind=row["kind"],
        first=period_of(row["from"], f"{where}--from"),
        last=period_of(row["to"], f"{where}--to") if row["to"] else None,
        pico=_pico(row["amount"], where),
        currency=row["currency"] or "USD",
        pool=_pairs(row["pool"]),
        rule=row["rule"],
        capacity=int(capacity) if capacity else None,
        shares={name: int(share) for name, share in shares.items()},
        source=row["source"],
        author=author,
        at_us=SystemClock().wall_us(),
        per_seat=per_seat,
    )


def _pico(amount: str, where: str) -> int:
    """Pico-units of a written amount; ends with status 2 where it is none, or is written with an exponent."""
    try:
        pico = -1 if "e" in amount.lower() else parse_usd(amount)
    except ValueError:
        pico = -1
    if not 0 <= pico <= AMOUNT_MAX * PICO_PER_USD:
        stop(
            f"{where}--amount: expected a figure from 0 to {AMOUNT_MAX:,} such as 73000 or 73000.50, "
            f"at most 12 decimals, found {amount[:_AMOUNT_CHARS_MAX]!r}"
        )
    return pico


def _refuse(problems: list[str], rule: str, whose: dict[str, str]) -> None:
    """End with status 2 where something is wrong with a cost."""
    if rule == "seat" and not whose:
        problems.append("--seats: the rule seat needs the list of who has one")
    if problems:
        stop_all(problems)


def _pairs(text: str) -> dict[str, str]:
    """'a=1,b' → {'a': '1', 'b': ''}."""
    parts = [part.strip().partition("=") for part in text.split(",") if part.strip()]
    return {name.strip(): value.strip() for name, _, value in parts}


def _seats(file: Path) -> dict[str, str]:
    rows = _rows(file, SEAT_COLUMNS)
    twice = [seat for seat, n in Counter(row["seat"] for row in rows).items() if n > 1]
    if twice:
        stop(f"{file.name}: a seat stands there twice: {', '.join(sorted(twice)[:5])}")
    return {row["seat"]: row["team"] for row in rows}


def _rows(file: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    try:
        lines = list(csv.reader(file.read_text(encoding="utf-8-sig").splitlines(), strict=True))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        stop(f"{file} cannot be read as CSV in UTF-8: {error}")
    if not lines or tuple(lines[0]) != tuple(columns):
        stop(f"{file.name}:1: the columns must be {','.join(columns)}")
    short = [
        n for n, cells in enumerate(lines[1:], start=2) if cells and len(cells) != len(columns)
    ]
    if short:
        stop(f"{file.name}:{short[0]}: expected {len(columns)} cells")
    return [dict(zip(columns, map(str.strip, cells), strict=True)) for cells in lines[1:] if cells]


def _amount(cost: FixedCost) -> tuple[str, str]:
    return shown_usd(
        cost.pico, 12, minor_digits(cost.currency)
    ), f"{cost.currency}{' a seat' if cost.per_seat else ''}"


def _pool(cost: FixedCost) -> str:
    return ",".join(f"{key}={glob}" for key, glob in cost.pool.items())


def _record(cost: FixedCost) -> dict[str, object]:
    return {
        "name": cost.name,
        "kind": cost.kind,
        "amount": format_usd(cost.pico),
        "per_seat": cost.per_seat,
        "currency": cost.currency,
        "from": month_of(cost.first),
        "to": None if cost.last is None else month_of(cost.last),
        "pool": cost.pool,
        "rule": cost.rule,
        "capacity": cost.capacity,
        "cost_centres": cost.shares,
        "source": cost.source,
        "author": cost.author,
    }


def _allocation(made: Allocation, period: int) -> dict[str, object]:
    return {
        "month": month_of(period),
        "name": made.cost.name,
        "usd": usd(made.cost.pico),
        "parts": {code or "unallocated": usd(pico) for code, pico in made.parts.items()},
        "idle_usd": usd(made.central),
        "idle": _size(made, made.idle) if made.cost.unit == LIST_COST else made.idle,
        "unit": made.cost.unit,
    }


def _show(made: Allocation, period: int) -> None:
    cost, codes = made.cost, sorted(made.parts, key=lambda code: -made.parts[code])
    whole = round_cents(cost.pico)
    cents = in_cents([*(made.parts[code] for code in codes), made.central], whole)
    unit = f"{cost.unit}, USD" if cost.unit == LIST_COST else cost.unit
    shown = table(
        f"{cost.name}, {month_of(period)}: {_dollars(whole)} USD",
        (("cost centre", "left"), (unit, "right"), ("USD", "right"), ("", "left")),
    )
    for code, part in zip(codes, cents, strict=False):
        size = _size(made, made.used.get(code, 0))
        shown.add_row(code or "unallocated", size, _dollars(part), made.note(code))
    if made.central:
        shown.add_section()
        shown.add_row(
            "platform", _size(made, made.idle), _dollars(cents[-1]), "idle: nobody used it"
        )
    CONSOLE.print(shown)
    CONSOLE.print()


def _size(made: Allocation, weight: int) -> str:
    """A weight of the allocation in its unit; one by list cost is in micro-USD, and said in USD."""
    if made.cost.unit == LIST_COST:
        return format_usd(weight * PICO_PER_MICRO)
    return f"{weight:,}"


def _dollars(cents: int) -> str:
    return in_words(cents, "")
