"""The sink's connections to Postgres: opened when first needed, bounded in time, never handed on after a failure."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypeAlias

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from projections.errors import SinkUnavailableError
from projections.history.settings import HistorySettings

POSTGRES_EPOCH_US = 946_684_800_000_000
"""2000-01-01: PostgreSQL counts from there."""

CLOSE_WITHIN_S = 5.0

Connection: TypeAlias = "PoolConnectionProxy[asyncpg.Record]"
"""Times go in and come out as microseconds since 1970, UTC."""

UNAVAILABLE = (
    OSError,
    TimeoutError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
)
"""Whatever Postgres says that the sink does not handle itself passes by retrying, or when an operator mends it."""


class Database:
    """One schema of one Postgres database. The schema is brought to this release's revision before the first use."""

    def __init__(self, settings: HistorySettings) -> None:
        self.settings = settings
        self._opening = asyncio.Lock()
        self._pool: asyncpg.Pool[asyncpg.Record] | None = None

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """A connection outside of any transaction.

        What fails inside ends the connection: a transaction left open is rolled back by Postgres. Raises
        SinkUnavailableError for every fault of the store, and when the block takes longer than `write_timeout_s`.
        """
        bound_s = self.settings.write_timeout_s
        try:
            pool = await self._open()
            connection = await pool.acquire(timeout=bound_s)
            # To cancel what waits for a server that hangs is to wait for that server: the connection is cut instead.
            cut = asyncio.get_running_loop().call_later(bound_s, connection.terminate)
            try:
                yield connection
            except BaseException:
                connection.terminate()
                raise
            finally:
                cut.cancel()
                await pool.release(connection)
        except UNAVAILABLE as error:
            raise SinkUnavailableError(f"the history is away: {_reason(error)}") from error

    async def close(self) -> None:
        """End all connections; those that are in use do not hold it up for long."""
        pool, self._pool = self._pool, None
        if pool is None:
            return
        try:
            await asyncio.wait_for(pool.close(), CLOSE_WITHIN_S)
        except UNAVAILABLE:
            pool.terminate()

    async def migrate(self) -> None:
        """Bring the schema to this release's revision, in one transaction. What that needs is imported for it only."""
        from projections.history.migrations.migrate import upgrade

        settings = self.settings
        if settings.postgres_dsn is None:
            raise SinkUnavailableError(
                "no history is configured: set history.postgres_dsn (INTERLOCK_HISTORY__POSTGRES_DSN)"
            )
        await upgrade(settings.postgres_dsn, settings.schema_name, timeout_s=settings.migrate_timeout_s)

    async def _open(self) -> asyncpg.Pool[asyncpg.Record]:
        async with self._opening:
            if self._pool is None:
                self._pool = await _pool_of(self.settings)
            return self._pool


async def _pool_of(settings: HistorySettings) -> asyncpg.Pool[asyncpg.Record]:
    """A pool that connects with its first use. Postgres ends a transaction whose client hangs, so no lock outlives it."""
    bound_ms = str(int(settings.write_timeout_s * 1000))
    return await asyncpg.create_pool(
        settings.postgres_dsn,
        min_size=0,
        max_size=settings.max_connections,
        timeout=settings.connect_timeout_s,
        init=_teach,
        reset=_leave,
        server_settings={
            "application_name": "interlock-history",
            "search_path": settings.schema_name,
            "statement_timeout": bound_ms,
            "idle_in_transaction_session_timeout": bound_ms,
            "timezone": "UTC",
        },
    )


async def _teach(connection: asyncpg.Connection[asyncpg.Record]) -> None:
    await connection.set_type_codec(
        "timestamptz",
        schema="pg_catalog",
        encoder=lambda time_us: (time_us - POSTGRES_EPOCH_US,),
        decoder=lambda parts: parts[0] + POSTGRES_EPOCH_US,
        format="tuple",
    )


async def _leave(_: asyncpg.Connection[asyncpg.Record]) -> None:
    """A connection comes back as it was lent: transactions are closed, and nothing else is set on it."""


def _reason(error: BaseException) -> str:
    return str(error).strip() or type(error).__name__
