"""The close of a month as rules: which step follows which, where late rows go; and its signature."""

from hashlib import sha256

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from gateway.identity.signing import BadKey, is_signed, signed, signer
from gateway.kernel.ids import new_id
from gateway.ledger.closing import (
    STATES,
    Refused,
    Sealed,
    check_step,
    digest_of,
    moved,
    open_from,
    signed_bytes,
)
from gateway.ledger.entry import Entry, Outcome

ROW = Entry(
    id=new_id(), request_id=new_id(), occurred_us=5, booked_us=9, day="2026-11-30", period=202611,
    org="o", team="t", user="user-0001", key_id="k", provider="cloud", operation="chat",
    upstream="u", status=200, outcome=Outcome.COMPLETE, provenance="reported",
)  # fmt: skip
ALLOWED = {
    ("open", "provisional"),
    ("provisional", "provisional"),
    ("provisional", "reconciled"),
    ("reconciled", "approved"),
    ("approved", "posted"),
    ("reconciled", "provisional"),
    ("approved", "provisional"),
}


@pytest.mark.parametrize("was", STATES)
@pytest.mark.parametrize("to", STATES)
def test_only_the_next_state_follows_and_nothing_follows_posted(was: str, to: str) -> None:
    if (was, to) in ALLOWED:
        check_step(was, to, "a reason")
    else:
        with pytest.raises(Refused):
            check_step(was, to, "a reason")


def test_reconciling_and_going_back_need_a_reason() -> None:
    for was, to in (("provisional", "reconciled"), ("approved", "provisional")):
        with pytest.raises(Refused, match="note"):
            check_step(was, to, "")
    for was, to in (("open", "provisional"), ("reconciled", "approved"), ("approved", "posted")):
        check_step(was, to, "")
    check_step("provisional", "provisional", "")


def test_what_is_posted_says_that_it_never_changes() -> None:
    for to in STATES:
        with pytest.raises(Refused, match="is posted: it never changes"):
            check_step("posted", to, "a reason")


def test_a_late_row_goes_to_the_first_month_that_takes_rows() -> None:
    assert open_from(202611, {202610}) == 202611
    assert open_from(202611, {202611, 202612, 202702}) == 202701


def test_a_late_row_keeps_its_day_and_a_row_in_time_is_not_touched() -> None:
    late = moved(ROW, {202611, 202612})
    assert late == msgspec.structs.replace(ROW, period=202701)
    assert moved(ROW, {202610, 202612}) is ROW


def test_the_digest_of_no_rows_is_that_of_no_bytes() -> None:
    assert digest_of([]) == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert digest_of([b"ab", b"c"]) == sha256(b"abc").hexdigest()


def test_what_is_sealed_of_nothing_is_zero() -> None:
    nothing = Sealed()
    assert (nothing.rows, nothing.version, nothing.net_pico, nothing.link) == (0, 0, 0, 0)


def test_the_digest_does_not_depend_on_how_rows_were_cut() -> None:
    parts = [bytes([n]) * 32 for n in range(7)]
    assert digest_of(parts) == digest_of([b"".join(parts[:3]), b"".join(parts[3:])])
    assert digest_of(parts) != digest_of(parts[::-1])


def pem(key: ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def test_a_signature_is_over_every_word_of_what_was_sealed() -> None:
    key = ed25519.Ed25519PrivateKey.generate()
    sealed = Sealed(rows=3, digest="ab", documents={"4100": "cd"})
    message = signed_bytes(202610, sealed)
    made = signed(pem(key), message)
    assert is_signed(made, message)
    assert signer(made) == key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw).hex()
    for other in (
        signed_bytes(202611, sealed),
        signed_bytes(202610, Sealed(rows=4, digest="ab", documents={"4100": "cd"})),
        signed_bytes(202610, Sealed(rows=3, digest="ab", documents={"4100": "ce"})),
    ):
        assert not is_signed(made, other)
    assert not is_signed(b"short", message)
    assert not is_signed(bytes(96), message)


def test_a_key_of_another_kind_is_refused() -> None:
    with pytest.raises(BadKey, match="Ed25519"):
        signed(pem(ec.generate_private_key(ec.SECP256R1())), b"x")
    with pytest.raises(BadKey, match="PEM"):
        signed(b"no key at all", b"x")
