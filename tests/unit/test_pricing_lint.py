"""Plausibility: a figure that is off by a thousand stands out; honest figures do not."""

from gateway.pricing.lint import RATIO_MAX, family, lint
from gateway.pricing.row import Row


def row(pico: int, model: str = "m-1", **changes: object) -> Row:
    terms = ("cloud", model, "global", "", "", "standard")
    fields: dict[str, object] = {"unit": "input_text", "per": 1_000_000, "origin": f"p.csv:{pico}"}
    return Row(terms=terms, pico=pico, source="s", **(fields | changes))  # type: ignore[arg-type]  # by name


def test_a_thousandfold_figure_is_named_with_its_line() -> None:
    found = lint([row(1000), row(1000), row(1_000_000)])
    assert len(found) == 1
    assert found[0].startswith("p.csv:1000000: cloud/m-1/")
    assert "is 1000 times its neighbours" in found[0]


def test_what_stands_beside_is_compared_with_and_not_judged() -> None:
    others = [row(1000, f"gpt-5-{n}") for n in range(4)]
    wrong = [row(1_000_000, "gpt-5-x")]
    assert lint(wrong) == ()
    (found,) = lint(wrong, others)
    assert found.startswith("p.csv:1000000: ")
    assert lint(others, wrong) == ()


def test_a_thousandth_is_named_too() -> None:
    (found,) = lint([row(1_000_000), row(1_000_001), row(1000)])
    assert "1/1000 times" in found


def test_a_per_mistake_is_a_price_mistake() -> None:
    (found,) = lint([row(2000), row(2001), row(2002, per=1000)])
    assert found.startswith("p.csv:2002")


def test_below_the_ratio_nothing_is_said() -> None:
    assert lint([row(1000), row(1000), row(1000 * RATIO_MAX - 1)]) == ()
    assert len(lint([row(1000), row(1000), row(1000 * RATIO_MAX)])) == 1


def test_a_whole_model_in_the_wrong_unit_stands_out_in_its_family() -> None:
    others = [row(1000, f"gpt-5-{n}") for n in range(4)]
    found = lint([*others, row(1_000_000, "gpt-5-x"), row(1_000_001, "gpt-5-x")])
    assert len(found) == 2
    assert family("gpt-5-x") == "gpt-5"


def test_a_lonely_family_is_compared_with_its_provider() -> None:
    others = [row(1000, f"{name}-1") for name in "abc"]
    assert len(lint([*others, row(1_000_000, "z-9")])) == 1


def test_units_and_providers_are_not_compared_with_each_other() -> None:
    assert lint([row(1000), row(1001), row(9_000_000, unit="output_image")]) == ()


def test_free_rows_references_and_lonely_rows_say_nothing() -> None:
    assert lint([row(1000)]) == ()
    assert lint([row(1000), row(1001), row(0), row(0, as_unit="input_text")]) == ()
    assert lint([]) == ()
