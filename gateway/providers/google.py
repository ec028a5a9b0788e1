"""Google: the Gemini API and Vertex AI (project and location, express, partner models, OpenAI-compatible).

Dispatch is by path: SDKs send both APIs to one base URL. To admit an operation: one line in ``_ROUTES``.
"""

import re
from typing import Final, Literal, TypeAlias
from urllib.parse import unquote_plus, unquote_to_bytes

from gateway.dialects import anthropic, gemini, openai_chat, openai_media, openai_responses
from gateway.dialects.contract import Dialect, Request
from gateway.kernel.errors import BadRequest, GatewayError, MissingPath, UnknownOperation
from gateway.kernel.remembered import remembered, times, whole
from gateway.metering.meter import Reading
from gateway.providers.contract import (
    PATH_BYTES_MAX,
    PATHS_KEPT_MAX,
    VIDEOS_ELSEWHERE,
    Call,
    Deployment,
    Kind,
    Provider,
    Refusal,
    Route,
    Served,
    Target,
    Upstream,
    Wire,
    dearest_tier,
    find,
    path_for,
    spoken,
)
from gateway.wire import headers as header_lists
from gateway.wire.messages import Head, Headers, Inbound
from gateway.wire.refusals import SHAPES

_NAME: Final = "google"
_MOUNT: Final = b"/google"
_KEY_HEADER: Final = b"x-goog-api-key"
_GEMINI: Final = "gemini"
_VERTEX: Final = "vertex"
_GLOBAL: Final = "global"

_VERSION: Final = rb"/v1(?:beta1?|alpha)?"
_PLACE: Final = rb"(?P<place>/projects/(?P<project>[^/]+)/locations/(?P<location>[a-z0-9-]+))?"
# An encoded slash, colon or question mark could name one model to us and another one upstream.
_NAME_IN_PATH: Final = rb"(?P<model>(?:[0-9A-Za-z._@~-]|%40)+)"
_PUBLISHED: Final = _VERSION + _PLACE + rb"/publishers/google/models/" + _NAME_IN_PATH
_GEMINI_MODEL: Final = _VERSION + rb"/models/" + _NAME_IN_PATH
_ENDPOINT: Final = _VERSION + _PLACE + rb"/endpoints/(?P<model>[0-9A-Za-z_-]+)"
_OPENAPI: Final = _VERSION + _PLACE + rb"/endpoints/openapi"
_NO_PATH: Final = re.compile(rb"(?:" + _VERSION + rb")?/?")
_PROJECT_PART: Final = re.compile(rb"/projects/[^/]+/locations/([^/]+)/")

# Google's system parameters can take the usage out of an answer (fields, callback, alt=proto), bring a key, name
# another payer or another method: what is metered passes with these only, whatever else there may be.
_PARAMETERS: Final = frozenset(
    {"alt", "$alt", "prettyprint", "$prettyprint", "$.xgafv", "beta", "api-version"}
)
_FORMS: Final = frozenset({"json", "sse", "json;enum-encoding=int"})
_KEYS_IN_URL: Final = frozenset({"key", "$key", "access_token", "oauth_token", "bearer_token"})
# The only one of its family that passes: the others pick payers, fields, methods and encodings.
_TELEMETRY: Final = b"x-goog-api-client"

Parameters: TypeAlias = tuple[tuple[str, str], ...]

_TIERS: Final = {
    "": "standard", "standard": "standard", "on_demand": "standard", "standard_only": "standard",
    "on_demand_priority": "priority", "on_demand_flex": "flex", "on_demand_offpeak": "flex",
    "default": "standard", "auto": "standard", "provisioned_throughput": "standard",
}  # fmt: skip


def _metered(path: bytes, operation: str, dialect: Dialect, service: str, *, streams: bool | None) -> Route:  # fmt: skip
    shape = "openai" if path.endswith((b"/completions", b"/embeddings", b"/responses")) else "goog"
    shape = "anthropic" if b"anthropic" in path else shape
    return Route(
        "POST", re.compile(path), operation, Kind.METERED, dialect=dialect, service=service,
        shape=shape, streams=streams,
    )  # fmt: skip


