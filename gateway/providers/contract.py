"""The contract of a provider: recognise a request, aim it, read what was served, refuse in its own words.

To add one: a file in this folder with ``PROVIDER: Final[Provider] = …``, transcripts in
tests/transcripts/<name>/ and price rows. It is found by being there.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Final, Literal, Protocol
from urllib.parse import quote

import msgspec

from gateway.dialects.contract import Dialect, Request
from gateway.kernel.errors import GatewayError, OperationRefused
from gateway.metering.meter import Reading
from gateway.wire.jsondoc import MalformedJson, replace_member
from gateway.wire.messages import Head, Headers, Inbound

PATHS_KEPT_MAX: Final = 1024  # paths come from clients: the short ones in use are remembered
PATH_BYTES_MAX: Final = 4 * 1024  # with what is made of one; an ARN's takes 2 KiB

STANDARD: Final = "standard"
BELOW: Final = frozenset({"batch", "flex", "reserved"})  # tiers that are sold below it

VIDEOS_ELSEWHERE: Final = (
    "they are made after the answer, and no answer says what they cost; call the provider itself, with a "
    "credential that is not the gateway's, and take their cost from its bill"
)

Scope = Literal["global", "data_zone", "regional", "geo", "in_region", "provisioned"]


class Kind(StrEnum):
    """What passing costs. Operations that cannot be metered are refused by ``recognise``."""

    METERED = "metered"
    FREE = "free"
    DEFERRED = "deferred"  # free itself; its answer may carry the usage of finished work (a batch)


class Call(msgspec.Struct, frozen=True):
    """A recognised request.

    path        the raw path below the mount, as sent, to be forwarded byte for byte
    service     which of the provider's services it is for ('' where it has only one); picks the upstream
    dialect     None for FREE calls
    wire_model  the model, deployment or profile the path names, decoded; None where the body names it
    location    the location the path names, or None
    streams     True/False where the path decides, None where the body does
    shape       the error shape its SDKs parse: a word of the provider's own
    reserved    needs ``Principal.allow_batches``
    resource    the id of the kept thing (file, batch, response) that the path names, or None
    lists       shows what everybody keeps at the upstream
    guarded     its headers attach a guardrail that looks on
    """

    provider: str
    operation: str
    kind: Kind
    path: bytes
    service: str = ""
    dialect: Dialect | None = None
    wire_model: str | None = None
    location: str | None = None
    streams: bool | None = None
    shape: str = ""
    reserved: bool = False
    resource: str | None = None
    lists: bool = False
    guarded: bool = False
    removes: bool = False


class Upstream(msgspec.Struct, frozen=True):
    """A configured place to send to. ``base_url`` may hold '{location}'; ``abandon``: drain or cancel.

    single_tenant  every key may touch whatever is kept there, whoever made it
    object_uris    what requests may have read with its credential: URIs begin with one of these
    stores         what requests may have searched or opened with it: these, and what lies under them
    """

    name: str
    provider: str
    base_url: str
    service: str = ""
    region: str | None = None
    project: str | None = None
    location: str | None = None
    abandon: Literal["drain", "cancel"] = "drain"
    single_tenant: bool = False
    object_uris: tuple[str, ...] = ()
    stores: tuple[str, ...] = ()


class Deployment(msgspec.Struct, frozen=True):
    """What a wire name means: the upstream that serves it, and the circumstances it is priced under.

    model   canonical name in the price book; None where it cannot be known (unpriced)
    wire    the name as the client sends it
    spill   where scope is provisioned: the scope its overflow (and its shadow list cost) is priced under
    named   its name at the upstream, where that is another than ``wire``
    location  where it is sent to, whatever the path says; None: as the path or the upstream says
    weight  its share of the first attempts; None: it has its place in the order
    tier    what serves a request there that names no tier; None: standard, until an answer says another
    also    the same model elsewhere, tried where this one cannot serve
    """

    wire: str
    upstream: str
    model: str | None
    scope: Scope | None
    geo: str | None = None
    region: str | None = None
    spill: Scope = "global"
    named: str | None = None
    location: str | None = None
    weight: int | None = None
    tier: str | None = None
    also: tuple["Deployment", ...] = ()


class Wire(msgspec.Struct, frozen=True):
    """What a wire name says by its own grammar. ``names``: canonical candidates, most exact first."""

    names: tuple[str, ...]
    scope: Scope | None = None
    geo: str | None = None
    region: str | None = None


class Signing(msgspec.Struct, frozen=True):
    """How the upstream wants to be signed (SigV4): service name and region."""

    service: str
    region: str


class Target(msgspec.Struct, frozen=True):
    """An outbound request without its credential: the upstream room adds Host, length and credential.

    path_and_query  raw bytes below the upstream's base URL
    key_header      where an API key goes, e.g. b"api-key"
    bearer          whether a bearer token is an alternative (always Authorization)
    """

    method: bytes
    path_and_query: bytes
    headers: Headers
    body: bytes
    key_header: bytes
    signing: Signing | None = None


class Served(msgspec.Struct, frozen=True):
    """What the answer says was served, normalised for pricing.

    model        canonical candidates of the model the answer names, () where it does not
    tier         standard | batch | flex | priority | …; None where the answer does not say
    provisioned  served by capacity already paid for: zero marginal price
    flags        words for the row: "spilled_over", "tier_unknown", …
    """

    model: tuple[str, ...] = ()
    tier: str | None = None
    region: str | None = None
    scope: Scope | None = None
    provisioned: bool = False
    provider_request_id: str | None = None
    flags: tuple[str, ...] = ()


class Refusal(msgspec.Struct, frozen=True):
    """A whole response in the caller's protocol."""

    status: int
    headers: Headers
    body: bytes


