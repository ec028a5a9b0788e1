"""weighbridge price: what a usage costs, by the book as it is now: shipped, configured and imported rows."""

from collections import Counter
from json import loads
from pathlib import Path
from typing import Annotated, Final

import msgspec
import typer

from gateway import shipped
from gateway.commands.known import tell_no_team
from gateway.commands.moments import instant_of
from gateway.commands.names import model_of
from gateway.commands.output import CONSOLE, ERRORS, emit, shown_usd, stop, table, usd
from gateway.commands.prices.imports import current_book
from gateway.commands.prices.undecided import check_place, tell_undecided
from gateway.config import Config
from gateway.kernel.clock import SystemClock
from gateway.metering.hosted import parted
from gateway.metering.units import UNITS
from gateway.pricing.contract import Bargain, Contracts
from gateway.pricing.dimensions import PROVISIONED, SCOPES, Circumstances
from gateway.pricing.rate import Charge, rate_components
from gateway.providers.contract import Provider
from gateway.storage.migrate import is_made

_COUNT_MAX: Final = 2**62  # of one unit: what a row can hold
_SHOWN_CHARS: Final = 60


def price(
    *,
    provider: Annotated[str, typer.Option(help="the cloud")],
    model: Annotated[str, typer.Option(help="canonical name, or the wire name a client sends")],
    usage: Annotated[str, typer.Option(help='unit counts as JSON: {"input_text": 1000}')],
    scope: Annotated[str | None, typer.Option(help="global, data_zone, regional, geo, …")] = None,
    geo: Annotated[str | None, typer.Option(help="us, eu, apac, … with data_zone or geo")] = None,
    region: Annotated[str | None, typer.Option(help="exact region, e.g. swedencentral")] = None,
    tier: Annotated[str, typer.Option(help="standard, batch, flex, priority, …")] = "standard",
    at: Annotated[str | None, typer.Option(help="date or time, UTC; today by default")] = None,
    context: Annotated[int | None, typer.Option(min=0, help="tokens of the whole prompt")] = None,
    team: Annotated[str | None, typer.Option(help="by whose contract; else at list")] = None,
    config: Annotated[Path | None, typer.Option(help="for [prices] files")] = None,
    json: Annotated[bool, typer.Option("--json", help="one object per line")] = False,
) -> None:
    """What a usage costs under given circumstances; a miss is NULL and says so, never zero."""
    configured = shipped.configured(config)
    book = current_book(configured)
    speaker = shipped.provider_named(provider)
    model = model_of(model)
    wire = speaker.wire(model, None, region)
    under = Circumstances(
        provider=speaker.name,
        model=book.canonical(speaker.name, (model, *wire.names)),
        scope=_scope(scope or wire.scope, speaker),
        geo=geo or wire.geo,
        region=region or wire.region,
        tier={"default": "standard"}.get(tier, tier),
        at_us=SystemClock().wall_us() if at is None else instant_of(at, "--at"),
        context_tokens=context,
    )
    check_place(book, speaker.name, geo, region)
    bargain = _bargain(configured, team, under.at_us)
    charge = rate_components(book, under, parted(_counts(usage)), bargain)
    tell_undecided(book, under, charge.status, model)
    if json:
        emit(_record(charge) | {"contract": None if bargain is None else bargain.id})
    else:
        _show(charge, under, model)


def _bargain(configured: Config, team: str | None, at_us: int) -> Bargain | None:
    """The contract of a team at an instant; None: at list."""
    if team is None:
        return None
    tell_no_team(configured, team, has_store=is_made(configured.database_url()))
    return Contracts(configured.contracts).of(configured.org.name, team, at_us)


def _counts(text: str) -> dict[str, int]:
    try:
        counts = msgspec.json.decode(text, type=dict[str, int])
        twice = sorted(unit for unit, times in Counter(_units(text)).items() if times > 1)
    except (msgspec.DecodeError, msgspec.ValidationError):
        example = '{"input_text": 1000}'
        stop(f"--usage is a JSON object of whole counts such as {example}, found {text[:_SHOWN_CHARS]!r}")  # fmt: skip
    if twice:
        stop(f"--usage says {', '.join(twice)} twice: say each unit once")
    unknown = sorted(counts.keys() - UNITS.keys())
    if unknown:
        stop(f"unknown units {', '.join(unknown)}; known are {', '.join(UNITS)}")
    if any(count < 0 for count in counts.values()):
        stop("a count is never negative")
    if any(count > _COUNT_MAX for count in counts.values()):
        stop(f"a count is at most {_COUNT_MAX}")
    return counts


def _units(text: str) -> list[str]:
    """The members of the object as they are written, twins among them."""
    return [name for name, _ in loads(text, object_pairs_hook=list)]


def _scope(scope: str | None, provider: Provider) -> str | None:
    """A known scope; None (nothing has a price there) where neither the option nor the name says it."""
    known = sorted({*SCOPES, PROVISIONED})
    if scope is None:
        ERRORS.print(
            f"the name does not say its scope: give --scope ({', '.join(known)})", highlight=False
        )
    elif scope not in known:
        stop(f"--scope is one of {', '.join(known)}, found {scope!r}")
    return scope


def _record(charge: Charge) -> dict[str, object]:
    return {
        "list_usd": usd(charge.list_pico),
        "net_usd": usd(charge.net_pico),
        "status": str(charge.status),
        "lines": [
            {
                "unit": line.unit,
                "quantity": line.quantity,
                "price_id": line.price_id,
                "list_usd": usd(line.list_pico),
                "net_usd": usd(line.net_pico),
            }
            for line in charge.lines
        ],
    }


def _show(charge: Charge, under: Circumstances, asked: str) -> None:
    place = " ".join(word for word in (under.scope, under.geo, under.region, under.tier) if word)
    title = f"{under.model or f'{asked} (not in the price book)'} · {place}"
    shown = table(
        title,
        (
            ("unit", "left"),
            ("quantity", "right"),
            ("list USD", "right"),
            ("net USD", "right"),
            ("price row", "left"),
        ),
    )
    shown.columns[-1].overflow = "fold"  # what is looked up by it is never cut
    for line in charge.lines:
        shown.add_row(
            line.unit,
            f"{line.quantity:,}",
            shown_usd(line.list_pico, 12),
            shown_usd(line.net_pico, 12),
            line.price_id or "no price row",
        )
    shown.add_section()
    shown.add_row(
        str(charge.status), "", shown_usd(charge.list_pico, 12), shown_usd(charge.net_pico, 12), ""
    )
    CONSOLE.print(shown)
