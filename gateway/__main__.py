"""python -m gateway, and the command ``weighbridge``."""

import sys
from pkgutil import resolve_name
from typing import Final

import typer
from typer import rich_utils
from typer.exceptions import TyperException

from gateway.commands.likeness import anywhere
from gateway.commands.mistakes import misread, named_kinds, placed
from gateway.commands.output import as_written, stop_all
from gateway.kernel.errors import ConfigurationError, GatewayError

# Resolved by name, so that a look-up does not pay for loading the gateway (a second of imports).
COMMANDS: Final = {
    "serve": "gateway.commands.serve:serve",
    "migrate": "gateway.commands.migrate:migrate",
    "demo": "gateway.commands.demo.run:demo",
    "doctor": "gateway.commands.doctor:doctor",
    "keys": "gateway.commands.keys:keys",
    "budgets": "gateway.commands.budgets.command:budgets",
    "apply": "gateway.commands.apply:apply",
    "usage": "gateway.commands.usage:usage",
    "statement": "gateway.commands.statement.command:statement",
    "chargeback": "gateway.commands.statement.chargeback:chargeback",
    "focus": "gateway.commands.focus:focus",
    "reconcile": "gateway.commands.reconcile.command:reconcile",
    "journal": "gateway.commands.journal:journal",
    "spend": "gateway.commands.spend.command:spend",
    "explore": "gateway.commands.explore:explore",
    "simulate": "gateway.commands.simulate:simulate",
    "people": "gateway.commands.people:people",
    "drift": "gateway.commands.drift:drift",
    "close": "gateway.commands.close.command:close",
    "count": "gateway.commands.count:count",
    "price": "gateway.commands.price:price",
    "prices": "gateway.commands.prices.command:prices",
    "contracts": "gateway.commands.contracts:contracts",
    "fixed-costs": "gateway.commands.fixed_costs:fixed_costs",
    "fx": "gateway.commands.fx:fx",
    "verify": "gateway.commands.verify:verify",
    "backup": "gateway.commands.backup:backup",
    "rebuild": "gateway.commands.rebuild:rebuild",
}

# The help shows them by what a person is about to do.
PANELS: Final = {
    "Run the gateway": ("serve", "migrate", "doctor", "demo"),
    "Keys, budgets, people": ("keys", "budgets", "apply", "people"),
    "See what is used": ("usage", "spend", "explore", "drift"),
    "Charge a month": ("statement", "chargeback", "reconcile", "close", "journal", "focus", "fixed-costs", "fx"),
    "Prices": ("price", "prices", "contracts", "count"),
    "The books themselves": ("verify", "backup", "rebuild", "simulate"),
}  # fmt: skip


def command_line(asked: str | None) -> typer.Typer:
    """The command line: one command where it is asked for by name, else all of them."""
    line = typer.Typer(
        help="Weighs every model call: metered, priced, booked.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        add_completion=False,
    )

    @line.callback()
    def _every() -> None:
        """Weighs every model call: metered, priced, booked."""

    for name in (asked,) if asked in COMMANDS else COMMANDS:
        found = resolve_name(COMMANDS[name])
        panel = next(title for title, names in PANELS.items() if name in names)
        if isinstance(found, typer.Typer):
            line.add_typer(found, name=name, rich_help_panel=panel)
        else:
            line.command(name, rich_help_panel=panel)(found)
    return line


def main() -> None:
    """Run a command; what is wrong is said once, with its cure, and ends with status 2."""
    asked = sys.argv[1] if len(sys.argv) > 1 else None
    anywhere()
    rich_utils.STYLE_USAGE = rich_utils.STYLE_TYPES = "dim"  # colour is for what it means
    try:
        command = placed(named_kinds(as_written(typer.main.get_command(command_line(asked)))))
        sys.exit(command(standalone_mode=False))
    except TyperException as error:
        misread(error)
    except ConfigurationError as error:
        stop_all(error.problems)
    except GatewayError as error:
        stop_all((error.message,))


if __name__ == "__main__":
    main()
