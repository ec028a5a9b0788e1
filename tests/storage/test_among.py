"""Rows by their keys: as the keys written out would find them, by one text for every number of them."""

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings, strategies as st

from gateway.storage.among import among
from gateway.storage.engine import Database
from gateway.storage.tables import COUNTER

pytestmark = pytest.mark.anyio
NAMES = ("a", "b", 'it"s', "ü\\", "")
KEYS = st.lists(
    st.tuples(st.sampled_from(NAMES), st.sampled_from(NAMES), st.sampled_from((0, 2**53 + 1))),
    max_size=20,
)
COLUMNS = (COUNTER.c.budget, COUNTER.c.subject, COUNTER.c.window_us)


@settings(
    max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@given(there=KEYS, asked=KEYS)
async def test_it_finds_what_is_there(
    database: Database, there: list[tuple[str, str, int]], asked: list[tuple[str, str, int]]
) -> None:
    rest = {"posted": 0, "pending": 0, "tat_us": 0, "version": 0}
    async with database.write() as connection:
        await connection.execute(sa.delete(COUNTER))
        for budget, subject, window_us in set(there):
            key = {"budget": budget, "subject": subject, "window_us": window_us}
            await connection.execute(sa.insert(COUNTER), {**key, **rest})
    async with database.read() as connection:
        found = await connection.execute(
            sa.select(*COLUMNS).where(among(connection, COLUMNS, asked))
        )
        assert {tuple(row) for row in found} == set(there) & set(asked)
        alone = among(connection, (COUNTER.c.subject,), [(one[1],) for one in asked])
        found = await connection.execute(sa.select(*COLUMNS).where(alone))
        wanted = {one[1] for one in asked}
        assert {tuple(row) for row in found} == {one for one in there if one[1] in wanted}


async def test_its_text_does_not_depend_on_how_many_keys_there_are(database: Database) -> None:
    texts: set[str] = set()

    def seen(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        if "quota_counter" in statement:
            texts.add(statement)

    sa.event.listen(database.engine.sync_engine, "before_cursor_execute", seen)
    async with database.read() as connection:
        texts.clear()
        for count in (0, 1, 2, 300):
            keys = [("budget", str(number), number) for number in range(count)]
            await connection.execute(sa.select(*COLUMNS).where(among(connection, COLUMNS, keys)))
    assert len(texts) == 1
