"""Where a call may go: candidates in order, drawn by weight, each at its own location and under its own name."""

import itertools
from collections import Counter

import msgspec
import pytest
from hypothesis import given, strategies as st

from gateway.exchange.routing import (
    Candidate,
    RouteAlternative,
    RouteRule,
    Routes,
    in_turn,
    named_at,
)
from gateway.kernel.errors import BadRequest
from gateway.pricing.book import Book
from gateway.providers import installed
from gateway.providers.contract import Call, Deployment, Provider, Upstream, body_for
from gateway.wire.messages import Inbound

PROVIDERS = {provider.name: provider for provider in installed()}
CHAT = "/azure/openai/deployments/gpt-4o/chat/completions"
V1 = "/azure/openai/v1/chat/completions"
CONVERSE = "/bedrock/model/us.anthropic.claude-sonnet-4-5-20250929-v1%3A0/converse"
VERTEX = "/google/v1beta1/projects/theirs/locations/us-central1/publishers/google/models/gemini-2.5-flash:generateContent"
UPSTREAMS = (
    Upstream("azure-us", "azure", "https://us.invalid", "", "eastus2"),
    Upstream("azure-eu", "azure", "https://eu.invalid", "", "swedencentral"),
    Upstream("aws-east", "bedrock", "https://{location}.invalid", "runtime", "us-east-1", None, "us-east-1"),
    Upstream("aws-west", "bedrock", "https://{location}.invalid", "runtime", "us-west-2", None, "us-west-2"),
    Upstream("vertex", "google", "https://{location}.invalid", "vertex", "us-central1", "ours", "us-central1"),
    Upstream("vertex-eu", "google", "https://{location}.invalid", "vertex", "europe-west4", "ours-too", "europe-west4"),
)  # fmt: skip
GPT = Deployment(
    "gpt-4o", "azure-us", "gpt-4o-2024-11-20", "global",
    also=(Deployment("gpt-4o", "azure-eu", "gpt-4o-2024-11-20", "data_zone", "eu", named="gpt 4o/eu"),),
)  # fmt: skip


def inbound(path: str) -> Inbound:
    return Inbound(b"POST", path.encode(), b"", (), b'{"model": "gpt-4o", "messages": []}')


def call(path: str) -> tuple[Provider, Call]:
    provider = PROVIDERS[path.split("/")[1]]
    return provider, provider.recognise(inbound(path))


def found(
    book: Book,
    path: str,
    *rules: RouteRule,
    deployments: tuple[Deployment, ...] = (GPT,),
    locations: dict[str, tuple[str, ...]] | None = None,
) -> tuple[Candidate, ...]:
    provider, recognised = call(path)
    routes = Routes(UPSTREAMS, deployments, rules, locations or {})
    return routes.find(provider, recognised, recognised.wire_model or "gpt-4o", book.canonical)


def sent(path: str, candidate: Candidate) -> bytes:
    provider, recognised = call(path)
    target = provider.target(
        recognised, inbound(path), candidate.upstream, candidate.deployment, b""
    )
    return target.path_and_query


def test_without_alternatives_there_is_one_candidate(book: Book) -> None:
    alone = msgspec.structs.replace(GPT, also=())
    (only,) = found(book, CHAT, deployments=(alone,))
    assert only.upstream.name == "azure-us"
    assert sent(CHAT, only) == b"/openai/deployments/gpt-4o/chat/completions"


def test_a_deployments_alternatives_follow_in_order_each_priced_as_what_it_is(book: Book) -> None:
    first, second = found(book, CHAT)
    assert [c.upstream.name for c in (first, second)] == ["azure-us", "azure-eu"]
    assert first.deployment is not None
    assert second.deployment is not None
    assert first.deployment.model == second.deployment.model is not None
    assert (second.deployment.scope, second.deployment.geo) == ("data_zone", "eu")
    assert second.deployment.wire == "gpt-4o"


def test_the_name_at_the_second_place_goes_into_the_path_where_the_path_names_it(
    book: Book,
) -> None:
    first, second = found(book, CHAT)
    assert sent(CHAT, first) == b"/openai/deployments/gpt-4o/chat/completions"
    assert sent(CHAT, second) == b"/openai/deployments/gpt%204o%2Feu/chat/completions"
    _, recognised = call(CHAT)
    assert body_for(recognised, second.deployment, b"{}") == b"{}"


def test_the_name_at_the_second_place_goes_into_the_body_where_the_body_names_it(
    book: Book,
) -> None:
    first, second = found(book, V1)
    assert sent(V1, second) == b"/openai/v1/chat/completions"
    _, recognised = call(V1)
    body = b'{"n": 1,"model" : "gpt-4o", "messages": []}'
    assert body_for(recognised, first.deployment, body) is body
    assert body_for(recognised, second.deployment, body) == body.replace(b"gpt-4o", b"gpt 4o/eu")
    assert body_for(recognised, second.deployment, b"--boundary\r\n") is None
    assert body_for(recognised, second.deployment, b"{}") is None


def test_a_route_takes_the_same_name_to_another_region(book: Book) -> None:
    rule = RouteRule("bedrock", "us.*", "aws-east", also=(RouteAlternative("aws-west"),))
    first, second = found(book, CONVERSE, rule)
    assert [c.upstream.location for c in (first, second)] == ["us-east-1", "us-west-2"]
    assert sent(CONVERSE, first) == sent(CONVERSE, second) == CONVERSE[len("/bedrock") :].encode()
    provider, recognised = call(CONVERSE)
    target = provider.target(recognised, inbound(CONVERSE), second.upstream, second.deployment, b"")
    assert target.signing is not None
    assert target.signing.region == "us-west-2"
    assert second.deployment is not None
    assert second.deployment.region == "us-west-2"


