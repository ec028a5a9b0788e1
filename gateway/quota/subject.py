"""Who a request or a row is of, as scopes look at it."""

from gateway.identity.principal import Principal
from gateway.ledger.entry import Entry
from gateway.quota.budget import Budget, Subject


def of_principal(principal: Principal, provider: str, model: str | None) -> Subject:
    """The subject of a request; ``model``: canonical, as its row will name it; None where it has none.

    Never as the client names it: what is held would be on another counter than what is posted, and clients could make
    as many counters as there are names.
    """
    return Subject(
        org=principal.org,
        team=principal.team,
        user=principal.user,
        key=principal.key_id,
        cost_centre=principal.cost_centre,
        app=principal.app,
        provider=provider,
        model=model,
        tags=principal.tags,
    )


def of_entry(entry: Entry) -> Subject:
    """The subject of a row."""
    return Subject(
        org=entry.org,
        team=entry.team,
        user=entry.user,
        key=entry.key_id,
        cost_centre=entry.cost_centre,
        app=entry.app,
        provider=entry.provider,
        model=entry.model,
        tags=entry.tags,
    )


def subject_value(budget: Budget, subject: Subject) -> str:
    """Which of a split budget's counters a request belongs to; '' where it is not split, or has no such value."""
    return str(getattr(subject, budget.each) or "") if budget.each else ""
