"""What alembic runs for each command: the steps, on the connection and in the schema that `migrate` hands over."""

from __future__ import annotations

from alembic import context
from sqlalchemy import Connection

connection: Connection = context.config.attributes["connection"]
schema_name: str = context.config.attributes["schema_name"]

context.configure(connection=connection, target_metadata=None, version_table_schema=schema_name)
with context.begin_transaction():
    context.run_migrations()
