"""weighbridge doctor: checks what a gateway needs, and names the cure of what is wrong."""

import asyncio
import logging
import os
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from gateway import app as composition, shipped
from gateway.commands.beside import beside_health
from gateway.commands.budgets.health import budget_health, out_of_sight
from gateway.commands.drift import newest
from gateway.commands.listening import place_of, unservable
from gateway.commands.matching import (
    contracts_unmatched,
    deployments_unpriced,
    differing_alternatives,
    unmatched,
)
from gateway.commands.output import CONSOLE, Table, emit, plain, table
from gateway.commands.prices.imports import imported
from gateway.commands.prices.missing import missing
from gateway.commands.valkey_health import valkey_health
from gateway.config import Config
from gateway.kernel.clock import SystemClock
from gateway.kernel.errors import ConfigurationError, GatewayError, Unavailable
from gateway.pricing.lint import lint
from gateway.providers import installed
from gateway.storage.fitness import written
from gateway.storage.ledger import Ledger
from gateway.storage.migrate import drift, is_made, known_revisions, revision_of
from gateway.storage.orphans import survey
from gateway.storage.partitions import Partitions
from gateway.storage.work import WorkStore
from gateway.upstream.credentials import Anonymous

_CLOCK_SKEW_SECONDS_MAX = 300  # SigV4's tolerance: beyond it every signed request is refused

_WEEK_US = 7 * 86_400_000_000
_GAPS_SHOWN = 5
_DRIFT_ROWS = 5000
_BATCHES_LATE_US = 3_600_000_000  # twice as long as a batch is ever left alone
_MIB = 1024 * 1024
_BACKLOG_BYTES_MAX = 64 * _MIB  # several segments: more than a database that keeps up leaves
_FREE_BYTES_LOW = 1024 * _MIB
_FREE_BYTES_MIN = 64 * _MIB


class Finding(msgspec.Struct, frozen=True):
    """One check. ``state``: ok, warn (works, but look) or fail; ``cure`` where it is not ok.

    mistake  a failure that is a mistake in the configuration: ``serve`` does not start with it
    """

    check: str
    state: str
    found: str
    cure: str = ""
    mistake: bool = False


def doctor(
    *,
    config: Annotated[Path | None, typer.Option()] = None,
    json: Annotated[bool, typer.Option("--json", help="one object per line")] = False,
) -> None:
    """Check configuration, folder, database, vocabulary, prices, credentials and clock."""
    logging.getLogger("azure.identity").setLevel(
        logging.CRITICAL
    )  # it would explain each identity it does not find
    findings = _findings(config)
    for finding in findings if json else ():
        emit(msgspec.structs.asdict(finding))
    if not json:
        CONSOLE.print(_drawn(findings))
    if any(finding.mistake for finding in findings):
        raise SystemExit(2)  # as serve ends with it
    if any(finding.state == "fail" for finding in findings):
        raise SystemExit(1)


def _drawn(findings: Sequence[Finding]) -> Table:
    """A line per finding; a cure stands below what it mends where there is no room beside it."""
    marks = {"ok": plain("✓", "green"), "warn": plain("!", "yellow"), "fail": plain("✗", "red")}
    has_cure = any(finding.cure for finding in findings)
    heads = (("", "left"), ("check", "left"), ("found", "left"), *((("cure", "left"),) if has_cure else ()))  # fmt: skip
    shown = table("Weighbridge doctor", heads)
    for column in shown.columns[:2]:
        column.no_wrap = True
    for finding in findings:
        cells = (finding.check, finding.found, finding.cure)
        shown.add_row(marks[finding.state], *cells[: len(heads) - 1])
    return shown


def _findings(path: Path | None) -> list[Finding]:
    try:
        configured = shipped.configured(path)
    except ConfigurationError as error:
        return _mistakes("configuration", error)
    found = [Finding("configuration", "ok", str(path or "defaults"))]

    def _serving(configured: Config) -> list[Finding]:
        return [Finding("serving", *said) for said in beside_health(configured, path)]

    checks: tuple[Callable[[Config], list[Finding]], ...] = (
        _folder, _listening, _serving, _database, _valkey, _budgets, _holds, _journal, _disk, _vocabulary, _prices, _unpriced, _drift,
        _matching, _credentials, _clock,
    )  # fmt: skip
    for check in checks:
        found += _checked(check, configured)
    return found


def _checked(check: Callable[[Config], list[Finding]], configured: Config) -> list[Finding]:
    """What a check finds; one that fails in a way nobody foresaw is a finding too."""
    name = check.__name__.strip("_")
    try:
        return check(configured)
    except ConfigurationError as error:
        return _mistakes(name, error)
    except GatewayError as error:
        return [Finding(name, "fail", *apart(error.message))]
    except OSError as error:
        found = f"{error.filename or type(error).__name__}: {error.strerror or error}"
        return [Finding(name, "fail", found, "see the file or the folder that it names")]
    except Exception as error:  # noqa: BLE001  # whatever it is, the other checks are asked too
        found = f"this check could not end: {type(error).__name__}"
        return [Finding(name, "fail", found, "a fault of the doctor's own: please report it")]