class Route(msgspec.Struct, frozen=True):
    """One line of a provider's path table.

    pattern  full match on the raw path below the mount; groups ``model``, ``location`` and ``resource`` are read
    refusal  why the operation does not pass (and what does instead); '' where it passes
    streams  True/False where the path itself decides
    removes  what it deletes may be the only thing that says what deferred work used
    """

    methods: str
    pattern: re.Pattern[bytes]
    operation: str
    kind: Kind
    dialect: Dialect | None = None
    service: str = ""
    shape: str = ""
    streams: bool | None = None
    reserved: bool = False
    lists: bool = False
    removes: bool = False
    refusal: str = ""


def dearest_tier(words: Iterable[str | None], known: Mapping[str, str]) -> str:
    """The tier of a request that may name several, in whatever places: the provider serves the dearest at most.

    ``known``: a tier's words → its name; others are names. What is no discount outranks standard, standard what is one.
    """
    lowered = [word.lower() for word in words if word]
    named = [known.get(word, word) for word in lowered] or [STANDARD]
    return max(named, key=lambda tier: (tier not in BELOW, tier != STANDARD))


def spoken(routes: Sequence[Route]) -> dict[str, Dialect]:
    """Operation → dialect of a path table's metered routes."""
    return {
        route.operation: route.dialect
        for route in routes
        if route.dialect is not None and route.kind is Kind.METERED
    }


def find(routes: Sequence[Route], method: str, path: bytes) -> tuple[Route, re.Match[bytes]] | None:
    """The first route that matches method and path. Raises OperationRefused where it says why not."""
    for route in routes:
        found = route.pattern.fullmatch(path)
        if found is not None and method in route.methods.split():
            if route.refusal:
                verb = "do" if route.operation.endswith("s") else "does"
                raise OperationRefused(
                    f"{route.operation} {verb} not pass this gateway: {route.refusal}"
                )
            return route, found
    return None


def path_for(
    routes: Sequence[Route], method: bytes, path: bytes, deployment: Deployment | None
) -> bytes:
    """The path with the name that a deployment has at its upstream; the same bytes where it has no other."""
    if deployment is None or deployment.named is None:
        return path
    found = find(routes, method.decode("latin-1"), path)
    if found is None or "model" not in found[1].groupdict():
        return path
    start, end = found[1].span("model")
    return (
        path if start < 0 else path[:start] + quote(deployment.named, safe="").encode() + path[end:]
    )


