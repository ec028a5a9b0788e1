"""The upstreams, with their credentials and the locations each may serve."""

from collections.abc import Mapping
from urllib.parse import SplitResult, urlsplit

from gateway.config.credentials import read_credential
from gateway.config.named import ill
from gateway.config.reader import Reader, shown
from gateway.config.tables import UpstreamTable
from gateway.providers.contract import Provider, Upstream
from gateway.upstream.credentials import CredentialSetting
from gateway.wire.stores import is_among

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
        if said := ill(name):
            reader.problem("upstreams", said)
        plain = (
            {k: v for k, v in table.items() if k != "credential"}
            if isinstance(table, dict)
            else table
        )
        fields = reader.table(UpstreamTable, plain, where)
        provider = _provider(reader, plain, providers, f"{where}.provider")
        secret = table.get("credential") if isinstance(table, dict) else None
        credential = read_credential(reader, secret, provider, f"{where}.credential")
        if fields is None or provider is None:
            _check_alone(reader, plain, where)
            continue
        row = UpstreamTable(**fields)
        upstreams[name] = _upstream(reader, name, row, provider)
        locations[name] = row.locations
        credentials[name] = credential
    return upstreams, credentials, locations


def _provider(
    reader: Reader, table: object, providers: Mapping[str, Provider], where: str
) -> Provider | None:
    named = table.get("provider") if isinstance(table, dict) else None
    if not isinstance(named, str):
        return None  # said where the table is read
    if named not in providers:
        found = shown(named)
        reader.problem(where, f"expected one of {', '.join(sorted(providers))}, found {found}")
    return providers.get(named)


def _check_alone(reader: Reader, table: object, where: str) -> None:
    """What can be said of a table whose provider or whose form is not known."""
    url = table.get("base_url") if isinstance(table, dict) else None
    if isinstance(url, str):
        _check_url(reader, reader.quietly(url), f"{where}.base_url")


def _upstream(reader: Reader, name: str, row: UpstreamTable, provider: Provider) -> Upstream:
    where = f"upstreams.{name}"
    service = provider.services[0] if row.service is None else row.service
    base_url = row.base_url
    if service not in provider.services:
        expected = f"expected one of {', '.join(provider.services)}, found {shown(service)}"
        reader.problem(f"{where}.service", expected)
    elif not base_url:
        base_url = provider.base_urls[provider.services.index(service)]
        if not base_url:
            reader.problem(f"{where}.base_url", "missing; expected the resource's https URL")
    if base_url:
        _check_url(reader, base_url, f"{where}.base_url")
    if "{location}" in (base_url or "") and not (row.region or row.locations):
        reader.problem(
            f"{where}.region",
            "missing; expected the location that its base URL has a place for, such as us-central1",
        )
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


def split(url: str) -> SplitResult | None:
    """A URL's parts; None where its host cannot be read, its port is no port, or a blank is in it."""
    if " " in url or not url.isprintable():  # urlsplit would leave a newline out
        return None
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    return None if port == 0 else parts


def _check_url(reader: Reader, url: str, where: str) -> None:
    form = "expected https://host[:port][/path]"
    parts = split(url.replace("{location}", "location"))
    if parts is None:  # not shown, here and below: it may hold a secret
        reader.problem(where, f"{form}: its host or its port cannot be read")
    elif parts.username or parts.password:
        reader.problem(where, "expected https://host[/path] without a user or a password in it")
    elif parts.query or parts.fragment:
        reader.problem(where, "expected https://host[/path] without a query or a fragment")
    elif parts.scheme not in ("http", "https") or not parts.hostname:
        reader.problem(where, f"expected https://host[/path], found {shown(url)}")
    elif parts.scheme == "http" and parts.hostname not in LOOPBACK:
        expected = "expected https, as plain http is allowed to loopback only"
        reader.problem(where, f"{expected}, found {shown(url)}")
