"""JSON documents as bytes: typed look-ups, duplicate-key check, splicing, incremental arrays."""

from typing import TypeAlias, Union

Json: TypeAlias = Union[bool, int, float, str, list["Json"], dict[str, "Json"], None]
