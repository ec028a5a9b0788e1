"""A day of the simulated organisation as ledger entries, priced by the real book: the same for the same seed.

To add something that happens to requests: a chance in ``_made`` and what it does to the entry.
"""

import random
from bisect import bisect
from collections.abc import Iterator
from datetime import date
from functools import cache
from typing import Final
from uuid import UUID

import msgspec

from gateway.commands.simulation.world import FLAG, Model, Seat, World
from gateway.kernel.clock import US_PER_SECOND
from gateway.ledger.entry import FAILED_OVER, Entry, Line, Outcome
from gateway.ledger.period import day_bounds_us
from gateway.pricing.book import Book
from gateway.pricing.dimensions import Circumstances
from gateway.pricing.rate import FREE, Charge, rate

_WEEK: Final = (135, 140, 138, 136, 121, 16, 14)  # percent of the mean; sums to 700
_HOURS: Final = (1, 1, 2, 1, 1, 2, 6, 22, 60, 92, 100, 88, 62, 84, 96, 92, 80, 56, 28, 16, 10, 7, 4, 2)  # fmt: skip
_NIGHT: Final = (20, 60, 100, 90, 50, 20, 4) + (0,) * 15 + (4, 10)
_HOUR_US: Final = 3_600 * US_PER_SECOND
_SEASON: Final = (
    92,
    95,
    98,
    99,
    101,
    100,
    96,
    93,
    103,
    106,
    109,
    108,
)  # months, percent of the mean
_SIGMA: Final = 0.7  # of lengths
_SLOW: Final = 0.35  # of times
_FAILED, _SENT_ELSEWHERE, _LEFT = 0.003, 0.006, 0.015  # of requests
_ERRORS: Final = (429, 429, 500, 503, 400)
_OVERLOADED: Final = 503
_WRITES: Final = 0.2  # of the requests of models that cache at a premium
_RETRY_US: Final = 400_000
_RUNAWAY_DAY: Final = 18  # of every month: one key sends all night
_RUNAWAY_PER_PERSON: Final = 14
_RUNAWAY_US: Final = (130 * 60 * US_PER_SECOND, 280 * 60 * US_PER_SECOND)  # 02:10 to 04:40
_OUTPUT_MAX, _INPUT_MAX = 16_000, 120_000


class Shop(msgspec.Struct, frozen=True):
    """What a day is made with. ``per_day``: requests of a person on the mean day."""

    world: World
    book: Book
    zone: str
    seed: int
    users: int
    per_day: int


class _Instant(msgspec.Struct, frozen=True, gc=False):
    """An attempt, when, and on which day of the ledger, which ends at ``end_us``."""

    attempt: UUID
    request: UUID
    us: int
    end_us: int
    day: str
    period: int


def day_of(shop: Shop, day: date) -> list[Entry]:
    """The entries of a day, by time."""
    chance = random.Random(f"{shop.seed}/{shop.users}/{day}")  # noqa: S311  # a simulation
    start_us, end_us = day_bounds_us(day.isoformat(), shop.zone)
    moments = list(_moments(shop, day, chance, start_us, end_us))
    moments.sort(key=lambda each: each[0])
    day_text, period = day.isoformat(), day.year * 100 + day.month
    made: list[Entry] = []
    for at_us, seat in moments:
        attempt, request = _id(chance, at_us), _id(chance, at_us)
        made += _made(
            shop, chance, seat, _Instant(attempt, request, at_us, end_us, day_text, period)
        )
    return made


def _moments(
    shop: Shop, day: date, chance: random.Random, start_us: int, end_us: int
) -> Iterator[tuple[int, Seat]]:
    usual = _WEEK[day.weekday()] * _SEASON[day.month - 1]
    count = int(shop.users * shop.per_day * usual * chance.uniform(0.95, 1.05) / 10_000)
    hours, nights = _running(_HOURS), _running(_NIGHT)
    seats = chance.choices(shop.world.seats, cum_weights=shop.world.weights, k=count)
    for seat in seats:
        running = nights if seat.application.nightly else hours
        hour = bisect(running, chance.random() * running[-1])
        at_us = start_us + hour * _HOUR_US + int(chance.random() * _HOUR_US)
        yield min(at_us, end_us - 1), seat
    if day.day == _RUNAWAY_DAY and seats:
        runaway = max(seats, key=lambda one: one.application.input)
        for _ in range(shop.users * _RUNAWAY_PER_PERSON):
            yield start_us + chance.randrange(*_RUNAWAY_US), runaway


def _running(weights: tuple[int, ...]) -> list[int]:
    total, running = 0, []
    for weight in weights:
        total += weight
        running.append(total)
    return running


