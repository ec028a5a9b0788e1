"""weighbridge focus: a month as FOCUS datasets, for the tools that read a cloud's bill.

To add a file form: a suffix and its writer in ``_WRITERS``.
"""

import asyncio
import csv
import gzip
import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from pkgutil import resolve_name
from typing import Annotated, Any, Final

import msgspec
import typer

from gateway import app as composition, shipped
from gateway.commands.moments import period_of
from gateway.commands.output import CONSOLE, emit, stop
from gateway.commands.payers import organisation_of
from gateway.commands.statement.asked import Asked, gathered, live
from gateway.commands.whole import whole
from gateway.config import Config
from gateway.kernel.clock import SystemClock, instant
from gateway.ledger.closing import FROZEN
from gateway.providers import installed
from gateway.reporting.focus import (
    CHARGEBACK,
    PROFILES,
    Book,
    Cloud,
    Extra,
    Used,
    cost_and_usage,
    invoice_id,
)
from gateway.reporting.focus_columns import (
    BILLING_PERIOD,
    DECIMALS,
    INVOICE_DETAIL,
    VERSIONS,
    cost_and_usage_columns,
)
from gateway.reporting.focus_invoices import (
    Unlike,
    billing_period,
    extras,
    invoice_detail,
    invoices,
)
from gateway.reporting.focus_laws import broken
from gateway.reporting.organisation import Organisation
from gateway.reporting.tabular import inert
from gateway.storage.engine import Database
from gateway.storage.lines import Summed, summed

COST_AND_USAGE, BILLING, DETAIL = "cost-and-usage", "billing-period", "invoice-detail"
DATASETS: Final = (COST_AND_USAGE, BILLING, DETAIL)
_CLOUDS: Final = {
    "entra": Cloud("Microsoft", "Azure OpenAI"),
    "aws": Cloud("AWS", "Amazon Bedrock"),
    "adc": Cloud("Google Cloud", "Vertex AI"),
}
_KEYS: Final = (
    "day", "team", "app", "provider", "upstream", "model", "unit", "scope", "geo", "region", "tier",
    "price_id", "kind",
)  # fmt: skip
_ROWS_PER_GROUP: Final = 20_000
_DIGITS, _SCALE = 38, 17
Rows = Iterable[Mapping[str, str]]


class Bundle(msgspec.Struct, frozen=True):
    """Everything the three datasets are made of."""

    book: Book
    used: list[Used]
    others: list[Extra]
    cents: dict[str, int]

    def rows(self, dataset: str) -> Iterator[dict[str, str]]:
        """The rows of a dataset."""
        if dataset == COST_AND_USAGE:
            return cost_and_usage(self.book, self.used, self.others)
        if dataset == DETAIL:
            made = invoices(self.book, self.used, self.others, self.cents)
            return invoice_detail(self.book, made)
        return billing_period(self.book)

    def faults(self) -> list[str]:
        """What breaks the laws of a chargeback bundle."""
        period = self.book.period
        stated = {invoice_id(period, code): cents for code, cents in self.cents.items()}
        return broken(self.rows(COST_AND_USAGE), self.rows(DETAIL), stated, period)


