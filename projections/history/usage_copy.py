"""A batch of usage straight into its table, decoded a block ahead of what Postgres takes in."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import suppress

import numpy as np

from events.positions import Partition
from events.reader import LogRecord
from projections.history.copy_rows import HEADER, TRAILER
from projections.history.database import Connection
from projections.history.recent import Recent
from projections.history.rollup_store import RollupStore
from projections.history.rollup_sums import every_grain
from projections.history.rollups import UsageTally
from projections.history.rows import Batch, RowReader
from projections.history.table_writer import BAD_VALUES
from projections.history.usage_columns import UsageColumns

FIRST_BLOCK = 800
LARGEST_BLOCK = 4_000
"""Postgres has something to do soon, and then as long as the next block takes, which costs less the larger it is."""


class UsageCopy:
    """The way that nearly every batch goes. What a block leaves over is read record by record, and copied after it."""

    def __init__(self, reader: RowReader, columns: UsageColumns) -> None:
        self._reader = reader
        self._columns = columns
        self._tally = UsageTally(reader.table.column_names)

    async def copied(
        self, connection: Connection, place: Partition, batch: Batch, recent: Recent, rollups: RollupStore
    ) -> bool:
        """Whether all rows of a batch were written, and counted in `rollups`; when not, nothing was."""
        savepoint = connection.transaction()
        await savepoint.start()
        odd: list[LogRecord] = []
        table = self._reader.table
        in_order = False
        with suppress(*BAD_VALUES):
            await connection.copy_to_table(
                table.name,
                source=self._blocks(place, batch, recent, rollups, odd),
                format="binary",
                columns=self._columns.column_names,
            )
            left = Batch(odd, ids=batch.ids, refused=batch.refused)
            if odd:
                rows = self._reader.rows(place, left, recent)
                await connection.copy_records_to_table(table.name, records=rows, columns=table.column_names)
                batch.duplicates += left.duplicates
                rollups.count(every_grain(self._tally.by_minute(left.held)))
            in_order = not left.overtaken  # of two records of one event the first counts
        if not in_order:
            await savepoint.rollback()
            rollups.forget()
            return False
        await savepoint.commit()
        return True

    async def _blocks(
        self, place: Partition, batch: Batch, recent: Recent, rollups: RollupStore, odd: list[LogRecord]
    ) -> AsyncIterator[bytes]:
        yield HEADER
        calls = self._columns.calls()
        seen = (batch.ids, recent.current, recent.previous)
        for records in _cut(batch.records):
            block = self._columns.block(place.number, records, seen, calls)
            batch.ids |= block.ids
            odd += [records[at] for at in np.flatnonzero(block.odd).tolist()]
            yield block.rows
        rollups.count(calls.by_grain())  # while Postgres is still busy with the last rows
        rollups.prepare()
        yield TRAILER


def _cut(records: Sequence[LogRecord]) -> Iterator[Sequence[LogRecord]]:
    """Blocks of which each is half as large again as the one before."""
    start, size = 0, FIRST_BLOCK
    while start < len(records):
        yield records[start : start + size]
        start, size = start + size, min(size * 3 // 2, LARGEST_BLOCK)
