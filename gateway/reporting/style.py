"""How a statement looks: one sheet of rules for screen, print and PDF, and the colours of charts as literals.

Colours are literals, not properties: WeasyPrint ignores properties inside SVG, and mail clients drop them.
"""

from html import escape
from typing import Final

INK: Final = "#12161f"
INK_2: Final = "#4c5565"
INK_3: Final = "#636c7b"
LINE_2: Final = "#d0d5dd"
GRID: Final = "#eceef2"
PAST: Final = "#dfe3ea"
ACCENT: Final = "#1d4ed8"
# Hue says provider, lightness says model.
HUES: Final = (
    ("#1f4fd0", "#84a9ff"),
    ("#c2620a", "#f0a04b", "#f8d3a6"),
    ("#0d7f5a", "#7fcdb0"),
)
OTHER: Final = ("#4c5565", "#b3bccb")  # of a fourth provider and further ones
PILLS: Final = {  # state → text and ground
    "open": (INK_2, "#eceef2"),
    "provisional": ("#9a5b00", "#fdf1dc"),
    "reconciled": ("#1d4ed8", "#eaf0ff"),
    "approved": ("#0b7a4b", "#e5f5ec"),
    "posted": ("#0b7a4b", "#e5f5ec"),
}
SAID: Final = {
    "open": "Open: month to date",
    "provisional": "Provisional",
    "reconciled": "Reconciled",
    "approved": "Approved",
    "posted": "Approved and posted",
}
FAMILY: Final = 'Inter, "Helvetica Neue", Helvetica, Arial, sans-serif'

CSS: Final = """
@page { size: A4; margin: 12mm 13mm 12mm; @bottom-right { content: "Page " counter(page) " of " counter(pages);
  font: 400 8pt FAMILY; color: #636c7b } }
* { box-sizing: border-box }
html { background: #fff }
body { font: 400 10.1px/1.36 FAMILY; color: #12161f; background: #fff; margin: 0;
  font-feature-settings: "tnum", "ss03", "cv11" }
@media screen { html { background: #f6f7f9 } body { width: 794px; max-width: 100%; min-height: 1123px; margin: 24px auto;
  padding: 38px 48px 26px; font-size: 12px; line-height: 1.42; border: 1px solid #e4e7ec } .total { font-size: 38px } }
@media screen and (max-width: 700px) { body { padding: 16px; margin: 0 } .pair { flex-direction: column }
  .wide { overflow-x: auto } .wide table { min-width: 660px }
  .wide tbody th:first-child, .wide thead th:first-child { position: sticky; left: 0; background: #fff; max-width: 38vw } }
.wide:focus-visible { outline: 2px solid #1d4ed8; outline-offset: 2px }
h1 { font-size: 2em; font-weight: 600; letter-spacing: -.018em; line-height: 1.2; margin: 5px 0 4px }
h2 { font-size: 1.13em; font-weight: 600; letter-spacing: -.005em; margin: 0 0 5px }
p { margin: 0 } .soft { color: #636c7b; font-weight: 400 } .right { text-align: right }
.head { border-bottom: 1.5px solid #12161f; padding-bottom: 9px; margin-bottom: 9px }
.mark { font-weight: 600; font-size: 1.04em }
.pair { display: flex; gap: 30px } .pair > * { flex: 1 1 0; min-width: 0 } .pair > .less { flex: 0.82 1 0 }
.block { margin-top: 11px } .rule { border-top: 1px solid #d0d5dd; padding-top: 11px }
.total { font-size: 32px; font-weight: 600; letter-spacing: -.025em; line-height: 1.2; margin: 1px 0 2px }
.pill { border-radius: 9px; padding: 1.5px 8px; font-size: .92em; font-weight: 500; white-space: nowrap }
table { width: 100%; border-collapse: collapse }
caption { text-align: left; font-size: 1.13em; font-weight: 600; letter-spacing: -.005em; padding: 0 0 5px }
th { font-weight: 500; color: #636c7b; text-align: left } td, th { padding: 2.1px 0; vertical-align: baseline }
td:not(.n), tbody th { overflow-wrap: anywhere }
td.n, th.n { text-align: right; padding-left: 8px; white-space: nowrap }
td.id { white-space: nowrap } td.dotted { padding-left: 22px; text-indent: -14px }
.lined td, .lined th + th, .lined td + th { padding-left: 8px } .lined td.dotted { padding-left: 22px }
tbody th { color: #12161f; font-weight: 500 } tbody th.soft { color: #636c7b; font-weight: 400 }
.facts tbody th { color: #636c7b; font-weight: 400; white-space: nowrap; overflow-wrap: normal }
.facts td.n { font-weight: 500; text-align: right; white-space: normal; overflow-wrap: anywhere }
.lined thead th { border-bottom: 1px solid #d0d5dd } .lined tr.end th, .lined tr.end td { border-bottom: 1px solid #e4e7ec }
.plain td, .plain th { border-bottom: 1px solid #e4e7ec } .plain tbody th { font-weight: 400 }
.plain td, .plain th + th { padding-left: 8px }
.plain tr:last-child td, .plain tr:last-child th { border-bottom: 0 }
.walk th { font-weight: 400 } .walk th .soft { margin-left: 5px } .walk tr.sum th, tr.sum th, tr.sum td { border-top: 1.5px solid #12161f; font-weight: 600; color: #12161f }
tr { break-inside: avoid } thead { display: table-header-group } section { break-inside: avoid } .flows { break-inside: auto }
ol { margin: 0; padding-left: 15px; color: #4c5565; line-height: 1.34 } li { margin-bottom: 1.5px }
.dot { display: inline-block; text-indent: 0; width: 7px; height: 7px; border-radius: 2px; margin-right: 7px }
svg { width: 100%; display: block } .foot { border-top: 1px solid #d0d5dd; margin-top: 12px; padding-top: 9px; color: #636c7b;
  font-size: .94em } .foot p { overflow-wrap: anywhere }
.unpriced { background: #fdf1dc; color: #9a5b00; border-radius: 8px; padding: 5px 10px; margin-top: 10px }
""".replace("FAMILY", FAMILY)


_ID_MAX: Final = 32  # characters of a name that stays on one line


def whole(name: str) -> str:
    """The class of a cell whose name is not broken, where it is short enough: at its hyphens it would be."""
    return " id" if len(name) <= _ID_MAX else ""


def region(label: str) -> str:
    """Attributes of what scrolls on a narrow screen: the keyboard reaches it, and a reader hears what it is. Escaped."""
    return f'tabindex="0" role="region" aria-label="{escape(label, quote=True)}"'


def shade(provider: str, providers: list[str], model_at: int) -> str:
    """The colour of a provider's nth model; ``providers`` sorted."""
    at = providers.index(provider)
    tints = HUES[at] if at < len(HUES) else OTHER
    return tints[model_at % len(tints)]
