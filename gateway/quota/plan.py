"""What a file of budgets would change: added, changed key by key, removed; a fold over what is and what is wanted."""

from collections.abc import Sequence

import msgspec

from gateway.quota.budget import Budget
from gateway.quota.draft import Draft
from gateway.quota.form import written


class Difference(msgspec.Struct, frozen=True):
    """A key of the written form; None where there is no such key."""

    key: str
    before: object
    after: object


class Edit(msgspec.Struct, frozen=True):
    """One change of one budget; ``before`` is None where it is made, ``after`` where it is removed."""

    before: Budget | None
    after: Budget | None

    @property
    def action(self) -> str:
        """add, change or remove."""
        if self.before is None:
            return "add"
        return "remove" if self.after is None else "change"

    @property
    def budget(self) -> Budget:
        """As it is afterwards, or was."""
        found = self.after or self.before
        assert found is not None
        return found

    @property
    def differences(self) -> tuple[Difference, ...]:
        """Key by key, in the order they are written; of one that is made or removed what is not at its default."""
        whole = self.before is not None and self.after is not None
        before = {} if self.before is None else written(self.before, whole=whole)
        after = {} if self.after is None else written(self.after, whole=whole)
        keys = dict.fromkeys((*after, *before))
        return tuple(
            Difference(key, before.get(key), after.get(key))
            for key in keys
            if before.get(key) != after.get(key)
        )


def edited(before: Budget | None, draft: Draft) -> Edit:
    """A draft on top of what is kept: the id stays, and so do raises that the draft does not speak of."""
    after = draft.budget
    if before is not None:
        after = msgspec.structs.replace(
            after,
            id=before.id,
            created_us=before.created_us,
            raises=after.raises if draft.says_raises else before.raises,
        )
    return Edit(before, after)


def planned(current: Sequence[Budget], drafts: Sequence[Draft], *, prune: bool) -> tuple[Edit, ...]:
    """What has to change so that these budgets are as wanted; ``prune``: and no others are left."""
    known = {budget.name: budget for budget in current}
    edits = [edited(known.get(draft.budget.name), draft) for draft in drafts]
    wanted = {draft.budget.name for draft in drafts}
    gone = [Edit(budget, None) for budget in current if prune and budget.name not in wanted]
    return tuple(edit for edit in (*edits, *gone) if edit.before != edit.after)
