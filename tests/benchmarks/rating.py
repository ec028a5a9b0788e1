"""What rating one request costs: three lines on the shipped book, where the place decides and under a contract.

CPU of this thread, not time on the clock: the machine may be busy. ``python -m tests.benchmarks.rating`` alone.
"""

import time
from collections.abc import Callable
from typing import Final

from gateway import shipped
from gateway.pricing.contract import Bargain, Contract, Term
from gateway.pricing.dimensions import Circumstances
from gateway.pricing.rate import Charge, Status, rate

AT_US: Final = 1_795_305_600_000_000  # 2026-11-22
USAGE: Final = {"input_text": 12_000, "cache_read_text": 88_000, "output_text": 2_000}
PER_ROUND: Final = 5_000
ROUNDS: Final = 7
ANYWHERE: Final = Circumstances("azure", "gpt-5.4", "global", AT_US)
SOMEWHERE: Final = Circumstances("azure", "gpt-5.4", "data_zone", AT_US, region="swedencentral")
BARGAIN: Final = Bargain(Contract(name="c", terms=(Term(model="gpt-5*", discount_bp=1_000),)))


def rated_us(rounds: int = ROUNDS) -> dict[str, list[float]]:
    """Case → microseconds of CPU per request, a figure a round."""
    book = shipped.price_book(shipped.configured(None, {}))
    cases: dict[str, Callable[[], Charge]] = {
        "one price everywhere": lambda: rate(book, ANYWHERE, USAGE),
        "the place decides": lambda: rate(book, SOMEWHERE, USAGE),
        "under a contract": lambda: rate(book, SOMEWHERE, USAGE, BARGAIN),
    }
    assert all(case().status is Status.PRICED for case in cases.values())
    figures: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(rounds):
        for name, case in cases.items():
            figures[name].append(_per_call(case))
    return figures


def _per_call(case: Callable[[], Charge]) -> float:
    started = time.thread_time_ns()
    for _ in range(PER_ROUND):
        case()
    return (time.thread_time_ns() - started) / PER_ROUND / 1000


if __name__ == "__main__":
    for name, values in rated_us().items():
        print(f"{name:22} {min(values):5.2f} to {max(values):5.2f} us")
