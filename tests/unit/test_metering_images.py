"""Image tokens: the published formulas at their corners."""

import pytest
from hypothesis import given, strategies as st

from gateway.metering.images import PATCHES_MAX, image_tokens, is_small
from gateway.metering.prompt import Image


@pytest.mark.parametrize(
    ("model", "image", "tokens"),
    [
        ("gpt-4o", Image(width=1, height=1), 85 + 170),
        ("gpt-4o", Image(width=512, height=512), 85 + 170),
        ("gpt-4o", Image(width=513, height=512), 85 + 2 * 170),
        ("gpt-4o", Image(width=1024, height=1024), 85 + 4 * 170),  # 768 x 768
        ("gpt-4o", Image(width=2048, height=4096), 85 + 6 * 170),  # 768 x 1536
        ("gpt-4o", Image(width=4096, height=512), 85 + 4 * 170),  # 2048 x 256
        ("gpt-4o", Image("low", 4096, 4096), 85),
        ("gpt-4o", Image("low"), 85),
        ("gpt-4o", Image(), 85 + 4 * 170),
        ("gpt-4o-mini", Image(width=1, height=1), 2833 + 5667),
        ("gpt-4-turbo", Image(width=1, height=1), 85 + 170),
        ("o1", Image(width=1, height=1), 75 + 150),
        ("o3", Image(width=1, height=1), 75 + 150),
        ("gpt-5", Image(width=1, height=1), 70 + 140),
        ("gpt-5-chat", Image(width=1, height=1), 70 + 140),
        ("gpt-5.1-codex", Image(width=1, height=1), 70 + 140),
        ("computer-use-preview", Image(width=1, height=1), 65 + 129),
        ("somebody-s-own", Image(width=1, height=1), 85 + 170),
        ("gpt-4o2", Image(width=1, height=1), 85 + 170),
        ("gpt-4.1-mini", Image(width=1024, height=1024), 1659),  # 1024 patches
        ("gpt-4.1-nano", Image(width=32, height=33), 5),  # 2 patches
        ("o4-mini", Image(width=1024, height=1024), 1762),
        ("gpt-5-mini", Image(width=1024, height=1024), 1229),
        ("gpt-5-nano", Image(width=1024, height=1024), 1536),
        ("gpt-5.4", Image(width=2048, height=2048), 3000),  # 50 x 50
        ("gpt-5.4-mini", Image(width=2048, height=2048), 1826),  # 39 x 39
        ("gpt-6.1-sol", Image(width=2048, height=2048), 3000),
        ("gpt-5.2", Image(), 1844),  # the whole budget
        ("gpt-5.4", Image(), 3000),
        ("gpt-5.4-nano", Image(), 1844),
        ("gpt-4.1-mini", Image(width=1800, height=2400), 2353),  # 33 x 44
    ],
)
def test_an_image_costs_what_its_model_says(model: str, image: Image, tokens: int) -> None:
    assert image_tokens(model, image) == tokens


sides = st.integers(1, 20_000)


@given(sides, sides)
def test_patches_stay_near_their_budget_and_turn_with_the_image(width: int, height: int) -> None:
    upright = image_tokens("gpt-5-mini", Image(width=width, height=height))
    across = image_tokens("gpt-5-mini", Image(width=height, height=width))
    assert upright == across
    assert 2 <= upright <= (PATCHES_MAX + 24) * 120 // 100 + 1


@given(sides, sides)
def test_tiles_never_exceed_the_largest_scaled_image(width: int, height: int) -> None:
    tokens = image_tokens("gpt-4o", Image(width=width, height=height))
    assert 85 + 170 <= tokens <= 85 + 8 * 170
    assert (tokens - 85) % 170 == 0


def test_small_models_are_told_by_a_part_of_their_name() -> None:
    assert is_small("gpt-4o-mini")
    assert is_small("gpt-5.4-nano")
    assert not is_small("gpt-4o")
    assert not is_small("gemini-pro")
