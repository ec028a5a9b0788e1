"""How a month's close is shown: its five states, every step with who took it and what it proves."""

from collections.abc import Sequence
from typing import Final

from rich.console import Group, RenderableType

from gateway.commands.output import plain, table, usd
from gateway.identity.signing import signer
from gateway.kernel.clock import instant
from gateway.ledger.closing import STATES
from gateway.reporting.amounts import month_name
from gateway.storage.closing import Standing, Step

_NEXT: Final = {
    "open": "rows arrive; next: --to provisional, once the month is over",
    "provisional": "late rows still enter; next: --to reconciled --note, once the invoices are in",
    "reconciled": "no row enters any more; next: --to approved, by the owner",
    "approved": "next: --to posted --journal NUMBER",
    "posted": "it never changes; late and corrected charges go to the open month",
}


def drawn(period: int, standing: Standing, steps: Sequence[Step]) -> RenderableType:
    """For people: how far it is, and the steps."""
    way = plain("")
    for at, state in enumerate(STATES):
        is_now, is_past = state == standing.state, at < STATES.index(standing.state)
        mark = "●" if is_now else "✓" if is_past else "○"
        way.append(f"{mark} {state}", style="bold green" if is_now else "green" if is_past else "dim")  # fmt: skip
        way.append("  →  " if state != STATES[-1] else "", style="dim")
    title = plain(f"Close of {month_name(period)}", style="bold")
    said = _NEXT[standing.state]
    if not standing.is_kept:
        said = f"the step is not finished: take it up with --to {standing.state}"
    parts: list[RenderableType] = [title, way, plain(said, style="dim")]
    if steps:
        parts += [plain(""), _steps(steps)]
    return Group(*parts)


def _steps(steps: Sequence[Step]) -> RenderableType:
    heads = (("rev.", "right"), ("state", "left"), ("when (UTC)", "left"), ("by", "left"), ("rows", "right"), ("SHA-256 of the rows", "left"), ("note", "left"))  # fmt: skip
    shown = table("", heads, ("SHA-256 of the rows",))
    for column in shown.columns[:-1]:
        column.no_wrap = True
    for one in steps:
        digest = f"{one.sealed.digest[:8]}…{one.sealed.digest[-8:]}"
        note = " · ".join(part for part in (one.note, _journal(one), _signed(one), _files(one)) if part)  # fmt: skip
        at = f"{instant(one.at_us):%Y-%m-%d %H:%M}"
        shown.add_row(str(one.revision), one.state, at, one.author, f"{one.sealed.rows:,}", digest, note)  # fmt: skip
    return shown


def _journal(one: Step) -> str:
    return f"journal {one.journal}" if one.journal else ""


def _signed(one: Step) -> str:
    return f"signed by {signer(one.signature)[:12]}…" if one.signature else ""


def _files(one: Step) -> str:
    return ", ".join(one.sealed.evidence)


def records(
    period: int, standing: Standing, steps: Sequence[Step], refused: str | None = None
) -> list[dict[str, object]]:
    """For programs: the steps that were kept, oldest first; the last record always says how far the month is.

    ``refused``: why a step was not taken, on that last record.
    """
    if not standing.is_kept or not steps:
        now = Step(period=period, revision=standing.revision, at_us=0, author="", state=standing.state)  # fmt: skip
        begun = {**dict.fromkeys(_record(now)), "month": _month(period), "revision": now.revision}
        last = {**begun, "state": now.state, "finished": standing.is_kept}
        return [*map(_record, steps), {**last, "refused": refused}]
    *before, newest = map(_record, steps)
    return [*before, {**newest, "refused": refused}]


def _month(period: int) -> str:
    return f"{period // 100}-{period % 100:02}"


def _record(one: Step) -> dict[str, object]:
    return {
        "month": _month(one.period),
        "revision": one.revision,
        "state": one.state,
        "finished": True,
        "at": instant(one.at_us).isoformat(timespec="seconds"),
        "author": one.author,
        "note": one.note,
        "journal": one.journal,
        "rows": one.sealed.rows,
        "net_usd": usd(one.sealed.net_pico),
        "rows_sha256": one.sealed.digest,
        "documents": one.sealed.documents,
        "evidence": one.sealed.evidence,
        "chain_link": one.sealed.link,
        "chain_sha256": one.sealed.link_digest,
        "signed_by": signer(one.signature) if one.signature else None,
        "signature": one.signature[32:].hex() or None,
        "refused": None,
    }
