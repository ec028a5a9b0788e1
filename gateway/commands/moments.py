"""Dates and times as people write them on a command line."""

import re
from datetime import UTC, datetime
from typing import Final, overload

from gateway.commands.output import stop
from gateway.kernel.clock import epoch_us

_MONTH: Final = re.compile(r"(20\d\d)-(0[1-9]|1[0-2])")


@overload
def instant_of(text: str, option: str, *, such_as: str = ...) -> int: ...
@overload
def instant_of(text: None, option: str, *, such_as: str = ...) -> None: ...
@overload
def instant_of(text: str | None, option: str, *, such_as: str = ...) -> int | None: ...
def instant_of(text: str | None, option: str, *, such_as: str = "2026-11-22") -> int | None:
    """The instant of a date or time, UTC where it names no zone; None of None. Stops where it is neither.

    ``such_as``: an example that makes sense for the option.
    """
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        stop(f"{option} is a date or time such as {such_as}, found {text!r}")
    return epoch_us(moment.replace(tzinfo=moment.tzinfo or UTC))


@overload
def span_of(since: str, until: str | None) -> tuple[int, int | None]: ...
@overload
def span_of(since: str | None, until: str | None) -> tuple[int | None, int | None]: ...
def span_of(since: str | None, until: str | None) -> tuple[int | None, int | None]:
    """The instants of --since and --until. Stops where one is none, or the time between them is empty."""
    first, end = instant_of(since, "--since"), instant_of(until, "--until")
    if first is not None and end is not None and end <= first:
        stop(f"--until {until} is not after --since {since}: nothing lies between them")
    return first, end


def period_of(text: str, option: str = "MONTH") -> int:
    """202611 of '2026-11'. Stops where it is no month."""
    found = _MONTH.fullmatch(text)
    if found is None:
        stop(f"{option} is a month such as 2026-11, found {text!r}")
    return int(found[1]) * 100 + int(found[2])


def month_of(period: int) -> str:
    """'2026-11' of 202611."""
    return f"{period // 100}-{period % 100:02}"