def _generate(root: bytes, service: str) -> tuple[Route, ...]:
    return (
        _metered(root + rb":generateContent", "generateContent", gemini.GENERATE, service, streams=False),
        _metered(root + rb":streamGenerateContent", "streamGenerateContent", gemini.GENERATE, service, streams=True),
        _metered(root + rb":embedContent", "embedContent", gemini.EMBED, service, streams=False),
        _metered(root + rb":batchEmbedContents", "batchEmbedContents", gemini.EMBED, service, streams=False),
        _free("POST", root + rb":(?:countTokens|computeTokens)", "countTokens", service),
    )  # fmt: skip


def _partner(publisher: bytes, dialect: Dialect) -> tuple[Route, ...]:
    root = _VERSION + _PLACE + rb"/publishers/" + publisher + rb"/models/" + _NAME_IN_PATH
    return (
        _metered(root + rb":rawPredict", "rawPredict", dialect, _VERTEX, streams=None),
        _metered(root + rb":streamRawPredict", "streamRawPredict", dialect, _VERTEX, streams=True),
    )


def _free(methods: str, path: bytes, operation: str, service: str) -> Route:
    shape = "openai" if b"openai" in path else "goog"
    shape = "anthropic" if b"anthropic" in path else shape
    return Route(methods, re.compile(path), operation, Kind.FREE, service=service, shape=shape)


def _refused(path: bytes, operation: str, why: str) -> Route:
    methods = "GET POST PUT PATCH DELETE"
    return Route(methods, re.compile(path), operation, Kind.METERED, shape="goog", refusal=why)


_ROUTES: Final = (
    *_generate(_PUBLISHED, _VERTEX),
    *_generate(_GEMINI_MODEL, _GEMINI),
    *_generate(_ENDPOINT, _VERTEX),
    _metered(_PUBLISHED + rb":predict", "predict", gemini.PREDICT, _VERTEX, streams=False),
    # Before the partner routes: counting tokens of a Claude request is a rawPredict on a name that is no model.
    _free(
        "POST", _VERSION + _PLACE + rb"/publishers/anthropic/models/count-tokens:rawPredict",
        "count-tokens", _VERTEX,
    ),
    *_partner(rb"anthropic", anthropic.MESSAGES),
    *_partner(rb"mistralai", openai_chat.MISTRAL),
    _metered(_OPENAPI + rb"/chat/completions", "chat.completions", openai_chat.CHAT, _VERTEX, streams=None),
    _metered(
        _VERSION + _PLACE + rb"/publishers/openai/v1/responses", "responses",
        openai_responses.RESPONSES, _VERTEX, streams=None,
    ),
    _metered(_VERSION + rb"/openai/chat/completions", "chat.completions", openai_chat.COMPATIBLE, _GEMINI, streams=None),
    _metered(_VERSION + rb"/openai/embeddings", "embeddings", openai_media.EMBEDDINGS, _GEMINI, streams=False),
    _free("GET", _VERSION + rb"/openai/models(?:/[^/]+)?", "models", _GEMINI),
    _free("GET", _GEMINI_MODEL, "models", _GEMINI),
    _free("GET", _VERSION + rb"/models", "models", _GEMINI),
    _free("GET", _VERSION + _PLACE + rb"/(?:publishers/[^/]+/)?models(?:/[^/:]+)?", "models", _VERTEX),
    _refused(rb"/ws/.*", "Live", "live sessions cannot be metered yet; use streamGenerateContent"),
    _refused(_VERSION + _PLACE + rb"/interactions(?:/.*)?", "Interactions", "use generateContent"),
    _refused(
        _VERSION + _PLACE + rb"/cachedContents(?:/.*)?", "explicit context caches",
        "their storage is billed by the hour outside any answer; implicit caching works and is metered",
    ),
    _refused(
        _VERSION + _PLACE + rb"/(?:batchPredictionJobs|batches)(?:/.*)?", "batch jobs",
        "their usage never passes the gateway",
    ),
    _refused(_GEMINI_MODEL + rb":(?:batchGenerateContent|asyncBatchEmbedContent)", "batch jobs", "use generateContent"),
    _refused(rb"(?:/upload|/resumable)?" + _VERSION + rb"/files(?:[/:].*)?", "uploads", "send media inline"),
    _refused(_VERSION + rb"/openai/videos(?:/.*)?", "videos", VIDEOS_ELSEWHERE),
    _refused(
        _VERSION + _PLACE + rb"/.*:(?:predictLongRunning|fetchPredictOperation)",
        "long-running predictions", VIDEOS_ELSEWHERE,
    ),
    _refused(
        _VERSION + _PLACE + rb"/(?:.*/)?operations(?:/.*)?", "long-running operations",
        "what they are of does not pass either, such as videos and batches: ask the provider itself",
    ),
)  # fmt: skip

