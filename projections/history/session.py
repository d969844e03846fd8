"""A connection to the history of one's own, for work that takes as long as it takes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypeAlias

import asyncpg

from projections.errors import SinkUnavailableError
from projections.history.settings import HistorySettings

Session: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

AWAY = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError)
ANSWERED_WITHIN_S = 3_600.0
"""One statement: to drop, to compare or to sort a large table takes a while."""
_GONE_CLIENT = {"tcp_keepalives_idle": "10", "tcp_keepalives_interval": "5", "tcp_keepalives_count": "3"}


@asynccontextmanager
async def session_of(settings: HistorySettings, name: str) -> AsyncIterator[Session]:
    """A session in the schema of the settings; a client that is gone is noticed within half a minute.

    SinkUnavailableError when Postgres is away, or is not configured.
    """
    if settings.postgres_dsn is None:
        raise SinkUnavailableError(
            "no history is configured: set history.postgres_dsn (INTERLOCK_HISTORY__POSTGRES_DSN)"
        )
    told = {"application_name": name[:63], "search_path": settings.schema_name, "timezone": "UTC"}
    try:
        session = await asyncpg.connect(
            settings.postgres_dsn,
            timeout=settings.connect_timeout_s,
            command_timeout=ANSWERED_WITHIN_S,
            server_settings=told | _GONE_CLIENT,
        )
        try:
            yield session
        finally:
            session.terminate()
    except AWAY as error:
        raise SinkUnavailableError(
            f"the history is away: {str(error).strip() or type(error).__name__}"
        ) from error
