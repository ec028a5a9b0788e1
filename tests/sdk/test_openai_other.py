"""The openai SDK beyond chat: responses, embeddings, completions, images, audio, files and batches, what is free."""

import io
from typing import Any

import openai
import pytest
from openai import AzureOpenAI, OpenAI

from gateway.commands.demo.answers import TEXT
from tests.sdk import shapes
from tests.sdk.cloud import BATCHES_RUN
from tests.sdk.weighing import BIG, Opened, Weighing

VERSION = "2025-03-01-preview"
Client = OpenAI | AzureOpenAI


@pytest.fixture(scope="module", params=["azure", "v1"])
def client(request: pytest.FixtureRequest, everything: Weighing, kept: Opened) -> Client:
    """Both styles of the same SDK, by constructor."""
    key = everything.key.key
    if request.param == "azure":
        azure = AzureOpenAI(azure_endpoint=everything.azure, api_key=key, api_version=VERSION)
        return kept(azure)
    return kept(OpenAI(base_url=f"{everything.azure}/openai/v1", api_key=key))


@pytest.fixture(scope="module")
def indexer(everything: Weighing, kept: Opened) -> OpenAI:
    key = everything.keys["indexer"].key
    return kept(OpenAI(base_url=f"{everything.azure}/openai/v1", api_key=key))


@pytest.fixture(scope="module")
def colleague(everything: Weighing, kept: Opened) -> OpenAI:
    key = everything.keys["colleague"].key
    return kept(OpenAI(base_url=f"{everything.azure}/openai/v1", api_key=key))


@pytest.fixture(scope="module")
def keeper(everything: Weighing, kept: Opened) -> OpenAI:
    """Who may search what others put into a store of files."""
    key = everything.keys["keeper"].key
    return kept(OpenAI(base_url=f"{everything.azure}/openai/v1", api_key=key))


def test_responses(weighing: Weighing, client: Client) -> None:
    answer = client.responses.create(model="gpt-5.4", input=BIG)
    row = weighing.booked(operation="responses", model="gpt-5.4")
    assert answer.output_text == TEXT
    assert answer.usage is not None
    assert answer.usage.total_tokens == row.provider_total
    assert answer.usage.output_tokens_details.reasoning_tokens == 17


def test_responses_streamed(weighing: Weighing, client: Client) -> None:
    events = list(client.responses.create(model="gpt-5.4", input="weigh", stream=True))
    row = weighing.booked(operation="responses", stream=True)
    assert "".join(e.delta for e in events if e.type == "response.output_text.delta") == TEXT
    last = events[-1]
    assert last.type == "response.completed"
    assert last.response.usage is not None
    assert last.response.usage.total_tokens == row.provider_total


def test_responses_streamed_by_the_helper(weighing: Weighing, client: Client) -> None:
    with client.responses.stream(model="gpt-5.4", input="weigh") as stream:
        final = stream.get_final_response()
    weighing.booked(stream=True)
    assert final.output_text == TEXT


TOOLS: Any = [
    {"type": "file_search", "vector_store_ids": ["vs_1"]},
    {"type": "code_interpreter", "container": {"type": "auto"}},
]


@pytest.mark.parametrize("stream", [False, True])
def test_hosted_tools_are_booked_by_the_call_and_by_the_session(
    weighing: Weighing, keeper: OpenAI, *, stream: bool
) -> None:
    asking: dict[str, Any] = {"model": "gpt-5.4", "input": "weigh", "tools": TOOLS}
    if stream:
        events = list(keeper.responses.create(stream=True, **asking))
        items = [event.item for event in events if event.type == "response.output_item.done"]
    else:
        items = keeper.responses.create(**asking).output
    row = weighing.booked(operation="responses", model="gpt-5.4")
    assert [item.type for item in items].count("file_search_call") == 2
    beside = {line.unit: line.list_pico for line in row.lines if line.role == "hosted_tool"}
    assert beside == {
        "file_search_calls": 5_000_000_000,
        "code_interpreter_sessions": 30_000_000_000,
    }


def test_a_session_that_goes_on_is_booked_once_in_its_hour(
    weighing: Weighing, keeper: OpenAI
) -> None:
    first = keeper.responses.create(model="gpt-5.4", input="weigh", tools=TOOLS)
    weighing.booked(operation="responses")
    keeper.responses.create(
        model="gpt-5.4", input="again", tools=TOOLS, previous_response_id=first.id
    )
    (weighed,) = weighing.rows(1)
    booked = {line.unit: line.quantity for line in weighed.row.lines}
    opened = {unit: count for unit, count in shapes.HOSTED.items() if "sessions" not in unit}
    assert (booked, weighed.row.flags) == (opened, ())


