"""Every refusal and failure the gateway can answer with, each with a stable code and status.

GatewayError
├ BadRequest 400            MalformedBody · MissingPath
├ Unauthenticated 401       UnknownKey · RevokedKey · BadSignature
├ Forbidden 403             ModelNotAllowed · ObjectNotAllowed · StoreNotAllowed · OperationRefused · Unpriced
├ NotFound 404              UnknownOperation · UnknownDeployment · UnknownResource
├ NotYetBooked 409
├ PayloadTooLarge 413
├ UnsupportedEncoding 415
├ Throttled 429             TooManyRequests (come back soon) · BudgetSpent (coming back does not help)
├ Unavailable 503           Draining · SpoolFull · QuotaUnavailable
├ InternalFault 500
└ UpstreamFailed 502        UpstreamUnreachable · UpstreamTimeout 504 · UpstreamMalformed

To add one: subclass the nearest, give it its own ``code``; providers render it by status and code.
"""

from collections.abc import Mapping
from typing import ClassVar


class GatewayError(Exception):
    """A named outcome; ``message`` is safe to show to the client and names the cure.

    ``details``: the same for programs (a refused budget's figures), as JSON can hold it.
    """

    code: ClassVar[str] = "gateway_error"
    status: ClassVar[int] = 500

    def __init__(
        self,
        message: str,
        *,
        retry_after_ms: int | None = None,
        details: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.retry_after_ms = retry_after_ms
        self.details = details


class BadRequest(GatewayError):
    """The request cannot be understood."""

    code = "bad_request"
    status = 400


class MalformedBody(BadRequest):
    """The body is not what the operation needs: bad JSON, duplicate keys, wrong types."""

    code = "malformed_body"


class MissingPath(BadRequest):
    """A bare POST to the mount: an SDK was given a base URL without the settings that make a path."""

    code = "missing_path"


class Unauthenticated(GatewayError):
    """No valid gateway key was presented."""

    code = "unauthenticated"
    status = 401


class UnknownKey(Unauthenticated):
    """The presented key does not exist or is not one of ours."""

    code = "unknown_key"


class RevokedKey(Unauthenticated):
    """The key was revoked or has expired."""

    code = "revoked_key"


class BadSignature(Unauthenticated):
    """A SigV4 signature that does not verify."""

    code = "bad_signature"


class Forbidden(GatewayError):
    """The key is good, but may not do this."""

    code = "forbidden"
    status = 403


class ModelNotAllowed(Forbidden):
    """The key's model list does not include the model."""

    code = "model_not_allowed"


class ObjectNotAllowed(Forbidden):
    """The request names an object in a cloud's store that the owner did not say the gateway may read."""

    code = "object_not_allowed"


class StoreNotAllowed(Forbidden):
    """The request names a store, or a secret, that the owner did not say the gateway may have searched or opened."""

    code = "store_not_allowed"


class OperationRefused(Forbidden):
    """The operation cannot be metered (yet), so it does not pass."""

    code = "operation_refused"


class Unpriced(Forbidden):
    """No price row covers the request and the key does not allow unpriced use."""

    code = "unpriced"


class NotFound(GatewayError):
    """Nothing is mounted there."""

    code = "not_found"
    status = 404


class UnknownOperation(NotFound):
    """The path is not an operation of this provider."""

    code = "unknown_operation"


class UnknownDeployment(NotFound):
    """No deployment of that name is configured."""

    code = "unknown_deployment"


class UnknownResource(NotFound):
    """No file, batch, stored response … of that id that the key's team made."""

    code = "unknown_resource"


class NotYetBooked(GatewayError):
    """The file may hold what a batch used, and that is not booked yet: waiting helps."""

    code = "not_yet_booked"
    status = 409


class PayloadTooLarge(GatewayError):
    """The body outgrew the inspection limit; nothing is forwarded uninspected."""

    code = "payload_too_large"
    status = 413


class UnsupportedEncoding(GatewayError):
    """The request body is compressed in a way the gateway does not read."""

    code = "unsupported_encoding"
    status = 415


class Throttled(GatewayError):
    """A limit was reached."""

    code = "throttled"
    status = 429


class TooManyRequests(Throttled):
    """A rate limit: waiting helps."""

    code = "too_many_requests"


class BudgetSpent(Throttled):
    """A hard budget is spent: retrying does not help until its window ends."""

    code = "budget_spent"


class Unavailable(GatewayError):
    """The gateway cannot take the request now."""

    code = "unavailable"
    status = 503


class Draining(Unavailable):
    """The gateway is shutting down."""

    code = "draining"


class SpoolFull(Unavailable):
    """The journal cannot be written, so no request may be forwarded."""

    code = "spool_full"


class QuotaUnavailable(Unavailable):
    """The store of budgets cannot be asked, and a budget in scope says: then do not pass."""

    code = "quota_unavailable"


class InternalFault(GatewayError):
    """A fault of the gateway's own."""

    code = "internal_fault"


class UpstreamFailed(GatewayError):
    """The provider could not be reached or answered with garbage."""

    code = "upstream_failed"
    status = 502


class UpstreamUnreachable(UpstreamFailed):
    """Nothing could be sent to the provider: no connection to it, or no credential for it."""

    code = "upstream_unreachable"


class UpstreamTimeout(UpstreamFailed):
    """The provider did not answer in time."""

    code = "upstream_timeout"
    status = 504


class UpstreamMalformed(UpstreamFailed):
    """The provider's answer breaks HTTP."""

    code = "upstream_malformed"


class ConfigurationError(Exception):
    """Every mistake of the configuration at once; ``problems`` holds 'file: key: what is expected'."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems
