"""Figures pushed to a real OTLP/HTTP receiver on loopback, by a whole gateway; and what a bad receiver costs."""

import asyncio
import json
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)

from gateway import shipped
from gateway.kernel.clock import SystemClock
from gateway.kernel.errors import ConfigurationError
from gateway.telemetry import otlp
from gateway.telemetry.collector import (
    CollectorBusy,
    CollectorDisagreed,
    CollectorNotFound,
    CollectorRefused,
    CollectorTimedOut,
    CollectorTls,
    CollectorUnauthorized,
    CollectorUnknown,
)
from gateway.telemetry.metrics import METRICS, Metrics
from gateway.telemetry.observe import Telemetry
from gateway.telemetry.pushing import STEP, Push, Pusher
from tests.serving import (
    CREDENTIAL,
    ENVIRONMENT,
    RawUpstream,
    Running,
    Script,
    deployments,
    raw_exchange,
    serving,
)

PROMPT: Final = "canary-in-the-prompt-77ac"
CHAT: Final = (
    b'{"id":"c","object":"chat.completion","model":"gpt-4o-2024-11-20","choices":[],'
    b'"usage":{"prompt_tokens":19,"completion_tokens":10,"total_tokens":29}}'
)
CALLS: Final = 3
REFUSED: Final = (429, b'{"error":{"message":"not now"}}')
Point = tuple[str, frozenset[tuple[str, str]]]


class Received:
    """What a collector was sent; ``answer`` gives the status of its answers, after ``delay_s``."""

    def __init__(self, status: int = 200, delay_s: float = 0) -> None:
        self.status = status
        self.delay_s = delay_s
        self.bodies: list[bytes] = []
        self.headers: list[Mapping[str, str]] = []

    def points(self) -> dict[Point, Any]:
        """The data points of the last push, by name and attributes."""
        request = ExportMetricsServiceRequest()
        request.ParseFromString(self.bodies[-1])
        found: dict[Point, Any] = {}
        for resource in request.resource_metrics:
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    for point in getattr(metric, metric.WhichOneof("data")).data_points:
                        told = {(a.key, a.value.string_value) for a in point.attributes}
                        key = (metric.name, frozenset(told))
                        assert key not in found
                        found[key] = point
        return found

    def until(self, condition: Callable[[dict[Point, Any]], bool]) -> dict[Point, Any]:
        """The first push that is as wanted."""
        end = time.monotonic() + 20
        while time.monotonic() < end:
            if self.bodies and condition(points := self.points()):
                return points
            time.sleep(0.05)
        raise AssertionError(self.points() if self.bodies else "nothing came")


