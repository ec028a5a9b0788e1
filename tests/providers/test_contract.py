"""What every provider must keep, a fourth one included: it passes by adding its file and its transcripts."""

import re

import orjson
import pytest

from gateway.exchange.booking import circumstances
from gateway.kernel import errors
from gateway.metering.meter import Reading
from gateway.providers import installed
from gateway.providers.contract import Call, Deployment, Kind, Provider, Upstream
from gateway.wire.messages import Head, Inbound
from tests.providers import transcripts

PROVIDERS = installed()
CASES = transcripts.cases()
# Operations whose usage never passes in one answer: refused, although their frames can be metered.
REFUSED = {
    "realtime-ws-frames",
    "start-async-invoke",
    "gemini-interactions-stream",
    "live-ws-frames",
}
FREE = {"count-tokens"}
DEFERRED = {"batch-retrieve"}
CREDENTIALS = (
    b"authorization",
    b"api-key",
    b"x-api-key",
    b"x-goog-api-key",
    b"cookie",
    b"ocp-apim-subscription-key",
)


def by_name(name: str) -> Provider:
    return next(provider for provider in PROVIDERS if provider.name == name)


def recognised(case: transcripts.Case) -> Call:
    return by_name(case.provider).recognise(case.inbound())


@pytest.mark.parametrize("provider", PROVIDERS, ids=lambda p: p.name)
def test_every_provider_has_transcripts_and_services(provider: Provider) -> None:
    assert any(case.provider == provider.name for case in CASES)
    assert len(provider.services) == len(provider.base_urls)
    assert provider.mount.startswith(b"/")
    assert provider.operations()


@pytest.mark.parametrize("case", CASES, ids=lambda c: f"{c.provider}-{c.name}")
def test_every_recorded_request_is_metered_free_deferred_or_refused_on_purpose(
    case: transcripts.Case,
) -> None:
    if case.name in REFUSED:
        with pytest.raises(errors.OperationRefused):
            recognised(case)
        return
    call = recognised(case)
    assert call.kind is (
        Kind.FREE if case.name in FREE else Kind.DEFERRED if case.name in DEFERRED else Kind.METERED
    )
    assert (call.dialect is None) == (call.kind is Kind.FREE)


@pytest.mark.parametrize(
    "case", [c for c in CASES if c.name not in REFUSED], ids=lambda c: f"{c.provider}-{c.name}"
)
def test_no_client_credential_and_no_hop_by_hop_header_goes_upstream(
    case: transcripts.Case,
) -> None:
    provider = by_name(case.provider)
    inbound = case.inbound()
    extra = (
        *tuple((name, b"wb_leak") for name in CREDENTIALS),
        (b"connection", b"x-secret"),
        (b"x-secret", b"wb_leak"),
        (b"x-forwarded-for", b"wb_leak"),
        (b"x-amz-security-token", b"wb_leak"),
    )
    inbound = Inbound(
        inbound.method, inbound.raw_path, inbound.query, inbound.headers + extra, inbound.body
    )
    call = provider.recognise(inbound)
    upstream = Upstream(
        "u",
        provider.name,
        "https://example.invalid",
        call.service,
        "us-east-1",
        "proj-1",
        "us-east-1",
    )
    target = provider.target(call, inbound, upstream, None, inbound.body)
    assert b"wb_" not in b"".join(name + value for name, value in target.headers)
    assert b"signature=" not in b"".join(value.lower() for _, value in target.headers)


@pytest.mark.parametrize(
    "case", [c for c in CASES if c.name not in REFUSED], ids=lambda c: f"{c.provider}-{c.name}"
)
def test_the_path_goes_upstream_byte_for_byte(case: transcripts.Case) -> None:
    provider = by_name(case.provider)
    inbound = case.inbound()
    call = provider.recognise(inbound)
    named = re.search(rb"/projects/([^/]+)/", inbound.raw_path)  # ours is the one the client names
    project = named[1].decode() if named else None
    upstream = Upstream(
        "u", provider.name, "https://example.invalid", call.service, "us-east-1", project
    )
    if case.name == "vertex-express-key":
        upstream = Upstream(
            "u",
            provider.name,
            "https://example.invalid",
            call.service,
            "us-east1",
            "ours",
            "us-east1",
        )
        sent = provider.target(call, inbound, upstream, None, b"").path_and_query
        assert sent.startswith(
            b"/v1beta1/projects/ours/locations/us-east1/publishers/google/models/"
        )
        return
    sent = provider.target(call, inbound, upstream, None, b"").path_and_query
    assert provider.mount + sent == case.request["target"].encode()


