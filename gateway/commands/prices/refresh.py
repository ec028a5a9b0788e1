"""weighbridge prices refresh: the shipped price files held against their sources, as a diff to review."""

import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from importlib import resources
from pathlib import Path
from typing import Annotated, Final

import typer

from gateway import shipped
from gateway.catalog import lines, manifest as pinned
from gateway.catalog.figure import SourceUnreadable
from gateway.catalog.growth import Growth, grown
from gateway.catalog.lines import Cells
from gateway.catalog.manifest import Package
from gateway.catalog.proposals import proposals
from gateway.catalog.refresh import Delta, Dispute, Outcome, Verdict, refresh, unread
from gateway.catalog.sources import Sources
from gateway.commands.output import CONSOLE, emit, stop, styled, table
from gateway.commands.prices.feeds import emit_offers, read_feeds, show_offers
from gateway.kernel.clock import SystemClock, epoch_us, instant

REVIEW: Final = "review/disputes.csv"
_SHOWN: Final = 40
_MEANING: Final = {
    Verdict.HELD: "every source it names still states the figure",
    Verdict.RULE: "charged as another unit, free by a remark, or written by hand",
    Verdict.ENDED: "history",
    Verdict.REPLACED: "moved: the provider says so, or two sources agree",
    Verdict.ANNOUNCED: "stands, and a dated source says that it will move",
    Verdict.DISPUTED: "moved: sources differ, or only one says so",
    Verdict.GONE: "no source states it any more",
}


def refresh_prices(
    *,
    wheels: Annotated[
        Path | None, typer.Option(help="a folder with the packages; else pip fetches them")
    ] = None,
    package: Annotated[
        list[str] | None, typer.Option(help="NAME==VERSION in place of the pinned one")
    ] = None,
    retail: Annotated[
        list[str] | None,
        typer.Option(help="pages of Azure's retail price list: files or an address"),
    ] = None,
    offers: Annotated[
        list[str] | None,
        typer.Option(help="offer files of the AWS price list, held against the book"),
    ] = None,
    day: Annotated[
        datetime | None,
        typer.Option("--on", formats=["%Y-%m-%d"], help="as of this day; else today"),
    ] = None,
    folder: Annotated[
        Path | None, typer.Option(help="price files; else those that ship with this program")
    ] = None,
    accept: Annotated[
        list[str] | None,
        typer.Option(
            help="PROVIDER/MODEL, * allowed: one source is enough, because you have looked"
        ),
    ] = None,
    write: Annotated[bool, typer.Option("--write", help="write the files; else only show")] = False,
    json: Annotated[bool, typer.Option("--json", help="one object per line")] = False,
) -> None:
    """Look every figure up again where its source_ref says; show what moved, what is new, what is disputed."""
    place = folder or Path(str(resources.files("gateway.pricing"))) / "seed"
    files = _price_files(place)
    as_of = day.date() if day else instant(SystemClock().wall_us()).astimezone(UTC).date()
    feeds = read_feeds(retail or (), offers or (), as_of)
    held = feeds.over(sources(package or (), wheels))
    outcome, growth = refreshed(files, held, as_of, accept or ())
    moved, listed = _changed(place, growth), feeds.checked(growth.files)
    if json:
        _emit(outcome, growth, unread(growth.files, held))
        emit_offers(listed)
    else:
        _show(outcome, growth, moved, unread(growth.files, held))
        show_offers(listed, feeds.silent)
    if write:
        _write(place, moved)
    elif moved and not json:
        CONSOLE.print(styled("[dim]nothing is written: review the diff, then add --write[/]"))
    if outcome.disputes or any(checked.verdict == "differs" for checked in listed):
        raise SystemExit(1)


def refreshed(
    files: Mapping[str, bytes], held: Sources, day: date, accept: Sequence[str] = ()
) -> tuple[Outcome, Growth]:
    """What became of the lines there are, and which come to them."""
    outcome = refresh(files, held, day, accept)
    proposed = proposals(outcome.files, held, day)
    return outcome, grown(outcome.files, proposed, accept, _noon(day))


def _price_files(place: Path) -> dict[str, bytes]:
    files = {path.name: path.read_bytes() for path in sorted(place.glob("*.csv"))}
    if not files:
        stop(f"{place}: no price files")
    return files


def _changed(place: Path, growth: Growth) -> dict[str, bytes]:
    """The files whose content is another one than what lies in the folder."""
    made = {**growth.files, REVIEW: lines.write(growth.waiting)}
    return {name: content for name, content in made.items() if content != _content(place / name)}


def _write(place: Path, moved: Mapping[str, bytes]) -> None:
    (place / REVIEW).parent.mkdir(exist_ok=True)
    for name, content in moved.items():
        (place / name).write_bytes(content)


def _noon(day: date) -> int:
    return epoch_us(datetime(day.year, day.month, day.day, 12, tzinfo=UTC))


def _content(path: Path) -> bytes:
    return path.read_bytes() if path.is_file() else b""


def sources(instead: Iterable[str], wheels: Path | None) -> Sources:
    """The packaged sources. Stops where one is not to be had or not what it should be."""
    try:
        wanted = pinned.packages(shipped.source_manifest(), instead)
        if wheels is not None:
            return pinned.assembled(_members(wanted, wheels))
        with tempfile.TemporaryDirectory() as room:
            _fetch(wanted, Path(room))
            return pinned.assembled(_members(wanted, Path(room)))
    except SourceUnreadable as error:
        stop(str(error))


