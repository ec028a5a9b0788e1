"""How a reconciliation is shown: one row per provider as a controller reads it, then what needs a look.

To add a column: in ``_summary`` or ``_lines`` and in ``records``.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from rich.console import RenderableType
from rich.text import Text

from gateway.commands.output import Table, plain, styled, table, usd
from gateway.kernel.money import round_cents
from gateway.reporting.amounts import in_cents, in_words
from gateway.reporting.causes import MATCHED, SETTLED
from gateway.reporting.reconciliation import Line, Reconciled

_CLOUDS: Final = {"entra": "Microsoft Azure", "aws": "Amazon Web Services", "adc": "Google Cloud"}
_HUES: Final = {"open": "red", "unread": "red", "outside the gateway": "yellow"}
_LINES_MAX, _APART_MAX = 40, 15
_MINUS: Final = "\N{MINUS SIGN}"


def drawn(found: Sequence[Reconciled], month: str, *, show_all: bool) -> Iterator[RenderableType]:
    """The summary, the lines that differ, what is apart."""
    yield _summary(found, month)
    for one in found:
        lines = [line for line in one.lines if show_all or line.cause != MATCHED]
        if lines:
            yield _lines(one, lines)
        if one.apart:
            yield _apart(one)
        for said in one.bill.refused:
            yield plain(f"  ✗ refused: {said}", style="red")
    if found:
        yield styled("\n[dim]For the close (--to reconciled --note): {}[/]", note(found))


def note(found: Sequence[Reconciled]) -> str:
    """How metered and invoiced compare, in one sentence: what the month's statements print once it is reconciled."""
    metered, invoiced = sum(o.metered_pico for o in found), sum(o.invoiced_pico for o in found)
    numbers = ", ".join(number for one in found for number in one.bill.numbers[:2])
    said = f"Metered {_amount(metered)}, invoiced {_amount(invoiced)}"
    said += f" (invoices {numbers})" if numbers else ""
    causes: dict[str, int] = {}
    for one in found:
        for cause, pico in one.by_cause().items():
            causes[cause] = causes.get(cause, 0) + pico
    parts = [
        f"{cause} {_amount(pico)}" for cause, pico in causes.items() if cause != MATCHED and pico
    ]
    return f"{said}: {'; '.join(parts) or 'every token class agrees'}."


def _summary(found: Sequence[Reconciled], month: str) -> Table:
    heads = (("metered", "right"), ("invoiced", "right"), ("difference", "right"), ("%", "right"))
    columns = (("provider", "left"), ("invoice", "left"), *heads)
    shown = table(f"Metered against invoiced, {month}", (*columns, ("what explains it", "left"), ("verdict", "left")), ("what explains it", "%"))  # fmt: skip
    shown.prose = ("what explains it",)
    metered, invoiced = sum(o.metered_pico for o in found), sum(o.invoiced_pico for o in found)
    # The same rounding as everywhere: columns sum to their totals, and a line's difference is that of its two amounts.
    ours = in_cents([o.metered_pico for o in found], round_cents(metered))
    theirs = in_cents([o.invoiced_pico for o in found], round_cents(invoiced))
    for one, our, their in zip(found, ours, theirs, strict=True):
        shown.add_row(
            _CLOUDS[one.bill.cloud],
            ", ".join(one.bill.numbers[:2]) or "not named",
            in_words(our),
            styled("[bold]{}[/]", in_words(their)),
            in_words(their - our),
            _percent(one.invoiced_pico - one.metered_pico, one.metered_pico),
            _explained(one),
            verdict(one),
        )
    shown.add_section()
    amounts = (sum(ours), sum(theirs), sum(theirs) - sum(ours))
    shown.add_row(styled("[bold]Total[/]"), "", *(styled("[bold]{}[/]", in_words(c)) for c in amounts), _percent(invoiced - metered, metered), "", "")  # fmt: skip
    return shown


def _explained(one: Reconciled) -> str:
    parts = [
        f"{cause} ({_amount(pico)})" for cause, pico in one.by_cause().items() if cause != MATCHED
    ]
    return "; ".join(parts) or "every token class of every model agrees"


def verdict(one: Reconciled) -> Text:
    """One word with its colour: never colour alone."""
    causes = {line.cause for line in one.lines if not line.is_confirmed}
    if one.bill.unread:
        return styled("[red]Unread meters[/]")
    for cause, hue in _HUES.items():
        if cause in causes:
            return styled("[{}]{}[/]", hue, cause.capitalize())
    return styled("[green]Matched[/]") if causes <= SETTLED else styled("[yellow]Explained[/]")


