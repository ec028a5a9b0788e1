"""Golden meter names: every published name classified as listed, by words, whatever their order."""

import pytest

from gateway.reporting.bills import aws, azure, google
from gateway.reporting.bills.meter import OTHER, Meter, Reading, fingerprint, proposed

READERS = {"microsoft": azure.read, "amazon": aws.read, "alphabet": google.read}

# cloud | direction cache scope tier [context or ttl], or other | names
GOLDEN = """
microsoft|input - global standard|gpt-4o-0806-Inp-glbl Tokens;5.5 ShortCo inp Gl 1M Tokens;GPT 5 Inpt Glbl 1M Tokens;Grok 4.1 Inp Glbl Tokens;text-embedding-3-large-glbl Tokens;gpt-oss-120B Inp glbl Tokens
microsoft|input - global batch|gpt-4o-mini-0718-Batch-Inp-glbl Tokens
microsoft|input - global priority|5.4 pp inp Gl 1M Tokens;5 mini pp Inp Gl 1M Tokens
microsoft|input - data_zone standard|gpt 4.1 Inp Data Zone Tokens;FW GLM 5.2 Inp DZ Tokens;V3.1 Inp DZone Tokens
microsoft|input - regional standard|GPT 5.1 inp Rg 1M Tokens
microsoft|input read global standard|gpt 4.1 cached Inp glbl Tokens;gpt-5-codex-ccchd-inp-glbl Tokens;5.4 mini cd Inp Gl 1M Tokens;o3 mini 0131 cached input glbl Tokens;gpt-image-1-inp-cached-txt-glbl Tokens;gpt-4o-rt-aud-1217 cchd Inp glbl Tokens;codex mini inp cchd glbl Tokens
microsoft|input read data_zone standard|V4 Flash cached DZ Tokens
microsoft|input read data_zone priority|5.1 pp cd inp Dz 1M Tokens
microsoft|input write global standard|5.6 sol ShortCo Cd Wr Std Gl 1M Tokens
microsoft|output - global standard|gpt 5 pro out glbl Tokens;GPT 5 outpt Glbl 1M Tokens;5.1 codex opt Gl 1M Tokens;o1 1217 Outp glbl Tokens;chat-latest 08062026 opt Gl 1M Tokens
microsoft|output - global priority|5.4 pp opt Gl 1M Tokens
microsoft|output - data_zone standard|K2.5 Thinking Outp DZ Tokens
microsoft|output - data_zone standard long|4.6 Outp DZ L Tokens
microsoft|output - regional standard|gpt-4o-0806-Outp-regnl Tokens
microsoft|output - - standard|Phi-3.5-Mini-128K-Instruct-Output Tokens
microsoft|other|Provisioned Managed Global Unit;Sora 2 pro glbl Second;gpt-4o-0806-FT-Hstng-glbl Unit;gpt-4o-0806-FT-inp-glbl Tokens;o4-mini-ft model grader output Tokens;Phi-3-Mini-128K-Instruct-Input-Finetuned Tokens;file-search-tool-calls-glbl Calls;Code-Interpreter-global Session;gpt 4.1 nano dev ft training glbl Tokens;Image-Dall-E-3 HD HighRes-glbl Images
amazon|input - regional standard|USW2-Claude4.6Sonnet-input-tokens;USE1-MP:USE1_InputTokenCount-Units
amazon|input - regional standard long|UGW1-openai.gpt-5.6-terra-mantle-input-tokens-long-ctx-standard
amazon|input - global standard|USE1-Nova2.0Lite-input-tokens-cross-region-global;APS3-MP:APS3_input_tokens_global_standard-Units
amazon|input - regional batch|USE1-Llama4-Maverick-17B-input-tokens-batch;USE1-MP:USE1_InputTokenCount_Batch-Units
amazon|input - regional flex|USE1-xai.grok-4.3-mantle-input-tokens-flex
amazon|input - regional priority|USW2-zai.glm5-mantle-input-tokens-priority
amazon|input read regional standard|USW2-Claude4.6Sonnet-cache-read-input-token-count;USE1-MP:USE1_CacheReadInputTokenCount-Units
amazon|input read global standard|USE1-Claude4Sonnet-cache-read-input-token-count-cross-region-global;APN1-MP:APN1_cache_read_tokens_global_standard-Units
amazon|input write regional standard|USW2-Claude4.6Sonnet-cache-write-input-token-count;USW2-anthropic.claude-opus-4-8-mantle-cache-write-tokens-standard
amazon|input write regional standard 30m|UGW1-openai.gpt-5.6-terra-mantle-cache-write-tokens-30m-standard
amazon|input write global standard 1h|USE1-MP:USE1_CacheWrite1hInputTokenCount_Global-Units
amazon|output - regional standard|USW2-Claude4.6Sonnet-output-tokens;USE1-NovaLite-output-tokens;USE1-MP:USE1_output_tokens_standard-Units
amazon|output - global standard|USE1-MP:USE1_OutputTokenCount_Global-Units
amazon|other|USE1-MP:USE1_Reserved_1Month_InputTPM_Geo-Units
alphabet|input - - standard|Gemini 2.5 Flash GA Text Input - Predictions;Gemini 2.5 Flash Lite Text Input - Predictions;Cloud Vertex AI Model Garden Model as a Service GLM-5.2 Input
alphabet|input - global standard|Gemini 3.1 Flash Lite Global Text Input - Predictions
alphabet|input read - standard long|Gemini 2.5 Pro Text Input Caching (Long)
alphabet|input read - standard|Gemini 3 Flash Text Input Caching;Flash GA / Lite input caching
alphabet|input read - priority|Gemini 3 Flash Image Input Caching Priority
alphabet|input read global offpeak|Gemini 3.8 Flash Cyber Global Text Input Caching Offpeak
alphabet|output - - standard|Gemini 2.5 Flash GA Text Output (Thinking On) - Predictions;Gemini 2.5 Flash GA Thinking Text Output - Predictions;Gemini 2.5 Flash Live Audio (AV2A) Output - Predictions
alphabet|output - regional standard|Gemini 3.5 Flash Regional Text Output - Predictions
alphabet|output - - standard short|Generate content output token count gemini 2.5 flash short input text
alphabet|input read - standard|Generate content cached input token count gemini 3.8 flash tts text
alphabet|input - - batch|Generate content input token count gemini 3.8 flash lite tts text batch
alphabet|other|Gemini 3.8 Flash Text Input Caching Storage;Grounding with Google Search on Gemini 3;Generate content search query gemini 3 free;Agent Platform Memory;Vector Search Index Serving e2-standard-16
"""
FURTHER = (
    "R1 Inp glbl Tokens", "V3-0324 Outp glbl Tokens", "V3.2 SP Inp glbl Tokens", "V4 Flash 0731 cached glbl Tokens",
    "5.2 chat 0210 cd inp Gl 1M Tokens", "GPT 5 Chat cchd Inpt Glbl 1M Tokens", "GPT 5.2 pro opt Gl 1M Tokens",
    "o3-deep research 0626-inp-cchd-glbl 1M Tokens", "computer-use-inpt-glbl Tokens", "gpt 4.5 0227 cached Inp glbl Tokens",
    "gpt-35-turbo16K-0125 Inp-glbl Tokens", "gpt-4-turbo-Vision-128K Inp-glbl Tokens", "gpt-4o-aud-0603-txt Inp glbl Tokens",
    "gpt-4o-mini-transcribe-aud-inp-glbl Tokens", "gpt-4o-mini-tts-aud-out-glbl Tokens", "gpt-image-1-output-img-glbl Tokens",
    "gpt4o realtime cached audio inp glbl Tokens", "gpt4omini-rt-txt1217 cchd Inp glbl Tokens",
    "o1 preview cached input glbl Tokens", "Image 2 Text Input glbl Tokens", "Image 2.5 Flash Image Input glbl Tokens",
    "text-embedding-3-large-regional Tokens", "embedding-ada-glbl Tokens", "5.6 luna LongCo opt Std DZ 1M Tokens",
)  # fmt: skip


