"""google-genai, unmodified: the Gemini API, Vertex express and Vertex with project and location."""

import asyncio
import json
import urllib.request
from collections.abc import Callable
from typing import Any

import pytest
from google import genai
from google.genai import errors, types
from google.oauth2.credentials import Credentials
from openai import OpenAI

from gateway.commands.demo.answers import TEXT
from tests.sdk import shapes
from tests.sdk.weighing import BIG, Opened, Weighing

# The SDK's own: how it uses its HTTP library, and which of its methods it will drop.
pytestmark = [
    pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:The generate_images method is deprecated"),
]

FLASH = "gemini-2.5-flash"
PRO = "gemini-2.5-pro"
LOCATION = "us-central1"
PLACE = f"projects/their-project/locations/{LOCATION}"
Client = genai.Client


class Setting:
    """What a client may be given."""

    def __init__(self, weighing: Weighing, patch: pytest.MonkeyPatch) -> None:
        self.url = weighing.google
        self.key = weighing.key.key
        self.patch = patch

    def environment(self, **variables: str) -> None:
        for name, value in variables.items():
            self.patch.setenv(name, value)

    def both_urls(self) -> None:
        self.environment(GOOGLE_GEMINI_BASE_URL=self.url, GOOGLE_VERTEX_BASE_URL=self.url)


def gemini(given: Setting) -> Client:
    given.environment(GEMINI_API_KEY=given.key, GOOGLE_GEMINI_BASE_URL=given.url)
    return Client()


def gemini_by_constructor(given: Setting) -> Client:
    return Client(api_key=given.key, http_options=types.HttpOptions(base_url=given.url))


def gemini_beta(given: Setting) -> Client:
    options = types.HttpOptions(base_url=given.url, api_version="v1beta")
    return Client(api_key=given.key, http_options=options)


def express(given: Setting) -> Client:
    given.both_urls()
    given.environment(GOOGLE_API_KEY=given.key, GOOGLE_GENAI_USE_VERTEXAI="true")
    return Client()


def express_said_twice(given: Setting) -> Client:
    given.both_urls()
    given.environment(GOOGLE_API_KEY=given.key, GOOGLE_GENAI_USE_VERTEXAI="true")
    return Client(vertexai=True)


def express_by_constructor(given: Setting) -> Client:
    options = types.HttpOptions(base_url=given.url)
    return Client(vertexai=True, api_key=given.key, http_options=options)


def vertex(given: Setting) -> Client:
    given.both_urls()
    given.environment(GOOGLE_GENAI_USE_VERTEXAI="true")
    return Client(
        vertexai=True,
        project="their-project",
        location=LOCATION,
        credentials=Credentials(token=given.key),  # type: ignore[no-untyped-call]  # theirs
    )


def vertex_by_headers(given: Setting) -> Client:
    options = types.HttpOptions(
        base_url=given.url, headers={"x-goog-api-key": given.key, "x-team": "core"}
    )
    return Client(
        vertexai=True,
        project="their-project",
        location=LOCATION,
        credentials=Credentials("ya29.a-token-of-google"),  # type: ignore[no-untyped-call]  # theirs
        http_options=options,
    )


ON_GEMINI = (gemini, gemini_by_constructor, gemini_beta)
ON_EXPRESS = (express, express_said_twice, express_by_constructor)
ON_VERTEX = (vertex, vertex_by_headers)
FORMS: dict[str, Callable[[Setting], Client]] = {
    form.__name__: form for form in (*ON_GEMINI, *ON_EXPRESS, *ON_VERTEX)
}


@pytest.fixture
def setting(weighing: Weighing, monkeypatch: pytest.MonkeyPatch) -> Setting:
    return Setting(weighing, monkeypatch)


@pytest.fixture(params=FORMS)
def client(request: pytest.FixtureRequest, setting: Setting, opened: Opened) -> Client:
    """Every form in which a client can be pointed at the gateway."""
    return opened(FORMS[request.param](setting))


