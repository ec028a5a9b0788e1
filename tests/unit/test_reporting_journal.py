"""The journal: debits equal credits in every form, whatever was charged; nothing unbalanced is ever written."""

from decimal import Decimal

import msgspec
import pytest
from hypothesis import given, strategies as st

from gateway.reporting.compose import Books, journal as journal_of
from gateway.reporting.journal import (
    FORMS,
    Head,
    Past,
    Unbalanced,
    entries,
    posting_date,
    templated,
    withdrawn,
)
from gateway.reporting.organisation import CostCentre
from gateway.reporting.statement import JournalLine, Line, Statement

HEAD = Head(period=202610, posting_date="2026-10-31", company_code="1000")
BOOKS = Books(platform_centre="9000", recharge_account="799000", tax_account="481000")


def statement(code: str, amounts: list[int], tax: int = 0, *, posts: bool = True) -> Statement:
    centre = CostCentre(code, f"Centre {code}", gl_account="652100", posts=posts)
    lines = tuple(Line(f"part:{n}", "", "", cents) for n, cents in enumerate(amounts))
    lines += (Line("tax", "Tax", "", tax),) if tax else ()
    return Statement(
        number=f"2026-10-{code}",
        period=202610,
        centre=centre,
        cents=sum(line.cents for line in lines),
        metered_cents=0,
        requests=0,
        unpriced=0,
        lines=lines,
        journal=journal_of(centre, lines, BOOKS),
    )


months = st.lists(
    st.tuples(
        st.lists(st.integers(min_value=-(10**9), max_value=10**12), max_size=5),
        st.integers(min_value=-(10**6), max_value=10**9),
        st.booleans(),
    ),
    max_size=8,
)


def statements(month: list[tuple[list[int], int, bool]]) -> list[Statement]:
    return [
        statement(str(4000 + n), amounts, tax, posts=posts)
        for n, (amounts, tax, posts) in enumerate(month)
    ]


@given(months)
def test_debits_equal_credits_in_every_entry_of_every_form(
    month: list[tuple[list[int], int, bool]],
) -> None:
    made = statements(month)
    found = entries(made, {})
    charged = {one.number: one.cents for one in made if one.centre.posts and one.cents}
    sums: dict[str, Decimal] = {}
    for row in FORMS["sap"].rows(HEAD, found):
        sums[row["Reference"]] = sums.get(row["Reference"], Decimal(0)) + Decimal(row["Amount"])
    assert sums == dict.fromkeys(charged, Decimal(0))
    for row in FORMS["netsuite"].rows(HEAD, found):
        assert bool(row["Line: Debit"]) != bool(row["Line: Credit"])
    plain = list(FORMS["generic"].rows(HEAD, found))
    assert sum(Decimal(row["debit"]) for row in plain) == sum(Decimal(row["credit"]) for row in plain)  # fmt: skip
    for number, cents in charged.items():
        own = [row for row in plain if row["entry"] == number and row["account"] == "652100"]
        assert sum(Decimal(row["amount"]) for row in own) == Decimal(cents) / 100
    for name, form in FORMS.items():
        assert all(tuple(row) == form.columns for row in form.rows(HEAD, found)), name


def test_what_does_not_balance_or_names_no_account_is_refused() -> None:
    made = statement("4100", [1000])
    tampered = msgspec.structs.replace(
        made, journal=(*made.journal, JournalLine("4100", "652100", "more", 1, 0))
    )
    with pytest.raises(Unbalanced, match=r"debits 10\.01, credits 10\.00"):
        entries([tampered], {})
    nameless = msgspec.structs.replace(
        made, journal=tuple(msgspec.structs.replace(line, account="") for line in made.journal)
    )
    with pytest.raises(Unbalanced, match="has no account"):
        entries([nameless], {})


def test_a_template_of_ones_own_fills_what_it_names_and_refuses_what_is_none() -> None:
    found = entries([statement("4100", [123_456], 1000)], {})
    rows = list(templated(("Konto", "Soll", "Haben"), ("{account}", "{debit}", "{credit}"), HEAD, found))  # fmt: skip
    assert rows[0] == {"Konto": "652100", "Soll": "1244.56", "Haben": "0.00"}
    assert [row["Haben"] for row in rows[1:]] == ["1234.56", "10.00"]
    with pytest.raises(ValueError, match="names 'colour'"):
        list(templated(("a",), ("{colour}",), HEAD, found))
    with pytest.raises(ValueError, match="2 columns and 1 cells"):
        list(templated(("a", "b"), ("{entry}",), HEAD, found))
    literal = list(templated(("a",), ("{entry.__class__}",), HEAD, found))
    assert literal[0]["a"] == "{entry.__class__}"


