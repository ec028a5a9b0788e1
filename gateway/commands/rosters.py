"""The organisation's file as commands take it."""

from pathlib import Path

from gateway.commands.output import stop
from gateway.kernel.errors import BadRequest
from gateway.reporting.roster import Roster, read_csv


def roster_in(file: Path) -> Roster:
    """The cost centres, assignments and people of a CSV. Stops with every mistake, and where it cannot be read."""
    try:
        return read_csv(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        stop(f"{file} cannot be read as UTF-8 text: {error}")
    except BadRequest as error:
        stop(f"{file}: {error.message}")
