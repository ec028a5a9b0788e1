"""Model names to counting families: which encoding, whether the published formula holds, and otherwise the ratio.

A name is taken apart by exact grammar (decorations, then dash-separated parts), never by likeness.
To add a family: one entry in ``_BY_BRAND``, its figures from a comparison with the provider's own counts.
"""

import re
from typing import Final

import msgspec

from gateway.kernel.remembered import remembered, times

O200K: Final = "o200k_base"
CL100K: Final = "cl100k_base"
MILLION: Final = 1_000_000
NAME_CHARS_MAX: Final = 512
FAMILIES_KEPT_MAX: Final = 1024  # names come from clients
FAMILY_BYTES_MAX: Final = 1024


class Weights(msgspec.Struct, frozen=True, gc=False):
    """A family's tokens per million o200k tokens of the same text, by kind of text."""

    prose: int = MILLION
    structured: int = MILLION  # JSON, code
    foreign: int = MILLION  # scripts other than Latin


class Family(msgspec.Struct, frozen=True, gc=False):
    """How the tokens of a model are counted.

    formula    the chat formula counts; else text by weights + the constants below
    proven     the formula was seen to hold to the token on models of this line; else it is an estimate
    reasoning  the formula's variant for models that think
    opening    tokens around the first message
    message    tokens around each further message
    tools      tokens of the provider's own preamble where tools are offered
    declared   tokens per million o200k tokens of the tools' compact JSON
    schema     whether a response schema counts as prompt
    image      tokens of one image, where the family publishes no formula
    """

    name: str
    encoding: str = O200K
    formula: bool = False
    proven: bool = True
    reasoning: bool = False
    weights: Weights = Weights()
    opening: int = 0
    message: int = 0
    tools: int = 0
    declared: int = MILLION
    schema: bool = True
    image: int = 1000


_OLDER: Final = Family("gpt older", CL100K, formula=True)
_CHAT: Final = Family("gpt", formula=True)
_REASONING: Final = Family("gpt reasoning", formula=True, reasoning=True)
# A line of a brand that nobody has seen: counted as its brand is, with no claim to be exact.
_CHAT_UNSEEN: Final = Family("gpt unseen", formula=True, proven=False)
_REASONING_UNSEEN: Final = Family(
    "gpt unseen reasoning", formula=True, proven=False, reasoning=True
)
_OLDER_UNSEEN: Final = Family("gpt unseen older", CL100K, formula=True, proven=False)
_HARMONY: Final = Family("gpt-oss", opening=67, message=4, tools=40)
_CLAUDE: Final = Family(
    "claude",
    weights=Weights(1_135_000, 1_270_000, 1_470_000),
    opening=7,
    message=3,
    tools=500,
    declared=1_270_000,
    image=1600,
)
_CLAUDE_NEWER: Final = Family(
    "claude 4.7",
    weights=Weights(1_520_000, 1_550_000, 1_550_000),
    opening=7,
    message=3,
    tools=300,
    declared=1_500_000,
    image=1600,
)
_GEMINI_OLDER: Final = Family(
    "gemini 2.0", weights=Weights(1_095_000, 1_320_000), declared=900_000, schema=False, image=258
)
_GEMINI: Final = Family(
    "gemini",
    weights=Weights(1_095_000, 1_320_000),
    opening=1,
    message=1,
    declared=900_000,
    schema=False,
    image=258,
)
_NOVA: Final = Family("nova", tools=350)
_LLAMA: Final = Family("llama", opening=15, message=5, tools=150)
_QWEN: Final = Family("qwen", opening=8, message=4, tools=150)
_MISTRAL: Final = Family("mistral", weights=Weights(1_150_000, 1_250_000, 1_250_000), opening=3)
_OTHER: Final = Family(
    "other", weights=Weights(1_100_000, 1_200_000, 1_200_000), opening=8, message=4, tools=200
)

