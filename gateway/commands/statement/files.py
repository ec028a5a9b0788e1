"""Statements as files: PDF, HTML, XLSX, CSV and JSON, of the same frozen value; the same value gives the same bytes.

To add a form: a suffix and its writer in ``WRITERS``.
"""

import base64
import hashlib
import io
import os
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import redirect_stdout
from datetime import UTC, datetime
from functools import cache
from importlib import resources
from pkgutil import resolve_name
from typing import Any, Final, NoReturn
from unicodedata import normalize

import orjson

from gateway.commands.output import stop
from gateway.reporting import fonts
from gateway.reporting.page import page
from gateway.reporting.sheets import Cell, Cents, Foreign, Sheet, Total, sheets, summary_sheets
from gateway.reporting.statement import Statement, Summary
from gateway.reporting.summary_page import summary_page
from gateway.reporting.tabular import as_csv, document, records, summary_records

Names = Mapping[str, str]
WEIGHTS: Final = (400, 500, 600)
_EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)  # the same bytes whenever it is written
_NOT_IN_NAMES: Final = frozenset('%/\\:*?"<>|')
_NAME_BYTES: Final = 200  # of the 255 that file systems take
_INK, _SOFT, _RULE = "#12161f", "#636c7b", "#d0d5dd"


@cache
def faces() -> str:
    """Inter as @font-face rules with the files inside, so that a page looks the same everywhere."""
    rules = []
    for weight in WEIGHTS:
        face = (resources.files(fonts) / f"inter-latin-{weight}-normal.woff2").read_bytes()
        text = base64.b64encode(face).decode()
        rules.append(
            f"@font-face{{font-family:Inter;font-weight:{weight};"
            f"src:url(data:font/woff2;base64,{text}) format('woff2')}}"
        )
    return "".join(rules)


def html(made: Statement, names: Names) -> bytes:
    """One document with everything in it."""
    return page(made, names, faces()).encode()


def pdf(made: Statement, names: Names) -> bytes:
    """Tagged, PDF/UA-1. Ends with status 2 where WeasyPrint or its system library is not there."""
    return _printed(page(made, names, faces()))


def _printed(text: str) -> bytes:
    document_of = weasyprint()
    if document_of is None:
        _missing("PDF", "WeasyPrint with the system's libpango")
    # The font tools stamp what they embed with the time, unless this says which.
    os.environ.setdefault("SOURCE_DATE_EPOCH", str(int(_EPOCH.timestamp())))  # noqa: TID251  # a library's switch
    return bytes(document_of(string=text).write_pdf(pdf_variant="pdf/ua-1"))


def weasyprint() -> Any | None:
    """WeasyPrint's HTML, where it and libpango are there; what it would print about itself is not for our user."""
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            return resolve_name("weasyprint:HTML")
        except (ImportError, OSError):
            return None


def xlsx(made: Statement, names: Names) -> bytes:
    """A workbook with live totals."""
    return _workbook(sheets(made, names), made.number)


def csv(made: Statement, names: Names) -> bytes:
    """A row for each record."""
    return as_csv(records(made, names)).encode()


def json(made: Statement, names: Names) -> bytes:
    """One document."""
    return _indented(document(records(made, names)))


WRITERS: Final[dict[str, Callable[[Statement, Names], bytes]]] = {
    ".pdf": pdf,
    ".html": html,
    ".xlsx": xlsx,
    ".csv": csv,
    ".json": json,
}


SUMMARY_WRITERS: Final[dict[str, Callable[[Summary], bytes]]] = {
    ".pdf": lambda made: _printed(summary_page(made, faces())),
    ".html": lambda made: summary_page(made, faces()).encode(),
    ".xlsx": lambda made: _workbook(summary_sheets(made), str(made.period)),
    ".csv": lambda made: as_csv(summary_records(made)).encode(),
    ".json": lambda made: _indented(document(summary_records(made))),
}


def file_name(number: str) -> str:
    """A statement's number where it is a file's: what would leave the folder or some systems refuse is escaped.

    What is too long for a file's name is cut, and ends in a digest of the whole, so that two stay two.
    """
    name = "".join(
        f"%{ord(one):02X}" if one in _NOT_IN_NAMES or one < " " else one for one in number
    )
    return name if len(name.encode()) <= _NAME_BYTES else _with_digest(name, number)


def file_names(numbers: Iterable[str], *, beside: str) -> dict[str, str]:
    """Number → its file's name, where all are in one folder with a file ``beside``.

    Those that some file systems take for the same (``abc`` and ``ABC``, one accent written in two ways) end in digests.
    """
    names = {number: file_name(number) for number in numbers}
    alike = Counter(map(_alike, [*names.values(), beside]))
    return {
        number: name if alike[_alike(name)] == 1 else _with_digest(name, number)
        for number, name in names.items()
    }


def _alike(name: str) -> str:
    return normalize("NFC", normalize("NFC", name).casefold())


def _with_digest(name: str, number: str) -> str:
    digest = hashlib.sha256(number.encode()).hexdigest()[:16]
    kept = name.encode()[: _NAME_BYTES - len(digest) - 1].decode(errors="ignore")
    return f"{kept}~{digest}"


def available() -> tuple[str, ...]:
    """The forms that can be written here."""
    return tuple(suffix for suffix in WRITERS if suffix != ".pdf" or weasyprint() is not None)


def _indented(made: dict[str, object]) -> bytes:
    return orjson.dumps(made, option=orjson.OPT_INDENT_2) + b"\n"


def _missing(form: str, what: str) -> NoReturn:
    stop(f"the {form} needs {what}: pip install 'weighbridge[reports]', or write .html or .csv")


def _workbook(found: tuple[Sheet, ...], title: str) -> bytes:
    try:
        make = resolve_name("xlsxwriter:Workbook")
    except ImportError:
        _missing("XLSX", "XlsxWriter")
    written = io.BytesIO()
    # A text is a text: never a formula, a link or a number.
    options = {
        "in_memory": True,
        "strings_to_formulas": False,
        "strings_to_urls": False,
        "strings_to_numbers": False,
    }
    book = make(written, options)
    book.set_properties({"title": title, "created": _EPOCH.replace(tzinfo=None)})
    forms = {
        "head": book.add_format({"bold": True, "font_color": _SOFT, "bottom": 1, "bottom_color": _RULE, "text_wrap": True}),
        **{f"money {digits}": book.add_format({"num_format": _number(digits)}) for digits in range(5)},
        "count": book.add_format({"num_format": "#,##0"}),
        "money total": book.add_format({"num_format": "#,##0.00", "bold": True, "top": 2, "top_color": _INK}),
        "count total": book.add_format({"num_format": "#,##0", "bold": True, "top": 2, "top_color": _INK}),
        "text": book.add_format({"text_wrap": True, "valign": "top"}),
    }  # fmt: skip
    for sheet in found:
        _write_sheet(book.add_worksheet(sheet.name), sheet, forms)
    book.close()
    return written.getvalue()


def _number(digits: int) -> str:
    shown = f"#,##0.{'0' * digits}" if digits else "#,##0"
    return f"{shown};[Red]-{shown}"


def _write_sheet(page_of: Any, sheet: Sheet, forms: dict[str, Any]) -> None:
    for column, width in enumerate(sheet.widths):
        page_of.set_column(column, column, width)
    for column, head in enumerate(sheet.head):
        page_of.write_string(0, column, head, forms["head"])
    page_of.freeze_panes(1, 0)
    page_of.set_paper(9)  # A4
    page_of.fit_to_pages(1, 0)
    for at, row in enumerate(sheet.rows, start=1):
        for column, cell in enumerate(row):
            _write_cell(page_of, at, column, cell, forms)


def _write_cell(page_of: Any, row: int, column: int, cell: Cell, forms: dict[str, Any]) -> None:
    match cell:
        case Cents(cents):
            page_of.write_number(row, column, cents / 100, forms["money 2"])
        case Foreign(minor=minor, digits=digits):
            page_of.write_number(row, column, minor / 10**digits, forms[f"money {digits}"])
        case Total(is_money=is_money, value=value):
            form = forms["money total" if is_money else "count total"]
            shown = value / 100 if is_money else value
            page_of.write_formula(row, column, cell.formula(column), form, shown)
        case int(count):
            page_of.write_number(row, column, count, forms["count"])
        case str(text):
            page_of.write_string(row, column, text, forms["text"])
