"""AWS Bedrock: the runtime API (Converse, InvokeModel, guardrails) and mantle's OpenAI- and Anthropic-shaped endpoints.

To admit an operation: one line in ``_ROUTES`` (with its dialect), or one fewer refusal.
"""

import re
from typing import Final, Literal
from urllib.parse import unquote_to_bytes

from gateway.dialects import anthropic, bedrock_families, converse, openai_chat, openai_responses
from gateway.dialects.contract import Dialect, Request
from gateway.kernel.errors import GatewayError, UnknownOperation
from gateway.kernel.remembered import remembered, times
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
    Scope,
    Served,
    Signing,
    Target,
    Upstream,
    Wire,
    dearest_tier,
    find,
    path_for,
    spoken,
)
from gateway.wire import headers as header_lists
from gateway.wire.jsondoc import has_member
from gateway.wire.messages import Head, Headers, Inbound
from gateway.wire.refusals import SHAPES

_NAME: Final = "bedrock"
_MOUNT: Final = b"/bedrock"
_RUNTIME: Final = "runtime"
_MANTLE: Final = "mantle"
_SIGNING: Final = {_RUNTIME: _NAME, _MANTLE: "bedrock-mantle"}
_BEARER: Final = b"authorization"
_GUARDRAIL: Final = b"x-amzn-bedrock-guardrailidentifier"
_TIER_HEADERS: Final = (
    b"x-amzn-bedrock-service-tier",
    b"x-amzn-bedrock-performanceconfig-latency",
)
_ANTHROPIC: Final = "anthropic_version"  # every Anthropic body must have it

# An encoded slash is an ARN's; an encoded '?', '#' or ';' could end the path upstream, and make a metered call of a free one.
_MODEL: Final = rb"/model/(?P<model>(?:[^/%]|%(?!3[FfBb]|23))+)"
_PROFILE: Final = re.compile(r"(global|us-gov|us|eu|apac|jp|au|ca|sa)\.(.+)")
_ARN: Final = re.compile(
    r"arn:aws[a-z-]*:bedrock:(?P<region>[a-z0-9-]*):[0-9]*:(?P<kind>[a-z-]+)/(?P<id>.+)"
)
_OPAQUE: Final = {"provisioned-model": "provisioned"}
_TIERS: Final = {"": "standard", "default": "standard", "standard": "standard", "auto": "standard",
    "standard_only": "standard", "optimized": "latency",
}  # fmt: skip


def _runtime(
    path: bytes, operation: str, dialect: Dialect, *, streams: bool = False, root: bytes = _MODEL
) -> Route:
    return Route(
        "POST", re.compile(root + path), operation, Kind.METERED, dialect=dialect,
        service=_RUNTIME, shape="aws", streams=streams,
    )  # fmt: skip


def _mantle(path: bytes, operation: str, dialect: Dialect, shape: str) -> Route:
    return Route(
        "POST", re.compile(path), operation, Kind.METERED, dialect=dialect, service=_MANTLE,
        shape=shape,
    )  # fmt: skip


def _free(methods: str, path: bytes, operation: str, service: str, shape: str) -> Route:
    return Route(methods, re.compile(path), operation, Kind.FREE, service=service, shape=shape)


def _refused(path: bytes, operation: str, why: str) -> Route:
    methods = "GET POST PUT PATCH DELETE"
    return Route(methods, re.compile(path), operation, Kind.METERED, shape="aws", refusal=why)


_ASYNC: Final = (
    f"its usage never passes the gateway; use converse or invoke, and of videos: {VIDEOS_ELSEWHERE}"
)

