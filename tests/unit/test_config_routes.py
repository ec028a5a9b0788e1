"""What the file says of places: alternatives and weights, and every mistake at once."""

from pathlib import Path

import pytest

from gateway.config import load
from gateway.kernel.errors import ConfigurationError
from gateway.pricing.book import Book
from gateway.providers import installed
from gateway.shipped import routes

UPSTREAMS = """
[upstreams.us]
provider = "azure"
base_url = "https://us.example.com"
[upstreams.eu]
provider = "azure"
base_url = "https://eu.example.com"
[upstreams.aws]
provider = "bedrock"
region = "us-east-1"
[upstreams.vertex]
provider = "google"
service = "vertex"
project = "p"
region = "us-central1"
locations = ["us-central1", "us-east5"]
"""
GOOD = """
[failover]
attempts = 2

[[deployments]]
name = "chat"
upstream = "us"
model = "gpt-4o-2024-11-20"
scope = "global"
weight = 3

[[deployments.also]]
upstream = "eu"
name = "chat-eu"
scope = "data_zone"
geo = "eu"
tier = "priority"
weight = 1

[[deployments]]
name = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
upstream = "aws"
[[deployments.also]]
upstream = "aws"
name = "global.anthropic.claude-sonnet-4-5-20250929-v1:0"

[[routes]]
provider = "google"
models = "*"
upstream = "vertex"
also = [{ upstream = "vertex", location = "us-east5" }]
"""
BAD = """
[failover]
attempts = 0
open_error_percent = 101

[[deployments]]
name = "a"
upstream = "us"
weight = 1
[[deployments.also]]
upstream = "nowhere"
colour = "blue"
[[deployments.also]]
upstream = "aws"
[[deployments.also]]
name = "no upstream"

[[deployments]]
name = "b"
upstream = "us"
weight = 0
[[deployments.also]]
upstream = "eu"
weight = 0

[[deployments]]
name = "c"
upstream = "us"
weight = 1001
also = "eu"

[[routes]]
provider = "google"
models = "*"
upstream = "vertex"
also = [{ upstream = "vertex", location = "mars" }, { upstream = "vertex", name = "x" }]
"""


def loaded(folder: Path, text: str) -> object:
    file = folder / "w.toml"
    file.write_text(UPSTREAMS + text)
    return load(file, installed(), {})


def test_alternatives_say_what_differs_and_take_the_rest_from_the_first(
    tmp_path: Path, book: Book
) -> None:
    file = tmp_path / "w.toml"
    file.write_text(UPSTREAMS + GOOD)
    config = load(file, installed(), {})
    chat, claude = config.deployments
    (eu,) = chat.also
    assert (eu.wire, eu.named, eu.model, eu.tier) == (
        "chat", "chat-eu", "gpt-4o-2024-11-20", "priority",
    )  # fmt: skip
    assert (eu.upstream, eu.scope, eu.geo, eu.weight) == ("eu", "data_zone", "eu", 1)
    (world,) = claude.also
    assert world.model == world.named == "global.anthropic.claude-sonnet-4-5-20250929-v1:0"
    (rule,) = config.rules
    assert rule.also[0].location == "us-east5"
    assert config.failover.attempts == 2
    assert not config.failover.retry_unanswered
    routes(config, book)