ALL_ERRORS = [
    errors.MalformedBody("m"),
    errors.UnknownKey("m"),
    errors.ModelNotAllowed("m"),
    errors.UnknownDeployment("m"),
    errors.PayloadTooLarge("m"),
    errors.TooManyRequests("m", retry_after_ms=1500),
    errors.BudgetSpent("m"),
    errors.Unavailable("m"),
    errors.UpstreamFailed("m"),
    errors.UpstreamTimeout("m"),
]


@pytest.mark.parametrize("case", CASES, ids=lambda c: f"{c.provider}-{c.name}")
def test_a_refusal_is_json_with_its_message_and_never_asks_for_long_waits(
    case: transcripts.Case,
) -> None:
    provider = by_name(case.provider)
    inbound = case.inbound()
    call = None if case.name in REFUSED else provider.recognise(inbound)
    for error in ALL_ERRORS:
        refusal = provider.refuse(error, call, inbound, "req-1")
        body = orjson.loads(refusal.body)
        assert "m" in (body.get("message"), (body.get("error") or {}).get("message"))
        headers = dict(refusal.headers)
        assert int(headers.get(b"retry-after", b"0")) <= 60
        assert refusal.status >= 400
        if isinstance(error, errors.BudgetSpent):
            stops = headers.get(b"x-should-retry") == b"false" or provider.name == "google"
            assert stops


@pytest.mark.parametrize("path", [b"", b"/", b"/v1", b"/v1/", b"/v1beta", b"/v1beta1", b"/v1alpha"])
def test_a_bare_post_names_the_variables_that_make_a_path(path: bytes) -> None:
    with pytest.raises(errors.MissingPath) as caught:
        by_name("google").recognise(Inbound(b"POST", b"/google" + path, b"", (), b"{}"))
    for word in ("GOOGLE_GEMINI_BASE_URL", "GOOGLE_VERTEX_BASE_URL", "project", "location"):
        assert word in caught.value.message


def test_a_key_in_the_url_is_refused_with_its_cure() -> None:
    path = b"/google/v1/models/gemini-2.5-flash:generateContent"
    with pytest.raises(errors.BadRequest, match="x-goog-api-key"):
        by_name("google").recognise(Inbound(b"POST", path, b"key=wb_x", (), b"{}"))


REFUSED_PATHS = [
    ("azure", b"GET", b"/azure/openai/v1/realtime"),
    ("azure", b"POST", b"/azure/openai/realtime/client_secrets"),
    ("azure", b"POST", b"/azure/openai/assistants"),
    ("azure", b"POST", b"/azure/openai/v1/threads/t/runs"),
    ("azure", b"POST", b"/azure/openai/fine_tuning/jobs"),
    ("azure", b"POST", b"/azure/openai/v1/videos"),
    (
        "bedrock",
        b"POST",
        b"/bedrock/model/amazon.nova-sonic-v1%3A0/invoke-with-bidirectional-stream",
    ),
    ("bedrock", b"GET", b"/bedrock/async-invoke/arn"),
    ("google", b"POST", b"/google/upload/v1/files"),
    ("google", b"POST", b"/google/v1beta/cachedContents"),
    ("google", b"POST", b"/google/v1/projects/p/locations/l/batchPredictionJobs"),
    (
        "google",
        b"GET",
        b"/google/ws/google.ai.generativelanguage.v1.GenerativeService.BidiGenerateContent",
    ),
]


@pytest.mark.parametrize(("name", "method", "path"), REFUSED_PATHS, ids=str)
def test_what_cannot_be_metered_is_refused_and_says_why(
    name: str, method: bytes, path: bytes
) -> None:
    with pytest.raises(errors.OperationRefused, match=r"(es not|s do not) pass this"):
        by_name(name).recognise(Inbound(method, path, b"", (), b""))


VEO = b"/google/v1/projects/p/locations/us-central1/publishers/google/models/veo-3.1-generate-001"
VIDEO_PATHS = [
    ("azure", b"POST", b"/azure/openai/v1/videos"),
    ("azure", b"GET", b"/azure/openai/v1/videos/video_1/content"),
    ("azure", b"POST", b"/azure/openai/v1/videos/video_1/remix"),
    ("azure", b"POST", b"/azure/openai/v1/video/generations/jobs"),
    ("azure", b"GET", b"/azure/openai/v1/video/generations/gen_1/content/video"),
    ("bedrock", b"POST", b"/bedrock/async-invoke"),
    ("bedrock", b"GET", b"/bedrock/async-invoke/arn%3Aaws%3Abedrock"),
    ("google", b"POST", b"/google/v1beta/models/veo-3.1-generate-preview:predictLongRunning"),
    ("google", b"POST", b"/google/v1beta/openai/videos"),
    ("google", b"POST", VEO + b":predictLongRunning"),
    ("google", b"POST", VEO + b":fetchPredictOperation"),
    ("google", b"GET", b"/google/v1beta/models/veo-3.1-generate-preview/operations/1"),
    ("google", b"GET", b"/google/v1beta/operations/1"),
]


