"""Text of a request that no reader of ours took for a part of its prompt: a provider may all the same.

Protocols grow faster than their readers. What is known to cost nothing is stepped over: ``_FREE``, ``_FREE_WHOLE``; so is what is no
text, by its name and looks: ``_MEDIA``.
"""

import re
from typing import Final

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


def unread_characters(asked: dict[str, Json], prompt: Prompt) -> int:
    """How many characters of text a request has beyond those of the prompt that was read out of it."""
    return max(_texts(asked) - prompt.characters() - _WORDS, 0)


def _texts(asked: Json) -> int:
    found = 0
    waiting: list[tuple[str, Json]] = [("", asked)]
    while waiting:
        name, value = waiting.pop()
        if isinstance(value, str):
            found += len(value) if _is_text(name, value) else 0
        elif isinstance(value, list):
            waiting += [(name, each) for each in value if isinstance(each, str | list | dict)]
        elif isinstance(value, dict):
            for member, inner in value.items():
                if len(member) > _NAME_MAX:
                    found += len(member)
                if isinstance(inner, str) or (
                    isinstance(inner, list | dict) and folded(member) not in _FREE_WHOLE
                ):
                    waiting.append((member, inner))
    return found


def _is_text(name: str, value: str) -> bool:
    known = folded(name)
    if known in _FREE:
        return len(value) > _FREE_MAX
    if known in _MEDIA:
        return " " in value or not value.isascii()
    return len(value) < _BASE64_MIN or _BASE64.fullmatch(value) is None
