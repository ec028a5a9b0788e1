"""weighbridge budgets: set, list, show, raise and remove limits; their history and their alerts."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Annotated, Final, NoReturn, TypeVar, cast

import msgspec
import typer

from gateway import app as composition, shipped
from gateway.commands.authors import Author, author_of
from gateway.commands.budgets import changes, pictures, records
from gateway.commands.known import SCOPED, tell, tell_scope
from gateway.commands.names import instead, name_of
from gateway.commands.output import CONSOLE, emit, stop, stop_all
from gateway.commands.prices.imports import current_book
from gateway.commands.prices.undecided import tell_unfit
from gateway.config import Config
from gateway.kernel.clock import SystemClock
from gateway.kernel.errors import NotFound, Unavailable
from gateway.providers import installed
from gateway.quota import draft
from gateway.quota.budget import Budget, Raise
from gateway.quota.fields import Fields, Problem
from gateway.quota.form import KEYS, MEASURE_KEYS, toml, written
from gateway.quota.plan import Edit, edited
from gateway.storage.budgets import BudgetStore

T = TypeVar("T")
TOP: Final = 5
Text = Annotated[str | None, typer.Option()]
Path_ = Annotated[Path | None, typer.Option("--config", help="configuration file")]
Json = Annotated[bool, typer.Option("--json", help="one object per line")]
Name = Annotated[str, typer.Argument(help="its name or id, as `budgets list` shows it")]

budgets = typer.Typer(
    help="Budgets: what a scope may use in a window, and what of it is used.", no_args_is_help=True
)


def with_store(
    configured: Config, work: Callable[[BudgetStore], Awaitable[T]], name: str | None = None
) -> T:
    """Do something with the budgets of a configuration; with the one of a ``name``, which ends with status 2 if none has it."""
    composition.ready_store(configured)

    async def run() -> T:
        async with (
            composition.opened(configured) as database,
            composition.budget_store(configured, database) as store,
        ):
            try:
                return await work(store)
            except NotFound:
                there = [budget.name for budget in await store.list()]
                shown = instead(name or "", there, "weighbridge budgets list")
                stop(f"there is no budget {name!r}{shown}")

    return asyncio.run(run())


@budgets.command("set")
def set_budget(
    *,
    org: Text = None,
    team: Text = None,
    cost_centre: Text = None,
    user: Text = None,
    app: Text = None,
    key: Annotated[str | None, typer.Option(help="a key id")] = None,
    provider: Text = None,
    model: Annotated[str | None, typer.Option(help="a glob, e.g. 'gpt-5*'")] = None,
    tag: Annotated[str | None, typer.Option(help="name=value")] = None,
    each: Annotated[str | None, typer.Option(help="a counter for each user, team, …")] = None,
    usd: Annotated[str | None, typer.Option(help="net price, e.g. 500")] = None,
    usd_list: Annotated[str | None, typer.Option(help="list price")] = None,
    tokens: Text = None,
    input_tokens: Text = None,
    output_tokens: Text = None,
    unit: Annotated[str | None, typer.Option(help="NAME=N, e.g. web_search_requests=100")] = None,
    requests: Text = None,
    concurrent: Annotated[str | None, typer.Option(help="requests at a time")] = None,
    window: Annotated[
        str | None, typer.Option(help="minute, day, week, month, quarter, year or always")
    ] = None,
    tz: Annotated[str | None, typer.Option(help="of the window; else the org's")] = None,
    year_start: Annotated[int | None, typer.Option(help="first month of the fiscal year")] = None,
    hard: Annotated[bool, typer.Option("--hard", help="refuse when it is spent (default)")] = False,
    soft: Annotated[bool, typer.Option("--soft", help="count and alert only")] = False,
    shadow: Annotated[bool, typer.Option("--shadow", help="mark what it would refuse")] = False,
    carry_over: Annotated[int | None, typer.Option(help="percent of the limit")] = None,
    burst: Annotated[int | None, typer.Option(help="percent of a minute's limit")] = None,
    alert: Annotated[str | None, typer.Option(help="percentages: 50,80,100; or none")] = None,
    alert_forecast: Annotated[str | None, typer.Option(help="the same, of the forecast")] = None,
    store_down: Annotated[
        str | None, typer.Option(help="deny, allow or allow-within=PERCENT")
    ] = None,
    zero_priced: Annotated[bool | None, typer.Option(help="free requests pass a spent one")] = None,
    clamp: Annotated[bool | None, typer.Option(help="lower ceilings to what is left")] = None,
    stop_: Annotated[bool | None, typer.Option("--stop/--no-stop", help="end streams")] = None,
    name: Annotated[str | None, typer.Option(help="else made from scope and measure")] = None,
    rename: Annotated[str | None, typer.Option(help="a new name for the one of --name")] = None,
    author: Author = None,
    config: Path_ = None,
    json: Json = False,
) -> None:
    """Make a budget, or change of an existing one what is named; usage is kept."""
    given = dict(locals())
    modes = [mode for mode in ("hard", "soft", "shadow") if given.pop(mode)]
    given["stop"] = given.pop("stop_")
    asked = {key: given[key] for key in KEYS if given.get(key) is not None}
    problems = _listed(asked)
    name_of(rename, "--rename")
    if len(modes) > 1:
        problems.append(Problem("mode", f"expected one of --hard, --soft, --shadow, found {len(modes)}"))  # fmt: skip
    asked |= {"mode": modes[0]} if modes else {}
    configured = shipped.configured(config)
    plan = _setting(configured, asked, rename, problems)
    (edit,) = with_store(configured, lambda store: store.revise(plan, author_of(author))) or (None,)
    tell_scope(configured, [(kind, given[kind.replace(" ", "_")]) for kind in SCOPED])
    if model is not None:
        tell_unfit(current_book(configured), model=model)
    if json:
        emit(records.edit(edit) if edit else {"action": "none"})
    else:
        CONSOLE.print(changes.edit(edit) if edit else "nothing to change: it is so already")


def _listed(asked: dict[str, object]) -> list[Problem]:
    """'50,80' as a list, in place; none, or an empty text, for no alerts."""
    for key in ("org", "team", "cost_centre", "user", "app", "key", "name"):
        name_of(cast("str | None", asked.get(key)), f"--{key.replace('_', '-')}")
    problems = []
    for key in ("alert", "alert_forecast"):
        text = asked.get(key)
        if isinstance(text, str):
            words = [word.strip() for word in text.split(",") if word.strip() not in {"", "none"}]
            asked[key] = [int(word) for word in words if word.isdecimal()]
            if not all(word.isdecimal() for word in words):
                problems.append(Problem(key, f"expected percentages such as 50,80,100, or none, found {text!r}"))  # fmt: skip
    return problems


def _setting(
    configured: Config, asked: dict[str, object], rename: str | None, problems: list[Problem]
) -> Callable[[Sequence[Budget]], Sequence[Edit]]:
    """What ``set`` does to the budgets there are: what is asked on top of the one of that name."""

    def read(table: dict[str, object]) -> draft.Draft:
        zone, names = configured.org.timezone, [provider.name for provider in installed()]
        found, wrong = draft.read(table, zone=zone, providers=names)
        if found is None or problems:
            refuse((*problems, *wrong))
        return found

    def plan(current: Sequence[Budget]) -> Sequence[Edit]:
        name = asked.get("name") or _default_name(asked, read)
        before = next((one for one in current if name in {one.name, one.id}), None)
        if before is None and rename:
            there = instead(str(name), [one.name for one in current], "weighbridge budgets list")
            stop(f"--rename: there is no budget {name!r} to rename{there}")
        table = dict(written(before)) if before else {}
        if any(key in asked for key in MEASURE_KEYS):
            table = {key: value for key, value in table.items() if key not in MEASURE_KEYS}
        table |= {key: value for key, value in asked.items() if key != "name"}
        table["name"] = rename or (before.name if before else name)
        edit = edited(before, read(table))
        return [] if edit.before == edit.after else [edit]

    return plan


def _default_name(
    asked: dict[str, object], read: Callable[[dict[str, object]], draft.Draft]
) -> str:
    return read(asked).budget.name


def refuse(problems: Sequence[Problem]) -> NoReturn:
    """Say every mistake by its option; end with status 2."""
    words = {"mode": "--soft"}
    stop_all(
        f"{words.get(one.key) or '--' + one.key.replace('_', '-')}: {one.text}" for one in problems
    )


@budgets.command("list")
def list_budgets(
    *,
    as_toml: Annotated[bool, typer.Option("--toml", help="as a file for `apply`")] = False,
    config: Path_ = None,
    json: Json = False,
) -> None:
    """Every budget, by name: scope, measure, limit, window and mode."""
    found = with_store(shipped.configured(config), lambda store: store.list())
    if as_toml:
        typer.echo(toml(found), nl=False)
    elif json:
        for budget in found:
            emit(records.budget(budget))
    else:
        CONSOLE.print(changes.listed(found))


@budgets.command()
def show(
    name: Annotated[str | None, typer.Argument(help="one budget, by name or id; else all")] = None,
    *,
    top: Annotated[int, typer.Option(help="fullest counters of a split budget", min=1)] = TOP,
    config: Path_ = None,
    json: Json = False,
) -> None:
    """How budgets stand: spent, held, left, forecast, and when they free."""

    async def ask(store: BudgetStore) -> pictures.Shown:
        found = await store.list() if name is None else [await store.named(name)]
        alerts = await store.alerts(found[0].id) if name else []
        return pictures.Shown(await store.stand(found, top), alerts)

    shown = _shown(shipped.configured(config), ask, name)
    if json:
        for one in shown.stands:
            for standing in one.fullest:
                emit(records.standing(standing))
    elif name is None:
        CONSOLE.print(pictures.overview(shown.stands))
    else:
        CONSOLE.print(pictures.detail(shown))


def _shown(
    configured: Config, ask: Callable[[BudgetStore], Awaitable[pictures.Shown]], name: str | None
) -> pictures.Shown:
    """With what is held; where only the engine beside the database is away, without it, and said so."""
    try:
        return with_store(configured, ask, name)
    except Unavailable as error:
        if configured.quotas.engine == "storage":
            raise
        storage = msgspec.structs.replace(configured.quotas, engine="storage")
        shown = with_store(msgspec.structs.replace(configured, quotas=storage), ask, name)
        tell(f"what running requests hold is not shown: {error.message}")
        return shown


@budgets.command("raise")
def raise_limit(
    name: Name,
    *,
    by: Annotated[str, typer.Option(help="in the budget's own measure")],
    until: Annotated[str, typer.Option(help="date or time, in the budget's zone")],
    reason: Annotated[str, typer.Option(help="why; kept for ever")],
    since: Annotated[str | None, typer.Option("--from", help="date or time; else now")] = None,
    author: Author = None,
    config: Path_ = None,
    json: Json = False,
) -> None:
    """More for a time: raise a limit until a date, with who granted it and why."""
    now_us = SystemClock().wall_us()
    who = author_of(author)
    table = {"by": by, "from": since, "until": until, "reason": reason, "author": who}

    def plan(current: Sequence[Budget]) -> Sequence[Edit]:
        before = _named(current, name)
        raised = _raised(before, table, now_us)
        return [Edit(before, msgspec.structs.replace(before, raises=(*before.raises, raised)))]

    (edit,) = with_store(
        shipped.configured(config), lambda store: store.revise(plan, who, "raise"), name
    )
    if json:
        emit(records.edit(edit))
    else:
        CONSOLE.print(changes.raised(edit.budget))


def _raised(before: Budget, table: dict[str, str | None], now_us: int) -> Raise:
    fields = Fields(table)
    amount = draft.raise_amount(fields, "by", before.measure)
    from_us = fields.moment("from", before.timezone) if fields.has("from") else now_us
    until_us = fields.moment("until", before.timezone)
    if until_us and until_us <= max(from_us, now_us):
        fields.problem("until", "expected a moment that is still to come, and after --from")
    reason, author = fields.text("reason"), fields.text("author")
    if not reason:
        fields.problem("reason", "expected why: it stands in the budget's history")
    if fields.problems:
        refuse(fields.problems)
    return Raise(amount, from_us, until_us, reason, author)


@budgets.command()
def remove(name: Name, *, author: Author = None, config: Path_ = None, json: Json = False) -> None:
    """End a budget; its history stays, and so do the rows."""

    def plan(current: Sequence[Budget]) -> Sequence[Edit]:
        return [Edit(_named(current, name), None)]

    configured = shipped.configured(config)
    (edit,) = with_store(configured, lambda store: store.revise(plan, author_of(author)), name)
    if json:
        emit(records.edit(edit))
    else:
        CONSOLE.print(changes.edit(edit))


def _named(current: Sequence[Budget], name: str) -> Budget:
    found = [one for one in current if name in {one.name, one.id}]
    if not found:
        raise NotFound(f"there is no budget {name!r}")
    return found[0]


@budgets.command()
def history(name: Name, *, config: Path_ = None, json: Json = False) -> None:
    """Who changed a budget when, and what; by id also of one that was removed."""

    async def ask(store: BudgetStore) -> Sequence[records.Told]:
        try:
            budget_id = (await store.named(name)).id
        except NotFound:
            found = await store.history(name)
            if not found:
                raise
            return records.told(found)
        return records.told(await store.history(budget_id))

    told = with_store(shipped.configured(config), ask, name)
    if json:
        for one in told:
            emit(records.change(one))
    else:
        CONSOLE.print(changes.history(told))


@budgets.command()
def alerts(
    name: Annotated[str | None, typer.Argument(help="of one budget; else of all")] = None,
    *,
    config: Path_ = None,
    json: Json = False,
) -> None:
    """The alerts that were raised, oldest first."""

    async def ask(store: BudgetStore) -> Sequence[records.Raised]:
        found = await store.list() if name is None else [await store.named(name)]
        raised = [(budget, one) for budget in found for one in await store.alerts(budget.id)]
        return sorted(raised, key=lambda pair: pair[1].at_us)

    raised = with_store(shipped.configured(config), ask, name)
    if json:
        for budget, one in raised:
            emit(records.alert(budget, one))
    else:
        CONSOLE.print(changes.alerts(raised))
