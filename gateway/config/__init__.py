"""Configuration: TOML and the environment, read once into frozen values; every mistake is reported at once.

To add a key: one field in ``tables`` (its type is its check) and one documented line in config/weighbridge.toml.
Secrets are references only: ``${env:NAME}`` or ``file:path``. A scalar may be overridden by
``WEIGHBRIDGE_<SECTION>_<KEY>``.
"""

import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar
from zoneinfo import ZoneInfoNotFoundError

import msgspec

from gateway.config.contracts import read_contracts
from gateway.config.reader import Reader, is_reference, misspelt, overrides, shown
from gateway.config.routes import Places, read_deployments, read_rules
from gateway.config.tables import (
    Config,
    Failover,
    Limits,
    Org,
    Prices,
    Quotas,
    Relay,
    Secrets,
    Server,
    Statements,
    Storage,
)
from gateway.config.upstreams import read_upstreams, split
from gateway.kernel.errors import ConfigurationError
from gateway.ledger.period import zone
from gateway.providers.contract import Provider
from gateway.storage.kinds import DRIVERS, EXPECTED
from gateway.telemetry.pushing import Push

__all__ = ["Config", "load"]

_SECTIONS: dict[str, type[msgspec.Struct]] = {
    "server": Server,
    "storage": Storage,
    "secrets": Secrets,
    "org": Org,
    "statements": Statements,
    "limits": Limits,
    "relay": Relay,
    "quotas": Quotas,
    "failover": Failover,
    "prices": Prices,
    "telemetry": Push,
}
_PASSWORD = re.compile(r"://[^/@:]*:[^@$]+@|[?&]password=[^$]")
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")  # RFC 9110: a token
_TABLES = ("upstreams", "deployments", "routes", "contracts")

T = TypeVar("T", bound=msgspec.Struct)


def load(
    path: Path | None, providers: Sequence[Provider], environment: Mapping[str, str] | None = None
) -> Config:
    """The configuration of a file (None: defaults and environment only).

    Raises ConfigurationError with every problem, each naming file, key and what is expected.
    """
    env = os.environ if environment is None else environment
    reader = Reader(str(path) if path else "environment", env)
    raw = _read(path, reader)
    for key in raw.keys() - set(_SECTIONS) - set(_TABLES):
        reader.problem(key, f"unknown table; known are {', '.join((*_SECTIONS, *_TABLES))}")
    by_name = {provider.name: provider for provider in providers}
    upstreams, credentials, locations = read_upstreams(reader, raw.get("upstreams", {}), by_name)
    places = Places(upstreams, by_name, locations, _names(raw))
    org = _section(reader, "org", Org, raw)
    config = Config(
        server=_section(reader, "server", Server, raw),
        storage=_section(reader, "storage", Storage, raw),
        secrets=_section(reader, "secrets", Secrets, raw),
        org=org,
        statements=_section(reader, "statements", Statements, raw),
        limits=_section(reader, "limits", Limits, raw),
        relay=_section(reader, "relay", Relay, raw),
        quotas=_section(reader, "quotas", Quotas, raw),
        failover=_section(reader, "failover", Failover, raw),
        prices=_section(reader, "prices", Prices, raw),
        telemetry=_section(reader, "telemetry", Push, raw),
        upstreams=tuple(upstreams.values()),
        credentials=credentials,
        locations=locations,
        deployments=read_deployments(reader, raw.get("deployments", []), places),
        rules=read_rules(reader, raw.get("routes", []), places),
        contracts=read_contracts(reader, raw.get("contracts", []), org.timezone, by_name),
        environment=env,
    )
    _check(reader, config, raw)
    if reader.problems:
        raise ConfigurationError(tuple(reader.problems))
    return config


def _read(path: Path | None, reader: Reader) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))  # some editors write a mark
    except FileNotFoundError:
        reader.problem("(file)", "no such file; config/weighbridge.toml is a documented example")
    except OSError as error:
        reader.problem("(file)", f"cannot be read: {error.strerror}")
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        reader.problem("(file)", f"not TOML: {error}")
    except RecursionError:
        reader.problem("(file)", "not TOML of ours: nested deeper than any configuration is")
    return {}