_BY_BRAND: Final[dict[str, Family]] = {
    "o": _REASONING,
    "codex": _REASONING,
    "chatgpt": _CHAT,
    "computer": _CHAT,
    "davinci": _OLDER,
    "babbage": _OLDER,
    "text": _OLDER,
    "nova": _NOVA,
    "llama": _LLAMA,
    "qwen": _QWEN,
    "mistral": _MISTRAL,
    "ministral": _MISTRAL,
    "magistral": _MISTRAL,
    "pixtral": _MISTRAL,
}
_OLDER_GPT: Final = frozenset({"3.5", "35", "4"})
_CHAT_GPT: Final = frozenset({"", "4o", "4.1", "4.5", "audio", "image", "realtime", "transcribe"})
_REASONING_MAJOR_MIN: Final = 5
_REASONING_MAJOR_SEEN: Final = 6
_REASONING_O: Final = frozenset({"o1", "o3", "o4"})
_OLDER_TEXT: Final = frozenset({"embedding", "davinci", "babbage", "curie", "ada"})
_CLAUDE_NEWER_FROM: Final = (4, 7)
_GEMINI_FROM: Final = (2, 5)

_DECORATION: Final = re.compile(r"(?:(?:[a-z]+(?:-[a-z]+)*|ai21)\.)*")  # geo. and vendor.
_VERSION: Final = re.compile(r"-v\d+$")
_DATE: Final = re.compile(r"-(?:\d{8}|\d{4}-\d{2}-\d{2}|\d{4})$")
_BRAND: Final = re.compile(r"[a-z]*")
_NUMBER: Final = re.compile(r"(?<![a-z\d])(\d{1,2})(?:[.-](\d{1,2}))?(?![a-z\d])")


@remembered(times(2), entries_max=FAMILIES_KEPT_MAX, entry_bytes_max=FAMILY_BYTES_MAX)
def plain_name(model: str) -> str:
    """A wire name in lower case without its decorations: path, fine-tune, geo, vendor, version, date.

    ``us.anthropic.claude-sonnet-4-5-20250929-v1:0`` → ``claude-sonnet-4-5``.
    """
    name = model[:NAME_CHARS_MAX].lower().rsplit("/", 1)[-1].split("@", 1)[0]
    name = name.removeprefix("ft:").split(":", 1)[0]
    vendors = _DECORATION.match(name)
    plain = name[vendors.end() :] if vendors else name
    return _DATE.sub("", _VERSION.sub("", plain)) or name


@remembered(times(2), entries_max=FAMILIES_KEPT_MAX, entry_bytes_max=FAMILY_BYTES_MAX)
def family_of(model: str) -> Family:
    """The family of a wire or canonical model name; a name of no listed family counts as the other one."""
    name = plain_name(model)
    head, _, rest = name.partition("-")
    match = _BRAND.match(head)
    brand = match.group() if match else ""
    if brand == "gpt":
        return _gpt(rest.partition("-")[0])
    if brand == "claude":
        return _CLAUDE_NEWER if _number(name) >= _CLAUDE_NEWER_FROM else _CLAUDE
    if brand == "gemini":
        return _GEMINI if _number(name) >= _GEMINI_FROM else _GEMINI_OLDER
    return _by_brand(brand, head, rest.partition("-")[0])


def _by_brand(brand: str, head: str, line: str) -> Family:
    if brand == "o" and head not in _REASONING_O:
        return _REASONING_UNSEEN
    if brand == "text" and line not in _OLDER_TEXT:
        return _OLDER_UNSEEN
    return _BY_BRAND.get(brand, _OTHER)


def _gpt(line: str) -> Family:
    """``line`` is what follows the first dash: "4o", "5.4", "oss"."""
    if line in _OLDER_GPT:
        return _OLDER
    if line == "oss":
        return _HARMONY
    major = line.split(".", 1)[0]
    if major.isdecimal() and int(major) >= _REASONING_MAJOR_MIN:
        return _REASONING if int(major) <= _REASONING_MAJOR_SEEN else _REASONING_UNSEEN
    return _CHAT if line in _CHAT_GPT else _CHAT_UNSEEN


def _number(name: str) -> tuple[int, int]:
    """The first version number in a name, as (major, minor); (0, 0) where there is none."""
    match = _NUMBER.search(name)
    return (int(match[1]), int(match[2] or 0)) if match else (0, 0)
