"""Lowering the ceiling of a request in its own bytes: only the figure changes, or one member is added.

A value that is no positive number, or above the ceiling, becomes the ceiling; one below it stays as it is written.
To teach where an InvokeModel family takes its ceiling: one line in ``_FAMILIES``.
"""

from collections.abc import Callable, Iterable
from typing import Final, TypeAlias

from gateway.metering.asking import asked_number, read_object
from gateway.metering.families import plain_name
from gateway.wire.jsondoc import Json, member_span, obj, replace_member, splice_member

Lower: TypeAlias = Callable[[bytes, int, str], bytes | None]

_BUDGET: Final = "budget_tokens"
_ASKS: Final = frozenset({"messages", "prompt", "inputText", "message"})  # for text, that is
# Where a family's ceiling goes that the body does not have: (object or none, name), by the beginning of its name.
_FAMILIES: Final[dict[str, tuple[str | None, str]]] = {
    "nova": ("inferenceConfig", "maxTokens"),
    "titan-text": ("textGenerationConfig", "maxTokenCount"),
    "llama": (None, "max_gen_len"),
    "j2": (None, "maxTokens"),
    "mistral": (None, "max_tokens"),
    "ministral": (None, "max_tokens"),
    "magistral": (None, "max_tokens"),
    "mixtral": (None, "max_tokens"),
    "pixtral": (None, "max_tokens"),
    "devstral": (None, "max_tokens"),
    "voxtral": (None, "max_tokens"),
    "command": (None, "max_tokens"),
    "jamba": (None, "max_tokens"),
    "palmyra": (None, "max_tokens"),
    "gpt-oss": (None, "max_completion_tokens"),
    "deepseek": (None, "max_tokens"),
    "qwen": (None, "max_tokens"),
}


def lower_members(
    body: bytes, asked: dict[str, Json], names: Iterable[str], ceiling: int
) -> tuple[bytes, bool]:
    """The body with each of these top-level members at most at the ceiling, and whether one was given."""
    given = False
    for name in names:
        value = asked.get(name)
        if value is None:
            continue
        given = True
        number = asked_number(value)
        if number is None or number > ceiling:
            body = replace_member(body, name, b"%d" % ceiling)
    return body, given


def set_member(body: bytes, asked: dict[str, Json], name: str, value: bytes) -> bytes:
    """The body with a member that it does not have yet, or has as null."""
    edit = replace_member if name in asked else splice_member
    return edit(body, name, value)


def lower_inside(
    body: bytes, asked: dict[str, Json], member: str, names: tuple[str, ...], ceiling: int
) -> tuple[bytes, bool]:
    """As ``lower_members``, in the object under a top-level member. Raises MalformedBody where a name is ambiguous."""
    if not isinstance(asked.get(member), dict):
        return body, False
    return _edited(body, member, lambda inner: _lowered(inner, names, ceiling))


def set_inside(body: bytes, asked: dict[str, Json], member: str, name: str, ceiling: int) -> bytes:
    """The body with a ceiling set in the object under a top-level member, which may be absent."""
    value = b"%d" % ceiling
    if not isinstance(asked.get(member), dict):
        return set_member(body, asked, member, b'{"%b":%b}' % (name.encode(), value))
    inner = obj(asked, member)
    return _edited(body, member, lambda raw: (set_member(raw, inner, name, value), True))[0]


def at_top(*names: str) -> Lower:
    """Lowers a protocol's top-level ceiling by any of these names; without one sets the first.

    None where the request's thoughts need more room.
    """

    def lower(body: bytes, ceiling: int, _model: str) -> bytes | None:
        return lower_top(body, ceiling, names, names[0])

    return lower


def lower_top(body: bytes, ceiling: int, names: tuple[str, ...], insert: str) -> bytes | None:
    """Lower a protocol's top-level ceiling; without one set ``insert``. None where thoughts need more room."""
    asked = read_object(body, (*names, "thinking"))
    if thinks_beyond(asked.get("thinking"), ceiling):
        return None
    lowered, given = lower_members(body, asked, names, ceiling)
    return lowered if given else set_member(body, asked, insert, b"%d" % ceiling)


def thinks_beyond(thinking: Json, ceiling: int) -> bool:
    """Whether a request's thinking budget leaves no room below the ceiling: the provider would refuse it."""
    if not isinstance(thinking, dict) or thinking.get(_BUDGET) is None:
        return False
    budget = asked_number(thinking.get(_BUDGET))
    return budget is None or budget >= ceiling


def lower_family(
    body: bytes, ceiling: int, model: str, limits: tuple[str, ...], configs: tuple[str, ...]
) -> bytes | None:
    """Lower an InvokeModel body's ceiling, in whatever member the family has it; None where that is not known."""
    asked = read_object(body, (*limits, *configs))
    lowered, given = lower_members(body, asked, limits, ceiling)
    for config in configs:
        lowered, inside = lower_inside(lowered, asked, config, limits, ceiling)
        given = given or inside
    if given:
        return lowered
    place = _place(plain_name(model))
    if place is None or _ASKS.isdisjoint(asked):
        return None
    config_, name = place
    if config_ is None:
        return set_member(body, asked, name, b"%d" % ceiling)
    return set_inside(body, asked, config_, name, ceiling)


def _place(name: str) -> tuple[str | None, str] | None:
    for beginning, place in _FAMILIES.items():
        if name.startswith(beginning):
            return place
    return None


def _lowered(raw: bytes, names: tuple[str, ...], ceiling: int) -> tuple[bytes, bool]:
    return lower_members(raw, read_object(raw, names), names, ceiling)


def _edited(
    body: bytes, member: str, edit: Callable[[bytes], tuple[bytes, bool]]
) -> tuple[bytes, bool]:
    """The body with the bytes of one top-level value edited."""
    span = member_span(body, member)
    assert span is not None, "the caller has seen the member"
    start, end = span
    inner, done = edit(body[start:end])
    return b"".join((body[:start], inner, body[end:])), done
