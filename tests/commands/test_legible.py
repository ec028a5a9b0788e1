"""What a person looks at can be read: contrast, what a screen reader is told, and names in narrow terminals."""

import io
import re
from collections.abc import Callable
from html.parser import HTMLParser

import pytest

from gateway.commands.output import Screen
from gateway.commands.statement import files, pictures
from gateway.commands.statement.pictures import drawn, drawn_summary
from gateway.reporting import style
from tests.commands.test_statement_forms import statement, summary

LEAST = 4.5
MADE = statement(app="a-long-name-of-an-application")


def luminance(colour: str) -> float:
    """Relative luminance of ``#rgb`` or ``#rrggbb``, as WCAG 2 defines it."""
    digits = colour[1:] if len(colour) > len("#fff") else "".join(one * 2 for one in colour[1:])
    channels = (int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4))
    linear = [one / 12.92 if one <= 0.04045 else ((one + 0.055) / 1.055) ** 2.4 for one in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(text: str, ground: str) -> float:
    light, dark = sorted((luminance(text), luminance(ground)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_every_text_of_a_sheet_stands_out_from_its_ground() -> None:
    texts = set(re.findall(r"(?<![-\w])color: ?(#[0-9a-f]{3,6})", style.CSS))
    assert len(texts) > 3
    for text in texts:
        assert contrast(text, "#ffffff") >= LEAST, text
    for state, (text, ground) in style.PILLS.items():
        assert contrast(text, ground) >= LEAST, state
    assert contrast("#777777", "#ffffff") < LEAST  # the control: one shade paler is found


class Page(HTMLParser):
    """What a screen reader meets: tags with their attributes, and whether a table's heads have a scope."""

    def __init__(self) -> None:
        super().__init__()
        self.met: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.met.append((tag, dict(attrs)))


@pytest.mark.parametrize(
    "written",
    [lambda: files.html(MADE, {}), lambda: files.SUMMARY_WRITERS[".html"](summary())],
    ids=["statement", "summary"],
)
def test_a_page_says_its_language_its_heads_and_what_scrolls(written: Callable[[], bytes]) -> None:
    page = Page()
    page.feed(written().decode())
    met = page.met
    assert ("html", {"lang": "en"}) in met
    assert sum(tag == "h1" for tag, _ in met) == 1
    assert all(of.get("scope") in {"row", "col"} for tag, of in met if tag == "th")
    assert all(of.get("aria-label") for tag, of in met if tag == "svg")
    wide = [of for _, of in met if "wide" in (of.get("class") or "")]
    assert len(wide) == 1
    assert wide[0]["tabindex"] == "0"
    assert wide[0]["role"] == "region"
    assert wide[0]["aria-label"]


def test_a_short_name_is_not_broken_at_its_hyphens_and_a_long_one_may_be() -> None:
    assert style.whole("anthropic.claude-sonnet-4-6") == style.whole("owner-4100") == " id"
    assert style.whole("a-name-that-no-column-of-an-a4-page-has-room-for") == ""


def in_columns(width: int, monkeypatch: pytest.MonkeyPatch, *, of_all: bool = False) -> str:
    file = io.StringIO()
    screen = Screen(file=file, width=width)
    monkeypatch.setattr(pictures, "CONSOLE", screen)
    monkeypatch.setattr("gateway.commands.output.CONSOLE", screen)
    screen.print(drawn_summary(summary()) if of_all else drawn(MADE, {}))
    return file.getvalue()


@pytest.mark.parametrize("width", [80, 92, 108, 120, 200])
def test_no_model_is_cut_and_every_line_of_a_statement_fits(
    width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = in_columns(width, monkeypatch)
    for use in MADE.uses:
        assert re.search(rf"■ {re.escape(use.model)} ", text), use.model
    assert max(map(len, text.splitlines())) <= width
    assert f"${MADE.cents // 100:,}.{MADE.cents % 100:02}" in text


@pytest.mark.parametrize("width", [80, 108, 150])
def test_a_bar_is_drawn_whole_or_not_at_all_and_no_code_is_cut(
    width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = in_columns(width, monkeypatch, of_all=True)
    lines = [line for line in text.splitlines() if "%" in line and "Total" not in line]
    bars = {sum(line.count(one) for one in "━╌") for line in lines}
    assert bars == ({pictures.BAR_COLUMNS} if width >= pictures.COLUMNS_MAX else {0})
    assert "…" not in "".join(lines)
