"""weighbridge prices: look at, judge and rebuild what the price book is made of."""

import typer

from gateway.commands.prices.compare import compare_prices
from gateway.commands.prices.coverage import prices_coverage
from gateway.commands.prices.diff import diff_prices
from gateway.commands.prices.imports import import_prices, imports
from gateway.commands.prices.lint import lint_prices
from gateway.commands.prices.listing import list_prices, show_price
from gateway.commands.prices.missing import missing_prices
from gateway.commands.prices.refresh import refresh_prices
from gateway.commands.prices.rerate import rerate_prices
from gateway.commands.prices.reratings import reratings

prices = typer.Typer(
    help="The price book: its rows, what is wrong with them, and where they come from.",
    no_args_is_help=True,
)
prices.command("list")(list_prices)
prices.command("show")(show_price)
prices.command("import")(import_prices)
prices.command("imports")(imports)
prices.command("missing")(missing_prices)
prices.command("rerate")(rerate_prices)
prices.command("reratings")(reratings)
prices.command("coverage")(prices_coverage)
prices.command("lint")(lint_prices)
prices.command("refresh")(refresh_prices)
prices.command("diff")(diff_prices)
prices.command("compare")(compare_prices)
