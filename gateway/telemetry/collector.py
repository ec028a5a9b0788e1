"""Why a collector does not take the figures: one kind each, named in the log with its cure.

Their names and cures are ours and hold nothing of the collector's. To tell a further kind apart: a class here, and where
``otlp.py`` says it.
"""

from typing import ClassVar


class CollectorFailed(ConnectionError):
    """A push failed, in a way that has no kind of its own. ``cure``: what to do about it."""

    cure: ClassVar[str] = "try telemetry.otlp_endpoint with curl from this machine"


class CollectorRefused(CollectorFailed):
    """Nobody listens there."""

    cure = "start the collector, or mend host and port of telemetry.otlp_endpoint"


class CollectorUnknown(CollectorFailed):
    """Its name has no address."""

    cure = "mend the host of telemetry.otlp_endpoint, or this machine's DNS"


class CollectorTimedOut(CollectorFailed):
    """No answer within the time of a push."""

    cure = "see whether the collector is overloaded, and whether a firewall lies in between"


class CollectorTls(CollectorFailed):
    """No TLS with it."""

    cure = "see its certificate and the authorities of this machine (OTEL_EXPORTER_OTLP_CERTIFICATE), or whether it speaks plain http"


class CollectorUnauthorized(CollectorFailed):
    """401 or 403."""

    cure = "mend telemetry.otlp_headers: the collector does not accept them"


class CollectorNotFound(CollectorFailed):
    """404 or 405."""

    cure = "telemetry.otlp_endpoint is the whole URL of its metrics, as https://collector:4318/v1/metrics"


class CollectorBusy(CollectorFailed):
    """429 or 5xx, until the time of the push was over."""

    cure = "see the collector's own log: it is there, and cannot take more now"


class CollectorDisagreed(CollectorFailed):
    """Any other status, such as 400, 413 or 415."""

    cure = "see the collector's own log: it must speak OTLP over HTTP in protobuf"


def by_status(status: int) -> type[CollectorFailed]:
    """The kind of an answer that is no success."""
    if status in {401, 403}:
        return CollectorUnauthorized
    if status in {404, 405}:
        return CollectorNotFound
    if status == 429 or status >= 500:  # noqa: PLR2004  # HTTP's own
        return CollectorBusy
    return CollectorDisagreed
