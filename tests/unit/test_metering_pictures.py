"""Pictures billed by size and quality: the unit of what is asked for, and of what was made."""

import base64
import struct
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from gateway.kernel.errors import MalformedBody
from gateway.metering.pictures import SIZED, asked_pictures, unit_of
from gateway.metering.units import UNITS

CONFIG = "imageGenerationConfig"
SIDE = st.integers(1, 4096)


def picture(width: int, height: int) -> str:
    """The head of a PNG of that size."""
    head = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + struct.pack(">II", width, height)
    return base64.b64encode(head + b"\x08\x02\0\0\0" + b"\0" * 60).decode()


def sold_as(width: int, height: int) -> str:
    area = width * height
    return "images_out_512" if area <= 589_824 else "images_out_1024" if area <= 1_048_576 else "images_out_2048"  # fmt: skip


def asked(task: str | None = "TEXT_IMAGE", /, **config: Any) -> dict[str, int]:
    body: dict[str, Any] = {CONFIG: config}
    return asked_pictures(body if task is None else {"taskType": task, **body})


def edited(*images: str, task: str = "INPAINTING", member: str = "inPaintingParams") -> str:
    (first, *_), rest = images or ("",), images[1:]
    params: dict[str, Any] = {"image": first, "images": list(rest)}
    (unit,) = asked_pictures({"taskType": task, member: params})
    return unit


@given(SIDE, SIDE)
@settings(max_examples=60)
def test_width_times_height_decide_of_what_is_asked_and_of_what_was_made(
    width: int, height: int
) -> None:
    unit = sold_as(width, height)
    assert asked(width=width, height=height) == {unit: 1}
    assert asked(width=width, height=height, quality="premium") == {f"{unit}_premium": 1}
    assert unit_of(picture(width, height), "images_out_2048") == unit
    assert unit_of(picture(width, height), "images_out_512_premium") == f"{unit}_premium"


@pytest.mark.parametrize(
    ("width", "height", "unit"),
    [
        (512, 512, "images_out_512"), (768, 768, "images_out_512"), (769, 768, "images_out_1024"),
        (1024, 1024, "images_out_1024"), (1025, 1024, "images_out_2048"), (2048, 2048, "images_out_2048"),
        (384, 1536, "images_out_512"), (320, 4096, "images_out_2048"),
    ],
)  # fmt: skip
def test_the_sizes_that_are_sold(width: int, height: int, unit: str) -> None:
    assert asked(width=width, height=height) == {unit: 1}
    assert unit_of(picture(width, height), unit) == unit


def test_a_picture_that_does_not_tell_its_size_is_the_one_that_was_asked_for() -> None:
    for unit in sorted(SIZED):
        assert unit_of("bm9uZQ==" * 20, unit) == unit
    assert unit_of("", "images_out") == "images_out"


def test_every_size_has_a_unit_at_either_quality() -> None:
    assert {
        f"images_out_{size}{better}" for size in (512, 1024, 2048) for better in ("", "_premium")
    } == SIZED
    assert UNITS.keys() >= SIZED
    assert all(UNITS[unit].refines == "images_out" for unit in SIZED)


@pytest.mark.parametrize(
    ("config", "unit"),
    [
        ({}, "images_out_1024"),
        ({"width": 512}, "images_out_512"),
        ({"height": 512}, "images_out_512"),
        ({"height": 1025}, "images_out_2048"),
        ({"width": "512", "height": 512.0}, "images_out_512"),
        ({"width": "wide", "height": 512}, "images_out_2048"),
        ({"width": 512, "height": 0}, "images_out_2048"),
        ({"width": -512, "height": 512}, "images_out_2048"),
        ({"width": None, "height": None}, "images_out_1024"),
        ({"quality": "standard"}, "images_out_1024"),
        ({"quality": None}, "images_out_1024"),
        ({"quality": "premium"}, "images_out_1024_premium"),
        ({"quality": "tomorrow's"}, "images_out_1024_premium"),
    ],
)
@pytest.mark.parametrize("task", [None, "TEXT_IMAGE", "COLOR_GUIDED_GENERATION"])
def test_what_is_not_said_is_the_default_and_what_is_no_size_may_be_any(
    config: dict[str, Any], unit: str, task: str | None
) -> None:
    assert asked(task, **config) == {unit: 1}


def test_as_many_as_are_asked_for() -> None:
    assert asked(numberOfImages=3) == {"images_out_1024": 3}
    assert asked(numberOfImages="5", quality="premium") == {"images_out_1024_premium": 5}
    assert asked(numberOfImages=None) == asked(numberOfImages=0) == {"images_out_1024": 1}
    with pytest.raises(MalformedBody, match="numberOfImages"):
        asked(numberOfImages="a few")


def test_a_picture_that_is_edited_is_as_large_as_it_is_or_as_the_default() -> None:
    assert edited(picture(2000, 2000)) == "images_out_2048"
    assert edited(picture(100, 100)) == "images_out_1024"
    assert edited(picture(100, 100), picture(1025, 1024)) == "images_out_2048"
    assert edited(picture(1025, 1024), picture(100, 100)) == "images_out_2048"
    assert edited(picture(1024, 1024), picture(1024, 1024)) == "images_out_1024"
    assert edited("", "") == "images_out_1024"


def test_one_that_does_not_tell_its_size_may_be_any() -> None:
    assert edited("bm9uZQ==" * 20) == "images_out_2048"
    assert edited(picture(100, 100), "bm9uZQ==" * 20) == "images_out_2048"


@pytest.mark.parametrize(
    "task", ["BACKGROUND_REMOVAL", "IMAGE_VARIATION", "INPAINTING", "OUTPAINTING", "VIRTUAL_TRY_ON"]
)
def test_every_task_that_edits_looks_at_what_it_edits(task: str) -> None:
    large = picture(2000, 2000)
    assert edited(large, task=task, member="anyParams") == "images_out_2048"
    assert edited(large, task=task, member="elsewhere") == "images_out_1024"
    source: dict[str, Any] = {"taskType": task, "virtualTryOnParams": {"sourceImage": large}}
    assert asked_pictures(source) == {"images_out_2048": 1}
    sized = {**source, CONFIG: {"width": 512, "height": 512}}
    assert asked_pictures(sized) == {"images_out_512": 1}
    one = {**source, CONFIG: {"width": 512}}
    assert asked_pictures(one) == {"images_out_512": 1}


@pytest.mark.parametrize("task", ["TEXT_IMAGE", "COLOR_GUIDED_GENERATION"])
def test_a_task_that_draws_is_as_large_as_is_asked_whatever_comes_along(task: str) -> None:
    body: dict[str, Any] = {"taskType": task, "textToImageParams": {"conditionImage": "x", "image": picture(2000, 2000)}}  # fmt: skip
    assert asked_pictures(body) == {"images_out_1024": 1}


@pytest.mark.parametrize(
    "body", [{}, {"taskType": "TEXT_VIDEO"}, {"taskType": None}, {"prompt": "a bridge"}]
)
def test_what_asks_for_no_picture_bills_none(body: dict[str, Any]) -> None:
    assert asked_pictures(body) == {}


def test_what_else_a_task_brings_along_is_no_picture() -> None:
    params: dict[str, Any] = {
        "image": picture(100, 100),
        "maskImage": picture(2000, 2000),
        "images": [7, None],
    }
    body: dict[str, Any] = {
        "taskType": "INPAINTING",
        "inPaintingParams": params,
        "otherParams": "x",
    }
    assert asked_pictures(body) == {"images_out_1024": 1}
