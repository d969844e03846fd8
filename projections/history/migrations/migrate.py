"""Bring one Postgres schema to a revision of the history, or back: alembic over SQLAlchemy's async engine on asyncpg."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

HEAD = "head"
BASE = "base"

_ONE_AT_A_TIME = 0x696E746C6B  # "intlk": the advisory lock that processes starting together take in turn


async def upgrade(dsn: str, schema_name: str, revision: str = HEAD, *, timeout_s: float = 60.0) -> None:
    """Create the schema if there is none, and take the steps up to the revision that are missing."""
    await _run(dsn, schema_name, timeout_s, lambda config: command.upgrade(config, revision))


async def downgrade(dsn: str, schema_name: str, revision: str = BASE, *, timeout_s: float = 60.0) -> None:
    """Take back the steps after the revision, with the data in them; at `base` only an empty schema is left."""
    await _run(dsn, schema_name, timeout_s, lambda config: command.downgrade(config, revision))


async def current_revision(dsn: str, schema_name: str, *, timeout_s: float = 60.0) -> str | None:
    """The revision that a schema is at; None before the first step."""
    found: list[str | None] = []

    def look(config: Config) -> None:
        connection: Connection = config.attributes["connection"]
        context = MigrationContext.configure(connection, opts={"version_table_schema": schema_name})
        found.append(context.get_current_revision())

    await _run(dsn, schema_name, timeout_s, look)
    return found[0]


def newest_revision() -> str:
    """The revision that this release knows as its newest."""
    head = ScriptDirectory.from_config(_config()).get_current_head()
    assert head is not None, "the package holds at least one step"
    return head


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


async def _run(dsn: str, schema_name: str, timeout_s: float, act: Callable[[Config], None]) -> None:
    """Act in one transaction, with the schema first on the search path and nobody else migrating."""

    def in_transaction(connection: Connection) -> None:
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _ONE_AT_A_TIME})
        connection.execute(text(f'CREATE SCHEMA IF NOT EXISTS "{schema_name}"'))
        connection.execute(text(f'SET LOCAL search_path TO "{schema_name}"'))
        config = _config()
        config.attributes.update(connection=connection, schema_name=schema_name)
        act(config)

    url = make_url(dsn).set(drivername="postgresql+asyncpg")
    engine = create_async_engine(url, poolclass=NullPool, connect_args={"timeout": timeout_s})
    try:
        async with asyncio.timeout(timeout_s), engine.begin() as connection:
            await connection.run_sync(in_transaction)
    finally:
        await engine.dispose()