def place_of(form: Client, weighing: Weighing) -> dict[str, Any]:
    """Where the row says that it was served, and the path the cloud saw."""
    path = weighing.cloud.asked[-1].path
    if not form.vertexai:
        assert path.startswith(("/v1/models/", "/v1beta/models/"))
        return {"upstream": "gemini-test", "scope": "global"}
    assert path.startswith(f"/v1beta1/projects/proj-1/locations/{LOCATION}/publishers/google/")
    return {"upstream": "vertex-test", "scope": "regional", "region": LOCATION}


def test_generate(weighing: Weighing, client: Client) -> None:
    answer = client.models.generate_content(model=PRO, contents=BIG)
    row = weighing.booked(
        provider="google",
        operation="generateContent",
        model=PRO,
        **place_of(client, weighing),
    )
    assert answer.text == TEXT
    assert answer.usage_metadata is not None
    assert answer.usage_metadata.total_token_count == row.provider_total
    assert answer.usage_metadata.cached_content_token_count == 1024
    assert answer.usage_metadata.thoughts_token_count == 17


def test_generate_streamed(weighing: Weighing, client: Client) -> None:
    chunks = list(client.models.generate_content_stream(model=FLASH, contents="weigh"))
    row = weighing.booked(
        operation="streamGenerateContent", model=FLASH, stream=True, **place_of(client, weighing)
    )
    assert "".join(chunk.text or "" for chunk in chunks) == TEXT
    assert chunks[-1].usage_metadata is not None
    assert chunks[-1].usage_metadata.total_token_count == row.provider_total


def test_counting_tokens_is_free(weighing: Weighing, client: Client) -> None:
    assert client.models.count_tokens(model=FLASH, contents="weigh").total_tokens == 7
    weighing.nothing_booked()


def test_embeddings_on_the_gemini_api(weighing: Weighing, setting: Setting, opened: Opened) -> None:
    client = opened(gemini(setting))
    answer = client.models.embed_content(model="gemini-embedding-001", contents=["one", "two"])  # type: ignore[arg-type]  # a list of texts is right: the SDK says it as an invariant list
    weighing.booked(operation="batchEmbedContents", model="gemini-embedding-001")
    assert answer.embeddings is not None
    assert [each.values for each in answer.embeddings] == [shapes.VECTOR] * 2


def test_embeddings_on_vertex(weighing: Weighing, setting: Setting, opened: Opened) -> None:
    client = opened(vertex(setting))
    answer = client.models.embed_content(model="text-embedding-005", contents=["one", "two"])  # type: ignore[arg-type]  # a list of texts is right: the SDK says it as an invariant list
    weighing.booked(operation="predict", model="text-embedding-005", price_status="priced")
    assert answer.embeddings is not None
    assert len(answer.embeddings) == 2
    client.models.embed_content(model="gemini-embedding-2", contents="one")
    weighing.booked(operation="embedContent", model="gemini-embedding-2")


def test_pictures_are_billed_by_the_picture(
    weighing: Weighing, setting: Setting, opened: Opened
) -> None:
    client = opened(vertex(setting))
    answer = client.models.generate_images(
        model="imagen-4.0-generate-001",
        prompt="a weighbridge",
        config=types.GenerateImagesConfig(number_of_images=3),
    )
    weighing.booked(operation="predict", provenance="counted", model="imagen-4.0-generate-001")
    assert answer.generated_images is not None
    assert len(answer.generated_images) == 3


def test_async_and_listing(weighing: Weighing, setting: Setting, opened: Opened) -> None:
    client = opened(gemini(setting))

    async def main() -> list[str]:
        async def streamed() -> str:
            stream = await client.aio.models.generate_content_stream(model=FLASH, contents="weigh")
            return "".join([chunk.text or "" async for chunk in stream])

        try:
            return await asyncio.gather(*(streamed() for _ in range(3)))
        finally:
            await client.aio.aclose()

    assert asyncio.run(main()) == [TEXT] * 3
    assert [model.name for model in client.models.list()] == [f"models/{FLASH}"]
    for weighed in weighing.rows(3):
        weighing.check(weighed, stream=True)


