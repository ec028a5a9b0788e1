"""Whose a kept thing is: a team's of one organisation, whoever of it made it."""

import pytest

from gateway.identity.claim import Claim
from gateway.identity.principal import Principal


def made_by(org: str, team: str) -> Claim:
    return Claim("azure/file-abc", org, team, "key-1", "azure-eu", 1_795_392_000_000_000)


@pytest.mark.parametrize(
    ("org", "team", "is_theirs"),
    [
        ("org-1", "team-1", True),
        ("org-1", "team-2", False),
        ("org-2", "team-1", False),
        ("org-2", "team-2", False),
        ("team-1", "org-1", False),
        ("", "", False),
    ],
)
def test_a_thing_is_of_the_team_that_made_it_and_of_no_other(
    org: str, team: str, *, is_theirs: bool
) -> None:
    for key, user in (("key-1", "user-0001"), ("key-2", "user-0002")):
        asking = Principal(key, org, user, team)
        assert made_by("org-1", "team-1").is_of(asking) is is_theirs


def test_a_thing_is_kept_until_it_is_deleted_unless_more_is_said() -> None:
    claim = made_by("org-1", "team-1")
    assert (claim.expires_us, claim.models, claim.work) == (None, None, None)
