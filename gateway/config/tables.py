"""The tables of the configuration: one struct a section, each field its own documentation and check."""

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

import msgspec

from gateway.exchange.margins import Margins
from gateway.exchange.routing import RouteRule, Weight
from gateway.pricing.contract import Contract
from gateway.providers.contract import Deployment, Scope, Upstream
from gateway.telemetry.pushing import Push
from gateway.upstream.credentials import CredentialSetting

Positive: TypeAlias = Annotated[int, msgspec.Meta(ge=1)]
Percent: TypeAlias = Annotated[int, msgspec.Meta(ge=1, le=100)]
BasisPoints: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=10_000)]
DefaultTier: TypeAlias = Literal["standard", "priority"]
Allowance: TypeAlias = Positive | Literal["window"]
Port: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=65_535)]


class Server(msgspec.Struct, frozen=True):
    """Where the gateway listens. ``http2`` needs the extra of that name and is experimental."""

    host: str = "127.0.0.1"
    port: Port = 8080
    workers: Positive = 1
    http2: bool = False
    tls_certificate: str | None = None
    tls_key: str | None = None
    drain_seconds: Positive = 60


class Storage(msgspec.Struct, frozen=True):
    """``url``: a SQLite file or Postgres; empty = SQLite in ``folder``. The spool always lives in ``folder``."""

    url: str = ""
    folder: str = "var"


class Secrets(msgspec.Struct, frozen=True):
    """``master``: 32 or more bytes from which key digests and AWS secrets derive; empty = made in the folder."""

    master: str = ""


class Org(msgspec.Struct, frozen=True):
    """The organisation rows belong to, and the zone its days and months are in."""

    name: str = "default"
    timezone: str = "UTC"


class Statements(msgspec.Struct, frozen=True):
    """What statements say and charge beside the calls.

    organisation         how the group is called on them; empty = the org's name
    platform_centre      the cost centre that charges are credited to, on ``recharge_account`` and ``tax_account``
    account              debited where a cost centre names no account of its own
    share_unallocated    spread usage without a cost centre over the others by spend
    markup_basis_points  on top of what is charged, as a line of its own; 250 is 2.5 %
    tax_basis_points     likewise, on the whole; ``tax_name`` is its line's text
    signing_key          file of an Ed25519 private key (PEM) that signs closed months
    """

    organisation: str = ""
    platform_centre: str = "platform"
    recharge_account: str = "recharge"
    tax_account: str = "tax"
    account: str = ""
    share_unallocated: bool = False
    markup_basis_points: BasisPoints = 0
    tax_basis_points: BasisPoints = 0
    tax_name: str = "Tax"
    signing_key: str = ""


class Limits(msgspec.Struct, frozen=True):
    """Bounds. Times in seconds, sizes in MiB."""

    body_mib: Positive = 32
    connect_seconds: Positive = 5
    first_byte_seconds: Positive = 600
    stream_idle_seconds: Positive = 300
    connections_per_upstream: Positive = 1000
    drain_seconds: Positive = 600
    drain_mib: Positive = 64
    drain_streams: Positive = 500


class Relay(msgspec.Struct, frozen=True):
    """``transport``: 'relay' (ours) or 'stock' (httpx's own). ``count``: tiktoken on every request."""

    transport: Literal["relay", "stock"] = "relay"
    count: bool = True


class Quotas(msgspec.Struct, frozen=True):
    """How budgets are held.

    engine                 what keeps the holds: the storage's own database, or a Valkey server beside it
    valkey                 that server's URL; its password by reference
    hold_seconds           when a hold whose worker is gone is given up
    default_output_tokens  held for the answer of a model whose maximum is not known
    default_context_tokens the context of a model whose own is not known
    unseen_tokens          held for a part of a prompt that nobody can see: so many, or the model's whole context
    tool_tokens            held likewise for what a tool of the provider's own adds
    expose                 say what is left of budgets in the answer's headers
    """

    engine: Literal["storage", "valkey"] = "storage"
    valkey: str = ""
    hold_seconds: Positive = 900
    default_output_tokens: Positive = 16_384
    default_context_tokens: Positive = 262_144
    unseen_tokens: Allowance = "window"
    tool_tokens: Allowance = 32_768
    expose: bool = True

    def margins(self) -> Margins:
        """How far beyond its count a request may go."""
        unseen, tool = self.unseen_tokens, self.tool_tokens
        return Margins(
            unseen=unseen if isinstance(unseen, int) else None,
            tool=tool if isinstance(tool, int) else None,
            context=self.default_context_tokens,
        )


