"""The running month as programs read it: one object per line, money as decimal text in USD.

To add a part: a generator of records with its own ``line``, named in ``records``.
"""

from collections.abc import Iterator

from gateway.commands.output import usd
from gateway.commands.spend.asked import Outlook
from gateway.commands.spend.pictures import status
from gateway.kernel.money import format_usd
from gateway.reporting.amounts import CENT
from gateway.reporting.outlook import Totals
from gateway.reporting.tabular import month


def records(found: Outlook) -> Iterator[dict[str, object]]:
    """Cost centres, models, changes, unusual days, the total."""
    head: dict[str, object] = {"month": month(found.period), "until": found.today.isoformat()}
    yield from ({**each, **head} for each in (*_centres(found), *_models(found), *_changes(found), *_unusual(found)))  # fmt: skip
    yield {**_total(found), **head}


def _centres(found: Outlook) -> Iterator[dict[str, object]]:
    for one in found.centres:
        yield {
            "line": "cost_centre",
            "cost_centre": one.code or "unallocated",
            "name": one.name,
            "spend_usd": usd(one.pico),
            "before_usd": usd(one.before_pico),
            "forecast_usd": usd(one.forecast_pico),
            "budget_usd": None if one.budget_cents is None else usd(one.budget_cents * CENT),
            "status": status(one)[1],
            "months_usd": [usd(pico) for pico in one.months],
        }


def _sums(totals: Totals) -> dict[str, object]:
    return {
        "requests": totals.requests,
        "unpriced_requests": totals.unpriced,
        "input_tokens": totals.input,
        "cached_tokens": totals.cached,
        "output_tokens": totals.output,
        "spend_usd": usd(totals.pico),
        "per_1000_requests_usd": usd(totals.per_thousand),
        "per_1m_tokens_usd": usd(totals.per_million),
        "cache_saved_usd": usd(totals.cache_saved()),
    }


def _models(found: Outlook) -> Iterator[dict[str, object]]:
    for (provider, model), totals in found.models.items():
        pace = found.paces.get((provider, model))
        yield {
            "line": "model",
            "provider": provider,
            "model": model,
            **_sums(totals),
            "first_token_p50_ms": None if pace is None else pace.first_p50_ms,
            "first_token_p95_ms": None if pace is None else pace.first_p95_ms,
            "tokens_per_second": None if pace is None else pace.tokens_per_s,
            "error_percent": None if pace is None else _percent(pace.errors_bp),
            "available_percent": None if pace is None else _percent(pace.available_bp),
        }


def _percent(basis_points: int) -> str:
    return format_usd(basis_points * 10**10)


def _changes(found: Outlook) -> Iterator[dict[str, object]]:
    for one in found.changes:
        yield {
            "line": "change",
            "application": one.names[0],
            "cost_centre": one.names[1] or "unallocated",
            "before_usd": usd(one.before),
            "now_usd": usd(one.after),
            "change_usd": usd(one.change),
            "volume_usd": usd(one.volume),
            "mix_usd": usd(one.mix),
            "price_usd": usd(one.price),
        }


def _unusual(found: Outlook) -> Iterator[dict[str, object]]:
    for one, why in found.unusual:
        yield {
            "line": "unusual",
            "day": one.day.isoformat(),
            "team": one.team,
            "application": one.app,
            "model": one.model,
            "spend_usd": usd(one.pico),
            "usual_usd": usd(one.usual_pico),
            "key_id": None if why is None else why.key_id,
            "key_requests": None if why is None else why.requests,
            "key_usd": None if why is None else usd(why.pico),
            "from_half_hour": None if why is None else why.first,
            "until_half_hour": None if why is None else why.until,
        }


def _total(found: Outlook) -> dict[str, object]:
    seen = found.forecast
    people = found.people
    return {
        "line": "total",
        "simulated": found.simulated,
        **_sums(found.totals),
        "before_usd": usd(found.before.pico),
        "today_usd": usd(found.so_far_pico),
        "people": people,
        "per_person_usd": usd(found.totals.pico // people) if people else None,
        "forecast_usd": usd(seen.pico),
        "forecast_low_usd": usd(seen.low),
        "forecast_high_usd": usd(seen.high),
        "forecast_error_percent": None
        if seen.error_ppm is None
        else format_usd(seen.error_ppm * 10**8),
        "forecast_tried_months": seen.tried,
        "budget_usd": None if found.budget_cents is None else usd(found.budget_cents * CENT),
    }
