"""Who does what a command writes into the history."""

import getpass
from typing import Annotated

import typer

from gateway.commands.names import name_of

Author = Annotated[str | None, typer.Option(help="who does it; else the system's user")]


def author_of(given: str | None) -> str:
    """Who is written into the history. Stops at what is no name."""
    if given is not None:
        return name_of(given, "--author")
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "operator"  # a container's user may have no name