@pytest.mark.parametrize("form", ["with a place", "without"])
def test_a_request_without_a_path_is_answered_with_the_cure(
    form: str, weighing: Weighing, setting: Setting, opened: Opened
) -> None:
    setting.environment(GOOGLE_VERTEX_BASE_URL=setting.url)
    if form == "with a place":
        setting.environment(GOOGLE_CLOUD_PROJECT="their-project", GOOGLE_CLOUD_LOCATION=LOCATION)
    options = types.HttpOptions(base_url=setting.url)
    client = opened(Client(vertexai=True, http_options=options))
    with pytest.raises(errors.ClientError) as caught:
        client.models.generate_content(model=FLASH, contents="weigh")
    assert (caught.value.code, caught.value.status) == (400, "INVALID_ARGUMENT")
    for cure in ("GOOGLE_GEMINI_BASE_URL", "project", "location"):
        assert cure in str(caught.value.message)
    weighing.nothing_booked()


def test_an_object_is_read_only_from_where_the_owner_said(
    weighing: Weighing, setting: Setting, opened: Opened
) -> None:
    def asked(client: Client, uri: str) -> Any:
        part = types.Part.from_uri(file_uri=uri, mime_type="image/png")
        return client.models.generate_content(model=FLASH, contents=part)

    def counted(client: Client, uri: str) -> Any:
        part = types.Part.from_uri(file_uri=uri, mime_type="image/png")
        return client.models.count_tokens(model=FLASH, contents=part)

    on_gemini = opened(gemini_by_constructor(setting))
    on_vertex = opened(vertex(setting))  # by an environment that the other would follow too
    assert asked(on_vertex, "gs://media/a.png").text
    assert asked(on_gemini, "https://public.invalid/a.png").text
    assert len(weighing.rows(2)) == 2
    calls: tuple[Callable[[Client, str], Any], ...] = (asked, counted)
    for client, uri in ((on_vertex, "gs://theirs/a.png"), (on_gemini, "gs://media/a.png")):
        for call in calls:
            with pytest.raises(errors.ClientError, match="object_uris") as caught:
                call(client, uri)
            assert (caught.value.code, caught.value.status) == (403, "PERMISSION_DENIED")
    weighing.nothing_booked()


def searching(store: str) -> types.Tool:
    return types.Tool(file_search=types.FileSearch(file_search_store_names=[store]))


def retrieving(corpus: str) -> types.Tool:
    rag = types.VertexRagStore(rag_resources=[types.VertexRagStoreRagResource(rag_corpus=corpus)])
    return types.Tool(retrieval=types.Retrieval(vertex_rag_store=rag))


def test_a_store_is_searched_only_where_the_owner_said(
    weighing: Weighing, setting: Setting, opened: Opened
) -> None:
    def asked(client: Client, tool: types.Tool) -> Any:
        config = types.GenerateContentConfig(tools=[tool])
        return client.models.generate_content(model=FLASH, contents="Hello", config=config)

    on_gemini = opened(gemini_by_constructor(setting))
    on_vertex = opened(vertex(setting))
    corpora = "projects/proj-1/locations/us-central1/ragCorpora"
    assert asked(on_gemini, searching("fileSearchStores/house-handbook")).text
    assert asked(on_vertex, retrieving(f"{corpora}/7")).text
    assert len(weighing.rows(2)) == 2
    theirs = types.VertexAISearch(datastore="projects/proj-1/locations/global/dataStores/x")
    refused = (
        (on_gemini, searching("fileSearchStores/theirs")),
        (on_vertex, retrieving(f"{corpora}-2/7")),
        (on_vertex, types.Tool(retrieval=types.Retrieval(vertex_ai_search=theirs))),
    )
    for client, tool in refused:
        with pytest.raises(errors.ClientError, match=r"-test\.stores") as caught:
            asked(client, tool)
        assert (caught.value.code, caught.value.status) == (403, "PERMISSION_DENIED")
    weighing.nothing_booked()