@pytest.mark.parametrize(("name", "method", "path"), VIDEO_PATHS, ids=str)
def test_videos_are_refused_and_the_refusal_says_where_to_ask(
    name: str, method: bytes, path: bytes
) -> None:
    with pytest.raises(errors.OperationRefused, match="provider itself"):
        by_name(name).recognise(Inbound(method, path, b"", (), b"{}"))


@pytest.mark.parametrize("provider", PROVIDERS, ids=lambda p: p.name)
def test_an_unknown_path_is_not_found_and_names_the_base_url(provider: Provider) -> None:
    with pytest.raises(errors.UnknownOperation, match=provider.mount.decode()):
        provider.recognise(Inbound(b"POST", provider.mount + b"/nowhere", b"", (), b""))


@pytest.mark.parametrize(
    ("wire", "names", "scope", "geo"),
    [
        (
            "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
            "anthropic.claude-sonnet-4-5-20250929-v1:0",
            "geo",
            "us",
        ),
        ("us-gov.anthropic.claude-x", "anthropic.claude-x", "geo", "us-gov"),
        ("global.openai.gpt-5.6-sol", "openai.gpt-5.6-sol", "global", None),
        ("amazon.nova-pro-v1:0", "amazon.nova-pro-v1:0", "in_region", None),
        (
            "arn:aws:bedrock:us-east-1:123456789012:inference-profile/eu.amazon.nova-pro-v1:0",
            "amazon.nova-pro-v1:0",
            "geo",
            "eu",
        ),
        (
            "arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-pro-v1:0",
            "amazon.nova-pro-v1:0",
            "in_region",
            None,
        ),
    ],
)
def test_a_model_id_says_its_scope(wire: str, names: str, scope: str, geo: str | None) -> None:
    found = by_name("bedrock").wire(wire, None, "us-east-1")
    assert (found.names, found.scope, found.geo) == ((names,), scope, geo)


def test_an_application_inference_profile_hides_its_model() -> None:
    arn = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc123"
    assert by_name("bedrock").wire(arn, None, "us-east-1").names == ()


def test_both_encodings_of_an_id_name_the_same_model() -> None:
    literal = Inbound(
        b"POST", b"/bedrock/model/us.anthropic.claude-x-v1:0/converse", b"", (), b"{}"
    )
    encoded = Inbound(
        b"POST", b"/bedrock/model/us.anthropic.claude-x-v1%3A0/converse", b"", (), b"{}"
    )
    bedrock = by_name("bedrock")
    assert bedrock.recognise(literal).wire_model == bedrock.recognise(encoded).wire_model


@pytest.mark.parametrize(
    ("model", "region"),
    [
        ("arn:aws:bedrock:eu-west-1::foundation-model/amazon.nova-pro-v1:0", "eu-west-1"),
        ("amazon.nova-pro-v1:0", "us-east-1"),
    ],
)
def test_what_an_arn_says_of_its_region_outranks_whoever_relays_it(model: str, region: str) -> None:
    bedrock = by_name("bedrock")
    upstream = Upstream("one", "bedrock", "https://one.invalid", "runtime", "us-east-1")
    call = Call("bedrock", "converse", Kind.METERED, b"", "runtime", wire_model=model)
    wire = bedrock.wire(model, None, upstream.region)
    named = Deployment(model, "one", None, wire.scope, wire.geo, wire.region)
    served = bedrock.served(call, upstream, Head(200, ()), Reading())
    assert circumstances("bedrock", named, served, "standard", 0).region == region


@pytest.mark.parametrize(
    ("body", "header", "named"),
    [
        ("GPT-4o-2024-11-20", b"gpt-4o-mini", ("gpt-4o-2024-11-20",)),
        (None, b"Whisper", ("whisper",)),
        (None, None, ()),
    ],
)
def test_where_a_body_names_no_model_the_header_does(
    body: str | None, header: bytes | None, named: tuple[str, ...]
) -> None:
    azure = by_name("azure")
    upstream = Upstream("one", "azure", "https://one.invalid", "openai", "eastus2")
    call = Call(
        "azure", "audio.transcriptions", Kind.METERED, b"", "openai", wire_model="dictation"
    )
    headers = () if header is None else ((b"x-ms-served-model", header),)
    served = azure.served(call, upstream, Head(200, headers), Reading(model=body))
    assert served.model == named


def test_a_guardrail_that_a_header_attaches_is_seen() -> None:
    path, body = b"/bedrock/model/amazon.nova-lite-v1%3A0/invoke", b'{"messages":[]}'
    header = (b"X-Amzn-Bedrock-GuardrailIdentifier", b"gr-0001")
    found = [
        by_name("bedrock").recognise(Inbound(b"POST", path, b"", headers, body)).guarded
        for headers in ((), (header,))
    ]
    assert found == [False, True]
