"""What a file of budgets would change: nothing twice, nothing that is not named, ids and raises kept."""

from typing import Any

import msgspec
from hypothesis import given, strategies as st

from gateway.quota.budget import Budget, Raise, Scope
from gateway.quota.draft import Draft
from gateway.quota.plan import Edit, edited, planned

LIFT = Raise(5, 1, 2, "launch", "owner-1")


def budget(name: str, **changes: Any) -> Budget:
    fields: dict[str, Any] = {
        "id": f"id-{name}", "name": name, "scope": Scope(), "measure": "usd_net", "limit": 10**9,
        "window": "month", "created_us": 7,
    }  # fmt: skip
    return Budget(**(fields | changes))


def draft(one: Budget, *, raises: bool = False) -> Draft:
    return Draft(msgspec.structs.replace(one, id="", created_us=0), says_raises=raises)


def told(edit: Edit) -> tuple[tuple[str, object, object], ...]:
    return tuple((one.key, one.before, one.after) for one in edit.differences)


names = st.sampled_from(["a", "b", "c", "d"])
budgets = st.dictionaries(names, st.integers(1, 3)).map(
    lambda found: [budget(name, limit=limit * 10**9) for name, limit in found.items()]
)


@given(budgets, budgets, st.booleans())
def test_what_is_planned_makes_what_is_there_what_is_wanted_and_no_more(
    current: list[Budget],
    wanted: list[Budget],
    prune: bool,  # noqa: FBT001 - drawn
) -> None:
    edits = planned(current, [draft(one) for one in wanted], prune=prune)
    after = {one.name: one for one in current}
    for edit in edits:
        assert edit.before == after.pop(edit.budget.name, None)
        if edit.after is not None:
            after[edit.after.name] = edit.after
    limits = {one.name: one.limit for one in wanted}
    kept = {} if prune else {one.name: one.limit for one in current}
    assert {name: one.limit for name, one in after.items()} == kept | limits
    again = planned(list(after.values()), [draft(one) for one in wanted], prune=prune)
    assert again == ()
    for one in current:
        assert after.get(one.name, one).id == one.id


def test_an_edit_says_what_it_does_and_to_what() -> None:
    old, new = budget("a"), budget("a", limit=2 * 10**9)
    added, changed, removed = Edit(None, new), Edit(old, new), Edit(old, None)
    assert [edit.action for edit in (added, changed, removed)] == ["add", "change", "remove"]
    assert [edit.budget for edit in (added, changed, removed)] == [new, new, old]


def test_a_change_is_told_key_by_key_in_the_order_they_are_written() -> None:
    old = budget("a", alerts=(50,), scope=Scope(team="search"))
    new = budget("a", limit=2 * 10**9, alerts=(80,), scope=Scope(team="search"), hard=False)
    assert told(Edit(old, new)) == (
        ("usd", "1", "2"),
        ("mode", "hard", "soft"),
        ("alert", [50], [80]),
        # What applies to refusing only.
        ("store_down", "deny", None),
        ("clamp", False, None),
        ("stop", False, None),
    )
    # Where it is made or removed, what is at its default is not worth a line.
    assert told(Edit(None, new)) == (
        ("name", None, "a"), ("team", None, "search"), ("usd", None, "2"),
        ("window", None, "month"), ("tz", None, "UTC"), ("mode", None, "soft"),
        ("alert", None, [80]), ("alert_forecast", None, []),
    )  # fmt: skip
    assert [one.key for one in Edit(old, None).differences] == ["name", "team", "usd", "window", "tz", "alert", "alert_forecast"]  # fmt: skip
    assert all(one.after is None for one in Edit(old, None).differences)


def test_what_was_at_its_default_is_told_where_it_changes() -> None:
    old, new = budget("a"), budget("a", clamp=True)
    assert told(Edit(old, new)) == (("clamp", False, True),)
    assert told(Edit(new, old)) == (("clamp", True, False),)


def test_raises_are_kept_unless_the_file_speaks_of_them() -> None:
    kept = budget("a", raises=(LIFT,))
    wanted = budget("a", limit=5)
    assert edited(kept, draft(wanted)).after == msgspec.structs.replace(wanted, raises=(LIFT,))
    assert edited(kept, draft(wanted, raises=True)).after == wanted
    assert edited(None, draft(wanted)) == Edit(None, draft(wanted).budget)
    assert planned([kept], [draft(budget("a"))], prune=True) == ()
    (edit,) = planned([kept], [draft(budget("a"), raises=True)], prune=True)
    assert edit.after == budget("a")


def test_only_a_pruning_plan_removes_what_the_file_does_not_name() -> None:
    one, other = budget("a"), budget("b")
    assert planned([one, other], [draft(one)], prune=False) == ()
    assert planned([one, other], [draft(one)], prune=True) == (Edit(other, None),)
    assert planned([one], [], prune=True) == (Edit(one, None),)