def focus(
    month: Annotated[str, typer.Argument(help="e.g. 2026-10")],
    *,
    out: Annotated[Path, typer.Option(help="a file: .csv, .csv.gz or .parquet")],
    version: Annotated[str, typer.Option(help=" or ".join(VERSIONS))] = "1.4",
    profile: Annotated[
        str, typer.Option(help="chargeback: our own bill; overlay: a split of the provider's")
    ] = CHARGEBACK,
    dataset: Annotated[str, typer.Option(help=", ".join(DATASETS))] = COST_AND_USAGE,
    config: Annotated[Path | None, typer.Option()] = None,
    json: Annotated[bool, typer.Option("--json", help="say what was written as an object")] = False,
) -> None:
    """Write a month as a FOCUS dataset, one row per token class, day, team and application."""
    _check(version, profile, dataset, out)
    configured = shipped.configured(config)
    composition.ready_store(configured)
    period = period_of(month)

    async def run() -> Bundle:
        async with composition.opened(configured) as database:
            return await bundle(database, configured, period, (version, profile))

    try:
        made = asyncio.run(run())
    except Unlike as error:
        stop(
            f"{error}: the organisation was changed after the month was closed, or its rows: weighbridge verify"
        )
    faults = made.faults() if profile == CHARGEBACK else []
    if faults:
        stop(f"the export does not tie, nothing is written: {faults[0]}")
    count = _write(made, dataset, version, out)
    said = {"rows": count, "dataset": dataset, "version": version, "profile": profile, "file": str(out)}  # fmt: skip
    if json:
        emit(said)
    else:
        CONSOLE.print(
            f"✓ FOCUS {version} {dataset}, {profile}: {count:,} rows → {out}", highlight=False
        )


async def bundle(database: Database, config: Config, period: int, form: tuple[str, str]) -> Bundle:
    """Read a month: with the statements that were kept once no row enters it any more. ``form``: version, profile.

    Raises Unlike where rows and statements do not fit together.
    """
    async with database.moment() as now:
        return await _bundle(now, config, period, form)


async def _bundle(database: Database, config: Config, period: int, form: tuple[str, str]) -> Bundle:
    asked = Asked(period=period)
    found = await gathered(database, config, asked)
    state, seal = found.summary().state, found.summary().seal
    if state not in FROZEN:
        found = await live(database, config, asked)
    known = await organisation_of(database)
    keys = _KEYS if "user" not in known.grain else (*_KEYS, "user")
    used = _joined(_used(known, one) for one in await summed(database, period, keys))
    statements = {code: found.statement(code) for code in found.codes}
    version, profile = form
    now = f"{instant(SystemClock().wall_us()):%Y-%m-%dT%H:%M:%SZ}"
    book = Book(
        version=version,
        profile=profile,
        period=period,
        account=config.org.name,
        issuer=f"{config.org.name} AI Gateway",
        clouds={one.name: _CLOUDS[one.ambient] for one in installed()},
        at=_instant(seal.posted_at) or now,
        state=state,
    )
    cents = {code: made.cents for code, made in statements.items() if made.cents or made.lines}
    return Bundle(book, used, extras(used, statements), cents)


def _instant(text: str) -> str:
    """A seal's time ('2026-11-04 09:30 UTC') in FOCUS' form; '' where it has none."""
    return text and f"{datetime.strptime(text, '%Y-%m-%d %H:%M %Z'):%Y-%m-%dT%H:%M:%SZ}"  # noqa: DTZ007  # UTC, as it says


def _used(known: Organisation, one: Summed) -> Used:
    names = one.names
    code = known.centre_of(
        names["team"], names["day"], user=names.get("user", ""), app=names["app"]
    )
    return Used(
        day=names["day"],
        code=code,
        team=names["team"],
        app=names["app"],
        provider=names["provider"],
        upstream=names["upstream"],
        model=names["model"],
        unit=names["unit"],
        scope=names["scope"],
        place=names["region"] or names["geo"],
        tier=names["tier"],
        price_id=names["price_id"],
        kind=names["kind"],
        rows=one.rows,
        quantity=one.quantity,
        unpriced=one.unpriced,
        list_pico=one.list_pico,
        net_pico=one.net_pico,
    )