def test_a_budget_holds_as_many_sessions_as_a_request_may_open(
    weighing: Weighing, opened: Opened
) -> None:
    """Ten, where it does not say; of the three that it may open it opens one, and one is spent."""
    key = weighing.keys["frugal"].key
    client = opened(OpenAI(base_url=f"{weighing.azure}/openai/v1", api_key=key, max_retries=0))
    asking: dict[str, Any] = {
        "model": "gpt-5.4", "input": "weigh", "max_output_tokens": 400, "tools": TOOLS[1:],
    }  # fmt: skip
    with pytest.raises(openai.APIStatusError, match="team frugal"):
        client.responses.create(**asking)
    weighing.nothing_booked()
    client.responses.create(max_tool_calls=3, **asking)
    weighing.booked(operation="responses", model="gpt-5.4")


def test_a_compacted_conversation(weighing: Weighing, client: Client) -> None:
    answer = client.responses.compact(model="gpt-5.4", input="a long conversation")
    row = weighing.booked(operation="responses.compact")
    assert answer.usage.total_tokens == row.provider_total


def test_embeddings_of_texts_and_of_token_ids(weighing: Weighing, client: Client) -> None:
    texts = client.embeddings.create(model="text-embedding-3-small", input=["one", "two texts"])
    weighing.booked(operation="embeddings", model="text-embedding-3-small")
    assert [len(each.embedding) for each in texts.data] == [8, 8]
    ids = client.embeddings.create(model="text-embedding-3-small", input=[[1, 2, 3], [4, 5]])
    row = weighing.booked(operation="embeddings")
    assert len(ids.data) == 2
    assert row.counted_input == 5


def test_completions(weighing: Weighing, client: Client) -> None:
    answer = client.completions.create(model="gpt-35-turbo-instruct", prompt="Once")
    weighing.booked(operation="completions", flags=("served_model_unknown",))
    assert answer.choices[0].text == TEXT


def test_completions_streamed_without_the_usage_nobody_asked_for(
    weighing: Weighing, client: Client
) -> None:
    chunks = list(
        client.completions.create(model="gpt-35-turbo-instruct", prompt="Once", stream=True)
    )
    weighing.booked(stream=True, flags=("served_model_unknown",))
    assert "".join(chunk.choices[0].text for chunk in chunks) == TEXT


def test_images(weighing: Weighing, client: Client) -> None:
    answer = client.images.generate(model="gpt-image-1", prompt="a weighbridge")
    weighing.booked(operation="images.generations", model="gpt-image-1")
    assert answer.data is not None
    assert answer.data[0].b64_json == shapes.PIXEL


def test_image_edits(weighing: Weighing, client: Client) -> None:
    picture = ("bridge.png", b"\x89PNG-picture", "image/png")
    answer = client.images.edit(model="gpt-image-1", image=picture, prompt="add a lorry")
    weighing.booked(operation="images.edits", model="gpt-image-1")
    assert answer.usage is not None
    assert answer.usage.output_tokens == 1056


def test_speech_is_billed_by_the_characters_of_its_text(weighing: Weighing, client: Client) -> None:
    answer = client.audio.speech.create(model="tts-1", voice="alloy", input="Zwölf Lastwagen 🚛")
    row = weighing.booked(operation="audio.speech", model="tts-1", provenance="counted")
    assert answer.read() == shapes.SOUND
    assert [line.quantity for line in row.lines] == [17]


def test_transcriptions_by_tokens_and_by_seconds(weighing: Weighing, client: Client) -> None:
    sound = ("speech.wav", b"RIFF" + b"\0" * 4000, "audio/wav")
    answer = client.audio.transcriptions.create(model="gpt-4o-transcribe", file=sound)
    weighing.booked(operation="audio.transcriptions", model="gpt-4o-transcribe")
    assert answer.text == TEXT
    answer = client.audio.transcriptions.create(model="whisper", file=sound)
    weighing.booked(operation="audio.transcriptions", model="whisper")
    assert answer.text == TEXT


def test_transcriptions_streamed(weighing: Weighing, client: Client) -> None:
    sound = ("speech.wav", b"RIFF" + b"\0" * 4000, "audio/wav")
    events = list(
        client.audio.transcriptions.create(model="gpt-4o-transcribe", file=sound, stream=True)
    )
    weighing.booked(stream=True)
    assert events[-1].type == "transcript.text.done"
    assert events[-1].text == TEXT


