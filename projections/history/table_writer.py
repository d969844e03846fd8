"""Rows into one table, each event once: COPY straight into it, and with more care when that meets what it cannot take."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence

import asyncpg

from events.dead_letters import Refused
from events.errors import InvalidEventError
from events.positions import Partition
from events.reader import LogRecord
from projections.history.database import Connection
from projections.history.rows import NUL_STAND_IN, Batch, Row, RowReader

STAGE = "incoming"
BAD_VALUES = (
    asyncpg.DataError,
    asyncpg.IntegrityConstraintViolationError,
    asyncpg.ProgramLimitExceededError,
    # what asyncpg cannot bring into the form of the column
    ValueError,
    OverflowError,
    TypeError,
)
_REFUSE = """
    INSERT INTO refused (topic, log_partition, log_offset, reason, detail, key, value, appended_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING
"""


class NoMonthError(Exception):
    """A row lies in a month that has no partition: create it, and write again in a new transaction."""


class TableWriter:
    """Writes one table, inside a transaction of the caller."""

    def __init__(self, reader: RowReader) -> None:
        self._reader = reader
        self._table = reader.table
        columns = ", ".join(f'"{name}"' for name in self._table.column_names)
        self._unstage = (
            f"INSERT INTO {self._table.name} ({columns}) SELECT {columns} FROM {STAGE} ORDER BY log_offset "
            "ON CONFLICT DO NOTHING RETURNING log_offset"
        )

    async def insert(self, connection: Connection, batch: Batch, rows: Iterator[Row]) -> Sequence[Row]:
        """Write a batch while its rows are decoded; those that were not there before. Bad ones go to `batch.refused`.

        NoMonthError when a month is missing; `batch.held` has all rows then.
        """
        try:
            if await self._copied(connection, self._table.name, rows):
                return batch.held
        finally:
            deque(rows, maxlen=0)
        return await self._insert_with_care(connection, batch)

    async def refuse(self, connection: Connection, place: Partition, refused: Sequence[Refused]) -> None:
        """Keep records that are no rows, with the reason."""
        if refused:
            await connection.executemany(_REFUSE, [_refused_row(place, one) for one in refused])

    async def _insert_with_care(self, connection: Connection, batch: Batch) -> list[Row]:
        """Clean each row, refuse what cannot be cleaned, and leave out the events that are there already."""
        records = {record.offset: record for record in batch.records}
        rows: dict[str, Row] = {}
        for row in batch.held:
            try:
                cleaned = self._reader.cleaned(row)
            except InvalidEventError as error:
                batch.refused.append(Refused(records[row[self._reader.offset_at]], error))
            else:
                rows.setdefault(self._reader.event_id_of(cleaned), cleaned)
        await connection.execute(f"CREATE TEMP TABLE {STAGE} (LIKE {self._table.name}) ON COMMIT DROP")
        return await self._staged(connection, list(rows.values()), records, batch.refused)

    async def _staged(
        self,
        connection: Connection,
        rows: list[Row],
        records: dict[int, LogRecord],
        refused: list[Refused],
    ) -> list[Row]:
        """Those of the rows that were new. What still cannot be written is found by halving, and refused."""
        if not rows:
            return []
        savepoint = connection.transaction()
        await savepoint.start()
        try:
            await self._copy(connection, STAGE, iter(rows))
            written = await self._unstaged(connection)
            await connection.execute(f"TRUNCATE {STAGE}")
        except asyncpg.CheckViolationError as error:
            raise NoMonthError(str(error)) from None
        except BAD_VALUES as error:
            await savepoint.rollback()
            if len(rows) == 1:
                reason = InvalidEventError("invalid_value", f"the history cannot hold it: {error}")
                refused.append(Refused(records[rows[0][self._reader.offset_at]], reason))
                return []
            middle = len(rows) // 2
            first = await self._staged(connection, rows[:middle], records, refused)
            return first + await self._staged(connection, rows[middle:], records, refused)
        await savepoint.commit()
        at = self._reader.offset_at
        return [row for row in rows if row[at] in written]

    async def _unstaged(self, connection: Connection) -> set[int]:
        """Bring the staged rows into the table; the offsets of those that were written."""
        return {row["log_offset"] for row in await connection.fetch(self._unstage)}

    async def _copied(self, connection: Connection, table: str, rows: Iterator[Row]) -> bool:
        """Whether all could be copied as they are; nothing was when not."""
        savepoint = connection.transaction()
        await savepoint.start()
        try:
            await self._copy(connection, table, rows)
        except asyncpg.CheckViolationError as error:
            raise NoMonthError(str(error)) from None
        except BAD_VALUES:
            await savepoint.rollback()
            return False
        await savepoint.commit()
        return True

    async def _copy(self, connection: Connection, table: str, rows: Iterator[Row]) -> None:
        await connection.copy_records_to_table(table, records=rows, columns=self._table.column_names)


def _refused_row(place: Partition, refused: Refused) -> tuple[object, ...]:
    record, error = refused.record, refused.error
    detail = error.detail.replace("\0", NUL_STAND_IN)
    return (
        place.topic,
        place.number,
        record.offset,
        error.reason,
        detail,
        record.key,
        record.value,
        record.timestamp * 1000,
    )
