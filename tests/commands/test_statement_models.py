"""A statement by model: where the price book has no such model it says what was asked for, and where to look."""

import io

import pytest

from gateway.commands import output
from gateway.commands.output import Screen
from gateway.commands.statement.command import drawn
from gateway.ledger.statement import Row, Statement


def row(model: str, *asked: str, unpriced: int = 1) -> Row:
    return Row("search", "user-0001", model, 1, {"input_text": 5}, None, None, unpriced, 0, asked)


def printed(*rows: Row, width: int = 200) -> str:
    total = Row("search", "", "", len(rows), {}, None, None, len(rows))
    file = io.StringIO()
    screen = Screen(file=file, width=width)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(output, "CONSOLE", screen)
        screen.print(drawn(Statement(rows, (total,), total), "2026-11"))
    return file.getvalue()


def test_what_was_asked_for_stands_where_the_model_is_not_known() -> None:
    for width in (200, 80):
        said = printed(row("", "gpt-99"), row("gpt-5.4"), width=width)
        assert "gpt-99 *" in said
        assert "weighbridge prices missing" in " ".join(said.split())
        assert "unknown" not in said


def test_of_many_names_the_most_frequent_are_shown_and_how_many_more_there_are() -> None:
    assert "gpt-99, gpt-98 and 3 more *" in printed(row("", "gpt-99", "gpt-98", "c", "d", "e"))


def test_a_name_that_a_client_made_up_reaches_no_terminal() -> None:
    said = printed(row("", "a\x1b[31m\u202eb[bold]"))
    assert "\x1b[31m\u202e" not in said
    assert "\\u202eb[bold] *" in said


def test_calls_that_named_no_model_say_so() -> None:
    said = printed(row("", unpriced=0))
    assert "no model" in said
    assert "*" not in said
