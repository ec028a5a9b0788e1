"""Azure OpenAI and Azure AI Foundry: api-version style, v1 style, model inference, Anthropic on Foundry.

To admit an operation: one line in ``_ROUTES`` (with its dialect), or one fewer in ``_REFUSED``.
"""

import re
from typing import Final, Literal
from urllib.parse import unquote_to_bytes

import msgspec

from gateway.dialects import (
    anthropic,
    openai_batch,
    openai_batch_output,
    openai_chat,
    openai_files,
    openai_media,
    openai_responses,
)
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
    Served,
    Target,
    Upstream,
    Wire,
    find,
    path_for,
    spoken,
)
from gateway.wire import headers as header_lists
from gateway.wire.jsondoc import MalformedJson, obj, parse, string
from gateway.wire.messages import Head, Inbound
from gateway.wire.refusals import SHAPES

_NAME: Final = "azure"
_MOUNT: Final = b"/azure"
_KEY_HEADER: Final = b"api-key"
_ROOT: Final = rb"/openai(?:/v1)?"
# `AzureOpenAI(base_url=…/openai/v1/)` yields /openai/v1/deployments/{m}/…; the ai-sdk drops version and deployment.
# What an id consists of: an encoded slash or question mark in it could make another call of a free one.
_ID: Final = rb"(?P<resource>[0-9A-Za-z._-]+)"
_PLAIN_ID: Final = re.compile(r"[0-9A-Za-z._-]+")
_ANY: Final = _ROOT + rb"(?:/deployments/(?P<model>[^/]+))?"

_TIERS: Final = {
    None: "standard",
    "": "standard",
    "auto": "standard",
    "default": "standard",
    "standard": "standard",
    "scale": "standard",
    "standard_only": "standard",
    "fast": "priority",  # asked fast, served (and billed) as priority: recorded 2026-03
}

# What a refusal charges: https://learn.microsoft.com/azure/ai-foundry/openai/how-to/manage-costs
_BAD_REQUEST: Final = 400
_TIMED_OUT: Final = 408
_FILTERED: Final = frozenset({"content_filter", "ResponsibleAIPolicyViolation"})
_PROMPTED: Final = frozenset({"chat.completions", "completions", "responses", "embeddings"})


def _route(
    path: bytes, operation: str, dialect: Dialect, *, root: bytes = _ANY, shape: str = "openai"
) -> Route:
    return Route(
        "POST", re.compile(root + path), operation, Kind.METERED, dialect=dialect, shape=shape
    )


def _free(methods: str, path: bytes, operation: str, *, root: bytes = _ROOT) -> Route:
    shape = "anthropic" if b"anthropic" in path else "openai"
    return Route(methods, re.compile(root + path), operation, Kind.FREE, shape=shape)


def _list(path: bytes, operation: str) -> Route:
    return Route("GET", re.compile(_ROOT + path), operation, Kind.FREE, shape="openai", lists=True)


def _refused(path: bytes, operation: str, why: str) -> Route:
    methods = "GET POST PUT PATCH DELETE"
    return Route(methods, re.compile(path), operation, Kind.METERED, shape="openai", refusal=why)


