"""weighbridge prices compare: what a month would have cost on another model, and how fast that one was."""

import asyncio
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Final

import msgspec
import typer

from gateway import app as composition, shipped
from gateway.commands.known import tell_unfit, tell_unknown
from gateway.commands.moments import period_of
from gateway.commands.names import instead
from gateway.commands.output import CONSOLE, emit, stop, styled, table, usd
from gateway.commands.prices.imports import current_book
from gateway.commands.prices.undecided import check_place, check_words, models_of
from gateway.config import Config
from gateway.kernel.clock import SystemClock
from gateway.kernel.money import round_cents
from gateway.ledger.adjust import together
from gateway.ledger.period import next_period, period_start_us
from gateway.metering.units import INPUT_TEXT, OUTPUT_TEXT
from gateway.pricing.book import Book
from gateway.pricing.cover import covers
from gateway.pricing.dimensions import GLOBAL, STANDARD, Dimension, position
from gateway.pricing.rate import Status
from gateway.reporting.amounts import in_cents, in_words, percent
from gateway.reporting.whatif import Pace, Repriced, Source, Target, WhatIf
from gateway.storage.known import Kind
from gateway.storage.ledger import Ledger

_SAME: Final = "same token counts: another model's tokenizer counts the same text differently"
_SCOPE: Final = position(Dimension.SCOPE)
_TIER: Final = position(Dimension.TIER)
Text = Annotated[str | None, typer.Option()]


def compare_prices(
    *,
    month: Annotated[str, typer.Option(help="e.g. 2026-11")],
    to: Annotated[str, typer.Option(help="the other model")],
    model: Annotated[str, typer.Option(help="whose rows, a glob: 'gpt-5*'")] = "*",
    team: Text = None,
    provider: Annotated[
        str | None, typer.Option(help="of the other model, where several sell it")
    ] = None,
    scope: Annotated[
        str, typer.Option(help="global, data_zone, regional, geo, in_region")
    ] = GLOBAL,
    geo: Text = None,
    region: Text = None,
    tier: Annotated[str, typer.Option(help="standard, batch, flex, priority, …")] = STANDARD,
    today: Annotated[
        bool, typer.Option("--today", help="the other model at today's prices; else each row's day")
    ] = False,
    config: Annotated[Path | None, typer.Option()] = None,
    json: Annotated[bool, typer.Option("--json", help="one object per line")] = False,
) -> None:
    """Price a month's exact tokens again on another model, with latency and errors of both beside it."""
    period = period_of(month)
    check_words(scope=scope, tier=tier)
    configured = shipped.configured(config)
    book = current_book(configured)
    found = _found(book, to, provider)
    now_us = SystemClock().wall_us()
    target = Target(
        found.provider, found.model, scope, geo, region, tier, now_us if today else None
    )
    check_place(book, found.provider, geo, region)
    _sold(book, target, now_us)
    composition.ready_store(configured)
    made = asyncio.run(_folded(configured, book, target, period, (model, team)))
    if json:
        _emit(made, target, month)
    else:
        _show(made, target, month)


def _found(book: Book, name: str, provider: str | None) -> Source:
    """The one model of that name. Stops where there is none, or where several providers sell it."""
    providers = sorted({row.provider for row in book.rows})
    if provider is not None and provider not in providers:
        stop(f"--provider: expected one of {', '.join(providers)}, found {provider!r}")
    sold = [
        Source(one, model)
        for one in ([provider] if provider else providers)
        if (model := book.canonical(one, (name,))) is not None
    ]
    if not sold:
        there = instead(name, models_of(book), "weighbridge prices list")
        stop(f"--to: the price book has no model {name!r}{there}")
    if len(sold) > 1:
        stop(f"--provider: {name} is sold by {', '.join(one.provider for one in sold)}: name one")
    return sold[0]


def _sold(book: Book, target: Target, now_us: int) -> None:
    """Stop where the model is not sold so, saying how it is."""
    coverage = covers(book, target.circumstances(now_us), (INPUT_TEXT,))
    if coverage.status is Status.AMBIGUOUS:
        stop(f"{target.model} has several prices there ({coverage.key}): name --region or --geo")
    if coverage.status is not Status.PRICED:
        ways = {
            f"--scope {row.terms[_SCOPE]} --tier {row.terms[_TIER]}"
            for row in book.rows
            if (row.provider, row.model) == (target.provider, target.model)
            and row.unit in (INPUT_TEXT, OUTPUT_TEXT)
        }
        stop(
            f"{target.model} has no price for {coverage.key}; it has for {', '.join(sorted(ways))}"
        )


async def _folded(
    configured: Config, book: Book, target: Target, period: int, of: tuple[str, str | None]
) -> WhatIf:
    """Every row of the month folded, streamed."""
    zone = configured.org.timezone
    made, (pattern, team) = WhatIf(book, target), of
    async with composition.opened(configured) as database:
        await tell_unknown(database, Kind.TEAM, [team])
        await tell_unfit(database, Kind.MODEL, pattern, models_of(book))
        rows = Ledger(database).families(
            since_us=period_start_us(period, zone),
            until_us=period_start_us(next_period(period), zone),
            team=team,
        )
        async for row, corrections in rows:
            entry = together(row, corrections)
            made.add(entry, reprice=fnmatchcase(entry.model or "", pattern))
    return made


def _ordered(made: WhatIf) -> list[tuple[Source, Repriced]]:
    return sorted(made.sources.items(), key=lambda item: (-item[1].was_pico, item[0]))


