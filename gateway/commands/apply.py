"""weighbridge apply: budgets from a file under version control; the diff, then all of it or nothing."""

import tomllib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.text import Text

from gateway import shipped
from gateway.commands.authors import author_of
from gateway.commands.budgets import changes, records
from gateway.commands.budgets.command import with_store
from gateway.commands.output import CONSOLE, emit, styled
from gateway.config import Config
from gateway.kernel.errors import ConfigurationError
from gateway.providers import installed
from gateway.quota import draft
from gateway.quota.budget import Budget
from gateway.quota.plan import Edit, planned
from gateway.storage.budgets import BudgetStore

LIST: Final = "budgets"


def apply(
    *,
    file: Annotated[Path, typer.Option("--file", "-f", help="a file with [[budgets]]")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only say what would change")] = False,
    prune: Annotated[bool, typer.Option("--prune", help="remove what is not in the file")] = False,
    author: Annotated[str | None, typer.Option(help="else the system's user")] = None,
    config: Annotated[Path | None, typer.Option()] = None,
    json: Annotated[bool, typer.Option("--json", help="one object per line")] = False,
) -> None:
    """Make the budgets those of a file; usage is kept. Applying twice changes nothing."""
    configured = shipped.configured(config)
    drafts = read(file, configured)

    def plan(current: Sequence[Budget]) -> Sequence[Edit]:
        return planned(current, drafts, prune=prune)

    async def carry_out(store: BudgetStore) -> Sequence[Edit]:
        if dry_run:
            return plan(await store.list())
        return await store.revise(plan, author_of(author), "apply")

    edits = with_store(configured, carry_out)
    for edit in edits:
        if json:
            emit(records.edit(edit) | {"dry_run": dry_run})
        else:
            CONSOLE.print(changes.edit(edit, dry_run=dry_run))
    if json:
        emit(_counts(edits, len(drafts)) | {"dry_run": dry_run})
    else:
        CONSOLE.print(_summary(edits, len(drafts), dry_run=dry_run), highlight=False)


def read(file: Path, configured: Config) -> list[draft.Draft]:
    """The budgets of a file. Raises ConfigurationError with every mistake: file, key and what is expected."""
    try:
        raw = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError((f"{file}: (file): {error.strerror}",)) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError((f"{file}: (file): not TOML: {error}",)) from error
    problems = [
        f"{file}: {key}: unknown; a file of budgets has [[{LIST}]] only"
        for key in raw.keys() - {LIST}
    ]
    tables = raw.get(LIST, [])
    if not isinstance(tables, list) or not all(isinstance(one, dict) for one in tables):
        raise ConfigurationError((*problems, f"{file}: {LIST}: expected [[{LIST}]] tables"))
    names = [provider.name for provider in installed()]
    found, places = [], Counter[str]()
    for at, table in enumerate(tables):
        one, wrong = draft.read(table, zone=configured.org.timezone, providers=names)
        problems += [f"{file}: {LIST}[{at}].{each.key}: {each.text}" for each in wrong]
        if one is not None:
            found.append(one)
            places[one.budget.name] += 1
            if places[one.budget.name] > 1:
                problems.append(f"{file}: {LIST}[{at}].name: expected another name, {one.budget.name!r} is in the file already")  # fmt: skip
    if problems:
        raise ConfigurationError(tuple(problems))
    return found


def _counts(edits: Sequence[Edit], wanted: int) -> dict[str, object]:
    done = Counter(edit.action for edit in edits)
    kept = wanted - done["add"] - done["change"]
    return {
        "added": done["add"],
        "changed": done["change"],
        "removed": done["remove"],
        "unchanged": kept,
    }


def _summary(edits: Sequence[Edit], wanted: int, *, dry_run: bool) -> Text:
    said = ", ".join(f"{count} {word}" for word, count in _counts(edits, wanted).items())
    if not edits:
        return styled("[green]✓[/] nothing to change: {}", said)
    return styled("dry run, nothing was changed: {}" if dry_run else "[green]✓[/] {}", said)
