"""What of a command line cannot be read, in the words of its reader: what was expected, an example, and what was found."""

from collections.abc import Sequence
from functools import partial
from typing import Any, Final, NoReturn

from typer.exceptions import TyperException

from gateway.commands.output import stop

_EXAMPLE: Final = 20  # where an option has no default to show
_KINDS: Final = {"int": "a whole number", "str": "text", "Path": "a path", "bool": "yes or no"}
_SHORT: Final = {"int": "number", "str": "text", "Path": "path", "list[str]": "text …", "list[Path]": "path …"}  # fmt: skip
_FOUND_CHARS: Final = 60


def misread(error: TyperException) -> NoReturn:
    """Say what of the command line is not right, in the one form of all mistakes."""
    context = getattr(error, "ctx", None)
    said = _wrong_value(error) or " ".join(error.format_message().split()).rstrip(".")
    if not said:  # no arguments at all: the help is on the screen already
        raise SystemExit(2)
    where = "weighbridge" if context is None else context.command_path
    stop(f"{said}; see {where} --help")


def _wrong_value(error: TyperException) -> str:
    """What was expected of an option's or argument's value; '' where the mistake is another."""
    param, cause = getattr(error, "param", None), error.__cause__
    if param is None:
        return _no_value(error)
    own = param.opts[0] if param.opts[0].startswith("-") else str(param.name).upper()
    if cause is None:  # not given at all
        means = (getattr(param, "help", None) or "").replace("\\[", "[")
        return f"{own} is missing: {means or expected(param)}"
    errors: list[dict[str, object]] = getattr(cause, "errors", list)()
    found = repr(errors[0]["input"] if errors else None)[:_FOUND_CHARS]
    return f"{own}: expected {expected(param)}, found {found}"


def _no_value(error: TyperException) -> str:
    """What was expected behind an option that stands at the end of the line; '' where the mistake is another."""
    context, name = getattr(error, "ctx", None), getattr(error, "option_name", None)
    params = () if context is None else context.command.params
    param = next((one for one in params if name in one.opts), None)
    if param is None or param.bare_type() == "bool":
        return ""
    return f"{name}: expected {expected(param)}, found nothing"


def expected(param: Any) -> str:
    """What the value of an option or argument is, with an example where its kind alone does not show one."""
    kind = param.type_descriptor
    if kind.choices:
        return f"one of {', '.join(str(getattr(one, 'value', one)) for one in kind.choices)}"
    words = _KINDS.get(param.bare_type(), "text")
    if param.bare_type() != "int":
        return words
    low, high = kind.parameter_info.min, kind.parameter_info.max
    span = f" from {low} to {high}" if high is not None else "" if low is None else f" of at least {low}"  # fmt: skip
    usual = param.default if isinstance(param.default, int) else max(low or 0, _EXAMPLE)
    return f"{words}{span}, such as {usual}"


def placed(command: Any) -> Any:
    """Let every mistake on the line of a command, or of one below it, know which command it was made at."""
    for below in getattr(command, "commands", {}).values():
        placed(below)
    command.parse_args = partial(_parsed, command.parse_args)
    return command


def _parsed(parse: Any, context: Any, words: Sequence[str]) -> Any:
    try:
        return parse(context, words)
    except TyperException as error:
        # A value that is missing, or one too many, is found before anybody has said whose it is.
        if getattr(error, "ctx", None) is None:
            error.ctx = context  # type: ignore[attr-defined]  # as of every usage error
        raise


def named_kinds(command: Any) -> Any:
    """Let the help of a command and of those below it name kinds in a reader's words, not in Python's."""
    for below in getattr(command, "commands", {}).values():
        named_kinds(below)
    for param in command.params:
        word = _SHORT.get(param.bare_type())
        if param.bare_type() == "bool":
            param.display_type_rich = lambda ctx: None
        elif word is not None:
            param.display_type_rich = lambda ctx, word=word: f"<{word}>"
    return command
