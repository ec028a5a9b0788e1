"""Where a prompt is counted: what is remembered is looked up at once, however long the conversation has become."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from gateway.exchange.counting import (
    INLINE_CHARACTERS_MAX,
    REMEMBERED_CHARACTERS_MAX,
    Counting,
)
from gateway.metering.count import Counter, Vocabulary
from gateway.metering.prompt import Prompt, Turn
from gateway.metering.ratio import Ratios

MODEL = "gpt-4o"


class Hops(ThreadPoolExecutor):
    """A thread that says how often it was asked."""

    asked = 0

    def submit(self, *given: Any, **named: Any) -> Any:
        self.asked += 1
        return super().submit(*given, **named)


def conversation(turns: int, first: str = "Scale") -> Prompt:
    said = (
        f"{first} {turn} reads {turn * turn} kilograms, says the gate. " * 8
        for turn in range(turns)
    )
    return Prompt("chat", tuple(Turn("user", text) for text in said))


def test_a_conversation_is_counted_in_the_thread_once_and_its_next_turns_at_once(
    loaded_vocabulary: Vocabulary,
) -> None:
    turns = 2 * INLINE_CHARACTERS_MAX // 350
    with Hops(1) as thread:
        counting = Counting(Counter(loaded_vocabulary), Ratios(), thread)
        first = asyncio.run(counting.input(conversation(turns), MODEL))
        assert thread.asked == 1
        assert asyncio.run(counting.input(conversation(turns), MODEL)) == first
        longer = asyncio.run(counting.input(conversation(turns + 3), MODEL))
        assert thread.asked == 1
        assert longer == Counter(loaded_vocabulary).input(conversation(turns + 3), MODEL)
        asyncio.run(counting.input(conversation(turns, "Bridge"), MODEL))
        assert thread.asked == 2


def test_what_takes_long_to_look_up_leaves_the_loop_although_it_is_remembered(
    loaded_vocabulary: Vocabulary,
) -> None:
    prompt = conversation(REMEMBERED_CHARACTERS_MAX // 350)
    assert prompt.characters() > REMEMBERED_CHARACTERS_MAX
    with Hops(1) as thread:
        counting = Counting(Counter(loaded_vocabulary), Ratios(), thread)
        counts = [asyncio.run(counting.input(prompt, MODEL)) for _ in range(2)]
        assert counts[0] == counts[1]
        assert thread.asked == 2
