"""weighbridge close: take a month's close a step further, keep its statements, its proof and its row-level evidence.

To add something a step proves: a field of ledger.closing.Sealed, filled in ``_proven``.
"""

import asyncio
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Final

import msgspec
import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from gateway import app as composition, shipped
from gateway.commands.authors import author_of
from gateway.commands.close.words import drawn, records
from gateway.commands.moments import period_of
from gateway.commands.names import name_of
from gateway.commands.output import CONSOLE, ERRORS, emit, stop
from gateway.commands.statement.asked import Asked, live
from gateway.config import Config
from gateway.identity.signing import BadKey, signed
from gateway.kernel.clock import SystemClock, instant
from gateway.ledger.closing import FROZEN, STATES, Refused, Sealed, State, signed_bytes
from gateway.ledger.digest import VERSION
from gateway.ledger.period import next_period, period_start_us
from gateway.reporting.compose import Closing
from gateway.reporting.organisation import SUMMARY, ours
from gateway.reporting.statement import Seal, Statement, Summary
from gateway.storage.closing import ClosingStore, Standing, Step
from gateway.storage.engine import Database
from gateway.storage.evidence import Rows, read_rows
from gateway.storage.evidence_parquet import file_digest, parquet
from gateway.storage.reporting import chain_head, requests_of

_NOTE_CHARS_MAX: Final = 1_000  # printed on every statement
_STEPS: Final = STATES[1:]


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """A step as it was asked for."""

    period: int
    to: State
    author: str
    note: str
    journal: str
    evidence: Path | None


def close(
    month: Annotated[str, typer.Argument(help="e.g. 2026-10")],
    *,
    to: Annotated[str | None, typer.Option(help=", ".join(_STEPS))] = None,
    note: Annotated[
        str,
        typer.Option(
            help="printed on the statements: how metered and invoiced compare; or why it goes back"
        ),
    ] = "",
    journal: Annotated[str, typer.Option(help="the number of the entry in the books")] = "",
    evidence: Annotated[
        Path | None, typer.Option(help="a folder for the rows, as CSV.gz and Parquet")
    ] = None,
    author: Annotated[str | None, typer.Option(help="who does it; else the system's user")] = None,
    config: Annotated[Path | None, typer.Option()] = None,
    json: Annotated[bool, typer.Option("--json", help="one object per line")] = False,
) -> None:
    """Close a month step by step; without --to say how far it is."""
    configured = shipped.configured(config)
    composition.ready_store(configured)
    period, refused = period_of(month), None
    if to is not None:
        wanted = Wanted(
            period=period, to=_step(to), author=author_of(author), note=note, journal=journal, evidence=evidence
        )  # fmt: skip
        for text, option in ((note, "--note"), (journal, "--journal")):
            name_of(text or None, option, _NOTE_CHARS_MAX)
        try:
            _check(configured, wanted)
            take(configured, wanted)
        except Refused as error:
            refused = error.message
    if json:
        for one in records(period, *_told(configured, period), refused):
            emit(one)
    elif refused is None:
        CONSOLE.print(drawn(period, *_told(configured, period)))
    if refused is not None:
        stop(f"{month}: {refused}")


def _step(text: str) -> State:
    found = next((state for state in _STEPS if state == text), None)
    return found or stop(f"--to is one of {', '.join(_STEPS)}, found {text!r}")


def _check(config: Config, wanted: Wanted) -> None:
    """What can be known before anything is moved. Raises Refused."""
    end_us = period_start_us(next_period(wanted.period), config.org.timezone)
    if SystemClock().wall_us() < end_us:
        ends = instant(end_us).strftime("%Y-%m-%d %H:%M UTC")
        raise Refused(f"the month is not over: its close can begin at {ends}")
    if wanted.to == "posted" and not wanted.journal:
        raise Refused("posted needs the number of the entry in the books: --journal 1000482291")
    if wanted.to == "posted" and config.statements.signing_key:
        _signature(config, b"")  # a key that cannot sign is told before the month is moved


def _told(config: Config, period: int) -> tuple[Standing, list[Step]]:
    async def asked() -> tuple[Standing, list[Step]]:
        async with composition.opened(config) as database:
            store = ClosingStore(database)
            return await store.standing(period), await store.steps(period)

    return asyncio.run(asked())


def take(config: Config, wanted: Wanted) -> Step:
    """Take the step: move the state, read the rows that can no longer change, keep what they prove."""
    standing, before, expected = asyncio.run(_begun(config, wanted))
    reads = wanted.to in {"provisional", "reconciled"} or wanted.evidence is not None
    rows = _rows(config, wanted, expected) if reads else None
    return asyncio.run(_kept(config, wanted, standing, (before, rows)))


async def _begun(config: Config, wanted: Wanted) -> tuple[Standing, list[Step], int]:
    async with composition.opened(config) as database:
        store = ClosingStore(database)
        standing = await store.begin(wanted.period, wanted.to, wanted.note)
        expected = await requests_of(database, wanted.period)
        return standing, await store.steps(wanted.period), expected


