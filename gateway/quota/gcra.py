"""The rolling minute: GCRA with a refund, on one number, the theoretical arrival time (TAT) in whole microseconds.

The cost of a request is rounded up once, not the rate per unit: whole microseconds per unit would be too
coarse above a million units a minute. The rule and its figures: the GCRA of ATM Forum TM 4.0, as used for
token limits.
"""

from gateway.quota.hold import Rate

MINUTE_US = 60_000_000


def cost_us(amount: int, rate: Rate) -> int:
    """How far an amount moves the TAT, rounded up."""
    return -(-amount * MINUTE_US // rate.per_minute)


def burst_us(rate: Rate) -> int:
    """How far ahead of now the TAT may be."""
    return rate.burst * MINUTE_US // rate.per_minute


def take(tat_us: int, now_us: int, amount: int, rate: Rate) -> tuple[int, int]:
    """(the TAT after, 0) where it passes, else (the TAT as it was, microseconds until it would pass)."""
    new_us = max(tat_us, now_us) + cost_us(amount, rate)
    # What is larger than the whole burst passes when nothing else is running: else it never could.
    ahead_us = max(burst_us(rate), cost_us(amount, rate))
    over_us = new_us - now_us - ahead_us
    return (new_us, 0) if over_us <= 0 else (tat_us, over_us)


def refund(tat_us: int, held: int, used: int, rate: Rate) -> int:
    """The TAT when less (or more) was used than held; credit beyond the burst is forgotten by ``take``."""
    return tat_us - (cost_us(held, rate) - cost_us(used, rate))


def left(tat_us: int, now_us: int, rate: Rate) -> int:
    """How many units would pass now."""
    ahead_us = max(0, tat_us - now_us)
    return max(0, burst_us(rate) - ahead_us) * rate.per_minute // MINUTE_US
