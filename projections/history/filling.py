"""Rows of the history written anew from records of the log that it has taken before, while the sink writes what follows.

Rollups are left alone: what retention or an operator has deleted is summed up in them still.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from events.codec import Codec
from events.dead_letters import Refused
from events.positions import Partition
from events.reader import LogRecord
from events.settings import LogSettings
from projections.errors import StaleCheckpointError
from projections.history.database import Connection, Database
from projections.history.excerpt import Excerpt
from projections.history.months import create_months, months_of
from projections.history.recent import Recent
from projections.history.rows import Batch, RowReader
from projections.history.sink import TRIES
from projections.history.table_mender import TableMender
from projections.history.table_writer import NoMonthError
from projections.history.tables import derive_tables

Judge = Callable[[Partition, Sequence[Refused]], None]
"""Looks at records that are refused and were not before, and raises when nothing of the batch may be written."""


@dataclass(slots=True)
class Filled:
    """How many events were looked at; of how many the row was missing, or had other values.

    `refused` are records that lacked in the table of that name, and those that were in it and are rows now.
    """

    events: int = 0
    missing: int = 0
    wrong: int = 0
    refused: int = 0

    @property
    def changed(self) -> int:
        """How many rows are not as before."""
        return self.missing + self.wrong + self.refused

    def add(self, other: Filled) -> None:
        """Count what another batch came to."""
        self.events += other.events
        self.missing += other.missing
        self.wrong += other.wrong
        self.refused += other.refused


class Filling:
    """Rows of one excerpt. A record that is no event belongs to it by the record's own time, when it is about everybody."""

    def __init__(
        self, database: Database, codec: Codec, log: LogSettings, excerpt: Excerpt, judge: Judge
    ) -> None:
        self._database = database
        self._excerpt = excerpt
        self._judge = judge
        self._readers = {
            topic: RowReader(table, codec, log) for topic, table in derive_tables(log.schemas_folder).items()
        }
        self._menders = {topic: TableMender(reader) for topic, reader in self._readers.items()}

    async def fill(self, place: Partition, records: Sequence[LogRecord]) -> Filled:
        """All of the records in one transaction, or none. SinkUnavailableError, and what the judge raises."""
        for _ in range(TRIES):
            batch = self._asked(place, records)
            if not batch.held and not batch.refused:
                return Filled()
            try:
                async with self._database.connection() as connection, connection.transaction():
                    return await self._fill(connection, place, batch)
            except NoMonthError:
                await self._create_months(place, batch)
        raise StaleCheckpointError(f"months of {place} are taken away as soon as they are made")

    def _asked(self, place: Partition, records: Sequence[LogRecord]) -> Batch:
        """What of the records belongs to the excerpt."""
        batch, excerpt = Batch(records), self._excerpt
        reader = self._readers[place.topic]
        deque(reader.rows(place, batch, Recent()), maxlen=0)
        names = reader.table.column_names
        batch.held = [row for row in batch.held if excerpt.holds(dict(zip(names, row, strict=True)))]
        batch.refused = [
            one
            for one in batch.refused
            if excerpt.is_of_all and excerpt.happened(one.record.timestamp * 1000)
        ]
        return batch

    async def _fill(self, connection: Connection, place: Partition, batch: Batch) -> Filled:
        events, offset_at = len(batch.held), self._readers[place.topic].offset_at
        mender = self._menders[place.topic]
        mended = await mender.mend(connection, batch)
        refused = {one.record.offset for one in batch.refused}
        known = await _refused_of(connection, place, refused)
        news = [one for one in batch.refused if one.record.offset not in known]
        self._judge(place, news)
        await mender.refuse(connection, place, news)
        rows = [row[offset_at] for row in batch.held if row[offset_at] not in refused]
        gone = await connection.fetch(
            "DELETE FROM refused WHERE topic = $1 AND log_partition = $2 AND log_offset = ANY($3) RETURNING log_offset",
            *(place.topic, place.number, rows),
        )
        return Filled(
            events,
            len(mended.written - mended.wrong),
            len(mended.wrong),
            len(news) + len(gone),
        )

    async def _create_months(self, place: Partition, batch: Batch) -> None:
        reader = self._readers[place.topic]
        async with self._database.connection() as connection:
            await create_months(
                connection, [reader.table.name], months_of(map(reader.occurred_at_of, batch.held))
            )


async def _refused_of(connection: Connection, place: Partition, offsets: set[int]) -> set[int]:
    """Those of the offsets whose records are refused already."""
    rows = await connection.fetch(
        "SELECT log_offset FROM refused WHERE topic = $1 AND log_partition = $2 AND log_offset = ANY($3)",
        *(place.topic, place.number, list(offsets)),
    )
    return {row["log_offset"] for row in rows}
