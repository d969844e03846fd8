"""The history as retention sees it: sessions, the monthly tables with what they hold, and counts of rows."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import TypeAlias

import asyncpg

from projections.errors import HistoryUnavailableError
from projections.history.months import EVENT_TABLES, ROLLUP_TABLES
from projections.history.settings import HistorySettings
from projections.history.tables import table_name
from projections.retention.holdings import (
    Counted,
    CutoffAsked,
    Month,
    RefusedAsked,
    RefusedRows,
    RowsAsked,
    SumsMonth,
)
from projections.retention.selection import Span
from projections.retention.selection_sql import filters_of, refused_of, where_of
from projections.retention.settings import RetentionSettings

Session: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

PACKED = "packed by retention"
"""The comment of a month that was rewritten."""

_ENDLESS_US = 2**62
_CHILDREN = """
    SELECT parent.relname AS parent, child.relname AS child, pg_get_expr(child.relpartbound, child.oid) AS bound,
           pg_total_relation_size(child.oid) AS bytes, obj_description(child.oid, 'pg_class') AS note
    FROM pg_inherits JOIN pg_class AS child ON child.oid = inhrelid JOIN pg_class AS parent ON parent.oid = inhparent
    WHERE parent.relnamespace = to_regnamespace($1) AND parent.relname = ANY($2) AND parent.relkind = 'p'
    ORDER BY parent.relname, child.relname
"""
_BOUND = re.compile(r"FOR VALUES FROM \((MINVALUE|'[^']+')\) TO \((MAXVALUE|'[^']+')\)")


@asynccontextmanager
async def session(history: HistorySettings, retention: RetentionSettings) -> AsyncIterator[Session]:
    """A connection of one's own. HistoryUnavailableError when there is none, and for faults of the store inside."""
    if history.postgres_dsn is None:
        raise HistoryUnavailableError("no history is configured: set INTERLOCK_HISTORY__POSTGRES_DSN")
    try:
        connection = await asyncpg.connect(
            history.postgres_dsn,
            timeout=history.connect_timeout_s,
            server_settings={
                "application_name": "interlock-retention",
                "search_path": history.schema_name,
                "timezone": "UTC",
                "lock_timeout": str(int(retention.lock_timeout_s * 1000)),
                "statement_timeout": str(int(retention.statement_timeout_s * 1000)),
            },
        )
        try:
            yield connection
        finally:
            connection.terminate()
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise HistoryUnavailableError(f"the history is away: {str(error) or type(error).__name__}") from error


async def months(connection: Session, schema: str, topics: frozenset[str]) -> list[Month]:
    """The monthly tables of the topics with their exact counts; none before the sink has made them."""
    topic_of = {table_name(topic): topic for topic in topics}
    tables = [table for table in EVENT_TABLES if table in topic_of]
    return [
        await _month(connection, topic_of[row["parent"]], row)
        for row in await connection.fetch(_CHILDREN, schema, tables)
    ]


async def sums_months(connection: Session, schema: str) -> list[SumsMonth]:
    """The monthly tables of the rollups, those left out that take what lies before or after all months."""
    found = []
    for row in await connection.fetch(_CHILDREN, schema, list(ROLLUP_TABLES)):
        _, end_us, stays = _bounds(row["bound"])
        if not stays:
            rows = await connection.fetchval(f"SELECT count(*) FROM {row['child']}")
            found.append(SumsMonth(row["child"], end_us, rows, row["bytes"]))
    return found


async def cutoff(connection: Session, asked: CutoffAsked) -> int | None:
    """See CutoffAsked."""
    where = filters_of(asked.selection)
    table = table_name(asked.topic)
    rows = await connection.fetch(
        f"SELECT occurred_at FROM {table} WHERE {where.text} ORDER BY occurred_at DESC "
        f"OFFSET {max(0, asked.keep - 1)} LIMIT 2",
        *where.arguments,
    )
    if len(rows) < min(2, asked.keep + 1):
        return None
    return time_us(rows[0]["occurred_at"]) + (0 if asked.keep else 1)


async def rows(connection: Session, asked: RowsAsked, month: Month) -> Counted:
    """How many rows, and their share of the month's bytes."""
    where = where_of(asked.selection)
    found = await connection.fetch(
        f"SELECT log_partition, count(*) AS rows, min(log_offset) AS first FROM {asked.table} "
        f"WHERE {where.text} GROUP BY log_partition ORDER BY log_partition",
        *where.arguments,
    )
    count = sum(row["rows"] for row in found)
    first = tuple((row["log_partition"], row["first"]) for row in found)
    return Counted(count, month.bytes * count // max(1, month.rows), first)


async def refused(connection: Session, asked: RefusedAsked) -> RefusedRows:
    """See RefusedAsked; none before the sink has made the table."""
    if await connection.fetchval("SELECT to_regclass('refused')") is None:
        return RefusedRows(0, (), Counted(0, 0))
    where, safe = refused_of(asked.selection)
    found = await connection.fetch(
        f"SELECT log_partition, count(*) AS rows, min(log_offset) AS first, max(log_offset) AS last, "
        f"count(*) FILTER (WHERE {safe}) AS taken, min(log_offset) FILTER (WHERE {safe}) AS taken_first, "
        f"coalesce(sum(pg_column_size(refused.*)) FILTER (WHERE {safe}), 0)::bigint AS bytes "
        f"FROM refused WHERE {where.text} GROUP BY log_partition ORDER BY log_partition",
        *where.arguments,
    )
    first = tuple((row["log_partition"], row["taken_first"]) for row in found if row["taken"])
    taken = Counted(sum(row["taken"] for row in found), sum(row["bytes"] for row in found), first)
    spans = tuple((row["log_partition"], Span(row["first"], row["last"] + 1)) for row in found)
    return RefusedRows(sum(row["rows"] for row in found), spans, taken)


def time_us(time: datetime) -> int:
    """Microseconds since the epoch, exactly."""
    epoch = datetime(1970, 1, 1, tzinfo=time.tzinfo)
    since = time - epoch
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


async def _month(connection: Session, topic: str, row: asyncpg.Record) -> Month:
    spans = await connection.fetch(
        f"SELECT log_partition, count(*) AS rows, min(log_offset) AS first, max(log_offset) AS last "
        f"FROM {row['child']} GROUP BY log_partition ORDER BY log_partition"
    )
    begin_us, end_us, stays = _bounds(row["bound"])
    return Month(
        topic,
        row["child"],
        begin_us,
        end_us,
        sum(one["rows"] for one in spans),
        row["bytes"],
        tuple((one["log_partition"], Span(one["first"], one["last"] + 1)) for one in spans),
        packed=row["note"] == PACKED,
        stays=stays,
    )


def _bounds(bound: str) -> tuple[int, int, bool]:
    """From, to, and whether it has no bound at one end."""
    match = _BOUND.fullmatch(bound)
    if match is None:
        raise HistoryUnavailableError(f"a table of the history is no month: {bound}")
    begin, end = match.groups()
    begin_us = 0 if begin == "MINVALUE" else time_us(datetime.fromisoformat(begin.strip("'")))
    end_us = _ENDLESS_US if end == "MAXVALUE" else time_us(datetime.fromisoformat(end.strip("'")))
    return begin_us, end_us, "MINVALUE" in bound or "MAXVALUE" in bound
