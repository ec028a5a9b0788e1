"""The chart of a statement: months as columns, as SVG with literal colours, its figures in titles and a label."""

from calendar import month_abbr
from collections.abc import Sequence
from typing import Final

from gateway.reporting.amounts import in_words, month_name
from gateway.reporting.style import ACCENT, FAMILY, GRID, INK, INK_3, LINE_2, PAST

MONTHS: Final = 12
_TOPS: Final = (10, 12, 16, 20, 24, 32, 40, 60, 80, 100)  # tenths
_WIDTH, _HEIGHT, _LEFT, _BASE, _TALL = 330, 100, 38, 84, 68
_THOUSAND: Final = 100_000  # in cents
_PITCH: Final = (_WIDTH - _LEFT) // MONTHS


def months_chart(months: Sequence[tuple[int, int]]) -> str:
    """The last twelve (period, cents); the newest in the accent, with its value."""
    shown = list(months)[-MONTHS:]
    top = _top(max([cents for _, cents in shown] + [100]))
    first = MONTHS - len(shown)
    bars = [
        _bar(first + at, period, cents, top, is_last=at == len(shown) - 1)
        for at, (period, cents) in enumerate(shown)
    ]
    grid = "".join(_grid(value, top) for value in (0, top // 2, top))
    said = "; ".join(f"{month_name(period)} {in_words(cents)}" for period, cents in shown)
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="Amount charged per month: {said}" '
        f'font-family=\'{FAMILY}\' font-size="8.6" fill="{INK_3}">{grid}{"".join(bars)}</svg>'
    )


def _bar(at: int, period: int, cents: int, top: int, *, is_last: bool) -> str:
    height, x = max(cents, 0) * _TALL // top, _LEFT + at * _PITCH + 3
    fill, middle = (ACCENT if is_last else PAST), x + (_PITCH - 6) // 2
    drawn = (
        f"<g><title>{month_name(period)}: {in_words(cents)}</title>"
        f'<rect x="{x}" y="{_BASE - height}" width="{_PITCH - 6}" height="{height}" fill="{fill}"/></g>'
        f'<text x="{middle}" y="{_BASE + 12}" text-anchor="middle">{month_abbr[period % 100][0]}</text>'
    )
    if is_last:
        drawn += (
            f'<text x="{x + _PITCH - 6}" y="{_BASE - height - 4}" text-anchor="end" font-weight="600" '
            f'fill="{INK}">{in_words(round_dollars(cents))[:-3]}</text>'
        )
    return drawn


def round_dollars(cents: int) -> int:
    """Cents of the nearest whole dollar."""
    return (abs(cents) + 50) // 100 * 100 * (-1 if cents < 0 else 1)


def _grid(value: int, top: int) -> str:
    y = _BASE - value * _TALL // top
    stroke = GRID if value else LINE_2
    return (
        f'<line x1="{_LEFT}" x2="{_WIDTH}" y1="{y}" y2="{y}" stroke="{stroke}"/>'
        f'<text x="{_LEFT - 5}" y="{y + 3}" text-anchor="end">{_short(value)}</text>'
    )


def _short(cents: int) -> str:
    """$1.2k of an axis; cents where a whole dollar would say too little."""
    if cents >= _THOUSAND:
        tenths = cents * 10 // _THOUSAND
        return f"${tenths // 10:,}{f'.{tenths % 10}' if tenths % 10 else ''}k"
    return f"${cents // 100}" if cents % 100 == 0 else f"${cents // 100}.{cents % 100:02}"


def _top(cents: int) -> int:
    """The smallest round number of cents that holds the data."""
    scale = 100
    while True:
        for step in _TOPS:
            if step * scale >= cents * 10:
                return step * scale // 10
        scale *= 10
