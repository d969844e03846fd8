"""Rows of the history as a Parquet file: written beside, on the disk, counted, and only then given its name."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import pyarrow as pa
import pyarrow.parquet as pq

from projections.archive.files import discard, make_folders, sync_folder
from projections.archive.layout import PARTIAL
from projections.history.tables import Table
from projections.retention.errors import StepRefusedError
from projections.retention.postgres import Session
from projections.retention.selection_sql import Where

ROWS_AT_ONCE = 20_000

_TYPES: dict[str, pa.DataType] = {
    "uuid": pa.string(),
    "text": pa.string(),
    "jsonb": pa.string(),
    "bigint": pa.int64(),
    "integer": pa.int32(),
    "boolean": pa.bool_(),
    "double precision": pa.float64(),
    "bytea": pa.binary(),
    "timestamp with time zone": pa.timestamp("us", tz="UTC"),
}
_AS_TEXT = frozenset({"uuid", "jsonb"})


def arrow_schema(table: Table) -> pa.Schema:
    """A column per column of the table. Ids and JSON are texts, times microseconds UTC, money whole nano-USD."""
    return pa.schema(
        [pa.field(column.name, _TYPES[column.sql_type], column.nullable) for column in table.columns]
    )


async def export(connection: Session, table: Table, month: str, where: Where, target: Path) -> int:
    """Write the rows of a month into `target`, replacing a file of that name; how many.

    Within the transaction that the caller has open. Nothing has the target's name before all of it is on the disk and has
    been read back to the same count.
    """
    await asyncio.to_thread(make_folders, target.parent)
    partial = target.with_name(f"{PARTIAL}{uuid4().hex}")
    try:
        rows = await _written(connection, table, month, where, partial)
        await asyncio.to_thread(_kept, partial, target, rows)
    except BaseException:
        discard(partial)
        raise
    return rows


async def _written(connection: Session, table: Table, month: str, where: Where, partial: Path) -> int:
    schema = arrow_schema(table)
    rows = 0
    writer = await asyncio.to_thread(pq.ParquetWriter, partial, schema, compression="zstd")
    try:
        found = connection.cursor(
            f"SELECT {_columns(table)} FROM {month} WHERE {where.text} ORDER BY log_partition, log_offset",
            *where.arguments,
        )
        cursor = await found
        while batch := await cursor.fetch(ROWS_AT_ONCE):
            await asyncio.to_thread(_add, writer, schema, batch)
            rows += len(batch)
    finally:
        await asyncio.to_thread(writer.close)
    return rows


def _add(writer: pq.ParquetWriter, schema: pa.Schema, batch: Sequence[asyncpg.Record]) -> None:
    columns: list[Any] = [
        pa.array([row[index] for row in batch], type=field.type) for index, field in enumerate(schema)
    ]
    writer.write_table(pa.Table.from_arrays(columns, schema=schema))


def _kept(partial: Path, target: Path, rows: int) -> None:
    with partial.open("rb") as file:
        os.fsync(file.fileno())
    counted = pq.read_metadata(partial).num_rows
    if counted != rows:
        raise StepRefusedError(
            f"{target} would have {counted} rows, and {rows} were written: nothing was deleted"
        )
    if target.exists() and (kept := pq.read_metadata(target).num_rows) > rows:
        raise StepRefusedError(
            f"{target} has {kept} rows already, and only {rows} are left: it stays; plan again"
        )
    partial.rename(target)
    sync_folder(target.parent)


def _columns(table: Table) -> str:
    return ", ".join(
        f'"{column.name}"::text' if column.sql_type in _AS_TEXT else f'"{column.name}"'
        for column in table.columns
    )
