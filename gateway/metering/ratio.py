"""The online correction: what a provider reports over what we counted, learnt per model and tenant.

It takes up what no table knows: language mix, tokenizer changes, tool preambles, attachments. The counts already carry
the family's published weight, so every pair starts at one. To learn along another line: add it to the key.
"""

from typing import Final

MILLION: Final = 1_000_000
PAIRS_MAX: Final = 4096
SEED_TOKENS: Final = 4096  # how much evidence the starting ratio is worth
EVIDENCE_MAX: Final = (
    1_000_000  # older evidence is halved beyond it, so that a change shows within a day's traffic
)
OUTLIER: Final = (
    8  # one answer counts at most this many times off: a cached or attached oddity teaches little
)


class Ratios:
    """Reported over counted tokens per (model, tenant), in integers; the pair not used for longest is forgotten.

    Long prompts weigh more than short ones, whose constants would otherwise be learnt as a ratio.
    For one thread (the event loop).
    """

    def __init__(self) -> None:
        self._evidence: dict[tuple[str, str], tuple[int, int]] = {}  # (counted, reported) so far

    def observe(self, model: str, tenant: str, counted: int, reported: int) -> None:
        """Take in one answer: what was counted before it and what its provider reported."""
        if counted <= 0 or reported <= 0:
            return
        reported = min(max(reported, counted // OUTLIER), counted * OUTLIER)
        counted_before, reported_before = self._take(model, tenant)
        counted_sum, reported_sum = counted_before + counted, reported_before + reported
        while counted_sum > EVIDENCE_MAX:
            counted_sum, reported_sum = counted_sum // 2, max(reported_sum // 2, 1)
        self._evidence[model, tenant] = (counted_sum, reported_sum)
        if len(self._evidence) > PAIRS_MAX:
            del self._evidence[next(iter(self._evidence))]

    def apply(self, model: str, tenant: str, counted: int) -> int:
        """A count corrected, rounded up: a hold that is a token too large is given back."""
        counted_sum, reported_sum = self._evidence.get((model, tenant), (1, 1))
        return -(-counted * reported_sum // counted_sum)

    def millionths(self, model: str, tenant: str) -> int:
        """The ratio in parts per million; 1,000,000 where nothing was learnt."""
        counted_sum, reported_sum = self._evidence.get((model, tenant), (1, 1))
        return reported_sum * MILLION // counted_sum

    def _take(self, model: str, tenant: str) -> tuple[int, int]:
        """The pair's evidence, taken out so that it is put back as the youngest."""
        return self._evidence.pop((model, tenant), (SEED_TOKENS, SEED_TOKENS))
