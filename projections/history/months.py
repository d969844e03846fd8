"""The partitions of tables by month: created ahead of time, and when a late event asks for one.

A month is attached as a finished table: that locks out neither who reads its siblings nor who writes them.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import NewType

from events.catalogue import TOPICS
from projections.history.database import Connection
from projections.history.rollups import Grain
from projections.history.tables import table_name

FIRST_YEAR, END_YEAR = 2015, 2100
"""Times outside lie in the partitions `<table>_early` and `<table>_late`."""

DAY_US = 86_400_000_000
EVENT_TABLES = tuple(table_name(topic) for topic in TOPICS)
ROLLUP_TABLES = tuple(grain.table for grain in Grain)

ONE_AT_A_TIME = 0x6D6F6E7468  # "month": the advisory lock under which partitions are made
_ATTACHED = """
    SELECT child.relname FROM pg_inherits
    JOIN pg_class AS child ON child.oid = inhrelid
    WHERE inhparent = to_regclass($1)
"""

# Of an empty table BRIN makes a summary that every row of the first pages then would widen, which costs more than to insert
# the row does: those pages are summed up like all others, when they are full.
_NO_SUMMARY_YET = """
    SELECT brin_desummarize_range(indexrelid::regclass, 0) FROM pg_index
    JOIN pg_class AS of_index ON of_index.oid = indexrelid
    JOIN pg_am ON pg_am.oid = of_index.relam
    WHERE indrelid = ANY($1::text[]::regclass[]) AND amname = 'brin'
"""

Month = NewType("Month", int)
"""Months since the year 0: 12 x year + month - 1."""


def month_of(time_us: int) -> Month:
    """The month of an instant, UTC."""
    day = datetime.fromtimestamp(time_us // 1_000_000, UTC)
    return Month(12 * day.year + day.month - 1)


def months_of(times_us: Iterable[int]) -> set[Month]:
    """The months of instants."""
    return {month_of(day * DAY_US) for day in {time_us // DAY_US for time_us in times_us}}


def partition_name(table: str, month: Month) -> str:
    """`usage_y2026m11`."""
    return f"{table}_y{month // 12:04}m{month % 12 + 1:02}"


def first_day(month: Month) -> str:
    """As PostgreSQL reads it."""
    return f"{month // 12:04}-{month % 12 + 1:02}-01 00:00:00+00"


async def create_months(connection: Connection, tables: Iterable[str], months: Iterable[Month]) -> list[str]:
    """Make the partitions that are missing, in a transaction of their own; their names."""
    inside = sorted(month for month in months if FIRST_YEAR <= month // 12 < END_YEAR)
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock($1)", ONE_AT_A_TIME)
        made = [name for table in tables for name in await _create_missing(connection, table, inside)]
        if made:
            await connection.execute(_NO_SUMMARY_YET, made)
        return made


async def _create_missing(connection: Connection, table: str, months: Iterable[Month]) -> list[str]:
    attached = tuple(row["relname"] for row in await connection.fetch(_ATTACHED, table))
    return [
        await _create(connection, table, month)
        for month in months
        if not any(name.startswith(partition_name(table, month)) for name in attached)
    ]


async def _create(connection: Connection, table: str, month: Month) -> str:
    name = await _free_name(connection, partition_name(table, month))
    # Room on the pages of rollups, so that a row that is counted up again and again stays on its own.
    filled = 100 if table in EVENT_TABLES else 50
    await connection.execute(
        f"CREATE TABLE {name} (LIKE {table} INCLUDING DEFAULTS) WITH (fillfactor = {filled})"
    )
    if table in EVENT_TABLES:
        await connection.execute(f"ALTER TABLE {name} ADD PRIMARY KEY (event_id)")
    await connection.execute(
        f"ALTER TABLE {table} ATTACH PARTITION {name} "
        f"FOR VALUES FROM ('{first_day(month)}') TO ('{first_day(Month(month + 1))}')"
    )
    return name


async def _free_name(connection: Connection, name: str) -> str:
    """A month that was detached and not yet dropped still has its name."""
    free, count = name, 1
    while await connection.fetchval("SELECT to_regclass($1) IS NOT NULL", free):
        count += 1
        free = f"{name}_{count}"
    return free
