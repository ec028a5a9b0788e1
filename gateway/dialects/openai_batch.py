"""Batch objects: BATCH reads what finished work used, whenever a creation, retrieval or cancellation shows it.

The usage is cumulative and repeated on every poll: it is said only of a batch that will not change any more,
with the batch's id, under which it is booked once. Where a version of the API does not say it, the batch's
output file does: see openai_batch_output. To follow a new state of a batch: ``_FINISHED``.
"""

from typing import Final

from msgspec.structs import replace

from gateway.dialects.contract import Dialect, DocumentDialect, Request
from gateway.metering.asking import read_object
from gateway.metering.inclusive import usage_reading
from gateway.metering.meter import Reading
from gateway.wire.documents import Document, Seen
from gateway.wire.jsondoc import Json, string
from gateway.wire.messages import Head

TIER: Final = "batch"
_RESULTS: Final = "output_file_id"
_MADE: Final = ("id", _RESULTS, "error_file_id")
_FINISHED: Final = frozenset({"completed", "failed", "expired", "cancelled"})


def _read_request(body: bytes) -> Request:
    """A retrieval has no body; a creation names files, and no model."""
    if not body:
        return Request()
    return Request(
        works_on=string(read_object(body, ("input_file_id", "endpoint")), "input_file_id")
    )


class _Reader:
    """Takes one batch object."""

    def __init__(self, request: Request, head: Head) -> None:
        self._batch: dict[str, Json] = {}

    def take(self, document: Document) -> None:
        if string(document.value, "object") == "batch":
            self._batch = document.value

    def reading(self, seen: Seen) -> Reading:
        return replace(
            self._weighed(),
            model=string(self._batch, "model") or None,
            tier=TIER,
            complete=seen.whole,
            work_id=string(self._batch, "id"),
            work_ended=string(self._batch, "status") in _FINISHED,
            results=string(self._batch, _RESULTS),
            made=tuple(made for name in _MADE if (made := string(self._batch, name))),
        )

    def _weighed(self) -> Reading:
        if string(self._batch, "status") not in _FINISHED:
            return Reading()  # nothing is due yet
        usage = self._batch.get("usage")
        has_done = string(self._batch, "status") == "completed" or string(self._batch, _RESULTS)
        if usage is None and not has_done:
            return Reading()
        return usage_reading(usage)


BATCH: Final[Dialect] = DocumentDialect("openai_batch", _read_request, _Reader)