class Failover(msgspec.Struct, frozen=True):
    """When a request is tried elsewhere, and when a place is left alone.

    attempts             at most, of one request
    retry_unanswered     also where a request was sent and nothing came back: it may be billed twice
    open_after_failures  in a row, then a place is skipped; or at ``open_error_percent`` of ten seconds
    probe_seconds        how often a skipped place is tried again
    """

    attempts: Positive = 3
    retry_unanswered: bool = False
    open_after_failures: Positive = 5
    open_error_percent: Percent = 50
    probe_seconds: Positive = 5


class Prices(msgspec.Struct, frozen=True):
    """Extra price files (CSV, as in gateway/pricing/seed), read after the shipped ones."""

    files: tuple[str, ...] = ()


class UpstreamTable(msgspec.Struct, frozen=True):
    """[upstreams.<name>]"""

    provider: str
    service: str | None = None
    base_url: str | None = None
    region: str | None = None
    project: str | None = None
    locations: tuple[str, ...] = ()
    abandon: Literal["drain", "cancel"] | None = None
    single_tenant: bool = False
    object_uris: tuple[str, ...] = ()
    stores: tuple[str, ...] = ()


class AlternativeTable(msgspec.Struct, frozen=True):
    """[[deployments.also]]"""

    upstream: str
    name: str | None = None
    model: str | None = None
    location: str | None = None
    scope: Scope | None = None
    geo: str | None = None
    region: str | None = None
    spill: Scope = "global"
    tier: DefaultTier | None = None
    weight: Weight | None = None


class DeploymentTable(msgspec.Struct, frozen=True):
    """[[deployments]]"""

    name: str
    upstream: str
    model: str | None = None
    scope: Scope | None = None
    geo: str | None = None
    region: str | None = None
    spill: Scope = "global"
    tier: DefaultTier | None = None
    weight: Weight | None = None
    also: tuple[AlternativeTable, ...] = ()


class ContractTable(msgspec.Struct, frozen=True):
    """[[contracts]]"""

    name: str
    org: str | None = None
    team: str | None = None
    valid_from: date | None = None
    valid_to: date | None = None
    currency: str = "USD"
    margin_percent: str | int = 0


class TermTable(msgspec.Struct, frozen=True):
    """[[contracts.terms]]"""

    provider: str = "*"
    model: str = "*"
    unit: str = "*"
    scope: str | None = None
    tier: str | None = None
    discount_percent: str | int | None = None
    price: str | None = None
    per: Positive = 1_000_000


class Config(msgspec.Struct, frozen=True):
    """Everything the composition root needs."""

    server: Server
    storage: Storage
    secrets: Secrets
    org: Org
    statements: Statements
    limits: Limits
    relay: Relay
    quotas: Quotas
    failover: Failover
    prices: Prices
    telemetry: Push
    upstreams: tuple[Upstream, ...]
    credentials: dict[str, CredentialSetting]
    locations: dict[str, tuple[str, ...]]
    deployments: tuple[Deployment, ...]
    rules: tuple[RouteRule, ...]
    contracts: tuple[Contract, ...]
    environment: Mapping[str, str]

    def folder(self) -> Path:
        """Where this machine's state lives."""
        return Path(self.storage.folder)

    def database_url(self) -> str:
        """The store's URL, SQLite in the folder by default."""
        return self.storage.url or f"sqlite:///{self.folder() / 'weighbridge.db'}"