_ROUTES: Final = (
    _route(rb"/chat/completions", "chat.completions", openai_chat.CHAT),
    _route(rb"/responses", "responses", openai_responses.RESPONSES),
    _route(rb"/embeddings", "embeddings", openai_media.EMBEDDINGS),
    _route(rb"/completions", "completions", openai_chat.COMPLETIONS),
    _route(rb"/responses/compact", "responses.compact", openai_responses.COMPACT),
    _route(rb"/images/generations", "images.generations", openai_media.IMAGES),
    _route(rb"/images/edits", "images.edits", openai_media.IMAGE_EDITS),
    _route(rb"/audio/transcriptions", "audio.transcriptions", openai_media.TRANSCRIPTION),
    _route(rb"/audio/translations", "audio.translations", openai_media.TRANSCRIPTION),
    _route(rb"/audio/speech", "audio.speech", openai_media.SPEECH),
    _route(rb"/models/chat/completions", "chat.completions", openai_chat.CHAT, root=b""),
    _route(rb"/models/embeddings", "embeddings", openai_media.EMBEDDINGS, root=b""),
    _route(
        rb"/anthropic/v1/messages", "messages", anthropic.MESSAGES, root=b"", shape="anthropic"
    ),
    _free("POST", rb"/anthropic/v1/messages/count_tokens", "messages.count_tokens", root=b""),
    _free("GET", rb"/anthropic/v1/models(?:/[^/]+)?", "models", root=b""),
    _free("GET", rb"/models/info", "models.info", root=b""),
    _free("POST", rb"/responses/input_tokens", "responses.input_tokens"),
    _free("GET DELETE", rb"/responses/" + _ID + rb"(?:/input_items)?", "responses.retrieve"),
    _free("POST", rb"/responses/" + _ID + rb"/cancel", "responses.cancel"),
    _list(rb"/chat/completions", "chat.list"),
    _free("GET DELETE", rb"/chat/completions/" + _ID + rb"(?:/messages)?", "chat.retrieve"),
    _free("GET", rb"/(?:models|deployments)(?:/[^/]+)?", "models"),
    Route(
        "POST", re.compile(_ROOT + rb"/files"), "files.create", Kind.FREE,
        dialect=openai_files.UPLOAD, shape="openai",
    ),
    _list(rb"/files", "files.list"),
    _free("GET", rb"/files/" + _ID + rb"(?:/content)?", "files"),
    Route(
        "DELETE", re.compile(_ROOT + rb"/files/" + _ID), "files", Kind.FREE, shape="openai", removes=True,
    ),
    _list(rb"/batches", "batches.list"),
    Route(
        "POST", re.compile(_ROOT + rb"/batches"), "batches.create", Kind.DEFERRED,
        dialect=openai_batch.BATCH, shape="openai", reserved=True,
    ),
    # A batch that is cancelled has done something: its answer may be the only one that ever says what.
    Route(
        "POST", re.compile(_ROOT + rb"/batches/" + _ID + rb"/cancel"), "batches.cancel", Kind.DEFERRED,
        dialect=openai_batch.BATCH, shape="openai",
    ),
    Route(
        "GET", re.compile(_ROOT + rb"/batches/" + _ID), "batches.retrieve", Kind.DEFERRED,
        dialect=openai_batch.BATCH, shape="openai",
    ),
    _refused(
        _ROOT + rb"/realtime(?:/.*)?", "realtime",
        "sessions and client secrets would go around the meter; use chat completions or responses",
    ),
    _refused(_ROOT + rb"/(?:live|client_secrets)(?:/.*)?", "live", "live sessions cannot be metered yet"),
    _refused(
        _ROOT + rb"/(?:assistants|threads|vector_stores|conversations|containers|evals)(?:/.*)?",
        "assistants and stores", "their runs bill outside any one answer; use responses",
    ),
    _refused(_ROOT + rb"/(?:videos|video/generations)(?:/.*)?", "videos", VIDEOS_ELSEWHERE),
    _refused(
        _ROOT + rb"/(?:fine_tuning|fine-tunes|uploads|decisions|skills)(?:/.*)?",
        "fine-tuning and uploads", "they cannot be metered yet",
    ),
    _refused(_ANY + rb"/images/variations", "image variations", "use images/edits"),
    _refused(
        rb"/anthropic/v1/(?:messages/batches|files|skills)(?:/.*)?", "Anthropic batches and files",
        "their usage cannot be metered yet; use messages",
    ),
)  # fmt: skip


