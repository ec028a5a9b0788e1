"""The sources of one refresh together: what a reference rests on, looked up in all of them."""

from datetime import date
from typing import NamedTuple

from gateway.catalog.figure import Figure, Slot
from gateway.catalog.genai import GenaiPrices
from gateway.catalog.litellm import LiteLlm
from gateway.catalog.reference import Reference, Term
from gateway.catalog.retail import Retail


class Stated(NamedTuple):
    """What one term states: the figure, and since when where the source knows."""

    source: str
    figure: Figure | None
    since: date | None = None


class Sources(NamedTuple):
    """Each source in the version it was read."""

    litellm: LiteLlm
    genai: GenaiPrices
    retail: Retail

    def state(
        self,
        reference: Reference,
        slot: Slot,
        within: frozenset[str],
        without: frozenset[str],
        day: date,
    ) -> tuple[Stated, ...]:
        """What each term of a reference states for a day, the factor applied.

        within, without  a meter's regions: in these, or where none is given anywhere but in those
        """
        found = [self._term(term, slot, within, without, day) for term in reference.terms]
        return tuple(
            stated
            if stated.figure is None
            else stated._replace(figure=stated.figure.times(reference.factor))
            for stated in found
        )

    def _term(
        self,
        term: Term,
        slot: Slot,
        within: frozenset[str],
        without: frozenset[str],
        day: date,
    ) -> Stated:
        if term.names:
            latest = self.retail.latest(term.names, within, without, day)
            return Stated(self.retail.label, *(latest or (None, None)))
        if self.litellm.has(term.key):
            figure = self.litellm.figure(term.key, slot, term.field)
            return Stated(self.litellm.label, figure)
        figure = self.genai.figure(term.key, slot, day)
        starts = [since for since in self.genai.starts(term.key, slot.tier) if since <= day]
        return Stated(self.genai.label, figure, starts[-1] if starts else None)
