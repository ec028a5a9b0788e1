"""Every error httpx can raise leaves as one of ours, the most specific."""

import httpx
import pytest

from gateway.kernel.errors import (
    UpstreamFailed,
    UpstreamMalformed,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from gateway.upstream.wall import Wall

OURS = {
    httpx.ConnectError: UpstreamUnreachable,
    httpx.ConnectTimeout: UpstreamUnreachable,
    httpx.PoolTimeout: UpstreamUnreachable,
    httpx.UnsupportedProtocol: UpstreamUnreachable,
    httpx.ReadTimeout: UpstreamTimeout,
    httpx.WriteTimeout: UpstreamTimeout,
    httpx.RemoteProtocolError: UpstreamMalformed,
    httpx.LocalProtocolError: UpstreamFailed,
    httpx.ReadError: UpstreamFailed,
    httpx.WriteError: UpstreamFailed,
    httpx.CloseError: UpstreamFailed,
    httpx.ProxyError: UpstreamFailed,
}


def leaves(kind: type[httpx.TransportError]) -> set[type[httpx.TransportError]]:
    children = kind.__subclasses__()
    return {kind} if not children else {leaf for child in children for leaf in leaves(child)}


def test_the_table_above_is_complete() -> None:
    assert leaves(httpx.TransportError) == set(OURS)


@pytest.mark.parametrize("theirs", OURS)
def test_each_error_becomes_ours_and_keeps_its_cause(theirs: type[httpx.TransportError]) -> None:
    with pytest.raises(UpstreamFailed, match="'east': why") as caught, Wall("east"):
        raise theirs("why")
    assert type(caught.value) is OURS[theirs]
    assert type(caught.value.__cause__) is theirs


def test_other_errors_pass_unchanged() -> None:
    with pytest.raises(KeyError), Wall("east"):
        raise KeyError("x")
