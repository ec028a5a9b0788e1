"""Which dialect meters which API family of the fixtures: the OpenAI shapes, on all three clouds."""

from typing import Final

from gateway.dialects.contract import Dialect
from gateway.dialects.openai_batch import BATCH
from gateway.dialects.openai_chat import CHAT, MISTRAL
from gateway.dialects.openai_media import EMBEDDINGS, IMAGES, SPEECH, TRANSCRIPTION
from gateway.dialects.openai_realtime import REALTIME
from gateway.dialects.openai_responses import RESPONSES

FAMILIES: Final[dict[str, Dialect]] = {
    "chat.completions": CHAT,
    "openapi.chat.completions": CHAT,
    "responses": RESPONSES,
    "mantle.responses": RESPONSES,
    "embeddings": EMBEDDINGS,
    "images": IMAGES,
    "batches": BATCH,
    "realtime": REALTIME,
}


def dialect_of(api: str, target: str) -> Dialect | None:
    """The dialect of a case; where one API carries several shapes, the path tells them apart."""
    if api == "audio":
        return SPEECH if "/audio/speech" in target else TRANSCRIPTION
    if api in ("rawPredict", "streamRawPredict"):
        return MISTRAL if "/publishers/mistralai/" in target else None
    return FAMILIES.get(api)