def _mistakes(check: str, error: ConfigurationError) -> list[Finding]:
    return [Finding(check, "fail", *apart(problem), mistake=True) for problem in error.problems]


def apart(problem: str) -> tuple[str, str]:
    """A sentence in our form, as what was found and what is to be done: 'key: expected X, found Y' or 'Y; cure'."""
    where, says, expected = problem.partition(": expected ")
    if says:
        expected, says, found = expected.rpartition(", found ")
        return (f"{where}: {found}", expected) if says else (where, found)
    found, _, cure = problem.partition("; ")
    return found, cure.removeprefix("expected ") or "see config/README.md"


def _folder(configured: Config) -> list[Finding]:
    folder = configured.folder()
    composition.prepare_folder(configured)
    if not os.access(folder, os.W_OK):
        cure = "make it writable, or set storage.folder"
        return [Finding("folder", "fail", f"{folder} is not writable", cure)]
    composition.master_secret(configured)
    return [Finding("folder", "ok", str(folder))]


def _listening(configured: Config) -> list[Finding]:
    """Whether it could listen; that the port is free is not asked: the gateway may be what has it."""
    problems = unservable(configured.server)
    if problems:
        return _mistakes("listening", ConfigurationError(tuple(problems)))
    return [Finding("listening", "ok", place_of(configured.server).url)]


def _database(configured: Config) -> list[Finding]:
    url = configured.database_url()
    own = url.startswith("sqlite")
    if not is_made(url):
        return [Finding("database", "ok", "SQLite: will be made at the first start")]
    revision = revision_of(url)
    if own and revision is None:
        return [Finding("database", "ok", "SQLite: its tables will be made at the first start")]
    if revision is not None and revision not in known_revisions():
        found = f"at revision {revision}, which this program does not know"
        return [Finding("database", "warn", found, "it is newer: update the program")]
    if revision is None or drift(url):
        found = f"at revision {revision}"
        cure = "the next start migrates it" if own else "run weighbridge migrate"
        return [Finding("database", "warn" if own else "fail", found, cure)]
    waiting, strays, overdue = asyncio.run(_waiting(configured))
    findings = [Finding("database", "ok", f"revision {revision}")]
    if waiting:
        cure = "look at usage_quarantine: they are not booked"
        findings.append(Finding("quarantine", "warn", f"{waiting} records", cure))
    if strays:
        cure = "rows of a month without a partition: counted, but not prunable; move them by hand"
        found = f"{strays} rows in the default partition"
        findings.append(Finding("partitions", "warn", found, cure))
    if overdue:
        cure = "is a gateway serving, and may its upstream's credential read batches? What they used is not booked"
        findings.append(Finding("batches", "warn", f"{overdue} not asked for over an hour", cure))
    return findings


async def _waiting(configured: Config) -> tuple[int, int, int]:
    """Records in the quarantine, rows that no monthly partition took, batches that nobody asks."""
    late_us = SystemClock().wall_us() - _BATCHES_LATE_US
    async with composition.opened(configured) as database:
        await written(database)
        return (
            await Ledger(database).quarantined(),
            await Partitions(database).strays(),
            await WorkStore(database).overdue(late_us),
        )


def _budgets(configured: Config) -> list[Finding]:
    """Where the database cannot be asked the check before has said so."""
    if not is_made(configured.database_url()):
        return []
    try:
        return [Finding("budget", *said) for said in budget_health(configured)]
    except (ConfigurationError, Unavailable):
        return []


def _holds(configured: Config) -> list[Finding]:
    return [Finding("holds", "ok", out_of_sight(configured))]


def _valkey(configured: Config) -> list[Finding]:
    return [Finding("valkey", *said) for said in valkey_health(configured)]


def _journal(configured: Config) -> list[Finding]:
    """What is settled and not in the database yet, and journals of workers that are dead."""
    seen = survey(configured.folder() / "spool")
    found = f"{seen.journals} journals, {seen.bytes / _MIB:.1f} MiB"
    findings = [Finding("spool", "ok", found)]
    if seen.bytes > _BACKLOG_BYTES_MAX:
        cure = "rows wait for the database: see that it can be reached, and that it keeps up"
        findings = [Finding("spool", "warn", found, cure)]
    if seen.orphaned:
        cure = "a worker that serves adopts them within seconds: start one on this folder"
        findings.append(
            Finding("orphans", "warn", f"{seen.orphaned} journals of dead workers", cure)
        )
    return findings


def _disk(configured: Config) -> list[Finding]:
    """Room for the journal: without it requests are refused."""
    free = shutil.disk_usage(configured.folder()).free
    found = f"{free / _MIB:,.0f} MiB free"
    if free < _FREE_BYTES_MIN:
        return [Finding("disk", "fail", found, "make room: requests are refused when it is full")]
    if free < _FREE_BYTES_LOW:
        return [Finding("disk", "warn", found, "make room: an outage of the database needs it")]
    return [Finding("disk", "ok", found)]


