"""Objects that a request has the provider fetch: sent only to places that may, refused where none is left."""

import asyncio
import json
from typing import Any, Final

import pytest

from gateway.metering.count import Counter
from gateway.pricing.book import Book
from gateway.providers.contract import Deployment, Upstream
from gateway.wire.messages import Head
from tests.laws.house import House, Script

NOVA: Final = "amazon.nova-pro-v1:0"
MEDIA: Final = ("s3://media/",)


def place(name: str, *uris: str) -> Upstream:
    url = "https://example.invalid"
    return Upstream(name, "bedrock", url, "runtime", "us-east-1", object_uris=uris)


async def played(counter: Counter, book: Book, path: str, body: Any, *places: Upstream) -> House:
    first, *others = places
    also = tuple(Deployment(NOVA, each.name, "nova-pro", "in_region") for each in others)
    deployed = Deployment(NOVA, first.name, "nova-pro", "in_region", also=also)
    async with asyncio.TaskGroup() as group:
        house = House(
            counter, book, Head(200, ()), [b"{}"], group=group,
            upstreams=places, deployments=[deployed],
        )  # fmt: skip
        house.upstreams.by_name = {each.name: Script(Head(429, ()), [b"{}"]) for each in places}
        await house.call(path, body)
    return house


def conversing(uri: str, filler: str = "") -> dict[str, Any]:
    image = {"format": "png", "source": {"s3Location": {"uri": uri}}}
    return {"messages": [{"role": "user", "content": [{"text": filler}, {"image": image}]}]}


@pytest.mark.parametrize("filler", ["", "x" * 100_000])
def test_an_object_goes_to_the_places_that_may_read_it(
    counter: Counter, book: Book, filler: str
) -> None:
    places = (place("first"), place("second", *MEDIA), place("third", "s3://"))

    def asked(uri: str) -> tuple[int, list[str]]:
        body = conversing(uri, filler)
        house = asyncio.run(played(counter, book, f"/bedrock/model/{NOVA}/converse", body, *places))
        return house.status(), house.upstreams.asked

    assert asked("s3://media/a") == (429, ["second", "third"])
    assert asked("s3://other/a") == (429, ["third"])
    assert asked("https://public.invalid/a") == (429, ["first", "second", "third"])


FLASH: Final = "gemini-2.5-flash"
STORES: Final = "fileSearchStores/"


def gemini(name: str, *stores: str) -> Upstream:
    return Upstream(name, "google", "https://example.invalid", "gemini", stores=stores)


@pytest.mark.parametrize("filler", ["", "x" * 100_000])
@pytest.mark.parametrize("written", ["fileSearchStoreNames", "file\\u005fsearch_store_names"])
def test_a_store_is_searched_at_the_places_that_may(
    counter: Counter, book: Book, filler: str, written: str
) -> None:
    places = (gemini("first"), gemini("second", STORES + "ours"), gemini("third", STORES))
    first, *others = places
    also = tuple(Deployment(FLASH, each.name, FLASH, "global") for each in others)

    async def asked(store: str) -> tuple[int, list[str]]:
        body = json.dumps(
            {
                "contents": [{"parts": [{"text": filler}]}],
                "tools": [{"fileSearch": {"X": [store]}}],
            }
        ).replace("X", written)
        async with asyncio.TaskGroup() as group:
            house = House(
                counter, book, Head(200, ()), [b"{}"], group=group, upstreams=places,
                deployments=[Deployment(FLASH, first.name, FLASH, "global", also=also)],
            )  # fmt: skip
            house.upstreams.by_name = {each.name: Script(Head(429, ()), [b"{}"]) for each in places}
            await house.call(f"/google/v1beta/models/{FLASH}:generateContent", body.encode())
        if house.status() == 403:
            assert b"upstreams.first.stores" in house.body()
            assert house.spool.settled == []
        return house.status(), house.upstreams.asked

    assert asyncio.run(asked(STORES + "ours")) == (429, ["second", "third"])
    assert asyncio.run(asked(STORES + "ours-2")) == (429, ["third"])
    assert asyncio.run(asked("fileSearchStores-2/ours")) == (403, [])


