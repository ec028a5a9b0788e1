"""The sources of one refresh together: what a reference rests on, looked up in all of them."""

from datetime import date
from typing import NamedTuple

from gateway.catalog.figure import Figure, Slot
from gateway.catalog.genai import GenaiPrices
from gateway.catalog.litellm import LiteLlm
from gateway.catalog.reference import Reference, Term
from gateway.catalog.retail import Retail
from gateway.pricing.dimensions import TIERS


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
            if latest is None:
                return Stated(self.retail.label, None)
            return Stated(latest.source, latest.figure, latest.since)
        if self.litellm.has(term.key):
            figure = self.litellm.figure(term.key, slot, term.field)
            return Stated(self.litellm.label, figure)
        if term.field in TIERS:
            slot = slot._replace(tier=term.field)
        figure = self.genai.figure(term.key, slot, day)
        starts = [since for since in self.genai.starts(term.key, slot.tier) if since <= day]
        return Stated(self.genai.label, figure, starts[-1] if starts else None)

    def next_change(
        self, reference: Reference, slot: Slot, day: date
    ) -> tuple[Term, Figure, date] | None:
        """The first change after a day that a dated source of the reference announces, the factor applied."""
        for term in reference.terms:
            if term.names or self.litellm.has(term.key):
                continue
            there = slot._replace(tier=term.field) if term.field in TIERS else slot
            now = self.genai.figure(term.key, there, day)
            for since in self.genai.starts(term.key, there.tier):
                figure = self.genai.figure(term.key, there, since) if since > day else None
                if figure is not None and now is not None and not figure.equals(now):
                    return term, figure.times(reference.factor), since
        return None
