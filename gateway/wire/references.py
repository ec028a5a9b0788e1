"""The ids of kept things that a body names: files, responses, conversations, containers, vector stores, caches.

One walk over the whole document, wherever an id stands; what a user's own tools take and give is stepped over.
Some items come back with what the client was shown of them and an id under which the provider keeps the rest (what
a search found, what a tool answered): ``brought``. A conversation that nobody keeps brings them too.
To follow another member: its name in ``_ONE`` (a text), ``_MANY`` (a list of texts), ``_EITHER`` (a text, or an
object with ``id``) or ``_ASKED``; another item that may be named by its id alone: one line in ``_BRINGS``; one that
keeps nothing back: ``_WHOLE``.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from gateway.wire.members import Members, document, is_tool_use

REFERENCES_MAX: Final = 1024  # of one body; a long agent names every thought of its own
ID_CHARS_MAX: Final = 512
# In lower case: there are servers that do not mind how a name is written.
_ONE: Final = frozenset(
    {
        "batch_id",
        "cachedcontent",
        "cached_content",
        "container_id",
        "conversation_id",
        "file_id",
        "fileuri",
        "file_uri",
        "input_file_id",
        "previous_response_id",
        "vector_store_id",
    }
)
_MANY: Final = frozenset({"file_ids", "vector_store_ids"})
_EITHER: Final = frozenset({"container", "conversation"})
_ASKED: Final = "approval_request_id"  # of an item of an earlier answer, which may stand beside it
_ITEM: Final = "item_reference"  # {"type": "item_reference", "id": …}
_ITEMS: Final = "input"
_SOUND: Final = "audio"  # of an earlier answer: {"id": …}
_LOOKED_UP: Final = frozenset({_ITEMS, _SOUND})
# Items that the provider looks up by their id: by type, what one of them brings that need not be looked up.
_BRINGS: Final[dict[object, frozenset[str]]] = {
    None: frozenset({"content"}),  # without a type it is a message, else a reference
    "": frozenset({"content"}),
    _ITEM: frozenset(),
    "reasoning": frozenset({"content", "encrypted_content"}),
    "image_generation_call": frozenset({"result"}),
    "web_search_call": frozenset({"action"}),
    "file_search_call": frozenset({"queries", "results"}),
    "code_interpreter_call": frozenset({"code", "outputs"}),
    "mcp_list_tools": frozenset({"tools"}),
    "mcp_call": frozenset({"name", "arguments", "output"}),
    "mcp_approval_request": frozenset({"name", "arguments"}),
}
# Items that hold all there is of them: the provider keeps nothing more under their id.
_WHOLE: Final = frozenset(
    {
        None,
        "",
        "message",
        "reasoning",
        "image_generation_call",
        "compaction",
        *(
            f"{call}{output}"
            for call in (
                "function_call",
                "custom_tool_call",
                "computer_call",
                "local_shell_call",
                "shell_call",
                "apply_patch_call",
            )
            for output in ("", "_output")
        ),
    }
)
# What is the user's own: arguments and results of tools, schemas, labels.
_OWN: Final = frozenset(
    {
        "args",
        "arguments",
        "functionCall",
        "functionResponse",
        "function_call",
        "function_response",
        "input_schema",
        "inputSchema",
        "json",
        "json_schema",
        "labels",
        "metadata",
        "parameters",
        "schema",
        "toolUse",
    }
)
# A remote file is a reference only where it is kept behind the same credential.
_REMOTE: Final = re.compile(r"(?:https?://[^/]+/[^/]+/)?(files/[^/?#]+)")
# One search each, led by a quote and a look at the letter behind it: that is what makes it quick.
_NAMES: Final = tuple(f'{name}"' for name in sorted((*_ONE, *_MANY, *_EITHER, _ASKED, _ITEM)))
_LISTED: Final = (r"input\"\s*:\s*\[", r"audio\"\s*:\s*\{")  # what may hold items with an id
_SAYS_ID: Final = b'"id"'
_ESCAPED: Final = re.compile(rb"\\u00[2-7]")  # a name may be written in escapes


class TooManyReferences(ValueError):
    """A body that names more than ``REFERENCES_MAX`` ids, or one that is no id."""


class References(NamedTuple):
    """Ids of kept things that a body names.

    named    what is looked up by its id: it has to be the caller's own
    brought  ids of items that bring what the client saw of them: another's they must not be
    """

    named: frozenset[str] = frozenset()
    brought: frozenset[str] = frozenset()


def _quoted(*spellings: str) -> re.Pattern[bytes]:
    first = "".join(sorted({spelling[0] for spelling in spellings}))
    return re.compile(f'"(?=[{first}])(?:{"|".join(spellings)})'.encode())


_NAMED_SO: Final = _quoted(*_NAMES)
_NAMED_OR_LISTED: Final = _quoted(*_NAMES, *_LISTED)


def may_refer(body: bytes) -> bool:
    """Whether a body can name an id at all: a fast look at its bytes, which nearly every body fails."""
    lowered = body.lower()
    named = _NAMED_OR_LISTED if _SAYS_ID in lowered else _NAMED_SO
    if named.search(lowered) is not None:
        return True
    return b"\\" in lowered and _ESCAPED.search(lowered) is not None


def is_named(members: Iterable[tuple[str, object]]) -> bool:
    """Whether an item is named by its id, and what it holds is left to the provider to look up."""
    told = [(name.lower(), value) for name, value in members]
    kinds = [value for name, value in told if name == "type"] or [None]
    brought = {name for name, value in told if value}
    return "id" in brought and any(
        isinstance(kind, str | None) and kind in _BRINGS and brought.isdisjoint(_BRINGS[kind])
        for kind in kinds
    )


def references(body: bytes) -> References:
    """Every id that a JSON body names. Raises TooManyReferences, and MalformedJson where it is no JSON."""
    if not may_refer(body):
        return References()
    waiting = [document(body)]
    found: set[str] = set()
    brought: set[str] = set()
    while waiting:
        value = waiting.pop()
        if isinstance(value, Members):
            found.update(_named(value))
            brought.update(_texts(_brought(value)))
            waiting.extend(_walked(value))
        elif isinstance(value, list):
            waiting.extend(value)
        if len(found) + len(brought) > REFERENCES_MAX:
            raise TooManyReferences(
                f"a request may name {REFERENCES_MAX} files and other kept things"
            )
    return References(frozenset(found), frozenset(brought - found))


def _walked(members: Members) -> Iterator[object]:
    is_called = is_tool_use(members)
    for name, value in members:
        # What a tool is called with is an object; a list under that name is a request's own items.
        is_own = name in _OWN or (is_called and name == _ITEMS and isinstance(value, Members))
        if not is_own and isinstance(value, list):
            yield value


def _named(members: Members) -> Iterator[str]:
    for written, value in members:
        name = written.lower()
        if name in _ONE:
            yield from _texts([value])
        elif name in _MANY and isinstance(value, list):
            yield from _texts(value)
        elif name in _EITHER:
            inner = _ids(value) if isinstance(value, Members) else []
            yield from _texts([value, *inner])
        elif name in _LOOKED_UP:
            yield from _texts(_looked_up(name, value))
    if ("type", _ITEM) in members:
        yield from _texts(_ids(members))


def _looked_up(name: str, value: object) -> Iterator[object]:
    """The id of an earlier answer's sound, or of those items of an input that are named by theirs."""
    if isinstance(value, Members):
        yield from _ids(value) if name == _SOUND else ()
        return
    for item in value if isinstance(value, list) else ():
        if isinstance(item, Members) and is_named(item):
            yield from _ids(item)


def _brought(members: Members) -> Iterator[object]:
    """The ids of items of an input that are kept and bring something, and of what was asked in one."""
    for written, value in members:
        name = written.lower()
        if name == _ASKED:
            yield value
        elif name == _ITEMS and isinstance(value, list):
            for item in value:
                if isinstance(item, Members) and not _is_whole(item):
                    yield from _ids(item)


def _is_whole(item: Members) -> bool:
    kinds = [value for name, value in item if name.lower() == "type"] or [None]
    return all(isinstance(kind, str | None) and kind in _WHOLE for kind in kinds)


def _ids(members: Members) -> list[object]:
    return [value for name, value in members if name.lower() == "id"]


def _texts(values: Iterable[object]) -> Iterator[str]:
    for value in values:
        if not isinstance(value, str) or not value:
            continue
        remote = _REMOTE.fullmatch(value)
        if remote is not None:
            yield remote[1]
        elif "://" not in value and not value.startswith("data:"):
            if len(value) > ID_CHARS_MAX:
                raise TooManyReferences("an id is longer than any provider's")
            yield value
