"""Confirmations about bills: appended with their author, the newest holds, nothing is edited; on both engines."""

from uuid import UUID

import pytest
import sqlalchemy as sa

from gateway.kernel.errors import BadRequest
from gateway.storage import confirmations
from gateway.storage.confirmations import ConfirmationStore
from gateway.storage.engine import Database
from gateway.storage.errors import RowRefused
from gateway.storage.tables_bills import CONFIRMATION
from tests.storage.conftest import Hands

pytestmark = pytest.mark.anyio


async def test_the_newest_holds_and_the_empty_one_takes_back(database: Database) -> None:
    store = ConfirmationStore(database)
    await store.confirm(["meter:5.4 mini=gpt-5.4", "account:123=outside"], "user-0001")
    await store.confirm(["meter:5.4 mini=gpt-5.4-mini"], "user-0002")
    found = await store.standing()
    assert found["meter", "5.4 mini"].value == "gpt-5.4-mini"
    assert found["meter", "5.4 mini"].author == "user-0002"
    await store.confirm(["account:123="], "user-0001")
    assert ("account", "123") not in await store.standing()


async def test_the_last_word_holds_though_the_clock_stepped_back(
    database: Database, clock: Hands, monkeypatch: pytest.MonkeyPatch
) -> None:
    earlier = iter(range(2**100, 0, -2))
    monkeypatch.setattr(confirmations, "new_id", lambda: UUID(int=next(earlier)))
    store = ConfirmationStore(database, clock)
    for at in range(6):
        clock.us -= 1_000_000
        await store.confirm([f"meter:m=first-{at}", f"meter:m=model-{at}"], "user-0001")
        assert (await store.standing())["meter", "m"].value == f"model-{at}"


async def test_one_that_is_none_keeps_all_from_being_kept(database: Database) -> None:
    store = ConfirmationStore(database)
    for wrong in ("meter 5", "model:a=b", "meter:=b", "meter:a", "meter:a=" + "b" * 500):
        with pytest.raises(BadRequest):
            await store.confirm(["account:1=outside", wrong], "user-0001")
    assert await store.standing() == {}


async def test_what_was_confirmed_is_neither_changed_nor_removed(database: Database) -> None:
    await ConfirmationStore(database).confirm(["account:1=outside"], "user-0001")
    for statement in (sa.update(CONFIRMATION).values(value="x"), sa.delete(CONFIRMATION)):
        with pytest.raises(RowRefused):
            async with database.write() as connection:
                await connection.execute(statement)
