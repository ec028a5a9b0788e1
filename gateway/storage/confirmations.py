"""What a person confirmed about bills: which model a meter is, whose an account is, why a difference is right.

Appended with author and time; the newest holds. To add a kind: its name in ``KINDS``.
"""

from typing import Final

import msgspec
import sqlalchemy as sa

from gateway.kernel.clock import Clock, SystemClock
from gateway.kernel.errors import BadRequest
from gateway.kernel.ids import new_id
from gateway.storage.engine import Database
from gateway.storage.tables_bills import CONFIRMATION

METER, ACCOUNT, DIFFERENCE = "meter", "account", "difference"
KINDS: Final = (METER, ACCOUNT, DIFFERENCE)
TEXT_CHARS_MAX: Final = 400


class Confirmation(msgspec.Struct, frozen=True):
    """One statement of a person's. ``value`` '' takes an earlier one back."""

    kind: str
    subject: str
    value: str
    author: str
    at_us: int


def confirmation_of(text: str, author: str, at_us: int) -> Confirmation:
    """'meter:5.4 mini=gpt-5.4-mini'. Raises BadRequest where it is written otherwise."""
    kind, colon, rest = text.partition(":")
    subject, equals, value = rest.partition("=")
    if kind not in KINDS or not colon or not equals or not subject.strip():
        raise BadRequest(f"a confirmation is written KIND:SUBJECT=VALUE, KIND one of {', '.join(KINDS)}: {text!r}")  # fmt: skip
    if len(text) > TEXT_CHARS_MAX:
        raise BadRequest(f"a confirmation has at most {TEXT_CHARS_MAX} characters")
    return Confirmation(kind, subject.strip(), value.strip(), author, at_us)


class ConfirmationStore:
    """Append and read. All raise StoreUnavailable."""

    def __init__(self, database: Database, clock: Clock | None = None) -> None:
        self._database = database
        self._clock = clock or SystemClock()

    async def confirm(self, texts: list[str], author: str) -> list[Confirmation]:
        """Keep statements, all or none. Raises BadRequest naming the first that is none."""
        made = [confirmation_of(text, author, 0) for text in texts]
        if not made:
            return made
        async with self._database.write() as connection:
            newest = await connection.scalar(sa.select(sa.func.max(CONFIRMATION.c.at_us)))
            # Behind all that is kept, where a clock stepped back since; and each behind the one before.
            first_us = max(self._clock.wall_us(), (newest or 0) + 1)
            made = [msgspec.structs.replace(one, at_us=first_us + n) for n, one in enumerate(made)]
            rows = [{"id": new_id(), **msgspec.structs.asdict(one)} for one in made]
            await connection.execute(sa.insert(CONFIRMATION), rows)
        return made

    async def standing(self) -> dict[tuple[str, str], Confirmation]:
        """The newest of every kind and subject, without those taken back."""
        c = CONFIRMATION.c
        query = sa.select(c.kind, c.subject, c.value, c.author, c.at_us).order_by(c.at_us, c.id)
        async with self._database.read() as connection:
            rows = (await connection.execute(query)).all()
        found = {(row.kind, row.subject): Confirmation(*row) for row in rows}
        return {key: one for key, one in found.items() if one.value}
