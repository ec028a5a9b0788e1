"""Text of a request that no reader of ours took for a part of its prompt: a provider may all the same.

Protocols grow faster than their readers. What is known to cost nothing is stepped over: ``_FREE``, ``_FREE_WHOLE``; so is what is no
text, by its name and looks: ``_MEDIA``.
"""

import re
from typing import Final, Literal, TypeAlias

from gateway.metering.prompt import Prompt
from gateway.wire.jsondoc import Json
from gateway.wire.members import folded

# Members that are never shown to a model, and thoughts that are dropped when they are sent back.
_FREE: Final = frozenset(
    {
        "id", "callid", "mimetype", "model", "object", "promptcachekey", "role", "safetyidentifier", "status",
        "toolcallid", "tooluseid", "type", "user",
    }
)  # fmt: skip
_FREE_WHOLE: Final = frozenset(
    {"clientmetadata", "labels", "metadata", "requestmetadata", "summary"}
)
_MEDIA: Final = frozenset(
    {
        "bytes", "bytesbase64encoded", "data", "encryptedcontent", "filedata", "fileuri", "image", "imageurl", "inputimage",
        "redactedcontent", "signature", "thoughtsignature", "uri", "url",
    }
)  # fmt: skip
_BASE64: Final = re.compile(r"(?:data:[^, ]{0,200},)?+[A-Za-z0-9+/\r\n]++={0,2}[\r\n]*+")
_BASE64_MIN: Final = 512  # characters: shorter ones may be words
_FREE_MAX: Final = 1024  # characters of a value that is stepped over by its member's name
_WORDS: Final = (
    64  # characters of settings that are words ("auto", a version) in a request without much else
)
_NAME_MAX: Final = 32  # characters of a member's name that is not text itself
_CONTAINERS: Final = (dict, list)  # a tuple: isinstance takes four times as long with a union

# What the values of a member are: text, a label that is no part of a prompt, bytes, or apart from the prompt altogether.
_Kind: TypeAlias = Literal[1, 2, 3, 4]
_TEXT: Final = 1
_LABEL: Final = 2
_BYTES: Final = 3
_APART: Final = 4
_Waiting: TypeAlias = tuple[_Kind, dict[str, Json] | list[Json]]


def unread_characters(asked: dict[str, Json], prompt: Prompt) -> int:
    """How many characters of text a request has beyond those of the prompt that was read out of it."""
    return max(_texts(asked) - prompt.characters() - _WORDS, 0)


def _texts(asked: dict[str, Json]) -> int:
    """One look at each value: an agent's history has thousands, under the same few names."""
    found = 0
    kinds = _Kinds()
    waiting: list[_Waiting] = [(_TEXT, asked)]
    while waiting:
        kind, node = waiting.pop()
        if isinstance(node, list):
            found += _listed(kind, node, waiting)
            continue
        for name, value in node.items():
            kind = kinds[name]
            if len(name) > _NAME_MAX:
                found += len(name)
            if isinstance(value, str):
                size = len(value)
                found += size if kind == _TEXT and size < _BASE64_MIN else _counted(kind, value)
            elif isinstance(value, _CONTAINERS) and kind != _APART:
                waiting.append((kind, value))
    return found


def _listed(kind: _Kind, values: list[Json], waiting: list[_Waiting]) -> int:
    """A list's own texts; what it contains else is to be looked into."""
    found = 0
    for value in values:
        if isinstance(value, str):
            found += _counted(kind, value)
        elif isinstance(value, _CONTAINERS):
            waiting.append((kind, value))
    return found


class _Kinds(dict[str, _Kind]):
    """The kinds of a request's own names: each is worked out once."""

    def __missing__(self, name: str) -> _Kind:
        known = folded(name)
        kind: _Kind = _LABEL if known in _FREE else _BYTES if known in _MEDIA else _TEXT
        self[name] = _APART if known in _FREE_WHOLE else kind
        return self[name]


def _counted(kind: _Kind, text: str) -> int:
    """The characters of a text that are not known to cost nothing."""
    size = len(text)
    if kind == _LABEL:
        is_text = size > _FREE_MAX
    elif kind == _BYTES:
        is_text = " " in text or not text.isascii()
    else:
        is_text = size < _BASE64_MIN or _BASE64.fullmatch(text) is None
    return size if is_text else 0
