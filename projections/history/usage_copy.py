"""A batch of usage straight into its table, decoded a block ahead of what Postgres takes in."""

from __future__ import annotations

from collections.abc import AsyncIterator

import numpy as np

from events.positions import Partition
from events.reader import LogRecord
from projections.history.copy_rows import HEADER, TRAILER
from projections.history.database import Connection
from projections.history.recent import Recent
from projections.history.rollups import Rollups, Tally
from projections.history.rows import Batch, RowReader
from projections.history.table_writer import BAD_VALUES
from projections.history.usage_columns import UsageColumns

BLOCK_RECORDS = 4_000


class UsageCopy:
    """The way that nearly every batch goes. What a block leaves over is read record by record, and copied after it."""

    def __init__(self, reader: RowReader, columns: UsageColumns) -> None:
        self._reader = reader
        self._columns = columns
        self._tally = Tally(reader.table.column_names)

    async def copied(
        self, connection: Connection, place: Partition, batch: Batch, recent: Recent
    ) -> Rollups | None:
        """The sums of a batch that was written whole; None when it was not, and then nothing was."""
        savepoint = connection.transaction()
        await savepoint.start()
        rollups: Rollups = {}
        odd: list[LogRecord] = []
        table = self._reader.table
        try:
            await connection.copy_to_table(
                table.name,
                source=self._blocks(place, batch, recent, rollups, odd),
                format="binary",
                columns=table.column_names,
            )
            if odd:
                left = Batch(odd, ids=batch.ids, refused=batch.refused)
                rows = self._reader.rows(place, left, recent)
                await connection.copy_records_to_table(table.name, records=rows, columns=table.column_names)
                batch.duplicates += left.duplicates
                _add(rollups, self._tally.by_minute(left.held))
        except BAD_VALUES:
            await savepoint.rollback()
            return None
        await savepoint.commit()
        return rollups

    async def _blocks(
        self, place: Partition, batch: Batch, recent: Recent, rollups: Rollups, odd: list[LogRecord]
    ) -> AsyncIterator[bytes]:
        yield HEADER
        seen = (batch.ids, recent.current, recent.previous)
        for start in range(0, len(batch.records), BLOCK_RECORDS):
            records = batch.records[start : start + BLOCK_RECORDS]
            block = self._columns.block(place.number, records, seen)
            batch.ids |= block.ids
            _add(rollups, block.rollups)
            odd += [records[at] for at in np.flatnonzero(block.odd).tolist()]
            yield block.rows
        yield TRAILER


def _add(held: Rollups, more: Rollups) -> None:
    for key, rollup in more.items():
        if key in held:
            held[key].add(rollup)
        else:
            held[key] = rollup