def test_the_number_of_an_entry_is_that_of_its_charge_not_of_the_step_it_is_read_from() -> None:
    one, other = statement("4100", [100]), statement("4100", [101])
    past = Past()
    for made, number, replaced in (
        (one, "2026-10-4100", ""),
        (one, "2026-10-4100", ""),
        (other, "2026-10-4100-r2", "2026-10-4100"),
        (other, "2026-10-4100-r2", "2026-10-4100"),
        (one, "2026-10-4100-r3", "2026-10-4100-r2"),
    ):
        past = past.after(made.journal)
        for revision in (2, 3, 4):
            read = msgspec.structs.replace(made, revision=revision)
            (entry,) = entries([read], {"4100": past})
            assert (entry.number, entry.replaces) == (number, replaced)
            assert entry.text.endswith(f", replaces {replaced}") == bool(replaced)


def test_a_charge_that_was_withdrawn_and_comes_again_is_another_entry() -> None:
    made = statement("4100", [100])
    gone = Past().after(made.journal).after(())
    assert (gone.number("n"), gone.lines) == ("n", ())
    assert gone.after(made.journal).number("n") == "n-r2"
    assert Past().number("n") == Past().number("n", back=1) == ""


def test_what_may_still_change_is_a_draft_by_its_number_and_text() -> None:
    (entry,) = entries([statement("4100", [100])])
    assert (entry.number, entry.replaces) == ("2026-10-4100-draft", "")
    assert entry.text.startswith("Draft: ")


def test_texts_stay_texts() -> None:
    evil = msgspec.structs.replace(statement("4100", [100]), centre=CostCentre("4100", "=1+1"))
    (entry,) = entries([evil], {})
    entry = msgspec.structs.replace(entry, text="=cmd()")
    row = next(FORMS["netsuite"].rows(HEAD, [entry]))
    assert row["Memo"] == "'=cmd()"
    assert row["External ID"] == "2026-10-4100"
    assert posting_date(202602) == "2026-02-28"


def test_a_charge_that_stays_away_has_had_its_entries_and_no_more() -> None:
    one, two = statement("4100", [100]).journal, statement("4100", [200]).journal
    past = Past().after(())
    assert past == Past()
    past = past.after(one).after(two).after(()).after(())
    assert (past.times, past.lines) == (2, ())
    assert [past.number("n", back=back) for back in (0, 1, 2)] == ["n-r2", "n", ""]
    assert past.after(two).number("n") == "n-r3"


def test_every_entry_that_no_longer_holds_is_named_whoever_still_has_a_statement() -> None:
    one, two = statement("4100", [100]).journal, statement("4100", [200]).journal
    past = {
        "4400": Past().after(one),
        "4300": Past(),
        "4200": Past().after(one).after(two).after(()),
        "4100": Past().after(one).after(two),
    }
    assert list(withdrawn(202610, past)) == [
        ("2026-10-4100", "2026-10-4100-r2"),
        ("2026-10-4200-r2", ""),
    ]
    assert list(withdrawn(202610, {})) == []


def test_what_is_posted_says_what_it_replaces_and_does_so_per_centre() -> None:
    first = {code: Past().after(statement(code, [100]).journal) for code in ("4100", "4200")}
    now = [statement("4100", [100]), statement("4200", [300]), statement("4300", [7])]
    found = entries(now, first)
    assert [(entry.number, entry.replaces) for entry in found] == [
        ("2026-10-4100", ""),
        ("2026-10-4200-r2", "2026-10-4200"),
        ("2026-10-4300", ""),
    ]
    assert [entry.text for entry in found] == [
        "Model inference October 2026, 4100 Centre 4100",
        "Model inference October 2026, 4200 Centre 4200, replaces 2026-10-4200",
        "Model inference October 2026, 4300 Centre 4300",
    ]
    assert [entry.lines for entry in found] == [made.journal for made in now]


def test_what_does_not_post_is_passed_over_and_not_the_rest() -> None:
    now = [statement("4100", [100], posts=False), statement("4200", []), statement("4300", [7])]
    assert [entry.number for entry in entries(now, {})] == ["2026-10-4300"]
    now.append(statement("4400", [8]))
    drafts = entries(now)
    assert [entry.number for entry in drafts] == ["2026-10-4300-draft", "2026-10-4400-draft"]
    assert [entry.text for entry in drafts] == [
        f"Draft: Model inference October 2026, {code} Centre {code}" for code in ("4300", "4400")
    ]
    assert [entry.lines for entry in drafts] == [made.journal for made in now[2:]]


