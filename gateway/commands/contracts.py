"""weighbridge contracts: who pays what of the list."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated

import typer

from gateway import shipped
from gateway.commands.names import instead
from gateway.commands.output import CONSOLE, emit, stop, styled, table
from gateway.commands.prices.records import dated, per_words
from gateway.kernel.clock import SystemClock
from gateway.kernel.money import format_usd
from gateway.pricing.book import Book
from gateway.pricing.contract import Bargain, Contract, Term
from gateway.pricing.row import FOREVER

Path_ = Annotated[Path | None, typer.Option("--config", help="configuration file")]
Json = Annotated[bool, typer.Option("--json", help="one object per line")]

contracts = typer.Typer(help="Contracts: who pays what of the list.", no_args_is_help=True)


@contracts.command("list")
def list_contracts(*, config: Path_ = None, json: Json = False) -> None:
    """Every contract of the configuration, with whom it is for and when."""
    found = shipped.configured(config).contracts
    if json:
        for contract in found:
            emit(_record(contract))
        return
    shown = table(
        "Contracts",
        (
            ("", "left"), ("name", "left"), ("for", "left"), ("from", "left"), ("to", "left"),
            ("invoiced in", "left"), ("margin", "right"), ("terms", "right"),
        ),
    )  # fmt: skip
    now_us = SystemClock().wall_us()
    for contract in found:
        is_in_force = contract.since_us <= now_us < contract.until_us
        shown.add_row(
            styled("[green]●[/]") if is_in_force else styled("[dim]○[/]"), contract.name, _for(contract),
            _day(contract.since_us), _day(contract.until_us), contract.currency,
            _percent(contract.margin_bp), str(len(contract.terms)),
        )  # fmt: skip
    CONSOLE.print(shown if found else "no contracts: everybody pays the list (config/README.md)")


@contracts.command("show")
def show_contract(
    name: Annotated[str, typer.Argument(help="its name")],
    *,
    config: Path_ = None,
    json: Json = False,
) -> None:
    """The terms of a contract in the order in which they are tried."""
    there = {one.name: one for one in shipped.configured(config).contracts}
    contract = there.get(name)
    if contract is None:
        stop(f"there is no contract {name!r}{instead(name, there, 'weighbridge contracts list')}")
    if json:
        emit(_record(contract))
        return
    until = _day(contract.until_us)
    title = f"{Bargain(contract).id} · {_for(contract)} · {_day(contract.since_us) or 'since ever'}"
    shown = table(
        title + (f" until {until}" if until else ""),
        (
            ("", "right"), ("provider", "left"), ("model", "left"), ("unit", "left"),
            ("scope", "left"), ("tier", "left"), ("pays", "left"),
        ),
    )  # fmt: skip
    for number, term in enumerate(contract.terms, start=1):
        shown.add_row(
            str(number), term.provider, term.model, term.unit, term.scope or "any",
            term.tier or "any", pays(term),
        )  # fmt: skip
    shown.add_row("", "*", "*", "*", "any", "any", "the list price")
    CONSOLE.print(shown)
    if contract.margin_bp:
        CONSOLE.print(f"and {_percent(contract.margin_bp)} on top of every line", highlight=False)


def selector(term: Term) -> str:
    """What lines a term is for, in words."""
    words = (term.provider, term.model, term.unit, term.scope, term.tier)
    return " ".join(word for word in words if word and word != "*") or "everything"


def pays(term: Term) -> str:
    """What is paid by a term, in words."""
    if term.pico is not None:
        return f"{format_usd(term.pico)}{per_words(term.per)} USD"
    return f"list - {_percent(term.discount_bp)}"


def _record(contract: Contract) -> dict[str, object]:
    return {
        "name": contract.name,
        "contract": Bargain(contract).id,
        "org": contract.org,
        "team": contract.team,
        "valid_from": _day(contract.since_us) or None,
        "valid_to": _day(contract.until_us) or None,
        "currency": contract.currency,
        "margin_percent": _percent(contract.margin_bp).rstrip("%"),
        "terms": [
            {
                "provider": term.provider,
                "model": term.model,
                "unit": term.unit,
                "scope": term.scope,
                "tier": term.tier,
                "discount_percent": None if term.pico is not None else _percent(term.discount_bp).rstrip("%"),
                "price_usd": None if term.pico is None else format_usd(term.pico),
                "per": term.per if term.pico is not None else None,
            }
            for term in contract.terms
        ],
    }  # fmt: skip


def _for(contract: Contract) -> str:
    scope = [f"{name} {value}" for name, value in (("org", contract.org), ("team", contract.team)) if value]  # fmt: skip
    return ", ".join(scope) or "everybody"


def _day(us: int) -> str:
    return "" if us in {0, FOREVER} else dated(us) or ""


def _percent(basis_points: int) -> str:
    whole, rest = divmod(basis_points, 100)
    return f"{whole}.{rest:02}%" if rest else f"{whole}%"


def idle_terms(found: Iterable[Contract], book: Book) -> Iterator[tuple[Contract, Term]]:
    """The terms that no price of the book is left for: a misspelt name is a discount that nobody gets."""
    left = {(tuple(one.named.values()), one.unit) for one in book.listed()}
    for contract in found:
        keys = left
        for term in contract.terms:
            fitting = {(key, unit) for key, unit in keys if term.fits(key, unit)}
            keys = keys - fitting
            if not fitting:
                yield contract, term