def _vocabulary(configured: Config) -> list[Finding]:
    started = time.perf_counter()
    shipped.counter()
    took_s = time.perf_counter() - started
    return [Finding("vocabulary", "ok", f"o200k and cl100k match their digests ({took_s:.1f} s)")]


def _prices(configured: Config) -> list[Finding]:
    try:
        rows = imported(configured)
    except Unavailable:
        rows = ()  # the check of the database has said so
    try:
        book = shipped.price_book(configured, rows)
    except ConfigurationError as error:
        cure = "mend the row; of an import: import the right one (workers go on with the last good book)"
        return [
            Finding("prices", "fail", problem, cure, mistake=True) for problem in error.problems
        ]
    models = sum(len(book.models(provider.name)) for provider in installed())
    findings = [
        Finding(
            "prices",
            "ok",
            f"{len(book.rows):,} rows ({len(rows):,} imported), {models} models, catalog {book.catalog}",
        )
    ]
    findings += [
        Finding("prices", "warn", text, "check the unit: per 1,000 or per 1,000,000")
        for text in lint(book.rows)
    ]
    return findings


def _unpriced(configured: Config) -> list[Finding]:
    """Usage of the last week that no price covers: each day of it is money nobody sees."""
    if not is_made(configured.database_url()):
        return []
    try:
        book = shipped.price_book(configured, imported(configured))
        gaps, unknown = missing(configured, book, SystemClock().wall_us() - _WEEK_US)
    except (ConfigurationError, Unavailable):
        return []  # said above
    cure = "weighbridge prices missing: the rows to fill; then prices import, and prices rerate"
    findings = [
        Finding(
            "unpriced",
            "warn",
            f"{gap.named()}: {gap.missed.lines:,} times, {gap.now} now",
            cure,
        )
        for gap in gaps[:_GAPS_SHOWN]
    ]
    if len(gaps) > _GAPS_SHOWN:
        findings.append(Finding("unpriced", "warn", f"{len(gaps) - _GAPS_SHOWN} more", cure))
    if unknown:
        what = f"{unknown:,} rows of which nobody told the usage"
        findings.append(Finding("unpriced", "warn", what, "weighbridge usage shows their flags"))
    return findings or [Finding("unpriced", "ok", "everything of the last week has its price")]


def _drift(configured: Config) -> list[Finding]:
    """What the newest rows report against what was counted, and served against asked."""
    if not is_made(configured.database_url()):
        return []
    try:
        made = asyncio.run(newest(configured, _DRIFT_ROWS))
    except (ConfigurationError, Unavailable):
        return []  # said above
    findings = [
        Finding("drift", "warn", f"{provider}/{model}: {alarm.found}", alarm.cure)
        for (provider, model), watch in sorted(made.watches.items())
        for alarm in watch.alarms()
    ]
    return findings or [Finding("drift", "ok", f"none in the newest {_DRIFT_ROWS:,} rows")]


def _matching(configured: Config) -> list[Finding]:
    """What can match nothing: contracts, deployments, keys, budgets, fixed costs."""
    found: list[Finding] = [
        Finding("deployment", "fail", said, cure, mistake=True)
        for said, cure in differing_alternatives(configured)
    ]
    checks = (contracts_unmatched, deployments_unpriced, unmatched)
    for check in checks if is_made(configured.database_url()) else checks[:2]:
        try:
            found += [Finding(*said) for said in check(configured)]
        except (ConfigurationError, Unavailable):
            continue  # said above
    return found


def _credentials(configured: Config) -> list[Finding]:
    return asyncio.run(_fetched(configured))


async def _fetched(configured: Config) -> list[Finding]:
    findings = []
    for upstream in configured.upstreams:
        setting = configured.credentials[upstream.name]
        if isinstance(setting, Anonymous):
            findings.append(
                Finding(
                    "credential", "warn", f"{upstream.name}: none", "only for scripted providers"
                )
            )
            continue
        try:
            await composition.probe_credential(configured, upstream)
        except GatewayError as error:
            findings.append(
                Finding(
                    "credential",
                    "fail",
                    f"{upstream.name}: {error.message}",
                    "see config/README.md",
                )
            )
        else:
            findings.append(
                Finding("credential", "ok", f"{upstream.name}: {setting.__struct_config__.tag}")
            )
    return findings


def _clock(configured: Config) -> list[Finding]:
    """The wall clock against the newest file of the folder: a clock that went back shows."""
    newest = max(
        (file.stat().st_mtime_ns // 1000 for file in configured.folder().glob("*")), default=0
    )
    ahead_s = (newest - SystemClock().wall_us()) // 1_000_000
    if ahead_s > _CLOCK_SKEW_SECONDS_MAX:
        return [
            Finding(
                "clock",
                "fail",
                f"{ahead_s} s behind files of its own folder",
                "synchronise it (NTP)",
            )
        ]
    return [Finding("clock", "ok", "not behind its own files")]
