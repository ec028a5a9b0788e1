"""Reading requests: what may be asked in several spellings, and turns built part by part.

Tolerant where a wrong value is the provider's to refuse, strict where two readers could take it differently.
To read another kind of part: one method on ``TurnBuilder``.
"""

import json
import re
from collections.abc import Callable
from decimal import Decimal
from functools import partial
from typing import Final

import orjson

from gateway.kernel.errors import MalformedBody
from gateway.metering.prompt import Image, ToolCall, Turn
from gateway.metering.sized import Sized
from gateway.wire.jsondoc import Json, MalformedJson, parse_object
from gateway.wire.members import anywhere
from gateway.wire.pixels import pixels_of
from gateway.wire.sources import CONNECTIONS, SOURCES, searched
from gateway.wire.spelling import spelling
from gateway.wire.stores import store_names

ASKED_MAX: Final = 2**31 - 1  # no provider takes more; larger values are theirs to refuse
# As protobuf JSON takes a number in quotes: "8", "8.0", "80e-1".
_QUOTED: Final = re.compile(r"[0-9]{1,20}(?:\.[0-9]{1,20})?(?:[eE][+-]?[0-9]{1,2})?")
_STARTS: Final = frozenset(b"{[ \t\r\n")


def read_object(body: bytes, sensitive: tuple[str, ...]) -> dict[str, Json]:
    """The request body, an object in which none of the ``sensitive`` members is ambiguous.

    Raises MalformedBody with the cure.
    """
    try:
        return parse_object(body, sensitive)
    except MalformedJson as error:
        raise MalformedBody(f"{error}; send one JSON object as the request body") from error


def require_readable(body: bytes) -> None:
    """Refuse a body that is no JSON in UTF-8 by its looks, where no dialect reads it: what it names is looked for.

    A byte order mark hides where it begins, another encoding what it says. Raises MalformedBody.
    """
    if body and (body[0] not in _STARTS or b"\0" in body):
        raise MalformedBody(
            "the request body must be JSON in UTF-8, without a byte order mark and without zero bytes"
        )


def require_spelt(inside: Json, where: str, names: tuple[str, ...]) -> None:
    """Refuse an object that spells one of ``names`` in another case: a provider may read it so, where we do not.

    ``where``: the member that it stands under, for the words. Raises MalformedBody.
    """
    if isinstance(inside, dict) and (right := spelling(names).misspelt(inside)):
        raise MalformedBody(
            f'"{where}" spells "{right}" in another case; send it as it is written here'
        )


def read_anywhere(
    asked: dict[str, Json], body: bytes, names: tuple[str, ...]
) -> list[tuple[str, object]]:
    """Every member of these names at any depth of the body: see wire.members. Raises MalformedBody."""
    try:
        return anywhere(asked, body, names)
    except MalformedJson as error:
        raise MalformedBody(f"{error}; send one JSON object as the request body") from error


def asked_sources(asked: dict[str, Json], body: bytes) -> frozenset[str]:
    """The data sources it has searched as the provider's own identity: see wire.sources. Raises MalformedBody."""
    return frozenset() if SOURCES.isdisjoint(asked) else _looked_into(searched, body)


def asked_connections(body: bytes) -> frozenset[str]:
    """What tools are connected with by the provider's account: see wire.sources. Raises MalformedBody."""
    return _looked_into(partial(store_names, names=CONNECTIONS), body)


def _looked_into(look: Callable[[bytes], frozenset[str]], body: bytes) -> frozenset[str]:
    try:
        return look(body)
    except MalformedJson as error:
        raise MalformedBody(f"{error}; send one JSON object as the request body") from error


def asked_number(value: Json) -> int | None:
    """A positive whole number as clients write it: 100, 100.0, "100" or "1e2" (protobuf JSON); else None."""
    if value is None:
        return None
    if isinstance(value, str) and _QUOTED.fullmatch(value):
        value = float(Decimal(value))
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if 0 < value <= ASKED_MAX else None


def asked_times(value: Json, name: str) -> int | None:
    """How often something is to be made or used; None where nothing is said, or nothing that is at least once.

    Raises MalformedBody for what is no whole number to us: a provider may read one out of it, and multiply by that.
    """
    found = asked_number(value)
    is_small = isinstance(value, int | float) and not isinstance(value, bool) and value <= 0
    if found is None and value is not None and not is_small:
        raise MalformedBody(f'"{name}" must be a whole number, written as a number')
    return found


def asked_ceiling(*values: Json) -> int | None:
    """The largest of the limits by any name; None where none is given, and where one may be any: it is no number to us."""
    given = [value for value in values if value is not None]
    numbers = [asked_number(value) for value in given]
    return None if None in numbers else largest(*numbers)


def largest(*values: int | None) -> int | None:
    """The largest of the numbers that were given; None where none was."""
    given = [value for value in values if value is not None]
    return max(given) if given else None


def with_thoughts(ceiling: int | None, thinking: Json) -> int | None:
    """A ceiling that thoughts are part of; a budget that is not below it comes on top (interleaved with tool use).

    None where the budget is no number to us: it may be any.
    """
    said = thinking.get("budget_tokens") if isinstance(thinking, dict) else None
    budget = asked_number(said)
    if ceiling is None or said is None or (budget is not None and budget < ceiling):
        return ceiling
    return None if budget is None else ceiling + budget


def as_json(value: Json) -> str:
    """A value as compact JSON text, for counting."""
    try:
        return orjson.dumps(value).decode()
    except orjson.JSONEncodeError:  # a number beyond 64 bit, or 255 levels
        pass
    try:
        return json.dumps(value, separators=(",", ":"))
    except (
        RecursionError
    ):  # a model may be asked to write any depth: its usage still has to be booked
        return ""


class TurnBuilder:
    """One message, part by part."""

    __slots__ = ("_calls", "_images", "_opaque", "_sized", "_texts")

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._calls: list[ToolCall] = []
        self._images: list[Image] = []
        self._opaque = 0
        self._sized: list[Sized] = []

    def text(self, text: str | None) -> None:
        """Text, where there is some."""
        if text:
            self._texts.append(text)

    def json(self, value: Json) -> None:
        """A value the model is shown as JSON."""
        if value:
            self._texts.append(as_json(value))

    def call(self, name: str | None, arguments: Json) -> None:
        """A tool call of an earlier answer."""
        self._calls.append(ToolCall(name or "", as_json(arguments)))

    def image(self, base64_text: str | None) -> None:
        """An image; its size is known where its bytes are in the request."""
        pixels = pixels_of(base64_text) if base64_text else None
        self._images.append(Image(width=pixels[0], height=pixels[1]) if pixels else Image())

    def opaque(self, sized: Sized | None = None) -> None:
        """A part whose tokens cannot be known here: audio, video, files, references; ``sized``: what bounds it."""
        self._opaque += 1
        if sized is not None:
            self._sized.append(sized)

    def turn(self, role: str | None) -> Turn:
        """The message so far."""
        return Turn(
            role or "user",
            text="\n".join(self._texts),
            tool_calls=tuple(self._calls),
            images=tuple(self._images),
            opaque=self._opaque,
            sized=tuple(self._sized),
        )
