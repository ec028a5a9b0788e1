"""Names as people give them on a command line: of people, teams and applications, and of models as clients write them."""

from collections.abc import Collection
from typing import Final, overload
from urllib.parse import unquote

from gateway.commands.output import stop
from gateway.kernel.names import NAME_CHARS_MAX, NEAREST, nearest, unfit

_FEW: Final = 12  # names that are told where none is near


@overload
def name_of(text: str, option: str, chars_max: int = ...) -> str: ...
@overload
def name_of(text: None, option: str, chars_max: int = ...) -> None: ...
@overload
def name_of(text: str | None, option: str, chars_max: int = ...) -> str | None: ...
def name_of(text: str | None, option: str, chars_max: int = NAME_CHARS_MAX) -> str | None:
    """The name as it is given; None of None. Stops where nobody could read it or write it again."""
    if text is None:
        return None
    if wrong := unfit(text, chars_max):
        stop(f"{option} {wrong}{found(text)}")
    return text


def found(text: str) -> str:
    """', found …' of what was given, with its invisible characters escaped: nothing of what is empty, the beginning of what is long."""
    shown = repr(text)
    return f", found {shown[:_SHOWN_CHARS]}{'…' * (len(shown) > _SHOWN_CHARS)}" if text else ""


_SHOWN_CHARS: Final = 60


def model_of(text: str) -> str:
    """A model's name or ARN, also where it is percent-encoded as an SDK writes it into a path."""
    return unquote(text)


def instead(text: str, known: Collection[str], listed: str) -> str:
    """What to type in place of a name that nobody has, as the end of a sentence: never more names than a line holds.

    ``listed``: the command that shows them all.
    """
    names = sorted({name for name in known if name})
    if near := nearest(text, names):
        more = f" {listed} shows all {len(names):,}" if len(names) > NEAREST else ""
        return f"; did you mean {near}?{more}"
    if len(names) > _FEW:
        return f"; there are {len(names):,}, {listed} shows them"
    return (
        f"; there are {', '.join(names)} ({listed})"
        if names
        else f"; there are none yet ({listed})"
    )