def body_for(call: Call, deployment: Deployment | None, body: bytes) -> bytes | None:
    """The body with the name that a deployment has at its upstream, where the path names none.

    None where that name cannot be put into it: no JSON object, or one without a model.
    """
    if deployment is None or deployment.named is None or call.wire_model is not None:
        return body
    try:
        return replace_member(body, "model", msgspec.json.encode(deployment.named))
    except (MalformedJson, KeyError):
        return None


class Provider(Protocol):
    """One cloud: its paths, names, headers and error shapes. Pure: bytes in, values out."""

    @property
    def name(self) -> str:
        """The name used in configuration, rows and prices."""
        ...

    @property
    def mount(self) -> bytes:
        """The first path segment, with its slash: b'/azure'."""
        ...

    @property
    def genai_name(self) -> str:
        """What OpenTelemetry's conventions for generative AI call it (gen_ai.provider.name)."""
        ...

    @property
    def abandon(self) -> Literal["drain", "cancel"]:
        """What to do by default with a stream whose client has left."""
        ...

    @property
    def ambient(self) -> Literal["entra", "aws", "adc"]:
        """Which identity of the machine's own is used where no credential is configured."""
        ...

    @property
    def signing_services(self) -> frozenset[str]:
        """The SigV4 service names its SDKs sign for; empty where they do not sign."""
        ...

    @property
    def object_schemes(self) -> tuple[str, ...]:
        """Schemes of URIs in a request that are read with the credential it was sent with: ('s3',)."""
        ...

    @property
    def store_members(self) -> tuple[str, ...]:
        """Members of a request that name what is searched or opened with the credential it was sent with.

        In lower case, without underscores.
        """
        ...

    @property
    def searches(self) -> bool:
        """Whether its requests can have a store searched at all: by ``store_members``, or as a dialect reads them."""
        ...

    @property
    def services(self) -> tuple[str, ...]:
        """The services an upstream may offer; the first is the default."""
        ...

    @property
    def base_urls(self) -> tuple[str, ...]:
        """Default base URL per service, in the same order; '' where only the owner can know it."""
        ...

    @property
    def free_names(self) -> bool:
        """Whether wire names carry their own meaning, so that no deployment need be configured."""
        ...

    def recognise(self, inbound: Inbound) -> Call:
        """Which operation a request is.

        Raises UnknownOperation, OperationRefused, MissingPath or BadRequest, each naming its cure.
        """
        ...

    def operations(self) -> dict[str, Dialect]:
        """Every metered operation and the dialect it is spoken in."""
        ...

    def wire(self, wire_model: str, location: str | None, region: str | None) -> Wire:
        """What a wire name means by the provider's grammar. No fuzzy match, ever."""
        ...

    def target(
        self,
        call: Call,
        inbound: Inbound,
        upstream: Upstream,
        deployment: Deployment | None,
        body: bytes,
    ) -> Target:
        """The outbound request: allow-listed headers, the same path bytes, no client credential."""
        ...

    def asked_tier(self, call: Call, inbound: Inbound, request: Request) -> str:
        """The tier a request asks for, normalised: what the most it can cost is rated at."""
        ...

    def served(self, call: Call, upstream: Upstream, head: Head, reading: Reading) -> Served:
        """Normalise what the answer says was served."""
        ...

    def retrieval(self, inbound: Inbound, work_id: str) -> Inbound | None:
        """The request that asks how deferred work is getting on, given the one that created it; without a key.

        None where that cannot be asked.
        """
        ...

    def results(self, asking: Inbound, kept: str) -> tuple[Inbound, Call] | None:
        """The request for the kept file in which deferred work says what it used, and how its answer is read.

        ``asking``: the request that asked how the work is getting on. None where there is no such file.
        """
        ...

    def results_written(self, body: bytes, now_us: int) -> int | None:
        """When the kept file that this body describes was written, epoch microseconds, if it may hold what work used.

        ``now_us`` where the body does not say; None where it says that it holds something else.
        """
        ...

    def charges_refusal(self, call: Call, status: int, body: bytes) -> bool:
        """Whether an answer with an error status (its body as far as it was read) charges the prompt all the same."""
        ...

    def refuse(
        self, error: GatewayError, call: Call | None, inbound: Inbound, request_id: str
    ) -> Refusal:
        """The refusal in the words of the SDK that asked, so that it raises its typed error and does not hammer."""
        ...
