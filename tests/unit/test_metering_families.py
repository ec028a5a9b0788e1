"""Model names: every spelling of a model leads to its family, and no other model's does."""

import pytest
from hypothesis import given, strategies as st

from gateway.metering.families import CL100K, O200K, family_of, plain_name


@pytest.mark.parametrize(
    ("wire", "plain"),
    [
        ("gpt-4o", "gpt-4o"),
        ("gpt-4o-2024-08-06", "gpt-4o"),
        ("gpt-4-0613", "gpt-4"),
        ("GPT-4o", "gpt-4o"),
        ("ft:gpt-4o-mini-2024-07-18:org-0001::abc123", "gpt-4o-mini"),
        ("openai.gpt-5.6-luna", "gpt-5.6-luna"),
        ("us.openai.gpt-5.6", "gpt-5.6"),
        ("openai.gpt-oss-120b-1:0", "gpt-oss-120b-1"),
        ("openai/gpt-4o:free", "gpt-4o"),
        ("us.anthropic.claude-sonnet-4-5-20250929-v1:0", "claude-sonnet-4-5"),
        ("us-gov.anthropic.claude-sonnet-4-5-20250929-v1:0", "claude-sonnet-4-5"),
        ("publishers/anthropic/models/claude-opus-4-7@20260301", "claude-opus-4-7"),
        ("projects/p/locations/l/publishers/x/models/gemini-2.5-flash", "gemini-2.5-flash"),
        ("models/gemini-2.5-pro", "gemini-2.5-pro"),
        (
            "arn:aws:bedrock:eu-west-1:123456789012:inference-profile/eu.amazon.nova-pro-v1:0",
            "nova-pro",
        ),
        ("meta.llama3-1-70b-instruct-v1:0", "llama3-1-70b-instruct"),
        ("ai21.jamba-1-5-large-v1:0", "jamba-1-5-large"),
        ("text-embedding-3-large", "text-embedding-3-large"),
        ("", ""),
    ],
)
def test_a_wire_name_loses_its_decorations(wire: str, plain: str) -> None:
    assert plain_name(wire) == plain


@pytest.mark.parametrize(
    "model",
    [
        "gpt-3.5-turbo", "gpt-3.5-turbo-0125", "gpt-35-turbo", "gpt-35-turbo-16k", "gpt-4",
        "gpt-4-0613", "gpt-4-turbo", "gpt-4-1106-preview", "gpt-4-32k", "text-embedding-3-small",
        "text-embedding-ada-002", "ft:gpt-3.5-turbo-0125:org-0001::x",
    ],
)  # fmt: skip
def test_older_models_count_with_the_older_encoding(model: str) -> None:
    family = family_of(model)
    assert (family.encoding, family.formula, family.reasoning) == (CL100K, True, False)


@pytest.mark.parametrize(
    "model",
    [
        "gpt-4o",
        "gpt-4o-mini-2024-07-18",
        "gpt-4.1",
        "gpt-4.1-nano",
        "gpt-4.5-preview",
        "chatgpt-4o-latest",
    ],
)
def test_the_models_between_count_with_the_newer_encoding(model: str) -> None:
    family = family_of(model)
    assert (family.encoding, family.formula, family.reasoning) == (O200K, True, False)


@pytest.mark.parametrize(
    "model",
    [
        "gpt-5", "gpt-5-mini-2025-08-07", "gpt-5.4", "gpt-5.6-luna", "gpt-6", "gpt-6.1-sol", "o1",
        "o1-mini", "o3", "o3-mini-2025-01-31", "o4-mini", "codex-mini-latest",
        "openai.gpt-5.6-luna", "us.openai.gpt-5.6", "global.openai.gpt-6.1-sol",
    ],
)  # fmt: skip
def test_models_that_think_count_by_their_variant(model: str) -> None:
    family = family_of(model)
    assert (family.encoding, family.formula, family.reasoning) == (O200K, True, True)


@pytest.mark.parametrize(
    "model", ["gpt-99", "gpt-7.1-sol", "gpt-foo", "o99-mini", "o2", "text-bison"]
)
def test_a_line_that_nobody_has_seen_is_counted_as_its_brand_and_never_called_exact(
    model: str,
) -> None:
    family = family_of(model)
    assert (family.formula, family.proven) == (True, False)


@pytest.mark.parametrize(
    "model", ["gpt-4o-mini", "gpt-35-turbo", "gpt-4", "gpt-5.4", "gpt-6.1-sol", "o3-mini", "text-embedding-3-large", "text-embedding-ada-002", "davinci-002", "codex-mini-latest"]
)  # fmt: skip
def test_the_lines_whose_formula_is_proven_stay_exact(model: str) -> None:
    family = family_of(model)
    assert (family.formula, family.proven) == (True, True)


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("claude-v2", "claude"),
        ("anthropic.claude-instant-v1", "claude"),
        ("claude-3-haiku-20240307", "claude"),
        ("anthropic.claude-3-5-sonnet-20241022-v2:0", "claude"),
        ("claude-sonnet-4-20250514", "claude"),
        ("claude-sonnet-4-6", "claude"),
        ("claude-opus-4.6", "claude"),
        ("claude-opus-4-7", "claude 4.7"),
        ("global.anthropic.claude-haiku-5-5", "claude 4.7"),
        ("publishers/anthropic/models/claude-sonnet-5@20260901", "claude 4.7"),
        ("gemini-1.5-pro", "gemini 2.0"),
        ("gemini-2.0-flash-001", "gemini 2.0"),
        ("google/gemini-2.5-flash", "gemini"),
        ("gemini-3-pro-preview", "gemini"),
        ("gemini-4-argon", "gemini"),
        ("eu.amazon.nova-2-lite-v1:0", "nova"),
        ("openai.gpt-oss-20b-1:0", "gpt-oss"),
        ("us.meta.llama4-scout-17b-instruct-v1:0", "llama"),
        ("qwen.qwen3-32b-v1:0", "qwen"),
        ("mistral.mistral-large-2402-v1:0", "mistral"),
        ("deepseek.r1-v1:0", "other"),
        ("my-gpt-4o", "other"),
        ("gpt4o", "gpt"),
        ("", "other"),
    ],
)
def test_a_model_belongs_to_the_family_its_parts_name(model: str, name: str) -> None:
    assert family_of(model).name == name


@given(st.text(max_size=600))
def test_any_name_has_a_family(model: str) -> None:
    assert family_of(model).encoding in (O200K, CL100K)


@given(st.sampled_from(["gpt-5", "claude-opus-4-7", "gemini-2.5-pro"]), st.data())
def test_a_path_and_a_version_never_change_the_family(model: str, data: st.DataObject) -> None:
    path = data.draw(st.sampled_from(["", "models/", "publishers/x/models/", "a/b/c/"]))
    version = data.draw(st.sampled_from(["", "@20260101", ":0", "@default"]))
    assert family_of(f"{path}{model}{version}") == family_of(model)
