"""Bounded counting: what is remembered changes nothing, and the tokenizer's own failures cost only exactness."""

import pytest

from gateway.metering.count import Confidence, Counter, Vocabulary
from gateway.metering.prompt import Function, Prompt, Turn
from gateway.metering.tally import (
    EXACT_CHARS_MAX,
    REMEMBERED_CHARS_MIN,
    REMEMBERED_MAX,
    CountMemory,
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
