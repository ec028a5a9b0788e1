"""weighbridge verify: recompute rollup, counters and digest chain from the rows; equal, or where not."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from gateway import app as composition, shipped
from gateway.commands.close.proof import Proof, proof_of
from gateway.commands.moments import period_of
from gateway.commands.output import CONSOLE, ERRORS, emit
from gateway.storage.restating import CounterDifference
from gateway.storage.verifying import Verification, verified

_TOLD_EVERY = 100_000


def verify(
    *,
    period: Annotated[
        str | None, typer.Option(help="e.g. 2026-11: its rows and rollup only")
    ] = None,
    config: Annotated[Path | None, typer.Option()] = None,
    json: Annotated[bool, typer.Option("--json", help="one object per line")] = False,
) -> None:
    """Prove the books: everything derived against the rows, the rows against the chain. Status 1 where not equal."""
    configured = shipped.configured(config)
    composition.ready_store(configured)
    month = None if period is None else period_of(period, "--period")

    async def run() -> Verification:
        async with composition.opened(configured, command_s=None) as database:
            return await verified(database, month, None if json else told)

    found = asyncio.run(run())
    proof = Proof() if month is None else proof_of(configured, month, None if json else told)
    if json:
        for record in (*_proof_records(proof), *records(found)):
            emit(record)
    else:
        for line in (*words(found), *_proof_words(proof)):
            CONSOLE.print(line, highlight=False)
    if not found.is_sound or proof.faults:
        raise SystemExit(1)


def _proof_records(proof: Proof) -> Iterator[dict[str, object]]:
    for fault in proof.faults:
        yield {"fault": "close", "message": fault}
    if proof.said:
        yield {"close": list(proof.said), "sealed": not proof.faults}


def _proof_words(proof: Proof) -> Iterator[str]:
    for fault in proof.faults:
        yield f"✗ close: {fault}"
    if not proof.faults:
        yield from (f"✓ {said}" for said in proof.said)


def told(what: str, count: int) -> None:
    """Long work says where it is."""
    if count and count % _TOLD_EVERY == 0:
        ERRORS.print(f"{count:,} {what} …", style="dim", highlight=False)


def records(found: Verification) -> Iterator[dict[str, object]]:
    """What was found, as programs read it: each fault, then the result."""
    for cell, rollup, rows in ((one.cell, one.rollup, one.rows) for one in found.differences):
        yield {
            "fault": "rollup",
            "cell": _fields(cell),
            "rollup": _fields(rollup),
            "rows": _fields(rows),
        }
    for fault in found.mistakes:
        yield {"fault": "row", "message": fault}
    for fault in found.chain:
        yield {"fault": "chain", "message": fault}
    for fault in found.file:
        yield {"fault": "file", "message": fault}
    for name, faults in (("posted", found.posted), ("pending", found.pending)):
        for one in faults:
            yield {"fault": name, **_fields(one.key), "counter": one.counter, "rows": one.rows}
    yield {
        "equal": found.is_sound,
        "rows": found.entries,
        "cells": found.cells,
        "counters": found.counters,
        "links": found.links,
    }


def _fields(struct: object) -> dict[str, object]:
    names: tuple[str, ...] = getattr(struct, "__struct_fields__", ())
    return {name: getattr(struct, name) for name in names}


def words(found: Verification) -> Iterator[str]:
    """What was found, as people read it."""
    for difference in found.differences:
        cell = difference.cell
        yield (
            f"✗ {cell.period // 100}-{cell.period % 100:02} rollup {cell.day} {cell.team}/{cell.user}"
            f" {cell.model} {cell.unit} ({cell.kind}): {_sums(difference.rollup)}, rows {_sums(difference.rows)}"
        )
    for fault in (*found.mistakes, *found.chain):
        yield f"✗ {fault}"
    for fault in found.file:
        yield f"✗ the database's file is damaged: {fault}"
    for one in found.posted:
        yield f"✗ {_counter(one)}: posted {one.counter}, rows {one.rows}"
    for one in found.pending:
        yield f"✗ {_counter(one)}: pending {one.counter}, holds {one.rows}"
    read = f"{found.entries:,} rows, {found.cells:,} rollup cells, {found.counters:,} counters, {found.links:,} links"
    yield f"✓ equal: {read}" if found.is_sound else f"not equal: {read}"


def _sums(sums: object) -> str:
    found = _fields(sums)
    return ", ".join(f"{name} {value}" for name, value in found.items()) or "nothing"


def _counter(one: CounterDifference) -> str:
    split = f" of {one.key.subject}" if one.key.subject else ""
    return f"budget {one.key.budget}{split} from {one.key.window_us}"