@pytest.mark.parametrize(
    ("path", "body", "scheme"),
    [
        (f"/bedrock/model/{NOVA}/converse", conversing("s3://other/a"), "s3"),
        (f"/bedrock/model/{NOVA}/count-tokens", {"input": {"converse": conversing("s3://o/a")}}, "s3"),
        (
            "/google/v1beta/models/gemini-2.5-flash:generateContent",
            {"contents": [{"parts": [{"fileData": {"fileUri": "gs://other/a"}}]}]},
            "gs",
        ),
        (
            "/google/v1beta/models/gemini-2.5-flash:countTokens",
            {"contents": [{"parts": [{"fileData": {"fileUri": "gs://other/a"}}]}]},
            "gs",
        ),
    ],
)  # fmt: skip
def test_where_nobody_said_so_nothing_is_sent(
    counter: Counter, book: Book, path: str, body: Any, scheme: str
) -> None:
    house = asyncio.run(played(counter, book, path, body, place("first", *MEDIA)))
    assert house.status() == 403
    assert b"object_uris" in house.body()
    assert scheme.encode() + b"://o" in house.body()
    assert house.upstreams.consumed == []
    assert house.spool.settled == []


AZURE: Final = "/azure/openai/v1"
SEARCHED: Final = "search-1.example.net/handbook"


def searching(**authentication: str) -> dict[str, Any]:
    told = {
        "endpoint": "https://search-1.example.net",
        "index_name": "handbook",
        "authentication": authentication,
    }
    sources = [{"type": "azure_search", "parameters": told}]
    return {"model": "gpt-4o", "messages": [], "data_sources": sources}


def embedding(**authentication: str) -> dict[str, Any]:
    asked = searching(**authentication)
    dependency = {"type": "deployment_name", "deployment_name": "embed-1"}
    asked["data_sources"][0]["parameters"]["embedding_dependency"] = dependency
    return asked


CONNECTED: Final = {
    "model": "gpt-4o",
    "input": "hi",
    "tools": [{"type": "azure_ai_search", "azure_ai_search": {"indexes": [{"project_connection_id": "/c/1"}]}}],
}  # fmt: skip


@pytest.mark.parametrize(
    ("path", "body", "stores", "status"),
    [
        ("chat/completions", searching(type="system_assigned_managed_identity"), (), 403),
        ("chat/completions", searching(type="system_assigned_managed_identity"), (SEARCHED,), 200),
        ("chat/completions", searching(type="api_key", key="k"), (), 200),
        # What embeds is charged to the gateway's own resource, whatever key the source has.
        ("chat/completions", embedding(type="api_key", key="k"), (), 403),
        ("chat/completions", embedding(type="api_key", key="k"), (SEARCHED,), 403),
        ("chat/completions", embedding(type="api_key", key="k"), ("embedding/embed-1",), 200),
        (
            "chat/completions",
            embedding(type="system_assigned_managed_identity"),
            ("embedding",),
            403,
        ),
        (
            "chat/completions",
            embedding(type="system_assigned_managed_identity"),
            ("embedding", SEARCHED),
            200,
        ),
        ("responses", CONNECTED, (), 403),
        ("responses", CONNECTED, ("c/1",), 200),
        ("responses", {**CONNECTED, "tools": [{"type": "web_search"}]}, (), 200),
    ],
)
def test_a_data_source_is_searched_as_the_gateway_only_where_the_owner_said(
    counter: Counter, book: Book, path: str, body: Any, stores: tuple[str, ...], status: int
) -> None:
    async def sent() -> House:
        place = Upstream("first", "azure", "https://example.invalid", stores=stores)
        deployed = Deployment("gpt-4o", "first", "gpt-4o", "global")
        async with asyncio.TaskGroup() as group:
            house = House(
                counter, book, Head(200, ()), [b"{}"], group=group,
                upstreams=(place,), deployments=[deployed],
            )  # fmt: skip
            await house.call(f"{AZURE}/{path}", body)
        return house

    house = asyncio.run(sent())
    assert house.status() == status
    assert (b"upstreams.first.stores" in house.body()) == (status == 403)
    assert len(house.upstreams.consumed) == (status == 200)
    flagged = [entry.flags for entry in house.spool.settled]
    unmetered = status == 200 and "embedding" in json.dumps(body)
    assert flagged == [] if status == 403 else ("embedding_unmetered" in flagged[0]) == unmetered
