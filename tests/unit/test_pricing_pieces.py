"""What is billed by the piece in the shipped book, to the pico-dollar: hosted tools, pictures."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from gateway.kernel.clock import epoch_us
from gateway.kernel.money import format_usd
from gateway.metering.usage import Component
from gateway.pricing import load
from gateway.pricing.dimensions import Circumstances
from gateway.pricing.rate import Status, rate_components

SEED = Path(__file__).resolve().parents[2] / "gateway" / "pricing" / "seed"
SHIPPED = load.book({path.name: path.read_bytes() for path in sorted(SEED.glob("*.csv"))})
AT_US = epoch_us(datetime(2026, 11, 22, tzinfo=UTC))


def shipped(**place: object) -> Circumstances:
    fields = {"provider": "azure", "model": "gpt-5.4", "at_us": AT_US, **place}
    return Circumstances(**fields)  # type: ignore[arg-type]  # fields by name


BESIDE = Component("hosted_tool", {"file_search_calls": 3, "code_interpreter_sessions": 1})


def test_capacity_that_is_paid_for_does_not_pay_for_what_is_billed_beside_the_model() -> None:
    parts = (Component("main", {"input_text": 100}), BESIDE)
    charge = rate_components(SHIPPED, shipped(scope="provisioned"), parts)
    assert [line.net_pico for line in charge.lines] == [0, 7_500_000_000, 30_000_000_000]
    assert (charge.status, charge.net_pico) == (Status.ZERO_MARGINAL, 37_500_000_000)
    assert charge.list_pico == 37_500_000_000 + 100 * 2_500_000


def test_what_is_billed_beside_the_model_and_has_no_price_leaves_no_net_at_all() -> None:
    nowhere = shipped(scope="provisioned", shadow_scope="data_zone", geo="eu")
    parts = (Component("main", {"input_text": 100}), BESIDE)
    charge = rate_components(SHIPPED, nowhere, parts)
    assert (charge.status, charge.net_pico) == (Status.PARTIAL, None)


@pytest.mark.parametrize(
    ("place", "search", "session"),
    [
        ({"scope": "global"}, "0.0025", "0.03"),
        ({"scope": "global", "region": "westeurope"}, "0.0025", "0.03"),
        ({"scope": "data_zone", "region": "swedencentral"}, "0.00275", None),
        ({"scope": "regional", "region": "eastus"}, "0.00275", "0.033"),
        ({"scope": "regional", "region": "swedencentral"}, "0.003025", "0.0363"),
        ({"scope": "regional", "region": "northeurope"}, "0.0033", None),
        ({"scope": "regional", "region": "westeurope"}, None, "0.0396"),
        ({"scope": "regional", "region": "usgovvirginia"}, None, "0.0375"),
        ({"scope": "regional", "region": "koreacentral"}, None, "0.0363"),
    ],
)
def test_hosted_tools_cost_what_azures_own_list_says_of_their_place(
    place: dict[str, str], search: str | None, session: str | None
) -> None:
    part = Component("hosted_tool", {"file_search_calls": 1, "code_interpreter_sessions": 1})
    lines = rate_components(SHIPPED, shipped(**place), (part,)).lines
    found = [None if line.list_pico is None else format_usd(line.list_pico) for line in lines]
    assert found == [search, session]
