"""Live, ready and metrics over a real socket."""

import json
from typing import Any

import pytest

from gateway.edge.probes import Probes


class State:
    def __init__(self) -> None:
        self.problems: tuple[str, ...] = ()


async def one() -> bytes:
    return b"open 1\n"


@pytest.fixture(scope="module")
def probes(serve: Any) -> Any:
    state = State()
    served = serve(Probes(problems=lambda: state.problems, metrics=one))
    served.state = state
    return served


def ask(served: Any, path: str, method: str = "GET") -> tuple[int, bytes, bytes]:
    request = f"{method} {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    head, _, body = served.ask(request.encode()).partition(b"\r\n\r\n")
    return int(head[9:12]), head.lower(), body


def test_live_says_so(probes: Any) -> None:
    status, head, body = ask(probes, "/-/live")
    assert (status, body) == (200, b"live\n")
    assert b"cache-control: no-store" in head


def test_ready_follows_the_problems(probes: Any) -> None:
    assert ask(probes, "/-/ready")[0] == 200
    probes.state.problems = ("spool: disk full",)
    status, _head, body = ask(probes, "/-/ready")
    probes.state.problems = ()
    assert status == 503
    assert json.loads(body) == {"ready": False, "problems": ["spool: disk full"]}


def test_metrics_are_passed_as_rendered(probes: Any) -> None:
    status, head, body = ask(probes, "/-/metrics")
    assert (status, body) == (200, b"open 1\n")
    assert b"content-type: text/plain; version=0.0.4" in head


def test_head_has_no_body_and_other_methods_no_business(probes: Any) -> None:
    assert ask(probes, "/-/live", "HEAD")[::2] == (200, b"")
    assert ask(probes, "/-/live", "POST")[0] == 405


def test_an_unknown_probe_names_the_known_ones(probes: Any) -> None:
    status, _head, body = ask(probes, "/-/alive")
    assert status == 404
    assert b"/-/live" in body