def _section(reader: Reader, name: str, kind: type[T], raw: Mapping[str, Any]) -> T:
    """A section of the file with the environment's overrides; its defaults where it has a problem."""
    table = raw.get(name, {})
    if isinstance(table, dict):
        table = {**table, **overrides(reader, name, kind)}
        if name == "secrets" and table.get("master"):
            table["master"] = reader.secret(table["master"], "secrets.master") or ""
        if name == "quotas" and str(table.get("valkey", "")).startswith("file:"):
            table["valkey"] = reader.secret(table["valkey"], "quotas.valkey") or ""
        if name == "telemetry":
            _telemetry(reader, table)
    fields = reader.table(kind, table, name)
    return kind() if fields is None else kind(**fields)


def _names(raw: Mapping[str, Any]) -> frozenset[str]:
    """The upstreams that have a table, right or wrong."""
    tables = raw.get("upstreams")
    return frozenset(tables) if isinstance(tables, dict) else frozenset()


def _telemetry(reader: Reader, table: dict[str, Any]) -> None:
    """What may be secret in this section: the values of headers and of the endpoint's query, or the whole of it."""
    if "otlp_headers" in table:
        table["otlp_headers"] = _headers(reader, table["otlp_headers"])
    endpoint = table.get("otlp_endpoint", "")
    if isinstance(endpoint, str) and endpoint.startswith("file:"):
        table["otlp_endpoint"] = reader.secret(endpoint, "telemetry.otlp_endpoint") or ""


def _has_literal(endpoint: str) -> bool:
    """Whether anything in a URL's query is not referred to: it may be a token, whatever its name."""
    if endpoint.startswith("file:"):
        return False
    parts = endpoint.partition("?")[2].split("&")
    return any(part and not is_reference(part.partition("=")[2]) for part in parts)


def _headers(reader: Reader, raw: object) -> dict[str, str]:
    """A table of secrets."""
    where = "telemetry.otlp_headers"
    if not isinstance(raw, dict):
        reader.problem(where, "expected a table of headers and secrets")
        return {}
    for key in raw:
        if not _HEADER.fullmatch(key):
            reader.problem(where, f"expected names of headers, found {shown(key)}")
    return {key: reader.secret(raw[key], f"{where}.{key}") or "" for key in raw}


def _check(reader: Reader, config: Config, raw: Mapping[str, Any]) -> None:
    """What one field alone cannot tell."""
    try:
        zone(config.org.timezone)
    except ZoneInfoNotFoundError:
        found = shown(config.org.timezone)
        reader.problem(
            "org.timezone", f"expected an IANA zone such as 'Europe/Berlin', found {found}"
        )
    for section, key in (("storage", "url"), ("quotas", "valkey"), ("telemetry", "otlp_endpoint")):
        table = raw.get(section)
        if isinstance(table, dict) and _PASSWORD.search(str(table.get(key, ""))):
            expected = "a password is given as ${env:NAME}, never as a literal"
            reader.problem(f"{section}.{key}", expected)
    kind, found, _ = config.storage.url.partition("://")
    if config.storage.url and (not found or kind not in DRIVERS):
        shown_kind = (
            f", found {shown(kind)}" if found else ""
        )  # without a scheme it may be anything
        reader.problem("storage.url", f"expected {EXPECTED}{shown_kind}")
    if config.quotas.engine == "valkey" and not config.quotas.valkey:
        reader.problem("quotas.valkey", "the engine 'valkey' needs its URL: valkey://host:6379/0")
    _check_collector(reader, config.telemetry.otlp_endpoint, raw.get("telemetry"))
    if bool(config.server.tls_certificate) != bool(config.server.tls_key):
        reader.problem("server.tls_key", "tls_certificate and tls_key go together")
    misspelt(reader, _SECTIONS)


def _check_collector(reader: Reader, endpoint: str, table: object) -> None:
    """``table``: its section as it stands in the file."""
    if isinstance(table, dict) and _has_literal(str(table.get("otlp_endpoint", ""))):
        expected = "what stands in its query is given as ${env:NAME}, or all of it as file:path, never as a literal"
        reader.problem("telemetry.otlp_endpoint", expected)
    url = split(endpoint)
    is_url = url and url.hostname and url.scheme in ("http", "https")
    if endpoint and not is_url:
        expected = "expected the whole URL of its metrics, as https://collector:4318/v1/metrics"
        reader.problem("telemetry.otlp_endpoint", expected)