class AzureOpenAI:
    """See the contract; one upstream per resource, deployments named by their owner."""

    name = _NAME
    mount = _MOUNT
    genai_name = "azure.ai.openai"
    abandon: Literal["drain", "cancel"] = "cancel"
    ambient: Literal["entra", "aws", "adc"] = "entra"
    signing_services: frozenset[str] = frozenset()
    object_schemes: tuple[str, ...] = ()
    searches = True
    store_members: tuple[str, ...] = ()
    services = ("",)
    base_urls = ("",)
    free_names = False

    def recognise(self, inbound: Inbound) -> Call:
        call = _call(inbound.method, inbound.raw_path)
        if call is None:
            raise UnknownOperation(
                f"{inbound.method.decode('latin-1')} {_shown(inbound.raw_path[len(_MOUNT) :])} is no operation "
                "of Azure OpenAI; the endpoint is <gateway>/azure, or <gateway>/azure/openai/v1 as an OpenAI "
                "base URL"
            )
        return call

    def operations(self) -> dict[str, Dialect]:
        return spoken(_ROUTES)

    def wire(self, wire_model: str, location: str | None, region: str | None) -> Wire:
        """Deployment names are the owner's own: only a model's name itself says anything."""
        return Wire(names=(wire_model.lower(),))

    def target(
        self,
        call: Call,
        inbound: Inbound,
        upstream: Upstream,
        deployment: Deployment | None,
        body: bytes,
    ) -> Target:
        query = b"?" + inbound.query if inbound.query else b""
        return Target(
            method=inbound.method,
            path_and_query=path_for(_ROUTES, inbound.method, call.path, deployment) + query,
            headers=inbound.told(header_lists.forwardable),
            body=body,
            key_header=_KEY_HEADER,
        )

    def asked_tier(self, call: Call, inbound: Inbound, request: Request) -> str:
        return _tier(request.tier)

    def served(self, call: Call, upstream: Upstream, head: Head, reading: Reading) -> Served:
        region = header_lists.text(head.headers, b"x-ms-region")
        spilled = header_lists.text(head.headers, b"x-ms-is-spilled-over")
        flags = ("spilled_over",) if (spilled or "").lower() == "true" else ()
        # Foundry's Anthropic answers name their model; batches and chat do too. Where a body names none
        # (speech, pictures), the header does.
        model = reading.model or header_lists.text(head.headers, b"x-ms-served-model")
        return Served(
            model=() if not model else (model.lower(),),
            tier=None if reading.tier is None else _tier(reading.tier),
            region=None if region is None else region.replace(" ", "").lower(),
            provider_request_id=header_lists.text(head.headers, b"apim-request-id")
            or header_lists.text(head.headers, b"x-request-id"),
            flags=flags,
        )

    def retrieval(self, inbound: Inbound, work_id: str) -> Inbound | None:
        """A batch beside its collection, in the same version of the API."""
        if not _PLAIN_ID.fullmatch(work_id):
            return None
        versions = [pair for pair in inbound.query.split(b"&") if pair.startswith(b"api-version=")]
        path = inbound.raw_path + b"/" + work_id.encode()
        return Inbound(b"GET", path, b"&".join(versions), (), b"")

    def results(self, asking: Inbound, kept: str) -> tuple[Inbound, Call] | None:
        """The output file beside the batch: there are versions of the API whose batches say no usage."""
        root, found, _ = asking.raw_path.rpartition(b"/batches/")
        if not found or not _PLAIN_ID.fullmatch(kept):
            return None
        path = root + b"/files/" + kept.encode() + b"/content"
        call = Call(
            provider=_NAME,
            operation="batches.results",
            kind=Kind.DEFERRED,
            path=path[len(_MOUNT) :],
            dialect=openai_batch_output.RESULTS,
            shape="openai",
        )
        return msgspec.structs.replace(asking, raw_path=path), call

    def results_written(self, body: bytes, now_us: int) -> int | None:
        return openai_files.results_written(body, now_us)

    def charges_refusal(self, call: Call, status: int, body: bytes) -> bool:
        """A prompt that was filtered, or that ran into the time limit, has been read and is charged."""
        if call.operation not in _PROMPTED:
            return False
        if status != _BAD_REQUEST:
            return status == _TIMED_OUT
        try:
            error = obj(parse(body), "error")
        except MalformedJson:
            return False
        codes = string(error, "code"), string(error.get("innererror"), "code")
        return not _FILTERED.isdisjoint(codes)

    def refuse(
        self, error: GatewayError, call: Call | None, inbound: Inbound, request_id: str
    ) -> Refusal:
        shape = call.shape if call else _shape_of(inbound.raw_path)
        return Refusal(*SHAPES[shape](error, request_id))


@remembered(times(4), entries_max=PATHS_KEPT_MAX, entry_bytes_max=PATH_BYTES_MAX)
def _call(method: bytes, raw_path: bytes) -> Call | None:
    """What a path means; None where it means nothing. Raises OperationRefused."""
    path = raw_path[len(_MOUNT) :]
    found = find(_ROUTES, method.decode("latin-1"), path)
    if found is None:
        return None
    route, match = found
    model = match.groupdict().get("model")
    return Call(
        provider=_NAME,
        operation=route.operation,
        kind=route.kind,
        path=path,
        dialect=route.dialect,
        wire_model=None if model is None else _decoded(model),
        shape=route.shape,
        reserved=route.reserved,
        resource=_text(match.groupdict().get("resource")),
        lists=route.lists,
        removes=route.removes,
    )


def _tier(word: str | None) -> str:
    lowered = (word or "").lower()
    return _TIERS.get(lowered, lowered)


def _shape_of(raw_path: bytes) -> str:
    return "anthropic" if raw_path.startswith(_MOUNT + b"/anthropic/") else "openai"


def _text(segment: bytes | None) -> str | None:
    return None if segment is None else segment.decode("ascii")


def _decoded(segment: bytes) -> str:
    return unquote_to_bytes(segment).decode("utf-8", "replace")


def _shown(path: bytes) -> str:
    return path[:120].decode("latin-1") or "/"


PROVIDER: Final[Provider] = AzureOpenAI()
