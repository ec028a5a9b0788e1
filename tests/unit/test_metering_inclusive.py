"""Carving inclusive totals: what went into a total comes out again, and what cannot be is refused."""

import json
from collections.abc import Iterator
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, strategies as st

from gateway.metering.inclusive import Inclusive, read_inclusive, usage_reading
from gateway.metering.meter import Reading
from gateway.metering.usage import COUNT_MAX, Component, Source, UsageInvalid
from gateway.wire.jsondoc import Json

RECORDED = Path(__file__).parents[3] / "shared" / "recorded" / "usage.jsonl"
COUNT = st.integers(0, 10_000)
MODALITIES = ("text", "image", "audio", "video")
SPELLINGS = [
    ("prompt_tokens", "completion_tokens", "prompt_tokens_details", "completion_tokens_details"),
    ("input_tokens", "output_tokens", "input_tokens_details", "output_tokens_details"),
    ("input_tokens", "output_tokens", "input_token_details", "output_token_details"),
]


def by_modality(counts: dict[str, int]) -> dict[str, int]:
    return {f"{name}_tokens": counts[name] for name in MODALITIES}


def nonzero(counts: dict[str, int]) -> dict[str, int]:
    return {unit: count for unit, count in counts.items() if count}


per_modality = st.fixed_dictionaries(dict.fromkeys(MODALITIES, COUNT))


@given(
    names=st.sampled_from(SPELLINGS),
    fresh=per_modality,
    cached=per_modality,
    out=per_modality,
    reasoning=COUNT,
    ttl_30m=COUNT,
    ttl_12h=COUNT,
    unknown=COUNT,
)
def test_disjoint_counts_come_out_as_they_went_in(
    names: tuple[str, str, str, str],
    fresh: dict[str, int],
    cached: dict[str, int],
    out: dict[str, int],
    reasoning: int,
    ttl_30m: int,
    ttl_12h: int,
    unknown: int,
) -> None:
    written = ttl_30m + ttl_12h + unknown
    total_in = sum(fresh.values()) + sum(cached.values()) + written
    total_out = sum(out.values()) + reasoning
    both = {name: fresh[name] + cached[name] for name in MODALITIES}
    usage: dict[str, Any] = {
        names[0]: total_in,
        names[1]: total_out,
        "total_tokens": total_in + total_out,
        names[2]: {
            **by_modality(both),
            "cached_tokens": sum(cached.values()),
            "cached_tokens_details": by_modality(cached),
            "cache_write_tokens": written,
            "cache_write_tokens_details": {"ttl_30m_tokens": ttl_30m, "ttl_12h_tokens": ttl_12h},
        },
        names[3]: {**by_modality(out), "reasoning_tokens": reasoning},
    }
    found = read_inclusive(usage)
    assert found is not None
    # A write has no modality: where the text does not suffice it is taken from the others in turn.
    if fresh["text"] or not written:
        assert sum(found.counts.values()) == total_in + total_out
    assert nonzero(found.counts) == nonzero(
        {f"input_{name}": fresh[name] for name in MODALITIES}
        | {f"cache_read_{name}": cached[name] for name in MODALITIES}
        | {f"output_{name}": out[name] for name in MODALITIES}
        | {"cache_write_30m": ttl_30m, "cache_write_12h": ttl_12h, "cache_write": unknown}
        | {"output_reasoning": reasoning}
    )


def carved(**usage: Any) -> dict[str, int]:
    found = read_inclusive(usage)
    assert found is not None
    return found.counts


def test_cached_tokens_are_text_first_where_nothing_else_is_said() -> None:
    details = {"cached_tokens": 90, "audio_tokens": 20, "image_tokens": 30}
    assert carved(prompt_tokens=100, completion_tokens=0, prompt_tokens_details=details) == {
        "cache_read_text": 50,
        "cache_read_image": 30,
        "cache_read_audio": 10,
        "input_audio": 10,
    }


def test_predictions_are_inside_the_output() -> None:
    details = {"accepted_prediction_tokens": 3, "rejected_prediction_tokens": 5}
    assert carved(prompt_tokens=1, completion_tokens=9, completion_tokens_details=details) == {
        "input_text": 1,
        "output_text": 9,
    }


