"""Image tokens: the published formulas at their corners."""

import pytest
from hypothesis import given, strategies as st

from gateway.metering.images import PATCHES_MAX, image_tokens, image_tokens_most, is_small
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


MODELS = {
    "gpt-4o": (85, 170), "gpt-4.1": (85, 170), "gpt-4.5": (85, 170), "gpt-4-turbo": (85, 170), "gpt-4-1106": (85, 170),
    "gpt-4o-mini": (2833, 5667), "o1": (75, 150), "o3": (75, 150), "gpt-5": (70, 140), "gpt-5-chat": (70, 140),
    "gpt-5.1": (70, 140), "computer-use": (65, 129), "nobody": (85, 170),
}  # fmt: skip
PATCHED = {
    "gpt-4.1-mini": (162, 1536), "gpt-4.1-nano": (246, 1536), "o4-mini": (172, 1536), "codex-mini": (172, 1536),
    "gpt-5-mini": (120, 1536), "gpt-5-nano": (150, 1536), "gpt-5.2": (120, 1536), "gpt-5.3": (120, 1536),
    "gpt-5.4": (120, 2500), "gpt-5.5": (120, 2500), "gpt-5.6": (120, 2500), "gpt-6": (120, 2500),
    "gpt-5.4-mini": (120, 1536), "gpt-6-nano": (120, 1536),
}  # fmt: skip


@pytest.mark.parametrize("model", sorted(MODELS))
def test_tiles_by_hand(model: str) -> None:
    base, tile = MODELS[model]
    for width, height, tiles in (
        (512, 512, 1), (513, 512, 2), (512, 513, 2), (768, 768, 4), (769, 769, 4), (768, 1024, 4), (768, 1025, 6),
        (2048, 768, 8), (2049, 768, 8), (2048, 2048, 4), (4096, 4096, 4), (2048, 1, 4), (20_000, 1, 4), (769, 1024, 4),
        (769, 1026, 6), (1537, 3072, 6),
    ):  # fmt: skip
        for image in (Image(width=width, height=height), Image(width=height, height=width)):
            assert image_tokens(model, image) == base + tile * tiles, (width, height)
    for unknown in (Image(), Image(width=9), Image(height=9)):
        assert image_tokens(model, unknown) == base + 4 * tile
    for unknown in (Image(), Image(width=9), Image(height=9), Image("high")):
        assert image_tokens_most(model, unknown) == base + 8 * tile
    for low in (Image("low"), Image("low", 4096, 4096)):
        assert image_tokens(model, low) == image_tokens_most(model, low) == base


@pytest.mark.parametrize("model", sorted(PATCHED))
def test_patches_by_hand(model: str) -> None:
    percent, most = PATCHED[model]
    for width, height, patches in (
        (1, 1, 1), (32, 32, 1), (33, 32, 2), (64, 65, 6), (1024, 1024, 1024), (1024, 1536, 1536),
        (2048, 16, 64), (20_000, 16, 64), (20_000, 1, 64), (4096, 320, 320),
    ):  # fmt: skip
        for image in (Image(width=width, height=height), Image(width=height, height=width)):
            assert image_tokens(model, image) == -(-patches * percent // 100), (width, height)
    for image in (Image(), Image("low"), Image(width=9), Image(height=9)):
        assert image_tokens(model, image) == -(-most * percent // 100)
        assert image_tokens_most(model, image) == image_tokens(model, image)


@given(st.sampled_from([*MODELS, *PATCHED]), sides, sides)
def test_no_size_has_more_tokens_than_the_most_of_one_that_is_not_known(
    model: str, width: int, height: int
) -> None:
    sized = Image(width=width, height=height)
    assert image_tokens(model, sized) == image_tokens_most(model, sized)
    assert image_tokens(model, sized) <= image_tokens_most(model, Image())


@pytest.mark.parametrize(
    ("width", "height", "patches"),
    [
        (1800, 2400, 33 * 44), (2400, 1800, 44 * 33), (1568, 1024, 47 * 31), (2048, 2048, 39 * 39), (2048, 1000, 55 * 27),
        (1000, 2048, 27 * 55), (4096, 2000, 55 * 27), (1280, 1280, 39 * 39),
    ],
)  # fmt: skip
def test_a_picture_beyond_the_budget_is_shrunk_to_whole_patches(
    width: int, height: int, patches: int
) -> None:
    found = image_tokens("gpt-5-mini", Image(width=width, height=height))
    assert found == -(-patches * 120 // 100)


def test_the_longest_name_that_ends_where_a_part_does_decides() -> None:
    for name, like in (
        ("gpt-4o-2024-11-20", "gpt-4o"), ("gpt-4o-mini-x", "gpt-4o-mini"), ("gpt-5.1.2", "gpt-5.1"),
        ("gpt-5-chat-latest", "gpt-5-chat"), ("gpt-5.9", "gpt-5"), ("o1x", "nobody"), ("gpt-4", "nobody"), ("", "nobody"),
    ):  # fmt: skip
        assert image_tokens(name, Image("low")) == MODELS[like][0]