def test_a_bedrock_name_that_says_another_scope_is_in_the_path_of_the_second(book: Book) -> None:
    name = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
    world = "global.anthropic.claude-sonnet-4-5-20250929-v1:0"
    deployment = Deployment(
        name, "aws-east", None, None, also=(Deployment(name, "aws-west", world, None, named=world),)
    )
    first, second = found(book, CONVERSE, deployments=(deployment,))
    assert first.deployment is not None
    assert second.deployment is not None
    assert first.deployment.model == second.deployment.model is not None
    assert (first.deployment.scope, second.deployment.scope) == ("geo", "global")
    assert (
        sent(CONVERSE, second)
        == b"/model/global.anthropic.claude-sonnet-4-5-20250929-v1%3A0/converse"
    )


ONE = "anthropic.claude-sonnet-4-5-20250929-v1:0"
ACCOUNT = "arn:aws:bedrock:us-east-1:123456789012"


@pytest.mark.parametrize(
    ("name", "model", "scope", "geo"),
    [
        (f"global.{ONE}", ONE, "global", None),
        (f"us.{ONE}", ONE, "geo", "us"),
        (f"us.{ONE}", f"global.{ONE}", "geo", "us"),
        (f"{ACCOUNT}:inference-profile/us.{ONE}", ONE, "geo", "us"),
        (f"{ACCOUNT}:provisioned-model/abc", ONE, "provisioned", None),
        (f"{ACCOUNT}:application-inference-profile/abc", f"us.{ONE}", "geo", "us"),
        ("house-name", f"global.{ONE}", "global", None),
        ("house-name", ONE, "in_region", None),
    ],
)
def test_a_bedrock_name_that_is_sent_says_its_scope_whatever_its_model_is_called(
    book: Book, name: str, model: str, scope: str, geo: str | None
) -> None:
    at_first = Deployment(name, "aws-east", model, None)
    elsewhere = Deployment("another", "aws-east", model, None, named=name)
    for deployment in (at_first, elsewhere):
        named = named_at(PROVIDERS["bedrock"], deployment, UPSTREAMS[2], book.canonical)
        assert named.model == "anthropic.claude-sonnet-4-5"
        assert (named.scope, named.geo, named.region) == (scope, geo, "us-east-1")


def test_a_location_of_the_path_gives_way_to_the_alternatives_own(book: Book) -> None:
    rule = RouteRule(
        "google", "*", "vertex",
        also=(RouteAlternative("vertex", "us-east5"), RouteAlternative("vertex-eu")),
    )  # fmt: skip
    locations: dict[str, tuple[str, ...]] = {"vertex-eu": ("europe-west4",)}
    first, second, third = found(book, VERTEX, rule, locations=locations)
    assert b"/projects/ours/locations/us-central1/" in sent(VERTEX, first)
    assert b"/projects/ours/locations/us-east5/" in sent(VERTEX, second)
    assert b"/projects/ours-too/locations/europe-west4/" in sent(VERTEX, third)
    regions = [c.deployment and c.deployment.region for c in (first, second, third)]
    assert regions == ["us-central1", "us-east5", "europe-west4"]


def test_the_first_place_still_refuses_a_location_it_may_not_serve(book: Book) -> None:
    rule = RouteRule("google", "*", "vertex", also=(RouteAlternative("vertex-eu"),))
    with pytest.raises(BadRequest):
        found(book, VERTEX, rule, locations={"vertex": ("europe-west4",)})


def test_an_alternative_that_is_another_model_is_found_out(book: Book) -> None:
    other = Deployment("gpt-4o", "azure-eu", "gpt-4o-mini-2024-07-18", "global")
    unknown = Deployment("gpt-4o", "azure-eu", "unheard-of", "global")
    deployment = msgspec.structs.replace(GPT, also=(*GPT.also, other, unknown))
    routes = Routes(UPSTREAMS, (deployment,), (), {})
    differing = [there for _, there in routes.differing(PROVIDERS, book.canonical)]
    assert differing == [other, unknown]


def weighted(*weights: int | None) -> tuple[Candidate, ...]:
    upstreams = (msgspec.structs.replace(UPSTREAMS[0], name=f"u{n}") for n in itertools.count())
    return tuple(Candidate(u, None, w) for u, w in zip(upstreams, weights, strict=False))


@given(
    weights=st.lists(st.integers(0, 1000), min_size=1, max_size=6), draw=st.integers(0, 2**64 - 1)
)
def test_a_draw_is_a_permutation_with_last_resorts_last(weights: list[int], draw: int) -> None:
    candidates = weighted(*weights)
    drawn = in_turn(candidates, draw)
    assert sorted(c.upstream.name for c in drawn) == sorted(c.upstream.name for c in candidates)
    assert in_turn(candidates, draw) == drawn
    zeros = [c for c in candidates if not c.weight]
    assert list(drawn[len(drawn) - len(zeros) :]) == zeros


@given(draw=st.integers(0, 2**64 - 1))
def test_without_weights_the_order_is_the_configured_one(draw: int) -> None:
    candidates = weighted(None, None, None)
    assert in_turn(candidates, draw) == candidates


def test_each_is_first_by_its_share_exactly_and_the_rest_share_what_it_leaves() -> None:
    candidates = weighted(5, 3, 2)
    first, then = Counter[str](), Counter[str]()
    for draw in range(10 * 15):  # 15: a multiple of every total that is left after the first
        drawn = in_turn(candidates, draw)
        first[drawn[0].upstream.name] += 1
        if drawn[0].upstream.name == "u0":
            then[drawn[1].upstream.name] += 1
    assert first == {"u0": 75, "u1": 45, "u2": 30}
    assert then == {"u1": 45, "u2": 30}