@contextmanager
def collector(received: Received) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            received.headers.append({key.lower(): value for key, value in self.headers.items()})
            received.bodies.append(body)
            time.sleep(received.delay_s)
            said = ExportMetricsServiceResponse().SerializeToString()
            self.send_response(received.status)
            self.send_header("content-type", "application/x-protobuf")
            self.send_header("content-length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

        def log_message(self, format: str, *args: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1/metrics"
    finally:
        server.shutdown()
        thread.join(10)
        server.server_close()


def answer(head: bytes, body: bytes) -> Script:
    json = [("content-type", "application/json")]
    if b"x-refuse" in head:
        return Script(REFUSED[0], json, [REFUSED[1]])
    return Script(200, json, [CHAT])


@contextmanager
def pushing(folder: Path, endpoint: str) -> Iterator[Running]:
    upstream = RawUpstream(answer)
    told = (
        f'\n[telemetry]\notlp_endpoint = "{endpoint}"\notlp_seconds = 1\n'
        'otlp_headers = { authorization = "${env:TEST_CREDENTIAL}" }\n'
    )
    extra = deployments(("gpt-4o", "gpt-4o-2024-11-20", "global")) + told
    with upstream.running() as base, serving(folder, base, extra) as running:
        yield running


def call(running: Running, *more: str) -> bytes:
    body = b'{"messages":[{"role":"user","content":"%b"}]}' % PROMPT.encode()
    lines = [
        "POST /azure/openai/deployments/gpt-4o/chat/completions?api-version=1 HTTP/1.1",
        "host: x",
        f"api-key: {running.key.key}",
        "content-type: application/json",
        f"content-length: {len(body)}",
        *more,
    ]
    request = "\r\n".join([*lines, "", ""]).encode() + body
    return raw_exchange(running.port, request)[0].split(b" ")[1]


def one(points: dict[Point, Any], name: str, **attributes: str) -> Any:
    """The one point of a name with these attributes ('.' written as '__') at least."""
    wanted = {(key.replace("__", "."), value) for key, value in attributes.items()}
    (found,) = [point for (of, told), point in points.items() if of == name and wanted <= told]
    return found


def test_a_collector_gets_the_rows_under_the_conventions_names_and_ours(tmp_path: Path) -> None:
    received = Received()
    with collector(received) as endpoint, pushing(tmp_path, endpoint) as running:
        for _ in range(CALLS):
            assert call(running) == b"200"
        assert call(running, "x-refuse: yes") == b"429"
        rows = running.rows(CALLS + 1)
        points = received.until(
            lambda found: (
                sum(
                    p.as_int
                    for (name, _), p in found.items()
                    if name == "weighbridge_entries_total"
                )
                == CALLS + 1
            )
        )
    whole = [row for row in rows if row.status == 200]
    chat = {
        "gen_ai__operation__name": "chat",
        "gen_ai__provider__name": "azure.ai.openai",
        "gen_ai__request__model": "gpt-4o",
    }
    for kind, tokens, bucket in (("input", 19, 3), ("output", 10, 2)):
        usage = one(points, "gen_ai.client.token.usage", gen_ai__token__type=kind, **chat)
        assert (usage.count, usage.sum) == (CALLS, CALLS * tokens)
        assert list(usage.bucket_counts)[bucket] == CALLS
        assert list(usage.explicit_bounds)[:4] == [1, 4, 16, 64]
    times = [point for (name, _), point in points.items() if name.endswith("operation.duration")]
    assert sum(point.count for point in times) == CALLS + 1
    assert sum(point.sum for point in times) == pytest.approx(
        sum(row.total_ms or 0 for row in rows) / 1000
    )
    failed = one(points, "gen_ai.client.operation.duration", error__type="429")
    assert failed.count == 1
    net = one(points, "weighbridge_net_pico_usd_total", provider=whole[0].provider)
    assert net.as_int == sum(row.net_pico or 0 for row in rows)
    assert {name for name, _ in points} > {name for name, (k, _) in METRICS.items() if k == "gauge"}
    assert all(point.time_unix_nano > point.start_time_unix_nano for point in points.values())
    assert net.start_time_unix_nano == failed.start_time_unix_nano > 0
    assert {headers["authorization"] for headers in received.headers} == {CREDENTIAL}
    secrets = (PROMPT, running.key.key, running.key.key_id, "user-0001", CREDENTIAL)
    assert [s for s in secrets for body in received.bodies if s.encode() in body] == []


def test_the_last_figures_are_pushed_at_the_end(tmp_path: Path) -> None:
    received = Received()
    with collector(received) as endpoint:
        with pushing(tmp_path, endpoint) as running:
            assert call(running) == b"200"
        points = received.points()
    assert one(points, "gen_ai.client.operation.duration").count == 1


@pytest.mark.parametrize(("status", "delay_s"), [(401, 0), (200, 30), (None, 0)])
def test_a_collector_that_does_not_take_them_costs_a_count_and_no_request(
    tmp_path: Path, status: int | None, delay_s: float
) -> None:
    received = Received(status or 0, delay_s)
    with collector(received) as found:
        endpoint = found if status else "http://127.0.0.1:9/v1/metrics"
        with pushing(tmp_path, endpoint) as running:
            end = time.monotonic() + 20
            slowest = 0.0
            while 'failures_total{step="otlp"}' not in running.gateway.metrics.render():
                began = time.monotonic()
                assert call(running) == b"200"
                slowest = max(slowest, time.monotonic() - began)
                assert time.monotonic() < end
                time.sleep(0.05)
            assert slowest < 3  # a push waits for five seconds
            received.delay_s = 0


@pytest.mark.anyio
async def test_sums_beyond_the_wires_integers_are_pushed_too() -> None:
    received, metrics = Received(), Metrics()
    metrics.add("weighbridge_net_pico_usd_total", (("provider", "one"),), 10**20)
    with collector(received) as endpoint:
        clock = SystemClock()
        pusher = Pusher(Push(endpoint, {}, 1), (metrics.read,), clock, Telemetry(metrics, clock))
        job = asyncio.ensure_future(pusher.run())
        await asyncio.sleep(0)
        job.cancel()
        with pytest.raises(asyncio.CancelledError):
            await job
        points = await asyncio.to_thread(received.until, bool)
    assert one(points, "weighbridge_net_pico_usd_total").as_double == 1e20
    assert STEP not in metrics.render()


@pytest.mark.anyio
async def test_whatever_the_sdk_raises_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings of its own that it reads from the environment are wrong: the job goes on, and counts."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_METRICS_COMPRESSION", "no such thing")
    metrics, clock = Metrics(), SystemClock()
    telemetry = Telemetry(metrics, clock)
    pusher = Pusher(Push("http://127.0.0.1:9/v1/metrics", {}, 1), (metrics.read,), clock, telemetry)
    job = asyncio.ensure_future(pusher.run())
    for _ in range(100):
        await asyncio.sleep(0.05)
        if STEP in metrics.render():
            break
    assert not job.done()
    job.cancel()
    with pytest.raises(asyncio.CancelledError):
        await job
    assert f'weighbridge_failures_total{{step="{STEP}"}} 2\n' in metrics.render()


def test_without_an_endpoint_the_sdk_is_not_loaded_and_without_its_extra_the_start_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "gateway.telemetry.otlp", None)
    clock = SystemClock()
    observer = Telemetry(Metrics(), clock)
    asyncio.run(Pusher(Push(), (), clock, observer).run())
    with pytest.raises(ConfigurationError, match=r"weighbridge\[otlp\]"):
        Pusher(Push("http://127.0.0.1:9/v1/metrics"), (), clock, observer)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('otlp_headers = { authorization = "Bearer s3cr3t" }', "never the secret itself"),
        ('otlp_headers = "x"', "expected a table"),
        ('otlp_endpoint = "collector:4318"', "https://collector:4318/v1/metrics"),
        ('otlp_endpoint = "https://me:s3cr3t@collector/v1/metrics"', "never as a literal"),
        ("otlp_seconds = 0", "telemetry.otlp_seconds"),
    ],
    ids=["literal", "no table", "no url", "password", "no time"],
)
def test_a_wrong_setting_is_named_with_its_cure(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "weighbridge.toml"
    path.write_text(f"[telemetry]\n{text}\n")
    with pytest.raises(ConfigurationError) as caught:
        shipped.configured(path, ENVIRONMENT)
    assert words in str(caught.value)
    assert "s3cr3t" not in str(caught.value)


FAILURES = {
    "refused": (0, CollectorRefused),
    "no such host": (0, CollectorUnknown),
    "tls": (200, CollectorTls),
    "silent": (200, CollectorTimedOut),
    **{str(status): (status, kind) for status, kind in (
        (401, CollectorUnauthorized), (403, CollectorUnauthorized), (404, CollectorNotFound),
        (400, CollectorDisagreed), (503, CollectorBusy),
    )},
}  # fmt: skip


@pytest.mark.parametrize("how", FAILURES)
def test_a_push_that_fails_says_which_kind_it_is_and_the_cure(
    how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    status, kind = FAILURES[how]
    monkeypatch.setattr(otlp, "TIMEOUT_S", 1.0)
    received = Received(status, 3 if how == "silent" else 0)
    with collector(received) as found:
        port = found.split(":")[2].partition("/")[0]
        endpoint = {
            "refused": "http://127.0.0.1:9/v1/metrics",
            "no such host": "http://nowhere.invalid:4318/v1/metrics",
            "tls": f"https://127.0.0.1:{port}/v1/metrics",
        }.get(how, found)
        at = otlp.Collector(endpoint, {}, 0)
        with pytest.raises(kind) as caught:
            at.push([], 1)
        at.close()
    assert type(caught.value) is kind
    assert "127.0.0.1" not in str(caught.value) + kind.cure


def test_the_log_has_the_cure_of_a_failure_that_has_one(kept: Any) -> None:
    telemetry = Telemetry(Metrics(), SystemClock())
    telemetry.failed(STEP, CollectorNotFound("a-secret"))
    telemetry.failed(STEP, ValueError("a-secret"))
    first, second = map(json.loads, kept.lines)
    assert (first["error"], first["cure"]) == ("CollectorNotFound", CollectorNotFound.cure)
    assert (second["error"], "cure" in second) == ("ValueError", False)
    assert "a-secret" not in "".join(kept.lines)
