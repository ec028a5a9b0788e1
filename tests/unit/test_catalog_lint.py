"""Price files judged: each rule finds its mistake with its line, and honest files are silent."""

from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from gateway.catalog.finding import RULES, faults
from gateway.catalog.lint import judge
from gateway.kernel.clock import epoch_us
from gateway.pricing import load

SEED = Path(__file__).resolve().parents[2] / "gateway" / "pricing" / "seed"
FILES = {path.name: path.read_bytes() for path in sorted(SEED.glob("*.csv"))}
NOW = epoch_us(datetime(2026, 11, 22, tzinfo=UTC))
HEADER = ",".join(load.COLUMNS)


def line(
    unit: str = "input_text",
    price: str = "2",
    *,
    scope: str = "global",
    tier: str = "standard",
    above: int = 0,
    since: str = "2026-01-01",
    until: str = "",
    rest: str = "list,page 1,manual",
) -> str:
    return f"cloud,m-1,{scope},,,{tier},{unit},{above},{price},1000000,USD,{since},{until},{rest}"


def found(*lines: str) -> list[tuple[str, str]]:
    files = {"p.csv": "\n".join((HEADER, *lines, "")).encode()}
    return [(finding.rule, finding.origin) for finding in judge(files, NOW)]


def test_the_shipped_files_have_nothing_to_mend() -> None:
    assert faults(judge(FILES, NOW)) == ()


def test_prices_that_end_without_a_successor_are_told_and_only_they() -> None:
    told = judge(FILES, NOW)
    assert {finding.rule for finding in told} == {"ends"}
    assert all("2027-01-01" in finding.text or "2026-12-01" in finding.text for finding in told)


@pytest.mark.parametrize(
    ("rule", "lines"),
    [
        ("output_below_input", (line("input_text", "2"), line("output_text", "1.9"))),
        ("cache_read_above_input", (line("input_text", "2"), line("cache_read_text", "2.1"))),
        ("cache_read_above_input", (line("input_audio", "2"), line("cache_read_audio", "3"))),
        ("cache_write_below_input", (line("input_text", "2"), line("cache_write_5m", "1"))),
        ("longer_cache_cheaper", (line("cache_write_5m", "3"), line("cache_write_30m", "2"))),
        ("discount_above_standard", (line(tier="batch", price="3"), line(price="2"))),
        ("discount_above_standard", (line(tier="flex", price="2.5"), line(price="2"))),
        ("surcharge_below_standard", (line(price="2"), line(tier="priority", price="1"))),
        ("long_context_cheaper", (line(price="2"), line(above=200_000, price="1"))),
        ("place_below_global", (line(price="2"), line(scope="regional", price="1.9"))),
        ("scale", (line(price="2"), line("input_text", "2000", scope="regional"))),
        ("date", (line(since="2016-01-01"),)),
        ("date", (line(since="2126-01-01"),)),
        ("source_ref", (line(rest="list,,manual"),)),
        ("row", (line(), line(since="2026-02-01"))),
        ("row", (line(rest=",page 1,manual"),)),
        ("row", (line().replace("USD", "EUR"),)),
        ("row", (line(since="2026-13-01"),)),
        ("row", (line(price="2e-6"),)),
        ("row", (line("tokens_of_gold"),)),
        ("ends", (line(until="2027-01-01"),)),
    ],
)
def test_a_mistake_is_found_under_its_rule(rule: str, lines: tuple[str, ...]) -> None:
    told = found(*lines)
    assert {name for name, _ in told} == {rule}
    assert all(origin.startswith("p.csv:") for _, origin in told)


def test_every_rule_has_a_case_above() -> None:
    marks = test_a_mistake_is_found_under_its_rule.pytestmark  # type: ignore[attr-defined]
    assert {case[0] for case in marks[0].args[1]} | {"cache_read_above_input"} == set(RULES)


def test_an_honest_price_list_says_nothing() -> None:
    assert (
        found(
            line("input_text", "2"),
            line("output_text", "2"),
            line("cache_read_text", "0.2"),
            line("cache_write_5m", "2.5"),
            line("cache_write_1h", "4"),
            line(tier="batch", price="1"),
            line(tier="priority", price="3"),
            line(scope="regional", price="2.2"),
            line(above=200_000, price="4"),
        )
        == []
    )


def test_figures_that_never_hold_together_are_not_compared() -> None:
    assert found(
        line("input_text", "2", until="2026-06-01"),
        line("input_text", "1", since="2026-06-01"),
        line("output_text", "1.5", since="2026-06-01"),
    ) == []  # fmt: skip


def test_the_provider_itself_may_sell_a_place_below_its_global_price() -> None:
    listed = line(scope="regional", price="1.9", rest="list,page 1,authoritative")
    assert found(line(price="2"), listed) == []


def test_a_file_is_compared_with_the_rows_beside_it_and_nothing_is_said_about_those() -> None:
    beside, _ = load.rows("beside.csv", f"{HEADER}\n{line('output_text', '1')}\n".encode())
    files = {"p.csv": f"{HEADER}\n{line('input_text', '2')}\n".encode()}
    assert judge(files, NOW) == ()
    assert judge(files, NOW, beside) == ()  # the row to mend is beside, not in the file
    above = {"p.csv": f"{HEADER}\n{line('output_text', '1')}\n".encode()}
    rows = [msgspec.structs.replace(row, unit="input_text", pico=row.pico * 2) for row in beside]
    assert [finding.rule for finding in judge(above, NOW, rows)] == ["output_below_input"]


def test_a_row_that_stands_over_a_neighbour_is_not_compared_with_it() -> None:
    lines = [line("input_text", "2"), line("output_text", "4")]
    beside, _ = load.rows("beside.csv", "\n".join((HEADER, *lines, "")).encode())
    both = [line("input_text", "1"), line("output_text", "1.5")]
    assert judge({"p.csv": "\n".join((HEADER, *both, "")).encode()}, NOW, beside) == ()


def test_the_gravest_comes_first_and_lines_come_in_order() -> None:
    bad = line(rest="list,,manual")
    told = found(line("output_text", "1", rest="list,,manual"), bad, line("nothing"))
    assert told == [
        ("row", "p.csv:4"),
        ("output_below_input", "p.csv:2"),
        ("source_ref", "p.csv:2"),
        ("source_ref", "p.csv:3"),
    ]


def test_a_file_that_is_no_price_file_is_refused_as_a_whole() -> None:
    (finding,) = judge({"p.csv": b"a,b\n1,2\n"}, NOW)
    assert (finding.rule, finding.origin, finding.severity) == ("row", "p.csv:1", "refused")


def test_the_operators_page_explains_every_rule_with_its_weight() -> None:
    page = (SEED.parents[2] / "docs" / "operate.md").read_text(encoding="utf-8")
    assert [rule for rule, weight in RULES.items() if f"| `{rule}` | {weight} |" not in page] == []