@pytest.mark.parametrize("cached", ["caches", "files", "batches"])
def test_what_cannot_be_metered_is_refused_with_a_reason(
    cached: str, weighing: Weighing, setting: Setting, opened: Opened
) -> None:
    client = opened(gemini_beta(setting))
    calls: dict[str, Callable[[], object]] = {
        "caches": lambda: client.caches.get(name="cachedContents/1"),
        "files": lambda: client.files.get(name="files/1"),
        "batches": lambda: client.batches.get(name="batches/1"),
    }
    with pytest.raises(errors.ClientError, match=r"(does|do) not pass this gateway") as caught:
        calls[cached]()
    assert (caught.value.code, caught.value.status) == (403, "PERMISSION_DENIED")
    weighing.nothing_booked()


def test_videos_are_refused_and_the_refusal_says_where_to_ask(
    weighing: Weighing, setting: Setting, opened: Opened
) -> None:
    client = opened(vertex(setting))
    source = types.GenerateVideosSource(prompt="a lorry")
    with pytest.raises(errors.ClientError, match="call the provider itself") as caught:
        client.models.generate_videos(model="veo-3.1-generate-preview", source=source)
    assert (caught.value.code, caught.value.status) == (403, "PERMISSION_DENIED")
    weighing.nothing_booked()


@pytest.mark.parametrize("base", ["v1beta/openai", f"v1/{PLACE}/endpoints/openapi"])
def test_the_openai_sdk_on_googles_compatible_endpoints(
    base: str, weighing: Weighing, opened: Opened
) -> None:
    client = opened(OpenAI(base_url=f"{weighing.google}/{base}", api_key=weighing.key.key))
    name = FLASH if "beta" in base else f"google/{FLASH}"
    messages: Any = [{"role": "user", "content": "weigh"}]
    answer = client.chat.completions.create(model=name, messages=messages)
    weighing.booked(operation="chat.completions", model=FLASH)
    assert answer.choices[0].message.content == TEXT
    chunks = list(client.chat.completions.create(model=name, messages=messages, stream=True))
    weighing.booked(operation="chat.completions", model=FLASH, stream=True)
    assert all(chunk.usage is None for chunk in chunks)


def posted(weighing: Weighing, path: str, body: dict[str, Any]) -> bytes:
    request = urllib.request.Request(
        f"{weighing.google}{path}",
        json.dumps(body).encode(),
        {"Authorization": f"Bearer {weighing.key.key}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=20) as answer:
        return bytes(answer.read())


def test_a_stream_that_is_one_json_array(weighing: Weighing) -> None:
    """What REST clients that do not ask for ``alt=sse`` get."""
    path = f"/v1/{PLACE}/publishers/google/models/{FLASH}:streamGenerateContent"
    body = {"contents": [{"role": "user", "parts": [{"text": "weigh"}]}]}
    events = json.loads(posted(weighing, path, body))
    row = weighing.booked(operation="streamGenerateContent", stream=True, model=FLASH)
    assert events[-1]["usageMetadata"]["totalTokenCount"] == row.provider_total


@pytest.mark.parametrize("streams", [False, True])
def test_mistral_on_vertex(*, streams: bool, weighing: Weighing) -> None:
    operation = "streamRawPredict" if streams else "rawPredict"
    path = f"/v1/{PLACE}/publishers/mistralai/models/mistral-small-2503:{operation}"
    messages = [{"role": "user", "content": "weigh"}]
    body: dict[str, Any] = {"model": "mistral-small-2503", "messages": messages}
    if streams:
        body["stream"] = True
    assert b"chat.completion" in posted(weighing, path, body)
    weighing.booked(operation=operation, stream=streams, model="mistral-small-2503")