_MISSING: Final = (
    "the request has no path: the SDK was given a base URL without the settings that make one. "
    "google-genai: set BOTH GOOGLE_GEMINI_BASE_URL and GOOGLE_VERTEX_BASE_URL to <gateway>/google, and either "
    "GOOGLE_API_KEY (a gateway key), or pass project= and location= to Client(vertexai=True, …)"
)


class Google:
    """See the contract; model names carry their meaning, so no deployment need be configured."""

    name = _NAME
    mount = _MOUNT
    genai_name = "gcp.gen_ai"
    abandon: Literal["drain", "cancel"] = "drain"
    ambient: Literal["entra", "aws", "adc"] = "adc"
    signing_services: frozenset[str] = frozenset()
    object_schemes: tuple[str, ...] = ("gs",)
    searches = True
    store_members: tuple[str, ...] = (
        "filesearchstorenames", "ragcorpora", "ragcorpus", "datastore", "datastores", "engine",
        # What a tool's own calls are signed with: secrets and accounts of the gateway's project.
        "apikeysecret", "apikeysecretversion", "credentialsecret", "serviceaccount",
    )  # fmt: skip
    services = (_GEMINI, _VERTEX)
    base_urls = (
        "https://generativelanguage.googleapis.com",
        "https://{location}-aiplatform.googleapis.com",
    )
    free_names = True

    def recognise(self, inbound: Inbound) -> Call:
        path = inbound.raw_path[len(_MOUNT) :]
        if _NO_PATH.fullmatch(path):
            raise MissingPath(_MISSING)
        parameters = _parameters(inbound.query) if inbound.query else ()
        _refuse_key_in_url(parameters)
        call = _call(inbound.method, path)
        if call is None:
            raise UnknownOperation(
                f"{inbound.method.decode('latin-1')} {path[:120].decode('latin-1')} is no operation of the "
                "Gemini API or Vertex AI here; the base URL is <gateway>/google"
            )
        if call.kind is Kind.METERED:
            _refuse_unreadable(parameters)
        return call

    def operations(self) -> dict[str, Dialect]:
        return {**spoken(_ROUTES), "rawPredict-anthropic": anthropic.MESSAGES}

    def wire(self, wire_model: str, location: str | None, region: str | None) -> Wire:
        name = wire_model.rsplit("/", 1)[-1].lower()
        place = _location_of(wire_model) or location or region
        if place in (None, _GLOBAL):
            return Wire(names=(name,), scope="global")
        return Wire(names=(name,), scope="regional", region=place)

    def target(
        self,
        call: Call,
        inbound: Inbound,
        upstream: Upstream,
        deployment: Deployment | None,
        body: bytes,
    ) -> Target:
        path = path_for(_ROUTES, inbound.method, call.path, deployment)
        if call.service == _VERTEX:
            path = _placed(path, upstream)
        query = b"?" + inbound.query if inbound.query else b""
        return Target(
            method=inbound.method,
            path_and_query=path + query,
            headers=inbound.told(_forwardable),
            body=body,
            key_header=_KEY_HEADER,
        )

    def asked_tier(self, call: Call, inbound: Inbound, request: Request) -> str:
        said = inbound.told(_asked_shared) if call.service == _VERTEX else ()
        return dearest_tier((*said, request.tier), _TIERS)

    def served(self, call: Call, upstream: Upstream, head: Head, reading: Reading) -> Served:
        tier = reading.tier
        named = None if reading.model is None else reading.model.rsplit("/", 1)[-1].lower()
        return Served(
            model=() if not named else (named,),
            tier=None if tier is None else _tier(tier),
            region=upstream.location or upstream.region,
            provisioned=(tier or "").upper() == "PROVISIONED_THROUGHPUT",
            provider_request_id=header_lists.text(head.headers, b"x-goog-request-id")
            or header_lists.text(head.headers, b"request-id"),
        )

    def retrieval(self, inbound: Inbound, work_id: str) -> Inbound | None:
        return None

    def results(self, asking: Inbound, kept: str) -> tuple[Inbound, Call] | None:
        return None

    def results_written(self, body: bytes, now_us: int) -> int | None:
        return None

    def charges_refusal(self, call: Call, status: int, body: bytes) -> bool:
        return False

    def refuse(
        self, error: GatewayError, call: Call | None, inbound: Inbound, request_id: str
    ) -> Refusal:
        shape = call.shape if call else _shape_of(inbound.raw_path)
        return Refusal(*SHAPES[shape](error, request_id))


