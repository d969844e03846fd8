"""Records written again where the history holds something else than they say. Rollups are left to who mends them after it.

Each time is one transaction, which locks the partition's checkpoint: the sink waits so long, finds itself fenced, and opens
the partition anew.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from uuid import UUID

from events.codec import Codec
from events.positions import Partition
from events.reader import LogRecord
from events.settings import LogSettings
from projections.errors import SinkUnavailableError
from projections.history import checkpoints
from projections.history.database import Connection, Database
from projections.history.months import create_months, months_of
from projections.history.recent import Recent
from projections.history.rollups import TALLIES
from projections.history.rows import Batch, Row, RowReader
from projections.history.sink import TRIES
from projections.history.table_writer import NoMonthError, TableWriter
from projections.history.tables import derive_tables


@dataclass(frozen=True, slots=True)
class Again:
    """What lies at these offsets of a partition, where the log has `records`, is to be right again."""

    place: Partition
    offsets: Sequence[int]
    records: Sequence[LogRecord]


@dataclass(frozen=True, slots=True)
class WrittenAgain:
    """Offsets of what was taken out, of rows that were written, and of records that were refused; when calls happened whose
    rows are not as before, microseconds.
    """

    gone: Collection[int]
    rows: Collection[int]
    refused: Collection[int]
    called_at_us: Collection[int]


class Rewriter:
    """Writes what some offsets have to hold, whatever is there."""

    def __init__(self, database: Database, codec: Codec, log: LogSettings) -> None:
        self._database = database
        self._readers = {
            topic: RowReader(table, codec, log) for topic, table in derive_tables(log.schemas_folder).items()
        }

    async def write(self, again: Again) -> WrittenAgain:
        """Take out all that lies at the offsets, and write the records: all of it or nothing. SinkUnavailableError."""
        for _ in range(TRIES):
            batch = Batch(again.records)
            try:
                async with self._database.connection() as connection, connection.transaction():
                    end = await checkpoints.fence(connection, again.place)
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
        return WrittenAgain(
            gone.keys(),
            {row[reader.offset_at] for row in written},
            {one.record.offset for one in batch.refused},
            {us for us in gone.values() if us is not None} | _called_at(reader, place, written),
        )

    async def _create_months(self, again: Again, batch: Batch) -> None:
        reader = self._readers[again.place.topic]
        months = months_of(map(reader.occurred_at_of, batch.held))
        async with self._database.connection() as connection:
            await create_months(connection, [reader.table.name], months)


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
