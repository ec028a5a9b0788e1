"""Ways to word a request so that its answer cannot be weighed, or that somebody else pays: none passes."""

import pytest

from gateway.kernel import errors
from gateway.providers import installed
from gateway.providers.contract import Kind, Provider, Upstream
from gateway.wire.headers import forwardable
from gateway.wire.messages import Inbound

GENERATE = b"/google/v1beta/models/gemini-2.5-flash:generateContent"
PLACED = b"/google/v1/projects/theirs/locations/us-east1/publishers/google/models/m:generateContent"


def by_name(name: str) -> Provider:
    return next(provider for provider in installed() if provider.name == name)


def asked(path: bytes, query: bytes = b"", *, method: bytes = b"POST") -> Inbound:
    return Inbound(method, path, query, (), b"{}")


@pytest.mark.parametrize(
    "query",
    [
        b"fields=candidates",
        b"$fields=candidates",
        b"%24fields=candidates",
        b"f%69elds=candidates",
        b"alt=sse&fields=candidates",
        b"callback=f",
        b"$callback=f",
        b"alt=proto",
        b"$alt=proto",
        b"alt=sse&alt=proto",
        b"alt=sse;fields=x",
        b"alt=media",
        b"$httpMethod=GET",
        b"$httpHeaders=X-Goog-User-Project%3Aother",
        b"userProject=other",
        b"quotaUser=other",
    ],
)
def test_no_parameter_takes_the_usage_out_of_an_answer_or_names_another_payer(query: bytes) -> None:
    with pytest.raises(errors.BadRequest, match=r"query parameter|metered as JSON"):
        by_name("google").recognise(asked(GENERATE, query))


@pytest.mark.parametrize(
    "query",
    [b"", b"alt=sse", b"alt=json", b"$alt=json;enum-encoding=int", b"%24alt=json%3Benum-encoding%3Dint",
     b"prettyPrint=false", b"beta=true"],
)  # fmt: skip
def test_what_sdks_put_into_the_url_passes(query: bytes) -> None:
    assert by_name("google").recognise(asked(GENERATE, query)).kind is Kind.METERED


@pytest.mark.parametrize(
    "query", [b"key=x", b"%6bey=x", b"$key=x", b"%24Key=x", b"oauth_token=x", b"a=b&access_token=x"]
)
def test_a_key_in_the_url_is_refused_however_it_is_spelled(query: bytes) -> None:
    with pytest.raises(errors.BadRequest, match="x-goog-api-key"):
        by_name("google").recognise(asked(b"/google/v1beta/models", query, method=b"GET"))


@pytest.mark.parametrize(
    "path",
    [
        b"/google/v1beta/models/gemini-2.5-pro%2Fgemini-2.5-flash:generateContent",
        b"/google/v1beta/models/gemini-2.5-pro%3AgenerateContent%3Fx:countTokens",
        b"/google/v1beta/models/m%23x:countTokens",
        b"/google/v1/projects/p/locations/us-east1.example.com/publishers/google/models/m:generateContent",
        b"/google/v1/projects/p/locations/GLOBAL/publishers/google/models/m:generateContent",
        b"/google/v1/projects/p/locations/%67lobal/publishers/google/models/m:generateContent",
    ],
)
def test_a_name_that_two_readers_could_take_differently_is_no_operation(path: bytes) -> None:
    with pytest.raises(errors.UnknownOperation):
        by_name("google").recognise(asked(path))


def test_a_version_in_a_model_name_passes_in_both_spellings() -> None:
    path = b"/google/v1/projects/p/locations/us-east5/publishers/anthropic/models/claude-x%b20250929:rawPredict"
    models = {by_name("google").recognise(asked(path % at)).wire_model for at in (b"@", b"%40")}
    assert models == {"claude-x@20250929"}


def test_of_the_headers_that_steer_the_front_door_only_telemetry_goes_upstream() -> None:
    google = by_name("google")
    steering = (
        b"x-goog-fieldmask", b"x-goog-user-project", b"x-goog-quota-user", b"x-goog-request-params",
        b"x-goog-encode-response-if-executable", b"x-http-method-override",
    )  # fmt: skip
    headers = (*((name, b"x") for name in steering), (b"x-goog-api-client", b"gl-python"))
    inbound = Inbound(b"POST", GENERATE, b"", headers, b"{}")
    call = google.recognise(inbound)
    upstream = Upstream("u", "google", "https://example.invalid", call.service)
    assert google.target(call, inbound, upstream, None, b"{}").headers == headers[-1:]


@pytest.mark.parametrize("path", [PLACED, b"/google/v1/publishers/google/models/m:generateContent"])
def test_without_a_project_of_ours_nobody_elses_is_used(path: bytes) -> None:
    google, inbound = by_name("google"), asked(path)
    call = google.recognise(inbound)
    upstream = Upstream("u", "google", "https://example.invalid", call.service, "us-east1")
    with pytest.raises(errors.BadRequest, match="no project"):
        google.target(call, inbound, upstream, None, b"{}")


@pytest.mark.parametrize(
    "name", [b"x-http-method", b"x-http-method-override", b"x-method-override", b"x-rewrite-url"]
)
def test_no_header_makes_another_method_or_path_of_a_request(name: bytes) -> None:
    assert forwardable(((name, b"POST"), (b"accept", b"*/*"))) == ((b"accept", b"*/*"),)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        (b"POST", b"/azure/openai/v1/responses/x%2Fy/cancel"),
        (b"POST", b"/azure/openai/v1/responses/%252e%252e%252fchat/cancel"),
        (b"POST", b"/azure/openai/v1/batches/x%3Fy/cancel"),
        (b"POST", b"/bedrock/model/meta.llama3-8b-instruct-v1%3A0%2Finvoke%3F/count-tokens"),
        (b"POST", b"/bedrock/model/meta.llama3-8b-instruct-v1%3A0%2Finvoke%23/count-tokens"),
        (b"POST", b"/bedrock/model/cheap%3b%2finvoke%3f/converse"),
        (b"GET", b"/azure/openai/v1/batches/x%2Fy"),
        (b"POST", b"/azure/openai/v1/files/x%23y/content"),
        (b"GET", b"/bedrock/v1/responses/x%2Fy"),
    ],
)
def test_an_id_that_hides_another_path_is_no_operation(method: bytes, path: bytes) -> None:
    with pytest.raises(errors.UnknownOperation):
        by_name(path.split(b"/")[1].decode()).recognise(asked(path, method=method))