def _rows(config: Config, wanted: Wanted, expected: int) -> tuple[Rows, dict[str, str]]:
    """The rows' digest and, where a folder is named, the files of the rows with theirs."""
    url, zone = config.database_url(), config.org.timezone
    month = f"{wanted.period // 100}-{wanted.period % 100:02}"
    folder = wanted.evidence
    packed = None if folder is None else folder / f"{month}-rows.csv.gz"
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    with _bar() as bar:
        task = bar.add_task("reading rows", total=expected or None)
        rows = read_rows(
            url, wanted.period, zone=zone, expected=expected, to=packed,
            progress=lambda count: bar.update(task, completed=count, total=max(expected, count)),
        )  # fmt: skip
    if folder is None or packed is None:
        return rows, {}
    columns = folder / f"{month}-rows.parquet"
    parquet(packed, columns)
    return rows, {path.name: file_digest(path) for path in (packed, columns)}


def _bar() -> Progress:
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())  # fmt: skip
    return Progress(*columns, console=ERRORS, transient=True)


Proof = tuple[list[Step], tuple[Rows, dict[str, str]] | None]


async def _kept(config: Config, wanted: Wanted, standing: Standing, proof: Proof) -> Step:
    async with composition.opened(config) as database:
        store = ClosingStore(database)
        at_us = store.now_us()
        sealed = await _proven(database, standing.state, proof)
        step = Step(
            period=wanted.period, revision=standing.revision, at_us=at_us, author=wanted.author,
            state=standing.state, note=wanted.note, journal=wanted.journal, sealed=sealed,
        )  # fmt: skip
        closing = Closing(step.state, step.revision, seal_of(step, proof[0]))
        documents = await _documents(database, config, step, (closing, proof))
        names = {name: sha256(text).hexdigest() for name, text in documents.items()}
        sealed = msgspec.structs.replace(sealed, documents=names)
        signature = b""
        if step.state == "posted" and config.statements.signing_key:
            signature = _signature(config, signed_bytes(step.period, sealed))
        step = msgspec.structs.replace(step, sealed=sealed, signature=signature)
        await store.keep(step, documents)
        return step


async def _proven(database: Database, state: State, proof: Proof) -> Sealed:
    """What the rows prove: read now, or as the step before has it (no row entered since).

    A month that goes back to provisional takes rows from the moment it is moved: they are no fault of its seal.
    """
    before, found = proof
    if found is None:
        return msgspec.structs.replace(before[-1].sealed, evidence={})
    rows, evidence = found
    was_frozen = bool(before) and before[-1].state in FROZEN and state in FROZEN
    if was_frozen and before[-1].sealed.digest != rows.digest:
        raise Refused("the rows are not those that were sealed: `weighbridge verify --period` says more")  # fmt: skip
    link, digest = await chain_head(database)
    return Sealed(
        rows=rows.rows, digest=rows.digest, version=VERSION, net_pico=rows.net_pico,
        link=link, link_digest=digest.hex(), evidence=evidence,
    )  # fmt: skip


def seal_of(step: Step, before: list[Step]) -> Seal:
    """What the statements of a step say about it: who approved and posted, over which rows."""
    steps = {one.state: one for one in [*before, step]}
    approved = steps.get("approved") if step.state in {"approved", "posted"} else None
    posted = step if step.state == "posted" else None
    return Seal(
        step.sealed.rows,
        step.sealed.digest,
        approved.author if approved else "",
        _said(approved),
        posted.author if posted else "",
        _said(posted),
        posted.journal if posted else "",
    )


def _said(step: Step | None) -> str:
    return "" if step is None else f"{instant(step.at_us):%Y-%m-%d %H:%M} UTC"


async def _documents(
    database: Database, config: Config, step: Step, beside: tuple[Closing, Proof]
) -> dict[str, bytes]:
    """The statements and the summary of a step: made once, when rows stop entering; then only sealed anew."""
    closing, (before, found) = beside
    encode = msgspec.json.encode
    if step.state in {"approved", "posted"}:
        store = ClosingStore(database)
        kept = await store.documents(step.period, before[-1].revision)
        return {name: encode(_resealed(name, text, closing)) for name, text in kept.items()}
    said = step.note if step.state in FROZEN else ""
    asked = Asked(period=step.period, reconciled=said, books=found[0].books if found else ())
    async with database.moment() as now:
        month = await live(now, config, asked)
    made: dict[str, bytes] = {SUMMARY: encode(month.summary(closing))}
    for code in month.codes:
        if said := ours(code):  # of a key that was made before such codes were refused
            raise Refused(f"{said}, with `weighbridge people import` for its teams")
        made[code] = encode(month.statement(code, closing))
    return made


def _resealed(name: str, text: bytes, closing: Closing) -> Statement | Summary:
    state, revision, seal = closing.state, closing.revision, closing.seal
    if name == SUMMARY:
        made = msgspec.json.decode(text, type=Summary)
        return msgspec.structs.replace(made, state=state, revision=revision, seal=seal)
    found = msgspec.json.decode(text, type=Statement)
    return msgspec.structs.replace(found, state=state, revision=revision, seal=seal)


def _signature(config: Config, message: bytes) -> bytes:
    path = Path(config.statements.signing_key)
    try:
        return signed(path.read_bytes(), message)
    except OSError as error:
        stop(f"statements.signing_key: {path} cannot be read: {error.strerror}")
    except BadKey as error:
        stop(f"statements.signing_key: {path}: {error}; make one with `openssl genpkey -algorithm ed25519`")  # fmt: skip
