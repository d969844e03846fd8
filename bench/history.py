"""How quickly usage becomes history: rows visible in Postgres, rollups on, beside a bare COPY of the same rows.

Both write the same batches, each in a transaction of its own, one connection for each log partition, on the same server.
The bare COPY is given finished rows and a table with the same columns, months and primary key, without further indexes;
the sink is given records as the log has them, and writes rows, three rollups, indexes and the checkpoint.
"""

from __future__ import annotations

import asyncio
import gc
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import asyncpg

from bench.lab import Lab
from bench.report import Row, show
from bench.usage_records import PER_SECOND, usage_records
from embedded.postgres import PostgresServer
from events.codec import Codec
from events.partitioner import partition_of
from events.positions import Partition
from events.reader import LogRecord
from events.registry import FolderRegistry
from events.settings import LogSettings
from projections.history.database import Database
from projections.history.recent import Recent
from projections.history.rows import Batch, RowReader
from projections.history.settings import HistorySettings
from projections.history.sink import HistorySink
from projections.history.tables import derive_tables

EVENTS = 384_000
BATCH = 24_000
"""What the sink writes at once when it is behind: what a fetch brings it."""
ROUNDS = 3
USAGE = derive_tables()["usage"]


@dataclass(frozen=True, slots=True)
class Record:
    """A record as it lies on the log."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()


Lanes = list[list[list[LogRecord]]]
"""Batches by partition."""


async def run(_: Lab) -> dict[str, Any]:
    """The figures; `history_vs_copy` is the lower one of one partition and of four."""
    codec = Codec(FolderRegistry())
    with tempfile.TemporaryDirectory(prefix="interlock-bench-") as folder:
        async with PostgresServer(Path(folder)) as server:
            figures: dict[str, Any] = {"events": EVENTS}
            for partitions in (1, 4):
                figures[f"partitions_{partitions}"] = await _compare(server.address, codec, partitions)
    compared = [figures["partitions_1"], figures["partitions_4"]]
    figures["history_vs_copy"] = min(one["history_vs_copy"] for one in compared)
    return figures


async def _compare(dsn: str, codec: Codec, partitions: int) -> dict[str, float]:
    """Rounds of COPY and sink in turns, each into a schema of its own."""
    lanes = _lanes(codec, partitions)
    copied: list[float] = []
    written: list[float] = []
    await _written(_settings(dsn, f"warm_{partitions}"), codec, [lane[:1] for lane in lanes])
    for number in range(ROUNDS):
        copied.append(await _copied(_settings(dsn, f"copy_{partitions}_{number}"), codec, lanes))
        written.append(await _written(_settings(dsn, f"sink_{partitions}_{number}"), codec, lanes))
    share = median(written) / median(copied)
    show(
        f"history, {partitions} partition{'s' if partitions > 1 else ''}, batches of {BATCH:,}",
        [
            Row("asyncpg COPY", median(copied), "rows/s"),
            Row("the sink, rollups on", median(written), "rows/s"),
            Row("sink / COPY", share, ""),
        ],
    )
    return {
        "copy_rows_per_s": round(median(copied)),
        "history_rows_per_s": round(median(written)),
        "history_vs_copy": round(share, 3),
    }


def _settings(dsn: str, schema_name: str) -> HistorySettings:
    return HistorySettings(postgres_dsn=dsn, schema_name=schema_name)


def _lanes(codec: Codec, partitions: int) -> Lanes:
    start_us = time.time_ns() // 1000 - EVENTS * 1_000_000 // PER_SECOND
    records: list[list[LogRecord]] = [[] for _ in range(partitions)]
    for one in usage_records(codec, EVENTS, start_us):
        number = partition_of(one.key, partitions)
        offset, time_ms = len(records[number]), one.timestamp_ms or 0
        records[number].append(Record("interlock.usage", number, offset, time_ms, one.key, one.value))
    return [[lane[at : at + BATCH] for at in range(0, len(lane), BATCH)] for lane in records]


async def _written(settings: HistorySettings, codec: Codec, lanes: Lanes) -> float:
    """Rows per second by the sink."""
    sink = HistorySink(settings, codec, LogSettings(partitions=len(lanes)))

    async def lane(number: int, batches: list[list[LogRecord]]) -> None:
        place = Partition("usage", number)
        start = await sink.open(place)
        await ready.wait()
        for batch in batches:
            start = await sink.write(place, start, batch)

    try:
        await sink.open(Partition("usage", 0))
        ready = asyncio.Barrier(len(lanes) + 1)
        return await _timed(settings, ready, [lane(*one) for one in enumerate(lanes)], lanes)
    finally:
        await sink.close()


async def _copied(settings: HistorySettings, codec: Codec, lanes: Lanes) -> float:
    """Rows per second by COPY alone."""
    ready_rows = [_rows(codec, number, len(lanes), batches) for number, batches in enumerate(lanes)]
    database = Database(settings)
    await _bare_table(settings)

    async def lane(batches: list[list[tuple[Any, ...]]]) -> None:
        async with database.connection() as connection:
            await ready.wait()
            for rows in batches:
                async with connection.transaction():
                    await connection.copy_records_to_table("usage", records=rows, columns=USAGE.column_names)

    try:
        ready = asyncio.Barrier(len(lanes) + 1)
        return await _timed(settings, ready, [lane(batches) for batches in ready_rows], lanes)
    finally:
        await database.close()


def _rows(
    codec: Codec, number: int, partitions: int, batches: list[list[LogRecord]]
) -> list[list[tuple[Any, ...]]]:
    reader = RowReader(USAGE, codec, LogSettings(partitions=partitions))
    place = Partition("usage", number)
    return [list(reader.rows(place, Batch(batch), Recent())) for batch in batches]


async def _bare_table(settings: HistorySettings) -> None:
    """The table of calls as the history has it, with nothing but its primary key."""
    sink = HistorySink(settings, Codec(FolderRegistry()), LogSettings())
    await sink.open(Partition("usage", 0))
    await sink.close()
    session = await asyncpg.connect(
        settings.postgres_dsn, server_settings={"search_path": settings.schema_name}
    )
    try:
        for row in await session.fetch(
            "SELECT indexrelid::regclass::text AS name FROM pg_index "
            "WHERE indrelid = 'usage'::regclass AND NOT indisprimary"
        ):
            await session.execute(f"DROP INDEX {row['name']}")
    finally:
        await session.close()


async def _timed(
    settings: HistorySettings, ready: asyncio.Barrier, lanes: Sequence[Any], records: Lanes
) -> float:
    """Rows per second from when all lanes are ready until the last row is visible to another connection."""
    session = await asyncpg.connect(
        settings.postgres_dsn, server_settings={"search_path": settings.schema_name}
    )
    running = [asyncio.ensure_future(lane) for lane in lanes]
    try:
        await session.execute("CHECKPOINT")
        gc.collect()
        gc.freeze()
        await ready.wait()
        started = time.perf_counter()
        await asyncio.gather(*running)
        wall_s = time.perf_counter() - started
        expected = sum(len(batch) for lane in records for batch in lane)
        visible = await session.fetchval("SELECT count(*) FROM usage")
        if visible != expected:
            raise RuntimeError(f"{visible} rows of {expected} are visible")
        return float(expected / wall_s)
    finally:
        gc.unfreeze()
        for lane in running:
            lane.cancel()
        await session.execute(f'DROP SCHEMA "{settings.schema_name}" CASCADE')
        await session.close()
