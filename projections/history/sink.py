"""The history as a sink: rows, rollups and checkpoint of a batch in one transaction."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import asyncpg

from events.catalogue import TOPICS
from events.codec import Codec
from events.errors import EventsError
from events.positions import Partition
from events.reader import LogRecord
from events.settings import LogSettings
from projections.errors import StaleCheckpointError
from projections.history import checkpoints
from projections.history.database import Connection, Database
from projections.history.months import (
    EVENT_TABLES,
    ROLLUP_TABLES,
    Month,
    create_months,
    month_of,
    months_of,
)
from projections.history.recent import Recent
from projections.history.rollup_store import RollupStore
from projections.history.rollup_sums import every_grain
from projections.history.rollups import TALLIES, Tally, writer_of
from projections.history.rows import Batch, RowReader
from projections.history.settings import HistorySettings
from projections.history.table_writer import NoMonthError, TableWriter
from projections.history.tables import derive_tables
from projections.history.usage_columns import UsageColumns
from projections.history.usage_copy import UsageCopy
from projections.tip import Tip, tip_of

USAGE = TOPICS["usage"]
LOOK_AHEAD_EVERY_S = 3600.0
LOOK_EVERY_S = 2.0
"""A partition without new records would else not notice that another owner or another schema has taken its place."""
TRIES = 3
"""The first may find months missing; retention may take one away before the second."""


@dataclass(slots=True)
class _Held:
    """A partition that this process has taken over."""

    claim: checkpoints.Claim
    rollups: RollupStore
    recent: Recent = field(default_factory=Recent)


@dataclass(frozen=True, slots=True)
class _TableOfTopic:
    """How a topic is written."""

    reader: RowReader
    writer: TableWriter
    tally: Tally | None


class HistorySink:
    """Every topic of the log in Postgres; what the folds of `log` refuse is refused here."""

    name = "history"
    topics = tuple(TOPICS)

    def __init__(self, settings: HistorySettings, codec: Codec, log: LogSettings) -> None:
        self._settings = settings
        self._codec = codec
        self._database = Database(settings)
        self._owner = f"{socket.gethostname()}:{os.getpid()}"
        self._held: dict[Partition, _Held] = {}
        self._preparing = asyncio.Lock()
        self._look_ahead_s = 0.0
        self._look_s = 0.0
        self._usage_copy: UsageCopy | None = None
        self._tables: dict[str, _TableOfTopic] = {}
        for topic, table in derive_tables(log.schemas_folder).items():
            reader = RowReader(table, codec, log)
            self._tables[topic] = _TableOfTopic(
                reader,
                TableWriter(reader),
                TALLIES[topic](table.column_names) if topic in TALLIES else None,
            )

    async def open(self, place: Partition) -> int:
        """Take a partition over; the schema and the months ahead are there from then on."""
        self._held.pop(place, None)
        await self._prepare()
        async with self._database.connection() as connection:
            claim = await checkpoints.take(connection, place, self._owner)
        rollups = RollupStore(writer_of(place), self._settings.rollup_rows_kept)
        self._held[place] = _Held(claim, rollups)
        return claim.next_offset

    def tip(self, place: Partition) -> Tip | None:
        return self._held[place].claim.tip

    async def write(self, place: Partition, start: int, records: Sequence[LogRecord]) -> int:
        """All of the records, visible and durable when this returns, or none."""
        held = self._held.get(place)
        if held is None:
            raise StaleCheckpointError(f"the history of {place} is not open: open it first")
        if not records:
            return start
        for _ in range(TRIES):
            batch = Batch(records)
            try:
                await self._commit(place, held, start, batch)
            except NoMonthError:
                await self._create_months(place, batch)
            else:
                held.recent.add(batch.ids)
                return batch.end
        raise StaleCheckpointError(f"months of {place} are taken away as soon as they are made")

    async def tick(self) -> dict[Partition, int]:
        """Create the months ahead, about hourly. Every write was durable at once, so nothing moved.

        StaleCheckpointError when a partition that is held is ours no more.
        """
        now_s = time.monotonic()
        if self._look_ahead_s and now_s >= self._look_ahead_s:
            await self._look_ahead()
        if self._look_ahead_s and now_s >= self._look_s:
            self._look_s = now_s + LOOK_EVERY_S
            await self._look_at_claims()
        return {}

    async def release(self, place: Partition) -> None:
        self._held.pop(place, None)

    async def drain(self) -> dict[Partition, int]:
        """Nothing is gathered."""
        return {}

    async def positions(self) -> dict[Partition, int]:
        await self._prepare()
        async with self._database.connection() as connection:
            return await checkpoints.positions(connection)

    async def close(self) -> None:
        self._held.clear()
        await self._database.close()

    async def _commit(self, place: Partition, held: _Held, start: int, batch: Batch) -> None:
        try:
            async with self._database.connection() as connection:
                transaction = connection.transaction()
                await transaction.start()
                tip = tip_of(batch.records[-1])
                await checkpoints.advance(connection, place, start, tip, held.claim.epoch)
                await self._fill(connection, place, held, batch)
                await transaction.commit()
        except BaseException:
            held.rollups.forget()
            raise

    async def _fill(self, connection: Connection, place: Partition, held: _Held, batch: Batch) -> None:
        """What the checkpoint stands for."""
        table = self._tables[place.topic]
        quick = self._usage_copy if place.topic == USAGE.name else None
        if quick is None or not await quick.copied(connection, place, batch, held.recent, held.rollups):
            batch.clear()
            rows = table.reader.rows(place, batch, held.recent)
            written = await table.writer.insert(connection, batch, rows)
            if table.tally is not None:
                held.rollups.count(every_grain(table.tally.by_minute(written)))
        await table.writer.refuse(connection, place, batch.refused)
        try:
            await held.rollups.write(connection)
        except asyncpg.CheckViolationError as error:
            raise NoMonthError(str(error)) from None

    async def _create_months(self, place: Partition, batch: Batch) -> None:
        table = self._tables[place.topic]
        if not batch.held:  # the quick way holds no rows
            batch = Batch(batch.records)
            deque(table.reader.rows(place, batch, Recent()), maxlen=0)
        months = months_of(map(table.reader.occurred_at_of, batch.held))
        async with self._database.connection() as connection:
            await create_months(connection, [table.reader.table.name], months)
            if table.tally is not None:
                called = months_of(map(table.tally.time_of, batch.held))
                await create_months(connection, ROLLUP_TABLES, called)

    async def _prepare(self) -> None:
        """Once per process, and when it is gone: the schema as this release has it."""
        async with self._preparing:
            if not self._look_ahead_s:
                await self._database.migrate()
                await self._look_ahead()
                self._usage_copy = self._quick_way()

    def _quick_way(self) -> UsageCopy | None:
        """The quick way for the topic that has most of the records; None when it does not know their schema."""
        reader = self._tables[USAGE.name].reader
        try:
            return UsageCopy(reader, UsageColumns(reader, *self._codec.newest(USAGE)))
        except (EventsError, ValueError):
            return None

    async def _look_at_claims(self) -> None:
        """Tables that are gone are made again before the next partition is opened."""
        async with self._database.connection() as connection:
            epochs = await checkpoints.epochs(connection)
        if epochs is None:
            self._look_ahead_s = 0.0
            raise StaleCheckpointError("the tables of the history are gone: they are made and written anew")
        for place, held in self._held.items():
            if epochs.get(place) != held.claim.epoch:
                raise StaleCheckpointError(
                    f"the history of {place} has epoch {epochs.get(place)}, not {held.claim.epoch}: another owner has taken it, "
                    "or another schema its place"
                )

    async def _look_ahead(self) -> None:
        this_month = month_of(time.time_ns() // 1000)
        months = [Month(this_month + ahead) for ahead in range(self._settings.months_ahead + 1)]
        async with self._database.connection() as connection:
            await create_months(connection, (*EVENT_TABLES, *ROLLUP_TABLES), months)
        self._look_ahead_s = time.monotonic() + LOOK_AHEAD_EVERY_S
