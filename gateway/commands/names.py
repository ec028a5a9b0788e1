"""Names as people give them on a command line: of people, teams and applications, and of models as clients write them."""

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Final, overload
from urllib.parse import unquote

from gateway.commands.output import stop, visible

_NEAREST: Final = 3


@overload
def name_of(text: str, option: str) -> str: ...
@overload
def name_of(text: None, option: str) -> None: ...
@overload
def name_of(text: str | None, option: str) -> str | None: ...
def name_of(text: str | None, option: str) -> str | None:
    """The name as it is given; None of None. Stops where nobody could read it or write it again."""
    if text is None:
        return None
    if not text.strip():
        stop(f"{option} is empty: give a name")
    if text != text.strip() or visible(text) != text:
        stop(f"{option} is a name without spaces around it and without control characters, found {text!r}")  # fmt: skip
    return text


def model_of(text: str) -> str:
    """A model's name or ARN, also where it is percent-encoded as an SDK writes it into a path."""
    return unquote(text)


def nearest(text: str, known: Iterable[str]) -> str:
    """The known names that are written most like one, or all where they are few; '' where nothing is near."""
    names = sorted(name for name in known if name)
    near = get_close_matches(text.lower(), names, n=_NEAREST, cutoff=0.5)
    return ", ".join(near)
