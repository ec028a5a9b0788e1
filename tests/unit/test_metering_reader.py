"""The meter over documents: order, flags of the framing, raw usage."""

from gateway.metering.meter import Reading
from gateway.metering.reader import DocumentMeter, as_raw
from gateway.wire.documents import Document, Seen, documents
from gateway.wire.messages import Head


class Keeper:
    """Keeps what it was given, and says so in its flags."""

    def __init__(self) -> None:
        self.values: list[object] = []

    def take(self, document: Document) -> None:
        self.values.append(document.value)

    def reading(self, seen: Seen) -> Reading:
        return Reading(complete=seen.whole, flags=("blind", "own"))


def test_documents_are_taken_in_order_and_the_last_one_at_the_end() -> None:
    keeper = Keeper()
    meter = DocumentMeter(documents(Head(200, ((b"content-type", b"text/event-stream"),))), keeper)
    meter.feed(b'data: {"a":1}\n\ndata: {"a"')
    assert keeper.values == [{"a": 1}]
    meter.feed(b":2}")
    meter.read()
    assert keeper.values == [{"a": 1}, {"a": 2}]


def test_the_framings_flags_stand_beside_the_readers_own_once() -> None:
    meter = DocumentMeter(documents(Head(200, ())), Keeper())
    meter.feed(b"{")
    reading = meter.read()
    assert (reading.flags, reading.complete) == (("blind", "own"), False)


def test_raw_usage_is_one_object_or_an_array_of_them() -> None:
    assert as_raw() is None
    assert as_raw({}, None) is None
    assert as_raw({"a": 1}, {}) == b'{"a":1}'
    assert as_raw({"a": 1}, {"b": 2}) == b'[{"a":1},{"b":2}]'
    assert as_raw({"a": 2**70}) is None
