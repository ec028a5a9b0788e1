"""Statement and summary as people read them on a terminal: the same parts and figures as on the page."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final

from rich import box
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.rule import Rule
from rich.text import Text

from gateway.commands.output import (
    CONSOLE,
    Table,
    fitting,
    grid,
    named,
    plain,
    styled,
    table,
    visible,
)
from gateway.reporting.amounts import in_words, month_name, percent, span, tokens
from gateway.reporting.statement import NO_PRICE, Part, Statement, Summary, Use
from gateway.reporting.style import SAID

COLUMNS_MAX: Final = 108  # a sheet, not a wall
PAIR_FROM: Final = 92  # narrower terminals get one column
NAME_COLUMNS: Final = 34
APP_COLUMNS, MODEL_COLUMNS = 24, 36
BAR_COLUMNS: Final = 20
_BLOCKS: Final = "▁▂▃▄▅▆▇█"
_HUES: Final = {"open": "dim", "provisional": "yellow", "reconciled": "blue", "approved": "green", "posted": "green"}  # fmt: skip
_DOTS: Final = ("blue", "dark_orange", "green", "white")


def drawn(found: Statement, names: Mapping[str, str]) -> RenderableType:
    """The whole statement."""
    wide = CONSOLE.width >= PAIR_FROM
    parts = [
        _pair(_title(found), _facts(found), wide=wide),
        Rule(style="dim"),
        _pair(_amount(found), _walk(found), wide=wide),
        Rule(style="dim"),
        _pair(_months(found), _budget(found), wide=wide),
        Padding(_usage(found), (1, 0)),
        _pair(_people(found, names), _method(found), wide=wide),
        *([Padding(_seal(found), (1, 0, 0, 0))] if found.seal.digest else []),
    ]
    return Padding(Group(*parts), (0, max(CONSOLE.width - COLUMNS_MAX, 0), 0, 0))


def _pair(left: RenderableType, right: RenderableType, *, wide: bool) -> RenderableType:
    if not wide:
        return Group(left, plain(""), right)
    pairs = grid(expand=True, padding=(0, 3, 0, 0))
    pairs.add_column(ratio=1)
    pairs.add_column(ratio=1)
    pairs.add_row(left, right)
    return pairs


def _pairs() -> Table:
    pairs = grid(expand=True, padding=(0, 2, 0, 0))
    pairs.add_column(ratio=1)
    pairs.add_column(justify="right", no_wrap=True)
    return pairs


def _title(found: Statement) -> RenderableType:
    mark = styled("[bold]▂▅[/][bold blue]█ [/][bold]{}[/]", found.organisation)
    period = span(found.period, found.zone, found.through)
    return Group(mark, plain("Monthly statement", style="bold"), plain(f"Model inference, {period}", style="dim"))  # fmt: skip


def _facts(found: Statement) -> RenderableType:
    revision = f" rev. {found.revision}" if found.revision else ""
    pairs = _pairs()
    pairs.add_row(styled("[dim]Statement[/]"), f"{found.number}{revision}")
    pairs.add_row(styled("[dim]Charged to[/]"), found.title)
    pairs.add_row(styled("[dim]Owner[/]"), found.centre.owner or "not named")
    hue = _HUES[found.state]
    pairs.add_row(styled("[dim]Status[/]"), styled("[{}]● {}[/]", hue, SAID[found.state]))
    return pairs


def _amount(found: Statement) -> RenderableType:
    said = "Amount charged" if found.centre.posts else "Amount shown, not charged in the books"
    lines = [plain(said, style="dim"), plain(in_words(found.cents), style="bold")]
    if found.converted is not None:
        other = found.converted
        amount = in_words(other.minor, f"{other.currency} ", other.digits)
        lines.append(plain(f"{amount} at {other.rate} ({other.source}, {other.day})", style="dim"))
    lines.append(plain(f"US dollars, {found.requests:,} requests", style="dim"))
    if found.unpriced:
        lines.append(
            plain(
                f"▲ {found.unpriced:,} requests have no price yet: weighbridge prices missing",
                style="yellow",
            )
        )
    return Group(*lines)


def _walk(found: Statement) -> RenderableType:
    pairs = _pairs()
    for line in found.lines:
        pairs.add_row(styled("{} [dim]{}[/]", line.text, line.note), in_words(line.cents))
    pairs.add_row(styled("[bold]Amount charged[/]"), styled("[bold]{}[/]", in_words(found.cents)))
    return pairs


def sparkline(values: Sequence[int]) -> str:
    """Blocks from zero to the largest; nothing is the lowest block."""
    top = max([*values, 1])
    return "".join(_BLOCKS[max(value, 0) * (len(_BLOCKS) - 1) // top] for value in values)


def _months(found: Statement) -> RenderableType:
    months = found.months[-12:]
    drawn_blocks = " ".join(sparkline([cents for _, cents in months]))
    letters = " ".join(month_name(period)[0] for period, _ in months)
    first, last = months[0], months[-1]
    said = f"{month_name(first[0])} {in_words(first[1])}, now {in_words(last[1])}"
    blocks = styled("[dim]{}[/][blue]{}[/]", drawn_blocks[:-1], drawn_blocks[-1:])
    return Group(plain("Last twelve months", style="bold"), blocks, plain(letters, style="dim"), plain(said, style="dim"))  # fmt: skip


def _budget(found: Statement) -> RenderableType:
    budget, name = found.budget, month_name(found.period).split()[0]
    pairs = _pairs()
    if budget.month_cents is not None:
        left = budget.month_cents - found.cents
        word = plain("under") if left >= 0 else plain("over", "red")
        pairs.add_row(f"{name} budget", in_words(budget.month_cents))
        pairs.add_row("Difference", styled("{} {}", in_words(abs(left)), word))
    to_date = in_words(found.year_to_date)
    if budget.year_cents:
        share = percent(found.year_to_date, budget.year_cents, 0)
        pairs.add_row(f"Year to date, of {in_words(budget.year_cents)}", styled("{} [dim]{}[/]", to_date, share))  # fmt: skip
    else:
        pairs.add_row("Year to date", to_date)
        pairs.add_row(styled("[dim]No budget is set[/]"), "")
    return Group(plain(f"Budget year {found.period // 100}", style="bold"), pairs)


def _usage(found: Statement) -> Table:
    return fitting(
        partial(_uses, found, _HEADS, apart=True),
        partial(_uses, found, _HEADS, apart=False),
        partial(_uses, found, _FEW_HEADS, apart=False),
        width=min(CONSOLE.width, COLUMNS_MAX),
    )


_HEADS: Final = ("requests", "input", "cache\nread", "cache\nwrite", "output", "amount")
_FEW_HEADS: Final = ("requests", "input", "output", "amount")


def _uses(found: Statement, heads: Sequence[str], *, apart: bool) -> Table:
    """Applications in a column ``apart``, or each on a line above its models where there is no room."""
    names = ("application", "model") if apart else ("application / model",)
    columns = (*((name, "left") for name in names), *((head, "right") for head in heads))
    shown = table("Usage by application and model", columns)
    shown.box, shown.show_edge = box.SIMPLE_HEAD, False
    providers = sorted({use.provider for use in found.uses})
    blank = ("",) * (len(heads) - 1)
    for name in dict.fromkeys(use.app for use in found.uses):
        uses = [use for use in found.uses if use.app == name]
        app = _cut(name or "No application", APP_COLUMNS)
        if not apart:
            shown.add_row(plain(app, "bold"))
        for at, use in enumerate(uses):
            hue = _DOTS[min(providers.index(use.provider), len(_DOTS) - 1)]
            # Where it does not fit a name is cut, never a figure.
            model = styled("[{}]■[/] {}", hue, _cut(use.model or NO_PRICE, MODEL_COLUMNS))
            first = [plain("" if at else app, "bold")] if apart else []
            shown.add_row(*first, model, *_counts(use, heads))
        if len(uses) > 1:
            total = in_words(sum(use.cents for use in uses))
            first = [plain("")] if apart else []
            shown.add_row(*first, plain(f"{app}, total", "dim"), *blank, plain(total, "bold"))
        shown.add_section()
    whole = plain(in_words(found.metered_cents), "bold")
    first = [plain("Metered usage", "bold"), *([plain("list price", "dim")] if apart else [])]
    shown.add_row(*first, plain(f"{found.requests:,}", "bold"), *blank[1:], whole)
    return shown


def _cut(name: str, columns: int) -> str:
    name = visible(name)
    return name if len(name) <= columns else f"{name[: columns - 1]}…"


def _counts(use: Use, heads: Sequence[str]) -> tuple[str, ...]:
    counts = (use.uncached, use.cached, use.written, use.output)
    said = (f"{use.requests:,}", *map(tokens, counts), in_words(use.cents))
    return tuple(cell for head, cell in zip(_HEADS, said, strict=True) if head in heads)


def _people(found: Statement, names: Mapping[str, str]) -> RenderableType:
    shown = grid(expand=True, padding=(0, 2, 0, 0))
    shown.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
    shown.add_column(justify="right", style="dim", no_wrap=True)
    shown.add_column(justify="right", no_wrap=True)
    for use in found.people:
        name = names.get(use.user, use.user)
        shown.add_row(name, f"{use.requests:,} requests", in_words(use.cents))
    if found.others:
        rest = found.others_use
        count = styled("[dim]{:,} others[/]", found.others)
        shown.add_row(count, f"{rest.requests:,} requests", in_words(rest.cents))
    return Group(plain("People with the highest use", style="bold"), shown)


def _method(found: Statement) -> RenderableType:
    said = grid(padding=(0, 1, 0, 0))
    said.add_column(justify="right", style="dim")
    said.add_column(style="dim", ratio=1)
    for at, sentence in enumerate(found.method, start=1):
        said.add_row(f"{at}.", sentence)
    parts: list[RenderableType] = [plain("How the amount was reached", style="bold"), said]
    if found.journal:
        entry = table("", (("journal", "left"), ("account", "left"), ("debit", "right"), ("credit", "right")))  # fmt: skip
        entry.expand = True
        for line in found.journal:
            debit = in_words(line.debit_cents) if line.debit_cents else ""
            credit = in_words(line.credit_cents) if line.credit_cents else ""
            entry.add_row(line.centre, line.said, debit, credit)
        parts.append(Padding(entry, (1, 0, 0, 0)))
    return Group(*parts)


def _seal(found: Statement) -> RenderableType:
    seal = found.seal
    said = [f"SHA-256 of {seal.rows:,} ledger rows: {seal.digest}"]
    if seal.approved_by:
        said.append(f"Approved by {seal.approved_by}, {seal.approved_at}")
    if seal.posted_by:
        said.append(f"Posted by {seal.posted_by}, {seal.posted_at}, journal {seal.journal}")
    return Group(*(plain(line, style="dim") for line in said))


# ── the summary ──────────────────────────────────────────────────────────────────────────────────


def drawn_summary(found: Summary) -> RenderableType:
    """Every cost centre, unallocated last, the total, and what it ties to."""
    hue = _HUES[found.state]
    so_far = f" so far, through {found.through}" if found.through else ""
    title = styled(
        "Chargeback {}{}  [{}]● {}[/]", month_name(found.period), so_far, hue, SAID[found.state]
    )
    shown = fitting(*(partial(_shares, found, title, is_barred=barred) for barred in (True, False)))
    return Group(shown, plain(""), _ties(found))


def _shares(found: Summary, title: Text, *, is_barred: bool) -> Table:
    """With a bar of the share where there is room for whole ones."""
    heads = (("cost centre", "left"), ("owner", "left"), ("requests", "right"), ("charged", "right"), ("share", "right"))  # fmt: skip
    has_gaps = any(share.unpriced for share in found.shares)
    last = (
        *((("", "left"),) if is_barred else ()),
        *((("unpriced", "right"),) if has_gaps else ()),
    )
    shown = table(title, (*heads, *last))
    shown.box, shown.show_edge = box.SIMPLE_HEAD, False
    for column in shown.columns[:2]:
        column.no_wrap, column.overflow = True, "ellipsis"
    for share in found.shares:
        thousandths = share.cents * 1000 // found.cents if found.cents else 0
        length = max(0, min(BAR_COLUMNS, thousandths * BAR_COLUMNS // 1000))
        bar = styled("[blue]{}[/][dim]{}[/]", "━" * length, "╌" * (BAR_COLUMNS - length))
        missing = styled("[yellow]▲ {:,}[/]", share.unpriced) if share.unpriced else plain("")
        name = share.centre.name or ("" if share.centre.code else "Unallocated")
        shown.add_row(
            named(name, share.centre.code, NAME_COLUMNS),
            share.centre.owner or styled("[dim]—[/]"),
            f"{share.requests:,}",
            in_words(share.cents),
            percent(share.cents, found.cents),
            *((bar,) if is_barred else ()),
            *((missing,) if has_gaps else ()),
        )
    shown.add_section()
    total = (f"{found.requests:,}", in_words(found.cents), "100.0 %" if found.cents else "")
    shown.add_row(plain("Total", "bold"), "", *(plain(cell, "bold") for cell in total))
    return shown


def _ties(found: Summary) -> Text:
    """What the total consists of, and that teams and providers sum to the ledger's part."""
    parts = " + ".join(f"{one.name} {in_words(one.cents)}" for one in found.parts)
    said = styled("[dim]= {}[/]\n", parts)
    ledger = found.parts[0].cents if found.parts else 0
    for name, listed in (("teams", found.teams), ("providers", found.providers)):
        is_equal = sum(one.cents for one in listed) == ledger
        mark = styled("[green]✓[/]" if is_equal else "[bold red]✗[/]")
        told = styled(
            "{} [dim]{} {} sum to the ledger: {}[/]\n", mark, len(listed), name, _largest(listed)
        )
        said.append_text(told)
    said.rstrip()
    return said


def _largest(listed: Sequence[Part]) -> str:
    shown = ", ".join(f"{one.name or 'none'} {in_words(one.cents)}" for one in listed[:3])
    return f"{shown}{', …' if len(listed) > 3 else ''}"  # noqa: PLR2004  # the three that were shown
