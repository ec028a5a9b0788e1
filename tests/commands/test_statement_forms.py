"""One statement in five forms: read back by other people's readers, they agree to the cent."""

import csv
import io
import json
import re
import zipfile
from html.parser import HTMLParser
from typing import Any, Final
from unicodedata import normalize

import msgspec
import openpyxl
import pypdf
import pytest
from rich.console import Console, RenderableType

from gateway.commands.output import CONSOLE
from gateway.commands.statement import files
from gateway.commands.statement.pictures import drawn, drawn_summary
from gateway.kernel.money import format_usd
from gateway.ledger.currency import Rate
from gateway.reporting.allocation import SharedCost
from gateway.reporting.compose import Books, Closing, Facts, composed, summarised
from gateway.reporting.fold import Ledgered, Posting, Terms
from gateway.reporting.organisation import Assignment, CostCentre, Organisation
from gateway.reporting.statement import Budgeted, Seal, Statement, Summary
from gateway.reporting.tabular import summary_records

USD = 10**12
KNOWN = Organisation(
    {"4100": CostCentre("4100", "Customer Operations", "owner-4100", "652310", "EUR")},
    (Assignment("care", "4100"),),
)


def a_posting(
    names: tuple[str, ...], unit: str, pico: int, *, team: str = "care", late: bool = False
) -> Posting:
    day = "2026-09-01" if late else "2026-10-01"
    kind = "adjustment" if late else "usage"
    user, app, provider, model = names
    sums = (123_456, 0, pico, pico * 94 // 100)
    return Posting(day, late, team, user, app, provider, model, unit, kind, *sums)


def statement(
    models: int = 7, app: str = "Application", rate: tuple[str, int] = ("EUR", 920_600_000_000)
) -> Statement:
    """Three applications, so many models, twelve people, every line of the walk."""
    currency, per_usd = rate
    centre = CostCentre("4100", "Customer Operations", "owner-4100", "652310", currency)
    known = Organisation({"4100": centre}, KNOWN.assignments)
    postings = []
    for n in range(models):
        for person in range(12):
            names = (f"user-{person:04}", f"{app} {n % 3}", f"cloud-{n % 3}", f"model-{n:02}")
            for unit in ("request", "input_text", "cache_read_text", "cache_write", "output_text"):
                pico = 0 if unit == "request" else (n + 1) * (person + 3) * USD // 7
                postings.append(a_posting(names, unit, pico))
    lost, corrected = ("user-0099", "", "cloud-0", "m"), ("user-0001", "", "cloud-0", "m")
    postings.append(a_posting(corrected, "input_text", -25 * USD, late=True))
    postings.append(a_posting(lost, "input_text", 62 * USD, team="lab"))
    ledgered = Ledgered(
        202610, postings, known, Terms(share_unallocated=True, markup=100, tax=1900)
    )
    facts = Facts(
        organisation="Example Group",
        counted={"partial": 3},
        months=tuple((202600 + month, 10_000 * month) for month in range(1, 10)),
        budget=Budgeted(390_000, 4_680_000),
        rates={
            currency: Rate(
                period=202610,
                currency=currency,
                pico=per_usd,
                source="ECB",
                author="o",
                at_us=1,
            )
        },
        books=Books(platform_centre="5900", recharge_account="652390"),
    )
    seal = Seal(418_345, "7c" * 32, "owner-4100", "2026-11-03 09:12 UTC", "finance", "2026-11-04 10:30 UTC", "1000482291")  # fmt: skip
    return composed(ledgered, "4100", facts, Closing("posted", 2, seal))


MADE = statement()
Figures = dict[str, list[int]]


def figures(made: Statement) -> Figures:
    """The cents of every part, in order."""
    return {
        "walk": [line.cents for line in made.lines],
        "usage": [use.cents for use in made.uses],
        "people": [*(use.cents for use in made.people), made.others_use.cents],
        "charged": [made.cents],
    }


def cents(text: str) -> int:
    digits = re.sub(r"[^\d.]", "", text)
    whole, _, rest = digits.partition(".")
    sign = -1 if text.lstrip().startswith(("-", "\N{MINUS SIGN}")) else 1
    return sign * (int(whole) * 100 + int(rest))


def test_csv_agrees_to_the_cent() -> None:
    rows = list(csv.DictReader(io.StringIO(files.csv(MADE, {}).decode(), newline="")))
    found = {
        name: [cents(row["usd"]) for row in rows if row["line"] in lines]
        for name, lines in (
            ("walk", {"walk"}),
            ("usage", {"usage"}),
            ("people", {"person", "others"}),
            ("charged", {"charged"}),
        )
    }
    assert found == figures(MADE)
    assert [int(row["requests"]) for row in rows if row["line"] == "charged"] == [MADE.requests]


def test_json_agrees_to_the_cent() -> None:
    found = json.loads(files.json(MADE, {}))
    assert found["statement"] == "2026-10-4100"
    parts = (("walk", ["walk"]), ("usage", ["usage"]), ("people", ["person", "others"]), ("charged", ["charged"]))  # fmt: skip
    read = {
        name: [cents(row["usd"]) for line in lines for row in found[line]] for name, lines in parts
    }
    assert read == figures(MADE)
    debits = sum(cents(row["debit_usd"]) for row in found["journal"])
    assert debits == sum(cents(row["credit_usd"]) for row in found["journal"]) == MADE.cents


class Tables(HTMLParser):
    """The cells of every table of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tables: list[list[list[str]]] = []
        self._in_cell = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in {"td", "th"}:
            self.tables[-1][-1].append("")
            self._in_cell = True

    def handle_endtag(self, tag: str) -> None:
        self._in_cell = self._in_cell and tag not in {"td", "th"}

    def handle_data(self, data: str) -> None:
        if self._in_cell:
            self.tables[-1][-1][-1] += data


def test_html_agrees_to_the_cent_and_asks_nobody_for_anything() -> None:
    text = files.html(MADE, {}).decode()
    read = Tables()
    read.feed(text)
    _, walk, _, usage, people, _ = read.tables
    models = [row for row in usage[1:-1] if not row[1].endswith(", total")]
    assert {
        "walk": [cents(row[-1]) for row in walk[:-1]],
        "usage": [cents(row[-1]) for row in models],
        "people": [cents(row[-1]) for row in people],
        "charged": [cents(walk[-1][-1])],
    } == figures(MADE)
    totals = [cents(row[-1]) for row in usage if len(row) > 1 and row[1].endswith(", total")]
    assert sum(totals) == cents(usage[-1][-1]) == MADE.metered_cents
    assert not re.search(r"(?:src|href)=|url\((?!data:)|@import|<script", text)


def workbook(*, values: bool) -> Any:
    return openpyxl.load_workbook(io.BytesIO(files.xlsx(MADE, {})), data_only=values)


def test_xlsx_agrees_to_the_cent_and_its_totals_are_live() -> None:
    book = workbook(values=True)

    def column(sheet: str, letter: str) -> list[int]:
        cells = [cell.value for cell in book[sheet][letter][1:]]
        return [round(float(value) * 100) for value in cells if isinstance(value, int | float)]

    walk, usage, people = column("Statement", "C"), column("Usage", "I"), column("People", "H")
    lines = len(MADE.lines)
    assert {
        "walk": walk[:lines],
        "usage": usage[:-1],
        "people": people[:-1],
        "charged": [walk[lines]],
    } == figures(MADE)
    live = workbook(values=False)
    total = live["Usage"].cell(len(MADE.uses) + 2, 9).value
    assert total == f"=SUM(I2:I{len(MADE.uses) + 1})"
    assert usage[-1] == sum(usage[:-1]) == MADE.metered_cents
    assert live["Statement"].cell(lines + 2, 3).value == f"=SUM(C2:C{lines + 1})"


# Charged are 107.65 USD: times the rate, by hand, rounded once to what the currency has.
IN_CURRENCIES: Final = (
    (("EUR", 920_600_000_000), "99.10", "EUR 99.10", 99.1, "#,##0.00"),  # 99.10259
    (("JPY", 151_370_000_000_000), "16295", "JPY 16,295", 16_295, "#,##0"),  # 16,294.9805
    (("KRW", 1_382_500_000_000_000), "148826", "KRW 148,826", 148_826, "#,##0"),  # 148,826.125
    (("KWD", 307_500_000_000), "33.102", "KWD 33.102", 33.102, "#,##0.000"),  # 33.102375
    (("CLF", 23_512_300_000), "2.5311", "CLF 2.5311", 2.5311, "#,##0.0000"),  # 2.531099095
)


@pytest.mark.parametrize(("rate", "decimal", "words", "number", "form"), IN_CURRENCIES)
def test_an_amount_in_another_currency_has_the_decimals_of_that_currency_in_every_form(
    rate: tuple[str, int], decimal: str, words: str, number: float, form: str
) -> None:
    made = statement(1, rate=rate)
    assert made.cents == 10_765
    (row,) = [one for one in csv.DictReader(io.StringIO(files.csv(made, {}).decode(), newline="")) if one["line"] == "converted"]  # fmt: skip
    assert (row["currency"], row["amount"]) == (rate[0], decimal)
    assert json.loads(files.json(made, {}))["converted"][0]["amount"] == decimal
    assert f"{words} at " in files.html(made, {}).decode()
    sheet = openpyxl.load_workbook(io.BytesIO(files.xlsx(made, {})))["Statement"]
    (cells,) = [row for row in sheet.iter_rows() if row[0].value == f"In {rate[0]}"]
    assert (cells[2].value, cells[2].number_format) == (number, f"{form};[Red]-{form}")


def test_a_statement_that_was_kept_before_currencies_had_their_own_decimals_reads_as_it_did() -> (
    None
):
    made = statement(1, rate=("JPY", 151_370_000_000_000))
    kept = json.loads(msgspec.json.encode(made))
    del kept["converted"]["digits"]
    kept["converted"]["cents"] = 1_629_498
    before = msgspec.json.decode(msgspec.json.encode(kept), type=Statement)
    assert "JPY 16,294.98 at " in files.html(before, {}).decode()


def pdf_text(made: Statement) -> list[str]:
    reader = pypdf.PdfReader(io.BytesIO(files.pdf(made, {})))
    return [page.extract_text() for page in reader.pages]


@pytest.fixture(scope="module")
def printed() -> list[str]:
    if files.weasyprint() is None:
        pytest.skip("no libpango: the PDF cannot be made here")
    return pdf_text(MADE)


def test_pdf_agrees_to_the_cent_on_one_a4(printed: list[str]) -> None:
    (text,) = printed
    found = [cents(one) for one in re.findall(r"\N{MINUS SIGN}?\$[\d,]+\.\d\d", text)]
    for name, wanted in figures(MADE).items():
        for amount in wanted:
            assert amount in found, (name, format_usd(amount * USD // 100))
    assert found[0] == MADE.cents  # the large figure
    assert "Page 1 of 1" in text
    assert "2026-10-4100 rev. 2" in text


def test_many_models_flow_to_a_second_page_with_the_heads_repeated() -> None:
    if files.weasyprint() is None:
        pytest.skip("no libpango: the PDF cannot be made here")
    pages = pdf_text(statement(models=40))
    assert len(pages) == 2
    assert "Page 2 of 2" in pages[1]
    assert all("Cache read" in text for text in pages)


def test_the_pdf_is_tagged_and_has_no_black_charts() -> None:
    if files.weasyprint() is None:
        pytest.skip("no libpango: the PDF cannot be made here")
    reader = pypdf.PdfReader(io.BytesIO(files.pdf(MADE, {})))
    root = reader.trailer["/Root"]
    assert root["/MarkInfo"]["/Marked"]  # type: ignore[index]  # a dictionary object
    assert "StructTreeRoot" in repr(root)
    assert "pdfuaid" in root["/Metadata"].get_object().get_data().decode()  # type: ignore[index]  # a stream
    drawn = reader.pages[0].get_contents()
    assert drawn is not None
    accent = " ".join(f"{part / 255:.5f}"[:5] for part in (0x1D, 0x4E, 0xD8))
    assert re.search(accent.replace(" ", r"\d* "), drawn.get_data().decode("latin-1"))


@pytest.mark.parametrize("suffix", sorted(files.WRITERS))
def test_the_same_statement_gives_the_same_bytes(suffix: str) -> None:
    if suffix == ".pdf" and files.weasyprint() is None:
        pytest.skip("no libpango: the PDF cannot be made here")
    write = files.WRITERS[suffix]
    assert write(statement(), {}) == write(statement(), {})


HOSTILE = "=HYPERLINK(A1)"


def test_a_text_that_looks_like_a_formula_is_a_text_everywhere() -> None:
    made = statement(app=HOSTILE)
    names = {"user-0005": "+1-2", "user-0006": "@SUM(A1)"}
    rows = list(csv.reader(io.StringIO(files.csv(made, names).decode(), newline="")))
    cells = [cell for row in rows[1:] for cell in row]
    assert f"'{HOSTILE} 0" in cells
    assert not [cell for cell in cells if re.match(r"[=+@]|-\D", cell)]
    book = openpyxl.load_workbook(io.BytesIO(files.xlsx(made, names)))
    kinds = {
        cell.value: cell.data_type
        for sheet in book
        for row in sheet.iter_rows()
        for cell in row
        if isinstance(cell.value, str) and cell.value[:1] in "=+@-"
    }
    texts = {value for value, kind in kinds.items() if kind == "s"}
    assert {f"{HOSTILE} 0", "+1-2", "@SUM(A1)"} <= texts
    assert all(value.startswith("=SUM(") for value, kind in kinds.items() if kind == "f")
    with zipfile.ZipFile(io.BytesIO(files.xlsx(made, names))) as whole:
        assert not [name for name in whole.namelist() if "hyperlink" in name.lower()]


def summary() -> Summary:
    postings = [
        a_posting((f"user-{n:04}", "a", f"cloud-{n % 3}", "m"), "input_text", (n + 1) * USD // 7, team=("care", "lab", "dev")[n % 3])
        for n in range(30)
    ]  # fmt: skip
    shared = SharedCost(name="Seats", pico=123 * USD, rule="fixed", shares={"4100": 2}, capacity=3)
    terms = Terms(shared=(shared,), markup=100)
    return summarised(Ledgered(202610, postings, KNOWN, terms), Facts(organisation="Example Group"))


def test_every_form_of_the_summary_agrees_to_the_cent() -> None:
    made = summary()
    wanted = [share.cents for share in made.shares]
    assert sum(wanted) == made.cents
    rows = list(csv.DictReader(io.StringIO(files.SUMMARY_WRITERS[".csv"](made).decode())))
    assert [cents(row["usd"]) for row in rows if row["line"] == "cost_centre"] == wanted
    found = json.loads(files.SUMMARY_WRITERS[".json"](made))
    assert [cents(row["usd"]) for row in found["cost_centre"]] == wanted
    read = Tables()
    read.feed(files.SUMMARY_WRITERS[".html"](made).decode())
    _, walk, shares, providers, teams = read.tables
    assert [cents(row[3]) for row in shares[1:-1]] == wanted
    assert cents(walk[-1][-1]) == cents(shares[-1][2]) == made.cents
    ledger = made.parts[0].cents
    for listed in (providers, teams):
        assert sum(cents(row[-1]) for row in listed[:-1]) == cents(listed[-1][-1]) == ledger
    book = openpyxl.load_workbook(io.BytesIO(files.SUMMARY_WRITERS[".xlsx"](made)), data_only=True)
    column = [cell.value for cell in book.worksheets[0]["E"][1:]]
    assert [round(float(value) * 100) for value in column] == [*wanted, made.cents]
    if files.weasyprint() is not None:
        reader = pypdf.PdfReader(io.BytesIO(files.SUMMARY_WRITERS[".pdf"](made)))
        text = reader.pages[0].extract_text()
        shown = [cents(one) for one in re.findall(r"\N{MINUS SIGN}?\$[\d,]+\.\d\d", text)]
        assert set(wanted) <= set(shown)


def test_a_word_that_is_account_and_text_is_said_once() -> None:
    postings = [a_posting(("u", "a", "cloud-0", "m"), "input_text", 1234 * USD)]
    made = composed(Ledgered(202610, postings, KNOWN, Terms()), "4100", Facts())
    assert made.journal[1].said == "recharge"
    for suffix in (".html", ".csv", ".json"):
        assert b"recharge recharge" not in files.WRITERS[suffix](made, {})


@pytest.mark.parametrize(
    ("number", "name"),
    [
        ("2026-10-/../x", "2026-10-%2F..%2Fx"),
        ("2026-10-a%2F", "2026-10-a%252F"),
        ("2026-10-ÄÖ 1", "2026-10-ÄÖ 1"),
    ],
)
def test_a_cost_centre_names_a_file_in_the_folder_that_was_asked_for(
    number: str, name: str
) -> None:
    assert files.file_name(number) == name


def test_cost_centres_of_any_length_are_files_of_their_own() -> None:
    numbers = [f"2026-10-{name * 300}{end}" for name in ("x", "語", "/") for end in "ab"]
    names = [files.file_name(number) for number in numbers]
    assert len(set(names)) == len(numbers)
    assert all(len(name.encode()) <= 200 and name.startswith("2026-10-") for name in names)


def test_no_two_files_of_a_folder_are_one_where_case_and_accents_are_not_told_apart() -> None:
    codes = (
        "ABC",
        "abc",
        "Abc",
        "Caf\u00e9",
        "Cafe\u0301",
        "Summary",
        "summary",
        "stra\u00dfe",
        "STRASSE",
        "4100",
    )
    numbers = [f"2026-10-{code}" for code in codes]
    names = files.file_names(numbers, beside="2026-10-summary")
    folded = [normalize("NFC", normalize("NFC", name).casefold()) for name in names.values()]
    assert len({*folded, "2026-10-summary"}) == len(numbers) + 1
    assert names["2026-10-4100"] == "2026-10-4100"
    assert files.file_names(numbers[::-1], beside="2026-10-summary") == names
    assert files.file_names(["2026-10-abc"], beside="x") == {"2026-10-abc": "2026-10-abc"}


def test_names_are_on_the_page_only_where_they_are_given() -> None:
    names = {MADE.people[0].user: "Person One"}
    for suffix in (".html", ".csv", ".json"):
        assert b"Person One" not in files.WRITERS[suffix](MADE, {})
        assert b"Person One" in files.WRITERS[suffix](MADE, names)


def test_a_month_that_is_not_over_says_so_far_in_every_form() -> None:
    running = msgspec.structs.replace(MADE, through="2026-10-14")
    for made, said in (
        (MADE, "1\N{EN DASH}31 October 2026 (UTC)"),
        (running, "1\N{EN DASH}14 October 2026 so far (UTC)"),
    ):
        assert said in files.html(made, {}).decode()
        assert said in plain(drawn(made, {}))
        rows = list(csv.DictReader(io.StringIO(files.csv(made, {}).decode(), newline="")))
        assert {row["through"] for row in rows} == {made.through}
        assert json.loads(files.json(made, {}))["through"] == (made.through or None)
        sheet = openpyxl.load_workbook(io.BytesIO(files.xlsx(made, {})))["Statement"]
        told = [row[1] for row in sheet.iter_rows(values_only=True) if row[0] == "So far, through"]
        assert told == [made.through] * bool(made.through)
    first = msgspec.structs.replace(MADE, through="2026-10-01")
    assert "1 October 2026 so far" in files.html(first, {}).decode()


def test_the_summary_of_a_month_that_is_not_over_says_so_far() -> None:
    ledgered = Ledgered(
        202610, [a_posting(("u", "a", "c", "m"), "input_text", USD)], KNOWN, Terms()
    )
    running = summarised(ledgered, Facts(through="2026-10-14"))
    assert "1\N{EN DASH}14 October 2026 so far" in files.SUMMARY_WRITERS[".html"](running).decode()
    assert "October 2026 so far, through 2026-10-14" in plain(drawn_summary(running))
    found = [json.loads(line) for line in json_lines(running)]
    assert {one["through"] for one in found} == {"2026-10-14"}
    assert summarised(ledgered, Facts()).through == ""


def plain(shown: RenderableType) -> str:
    console = Console(file=io.StringIO(), width=CONSOLE.width, color_system=None)
    with console.capture() as captured:
        console.print(shown)
    return captured.get()


def json_lines(made: Summary) -> list[str]:
    return [json.dumps(record) for record in summary_records(made)]