@remembered(times(4), entries_max=PATHS_KEPT_MAX, entry_bytes_max=PATH_BYTES_MAX)
def _call(method: bytes, path: bytes) -> Call | None:
    """What a path means; None where it means nothing. Raises OperationRefused."""
    found = find(_ROUTES, method.decode("latin-1"), path)
    if found is None:
        return None
    route, match = found
    groups = match.groupdict()
    location = groups.get("location")
    return Call(
        provider=_NAME,
        operation=route.operation,
        kind=route.kind,
        path=path,
        service=route.service,
        dialect=route.dialect,
        wire_model=None if groups.get("model") is None else _decoded(groups["model"]),
        location=None if location is None else _decoded(location),
        streams=route.streams,
        shape=route.shape,
    )


def _placed(path: bytes, upstream: Upstream) -> bytes:
    """Our project and the upstream's location in the path: a client does not choose who pays.

    The location is the client's own but where the call is sent elsewhere than it said; express paths have none.
    """
    project = (upstream.project or "").encode()
    if not project:
        raise BadRequest(
            "the gateway's Vertex upstream has no project: set project (and region, for express mode) on it"
        )
    there = _PROJECT_PART.search(path)
    if there is not None:
        location = there[1] if upstream.location is None else upstream.location.encode()
        ours = b"/projects/%b/locations/%b/" % (project, location)
        return path[: there.start()] + ours + path[there.end() :]
    version, rest = path[1:].split(b"/", 1)
    location = (upstream.location or upstream.region or _GLOBAL).encode()
    return b"/%b/projects/%b/locations/%b/%b" % (version, project, location, rest)


def _asked_shared(headers: Headers) -> tuple[str, ...]:
    """As often as it is said."""
    return tuple(header_lists.every(headers, b"x-vertex-ai-llm-shared-request-type"))


def _forwardable(headers: Headers) -> Headers:
    """The headers that go upstream; of the family's own only that of its telemetry."""
    return tuple(
        [
            header
            for header in header_lists.forwardable(headers)
            if not header[0].startswith(b"x-goog-") or header[0] == _TELEMETRY
        ]
    )


@remembered(whole, entries_max=PATHS_KEPT_MAX, entry_bytes_max=PATH_BYTES_MAX)
def _parameters(query: bytes) -> Parameters:
    """Decoded as the provider decodes them, names in lower case; a blank value is a value."""
    pairs = [pair.partition(b"=") for pair in query.split(b"&") if pair]
    return tuple([(_plain(name).lower(), _plain(value)) for name, _, value in pairs])


def _plain(text: bytes) -> str:
    return unquote_plus(text.decode("latin-1"))


def _refuse_key_in_url(parameters: Parameters) -> None:
    if any(name in _KEYS_IN_URL for name, _ in parameters):
        raise BadRequest("a key in the URL ends up in logs: send it as the x-goog-api-key header")


def _refuse_unreadable(parameters: Parameters) -> None:
    """Nothing in the URL may make an answer that the meter cannot read, or another call of it."""
    for name, value in parameters:
        if name not in _PARAMETERS:
            raise BadRequest(
                f"the query parameter {name[:40]!r} does not pass with a metered call: leave it out"
            )
        if name in ("alt", "$alt") and value.lower() not in _FORMS:
            raise BadRequest("answers are metered as JSON: use alt=json or alt=sse")


def _shape_of(raw_path: bytes) -> str:
    if b"/publishers/anthropic/" in raw_path:
        return "anthropic"
    return "openai" if b"/openai/" in raw_path or b"/openapi/" in raw_path else "goog"


def _location_of(wire_model: str) -> str | None:
    parts = wire_model.split("/")
    return parts[parts.index("locations") + 1] if "locations" in parts[:-1] else None


def _decoded(segment: bytes) -> str:
    return unquote_to_bytes(segment).decode("utf-8", "replace")


def _tier(word: str | None) -> str:
    lowered = (word or "").lower()
    return _TIERS.get(lowered, lowered)


PROVIDER: Final[Provider] = Google()
