"""Bounded counting: what is remembered changes nothing, and the tokenizer's own failures cost only exactness."""

import pytest
from hypothesis import given, strategies as st

from gateway.metering.count import Confidence, Counter, Vocabulary
from gateway.metering.prompt import Function, Prompt, Turn
from gateway.metering.tally import (
    DIGEST_BYTES,
    EXACT_CHARS_MAX,
    REMEMBERED_CHARS_MIN,
    REMEMBERED_MAX,
    CountMemory,
    NotAtOnce,
    Tally,
)


class PanicException(BaseException):
    """What the tokenizer raises when its native code panics."""


class Failing:
    """An encoder that fails the way it is told."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def encode_ordinary(self, text: str) -> list[int]:
        raise self.error


class Counting:
    """One token per character, and how often it was asked."""

    def __init__(self) -> None:
        self.asked = 0

    def encode_ordinary(self, text: str) -> list[int]:
        self.asked += 1
        return [0] * len(text)


@pytest.mark.parametrize("error", [PanicException("stack"), ValueError("Max stack size exceeded")])
def test_a_failing_tokenizer_gives_an_estimate(error: BaseException) -> None:
    tally = Tally(Failing(error), CountMemory())
    assert tally.n("x" * 400) == 101
    assert tally.guessed


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(1), MemoryError(), TypeError()])
def test_any_other_failure_is_passed_on(error: BaseException) -> None:
    with pytest.raises(type(error)):
        Tally(Failing(error), CountMemory()).n("x")


def test_a_guess_is_not_remembered() -> None:
    memory = CountMemory()
    text = "x" * REMEMBERED_CHARS_MIN
    Tally(Failing(PanicException()), memory).n(text)
    honest = Tally(Counting(), memory)
    assert honest.n(text) == len(text)
    assert not honest.guessed


def test_the_real_tokenizers_panic_is_caught(
    loaded_vocabulary: Vocabulary, capfd: pytest.CaptureFixture[str]
) -> None:
    class Unsegmented:
        def encode_ordinary(self, text: str) -> list[int]:
            return loaded_vocabulary.encoders["o200k_base"].encode_ordinary(" " * 1_200_000)

    tally = Tally(Unsegmented(), CountMemory())
    assert tally.n("x" * 40) == 11
    assert tally.guessed
    capfd.readouterr()  # the native code prints its own trace


def test_a_long_text_is_encoded_once_and_a_short_one_each_time() -> None:
    encoder, memory = Counting(), CountMemory()
    for _ in range(3):
        assert Tally(encoder, memory).n("x" * REMEMBERED_CHARS_MIN) == REMEMBERED_CHARS_MIN
    assert encoder.asked == 1
    for _ in range(3):
        Tally(encoder, memory).n("x" * (REMEMBERED_CHARS_MIN - 1))
    assert encoder.asked == 4


@given(
    seen=st.lists(st.text(max_size=120), max_size=4),
    new=st.lists(st.text(max_size=120), max_size=4),
    fresh_max=st.integers(0, 300),
)
def test_no_more_is_encoded_at_once_than_may_be_and_the_count_is_the_same(
    seen: list[str], new: list[str], fresh_max: int
) -> None:
    memory = CountMemory()
    before = Tally(Counting(), memory)
    for text in seen:
        before.n(text)
    known = {text for text in seen if len(text) >= REMEMBERED_CHARS_MIN}
    fresh, asked = 0, [*seen, *new]
    for text in asked:
        fresh += 0 if text in known else len(text)
        known |= {text} if len(text) >= REMEMBERED_CHARS_MIN else set()
    tally = Tally(Counting(), memory, fresh_max)
    try:
        assert sum(map(tally.n, asked)) == sum(map(len, asked))
        assert fresh <= fresh_max
    except NotAtOnce:
        assert fresh > fresh_max


def test_tools_that_are_not_remembered_are_not_rendered_at_once() -> None:
    encoder, memory = Counting(), CountMemory()
    rendered: list[int] = []

    def render(fresh: Tally) -> int:
        rendered.append(1)
        return fresh.n("x" * 40)

    offer = b"tools" * 10
    with pytest.raises(NotAtOnce):
        Tally(encoder, memory, 49).remembered(offer, render)
    assert not rendered
    tally = Tally(encoder, memory, 50)
    assert tally.remembered(offer, render) == 40
    with pytest.raises(NotAtOnce):
        tally.n("y" * 11)  # the tools' own text is of the same allowance
    assert Tally(encoder, memory, 0).remembered(offer, render) == 40
    assert len(rendered) == 1


def test_tools_are_rendered_once_per_api(counter: Counter) -> None:
    tools = (Function("f", "d", {"title": "T", "properties": {"a": {"type": "string"}}}),)
    chat, responses = (
        Prompt(shape, (Turn("user", "x"),), tools) for shape in ("chat", "responses")
    )
    first = [counter.input(prompt, "gpt-4o") for prompt in (chat, responses)]
    again = [counter.input(prompt, "gpt-4o") for prompt in (chat, responses)]
    assert first == again
    assert first[0] != first[1]


def test_tools_and_a_text_of_the_same_bytes_are_not_mixed_up() -> None:
    encoder, memory = Counting(), CountMemory()
    text = "y" * REMEMBERED_CHARS_MIN
    assert Tally(encoder, memory).n(text) == len(text)
    assert Tally(encoder, memory).remembered(text.encode(), lambda _: 7) == 7
    assert Tally(encoder, memory).remembered(text.encode(), lambda _: 8) == 7
    assert Tally(encoder, memory).remembered(None, lambda _: 8) == 8


def test_memory_is_bounded_and_keeps_what_is_used() -> None:
    memory = CountMemory()
    memory.put(b"used", 1)
    for index in range(REMEMBERED_MAX * 2):
        memory.put(b"%d" % index, index)
        assert memory.get(b"used") == 1
    assert memory.get(b"0") is None
    assert memory.get(b"%d" % (REMEMBERED_MAX * 2 - 1)) == REMEMBERED_MAX * 2 - 1
    assert sum(memory.get(b"%d" % index) is not None for index in range(REMEMBERED_MAX * 2)) <= (
        REMEMBERED_MAX
    )


def test_text_beyond_the_bound_is_sampled_within_a_percent_and_a_half(
    counter: Counter, loaded_vocabulary: Vocabulary
) -> None:
    line = (
        "Weighing %d lorries, café and 42 crates, at the old port's bridge; then on to the next.\n"
    )
    text = "".join(line % (index * 7919) for index in range(EXACT_CHARS_MAX // 80))
    assert len(text) > EXACT_CHARS_MAX
    whole = len(loaded_vocabulary.encoders["o200k_base"].encode_ordinary(text))
    count = counter.text(text, "gpt-4o")
    assert abs(count.tokens - whole) * 1000 <= 15 * whole
    assert count.confidence is Confidence.ESTIMATE


def test_no_request_is_encoded_beyond_its_bound() -> None:
    class Sizes:
        encoded = 0

        def encode_ordinary(self, text: str) -> list[int]:
            self.encoded += len(text)
            return [0] * (len(text) // 4)

    encoder = Sizes()
    tally = Tally(encoder, CountMemory())
    total = sum(tally.n(f"{index:06d}" * 20_000) for index in range(100))
    assert encoder.encoded <= EXACT_CHARS_MAX
    assert tally.guessed
    assert abs(total - 100 * 30_000) * 100 <= 100 * 30_000


def test_remembering_does_not_change_what_a_large_request_counts(counter: Counter) -> None:
    texts = [f"{index} weighs {index * index} kilograms. " * 5_000 for index in range(20)]
    prompt = Prompt("chat", tuple(Turn("user", text) for text in texts))
    assert counter.input(prompt, "gpt-4o") == counter.input(prompt, "gpt-4o")
    assert counter.input(prompt, "gpt-4o").confidence is Confidence.ESTIMATE


class Every:
    """One token in so many characters, and the texts it was asked for."""

    def __init__(self, chars: int = 1) -> None:
        self.chars = chars
        self.asked: list[str] = []

    def encode_ordinary(self, text: str) -> list[int]:
        self.asked.append(text)
        return range(0, len(text), self.chars)  # type: ignore[return-value]  # as long as a list


def test_the_bounds_are_those_that_were_measured() -> None:
    assert (EXACT_CHARS_MAX, REMEMBERED_CHARS_MIN, REMEMBERED_MAX) == (2_097_152, 48, 16_384)
    assert DIGEST_BYTES * 8 == 128, "as many bits as make no two texts look the same"


def test_a_request_is_counted_exactly_up_to_its_bound() -> None:
    encoder = Every()
    tally = Tally(encoder, CountMemory())
    assert tally.n("x" * 100) + tally.n("y" * (EXACT_CHARS_MAX - 100)) == EXACT_CHARS_MAX
    assert not tally.guessed
    assert max(map(len, encoder.asked)) == 65_536
    assert tally.n("z") == 1
    assert tally.guessed


@pytest.mark.parametrize("size", [EXACT_CHARS_MAX + 1, EXACT_CHARS_MAX + 3, 3_000_001])
def test_a_text_beyond_the_bound_is_extrapolated_from_its_samples_and_rounded_up(size: int) -> None:
    tally = Tally(Every(8), CountMemory())
    assert tally.n("x" * size) == -(-size // 8)
    assert tally.guessed


def test_samples_use_up_the_bound() -> None:
    encoder = Every()
    tally = Tally(encoder, CountMemory())
    for _ in range(32):
        tally.n("x" * (EXACT_CHARS_MAX + 1))
    assert sum(map(len, encoder.asked)) == EXACT_CHARS_MAX
    # Nothing was counted whole and no sample is left: four characters are a token.
    assert [tally.n("y" * size) for size in (4, 5, 9, 4 * EXACT_CHARS_MAX)] == [1, 2, 3, 2_097_152]
    assert sum(map(len, encoder.asked)) == EXACT_CHARS_MAX


def test_what_no_sample_fits_has_the_density_of_what_was_counted() -> None:
    encoder = Every(3)
    tally = Tally(encoder, CountMemory())
    counted = EXACT_CHARS_MAX - 65_535
    tokens = tally.n("x" * 6) + tally.n("y" * (counted - 6))
    asked = len(encoder.asked)
    for size in (65_536, 100_000, counted):  # one character less than the samples need is left
        assert tally.n("z" * size) == -(-tokens * size // counted)
    assert len(encoder.asked) == asked
    assert tally.n("w" * 65_535) == 21_845, "and what still fits is counted"


def test_samples_are_taken_while_they_fit_exactly_and_of_larger_texts_only() -> None:
    encoder = Every()
    tally = Tally(encoder, CountMemory())
    tally.n("x" * (EXACT_CHARS_MAX - 65_536))
    asked = len(encoder.asked)
    assert tally.n("z" * 65_537) == 65_537
    assert [len(text) for text in encoder.asked[asked:]] == [2_048] * 32
    tally.n("w" * 65_536)
    assert len(encoder.asked) == asked + 32, "no room is left"
    other = Tally(Every(), CountMemory())
    other.n("x" * (EXACT_CHARS_MAX - 65_535))
    assert other.n("z" * 65_536) == 65_536


def test_what_was_remembered_costs_the_bound_as_if_it_were_counted() -> None:
    memory = CountMemory()
    text = "x" * (EXACT_CHARS_MAX // 2)
    for _ in range(2):
        tally = Tally(Every(), memory)
        assert [tally.n(text), tally.n(text)] == [len(text)] * 2
        assert not tally.guessed
        tally.n("y")
        assert tally.guessed


class Patchy(Every):
    """Fails on texts that say so."""

    def encode_ordinary(self, text: str) -> list[int]:
        if "bad" in text:
            raise ValueError(text)
        return super().encode_ordinary(text)


def test_one_guess_makes_the_whole_a_guess_and_spoils_no_other_memory() -> None:
    memory = CountMemory()
    tally = Tally(Patchy(), memory)
    assert tally.n("bad") == 1
    long = "x" * REMEMBERED_CHARS_MIN
    assert tally.n(long) == REMEMBERED_CHARS_MIN
    assert tally.guessed, "a text counted exactly takes no guess back"
    encoder = Every()
    assert Tally(encoder, memory).n(long) == REMEMBERED_CHARS_MIN
    assert encoder.asked == [], "it was remembered all the same"


def test_a_guess_is_of_the_utf_8_bytes_rounded_up_and_lone_surrogates_have_some() -> None:
    for text, tokens in (("bad", 1), ("badé", 2), ("bad" + "é" * 3, 3), ("bad\ud800", 2)):
        tally = Tally(Patchy(), CountMemory())
        assert tally.n(text) == tokens
        assert tally.guessed


def test_a_lone_surrogate_in_a_long_text_is_remembered_as_any_other() -> None:
    encoder, memory = Every(), CountMemory()
    for text in ("\ud800" * 300, "\ud800" * 300, "\ud801" * 300):
        assert Tally(encoder, memory).n(text) == 300
    assert len(encoder.asked) == 2


def test_what_is_offered_is_counted_within_a_bound_of_its_own() -> None:
    tally = Tally(Every(), CountMemory())
    tally.n("x" * EXACT_CHARS_MAX)
    assert tally.remembered(b"offer", lambda fresh: fresh.n("y" * 5)) == 5
    assert not tally.guessed


def test_a_guess_about_an_offer_is_told_and_not_remembered() -> None:
    memory = CountMemory()
    tally = Tally(Patchy(), memory)
    assert tally.remembered(b"offer", lambda fresh: fresh.n("bad")) == 1
    assert tally.guessed
    assert tally.remembered(b"other", lambda fresh: fresh.n("fine")) == 4
    assert tally.guessed, "an offer counted exactly takes no guess back"
    honest = Tally(Every(), memory)
    assert honest.remembered(b"offer", lambda fresh: fresh.n("good!")) == 5
    assert honest.remembered(b"other", lambda _: 0) == 4
    assert not honest.guessed


def test_an_offer_without_a_key_is_counted_each_time() -> None:
    memory = CountMemory()
    for tokens in (5, 6):
        for key in (None, b""):
            assert Tally(Every(), memory).remembered(key, lambda _, tokens=tokens: tokens) == tokens  # type: ignore[misc]


def test_half_of_the_memory_survives_every_turn_of_it() -> None:
    for filled, first in ((REMEMBERED_MAX, 0), (REMEMBERED_MAX + 1, REMEMBERED_MAX // 2)):
        for asked in (0, first, filled - 1):
            memory = CountMemory()
            for index in range(filled):
                memory.put(b"%d" % index, index)
            assert memory.get(b"%d" % asked) == (asked if asked >= first else None)


def test_a_count_of_nothing_is_remembered_too() -> None:
    memory = CountMemory()
    memory.put(b"none", 0)
    for index in range(REMEMBERED_MAX // 2):
        memory.put(b"%d" % index, index)
    assert memory.get(b"none") == 0