def golden() -> list[tuple[str, str, str]]:
    found = []
    for line in GOLDEN.strip().splitlines():
        cloud, reading, names = line.split("|")
        found += [(cloud, reading, name) for name in names.split(";")]
    return found


def said(reading: Reading) -> str:
    if reading is None:
        return "unread"
    if not isinstance(reading, Meter):
        return "other"
    words = (reading.direction, reading.cache or "-", reading.scope or "-", reading.tier)
    return " ".join(words)


def test_there_are_eighty_five_golden_names() -> None:
    assert len({name for _, _, name in golden()}) == 86


@pytest.mark.parametrize(("cloud", "reading", "name"), golden(), ids=lambda part: part)
def test_a_published_name_is_read_as_listed(cloud: str, reading: str, name: str) -> None:
    found = READERS[cloud](name, "Claude Sonnet 4.6 (Amazon Bedrock Edition)")
    words = reading.split()
    assert said(found) == " ".join(words[:4])
    if isinstance(found, Meter) and len(words) > 4:
        assert words[4] in (found.context, found.ttl)


@pytest.mark.parametrize("name", FURTHER)
def test_further_names_are_read(name: str) -> None:
    assert isinstance(azure.read(name), Meter)


@pytest.mark.parametrize(
    "name", ["babbage-002-base-glbl Tokens", "5.4 mini Gl 1M Tokens", "something else"]
)
def test_what_does_not_say_its_direction_is_unread_and_not_guessed(name: str) -> None:
    assert azure.read(name) is None


