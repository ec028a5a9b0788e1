"""Bills as files: whatever is damaged in one, it is refused with its place, and no row of it is lost without a word."""

import csv
import gzip
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from gateway.commands.reconcile.bills import read_bill
from gateway.reporting.bills.charge import block
from gateway.reporting.bills.invoice import Bill
from tests.commands.bills import Row, written

MONTH = "2026-10"
ROWS: list[Row] = [
    {
        "date": f"10/{day:02}/2026",
        "meterName": name,
        "meterCategory": "Azure OpenAI",
        "quantity": "1,234.5" if day % 2 else "3",
        "unitOfMeasure": "1M",
        "costInBillingCurrency": f"{day}.25",
        "billingCurrency": "USD",
    }
    for day, name in enumerate(('5.4 inp Gl, 1M "Tokens"', "5.4 opt Gl 1M Tokens") * 3, start=10)
]


def read(*paths: Path) -> Bill:
    return read_bill("entra", paths, MONTH, lambda rows: None)


def taken(*paths: Path) -> Bill | None:
    """The bill; None where it is refused."""
    with suppress(SystemExit):
        return read(*paths)
    return None


def refused(capsys: pytest.CaptureFixture[str], *paths: Path) -> str:
    with pytest.raises(SystemExit) as stopped:
        read(*paths)
    assert stopped.value.code == 2
    return " ".join(capsys.readouterr().err.split())


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_character_too_many_takes_a_row_out_of_a_bill(
    tmp_path: Path, data: st.DataObject
) -> None:
    whole = written(tmp_path / "whole.csv", ROWS).read_bytes()
    place = data.draw(st.integers(0, len(whole)))
    more = data.draw(st.sampled_from([b'"', b",", b"\n", b"\r", b";", b"x", b"\0", b"\xff", b'""']))
    damaged = tmp_path / "damaged.csv"
    damaged.write_bytes(whole[:place] + more + whole[place:])
    bill = taken(damaged)
    assert bill is None or bill.rows + bill.elsewhere == len(ROWS)


@pytest.mark.parametrize("name", ["b.csv", "b.csv.gz", "b.parquet"])
def test_a_bill_that_was_cut_is_refused_or_ends_between_two_rows(tmp_path: Path, name: str) -> None:
    whole = written(tmp_path / name, ROWS).read_bytes()
    assert read(tmp_path / name).rows == len(ROWS)
    lines = whole.split(b"\r\n")
    for size in range(0, len(whole) - 2, 1 if name == "b.csv" else 11):
        (tmp_path / name).write_bytes(whole[:size])
        bill = taken(tmp_path / name)
        if bill is None:
            continue
        *kept, last = whole[:size].split(b"\r\n")  # of the last cell, a name, a part may be there
        assert (name, kept) == ("b.csv", lines[: len(kept)])
        assert bill.rows + bill.elsewhere == len(kept) - (not last)
        assert not last or last.startswith(lines[len(kept)].removesuffix(b"USD"))


@pytest.mark.parametrize("name", ["b.csv.gz", "b.parquet"])
def test_a_packed_bill_with_a_wrong_byte_is_refused_or_whole(tmp_path: Path, name: str) -> None:
    whole = written(tmp_path / name, ROWS).read_bytes()
    for place in range(0, len(whole), 11):
        (tmp_path / name).write_bytes(
            whole[:place] + bytes((whole[place] ^ 0x55,)) + whole[place + 1 :]
        )
        bill = taken(tmp_path / name)
        assert bill is None or bill.rows <= len(ROWS)


def test_a_mistake_is_told_with_its_row_in_its_own_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = written(tmp_path / "first.csv", ROWS)
    wrong = [*ROWS[:2], {**ROWS[2], "quantity": "much"}]
    second = written(tmp_path / "second.csv", wrong)
    assert "second.csv: row 3: 'much' is not a number" in refused(capsys, first, second)
    second.write_text(second.read_text().replace("much,", "", 1))
    assert "second.csv cannot be read: line 4: expected 7 cells" in refused(capsys, first, second)
    packed = tmp_path / "second.csv.gz"
    packed.write_bytes(gzip.compress(b"x" * 10_000)[:-20])
    assert "second.csv.gz" in refused(capsys, packed)


@pytest.mark.parametrize(
    ("unit", "tokens"),
    [
        ("10K", 10_000), ("10000 tokens", 10_000), ("100", 100), ("1,000,000 tokens", 1_000_000), ("5M Tokens", 5_000_000),
        ("1 Month", 1), ("1 Hour", 1), ("10.5K", 1), ("Million", 1_000_000), ("1MTokens", 1_000_000), ("Units", 1),
    ],
)  # fmt: skip
def test_a_pricing_unit_holds_as_many_tokens_as_it_says(unit: str, tokens: int) -> None:
    assert block(unit) == tokens


def test_the_rows_of_these_laws_have_what_breaks_readers(tmp_path: Path) -> None:
    path = written(tmp_path / "b.csv", ROWS)
    with path.open(encoding="utf-8", newline="") as file:
        assert [row["meterName"] for row in csv.DictReader(file)] == [
            row["meterName"] for row in ROWS
        ]
    assert b'""' in path.read_bytes()
