"""The history as it lies in Postgres, read in one snapshot: rows in the order of the log, checkpoints, what was refused."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from events.positions import Partition
from projections.history.excerpt import CALLED_AT, Excerpt
from projections.history.session import Session, session_of
from projections.history.settings import HistorySettings
from projections.history.tables import Column, Table

ROWS_AT_ONCE = 2_000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One read-only transaction: all that is asked of it is of one instant, whatever the sink writes meanwhile."""

    connection: Session

    async def checkpoints(self) -> dict[Partition, int]:
        """The next offset of every partition."""
        rows = await self.connection.fetch("SELECT topic, partition, next_offset FROM checkpoints")
        return {Partition(row["topic"], row["partition"]): row["next_offset"] for row in rows}

    async def refused(self, place: Partition, start: int) -> dict[int, bytes | None]:
        """The value of each record that was refused from an offset on, by offset."""
        rows = await self.connection.fetch(
            "SELECT log_offset, value FROM refused WHERE topic = $1 AND log_partition = $2 AND log_offset >= $3",
            *(place.topic, place.number, start),
        )
        return {row["log_offset"]: row["value"] for row in rows}

    async def rows(
        self, table: Table, number: int, start: int, excerpt: Excerpt | None
    ) -> AsyncIterator[tuple[int, Document]]:
        """Offset and document of each row of a log partition from an offset on, by offset; of an excerpt, if one is asked."""
        names = ", ".join(f'"{name}"' for name in table.column_names)
        called_at = f"timestamptz 'epoch' + {CALLED_AT} * interval '1 microsecond'"
        or_time = called_at if CALLED_AT in table.column_names else None
        asked, more = ("TRUE", ()) if excerpt is None else excerpt.where("occurred_at", 3, or_time)
        sql = (
            f"SELECT {names} FROM {table.name} WHERE log_partition = $1 AND log_offset >= $2 AND {asked} "  # noqa: S608
            "ORDER BY log_offset"
        )
        plain = [(column.name, _plain(column)) for column in table.columns]
        async for row in self.connection.cursor(sql, number, start, *more, prefetch=ROWS_AT_ONCE):
            yield (
                row["log_offset"],
                {name: None if row[name] is None else spell(row[name]) for name, spell in plain},
            )

    async def places(self, table: Table, event_ids: Sequence[str]) -> dict[str, tuple[int, int]]:
        """Where the rows of these events lie: (log partition, offset) by event id."""
        rows = await self.connection.fetch(
            f"SELECT event_id, log_partition, log_offset FROM {table.name} WHERE event_id = ANY($1::uuid[])",  # noqa: S608
            list(event_ids),
        )
        return {str(row["event_id"]): (row["log_partition"], row["log_offset"]) for row in rows}

    async def rows_below(self, table: Table, number: int, start: int) -> int:
        """How many rows a log partition has of records below an offset."""
        sql = f"SELECT count(*) FROM {table.name} WHERE log_partition = $1 AND log_offset < $2"  # noqa: S608
        return int(await self.connection.fetchval(sql, number, start)) if start else 0

    async def oldest(self, table: Table) -> datetime | None:
        """When the oldest event happened that there is a row of."""
        oldest: datetime | None = await self.connection.fetchval(
            f"SELECT min(occurred_at) FROM {table.name}"  # noqa: S608 - a name of the code
        )
        return oldest


@asynccontextmanager
async def snapshot(settings: HistorySettings) -> AsyncIterator[Snapshot]:
    """A connection of its own, for as long as it takes. SinkUnavailableError when Postgres is away or has no history."""
    async with (
        session_of(settings, "interlock-verify") as session,
        session.transaction(isolation="repeatable_read", readonly=True),
    ):
        yield Snapshot(session)


def time_us(instant: datetime) -> int:
    """Microseconds since 1970."""
    return (instant - EPOCH) // _MICROSECOND


def _plain(column: Column) -> Callable[[Any], Any]:
    """From what Postgres gives to plain values."""
    match column.sql_type:
        case "timestamp with time zone":
            return time_us
        case "jsonb":
            return orjson.loads
        case "bytea":
            return _base64
        case "uuid":
            return str
        case _:
            return _itself


def _base64(value: bytes) -> str:
    return base64.b64encode(value).decode()


def _itself(value: Any) -> Any:
    return value