def _made(shop: Shop, chance: random.Random, seat: Seat, at: _Instant) -> Iterator[Entry]:
    which = bisect(seat.until, chance.random() * seat.until[-1])
    model, template = seat.models[which], seat.templates[which]
    luck = chance.random()
    if luck < _SENT_ELSEWHERE:
        yield _failed(template, model, chance, at, again=True)
        later_us = min(at.us + _RETRY_US, at.end_us - 1)
        second = msgspec.structs.replace(at, attempt=_id(chance, later_us), us=later_us)
        answered = _answered(shop, chance, seat, which, second)
        yield msgspec.structs.replace(answered, attempt=2)
    elif luck < _SENT_ELSEWHERE + _FAILED:
        yield _failed(template, model, chance, at, again=False)
    else:
        yield _answered(shop, chance, seat, which, at)


def _id(chance: random.Random, at_us: int) -> UUID:
    """A UUIDv7 of that time, its lowest bit 0 as kernel.ids has it, the rest from the seed."""
    rest = chance.getrandbits(74)
    number = at_us // 1000 << 80 | 0x7 << 76 | rest >> 62 << 64 | 0b10 << 62 | rest & (1 << 62) - 2
    return UUID(int=number)


def _failed(
    template: Entry, model: Model, chance: random.Random, at: _Instant, *, again: bool
) -> Entry:
    waited_ms = int(model.first_ms * chance.uniform(0.2, 1.5))
    return msgspec.structs.replace(
        template,
        id=at.attempt,
        request_id=at.request,
        occurred_us=at.us,
        booked_us=at.us + waited_ms * 1000,
        day=at.day,
        period=at.period,
        served_model=None,
        status=_OVERLOADED if again else chance.choice(_ERRORS),
        outcome=Outcome.ERROR,
        list_pico=0,
        net_pico=0,
        price_status=FREE.status.value,
        count_confidence=None,
        flags=(FLAG, FAILED_OVER) if again else (FLAG,),
        first_byte_ms=waited_ms,
        total_ms=waited_ms,
    )


def _answered(shop: Shop, chance: random.Random, seat: Seat, which: int, at: _Instant) -> Entry:
    model, application = seat.models[which], seat.application
    prompt = min(int(application.input * chance.lognormvariate(0, _SIGMA)) + 8, _INPUT_MAX)
    output = min(int(application.output * chance.lognormvariate(0, _SIGMA)) + 1, _OUTPUT_MAX)
    counts = _counts(chance, application.cached, model, prompt, output)
    charge = rate(shop.book, _circumstances(model, at.us), counts)
    streamed = chance.random() * 100 < application.streamed
    left = streamed and chance.random() < _LEFT
    first_ms = int(model.first_ms * chance.lognormvariate(0, _SLOW)) + prompt // 400
    total_ms = first_ms + output * 1000 // model.tokens_per_s
    return msgspec.structs.replace(
        seat.templates[which],
        id=at.attempt,
        request_id=at.request,
        occurred_us=at.us,
        booked_us=at.us + total_ms * 1000,
        day=at.day,
        period=at.period,
        stream=streamed,
        outcome=Outcome.CLIENT_LEFT if left else Outcome.COMPLETE,
        provenance="partial" if left else "reported",
        lines=_lines(charge),
        list_pico=charge.list_pico,
        net_pico=charge.net_pico,
        price_status=charge.status.value,
        counted_input=prompt,
        counted_output=output,
        provider_total=prompt + output,
        first_byte_ms=first_ms if streamed else total_ms,
        total_ms=total_ms,
    )


def _lines(charge: Charge) -> tuple[Line, ...]:
    return tuple(
        [
            Line(one.unit, one.quantity, one.price_id, one.list_pico, one.net_pico)
            for one in charge.lines
        ]
    )


def _counts(
    chance: random.Random, cached: int, model: Model, prompt: int, output: int
) -> dict[str, int]:
    """Disjoint counts of a request: part of its prompt read from the cache, part written to it."""
    read = prompt * cached // 100 if chance.random() * 100 < cached * 1.5 else 0
    written = (prompt - read) // 3 if model.writes and cached and chance.random() < _WRITES else 0
    counts = {"input_text": prompt - read - written, "output_text": output}
    if read:
        counts["cache_read_text"] = read
    if written:
        counts["cache_write_5m"] = written
    return counts


@cache
def _circumstances_of(model: Model) -> Circumstances:
    return Circumstances(
        provider=model.provider,
        model=model.model,
        scope=model.scope,
        at_us=0,
        geo=model.geo,
        region=model.region,
    )


def _circumstances(model: Model, at_us: int) -> Circumstances:
    return msgspec.structs.replace(_circumstances_of(model), at_us=at_us)
