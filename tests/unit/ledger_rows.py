"""The row that the ledger's laws begin from: what no law is about is the same in all of them."""

from typing import Final
from uuid import UUID

from gateway.ledger.entry import Entry, Outcome

PLAIN: Final = Entry(
    id=UUID(int=2),
    request_id=UUID(int=3),
    occurred_us=0,
    booked_us=0,
    day="2026-11-23",
    period=202611,
    org="org-1",
    team="team-1",
    user="user-0001",
    key_id="key-1",
    provider="cloud",
    operation="chat",
    upstream="cloud-eu",
    status=200,
    outcome=Outcome.COMPLETE,
    provenance="reported",
)