def test_an_account_that_is_missing_is_named_with_the_cure() -> None:
    made = statement("4100", [100])
    first, *rest = made.journal
    lines = (first, *(msgspec.structs.replace(line, account="") for line in rest))
    with pytest.raises(Unbalanced, match=r"2026-10-4100: cost centre 9000 .*gl_account"):
        entries([msgspec.structs.replace(made, journal=lines)], {})


def test_the_rows_of_every_system_by_hand() -> None:
    found = entries([statement("4100", [123_456, -56], 1_000)], {})
    debit = {"Line: Account": "652100", "Line: Debit": "1244.00", "Line: Credit": ""}
    credit = {"Line: Account": "799000", "Line: Debit": "", "Line: Credit": "1234.00"}
    tax = {"Line: Account": "481000", "Line: Debit": "", "Line: Credit": "10.00"}
    rows = list(FORMS["netsuite"].rows(HEAD, found))
    for row, expected, centre in zip(rows, (debit, credit, tax), ("4100", "9000", "9000"), strict=True):  # fmt: skip
        assert expected.items() <= row.items()
        assert (row["External ID"], row["Date"], row["Currency"], row["Line: Department"]) == (
            "2026-10-4100", "2026-10-31", "USD", centre,
        )  # fmt: skip
        assert row["Memo"] == "Model inference October 2026, 4100 Centre 4100"
    assert [row["Line: Memo"] for row in rows] == ["Centre 4100", "recharge", "tax"]
    assert [
        (row["Company Code"], row["Document Type"], row["Posting Date"], row["Document Date"],
         row["Reference"], row["G/L Account"], row["Debit/Credit"], row["Amount"], row["Cost Centre"], row["Text"])
        for row in FORMS["sap"].rows(HEAD, found)
    ] == [
        ("1000", "SA", "20261031", "20261031", "2026-10-4100", account, sign, amount, centre, text)
        for account, sign, amount, centre, text in (
            ("652100", "S", "1244.00", "4100", "Centre 4100"),
            ("799000", "H", "-1234.00", "9000", "recharge"),
            ("481000", "H", "-10.00", "9000", "tax"),
        )
    ]  # fmt: skip
    assert [tuple(row.values()) for row in FORMS["generic"].rows(HEAD, found)] == [
        ("2026-10-4100", "2026-10-31", "USD", *cells, f"{found[0].text}: {text}")
        for *cells, text in (
            ("652100", "4100", "1244.00", "0.00", "1244.00", "Centre 4100"),
            ("799000", "9000", "0.00", "1234.00", "-1234.00", "recharge"),
            ("481000", "9000", "0.00", "10.00", "-10.00", "tax"),
        )
    ]


def test_a_credit_note_is_posted_the_other_way_round() -> None:
    found = entries([statement("4100", [-5_000])], {})
    assert [
        (row["Debit/Credit"], row["Amount"], row["G/L Account"])
        for row in FORMS["sap"].rows(HEAD, found)
    ] == [("H", "-50.00", "652100"), ("S", "50.00", "799000")]


@pytest.mark.parametrize(
    ("period", "day"),
    [(202610, "2026-10-31"), (202602, "2026-02-28"), (202802, "2028-02-29"), (202612, "2026-12-31"), (202601, "2026-01-31")],
)  # fmt: skip
def test_a_month_is_posted_on_its_last_day(period: int, day: str) -> None:
    assert posting_date(period) == day


def test_every_cell_of_a_template_is_filled_wherever_the_name_stands() -> None:
    found = entries([statement("4100", [100])], {})
    cells = ("{entry}/{account}", "fixed", "{debit}-{debit}", "")
    rows = list(templated(("a", "b", "c", "d"), cells, HEAD, found))
    assert rows[0] == {"a": "2026-10-4100/652100", "b": "fixed", "c": "1.00-1.00", "d": ""}
    with pytest.raises(ValueError, match="names ''"):
        list(templated(("a", "b"), ("{entry}", "{}"), HEAD, found))
    assert set(FORMS["generic"].columns) == {
        "entry", "posting_date", "currency", "account", "cost_centre", "debit", "credit", "amount", "text",
    }  # fmt: skip
