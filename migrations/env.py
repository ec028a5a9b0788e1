"""Runs revisions on the connection that gateway.storage.migrate hands over, one transaction for all."""

from typing import Any

from alembic import context

from gateway.storage.tables import METADATA, is_ours


def _include(_object: Any, name: str | None, kind: str, *_rest: Any) -> bool:
    return is_ours(name, kind)


connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=METADATA,
    include_object=_include,
    render_as_batch=connection.dialect.name == "sqlite",
)
with context.begin_transaction():
    context.run_migrations()
