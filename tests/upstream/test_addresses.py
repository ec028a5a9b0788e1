"""Where requests go: nothing a client names can lead a credential to another host."""

import pytest
from hypothesis import given, strategies as st

from gateway.kernel.errors import BadRequest, UpstreamUnreachable
from gateway.providers.contract import Upstream
from gateway.upstream.addresses import ADDRESSES_MAX, Addresses

TEMPLATE = "https://{location}-models.example.test/v1/"


def at(base_url: str, location: str | None = None) -> Upstream:
    return Upstream(name="u", provider="p", base_url=base_url, location=location)


@pytest.mark.parametrize(
    ("base_url", "location", "host", "path"),
    [
        ("https://a.example.test", None, b"a.example.test", b""),
        ("https://a.example.test:8443/x/", "eu", b"a.example.test:8443", b"/x"),
        ("http://127.0.0.1:80", None, b"127.0.0.1", b""),
        (TEMPLATE, "europe-west4", b"europe-west4-models.example.test", b"/v1"),
        (TEMPLATE, "global", b"models.example.test", b"/v1"),
        ("https://m.{location}.example.test", "us-1", b"m.us-1.example.test", b""),
        ("https://m.{location}.example.test", "global", b"m.example.test", b""),
        ("https://a.example.test/{location}", "global", b"a.example.test", b"/global"),
    ],
)
def test_the_location_is_filled_in_and_global_has_no_prefix(
    base_url: str, location: str | None, host: bytes, path: bytes
) -> None:
    address = Addresses().of(at(base_url, location))
    assert (address.host, address.path) == (host, path)


@given(st.text(max_size=50))
def test_a_location_never_changes_the_rest_of_the_host(location: str) -> None:
    try:
        address = Addresses().of(at(TEMPLATE, location))
    except BadRequest:
        return
    assert address.host == location.encode() + b"-models.example.test" or location == "global"
    assert address.url.userinfo == b""


@pytest.mark.parametrize("location", ["a.evil", "a@b", "a/b", "a#", "EU", "", "a" * 41, "a:1", "é"])
def test_what_is_no_location_is_refused(location: str) -> None:
    with pytest.raises(BadRequest):
        Addresses().of(at(TEMPLATE, location))


@pytest.mark.parametrize(
    "base_url",
    [TEMPLATE, "nowhere", "https://user:pw@a.test", "https://a.test/?x=1", "https://a:b"],
)
def test_an_unusable_base_url_is_named_with_its_cure(base_url: str) -> None:
    with pytest.raises(UpstreamUnreachable, match="'u'"):
        Addresses().of(at(base_url))


def test_addresses_are_kept_and_bounded() -> None:
    addresses = Addresses()
    first = addresses.of(at(TEMPLATE, "eu"))
    for number in range(ADDRESSES_MAX - 1):
        addresses.of(at(TEMPLATE, f"l{number}"))
    assert addresses.of(at(TEMPLATE, "eu")) is first
    for number in range(ADDRESSES_MAX * 2):
        addresses.of(at(TEMPLATE, f"m{number}"))
    assert len(addresses._known) == ADDRESSES_MAX
    assert addresses.of(at(TEMPLATE, "eu")) is not first