@pytest.mark.parametrize(
    ("total", "counts"),
    [
        (17, {"input_text": 8, "output_text": 2, "output_reasoning": 7}),
        (24, {"input_text": 8, "output_text": 9, "output_reasoning": 7}),
        (None, {"input_text": 8, "output_text": 2, "output_reasoning": 7}),
    ],
    ids=["inside", "outside", "no total"],
)
def test_the_total_decides_where_reasoning_stands(
    total: int | None, counts: dict[str, int]
) -> None:
    details = {"reasoning_tokens": 7}
    usage = {"prompt_tokens": 8, "completion_tokens": 9, "completion_tokens_details": details}
    assert carved(**usage, total_tokens=total) == counts


UNNAMED: dict[str, Any] = {"prompt_tokens": 35, "completion_tokens": 12, "total_tokens": 109}


def test_a_total_that_nothing_explains_is_nobodys_reasoning() -> None:
    for total in (109, 1_000_000, 46):
        reading = usage_reading({**UNNAMED, "total_tokens": total})
        assert reading.components == (Component("main", {"input_text": 35, "output_text": 12}),)
        assert not reading.balances()


def test_an_endpoint_that_never_names_its_thoughts_counts_them_in_its_total() -> None:
    found = read_inclusive(UNNAMED, unnamed_thoughts=True)
    assert found is not None
    assert found.counts == {"input_text": 35, "output_text": 12, "output_reasoning": 62}
    assert found.flags == ("reasoning_unnamed",)
    # Where it names them after all, what it names is all it claims.
    for named in (0, 5):
        usage = {**UNNAMED, "completion_tokens_details": {"reasoning_tokens": named}}
        found = read_inclusive(usage, unnamed_thoughts=True)
        assert found is not None
        assert sum(found.counts.values()) == 47


@pytest.mark.parametrize(
    ("into", "out", "total", "counts"),
    [
        (0, 5, 12, {"output_text": 5, "output_reasoning": 7}),
        (5, 0, 12, {"input_text": 5, "output_reasoning": 7}),
        (5, 4, 10, {"input_text": 5, "output_text": 4, "output_reasoning": 1}),
        (5, 4, 9, {"input_text": 5, "output_text": 4}),
        (5, 4, 8, {"input_text": 5, "output_text": 4}),
        (None, 5, 12, {"output_text": 5}),
        (5, None, 12, {"input_text": 5}),
    ],
)
def test_only_what_is_beyond_two_known_sides_is_reasoning(
    into: int | None, out: int | None, total: int, counts: dict[str, int]
) -> None:
    usage: dict[str, Json] = {"prompt_tokens": into, "completion_tokens": out}
    found = read_inclusive({**usage, "total_tokens": total}, unnamed_thoughts=True)
    assert found is not None
    assert found.counts == counts


def test_one_token_of_reasoning_may_stand_outside() -> None:
    usage = {"prompt_tokens": 8, "completion_tokens": 9, "total_tokens": 18}
    assert carved(**usage, completion_tokens_details={"reasoning_tokens": 1}) == {
        "input_text": 8,
        "output_text": 9,
        "output_reasoning": 1,
    }


def test_an_output_of_nothing_has_no_reasoning_in_it() -> None:
    usage = {"prompt_tokens": 5, "completion_tokens": 0, "total_tokens": 5}
    found = read_inclusive({**usage, "completion_tokens_details": {"reasoning_tokens": 1}})
    assert found == Inclusive({"input_text": 5}, 5, whole=True, flags=("count_mismatch",))


@pytest.mark.parametrize("thoughts", [0, 1, 10])
def test_an_answer_may_be_nothing_but_reasoning_and_an_empty_one_not_even_that(
    thoughts: int,
) -> None:
    usage: dict[str, Json] = {
        "prompt_tokens": 5,
        "completion_tokens": thoughts,
        "total_tokens": 5 + thoughts,
        "completion_tokens_details": {"reasoning_tokens": thoughts},
    }
    counts = nonzero({"input_text": 5, "output_reasoning": thoughts})
    assert read_inclusive(usage) == Inclusive(counts, 5 + thoughts, whole=True, flags=())


