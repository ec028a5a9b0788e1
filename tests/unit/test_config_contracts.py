"""[[contracts]] in the file: exact percentages, days of the org's zone, every mistake at once."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from gateway.config import load
from gateway.kernel.clock import epoch_us
from gateway.kernel.errors import ConfigurationError
from gateway.pricing.contract import Contract, Term
from gateway.pricing.row import FOREVER
from gateway.providers import installed

GOOD = """
[org]
timezone = "Europe/Berlin"
[[contracts]]
name = "enterprise"
team = "search"
valid_from = 2026-11-01
currency = "EUR"
margin_percent = "2.5"
[[contracts.terms]]
model = "gpt-5*"
scope = "global"
discount_percent = "12.05"
[[contracts.terms]]
unit = "input_text"
price = "2.10"
"""
BAD = """
[[contracts]]
name = "a@b"
valid_from = 2026-11-01
valid_to = 2026-11-01
currency = "euro"
margin_percent = "lots"
[[contracts.terms]]
discount_percent = "101"
[[contracts.terms]]
price = "1e3"
tier = "fastest"
[[contracts.terms]]
unit = "output_text"
[[contracts.terms]]
discount_percent = 0.1
surprise = 1
[[contracts.terms]]
price = "99999999999999999999"
per = 9223372036854775807
"""


def contracts(path: Path, text: str) -> tuple[Contract, ...]:
    path.write_text(text, encoding="utf-8")
    return load(path, installed(), {}).contracts


def test_a_contract_is_read_exactly(tmp_path: Path) -> None:
    (contract,) = contracts(tmp_path / "c.toml", GOOD)
    assert contract == Contract(
        name="enterprise",
        team="search",
        since_us=epoch_us(datetime(2026, 10, 31, 23, tzinfo=UTC)),
        until_us=FOREVER,
        currency="EUR",
        margin_bp=250,
        terms=(
            Term(model="gpt-5*", scope="global", discount_bp=1_205),
            Term(unit="input_text", pico=2_100_000_000_000),
        ),
    )


def test_every_mistake_is_told_with_its_place(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        contracts(tmp_path / "c.toml", BAD)
    found = "\n".join(caught.value.problems)
    for said in (
        "contracts[0].name: expected a name without @",
        "contracts[0].valid_to: expected a day after valid_from",
        "contracts[0].currency: expected a currency of ISO 4217 such as EUR, found 'euro'",
        "contracts[0].margin_percent: expected a percentage from 0 to 1000",
        "contracts[0].terms[0].discount_percent: expected a percentage from 0 to 100",
        "contracts[0].terms[1].price: expected decimal USD such as '2.10', found '1e3'",
        "contracts[0].terms[1].tier: expected one of",
        "contracts[0].terms[2]: expected either discount_percent or price",
        "contracts[0].terms[3].surprise: unknown key",
        "contracts[0].terms[3].discount_percent: expected",
        "contracts[0].terms[4].price: expected decimal USD",
        "contracts[0].terms[4].per: expected at most",
    ):
        assert said in found, said


def test_two_contracts_for_the_same_at_once_are_refused(tmp_path: Path) -> None:
    twice = GOOD + '[[contracts]]\nname = "other"\nteam = "search"\nvalid_from = 2027-01-01\n'
    with pytest.raises(ConfigurationError, match="other: in force for the same as enterprise"):
        contracts(tmp_path / "c.toml", twice)


def problems(path: Path, text: str) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        contracts(path, text)
    return [problem.removeprefix(f"{path}: ") for problem in caught.value.problems]


def terms(*written: str) -> str:
    return '[[contracts]]\nname = "c"\n' + "".join(
        f"[[contracts.terms]]\n{one}\ndiscount_percent = 1\n" for one in written
    )


def test_a_glob_that_fits_no_name_there_is_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    wrong = terms(
        'provider = "azur"', 'unit = "input_txt"', 'provider = "Bedrock"\nunit = "tokens"'
    )
    assert problems(path, wrong) == [
        "contracts[0].terms[0].provider: expected a glob that fits one of azure, bedrock, google, found 'azur'",
        "contracts[0].terms[1].unit: expected a name or glob of what there is (input_text, input_tool, output_text, …), found 'input_txt'",
        "contracts[0].terms[2].provider: expected a glob that fits one of azure, bedrock, google, found 'Bedrock'",
        "contracts[0].terms[2].unit: expected a name or glob of what there is (audio_seconds, automated_reasoning_policy_units, cache_read_audio, cache_read_document, cache_read_image, cache_read_text, cache_read_video, cache_write, …), found 'tokens'",
    ]  # fmt: skip
    right = terms('provider = "az*"', 'provider = "[bg]*"\nunit = "cache_*"', 'unit = "input_text"')
    assert len(contracts(path, right)[0].terms) == 3


def test_a_term_whose_lines_an_earlier_one_takes_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    narrow, wide = 'model = "gpt-5*"\ntier = "batch"', 'model = "gpt-5*"'
    assert len(contracts(path, terms(narrow, wide, 'scope = "global"'))[0].terms) == 3
    for first in ("", wide, 'tier = "batch"', narrow):
        said = "contracts[0].terms[1]: never counts: a term before it takes its lines; expected the narrower first"
        assert problems(path, terms(first, narrow)) == [said]