def test_every_mistake_is_reported_at_once_with_its_place(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as raised:
        loaded(tmp_path, BAD)
    places = [problem.split(": ")[1] for problem in raised.value.problems]
    assert places == [
        "failover.attempts",
        "failover.open_error_percent",
        "deployments[0].also[0].colour",
        "deployments[0].also[2].upstream",
        "deployments[0].also[0].upstream",
        "deployments[0].also[1].upstream",
        "deployments[0].weight",
        "deployments[1].weight",
        "deployments[2].also",
        "deployments[2].weight",
        "routes[0].also[1].name",
        "routes[0].also[0].location",
    ]


def test_an_alternative_of_another_model_stops_the_start(tmp_path: Path, book: Book) -> None:
    file = tmp_path / "w.toml"
    wrong = GOOD.replace('name = "chat-eu"', 'model = "gpt-4o-mini-2024-07-18"')
    file.write_text(UPSTREAMS + wrong)
    with pytest.raises(ConfigurationError, match="expected the same model") as raised:
        routes(load(file, installed(), {}), book)
    assert len(raised.value.problems) == 1


def test_what_may_be_searched_is_named_as_requests_name_it(tmp_path: Path) -> None:
    def with_stores(**stores: str) -> None:
        text = UPSTREAMS
        for name, store in stores.items():
            section = f"[upstreams.{name}]"
            text = text.replace(section, f'{section}\nstores = ["{store}"]')
        file = tmp_path / "w.toml"
        file.write_text(text)
        load(file, installed(), {})

    with_stores(vertex="projects/p/locations/us-central1/ragCorpora/")
    for wrong in ("", "/", "ragCorpora/../x", "https://a//b", "ragCorpora/*"):
        with pytest.raises(
            ConfigurationError, match=r"upstreams\.vertex\.stores: expected names as"
        ):
            with_stores(vertex=wrong)
    with pytest.raises(ConfigurationError, match=r"upstreams\.aws\.stores: expected none for this"):
        with_stores(aws="projects/p")


def test_what_may_be_read_is_a_bucket_or_a_folder_of_the_providers_own_store(
    tmp_path: Path,
) -> None:
    def with_uris(**uris: str) -> None:
        text = UPSTREAMS
        for name, uri in uris.items():
            section = f"[upstreams.{name}]"
            text = text.replace(section, f'{section}\nobject_uris = ["{uri}"]')
        file = tmp_path / "w.toml"
        file.write_text(text)
        load(file, installed(), {})

    with_uris(aws="s3://media/team-a/", vertex="gs://")
    with pytest.raises(ConfigurationError) as refused:
        with_uris(us="https://a/", aws="s3://media", vertex="s3://media/")
    problems = "\n".join(refused.value.problems)
    assert "upstreams.us.object_uris: expected none for this provider" in problems
    assert "upstreams.aws.object_uris: expected s3://bucket/ or s3://bucket/folder/" in problems
    assert "upstreams.vertex.object_uris: expected gs://bucket/" in problems


def refused(folder: Path, text: str) -> list[str]:
    with pytest.raises(ConfigurationError) as raised:
        loaded(folder, text)
    return [problem.partition(".toml: ")[2] for problem in raised.value.problems]


def rule(provider: str, models: str, upstream: str) -> str:
    return f'[[routes]]\nprovider = "{provider}"\nmodels = "{models}"\nupstream = "{upstream}"\n'


def test_a_route_that_no_call_can_match_is_refused(tmp_path: Path) -> None:
    assert refused(tmp_path, rule("gogle", "*", "vertex") + rule("bedrock", "*", "us")) == [
        "routes[0].provider: expected google, as its upstream, found 'gogle'",
        "routes[1].provider: expected azure, as its upstream, found 'bedrock'",
    ]
    loaded(tmp_path, rule("azure", "*", "us"))
    (said,) = refused(tmp_path, rule("azure", "gpt-*", "us"))
    assert said.startswith("routes[0].models: expected '*' (calls that name no model)")
    assert said.endswith("found 'gpt-*'")


def test_a_route_that_is_never_reached_is_refused(tmp_path: Path) -> None:
    wide, narrow = rule("google", "*", "vertex"), rule("google", "gemini-*", "vertex")
    loaded(tmp_path, narrow + wide + rule("bedrock", "*", "aws"))
    never = "never reached: routes[0] takes every name that it fits; expected the narrower first"
    assert refused(tmp_path, wide + narrow) == [f"routes[1].models: {never}"]
    assert refused(tmp_path, narrow + narrow + narrow) == [
        f"routes[1].models: {never}",
        f"routes[2].models: {never}",
    ]
    # Another service of the provider has its own names.
    api = '[upstreams.api]\nprovider = "google"\nservice = "gemini"\n'
    loaded(tmp_path, api + wide + rule("google", "*", "api"))


def test_a_deployment_whose_name_another_has_is_refused(tmp_path: Path) -> None:
    def named(name: str, upstream: str) -> str:
        return f'[[deployments]]\nname = "{name}"\nupstream = "{upstream}"\nmodel = "gpt-4o-2024-11-20"\nscope = "global"\n'

    assert refused(tmp_path, named("chat", "us") + named("other", "us") + named("chat", "eu")) == [
        (
            "deployments[2].name: never served: deployments[0] has this name; expected another name, or this one as "
            "[[deployments.also]] of it"
        )
    ]
    loaded(tmp_path, named("chat", "us") + named("chat", "vertex"))
