"""tiktoken's place in an exchange: small texts are counted in line, large ones in one thread of their own."""

import asyncio
from concurrent.futures import Executor
from contextlib import suppress

from gateway.exchange.booking import reported_input
from gateway.metering.count import Confidence, Count, Counter
from gateway.metering.prompt import Observed, Prompt
from gateway.metering.ratio import Ratios
from gateway.metering.tally import NotAtOnce
from gateway.metering.usage import Component

INLINE_CHARACTERS_MAX = 8_192  # about 0.5 ms of encoding: cheaper than the hop to a thread
REMEMBERED_CHARACTERS_MAX = 131_072  # about 0.5 ms of looking up what is remembered
CHARACTERS_PER_TOKEN = 4

_ESTIMATE = Confidence.ESTIMATE  # looked up on every request
_UNCOUNTED = Count(0, _ESTIMATE)


class Counting:
    """Counts prompts and observed output for a model and a tenant, off the event loop when large.

    Without a counter (a gateway that was told not to count) every count is zero and an estimate.
    """

    def __init__(self, counter: Counter | None, ratios: Ratios, executor: Executor) -> None:
        self._counter = counter
        self._ratios = ratios
        self._executor = executor

    async def input(self, prompt: Prompt, model: str) -> Count:
        """The prompt's tokens by formula; ``corrected`` applies what the provider taught us."""
        if self._counter is None:
            return _UNCOUNTED
        characters = prompt.characters()
        if characters <= INLINE_CHARACTERS_MAX:
            return self._counter.input(prompt, model)
        if characters <= REMEMBERED_CHARACTERS_MAX:
            # A turn of an agent brings all that came before it, and little that is new.
            with suppress(NotAtOnce):
                return self._counter.input(prompt, model, INLINE_CHARACTERS_MAX)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._executor, self._counter.input, prompt, model)

    async def output(self, observed: Observed, model: str) -> Count:
        """The tokens of what the model was seen to write."""
        if self._counter is None:
            return _UNCOUNTED
        if (count := self.output_at_once(observed, model)) is not None:
            return count
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._executor, self._counter.output, observed, model)

    def output_at_once(self, observed: Observed, model: str) -> Count | None:
        """The same where it is quick; None where there is so much to count that others would wait."""
        if self._counter is None:
            return _UNCOUNTED
        if _characters(observed) > INLINE_CHARACTERS_MAX:
            return None
        return self._counter.output(observed, model)

    @staticmethod
    def roughly(observed: Observed) -> Count:
        """The same in no time, by length: for a record that the end of the answer replaces."""
        return Count(-(-_characters(observed) // CHARACTERS_PER_TOKEN), _ESTIMATE)

    def corrected(self, counted: int, model: str, tenant: str) -> int:
        """A count times the ratio learnt for the model and tenant (1 where the formula is exact)."""
        return self._ratios.apply(model, tenant, counted)

    def learn(self, model: str, tenant: str, counted: int, reported: int) -> None:
        """Remember how the provider's own number compares to ours."""
        self._ratios.observe(model, tenant, counted, reported)

    def taught(
        self, counted: Count, components: tuple[Component, ...], model: str, tenant: str
    ) -> None:
        """Teach the ratio of estimated models what the provider itself counted."""
        if counted.confidence is _ESTIMATE:
            self.learn(model, tenant, counted.tokens, reported_input(components))


def _characters(observed: Observed) -> int:
    """The length of all that a model was seen to write."""
    written = len(observed.text) + len(observed.reasoning)
    for call in observed.tool_calls:
        written += len(call.arguments)
    return written
