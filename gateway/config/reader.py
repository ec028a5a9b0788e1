"""Decodes tables field by field, so that every mistake is found, each with its file, key and what is expected."""

import re
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final, get_type_hints

import msgspec

from gateway.config.named import misnamed
from gateway.config.words import in_words

ENV_PREFIX = "WEIGHBRIDGE_"
_NEAR: Final = 0.9
# What Kubernetes puts into every pod beside a service that is called weighbridge.
_ORCHESTRATORS: Final = re.compile(r"WEIGHBRIDGE_(SERVICE_(HOST|PORT)|PORT)(_|$)")
_REFERENCE = re.compile(r"\$\{env:([A-Za-z_][A-Za-z0-9_]*)\}")


class Reader:
    """Decodes tables field by field and keeps every problem with its place."""

    def __init__(self, file: str, environment: Mapping[str, str]) -> None:
        self.file = file
        self.environment = environment
        self.problems: list[str] = []
        self.referred: set[str] = set()  # variables that the file names

    def problem(self, key: str, expected: str) -> None:
        self.problems.append(f"{self.file}: {key}: {expected}")

    def table(self, kind: type[msgspec.Struct], raw: object, where: str) -> dict[str, Any] | None:
        """The fields of a table that are right; None where a required one is missing or wrong."""
        if not isinstance(raw, dict):
            self.problem(where, "expected a table")
            return None
        hints = get_type_hints(kind, include_extras=True)
        for key in raw.keys() - hints.keys():
            self.problem(f"{where}.{key}", f"unknown key; known are {', '.join(sorted(hints))}")
        fields: dict[str, Any] = {}
        whole = True
        for field in msgspec.structs.fields(kind):
            name = field.name
            if name in raw:
                value, good = self.value(raw[name], hints[name], f"{where}.{name}", field.default)
                whole = whole and good
                if good:
                    fields[name] = value
                    if said := misnamed(kind, name, value, field.default):
                        self.problem(f"{where}.{name}", said)
            elif field.required:
                whole = False
                self.problem(f"{where}.{name}", f"missing; expected {in_words(hints[name], name)}")
        return fields if whole else None

    def value(self, raw: object, kind: Any, where: str, default: object = None) -> tuple[Any, bool]:
        try:
            return msgspec.convert(self.expanded(raw, where), kind), True
        except msgspec.ValidationError:
            expected = in_words(kind, where.rpartition(".")[2], default)
            self.problem(where, f"expected {expected}, found {shown(raw)}")
            return None, False

    def expanded(self, raw: object, where: str) -> object:
        """``${env:NAME}`` replaced in texts, everywhere below ``raw``."""
        if isinstance(raw, str):
            return _REFERENCE.sub(lambda found: self._environment(found[1], where), raw)
        if isinstance(raw, list):
            return [self.expanded(item, where) for item in raw]
        if isinstance(raw, dict):
            return {key: self.expanded(item, f"{where}.{key}") for key, item in raw.items()}
        return raw

    def quietly(self, text: str) -> str:
        """A text with what is referred to, where that was or will be reported."""
        return _REFERENCE.sub(lambda found: self.environment.get(found[1], ""), text)

    def _environment(self, name: str, where: str) -> str:
        self.referred.add(name)
        if name not in self.environment:
            self.problem(
                where, f"the environment variable {name} is not set; set it, or name another"
            )
        return self.environment.get(name, "")

    def secret(self, raw: object, where: str) -> str | None:
        """A secret by reference; a literal stops the start, and is not shown."""
        if isinstance(raw, str) and _REFERENCE.fullmatch(raw):
            return str(self.expanded(raw, where)) or None
        if isinstance(raw, str) and raw.startswith("file:"):
            path = Path(raw[5:])
            if not path.is_file():
                self.problem(where, f"no such file: {path}")
                return None
            return path.read_text(encoding="utf-8").strip()
        expected = "expected '${env:NAME}' or 'file:path', never the secret itself"
        self.problem(where, f"a secret is given by reference; {expected}")
        return None


def is_reference(text: str) -> bool:
    """Whether it is nothing but ``${env:NAME}``."""
    return _REFERENCE.fullmatch(text) is not None


def overrides(reader: Reader, name: str, kind: type[msgspec.Struct]) -> dict[str, Any]:
    """WEIGHBRIDGE_SERVER_PORT=9000 and the like."""
    found: dict[str, Any] = {}
    hints = get_type_hints(kind, include_extras=True)
    for field in msgspec.structs.fields(kind):
        variable = f"{ENV_PREFIX}{name}_{field.name}".upper()
        if variable not in reader.environment:
            continue
        text = reader.environment[variable]
        if (name, field.name) == ("secrets", "master"):
            found[field.name] = f"${{env:{variable}}}"
            continue
        try:
            found[field.name] = msgspec.convert(text, hints[field.name], strict=False)
        except msgspec.ValidationError:
            expected = in_words(hints[field.name], field.name, field.default)
            reader.problems.append(f"{variable}: expected {expected}, found {shown(text)}")
    return found


def misspelt(reader: Reader, sections: Mapping[str, type[msgspec.Struct]]) -> None:
    """Variables that all but name a key: the nearest is told. Others may be anybody's, and are left alone."""
    known = {
        f"{ENV_PREFIX}{name}_{field.name}".upper()
        for name, kind in sections.items()
        for field in msgspec.structs.fields(kind)
    }
    for variable in sorted(reader.environment):
        if (
            not variable.startswith(ENV_PREFIX)
            or variable in known
            or _ORCHESTRATORS.match(variable)
        ):
            continue
        nearest = get_close_matches(variable, sorted(known), 1, _NEAR)
        if nearest and variable not in reader.referred:
            reader.problems.append(f"{variable}: names no key; did you mean {nearest[0]}?")


def shown(value: object) -> str:
    """A wrong value, short enough for a line; of a table, which may hold secrets, only that it is one."""
    if isinstance(value, dict):
        return "a table"
    return repr(value)[:60]
