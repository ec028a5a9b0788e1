"""What a key may be is said as a reader says it: never a type of Python's, and always with an example."""

import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator
from typing import Any, Literal, get_type_hints

import msgspec
import pytest

import gateway.config
from gateway.config.words import in_words

PYTHON = re.compile(
    r"\b(int|str|bool|float|None|NoneType|Ellipsis|dict|tuple|frozenset|list\[|Literal|Optional|class|typing|msgspec)\b"
)


def keys() -> Iterator[tuple[str, Any, object]]:
    """Every key of every table that the configuration is read into."""
    for module in pkgutil.iter_modules(gateway.config.__path__):
        for kind in vars(importlib.import_module(f"gateway.config.{module.name}")).values():
            if inspect.isclass(kind) and issubclass(kind, msgspec.Struct):
                hints = get_type_hints(kind, include_extras=True)
                for field in msgspec.structs.fields(kind):
                    yield field.name, hints[field.name], field.default


def test_no_key_is_described_by_a_type_of_pythons_and_each_has_an_example() -> None:
    told = [(name, in_words(kind, name, default)) for name, kind, default in keys()]
    assert len(told) > 100, "the tables are read"
    assert [each for each in told if PYTHON.search(each[1].partition(" such as ")[0])] == []
    shown = ("such as", "one of", "true or false", "a table", "a list of tables")
    assert [each for each in told if not any(word in each[1] for word in shown)] == []


@pytest.mark.parametrize(
    ("kind", "name", "default", "said"),
    [
        (int, "seed", 7, "a whole number such as 7"),
        (int, "seed", None, "a whole number such as 10"),
        (int, "seed", True, "a whole number such as 10"),
        (bool, "x", False, "true or false"),
        (str, "region", None, 'text such as "swedencentral"'),
        (str, "host", "::1", 'text such as "::1"'),
        (str | None, "other", None, 'text such as "name"'),
        (str | int, "price", None, 'text such as "name" or a whole number such as 10'),
        (tuple[str, ...], "models", (), 'a list of texts such as ["gpt-5.4"]'),
        (dict[str, str], "x", None, 'a table such as { name = "text" }'),
        (dict[str, tuple[str, ...]], "x", None, 'a table such as { name = ["a", "b"] }'),
        (Literal["a", "b"], "x", "a", "one of a, b"),
    ],
)
def test_a_kind_of_value_is_said_with_an_example(
    kind: Any, name: str, default: object, said: str
) -> None:
    assert in_words(kind, name, default) == said