@pytest.mark.parametrize("zero", [0, 0.0, None])
def test_details_that_name_nothing_change_nothing(zero: float | None) -> None:
    details = {"cached_tokens": zero, "audio_tokens": zero, "reasoning_tokens": zero}
    for into, out in ((7, 0), (0, 3), (7, 3), (0, 0)):
        usage: dict[str, Any] = {"prompt_tokens": into, "completion_tokens": out}
        both = {"prompt_tokens_details": details, "completion_tokens_details": details}
        plain = nonzero({"input_text": into, "output_text": out})
        assert carved(**usage) == carved(**usage, **both) == plain


def test_reasoning_a_token_too_many_is_all_of_the_output_and_is_flagged() -> None:
    usage = {"prompt_tokens": 43, "completion_tokens": 10, "total_tokens": 53}
    reading = usage_reading({**usage, "completion_tokens_details": {"reasoning_tokens": 11}})
    told = Component("main", {"input_text": 43, "output_reasoning": 10})
    assert (reading.components, reading.flags) == ((told,), ("count_mismatch",))


def test_lifetimes_without_a_sum_are_the_sum() -> None:
    details = {"cache_write_tokens_details": {"ttl_5m_tokens": 2, "ttl_1h_tokens": 3}}
    assert carved(prompt_tokens=9, completion_tokens=0, prompt_tokens_details=details) == {
        "input_text": 4,
        "cache_write_5m": 2,
        "cache_write_1h": 3,
    }


def test_the_rest_may_be_sound_or_image() -> None:
    usage: dict[str, Any] = {"input_tokens": 26, "output_tokens": 9, "total_tokens": 35}
    found = read_inclusive(
        {**usage, "input_token_details": {"text_tokens": 12}},
        input_rest="input_audio",
        output_rest="output_image",
    )
    assert found is not None
    assert found.counts == {"input_text": 12, "input_audio": 14, "output_image": 9}


@pytest.mark.parametrize(
    "usage",
    [
        {"prompt_tokens": COUNT_MAX + 1},
        {"prompt_tokens": 5, "prompt_tokens_details": {"cached_tokens": 6}},
        {
            "prompt_tokens": 5,
            "prompt_tokens_details": {"cached_tokens": 3, "cache_write_tokens": 3},
        },
        {
            "prompt_tokens": 5,
            "prompt_tokens_details": {"cached_tokens_details": {"audio_tokens": 1}},
        },
        {
            "prompt_tokens": 5,
            "prompt_tokens_details": {
                "cached_tokens": 1,
                "cached_tokens_details": {"text_tokens": 2},
            },
        },
        {
            "prompt_tokens": 5,
            "prompt_tokens_details": {
                "cache_write_tokens": 1,
                "cache_write_tokens_details": {"ttl_30m_tokens": 2},
            },
        },
        {"completion_tokens": 5, "completion_tokens_details": {"reasoning_tokens": 6}},
        {"completion_tokens": 5, "completion_tokens_details": "all"},
    ],
)
def test_what_cannot_be_is_refused(usage: dict[str, Any]) -> None:
    with pytest.raises(UsageInvalid):
        read_inclusive(usage)


@pytest.mark.parametrize("odd", [False, True, "", "3", [], {}, -1])
@pytest.mark.parametrize("side", ["prompt", "completion"])
def test_a_detail_that_is_no_count_is_refused(side: str, odd: Any) -> None:
    usage: dict[str, Any] = {"prompt_tokens": 5, "completion_tokens": 5}
    usage[f"{side}_tokens_details"] = {"audio_tokens": odd}
    with pytest.raises(UsageInvalid, match="not a count"):
        read_inclusive(usage)


