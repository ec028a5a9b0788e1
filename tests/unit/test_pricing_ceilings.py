"""Output ceilings: the file is read whole or refused whole, and what ships is plausible and known to the book."""

from pathlib import Path

import pytest

from gateway import shipped
from gateway.pricing import load
from gateway.pricing.ceilings import COLUMNS, TOKENS_MAX, Ceilings, CeilingsInvalid

SEED = Path(__file__).resolve().parents[2] / "gateway" / "pricing" / "seed"
BOOK = load.book({path.name: path.read_bytes() for path in sorted(SEED.glob("*.csv"))})
SHIPPED = shipped.ceilings()
MODELS = {row.model for row in BOOK.rows}
# Named by the lists the ceilings are from, priced by none of the seed's sources yet.
UNPRICED: frozenset[str] = frozenset()
HEADER = ",".join(COLUMNS)


def read(*lines: str) -> Ceilings:
    return Ceilings.from_bytes("\n".join((HEADER, *lines)).encode())


def test_a_line_is_a_models_ceiling_and_context() -> None:
    found = read("m,8192,200000,list 1,m-v1", "e,,512,list 1,e-v1", "w,10,,list 1,w-v1")
    assert [found.output(name) for name in ("m", "e", "w", "other", None)] == [
        8192,
        0,
        10,
        None,
        None,
    ]
    assert [found.context(name) for name in ("m", "e", "w", "other")] == [200_000, 512, None, None]


def test_every_bad_line_is_reported_with_its_place() -> None:
    with pytest.raises(CeilingsInvalid) as caught:
        read(
            "a,0,1,s,r",
            "b,-1,1,s,r",
            "c,1.5,1,s,r",
            "d,1,1,,r",
            ",1,1,s,r",
            "e,1",
            "f,1,1,s,r",
            "f,2,2,s,r",
        )
    text = str(caught.value)
    assert all(f"ceilings.csv:{line}" in text for line in (2, 3, 4, 5, 6, 7))
    assert "'f' stands there twice" in text
    assert len(caught.value.problems) == 7
    assert text.splitlines() == list(caught.value.problems)


@pytest.mark.parametrize("content", [b"", b"model,output\n", b"\xff\xfe"])
def test_a_file_of_another_form_is_refused(content: bytes) -> None:
    with pytest.raises(CeilingsInvalid, match=r"ceilings\.csv"):
        Ceilings.from_bytes(content)


@pytest.mark.parametrize("name", SHIPPED.named)
def test_a_shipped_ceiling_is_plausible_and_sourced(name: str) -> None:
    line = SHIPPED.named[name]
    assert line.source
    assert line.source_ref
    assert 64 <= line.context <= 20_000_000
    assert line.output == 0 or 512 <= line.output <= 2_000_000
    assert line.output <= line.context


@pytest.mark.parametrize("name", SHIPPED.named)
def test_a_model_without_an_output_ceiling_has_no_output_price(name: str) -> None:
    units = {row.unit for row in BOOK.rows if row.model == name}
    assert (SHIPPED.named[name].output == 0) == (not any(u.startswith("output_") for u in units))


def test_every_shipped_ceiling_is_of_a_model_the_book_knows() -> None:
    assert SHIPPED.named.keys() - MODELS == UNPRICED


def test_a_ceiling_is_from_one_token_to_a_hundred_million() -> None:
    assert TOKENS_MAX == 100_000_000
    found = read("m,1,100000000,list 1,m", "n,100000000,1,list 1,n")
    assert [found.output(name) for name in ("m", "n")] == [1, 100_000_000]
    assert [found.context(name) for name in ("m", "n")] == [100_000_000, 1]
    for bad in ("0", "100000001", "-1", "+1", "1_000", "1e3", "\u0663", "\u00b2"):
        for cells in (f"{bad},1", f"1,{bad}"):
            with pytest.raises(CeilingsInvalid, match="is not a number of tokens from 1 to 100000000"):  # fmt: skip
                read(f"m,{cells},list 1,m")


def test_a_line_is_kept_as_it_is_written_and_names_where_it_is_from() -> None:
    (line,) = read("m,8192,200000,list 1,m-v1").named.values()
    assert (line.model, line.output, line.context) == ("m", 8192, 200_000)
    assert (line.source, line.source_ref) == ("list 1", "m-v1")
    for cells in (",1,1,s,r", "m,1,1,,r", "m,1,1,s,"):
        with pytest.raises(CeilingsInvalid, match=r"ceilings\.csv:2: a ceiling names its model"):
            read(cells)


def test_a_file_is_named_as_it_is_called() -> None:
    with pytest.raises(CeilingsInvalid, match=r"own\.csv:2"):
        Ceilings.from_bytes(f"{HEADER}\nm,0,1,s,r".encode(), "own.csv")
    assert Ceilings().output("m") is None
    assert Ceilings().context("m") is None
    assert read("m,8,9,s,r").context(None) is None