def _joined(found: Iterable[Used]) -> list[Used]:
    """Groups alike in everything but their sums put together (people of one cost centre)."""
    sums: dict[tuple[str, ...], list[int]] = {}
    made: dict[tuple[str, ...], Used] = {}
    counted = ("rows", "quantity", "unpriced", "list_pico", "net_pico")
    named = [name for name in Used.__struct_fields__ if name not in counted]
    for one in found:
        key = tuple([getattr(one, name) for name in named])
        made.setdefault(key, one)
        amounts = sums.setdefault(key, [0] * len(counted))
        for at, name in enumerate(counted):
            amounts[at] += getattr(one, name)
    return [
        msgspec.structs.replace(made[key], **dict(zip(counted, amounts, strict=True)))
        for key, amounts in sorted(sums.items())
    ]


def _check(version: str, profile: str, dataset: str, out: Path) -> None:
    for name, value, known in (
        ("--version", version, VERSIONS),
        ("--profile", profile, PROFILES),
        ("--dataset", dataset, DATASETS),
    ):
        if value not in known:
            stop(f"{name} is one of {', '.join(known)}, found {value!r}")
    if dataset != COST_AND_USAGE and (version != "1.4" or profile != CHARGEBACK):
        stop(f"--dataset {dataset} is of version 1.4 and of the profile chargeback only")
    if _suffix(out) not in _WRITERS:
        stop(f"--out ends with one of {', '.join(_WRITERS)}, found {out.name!r}")


def _suffix(out: Path) -> str:
    return "".join(out.suffixes[-2:]) if out.suffix == ".gz" else out.suffix


def _write(made: Bundle, dataset: str, version: str, out: Path) -> int:
    columns = {
        COST_AND_USAGE: cost_and_usage_columns(version),
        BILLING: BILLING_PERIOD,
        DETAIL: INVOICE_DETAIL,
    }[dataset]
    rows = list(made.rows(dataset))
    with whole(out) as part:
        _WRITERS[_suffix(out)](rows, columns, part)
    return len(rows)


def _csv(rows: Rows, columns: Sequence[str], out: Path) -> None:
    with out.open("w", encoding="utf-8", newline="") as file:
        _csv_into(rows, columns, file)


def _csv_gz(rows: Rows, columns: Sequence[str], out: Path) -> None:
    # Without a time in its head the same month makes the same bytes.
    with (
        out.open("wb") as raw,
        gzip.GzipFile(filename="", fileobj=raw, mode="wb", mtime=0) as packed,
        io.TextIOWrapper(packed, encoding="utf-8", newline="") as file,
    ):
        _csv_into(rows, columns, file)


def _csv_into(rows: Rows, columns: Sequence[str], file: Any) -> None:
    writer = csv.DictWriter(file, columns, restval="", extrasaction="ignore")
    writer.writeheader()
    writer.writerows({name: _safe(name, value) for name, value in row.items()} for row in rows)


def _safe(name: str, value: str) -> str:
    return value if name in DECIMALS else inert(value)


def _parquet(rows: Sequence[Mapping[str, str]], columns: Sequence[str], out: Path) -> None:
    try:
        arrow, writer = resolve_name("pyarrow"), resolve_name("pyarrow.parquet:ParquetWriter")
    except ImportError:
        stop("Parquet is written by pyarrow, which is not there: pip install 'weighbridge[reports]'")  # fmt: skip
    amount, text = arrow.decimal128(_DIGITS, _SCALE), arrow.string()
    kinds = {name: amount if name in DECIMALS else text for name in columns}
    schema = arrow.schema(list(kinds.items()))
    with writer(out, schema) as file:
        for start in range(0, max(len(rows), 1), _ROWS_PER_GROUP):
            part = rows[start : start + _ROWS_PER_GROUP]
            values = {name: [_cell(row, name) for row in part] for name in columns}
            file.write_table(arrow.table(values, schema=schema))


def _cell(row: Mapping[str, str], name: str) -> str | Decimal | None:
    value = row.get(name)
    return Decimal(value) if value is not None and name in DECIMALS else value


_WRITERS: Final[dict[str, Callable[..., None]]] = {
    ".csv": _csv,
    ".csv.gz": _csv_gz,
    ".parquet": _parquet,
}