# InvokeModel's dialect depends on the vendor: see ``_invoke_dialect``; the table holds the families'.
_ROUTES: Final = (
    _runtime(rb"/converse", "converse", converse.CONVERSE),
    _runtime(rb"/converse-stream", "converse-stream", converse.CONVERSE, streams=True),
    _runtime(rb"/invoke", "invoke", bedrock_families.FAMILIES),
    _runtime(
        rb"/invoke-with-response-stream", "invoke-with-response-stream", bedrock_families.FAMILIES,
        streams=True,
    ),
    _runtime(
        rb"/guardrail/(?P<guardrail>[^/]+)/version/[^/]+/apply", "apply-guardrail",
        converse.GUARDRAIL, root=b"",
    ),
    _free("POST", _MODEL + rb"/count-tokens", "count-tokens", _RUNTIME, "aws"),
    _mantle(rb"(?:/openai)?/v1/chat/completions", "chat.completions", openai_chat.CHAT, "openai"),
    _mantle(rb"(?:/openai)?/v1/responses", "responses", openai_responses.RESPONSES, "openai"),
    _mantle(rb"/anthropic/v1/messages", "messages", anthropic.MESSAGES, "anthropic"),
    _free("POST", rb"/anthropic/v1/messages/count_tokens", "messages.count_tokens", _MANTLE, "anthropic"),
    _free("GET", rb"(?:/openai|/anthropic)?/v1/models(?:/[^/]+)?", "models", _MANTLE, "openai"),
    _free("GET DELETE", rb"(?:/openai)?/v1/responses/(?P<resource>[0-9A-Za-z._-]+)(?:/input_items)?", "responses.retrieve", _MANTLE, "openai"),
    _free("POST", rb"(?:/openai)?/v1/responses/input_tokens", "responses.input_tokens", _MANTLE, "openai"),
    _refused(rb"/async-invoke(?:/.*)?", "async invoke", _ASYNC),
    _refused(
        _MODEL + rb"/invoke-with-bidirectional-stream", "bidirectional streaming",
        "it cannot be metered yet; use converse-stream",
    ),
    _refused(rb"/guardrail-checks/.*", "guardrail checks", "use ApplyGuardrail"),
    _refused(rb"/model-invocation-jobs?(?:/.*)?", "batch inference", "its usage never passes the gateway"),
)  # fmt: skip


