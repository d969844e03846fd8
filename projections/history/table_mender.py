"""Rows into one table that may be there already: those that are missing, and those that are not what they should be."""

from __future__ import annotations

from dataclasses import dataclass, field

from projections.history.database import Connection
from projections.history.rows import Batch, RowReader
from projections.history.table_writer import STAGE, TableWriter


@dataclass(slots=True)
class Mended:
    """Offsets of a batch: whose rows were written, and which of these had been there with other values."""

    written: set[int] = field(default_factory=set)
    wrong: set[int] = field(default_factory=set)


class TableMender(TableWriter):
    """Writes one table, inside a transaction of the caller.

    An event is told by its id. A record that comes after another of its event, or whose event has a row from another
    partition, is a duplicate and has no row.
    """

    def __init__(self, reader: RowReader) -> None:
        super().__init__(reader)
        name, quoted = reader.table.name, [f'"{one}"' for one in reader.table.column_names]
        held, given = (", ".join(f"{side}.{one}" for one in quoted) for side in ("held", "given"))
        self._delete_wrong = (
            f"DELETE FROM {name} AS held USING {STAGE} AS given "
            "WHERE held.event_id = given.event_id AND held.log_partition = given.log_partition "
            f"AND (held.log_offset = given.log_offset AND ({held}) IS DISTINCT FROM ({given}) "
            "OR held.log_offset > given.log_offset AND held.occurred_at = given.occurred_at) "
            "RETURNING given.log_offset"
        )
        self._insert_missing = (
            f"INSERT INTO {name} ({', '.join(quoted)}) SELECT {given} FROM {STAGE} AS given "
            f"WHERE NOT EXISTS (SELECT FROM {name} AS held WHERE held.event_id = given.event_id "
            "AND (held.log_partition <> given.log_partition OR held.log_offset <= given.log_offset)) "
            "ORDER BY given.log_offset ON CONFLICT DO NOTHING RETURNING log_offset"
        )
        self._mended = Mended()

    async def mend(self, connection: Connection, batch: Batch) -> Mended:
        """Have the batch's rows in the table. Bad ones go to `batch.refused`. NoMonthError when a month is missing."""
        self._mended = Mended()
        await self._insert_with_care(connection, batch)
        return self._mended

    async def _unstaged(self, connection: Connection) -> set[int]:
        await connection.execute(
            f"ANALYZE {STAGE}"
        )  # else it is taken for small, and the table is read whole
        wrong = await connection.fetch(self._delete_wrong)
        missing = await connection.fetch(self._insert_missing)
        written = {row["log_offset"] for row in missing}
        self._mended.written |= written
        self._mended.wrong |= {row["log_offset"] for row in wrong}
        return written