def _fetch(wanted: Iterable[Package], room: Path) -> None:
    """Let pip download the packages, without installing them or what they need."""
    names = [package.requirement for package in wanted]
    words = ("download", "--no-deps", "--only-binary", ":all:", "--quiet", "--dest", str(room))
    done = subprocess.run(  # noqa: S603  # our own interpreter, names from our own manifest
        [sys.executable, "-m", "pip", *words, *names], capture_output=True, text=True, check=False
    )
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["pip failed"])[-1]
        raise SourceUnreadable(f"{' '.join(names)}: {said}: fetch them yourself and name --wheels")


def _members(wanted: Iterable[Package], room: Path) -> dict[Package, bytes]:
    found = {}
    for package in wanted:
        stem = f"{package.name.replace('-', '_')}-{package.version}-"
        archive = next(
            (path for path in sorted(room.glob("*.whl")) if path.name.startswith(stem)), None
        )
        if archive is None:
            raise SourceUnreadable(f"{package.requirement}: no such wheel in {room}")
        found[package] = pinned.member(package, archive.read_bytes())
    return found


def _emit(outcome: Outcome, growth: Growth, meters: Sequence[tuple[str, str]]) -> None:
    for product, name in meters:
        emit({"verdict": "unread", "product": product, "meter": name})
    for line in growth.added:
        emit({"verdict": "added", "line": line})
    for line in growth.waiting:
        emit({"verdict": "waiting", "line": line})
    for delta in outcome.deltas:
        emit({"verdict": str(Verdict.REPLACED), "before": delta.before, "after": delta.after})
    for dispute in outcome.disputes:
        stated = {
            found.source: None
            if found.figure is None
            else found.figure.text(int(dispute.line["per"]))
            for found in dispute.stated
        }
        emit({"verdict": str(dispute.verdict), "line": dispute.line, "stated": stated})
    emit({"verdict": None, "lines": {str(verdict): n for verdict, n in outcome.counts.items()}})


def _show(
    outcome: Outcome,
    growth: Growth,
    moved: Mapping[str, bytes],
    meters: Sequence[tuple[str, str]],
) -> None:
    counted = table("", (("lines", "right"), ("verdict", "left"), ("meaning", "left")))
    for verdict in Verdict:
        counted.add_row(f"{outcome.counts[verdict]:,}", str(verdict), _MEANING[verdict])
    CONSOLE.print(counted)
    _show_deltas(outcome.deltas)
    _show_disputes(outcome.disputes)
    _show_new("added", growth.added)
    _show_new(f"waiting in {REVIEW}: one source only, or implausible", growth.waiting)
    if meters:
        products = Counter(product for product, _ in meters)
        said = ", ".join(f"{product} {count}" for product, count in products.most_common())
        CONSOLE.print(
            styled(
                "[dim]{} meters are referred to by no row (--json names them): {}[/]",
                len(meters),
                said,
            ),
            highlight=False,
        )
    changed = ", ".join(moved) or "no file"
    CONSOLE.print(
        f"{changed} would change" if moved else styled("[green]✓[/] every file stands as it is")
    )


def _show_deltas(deltas: tuple[Delta, ...]) -> None:
    if not deltas:
        return
    shown = table(
        "replaced",
        (("row", "left"), ("from", "left"), ("was", "right"), ("is", "right"), ("source", "left")),
    )
    for delta in deltas[:_SHOWN]:
        after = delta.after
        shown.add_row(
            _named(after),
            after["valid_from"],
            delta.before["price"],
            after["price"],
            after["source"],
        )
    CONSOLE.print(shown)
    _more(len(deltas))


def _show_disputes(disputes: tuple[Dispute, ...]) -> None:
    if not disputes:
        return
    shown = table(
        "for a person",
        (("row", "left"), ("verdict", "left"), ("is", "right"), ("sources state", "left")),
    )
    for dispute in disputes[:_SHOWN]:
        per = int(dispute.line["per"])
        stated = ", ".join(
            f"{found.source}: {'nothing' if found.figure is None else found.figure.text(per)}"
            for found in dispute.stated
        )
        shown.add_row(_named(dispute.line), str(dispute.verdict), dispute.line["price"], stated)
    CONSOLE.print(shown)
    _more(len(disputes))


def _show_new(title: str, found: tuple[Cells, ...]) -> None:
    by_model: dict[tuple[str, str], list[Cells]] = defaultdict(list)
    for line in found:
        by_model[line["provider"], line["model"]].append(line)
    if not by_model:
        return
    shown = table(
        title, (("model", "left"), ("lines", "right"), ("where", "left"), ("from", "left"))
    )
    for (provider, model), group in list(by_model.items())[:_SHOWN]:
        where = dict.fromkeys(f"{line['scope']} {line['tier']}" for line in group)
        refer = next((line["source_ref"] for line in group if line["source"]), "")
        shown.add_row(f"{provider}/{model}", str(len(group)), ", ".join(where), refer)
    CONSOLE.print(shown)
    _more(len(by_model))


def _named(line: Cells) -> str:
    words = (line[name] for name in ("provider", "model", "scope", "geo", "region", "tier", "unit"))
    above = f">{int(line['context_gt']):,}" if line["context_gt"] != "0" else ""
    return "/".join(word or "-" for word in words) + above


def _more(count: int) -> None:
    if count > _SHOWN:
        CONSOLE.print(styled("[dim]… and {} more: --json shows all[/]", count - _SHOWN))