class Bedrock:
    """See the contract; model ids carry their meaning, so no deployment need be configured."""

    name = _NAME
    mount = _MOUNT
    genai_name = "aws.bedrock"
    abandon: Literal["drain", "cancel"] = "drain"
    ambient: Literal["entra", "aws", "adc"] = "aws"
    signing_services: frozenset[str] = frozenset(_SIGNING.values())
    object_schemes: tuple[str, ...] = ("s3",)
    searches = False
    store_members: tuple[str, ...] = ()
    services = (_RUNTIME, _MANTLE)
    base_urls = (
        "https://bedrock-runtime.{location}.amazonaws.com",
        "https://bedrock-mantle.{location}.api.aws",
    )
    free_names = True

    def recognise(self, inbound: Inbound) -> Call:
        path = inbound.raw_path[len(_MOUNT) :]
        found = _found(inbound.method, path)
        if found is None:
            raise UnknownOperation(
                f"{inbound.method.decode('latin-1')} {path[:120].decode('latin-1') or '/'} is no operation "
                "of Bedrock here; AWS_ENDPOINT_URL_BEDROCK_RUNTIME is <gateway>/bedrock"
            )
        route, model, resource = found
        dialect = route.dialect
        if model is not None and dialect is bedrock_families.FAMILIES:
            dialect = _invoke_dialect(model, inbound.body)
        return Call(
            provider=_NAME,
            operation=route.operation,
            kind=route.kind,
            path=path,
            service=_service(route, inbound),
            dialect=dialect,
            wire_model="guardrail" if route.operation == "apply-guardrail" else model,
            streams=route.streams,
            shape=route.shape,
            resource=resource,
            guarded=inbound.told(_is_guarded),
        )

    def operations(self) -> dict[str, Dialect]:
        return {**spoken(_ROUTES), "invoke-anthropic": anthropic.INVOKE}

    def wire(self, wire_model: str, location: str | None, region: str | None) -> Wire:
        arn = _ARN.fullmatch(wire_model)
        if arn is not None:
            return self._from_arn(arn, region)
        profile = _PROFILE.fullmatch(wire_model)
        if profile is None:
            return Wire(names=_names(wire_model), scope="in_region", region=location or region)
        geo, model = profile.groups()
        if geo == "global":
            return Wire(names=_names(model), scope="global", region=location or region)
        return Wire(names=_names(model), scope="geo", geo=geo, region=location or region)

    def _from_arn(self, arn: re.Match[str], region: str | None) -> Wire:
        """Profile and foundation-model ARNs name their model; application profiles hide it."""
        kind, identity = arn["kind"], arn["id"]
        if kind in ("inference-profile", "foundation-model"):
            return self.wire(identity, arn["region"] or None, region)
        scope: Scope | None = "provisioned" if kind in _OPAQUE else None
        return Wire(names=(), scope=scope, region=arn["region"] or region)

    def target(
        self,
        call: Call,
        inbound: Inbound,
        upstream: Upstream,
        deployment: Deployment | None,
        body: bytes,
    ) -> Target:
        query = b"?" + inbound.query if inbound.query else b""
        region = upstream.location or upstream.region or "us-east-1"
        return Target(
            method=inbound.method,
            path_and_query=path_for(_ROUTES, inbound.method, call.path, deployment) + query,
            headers=inbound.told(header_lists.forwardable),
            body=body,
            key_header=_BEARER,
            signing=Signing(_SIGNING[call.service], region),
        )

    def asked_tier(self, call: Call, inbound: Inbound, request: Request) -> str:
        # Conversations say it in their body, and nobody reads a header there.
        said = inbound.told(_asked_tiers) if call.operation.startswith("invoke") else ()
        return dearest_tier((*said, request.tier), _TIERS)

    def served(self, call: Call, upstream: Upstream, head: Head, reading: Reading) -> Served:
        named = reading.model if call.service == _MANTLE and reading.model else None
        return Served(
            model=() if named is None else _names(named),
            tier=None if reading.tier is None else _tier(reading.tier),
            region=None if _states_region(call) else upstream.location or upstream.region,
            provider_request_id=header_lists.text(head.headers, b"x-amzn-requestid"),
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
def _found(method: bytes, path: bytes) -> tuple[Route, str | None, str | None] | None:
    """The route of a path, the model and the kept thing it names; None where there is none. Raises OperationRefused."""
    found = find(_ROUTES, method.decode("latin-1"), path)
    if found is None:
        return None
    route, match = found
    named = match.groupdict()
    return route, _decoded(named.get("model")), _decoded(named.get("resource"))


def _decoded(raw: bytes | None) -> str | None:
    return None if raw is None else unquote_to_bytes(raw).decode("utf-8", "replace")


def _invoke_dialect(model: str, body: bytes) -> Dialect:
    """By the vendor in the id; an opaque ARN tells by the member every Anthropic body must have."""
    if "anthropic." in model or (model.startswith("arn:") and has_member(body, _ANTHROPIC)):
        return anthropic.INVOKE
    return bedrock_families.FAMILIES


def _states_region(call: Call) -> bool:
    """Whether the path's ARN says where it is served: that is its deployment's region, whoever relays it."""
    arn = _ARN.fullmatch(call.wire_model or "")
    return arn is not None and bool(arn["region"])


def _names(model: str) -> tuple[str, ...]:
    return (model.lower(),)


def _service(route: Route, inbound: Inbound) -> str:
    """The OpenAI-shaped paths exist on both hosts: a signature for the runtime's service means the runtime."""
    if route.service == _MANTLE:
        signed = header_lists.first(inbound.headers, b"authorization") or b""
        if b"/bedrock/aws4_request" in signed:
            return _RUNTIME
    return route.service


def _shape_of(raw_path: bytes) -> str:
    path = raw_path[len(_MOUNT) :]
    if path.startswith(b"/anthropic/"):
        return "anthropic"
    return "openai" if path.startswith((b"/openai/", b"/v1/")) else "aws"


def _is_guarded(headers: Headers) -> bool:
    """Whether a guardrail is attached by header."""
    return header_lists.first(headers, _GUARDRAIL) is not None


def _asked_tiers(headers: Headers) -> tuple[str, ...]:
    """The service tier and the latency that headers ask for, each as often as it is said."""
    return tuple([word for name in _TIER_HEADERS for word in header_lists.every(headers, name)])


def _tier(word: str | None) -> str:
    lowered = (word or "").lower()
    return _TIERS.get(lowered, lowered)


PROVIDER: Final[Provider] = Bedrock()
