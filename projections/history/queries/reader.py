"""Read-only sessions of the history: opened when first needed, bounded in time, and opened again when they were lost."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from types import TracebackType
from typing import Self, TypeAlias

import asyncpg
import orjson

from projections.errors import HistoryUnavailableError
from projections.history.settings import HistorySettings

CLOSE_WITHIN_S = 2.0
MARGIN_S = 1.0
"""The server ends a question that takes too long; only when it hangs itself do we."""

_POSTGRES_EPOCH_US = 946_684_800_000_000  # 2000-01-01

_LOST = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
)

Row: TypeAlias = asyncpg.Record
"""By column name. Times are microseconds since 1970, UUIDs are texts, JSON is parsed, sums are ints."""


class HistoryReader:
    """Asks Postgres. Without a configured history, or while it is away, every question is HistoryUnavailableError."""

    def __init__(self, settings: HistorySettings) -> None:
        self._settings = settings
        self._opening = asyncio.Lock()
        self._pool: asyncpg.Pool[Row] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pool, self._pool = self._pool, None
        if pool is None:
            return
        try:
            await asyncio.wait_for(pool.close(), CLOSE_WITHIN_S)
        except (TimeoutError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            pool.terminate()

    async def rows(self, sql: str, arguments: Sequence[object] = ()) -> list[Row]:
        """The rows that the statement gives; no text in Postgres has a NUL, so nothing equals one that has."""
        if any(isinstance(value, str) and "\0" in value for value in arguments):
            return []
        try:
            async with (await self._open()).acquire(timeout=self._settings.connect_timeout_s) as session:
                return await session.fetch(sql, *arguments)
        except asyncpg.QueryCanceledError:
            raise HistoryUnavailableError(
                f"the history did not answer within {self._settings.query_timeout_s:g} s: ask for a shorter time range or less at once"
            ) from None
        except (asyncpg.UndefinedTableError, asyncpg.UndefinedColumnError) as error:
            raise HistoryUnavailableError(
                f"the history's tables are not there yet ({error}): `interlock sink` makes them"
            ) from None
        except _LOST as error:
            raise HistoryUnavailableError(f"the history is away: {_reason(error)}") from None
        except (asyncpg.InsufficientResourcesError, asyncpg.OperatorInterventionError) as error:
            raise HistoryUnavailableError(f"the history does not take questions now: {error}") from None
        except (asyncpg.InvalidAuthorizationSpecificationError, asyncpg.InvalidCatalogNameError) as error:
            raise HistoryUnavailableError(f"the history refuses the connection: {error}") from None

    async def _open(self) -> asyncpg.Pool[Row]:
        """A pool connects with its first question, so this waits for no server."""
        async with self._opening:
            if self._pool is None:
                self._pool = await _pool_of(self._settings)
            return self._pool


async def _pool_of(settings: HistorySettings) -> asyncpg.Pool[Row]:
    if settings.postgres_dsn is None:
        raise HistoryUnavailableError(
            "no history is configured: set history.postgres_dsn (INTERLOCK_HISTORY__POSTGRES_DSN) and run `interlock sink`"
        )
    return await asyncpg.create_pool(
        settings.postgres_dsn,
        min_size=0,
        max_size=settings.max_connections,
        timeout=settings.connect_timeout_s,
        command_timeout=settings.query_timeout_s + MARGIN_S,
        init=_teach,
        server_settings={
            "application_name": "interlock-reads",
            "search_path": settings.schema_name,
            "default_transaction_read_only": "on",
            "statement_timeout": str(int(settings.query_timeout_s * 1000)),
            "timezone": "UTC",
        },
    )


async def _teach(session: asyncpg.Connection[Row]) -> None:
    """Values as the rest of the house has them."""
    await session.set_type_codec(
        "timestamptz",
        schema="pg_catalog",
        encoder=lambda time_us: (time_us - _POSTGRES_EPOCH_US,),
        decoder=lambda parts: parts[0] + _POSTGRES_EPOCH_US,
        format="tuple",
    )
    await session.set_type_codec("uuid", schema="pg_catalog", encoder=str, decoder=str, format="text")
    await session.set_type_codec("numeric", schema="pg_catalog", encoder=str, decoder=int, format="text")
    await session.set_type_codec(
        "jsonb",
        schema="pg_catalog",
        encoder=lambda value: orjson.dumps(value).decode(),
        decoder=orjson.loads,
        format="text",
    )


def _reason(error: BaseException) -> str:
    return str(error) or type(error).__name__
