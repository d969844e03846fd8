"""Records written again where the history holds something else than they say: their rows, and the rollups of what changed.

Each time is one transaction, which locks the partition's checkpoint: the sink waits so long, finds itself fenced, and opens
the partition anew, for what it remembers of the sums is no longer true.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from uuid import UUID

import asyncpg

from events.codec import Codec
from events.positions import Partition
from events.reader import LogRecord
from events.settings import LogSettings
from projections.errors import SinkUnavailableError
from projections.history import checkpoints
from projections.history.database import Connection, Database
from projections.history.months import ROLLUP_TABLES, create_months, months_of
from projections.history.recent import Recent
from projections.history.rollup_store import RollupStore
from projections.history.rollup_sums import columns_of
from projections.history.rollups import (
    TALLIES,
    Bucket,
    Grain,
    Rollup,
    Rollups,
    buckets_of,
    coarser,
    writer_of,
)
from projections.history.rows import Batch, Row, RowReader
from projections.history.settings import HistorySettings
from projections.history.table_writer import NoMonthError, TableWriter
from projections.history.tables import derive_tables, table_name
from projections.history.take_back import AT_ONCE, WITHIN_S

TRIES = 3
"""The first may find months missing; retention may take one away before the second."""

_STARTS = "(SELECT timestamptz 'epoch' + us * interval '1 microsecond' AS start FROM unnest($2::bigint[]) AS us) AS given"
_CALLED_AT = {
    "usage": "occurred_at",
    "adjustments": "timestamptz 'epoch' + usage_occurred_at * interval '1 microsecond'",
}
"""When the calls happened that a row counts in the rollups."""


@dataclass(frozen=True, slots=True)
class Again:
    """What is to be right again of a partition: what lies at these offsets, where the log has `records`, and buckets.

    No bucket that begins before `whole_from_us` is touched: not all rows that it sums up are there.
    """

    place: Partition
    offsets: Sequence[int] = ()
    records: Sequence[LogRecord] = ()
    buckets: Collection[Bucket] = ()
    whole_from_us: int = 0


@dataclass(frozen=True, slots=True)
class WrittenAgain:
    """Offsets of what was taken out, of rows that were written, and of records that were refused; buckets made anew."""

    gone: Collection[int]
    rows: Collection[int]
    refused: Collection[int]
    buckets: Collection[Bucket]


class Rewriter:
    """Writes what some offsets have to hold, whatever is there. Close it at the end."""

    def __init__(self, settings: HistorySettings, codec: Codec, log: LogSettings) -> None:
        self._database = Database(settings.model_copy(update={"write_timeout_s": WITHIN_S}))
        self._readers = {
            topic: RowReader(table, codec, log) for topic, table in derive_tables(log.schemas_folder).items()
        }

    async def close(self) -> None:
        """Let go of the connections."""
        await self._database.close()

    async def write(self, again: Again) -> WrittenAgain:
        """Take out all that lies at the offsets, write the records, and sum up the buckets and those that rows changed in.

        All of it or nothing. SinkUnavailableError.
        """
        for _ in range(TRIES):
            batch = Batch(again.records)
            try:
                async with self._database.connection() as connection, connection.transaction():
                    end = await checkpoints.shut_out(connection, again.place)
                    batch.records = [record for record in again.records if record.offset < end]
                    return await self._write(connection, again, batch)
            except NoMonthError:
                await self._create_months(again, batch)
        raise SinkUnavailableError(f"months of {again.place} are taken away as soon as they are made")

    async def _write(self, connection: Connection, again: Again, batch: Batch) -> WrittenAgain:
        reader, place = self._readers[again.place.topic], again.place
        rows = list(reader.rows(place, batch, Recent()))
        gone = await _take_out(connection, reader, again, rows)
        writer = TableWriter(reader)
        written = await writer.insert(connection, batch, iter(rows)) if rows else []
        await writer.refuse(connection, place, batch.refused)
        buckets = set(again.buckets)
        for time_us in {*gone.values(), *_called_at(reader, place, written)}:
            buckets |= set() if time_us is None else buckets_of(time_us)
        buckets = {bucket for bucket in buckets if bucket[1] >= again.whole_from_us}
        await _sum_up(connection, place, buckets)
        return WrittenAgain(
            gone.keys(),
            {row[reader.offset_at] for row in written},
            {one.record.offset for one in batch.refused},
            buckets,
        )

    async def _create_months(self, again: Again, batch: Batch) -> None:
        reader = self._readers[again.place.topic]
        times_us = {*map(reader.occurred_at_of, batch.held), *(start_us for _, start_us in again.buckets)}
        times_us |= _called_at(reader, again.place, batch.held)
        tables = [reader.table.name, *(ROLLUP_TABLES if again.place.topic in TALLIES else ())]
        async with self._database.connection() as connection:
            await create_months(connection, tables, months_of(times_us))


def _called_at(reader: RowReader, place: Partition, rows: Iterable[Row]) -> set[int]:
    """When the calls happened that rows count in the rollups; of a topic that is not rolled up, none."""
    tally = TALLIES.get(place.topic)
    return set() if tally is None else set(map(tally(reader.table.column_names).time_of, rows))


async def _take_out(
    connection: Connection, reader: RowReader, again: Again, rows: Sequence[Row]
) -> dict[int, int | None]:
    """Whatever lies at the offsets, and rows further on of an event that belongs there; the time that decides the buckets, by
    offset.
    """
    table, number, offsets = reader.table.name, again.place.number, list(again.offsets)
    tally = TALLIES.get(again.place.topic)
    called_at = "NULL::bigint" if tally is None else tally.columns[0]
    told = [(reader.event_id_of(row), row[reader.offset_at]) for row in rows if _is_uuid(reader, row)]
    gone = [
        *await connection.fetch(
            "DELETE FROM refused WHERE topic = $1 AND log_partition = $2 AND log_offset = ANY($3::bigint[]) "
            "RETURNING log_offset, NULL",
            *(again.place.topic, number, offsets),
        ),
        *await connection.fetch(
            f"DELETE FROM {table} WHERE log_partition = $1 AND log_offset = ANY($2::bigint[]) "
            f"RETURNING log_offset, {called_at}",
            *(number, offsets),
        ),
        *await connection.fetch(
            f"DELETE FROM {table} AS held USING unnest($2::uuid[], $3::bigint[]) AS told (event_id, log_offset) "
            "WHERE held.event_id = told.event_id AND log_partition = $1 AND held.log_offset > told.log_offset "
            f"RETURNING held.log_offset, {called_at}",
            *(number, [event_id for event_id, _ in told], [offset for _, offset in told]),
        ),
    ]
    return {offset: time_us for offset, time_us in gone}  # noqa: C416 - mypy does not take a row for a pair


def _is_uuid(reader: RowReader, row: Row) -> bool:
    try:
        UUID(reader.event_id_of(row))
    except ValueError:
        return False
    return True


async def _sum_up(connection: Connection, place: Partition, buckets: Collection[Bucket]) -> None:
    """The rollups of these buckets, of the rows that are there now."""
    tally = TALLIES.get(place.topic)
    if tally is None:
        return
    columns, called_at = ", ".join(f'"{name}"' for name in tally.columns), _CALLED_AT[place.topic]
    for grain in Grain:
        starts = [start_us for each, start_us in buckets if each is grain]
        if not starts:
            continue
        await connection.execute(
            f"DELETE FROM {grain.table} USING {_STARTS} WHERE log_partition = $1 AND bucket = start",
            *(writer_of(place), starts),
        )
        rows = await connection.cursor(
            f"SELECT {columns} FROM {table_name(place.topic)} JOIN {_STARTS} ON {called_at} >= start AND {called_at} < start + "
            f"{grain.length_us} * interval '1 microsecond' WHERE log_partition = $1",
            *(place.number, starts),
        )
        sums: Rollups = {}
        while some := await rows.fetch(AT_ONCE):
            for key, rollup in coarser(tally(tally.columns).by_minute(map(tuple, some)), grain).items():
                sums.setdefault(key, Rollup([0] * len(rollup.sums))).add(rollup)
        store = RollupStore(writer_of(place), 0)
        store.count({grain: columns_of(sums)})
        try:
            await store.write(connection)
        except asyncpg.CheckViolationError as error:
            raise NoMonthError(str(error)) from None
