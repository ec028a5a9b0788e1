"""Gateway keys: every minted key is valid, a mistyped one never is, and derivation keeps its labels apart."""

import base64
import hashlib
import hmac
import re
import string
from collections.abc import Callable

import pytest
from hypothesis import given, strategies as st

from gateway.identity.keys import (
    KEY_PREFIX,
    derive_pepper,
    derive_secret,
    digest,
    hkdf,
    looks_valid,
    mint,
    mint_access_key_id,
    mint_key_id,
    public_prefix,
)

BASE62 = string.digits + string.ascii_letters
MASTERS = st.binary(min_size=32, max_size=64)
RANDOM = st.binary(min_size=32, max_size=32).map(lambda seed: lambda size: seed[:size])
EDGES = st.sampled_from([bytes(32), b"\xff" * 32]).map(lambda seed: lambda size: seed[:size])
Random = Callable[[int], bytes]


@given(RANDOM | EDGES)
def test_every_minted_key_is_valid_and_has_one_length(random: Random) -> None:
    key = mint(random)
    assert looks_valid(key)
    assert re.fullmatch(r"wb_[0-9A-Za-z]{49}", key)
    assert public_prefix(key) == key[:8]


@given(st.binary(min_size=32, max_size=32), st.binary(min_size=32, max_size=32))
def test_different_randomness_gives_different_keys(one: bytes, other: bytes) -> None:
    assert (mint(lambda _: one) == mint(lambda _: other)) == (one == other)


@given(RANDOM, st.integers(0, 51), st.characters())
def test_one_changed_character_never_passes(random: Random, place: int, letter: str) -> None:
    key = mint(random)
    changed = key[:place] + letter + key[place + 1 :]
    assert looks_valid(changed) == (changed == key)


@given(RANDOM, st.integers(0, 50))
def test_two_swapped_characters_never_pass(random: Random, place: int) -> None:
    key = mint(random)
    swapped = key[:place] + key[place + 1] + key[place] + key[place + 2 :]
    assert looks_valid(swapped) == (swapped == key)


@given(st.text(max_size=60) | st.text(alphabet=BASE62, min_size=49, max_size=49).map("wb_".__add__))
def test_chance_never_makes_a_key(text: str) -> None:
    assert not looks_valid(text)


@pytest.mark.parametrize("spoil", ["{}\n", " {}", "{}0", "Bearer {}"])
def test_a_key_with_something_around_it_is_none(spoil: str) -> None:
    assert not looks_valid(spoil.format(mint(lambda size: b"x" * size)))


@given(st.text(max_size=60), st.binary(min_size=1, max_size=64))
def test_the_digest_is_hmac_sha256_under_the_pepper(key: str, pepper: bytes) -> None:
    assert digest(key, pepper) == hmac.new(pepper, key.encode(), hashlib.sha256).digest()


@given(RANDOM | EDGES)
def test_ids_have_the_form_their_readers_expect(random: Random) -> None:
    assert re.fullmatch(r"key_[0-9A-Za-z]{22}", mint_key_id(random))
    assert re.fullmatch(r"WBAK[0-9A-Z]{16}", mint_access_key_id(random))


@pytest.mark.parametrize("minted", [mint_key_id, mint_access_key_id])
def test_ids_of_different_randomness_differ(minted: Callable[[Random], str]) -> None:
    seeds = iter(hashlib.sha256(bytes((i,))).digest() for i in range(200))
    assert len({minted(lambda size: next(seeds)[:size]) for _ in range(200)}) == 200


@given(MASTERS, RANDOM)
def test_a_derived_secret_looks_like_one_of_aws(master: bytes, random: Random) -> None:
    access_key_id = mint_access_key_id(random)
    secret = derive_secret(master, access_key_id)
    assert len(secret) == 40
    assert len(base64.b64decode(secret, validate=True)) == 30
    assert derive_secret(master, access_key_id) == secret
    assert derive_secret(master, access_key_id[:-1] + "_") != secret
    assert derive_secret(master + b"x", access_key_id) != secret
    assert derive_pepper(master)[:30] != base64.b64decode(secret)
    assert len(derive_pepper(master)) == 32


@pytest.mark.parametrize("derive", [derive_pepper, lambda master: derive_secret(master, "WBAK0")])
def test_a_short_master_secret_is_refused_without_being_quoted(
    derive: Callable[[bytes], object],
) -> None:
    with pytest.raises(ValueError, match="at least 32 bytes") as raised:
        derive(b"canary" * 5)
    assert "canary" not in str(raised.value)


@pytest.mark.parametrize(
    ("salt", "info", "length", "expected"),
    [
        (
            "000102030405060708090a0b0c",
            "f0f1f2f3f4f5f6f7f8f9",
            42,
            "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865",
        ),
        (
            "",
            "",
            42,
            "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8",
        ),
    ],
)
def test_hkdf_gives_the_vectors_of_rfc_5869(
    salt: str, info: str, length: int, expected: str
) -> None:
    derived = hkdf(b"\x0b" * 22, bytes.fromhex(salt), bytes.fromhex(info), length)
    assert derived.hex() == expected


def test_hkdf_ends_where_its_counter_ends() -> None:
    assert len(hkdf(b"m" * 32, b"", b"", 255 * 32)) == 255 * 32
    with pytest.raises(ValueError, match="8,160"):
        hkdf(b"m" * 32, b"", b"", 255 * 32 + 1)


def test_the_prefix_is_the_product_s() -> None:
    assert KEY_PREFIX == "wb_"
