"""The upstreams, with their credentials and the locations each may serve."""

from collections.abc import Mapping
from urllib.parse import urlsplit

import msgspec

from gateway.config.reader import Reader, shown
from gateway.config.tables import UpstreamTable
from gateway.providers.contract import Provider, Upstream
from gateway.upstream.credentials import Anonymous, AwsChain, CredentialSetting, Entra, GoogleAdc
from gateway.wire.stores import is_among

_MISSING = "missing"  # stands for a secret that is reported already
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


def read_upstreams(
    reader: Reader, raw: object, providers: Mapping[str, Provider]
) -> tuple[dict[str, Upstream], dict[str, CredentialSetting], dict[str, tuple[str, ...]]]:
    """[upstreams.<name>]: the upstreams, the credential and the allowed locations of each, by name."""
    upstreams: dict[str, Upstream] = {}
    credentials: dict[str, CredentialSetting] = {}
    locations: dict[str, tuple[str, ...]] = {}
    if not isinstance(raw, dict):
        reader.problem("upstreams", "expected [upstreams.<name>] tables")
        return upstreams, credentials, locations
    for name, table in raw.items():
        where = f"upstreams.{name}"
        plain = (
            {k: v for k, v in table.items() if k != "credential"}
            if isinstance(table, dict)
            else table
        )
        fields = reader.table(UpstreamTable, plain, where)
        if fields is None:
            continue
        row = UpstreamTable(**fields)
        provider = providers.get(row.provider)
        if provider is None:
            reader.problem(f"{where}.provider", f"expected one of {', '.join(sorted(providers))}")
            continue
        upstreams[name] = _upstream(reader, name, row, provider)
        locations[name] = row.locations
        credentials[name] = _credential(reader, table.get("credential"), provider, where)
    return upstreams, credentials, locations


def _upstream(reader: Reader, name: str, row: UpstreamTable, provider: Provider) -> Upstream:
    where = f"upstreams.{name}"
    service = provider.services[0] if row.service is None else row.service
    base_url = row.base_url
    if service not in provider.services:
        reader.problem(f"{where}.service", f"expected one of {', '.join(provider.services)}")
    elif base_url is None:
        base_url = provider.base_urls[provider.services.index(service)]
    if not base_url:
        reader.problem(f"{where}.base_url", "missing; expected the resource's https URL")
    else:
        _check_url(reader, base_url, f"{where}.base_url")
    if "{location}" in (base_url or "") and not (row.region or row.locations):
        reader.problem(f"{where}.region", "missing; the base URL names it")
    return Upstream(
        name=name,
        provider=row.provider,
        base_url=(base_url or "").rstrip("/"),
        service=service,
        region=row.region,
        project=row.project,
        location=row.region,
        abandon=row.abandon or provider.abandon,
        single_tenant=row.single_tenant,
        object_uris=_object_uris(reader, row, provider, f"{where}.object_uris"),
        stores=_stores(reader, row, provider, f"{where}.stores"),
    )


def _object_uris(
    reader: Reader, row: UpstreamTable, provider: Provider, where: str
) -> tuple[str, ...]:
    """A bucket or a folder in it, with its slash: without one it would be the beginning of others' names too."""
    schemes = provider.object_schemes
    for uri in row.object_uris:
        scheme, found, path = uri.partition("://")
        if scheme not in schemes or not found or (path and not path.endswith("/")):
            expected = " or ".join(
                f"{each}://bucket/ or {each}://bucket/folder/" for each in schemes
            )
            reader.problem(
                where, f"expected {expected or 'none for this provider'}, found {shown(uri)}"
            )
    return row.object_uris


def _stores(reader: Reader, row: UpstreamTable, provider: Provider, where: str) -> tuple[str, ...]:
    """A store, or what stores lie under; only one that could stand in a request."""
    for store in row.stores:
        if not provider.searches:
            reader.problem(where, f"expected none for this provider, found {shown(store)}")
        elif not is_among(store.removesuffix("/"), (store,)):
            reader.problem(
                where,
                "expected names as they stand in requests, such as fileSearchStores/my-store, "
                "projects/my-project/locations/us-central1/ragCorpora, or host and index of a data source "
                f"(search-1.example.net/handbook), found {shown(store)}",
            )
    return row.stores


def _check_url(reader: Reader, url: str, where: str) -> None:
    parts = urlsplit(url.replace("{location}", "location"))
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.username:
        reader.problem(where, f"expected https://host[/path], found {shown(url)}")
    elif parts.scheme == "http" and parts.hostname not in LOOPBACK:
        reader.problem(where, "plain http is allowed to loopback only: use https")


def _credential(reader: Reader, raw: object, provider: Provider, where: str) -> CredentialSetting:
    """The configured credential, or the cloud's own ambient one."""
    place = f"{where}.credential"
    if raw is None:
        return _ambient(provider)
    if not isinstance(raw, dict):
        reader.problem(place, 'expected a table such as { type = "api_key", key = "${env:NAME}" }')
        return Anonymous()
    try:
        setting: CredentialSetting = msgspec.convert(
            _revealed(reader, raw, place), CredentialSetting
        )
    except msgspec.ValidationError as error:
        reader.problem(place, f"{error}; types are {', '.join(CREDENTIAL_TYPES)}")
        return Anonymous()
    return setting


def _revealed(reader: Reader, raw: dict[str, object], place: str) -> dict[str, object]:
    """A credential's table with its secrets read from where they are referred to."""
    table: dict[str, object] = {}
    for key, value in raw.items():
        where = f"{place}.{key}"
        if key in SECRET_KEYS:
            table[key] = reader.secret(value, where) or _MISSING
        elif isinstance(value, dict):
            table[key] = _revealed(reader, value, where)
        else:
            table[key] = reader.expanded(value, where)
    return table


SECRET_KEYS = frozenset({"key", "token", "secret_access_key", "session_token", "client_secret"})
CREDENTIAL_TYPES = ("api_key", "bearer", "entra", "aws_static", "aws_profile", "aws_chain", "aws_role", "google_adc", "anonymous")  # fmt: skip


def _ambient(provider: Provider) -> CredentialSetting:
    """Without a configured credential the machine's own identity is used."""
    match provider.ambient:
        case "entra":
            return Entra()
        case "aws":
            return AwsChain()
        case "adc":
            return GoogleAdc()
