"""The contract of a wire dialect: read a request, meter a response. One file per dialect, none imports another.

A dialect does not know which provider carries it, what anything costs, or who is calling.
To add one: a file with a module constant per operation it speaks, and transcripts in tests/transcripts.
"""

from collections.abc import Callable
from typing import Final, Protocol

import msgspec

from gateway.metering.lowering import Lower
from gateway.metering.meter import Filter, Meter
from gateway.metering.prompt import EMPTY, Prompt
from gateway.metering.reader import DocumentMeter, Reader
from gateway.wire.documents import DOCUMENT_BYTES_MAX, documents
from gateway.wire.messages import Head

NAME_CHARS_MAX: Final = 2048  # of a model: the longest there can be are Bedrock's ARNs
# Those that are seen have some 130; whatever is remembered by a model's name is worked out each time for a longer one.
NAME_KEPT_CHARS_MAX: Final = 256
TIER_CHARS_MAX: Final = 64


class Request(msgspec.Struct, frozen=True):
    """What a request asks for.

    model           as the body names it, or None
    stream          a streamed answer is asked for
    prompt          what tiktoken is to count
    output_ceiling  the client's own bound on output tokens per choice, or None
    choices         n / candidateCount
    tier            as asked, or None
    units           what the request's own fields bill: {"characters_in": 11}
    writes          the cache writes its marks ask for: ("cache_write_1h",); None: this protocol has no marks
    hosted          how many tools it offers that the provider runs itself: what they read is not in the prompt
    tool_units      what those may bill by the piece at most: {"web_search_requests": 5}
    guarded         a guardrail of the provider's is to look on, whose units only a trace tells
    stored          the provider keeps the answer, to be had again under its id
    works_on        the id of the kept file that deferred work reads
    named           of an uploaded input file: the models its lines name; None where it is none
    refers, brings  ids of kept things that an uploaded file's lines name, or bring something of
    stores          what it has searched as the provider's own identity, or by what its account is connected with
    sealed          characters of thoughts that the provider handed out sealed, sent back to be read again
    unread          characters of its text that no reader took for the prompt, and a provider may all the same
    passes          how often the whole prompt may be read and answered: 2 where it may be summed up first
    others          models beside its own that it may have asked, by the names it gives, and how often at most each
    media_bytes     the size of what came with it as files, 0 where it is not known
    is_tied         it continues or reads what one place keeps (an earlier response, an explicit cache), so
                    that no other place can serve it
    continues       the id of the earlier answer that it goes on from: that one's prompt, too, is read again
    carried         tokens of that at most, where they are known; None: a part of the prompt that cannot be seen
    is_cut          the provider may leave out of the prompt what does not fit
    opted_body      the body with the usage opt-in spliced in, where the protocol needs one and the client
                    did not ask; None: send the body as it came
    """

    model: str | None = None
    stream: bool = False
    prompt: Prompt = EMPTY
    output_ceiling: int | None = None
    choices: int = 1
    tier: str | None = None
    units: dict[str, int] = {}
    writes: tuple[str, ...] | None = None
    hosted: int = 0
    tool_units: dict[str, int] = {}
    guarded: bool = False
    stored: bool = False
    works_on: str | None = None
    named: tuple[str, ...] | None = None
    refers: frozenset[str] = frozenset()
    brings: frozenset[str] = frozenset()
    stores: frozenset[str] = frozenset()
    sealed: int = 0
    unread: int = 0
    passes: int = 1
    others: tuple[tuple[str, int], ...] = ()
    media_bytes: int = 0
    is_tied: bool = False
    continues: str | None = None
    carried: int | None = None
    is_cut: bool = False
    opted_body: bytes | None = None


class Dialect(Protocol):
    """One operation of a wire protocol, e.g. chat completions."""

    @property
    def name(self) -> str:
        """A stable name for rows and logs, e.g. 'openai_chat'."""
        ...

    def read_request(self, body: bytes, content_type: bytes) -> Request:
        """Decode a request body. Raises MalformedBody (kernel.errors) with the cure in its message."""
        ...

    def meter(self, request: Request, head: Head) -> Meter:
        """A fresh meter for one successful (2xx) response with that head."""
        ...

    @property
    def sse_end(self) -> Callable[[str], bytes] | None:
        """The events that end a running event stream, by the words that say why; None where it has none."""
        ...

    def strip(self, request: Request) -> Filter | None:
        """The filter that takes out the usage event we asked for; None where nothing is to be stripped.

        Called only where ``opted_body`` was sent.
        """
        ...

    def clamp(self, body: bytes, ceiling: int, model: str = "") -> bytes | None:
        """The same request with at most so many output tokens per choice; every other byte as it was.

        ``model``: canonical name, which decides where a ceiling goes that the body does not have. None: this
        request cannot be lowered so far, or has no ceiling. Raises MalformedBody as ``read_request`` does.
        """
        ...


class DocumentDialect(msgspec.Struct, frozen=True):
    """A dialect whose answers are JSON documents in any framing, with nothing to opt into and nothing to strip.

    read      decodes a request body; raises MalformedBody
    reader    a fresh reader of one answer
    salvaged  the objects worth finding in an answer beyond the bound
    document_bytes_max  the bound: of one event, or of a whole body
    lower     lowers a body's output ceiling, given a model's name; None where the operation has none
    sse_end   see Dialect
    """

    name: str
    read: Callable[[bytes], Request]
    reader: Callable[[Request, Head], Reader]
    salvaged: tuple[str, ...] = ("usage",)
    document_bytes_max: int = DOCUMENT_BYTES_MAX
    lower: Lower | None = None
    sse_end: Callable[[str], bytes] | None = None

    def read_request(self, body: bytes, content_type: bytes) -> Request:
        """See Dialect."""
        return self.read(body)

    def meter(self, request: Request, head: Head) -> Meter:
        """See Dialect."""
        framing = documents(head, self.salvaged, self.document_bytes_max)
        return DocumentMeter(framing, self.reader(request, head))

    def strip(self, request: Request) -> Filter | None:
        """See Dialect: never anything."""
        return None

    def clamp(self, body: bytes, ceiling: int, model: str = "") -> bytes | None:
        """See Dialect."""
        return None if self.lower is None or ceiling < 1 else self.lower(body, ceiling, model)
