"""weighbridge doctor: checks what a gateway needs, and names the cure of what is wrong."""

import asyncio
import logging
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from gateway import app as composition, shipped
from gateway.commands.budgets.health import budget_health
from gateway.commands.drift import newest
from gateway.commands.matching import contracts_unmatched, deployments_unpriced, unmatched
from gateway.commands.output import CONSOLE, emit, plain, table
from gateway.commands.prices.imports import imported
from gateway.commands.prices.missing import missing
from gateway.commands.valkey_health import valkey_health
from gateway.config import Config
from gateway.kernel.clock import SystemClock
from gateway.kernel.errors import ConfigurationError, GatewayError, Unavailable
from gateway.pricing.lint import lint
from gateway.providers import installed
from gateway.storage.ledger import Ledger
from gateway.storage.migrate import drift, revision_of
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
    """One check. ``state``: ok, warn (works, but look) or fail; ``cure`` where it is not ok."""

    check: str
    state: str
    found: str
    cure: str = ""


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
        shown = table(
            "Weighbridge doctor",
            (("", "left"), ("check", "left"), ("found", "left"), ("cure", "left")),
        )
        marks = {"ok": plain("✓", "green"), "warn": plain("!", "yellow"), "fail": plain("✗", "red")}
        for finding in findings:
            shown.add_row(marks[finding.state], finding.check, finding.found, finding.cure)
        CONSOLE.print(shown)
    if any(finding.state == "fail" for finding in findings):
        raise SystemExit(1)


def _findings(path: Path | None) -> list[Finding]:
    try:
        configured = shipped.configured(path)
    except ConfigurationError as error:
        return [
            Finding("configuration", "fail", problem, "mend the key") for problem in error.problems
        ]
    found = [Finding("configuration", "ok", str(path or "defaults"))]
    checks: tuple[Callable[[Config], list[Finding]], ...] = (
        _folder, _database, _valkey, _budgets, _journal, _disk, _vocabulary, _prices, _unpriced, _drift, _matching, _credentials,
        _clock,
    )  # fmt: skip
    for check in checks:
        found += check(configured)
    return found


def _folder(configured: Config) -> list[Finding]:
    folder = configured.folder()
    try:
        composition.prepare_folder(configured)
        composition.master_secret(configured)
    except OSError as error:
        return [
            Finding(
                "folder",
                "fail",
                f"{folder}: {error.strerror}",
                "make it writable, or set storage.folder",
            )
        ]
    except ConfigurationError as error:
        return [
            Finding("master secret", "fail", problem, "use 32 or more random characters")
            for problem in error.problems
        ]
    if not os.access(folder, os.W_OK):
        return [
            Finding(
                "folder",
                "fail",
                f"{folder} is not writable",
                "make it writable, or set storage.folder",
            )
        ]
    return [Finding("folder", "ok", str(folder))]


def _database(configured: Config) -> list[Finding]:
    url = configured.database_url()
    if not configured.storage.url and not (configured.folder() / "weighbridge.db").is_file():
        return [Finding("database", "fail", "not made yet", "run weighbridge migrate")]
    try:
        revision = revision_of(url)
        if revision is None or drift(url):
            return [
                Finding("database", "fail", f"at revision {revision}", "run weighbridge migrate")
            ]
        waiting, strays, overdue = asyncio.run(_waiting(configured))
    except Unavailable as error:
        found, _, cure = error.message.partition("; ")
        return [Finding("database", "fail", found, cure or "see storage.url")]
    findings = [Finding("database", "ok", f"revision {revision}")]
    if waiting:
        findings.append(
            Finding(
                "quarantine",
                "warn",
                f"{waiting} records",
                "look at usage_quarantine: they are not booked",
            )
        )
    if strays:
        cure = "rows of a month without a partition: counted, but not prunable; move them by hand"
        findings.append(
            Finding("partitions", "warn", f"{strays} rows in the default partition", cure)
        )
    if overdue:
        cure = "is a gateway serving, and may its upstream's credential read batches? What they used is not booked"
        findings.append(Finding("batches", "warn", f"{overdue} not asked for over an hour", cure))
    return findings


async def _waiting(configured: Config) -> tuple[int, int, int]:
    """Records in the quarantine, rows that no monthly partition took, batches that nobody asks."""
    late_us = SystemClock().wall_us() - _BATCHES_LATE_US
    async with composition.opened(configured) as database:
        return (
            await Ledger(database).quarantined(),
            await Partitions(database).strays(),
            await WorkStore(database).overdue(late_us),
        )


def _budgets(configured: Config) -> list[Finding]:
    """Where the database cannot be asked the check before has said so."""
    try:
        return [Finding("budget", *said) for said in budget_health(configured)]
    except (ConfigurationError, Unavailable):
        return []


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
    try:
        free = shutil.disk_usage(configured.folder()).free
    except OSError as error:
        return [Finding("disk", "fail", f"{error.strerror}", "see the folder")]
    found = f"{free / _MIB:,.0f} MiB free"
    if free < _FREE_BYTES_MIN:
        return [Finding("disk", "fail", found, "make room: requests are refused when it is full")]
    if free < _FREE_BYTES_LOW:
        return [Finding("disk", "warn", found, "make room: an outage of the database needs it")]
    return [Finding("disk", "ok", found)]


def _vocabulary(configured: Config) -> list[Finding]:
    started = time.perf_counter()
    try:
        shipped.counter()
    except ConfigurationError as error:
        return [Finding("vocabulary", "fail", str(error), "install the package again")]
    return [
        Finding(
            "vocabulary",
            "ok",
            f"o200k and cl100k match their digests ({time.perf_counter() - started:.1f} s)",
        )
    ]


def _prices(configured: Config) -> list[Finding]:
    try:
        rows = imported(configured)
    except Unavailable:
        rows = ()  # the check of the database has said so
    try:
        book = shipped.price_book(configured, rows)
    except ConfigurationError as error:
        cure = "mend the row; of an import: import the right one (workers go on with the last good book)"
        return [Finding("prices", "fail", problem, cure) for problem in error.problems]
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
    try:
        gaps, unknown = missing(configured, SystemClock().wall_us() - _WEEK_US)
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
    found: list[Finding] = []
    for check in (contracts_unmatched, deployments_unpriced, unmatched):
        try:
            found += [Finding(*said) for said in check(configured)]
        except (ConfigurationError, Unavailable):
            continue  # said above
    return found


def _credentials(configured: Config) -> list[Finding]:
    try:
        return asyncio.run(_fetched(configured))
    except GatewayError as error:
        return [Finding("credential", "fail", error.message, "see the message")]


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
                Finding("credential", "ok", f"{upstream.name}: {type(setting).__name__}")
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