def _lines(one: Reconciled, lines: Sequence[Line]) -> Table:
    columns = (
        ("model", "left"),
        ("class", "left"),
        ("metered tokens", "right"),
        ("invoiced tokens", "right"),
    )
    money = (("difference", "right"), ("cause", "left"), ("what explains it", "left"))
    is_daily = any(line.day for line in lines)
    first = (("day", "left"),) if is_daily else ()
    shown = table(
        f"\n{_CLOUDS[one.bill.cloud]}",
        (*first, ("account", "left"), *columns, *money),
        ("account", "metered tokens", "class"),
    )
    shown.prose = ("what explains it",)
    for line in lines[:_LINES_MAX]:
        hue = _HUES.get(line.cause, "dim" if line.cause in SETTLED else "default")
        name = f"{line.direction} {line.cache}".strip()
        model = styled("{} [dim](proposed)[/]" if line.guessed else "{}", line.model or "not known")
        note = styled("[green]confirmed[/] {}", line.note) if line.is_confirmed else line.note  # fmt: skip
        shown.add_row(
            *([line.day] if is_daily else []),
            line.account or "none",
            model,
            name,
            f"{line.metered_tokens:,}",
            f"{line.invoiced_tokens:,}",
            _amount(line.off_pico),
            styled("[{}]{}[/]", hue, line.cause),
            note,
        )
    if len(lines) > _LINES_MAX:
        shown.add_row(*([""] if is_daily else []), styled("[dim]{} more: --json[/]", len(lines) - _LINES_MAX))  # fmt: skip
    return shown


def _apart(one: Reconciled) -> Table:
    columns = (
        ("listed apart", "left"),
        ("account", "left"),
        ("meter", "left"),
        ("rows", "right"),
        ("invoiced", "right"),
    )
    shown = table("", columns)
    for part in sorted(
        one.apart, key=lambda each: (each.why not in ("unread", "refused"), -abs(each.pico))
    )[:_APART_MAX]:
        hue = "red" if part.why in ("unread", "refused") else "dim"
        cells = (part.account, part.name, f"{part.rows:,}", _amount(part.pico))
        shown.add_row(styled("[{}]{}[/]", hue, part.why), *cells)
    if len(one.apart) > _APART_MAX:
        shown.add_row(
            "", "", styled("[dim]{} more: --json[/]", len(one.apart) - _APART_MAX), "", ""
        )
    return shown


def _amount(pico: int) -> str:
    """Cents; what is less than half a cent and not zero says so."""
    cents = round_cents(pico)
    if cents == 0 and pico:
        return f"{_MINUS if pico < 0 else ''}<$0.01"
    return in_words(cents)


def _percent(off: int, whole: int) -> str:
    if not whole:
        return "n/a" if off else "0.00"
    parts = off * 10_000 // whole if off >= 0 else -(-off * 10_000 // whole)
    return f"{_MINUS if parts < 0 else ''}{abs(parts) // 100}.{abs(parts) % 100:02}"


def records(found: Iterable[Reconciled], month: str) -> Iterator[dict[str, object]]:
    """Lines, what is apart, a total per provider, the sentence for the close; money as decimal text in USD."""
    found = list(found)
    if found:
        yield {"line": "note", "month": month, "text": note(found)}
    for one in found:
        head: dict[str, object] = {"month": month, "provider": _CLOUDS[one.bill.cloud]}
        for line in one.lines:
            yield {"line": "pair", **head, **_pair(line)}
        for part in one.apart:
            yield {"line": "apart", **head, "why": part.why, "account": part.account, "meter": part.name, "rows": part.rows, "invoiced_usd": usd(part.pico)}  # fmt: skip
        for said in one.bill.refused:
            yield {"line": "refused", **head, "message": said}
        yield {
            "line": "total",
            **head,
            "invoices": list(one.bill.numbers),
            "metered_usd": usd(one.metered_pico),
            "invoiced_usd": usd(one.invoiced_pico),
            "difference_usd": usd(one.invoiced_pico - one.metered_pico),
            "bill_usd": usd(one.bill.pico),
            "rows": one.bill.rows,
            "rows_of_other_services": one.bill.elsewhere,
            "unread": len(one.bill.unread),
            "causes_usd": {cause: usd(pico) for cause, pico in one.by_cause().items()},
        }


def _pair(line: Line) -> dict[str, object]:
    return {
        "key": line.key,
        "account": line.account,
        "model": line.model,
        "direction": line.direction,
        "cache": line.cache,
        "day": line.day or None,
        "metered_tokens": line.metered_tokens,
        "invoiced_tokens": line.invoiced_tokens,
        "metered_usd": usd(line.metered_pico),
        "invoiced_usd": usd(line.invoiced_pico),
        "difference_usd": usd(line.off_pico),
        "cause": line.cause,
        "note": line.note,
        "confirmed": line.is_confirmed,
        "model_proposed": line.guessed,
    }
