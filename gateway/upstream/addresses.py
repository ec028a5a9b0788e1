"""Where a configured upstream is: its base URL with the location filled in, checked once and kept.

To let a base URL vary by something else than the location: another placeholder, filled in ``Addresses.of``
from a field of Upstream, with its own pattern; nothing a client sends may reach a host name unchecked.
"""

import re
from collections import OrderedDict
from typing import Final

import httpx
import msgspec

from gateway.kernel.errors import BadRequest, UpstreamUnreachable
from gateway.providers.contract import Upstream
from gateway.upstream.connection import Origin
from gateway.upstream.outgoing import origin_of

# Locations come from clients' paths.
ADDRESSES_MAX: Final = 1_024

_LOCATION: Final = re.compile(r"[a-z0-9-]{1,40}")
_PLACEHOLDER: Final = "{location}"
_GLOBAL: Final = "global"


class Address(msgspec.Struct, frozen=True):
    """url: scheme, host and port, also as origin · host: the value of Host · path: what goes before every target's"""

    url: httpx.URL
    origin: Origin
    host: bytes
    path: bytes


class Addresses:
    """The addresses in use, least recently used out first."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[str, str | None], Address] = OrderedDict()

    def of(self, upstream: Upstream) -> Address:
        """The address of an upstream at its location.

        Raises BadRequest for a location that is no location name, UpstreamUnreachable where the base URL
        needs one and there is none.
        """
        key = (upstream.base_url, upstream.location)
        address = self._known.get(key)
        if address is None:
            address = self._known[key] = _address(upstream)
            if len(self._known) > ADDRESSES_MAX:
                self._known.popitem(last=False)
        else:
            self._known.move_to_end(key)
        return address


def _address(upstream: Upstream) -> Address:
    cure = f"upstream {upstream.name!r}: base_url must read scheme://host[:port][/path]"
    try:
        url = httpx.URL(_located(upstream))
    except httpx.InvalidURL as error:
        raise UpstreamUnreachable(cure) from error
    if not url.host or url.query or url.userinfo:
        raise UpstreamUnreachable(cure)
    try:
        origin = origin_of(url)
    except httpx.UnsupportedProtocol as error:
        raise UpstreamUnreachable(cure) from error
    return Address(url.copy_with(path="/"), origin, url.netloc, url.raw_path.rstrip(b"/"))


def _located(upstream: Upstream) -> str:
    """The base URL with its location; 'global' has no prefix: https://{location}-host → https://host."""
    if _PLACEHOLDER not in upstream.base_url:
        return upstream.base_url
    location = upstream.location
    if location is None:
        raise UpstreamUnreachable(
            f"upstream {upstream.name!r} needs a location: set location, or name one in the path"
        )
    if _LOCATION.fullmatch(location) is None:
        raise BadRequest("the location in the path must be 1 to 40 of a-z, 0-9 and '-'")
    if location == _GLOBAL:
        bare = upstream.base_url.replace(f"{_PLACEHOLDER}-", "").replace(f"{_PLACEHOLDER}.", "")
        return bare.replace(_PLACEHOLDER, _GLOBAL)
    return upstream.base_url.replace(_PLACEHOLDER, location)
