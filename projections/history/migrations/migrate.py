"""Bring one Postgres schema to a revision of the history, or back: alembic over SQLAlchemy's async engine on asyncpg.

SinkUnavailableError for whatever is wrong with the store or its schema.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import asyncpg
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from projections.errors import SinkUnavailableError
from projections.made_with import Projection, made_with_release

HEAD = "head"
BASE = "base"

FAULTS = (
    SQLAlchemyError,
    CommandError,
    OSError,
    TimeoutError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
)

ONE_AT_A_TIME = 0x696E746C6B  # "intlk": the advisory lock that processes starting together take in turn


@dataclass(frozen=True, slots=True)
class Step:
    """A revision, and what it is for."""

    revision: str
    title: str


async def upgrade(dsn: str, schema_name: str, revision: str = HEAD, *, timeout_s: float = 60.0) -> None:
    """Create the schema if there is none, and take the steps up to the revision that are missing.

    A history that begins here says what it is made with: a comment goes with its table wherever that goes.
    """

    def act(config: Config) -> None:
        _make_schema(config)
        begins = _revision(config) is None
        command.upgrade(config, revision)
        if begins:
            made_with = made_with_release(Projection.HISTORY).to_text()
            config.attributes["connection"].exec_driver_sql(
                f"COMMENT ON TABLE \"{schema_name}\".checkpoints IS '{made_with}'"
            )

    await _run(dsn, schema_name, timeout_s, act)


async def downgrade(dsn: str, schema_name: str, revision: str = BASE, *, timeout_s: float = 60.0) -> None:
    """Take back the steps after the revision, with the data in them; at `base` only an empty schema is left."""

    def act(config: Config) -> None:
        _make_schema(config)
        command.downgrade(config, revision)

    await _run(dsn, schema_name, timeout_s, act)


async def current_revision(dsn: str, schema_name: str, *, timeout_s: float = 60.0) -> str | None:
    """The revision that a schema is at; None before the first step. Nothing is made."""
    found: list[str | None] = []

    def look(config: Config) -> None:
        found.append(_revision(config))

    await _run(dsn, schema_name, timeout_s, look)
    return found[0]


def newest_revision() -> str:
    """The revision that this release knows as its newest."""
    return all_steps()[-1].revision


def all_steps() -> list[Step]:
    """Every step of this release, in order."""
    revisions = ScriptDirectory.from_config(_config()).walk_revisions()
    return [Step(one.revision, one.doc) for one in revisions][::-1]


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


def _revision(config: Config) -> str | None:
    connection: Connection = config.attributes["connection"]
    opts = {"version_table_schema": config.attributes["schema_name"]}
    return MigrationContext.configure(connection, opts=opts).get_current_revision()


def _make_schema(config: Config) -> None:
    connection: Connection = config.attributes["connection"]
    connection.execute(text(f'CREATE SCHEMA IF NOT EXISTS "{config.attributes["schema_name"]}"'))


async def _run(dsn: str, schema_name: str, timeout_s: float, act: Callable[[Config], None]) -> None:
    """Act in one transaction, with the schema first on the search path and nobody else migrating."""

    def in_transaction(connection: Connection) -> None:
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": ONE_AT_A_TIME})
        connection.execute(text(f'SET LOCAL search_path TO "{schema_name}"'))
        config = _config()
        config.attributes.update(connection=connection, schema_name=schema_name)
        act(config)

    url = make_url(dsn).set(drivername="postgresql+asyncpg")
    engine = create_async_engine(url, poolclass=NullPool, connect_args={"timeout": timeout_s})
    try:
        async with asyncio.timeout(timeout_s), engine.begin() as connection:
            await connection.run_sync(in_transaction)
    except FAULTS as error:
        reason = str(error).strip() or type(error).__name__
        raise SinkUnavailableError(f"the history's schema cannot be prepared: {reason}") from error
    finally:
        await engine.dispose()