def test_marketplace_names_find_their_model_in_the_description() -> None:
    found = aws.read(
        "USE1-MP:USE1_InputTokenCount-Units", "Claude Sonnet 4.6 (Amazon Bedrock Edition)"
    )
    assert isinstance(found, Meter)
    assert found.key == "Claude Sonnet 4.6"


@pytest.mark.parametrize(
    ("name", "reader", "model"),
    [
        ("5.4 mini cd Inp Gl 1M Tokens", azure.read, "gpt-5.4-mini"),
        ("gpt 4.1 cached Inp glbl Tokens", azure.read, "gpt-4.1"),
        ("USW2-Claude4.6Sonnet-output-tokens", aws.read, "anthropic.claude-sonnet-4-6"),
        ("EUC1-Claude4.5Haiku-input-tokens", aws.read, "anthropic.claude-haiku-4-5"),
        ("USE1-Nova2.0Lite-input-tokens-cross-region-global", aws.read, "amazon.nova-2-lite"),
        ("Gemini 2.5 Pro Text Input Caching (Long)", google.read, "gemini-2.5-pro"),
        ("Gemini 3.1 Flash Lite Global Text Input - Predictions", google.read, "gemini-3.1-flash-lite"),
        ("Generate content output token count gemini 2.5 flash short input text", google.read, "gemini-2.5-flash"),
    ],
)  # fmt: skip
def test_a_model_is_proposed_from_the_words_that_are_left(
    name: str, reader: object, model: str
) -> None:
    known = (
        "gpt-5.4", "gpt-5.4-mini", "gpt-4.1", "gpt-4.1-mini", "anthropic.claude-sonnet-4-6", "anthropic.claude-haiku-4-5",
        "amazon.nova-2-lite", "gemini-2.5-pro", "gemini-2.5-flash", "gemini-2.5-flash-lite", "gemini-3.1-flash-lite",
    )  # fmt: skip
    found = reader(name, "")  # type: ignore[operator]  # one of three readers
    assert proposed(found.key, known) == model


def test_flash_is_not_flash_lite_and_two_candidates_are_none() -> None:
    assert fingerprint("gemini 2.5 flash") != fingerprint("gemini-2.5-flash-lite")
    assert proposed("5.4", ["gpt-5.4", "openai.gpt-5.4"]) is None
    assert proposed("", ["gpt-5.4"]) is None
    assert OTHER is not None
