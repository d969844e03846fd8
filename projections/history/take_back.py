"""Rows taken back that came from the end of a log that was lost: the history as it was at the offset where the log ends.

A log in memory is put back from its archive, which may lack the last seconds before a kill. The history has seen them, and
would leave out the events that come to lie at the same offsets.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from events.positions import Partition
from projections.errors import ProjectionError
from projections.history import checkpoints
from projections.history.database import Connection, Database
from projections.history.rollup_store import RollupStore
from projections.history.rollups import TALLIES, Grain, Rollup, Rollups, merge, writer_of
from projections.history.settings import HistorySettings
from projections.history.tables import table_name

LONGEST_US = 3_600_000_000
"""What spans more record time was not lost in a kill: another log was meant."""

WITHIN_S = 600.0
AT_ONCE = 5_000


class TooMuchToTakeBackError(ProjectionError):
    """The log lacks more than the seconds before a kill: nothing was taken back."""


@dataclass(slots=True)
class TakenBack:
    """How many rows went, and between which record times, microseconds."""

    rows: int = 0
    first_us: int | None = None
    last_us: int | None = None

    def count(self, appended_us: int) -> None:
        """One more; TooMuchToTakeBackError when they lie too far apart."""
        self.rows += 1
        self.first_us = min(appended_us, appended_us if self.first_us is None else self.first_us)
        self.last_us = max(appended_us, appended_us if self.last_us is None else self.last_us)
        if self.last_us - self.first_us > LONGEST_US:
            raise TooMuchToTakeBackError(
                "the history has events of over an hour that the log lacks, so none is taken back: give the log its archive "
                "back, or remove the history"
            )


async def take_back(settings: HistorySettings, ends: Mapping[Partition, int]) -> TakenBack:
    """Remove what the history has from these offsets on, from its sums too; all of it in one transaction.

    `ends` says where the log ends; nobody may append to it meanwhile. SinkUnavailableError, TooMuchToTakeBackError.
    """
    database = Database(settings.model_copy(update={"write_timeout_s": WITHIN_S}))
    taken = TakenBack()
    try:
        ahead = await _ahead(database, ends)
        if ahead:
            await database.migrate()
            async with database.connection() as connection, connection.transaction():
                for place, end in ahead.items():
                    await _take_back(connection, place, end, taken)
    finally:
        await database.close()
    return taken


async def _ahead(database: Database, ends: Mapping[Partition, int]) -> dict[Partition, int]:
    """Where the log ends, of each partition of which the history has more."""
    async with database.connection() as connection:
        if await connection.fetchval("SELECT to_regclass('checkpoints')") is None:
            return {}
        held = await checkpoints.positions(connection)
    return {place: ends.get(place, 0) for place, reach in held.items() if reach > ends.get(place, 0)}


async def _take_back(connection: Connection, place: Partition, end: int, taken: TakenBack) -> None:
    await checkpoints.take_back(connection, place, end)
    await connection.execute(
        "DELETE FROM refused WHERE topic = $1 AND log_partition = $2 AND log_offset >= $3",
        place.topic,
        place.number,
        end,
    )
    counted = TALLIES.get(place.topic)
    columns = () if counted is None else counted.columns
    wanted = ", ".join(("appended_at", *(f'"{name}"' for name in columns)))
    gone = await connection.cursor(
        f"DELETE FROM {table_name(place.topic)} WHERE log_partition = $1 AND log_offset >= $2 RETURNING {wanted}",
        place.number,
        end,
    )
    sums: Rollups = {}
    while rows := await gone.fetch(AT_ONCE):
        for row in rows:
            taken.count(row["appended_at"])
        if counted is not None:
            merge(sums, counted(columns).by_minute(tuple(row)[1:] for row in rows))
    if sums:
        await _subtract(connection, place, sums)


async def _subtract(connection: Connection, place: Partition, sums: Rollups) -> None:
    """From the rows of every grain; what comes to nothing is no row."""
    negative = {
        key: Rollup([-sum_ for sum_ in one.sums], {at: -count for at, count in one.latencies.items()})
        for key, one in sums.items()
    }
    await RollupStore(writer_of(place), 0).add(connection, negative)
    for grain in Grain:
        await connection.execute(
            f"DELETE FROM {grain.table} WHERE log_partition = $1 AND calls <= 0 AND cost_nano_usd = 0 AND unpriced_calls = 0",
            writer_of(place),
        )
