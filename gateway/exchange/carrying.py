"""What an earlier answer carries into the call that goes on from it: its whole prompt and itself, read again.

The provider keeps them and the request only names them, so nothing of them can be counted there; but the earlier call
was weighed when it passed, and its claim remembers how much that was. Pure; ``owning`` keeps and finds the claims.
"""

from typing import Final

from msgspec.structs import replace

from gateway.dialects.contract import NAME_KEPT_CHARS_MAX
from gateway.exchange import booking
from gateway.exchange.admission import Admitted
from gateway.identity.claim import Claim
from gateway.ledger.entry import SEVERAL_PARTS, Entry
from gateway.metering.meter import Reading
from gateway.metering.usage import MISMATCH, Component, Source, total_tokens

# What makes a usage too small, or another model's: another reads the same text as more tokens.
_DOUBTS: Final = frozenset(
    {
        "error_event", "model_mismatch", "served_model_unknown", "tool_usage_unread", "tool_usage_unsaid", "unbalanced",
        "unfinished", "usage_invalid", MISMATCH, SEVERAL_PARTS,
    }
)  # fmt: skip


def carries(
    admitted: Admitted, reading: Reading, entry: Entry, parts: tuple[Component, ...]
) -> int | None:
    """Tokens that a call will read at most of what it goes on from, where that is this answer; None: nobody can tell.

    ``parts``: what the answer's entry was charged in. What this call had itself to go on from counts whole, though
    the model read less of it: thoughts are left out of one turn, and may be read in the next.
    """
    request, counts = admitted.request, admitted.counts
    told = reading.source is Source.PROVIDER and reading.final and reading.complete
    if not told or reading.answer is None or request.is_cut or counts is None:
        return None
    model = admitted.model or ""
    if len(model) > NAME_KEPT_CHARS_MAX or not model.isprintable():  # fit for every database
        return None
    if not _DOUBTS.isdisjoint(entry.flags) or entry.model not in (None, admitted.model):
        return None
    total = total_tokens(parts)
    if request.carried is None:
        return total
    before = request.carried + counts.input.tokens
    return total + max(before - booking.reported_input(parts), 0)


def carried(admitted: Admitted, claim: Claim | None) -> Admitted:
    """The call with what is known of the answer that it goes on from; ``claim``: of that answer."""
    if claim is None or claim.tokens is None or claim.model != admitted.model:
        return admitted
    return replace(admitted, request=replace(admitted.request, carried=claim.tokens))