def test_more_of_a_kind_than_there_was_is_refused_though_others_could_make_up_for_it() -> None:
    details: Any = {"video_tokens": 5, "cached_tokens_details": {"audio_tokens": 1}}
    with pytest.raises(UsageInvalid, match="more audio read from cache"):
        read_inclusive({"prompt_tokens": 10, "prompt_tokens_details": details})
    with pytest.raises(UsageInvalid, match="exceed their total 5"):
        read_inclusive({"prompt_tokens": 5, "prompt_tokens_details": {"audio_tokens": 6}})


@pytest.mark.parametrize("usage", [[], "all", 5, True])
def test_what_is_no_object_is_no_usage(usage: Any) -> None:
    with pytest.raises(UsageInvalid, match="not a usage object"):
        read_inclusive(usage)


@pytest.mark.parametrize("usage", [{}, {"total_tokens": 5}, {"prompt_tokens": None}])
def test_a_usage_object_may_say_nothing(usage: dict[str, Any]) -> None:
    assert read_inclusive(usage) is None


def test_a_reading_says_what_was_said_and_how_sure_it_is() -> None:
    whole = b'{"prompt_tokens":5,"completion_tokens":2,"total_tokens":7}'
    told = (Component("main", {"input_text": 5, "output_text": 2}),)
    assert usage_reading(json.loads(whole)) == Reading(
        told, Source.PROVIDER, final=True, stated_total=7, usage_raw=whole
    )
    assert usage_reading(json.loads(whole), settled=False) == Reading(
        told, Source.PARTIAL, final=False, stated_total=7, usage_raw=whole
    )
    half = b'{"prompt_tokens":5}'
    assert usage_reading(json.loads(half)) == Reading(
        (Component("main", {"input_text": 5}),), Source.PARTIAL, final=False, usage_raw=half
    )


def test_a_reading_of_nothing_or_of_nonsense_is_not_final() -> None:
    assert usage_reading(None) == Reading(final=False)
    said = b'{"total_tokens":5}'
    assert usage_reading(json.loads(said)) == Reading(final=False, usage_raw=said)
    wrong = b'{"prompt_tokens":-1}'
    assert usage_reading(json.loads(wrong)) == Reading(
        final=False, flags=("usage_invalid",), usage_raw=wrong
    )


@pytest.mark.parametrize(
    ("usage", "whole"),
    [
        ({"prompt_tokens": 5, "completion_tokens": 0}, True),
        ({"prompt_tokens": 5, "total_tokens": 5}, True),
        ({"prompt_tokens": 5}, False),
        ({"completion_tokens": 5}, False),
        ({"prompt_tokens": 5, "completion_tokens": None, "total_tokens": 9}, False),
    ],
)
def test_one_side_alone_is_a_part(usage: dict[str, Any], whole: bool) -> None:  # noqa: FBT001 - a column of the table
    found = read_inclusive(usage)
    assert found is not None
    assert found.whole is whole
    assert usage_reading(usage).final is whole


def test_every_recorded_usage_balances() -> None:
    if not RECORDED.exists():
        pytest.skip("the folder of recorded traffic is not beside this checkout")
    rows = [json.loads(line) for line in RECORDED.read_text().splitlines()]
    ours = [
        row
        for row in rows
        if row["family"] in ("openai", "azure", "bedrock-mantle") or "prompt_tokens" in row["usage"]
    ]
    stated = [row for row in ours if "total_tokens" in row["usage"]]
    assert len(stated) > 400
    unnamed = 0
    for row in stated:
        usage, at_google = row["usage"], row["family"] == "gemini"
        read = partial(read_inclusive, unnamed_thoughts=at_google)
        reading = usage_reading(usage, read)
        assert reading.balances()
        assert reading.final
        unnamed += reading.flags.count("reasoning_unnamed")
        assert set(reading.flags) <= {"reasoning_unnamed"}
    assert unnamed == 2  # the evidence for the one endpoint


