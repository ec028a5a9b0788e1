"""What a key of the configuration may be, in the words of its reader: the kind of value, its span, and an example.

To add a kind: a branch in ``in_words``; a better example for a key: its line in ``_EXAMPLES``.
"""

import json
from datetime import date
from types import UnionType
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

import msgspec

_EXAMPLES: Final = {
    "upstream": "eu",
    "base_url": "https://example.com",
    "url": "sqlite+aiosqlite:///var/weighbridge.db",
    "region": "swedencentral",
    "geo": "eu",
    "model": "gpt-5.4",
    "models": "gpt-5*",
    "wire": "gpt-54-team",
    "team": "search",
    "timezone": "Europe/Berlin",
    "currency": "EUR",
    "host": "127.0.0.1",
    "folder": "var",
    "token": "${env:TOKEN}",
    "key": "${env:KEY}",
}
_LISTS: Final = (tuple, list, frozenset, set)
_WHOLE: Final = 10


def in_words(kind: Any, name: str = "", default: object = None) -> str:
    """A type in a reader's words. ``name``: of the key; ``default``: its own, the best example there is."""
    bounds = msgspec.Meta()
    if get_origin(kind) is Annotated:
        kind, bounds = get_args(kind)[0], get_args(kind)[1]
    if get_origin(kind) is Literal:
        words = get_args(kind)
        return f'"{words[0]}"' if len(words) == 1 else f"one of {', '.join(map(str, words))}"
    if get_origin(kind) in {Union, UnionType}:
        return _either([one for one in get_args(kind) if one is not type(None)], name, default)
    plain = {
        bool: "true or false",
        int: _whole(bounds, default),
        str: f"text such as {json.dumps(_text(name, default))}",
        date: "a date such as 2026-11-22",
    }
    return plain.get(kind) or _many(kind, name)


def _either(kinds: list[Any], name: str, default: object) -> str:
    tags = [str(kind.__struct_config__.tag) for kind in kinds if _is_tagged(kind)]
    return f"one of {', '.join(tags)}" if tags else " or ".join(in_words(kind, name, default) for kind in kinds)  # fmt: skip


def _is_tagged(kind: Any) -> bool:
    return getattr(getattr(kind, "__struct_config__", None), "tag", None) is not None


def _whole(bounds: msgspec.Meta, default: object) -> str:
    low, high = bounds.ge, bounds.le
    span = f" from {low} to {high}" if high is not None else "" if low is None else f" of at least {low}"  # fmt: skip
    is_example = isinstance(default, int) and not isinstance(default, bool)
    return f"a whole number{span} such as {default if is_example else max(int(low or 0), _WHOLE)}"


def _text(name: str, default: object) -> str:
    return default if isinstance(default, str) and default else _EXAMPLES.get(name, "name")


def _many(kind: Any, name: str) -> str:
    """Lists and tables."""
    origin, inner = get_origin(kind) or kind, get_args(kind)
    if origin in _LISTS:
        one = _text(name.removesuffix("s"), None)
        return f"a list of texts such as [{json.dumps(one)}]" if inner[:1] == (str,) else "a list of tables"  # fmt: skip
    if inner:
        value = '["a", "b"]' if get_origin(inner[-1]) in _LISTS else '"text"' if inner[-1] is str else "{}"  # fmt: skip
        return f"a table such as {{ name = {value} }}"
    return "a table"