def _emit(made: WhatIf, target: Target, month: str) -> None:
    for source, found in _ordered(made):
        emit(
            {
                "month": month,
                "provider": source.provider,
                "model": source.model,
                "requests": found.pace.requests,
                "input_tokens": found.input_tokens,
                "output_tokens": found.output_tokens,
                "list_usd": usd(found.was_pico),
                "net_usd": usd(found.was_net_pico),
                "to": msgspec.structs.asdict(target),
                "to_list_usd": usd(found.is_pico),
                "left_out": dict(found.left_out),
                "charged_as": {f"{unit}={as_}": n for (unit, as_), n in found.charged_as.items()},
                "pace": _pace(found.pace),
                "to_pace": _pace(made.target_pace),
                "note": _SAME,
            }
        )


def _pace(pace: Pace) -> dict[str, int | None]:
    return {
        "requests": pace.requests,
        "errors": pace.errors,
        "first_byte_ms_p50": pace.first_byte_ms(50),
        "first_byte_ms_p95": pace.first_byte_ms(95),
        "total_ms_p50": pace.total_ms(50),
        "total_ms_p95": pace.total_ms(95),
        "tokens_per_second_p50": pace.tokens_per_second(50),
    }


def _show(made: WhatIf, target: Target, month: str) -> None:
    place = " ".join(w for w in (target.scope, target.geo, target.region, target.tier) if w)
    if not made.sources:
        CONSOLE.print(f"no rows in {month} fit: another --month, --model or --team")
        return
    there = f"{target.provider}/{target.model} ({place})"
    shown = table(
        f"{month} on {there}: {_SAME.split(':')[0]}",
        (
            ("model", "left"), ("rows", "right"), ("input", "right"), ("output", "right"),
            ("list USD", "right"), ("there USD", "right"), ("difference", "right"), ("change", "right"),
            ("left out", "right"),
        ),
        ("output", "input", "rows", "left out"),
    )  # fmt: skip
    found = _ordered(made)
    whole = _total(one for _, one in found)
    was, there_cents = round_cents(whole.was_pico), round_cents(whole.is_pico)
    before = in_cents([one.was_pico for _, one in found], was)
    after = in_cents([one.is_pico for _, one in found], there_cents)
    for (source, one), old, new in zip(found, before, after, strict=True):
        shown.add_row(f"{source.provider}/{source.model}", *_amounts(one, old, new))
    if len(found) > 1:
        shown.add_section()
        shown.add_row("total", *_amounts(whole, was, there_cents))
    CONSOLE.print(shown)
    _show_pace(found, made.target_pace, there)
    _show_notes([one for _, one in found])


def _amounts(one: Repriced, was: int, there: int) -> Sequence[str]:
    """A line in cents, which sum to the total's; the change is of the exact amounts."""
    share = percent(one.is_pico - one.was_pico, one.was_pico, 0)
    sign = "+" if one.is_pico > one.was_pico else ""
    return (
        f"{one.rows:,}", f"{one.input_tokens:,}", f"{one.output_tokens:,}",
        in_words(was, ""), in_words(there, ""), f"{sign}{in_words(there - was, '')}",
        f"{sign}{share}" if share else "n/a",
        f"{one.left_out.total():,}" if one.left_out else "",
    )  # fmt: skip


def _total(found: Iterable[Repriced]) -> Repriced:
    whole = Repriced()
    for one in found:
        whole.rows += one.rows
        whole.input_tokens += one.input_tokens
        whole.output_tokens += one.output_tokens
        whole.was_pico += one.was_pico
        whole.is_pico += one.is_pico
        whole.left_out += one.left_out
    return whole


def _show_pace(found: Iterable[tuple[Source, Repriced]], target: Pace, there: str) -> None:
    shown = table(
        "\nSpeed and errors, measured here in that month",
        (
            ("model", "left"), ("requests", "right"), ("errors", "right"), ("%", "right"),
            ("first byte p50 ms", "right"), ("p95 ms", "right"), ("whole p50 ms", "right"), ("p95 ms", "right"),
            ("tokens/s", "right"),
        ),
        ("p95 ms", "%", "whole p50 ms", "first byte p50 ms"),
    )  # fmt: skip
    for source, one in found:
        shown.add_row(f"{source.provider}/{source.model}", *_pace_cells(one.pace))
    shown.add_section()
    shown.add_row(there, *_pace_cells(target))
    CONSOLE.print(shown)


def _pace_cells(pace: Pace) -> Sequence[str]:
    share = percent(pace.errors, pace.requests).removesuffix(" %")
    times = (
        pace.first_byte_ms(50), pace.first_byte_ms(95), pace.total_ms(50), pace.total_ms(95),
    )  # fmt: skip
    speed = pace.tokens_per_second(50)
    return (
        f"{pace.requests:,}", f"{pace.errors:,}", share or "n/a",
        *("n/a" if ms is None else f"{ms:,}" for ms in times),
        "n/a" if speed is None else f"{speed:,}",
    )  # fmt: skip


def _show_notes(found: Iterable[Repriced]) -> None:
    whole = Repriced()
    for one in found:
        whole.left_out += one.left_out
        whole.charged_as += one.charged_as
    CONSOLE.print(styled("[dim]{}[/]", _SAME))
    for (unit, as_unit), count in sorted(whole.charged_as.items()):
        CONSOLE.print(
            styled(
                "[dim]{:,} {} are charged as {} there: it has no price for them[/]",
                count,
                unit,
                as_unit,
            )
        )
    if whole.left_out["there"]:
        CONSOLE.print(
            styled(
                "[dim]{:,} rows use what has no price there: in neither sum[/]",
                whole.left_out["there"],
            )
        )
    if whole.left_out["was"]:
        CONSOLE.print(
            styled("[dim]{:,} rows have no price today: in neither sum[/]", whole.left_out["was"])
        )