@pytest.mark.parametrize(
    ("details", "counts"),
    [
        # The cache says no modality: text first, then whatever there is; nothing of what there is not.
        (
            {"image_tokens": 60, "audio_tokens": 40, "cached_tokens": 70},
            {"input_audio": 30, "cache_read_image": 60, "cache_read_audio": 10},
        ),
        ({"video_tokens": 100, "cached_tokens": 100}, {"cache_read_video": 100}),
        # It says some of them, all of them, and some without a total.
        (
            {"audio_tokens": 50, "cached_tokens": 10, "cached_tokens_details": {"audio_tokens": 4}},
            {"input_text": 44, "input_audio": 46, "cache_read_text": 6, "cache_read_audio": 4},
        ),
        (
            {"audio_tokens": 50, "cached_tokens_details": {"audio_tokens": 50}},
            {"input_text": 50, "cache_read_audio": 50},
        ),
    ],
)
def test_what_was_read_from_cache_is_taken_out_of_the_modalities_there_are(
    details: dict[str, Json], counts: dict[str, int]
) -> None:
    found = read_inclusive({"prompt_tokens": 100, "prompt_tokens_details": details})
    assert found is not None
    assert found.counts == counts


BALANCED: list[dict[str, Any]] = [
    {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
    {
        "prompt_tokens": 40,
        "completion_tokens": 30,
        "total_tokens": 70,
        "prompt_tokens_details": {"cached_tokens": 8, "audio_tokens": 4, "text_tokens": 36},
        "completion_tokens_details": {"reasoning_tokens": 7, "text_tokens": 20, "audio_tokens": 3},
    },
    {
        "input_tokens": 90,
        "output_tokens": 9,
        "total_tokens": 99,
        "input_tokens_details": {
            "cached_tokens": 20,
            "cached_tokens_details": {"text_tokens": 15, "audio_tokens": 5},
            "audio_tokens": 6,
            "cache_write_tokens": 30,
            "cache_write_tokens_details": {"ttl_30m_tokens": 10, "ttl_12h_tokens": 20},
        },
    },
    {
        "prompt_tokens": 8,
        "completion_tokens": 9,
        "total_tokens": 47,
        "completion_tokens_details": {"reasoning_tokens": 30},
    },
]


def places(report: dict[str, Any]) -> Iterator[tuple[dict[str, Any], str]]:
    for name, value in report.items():
        if isinstance(value, dict):
            yield from places(value)
        else:
            yield report, name


def adds_up(usage: dict[str, Any]) -> bool:
    """By the report's own words, told without the carving: sides to total, modalities and lifetimes to theirs."""
    into = usage["prompt_tokens" if "prompt_tokens" in usage else "input_tokens"]
    out = usage["completion_tokens" if "completion_tokens" in usage else "output_tokens"]
    inputs = usage.get("prompt_tokens_details", usage.get("input_tokens_details")) or {}
    outputs = usage.get("completion_tokens_details") or {}
    thoughts = outputs.get("reasoning_tokens", 0)
    cached, lists = inputs.get("cached_tokens_details"), []
    if "text_tokens" in inputs:
        lists.append(inputs["text_tokens"] + inputs.get("audio_tokens", 0) == into)
    if cached:
        lists.append(sum(cached.values()) == inputs["cached_tokens"])
    if "cache_write_tokens" in inputs:
        lifetimes = inputs["cache_write_tokens_details"]
        lists.append(sum(lifetimes.values()) == inputs["cache_write_tokens"])
    if "text_tokens" in outputs:
        spoken = outputs["text_tokens"] + outputs["audio_tokens"]
        lists.append(out in (spoken, spoken + thoughts))
    is_inside = into + out == usage["total_tokens"] and thoughts <= out
    is_outside = into + out + thoughts == usage["total_tokens"]
    return (is_inside or is_outside) and all(lists)


@given(data=st.data())
def test_a_report_with_one_number_wrong_is_flagged_or_adds_up_by_itself(data: Any) -> None:
    report = data.draw(st.sampled_from(BALANCED).map(deepcopy))
    assert adds_up(report)
    place, name = data.draw(st.sampled_from(list(places(report))))
    wrong = data.draw(
        st.integers(1, 200) | st.just(10**9) | st.integers(1, 3).map(place[name].__add__)
    )
    place[name] = wrong
    reading = usage_reading(report)
    assert all(count >= 0 for part in reading.components for count in part.counts.values())
    assert adds_up(report) or reading.flags or not reading.balances()


ODD = ("count_mismatch",)


@pytest.mark.parametrize(
    ("usage", "flags"),
    [
        ({"prompt_tokens": 5, "input_tokens": 5}, ()),
        ({"prompt_tokens": 5, "input_tokens": None}, ()),
        ({"prompt_tokens": None, "input_tokens": 5}, ()),
        ({"prompt_tokens": 5, "input_tokens": 6}, ODD),
        ({"completion_tokens": 5, "output_tokens": 6}, ODD),
        ({"prompt_tokens": 5, "prompt_tokens_details": {"text_tokens": 5}}, ()),
        ({"prompt_tokens": 5, "prompt_tokens_details": {"text_tokens": 0}}, ()),
        ({"prompt_tokens": 5, "prompt_tokens_details": {"audio_tokens": 4}}, ()),
        ({"prompt_tokens": 5, "prompt_tokens_details": {"text_tokens": 4}}, ODD),
        ({"prompt_tokens": 5, "prompt_tokens_details": {"text_tokens": 1}}, ODD),
        ({"completion_tokens": 5, "prompt_tokens_details": {"text_tokens": 3}}, ODD),
        ({"prompt_tokens": 5, "completion_tokens_details": {"text_tokens": 3}}, ODD),
        # Of a side that is nothing, a single token is one too many.
        ({"completion_tokens": 5, "prompt_tokens_details": {"text_tokens": 1}}, ODD),
        ({"prompt_tokens": 5, "completion_tokens_details": {"text_tokens": 1}}, ODD),
        (
            {
                "prompt_tokens": 9,
                "prompt_tokens_details": {
                    "cached_tokens": 4,
                    "cached_tokens_details": {"text_tokens": 3},
                },
            },
            ODD,
        ),
        (
            {
                "prompt_tokens": 9,
                "prompt_tokens_details": {"cached_tokens_details": {"text_tokens": 3}},
            },
            (),
        ),
        *[
            (
                {
                    "prompt_tokens": 9,
                    "prompt_tokens_details": {
                        "cache_write_tokens": written,
                        "cache_write_tokens_details": lifetimes,
                    },
                },
                flags,
            )
            for written, lifetimes, flags in (
                (2, {"ttl_30m_tokens": 2}, ()),
                (2, {"ttl_30m_tokens": 1}, ODD),
                (2, {"ttl_30m_tokens": 0}, ()),
                (2, {}, ()),
                (2, None, ()),
                (None, {"ttl_30m_tokens": 1}, ()),
            )
        ],
        *[
            (
                {
                    "prompt_tokens": 5,
                    "completion_tokens": 9,
                    "completion_tokens_details": {"text_tokens": text, "reasoning_tokens": 4},
                },
                flags,
            )
            for text, flags in ((9, ()), (5, ()), (4, ODD), (8, ODD))
        ],
        (
            {
                "prompt_tokens": 5,
                "total_tokens": 5,
                "completion_tokens_details": {"reasoning_tokens": 3},
            },
            ODD,
        ),
    ],
)
def test_two_words_about_one_count_are_told_apart_from_one(
    usage: dict[str, Any], flags: tuple[str, ...]
) -> None:
    found = read_inclusive(usage)
    assert found is not None
    assert found.flags == flags


def test_more_reasoning_than_output_beside_a_total_that_proves_neither_is_refused() -> None:
    usage = {"prompt_tokens": 5, "completion_tokens": 5, "total_tokens": 11}
    with pytest.raises(UsageInvalid):
        read_inclusive({**usage, "completion_tokens_details": {"reasoning_tokens": 6}})


def test_one_usage_among_several_is_balanced_by_itself() -> None:
    counts = {"input_text": 5, "output_text": 2}
    assert Inclusive(counts, 7, whole=True).doubts() == ()
    assert Inclusive(counts, None, whole=True).doubts() == ()
    assert Inclusive(counts, 8, whole=True).doubts() == ("unbalanced",)
    assert Inclusive(counts, 8, whole=True, flags=ODD).doubts() == (*ODD, "unbalanced")