def test_translations(weighing: Weighing, client: Client) -> None:
    sound = ("speech.wav", b"RIFF" + b"\0" * 4000, "audio/wav")
    with pytest.warns(
        DeprecationWarning, match="deprecated"
    ):  # the SDK's own, about one of its overloads
        answer = client.audio.translations.create(model="whisper", file=sound)
    weighing.booked(operation="audio.translations", model="whisper")
    assert answer.text == TEXT


def upload() -> tuple[str, io.BytesIO]:
    """The input of a batch."""
    line = (
        b'{"custom_id":"1","method":"POST","url":"/v1/chat/completions","body":{"model":"gpt-4o"}}'
    )
    return "requests.jsonl", io.BytesIO(line + b"\n")


def test_what_is_free_leaves_no_row(weighing: Weighing, client: Client) -> None:
    assert [model.id for model in client.models.list()] == ["gpt-4o"]
    counted = client.responses.input_tokens.count(model="gpt-5.4", input="weigh")
    assert counted.input_tokens == 7
    assert client.files.create(file=upload(), purpose="batch").id == "file-1"
    assert client.files.retrieve("file-1").status == "processed"
    assert b"custom_id" in client.files.content("file-1").read()
    weighing.nothing_booked()


def test_a_batch_is_booked_once_to_its_creator_however_often_it_is_polled(
    weighing: Weighing, client: Client, colleague: OpenAI, indexer: OpenAI
) -> None:
    client.files.create(file=upload(), purpose="batch")
    batch = client.batches.create(
        input_file_id="file-1", endpoint="/v1/chat/completions", completion_window="24h"
    )
    created = weighing.rows(1)[0]
    statuses = [client.batches.retrieve(batch.id).status for _ in range(BATCHES_RUN)]
    # Another user of the team is the first to see it completed; another team does not see it at all.
    with pytest.raises(openai.NotFoundError, match="team 'search'"):
        indexer.batches.retrieve(batch.id)
    statuses += [each.batches.retrieve(batch.id).status for each in (colleague, client, client)]
    assert statuses == ["in_progress"] * BATCHES_RUN + ["completed"] * 3
    used = weighing.rows(1)[0]
    weighing.check(created, operation="batches.create", price_status="free", tier="batch")
    assert created.row.net_pico == 0
    assert used.units == shapes.BATCHED
    assert {line.unit: line.quantity for line in used.row.lines} == shapes.BATCHED
    assert (used.row.user, used.row.team) == ("user-0001", "core")
    assert (used.row.tier, used.row.provenance) == ("batch", "reported")
    # Its answer names a model, and every deployment of that model here has the same scope.
    assert (used.row.model, used.row.price_status) == ("gpt-4o", "priced")
    weighing.nothing_booked()


def test_a_batch_needs_a_key_that_allows_it(weighing: Weighing, indexer: OpenAI) -> None:
    with pytest.raises(openai.PermissionDeniedError, match="allow-batches"):
        indexer.batches.create(
            input_file_id="file-1", endpoint="/v1/chat/completions", completion_window="24h"
        )
    weighing.nothing_booked()


def test_videos_are_refused_and_the_refusal_says_where_to_ask(
    weighing: Weighing, client: Client
) -> None:
    with (
        pytest.warns(DeprecationWarning, match="Sora"),  # the SDK's own
        pytest.raises(openai.PermissionDeniedError, match="provider itself"),
    ):
        client.videos.create(model="sora-2", prompt="a lorry")
    with (
        pytest.warns(DeprecationWarning, match="Sora"),
        pytest.raises(openai.PermissionDeniedError, match="provider itself"),
    ):
        client.videos.retrieve("video_1")
    weighing.nothing_booked()


@pytest.mark.parametrize("endpoint", ["vector_stores", "fine_tuning", "realtime"])
def test_what_cannot_be_metered_is_refused_with_a_reason(
    endpoint: str, weighing: Weighing, indexer: OpenAI
) -> None:
    calls: dict[str, Any] = {
        "vector_stores": lambda: indexer.vector_stores.create(name="x"),
        "fine_tuning": lambda: indexer.fine_tuning.jobs.create(model="m", training_file="f"),
        "realtime": indexer.realtime.client_secrets.create,
    }
    with pytest.raises(openai.PermissionDeniedError, match=r"(does|do) not pass this gateway"):
        calls[endpoint]()
    weighing.nothing_booked()
