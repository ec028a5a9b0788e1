"""Readings → an OpenTelemetry collector over OTLP/HTTP. The only importer of opentelemetry; loaded where configured.

The SDK's data model and exporter do it; its instruments would cost the hot path more than our own figures.
"""

import logging
import socket
import uuid
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from typing import Any, Final

import requests
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    Histogram as Buckets,
    HistogramDataPoint,
    Metric,
    MetricExportResult,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from gateway.telemetry.collector import (
    CollectorFailed,
    CollectorRefused,
    CollectorTimedOut,
    CollectorTls,
    CollectorUnknown,
    by_status,
)
from gateway.telemetry.exposition import Labels
from gateway.telemetry.genai import INSTRUMENTS
from gateway.telemetry.metrics import METRICS, Histogram, Reading

TIMEOUT_S: Final = 5.0  # of one push, its repetitions included
_INT64_MAX: Final = 2**63 - 1
_CUMULATIVE: Final = AggregationTemporality.CUMULATIVE
_MS_PER_S: Final = 1000
_SECONDS: Final = "s"


class Collector:
    """Where a worker pushes to. Everything blocks: call it in a thread of its own."""

    def __init__(self, endpoint: str, headers: Mapping[str, str], began_us: int) -> None:
        """``began_us``: since when the figures count."""
        # Its words hold the endpoint's answers; ours say what failed.
        quiet = logging.getLogger("opentelemetry")
        quiet.addHandler(logging.NullHandler())
        quiet.propagate = False
        self._endpoint = endpoint
        self._headers = dict(headers)
        self._exporter: OTLPMetricExporter | None = None
        self._session = _Session()
        self._began_ns = began_us * 1000
        instance = str(uuid.uuid4())
        release = version("weighbridge")
        self._resource = Resource(
            {
                "service.name": "weighbridge",
                "service.version": release,
                "service.instance.id": instance,
            }
        )
        self._scope = InstrumentationScope("weighbridge", release)

    def push(self, readings: Sequence[Reading], now_us: int) -> None:
        """Send them. Raises CollectorFailed where the collector does not take them, and what the SDK raises."""
        scope = ScopeMetrics(self._scope, self._metrics(readings, now_us * 1000), "")
        told = MetricsData([ResourceMetrics(self._resource, [scope], "")])
        if (
            self._exporter is None
        ):  # made here, since what is wrong with its settings shows at making it
            self._exporter = OTLPMetricExporter(
                self._endpoint, headers=self._headers, timeout=TIMEOUT_S, session=self._session
            )
        self._session.failure = CollectorFailed
        if self._exporter.export(told) is not MetricExportResult.SUCCESS:
            raise self._session.failure("the collector does not take the figures")

    def close(self) -> None:
        """Give up what is being sent, too."""
        if self._exporter is not None:
            self._exporter.shutdown()

    def _metrics(self, readings: Sequence[Reading], now_ns: int) -> list[Metric]:
        families: dict[str, list[tuple[Labels, int | Histogram]]] = {}
        for name, labels, value in readings:
            families.setdefault(name, []).append((labels, value))
        return [self._metric(name, found, now_ns) for name, found in families.items()]

    def _metric(
        self, name: str, found: Sequence[tuple[Labels, int | Histogram]], now_ns: int
    ) -> Metric:
        kind, text, unit = _family(name)
        buckets = [
            self._buckets(labels, value, 1 if unit != _SECONDS else _MS_PER_S, now_ns)
            for labels, value in found
            if isinstance(value, Histogram)
        ]
        if buckets:
            return Metric(name, text, unit, Buckets(buckets, _CUMULATIVE))
        numbers = [
            NumberDataPoint(dict(labels), self._began_ns, now_ns, _number(value))
            for labels, value in found
            if not isinstance(value, Histogram)
        ]
        if kind == "gauge":
            return Metric(name, text, unit, Gauge(numbers))
        return Metric(name, text, unit, Sum(numbers, _CUMULATIVE, is_monotonic=True))

    def _buckets(
        self, labels: Labels, found: Histogram, per: int, now_ns: int
    ) -> HistogramDataPoint:
        return HistogramDataPoint(
            attributes=dict(labels),
            start_time_unix_nano=self._began_ns,
            time_unix_nano=now_ns,
            count=sum(found.counts),
            sum=found.total / per,
            bucket_counts=list(found.counts),
            explicit_bounds=[bound / per for bound in found.bounds],
            min=None,  # type: ignore[arg-type]  # optional on the wire; not known since the start
            max=None,  # type: ignore[arg-type]
        )


class _Session(requests.Session):
    """What the exporter sends by; it remembers how the last try failed, of which the exporter tells nothing."""

    failure: type[CollectorFailed] = CollectorFailed

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        try:
            response = super().send(request, **options)
        except requests.RequestException as error:
            self.failure = _kind(error)
            raise
        if not response.ok:
            self.failure = by_status(response.status_code)
        return response


def _kind(error: requests.RequestException) -> type[CollectorFailed]:
    if isinstance(error, requests.exceptions.SSLError):
        return CollectorTls
    if isinstance(error, requests.Timeout):
        return CollectorTimedOut
    causes = {type(cause) for cause in _causes(error)}
    if ConnectionRefusedError in causes:
        return CollectorRefused
    return CollectorUnknown if socket.gaierror in causes else CollectorFailed


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An error and what it came from: by the language's own chain, or in urllib3's way."""
    found: list[BaseException] = [error]
    for one in found:
        yield one
        told = (one.__cause__, one.__context__, getattr(one, "reason", None), *one.args)
        found += [
            cause for cause in told if isinstance(cause, BaseException) and cause not in found
        ]


def _family(name: str) -> tuple[str, str, str]:
    """Kind, help and unit of a family, ours or the conventions'."""
    if name in INSTRUMENTS:
        unit, text = INSTRUMENTS[name]
        return "histogram", text, unit
    kind, text = METRICS[name]
    return kind, text, _SECONDS if name.endswith("_seconds") else "1"


def _number(value: int) -> int | float:
    """A sum of pico-USD may be more than the wire's integers hold."""
    return value if value <= _INT64_MAX else float(value)
