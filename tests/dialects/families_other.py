"""Which dialect speaks which API family of the fixtures: all but the OpenAI shapes."""

from typing import Final

from gateway.dialects import anthropic, bedrock_families, converse, gemini
from gateway.dialects.contract import Dialect

FAMILIES: Final[dict[str, Dialect]] = {
    "converse": converse.CONVERSE,
    "converse-stream": converse.CONVERSE,
    "apply-guardrail": converse.GUARDRAIL,
    "async-invoke": bedrock_families.ASYNC,
    "mantle.messages": anthropic.MESSAGES,
    "generateContent": gemini.GENERATE,
    "streamGenerateContent": gemini.GENERATE,
    "embedContent": gemini.EMBED,
    "batchEmbedContents": gemini.EMBED,
    "predict": gemini.PREDICT,
    "BidiGenerateContent": gemini.LIVE,
    "interactions": gemini.INTERACTIONS,
}


def dialect_of(api: str, target: str) -> Dialect | None:
    """The dialect of a case; where one API carries several vendors, the path tells them apart."""
    if api in ("invoke", "invoke-with-response-stream"):
        return anthropic.INVOKE if "anthropic." in target else bedrock_families.FAMILIES
    if api in ("rawPredict", "streamRawPredict"):
        return anthropic.MESSAGES if "/publishers/anthropic/" in target else None
    return FAMILIES.get(api)
