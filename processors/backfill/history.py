"""Fill a part of the history from the log: rows first, then the rollups made anew from the rows, then the proof."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field

from events.dead_letters import Refused
from events.positions import Partition
from events.reader import LogRecord, Range
from processors.backfill.plan import NOMINAL_RECORDS_PER_S, BackfillPlan, PartsOfTime
from processors.backfill.sums import fill_rollups, rows_gone
from processors.backfill.target import Target
from processors.rebuild.bad_records import BadRecord, Place, lettered
from processors.rebuild.errors import BadRecordError, NothingToFillError
from processors.rebuild.history import other_log
from processors.rebuild.store_plan import start_gone
from processors.rebuild.store_rebuild import StoreRebuild
from processors.verify.history import HistoryFound, HistoryProof, OnlyOf
from projections.history.beside import Beside, beside
from projections.history.database import Database
from projections.history.excerpt import Excerpt
from projections.history.filling import Filled, Filling
from projections.history.rollup_mender import RollupsMended
from projections.history.session import session_of
from projections.history.settings import HistorySettings

ANSWERED_WITHIN_S = 600.0
"""One transaction: the rows of a batch, or the sums of a day."""


@dataclass(frozen=True, slots=True)
class BackfillOutcome:
    """How it has ended. `found` proves what was filled, by the log."""

    plan: BackfillPlan
    rows: Filled
    rollups: RollupsMended
    found: HistoryFound
    skipped: Sequence[BadRecord]
    took_s: float


@dataclass(slots=True)
class HistoryBackfill(StoreRebuild):
    """One backfill. `asked` is what people named; what is rolled up is filled by whole days."""

    history: HistorySettings
    target: Target
    asked: Excerpt
    _letters: frozenset[Place] = field(init=False, default=frozenset())
    _skipped: list[BadRecord] = field(init=False, default_factory=list)

    async def plan(self) -> BackfillPlan:
        """What would be done now. Nothing is changed by it, and another command may be at work."""
        async with self._database() as database, session_of(self.history, "interlock-plan") as session:
            return await self._planned(Beside(session, self.history), database)

    async def run(self) -> BackfillOutcome:
        """Do it. SchemaBusyError when another command builds, switches or fills this history."""
        async with self._database() as database, beside(self.history, "backfill") as schemas:
            return await self._run(await self._planned(schemas, database), database)

    @asynccontextmanager
    async def _database(self) -> AsyncIterator[Database]:
        bounds = {"write_timeout_s": ANSWERED_WITHIN_S}
        database = Database(self.history.model_copy(update=bounds))
        try:
            yield database
        finally:
            await database.close()

    async def _planned(self, schemas: Beside, database: Database) -> BackfillPlan:
        held = await schemas.positions(schemas.live)
        if not held:
            raise NothingToFillError(
                f"there is no history in the schema {schemas.live} yet: `interlock sink` writes it, from the log's beginning"
            )
        excerpt = self.asked.whole_days() if self.target.rolled_up else self.asked
        finder = PartsOfTime(self.log, self.straight, self.archived, schemas)
        parts = await finder.of(self.target.topics, excerpt, held)
        of_topics = {place: end for place, end in held.items() if place.topic in self.target.topics}
        refusals = [*other_log(parts, of_topics), *finder.refusals]
        if self.target.rolled_up and not self.target.topics:
            refusals += await rows_gone(database, excerpt)
        pace = self.options.max_records_per_s or NOMINAL_RECORDS_PER_S
        return BackfillPlan(
            target=self.target,
            excerpt=excerpt,
            parts=tuple(parts),
            records_per_s=min(pace, NOMINAL_RECORDS_PER_S),
            refusals=tuple(refusals),
        )

    async def _run(self, plan: BackfillPlan, database: Database) -> BackfillOutcome:
        started_s = time.monotonic()
        if plan.refusals:
            raise plan.refusals[0]
        await database.migrate()
        self.total = 2 * plan.records
        rows, rollups = Filled(), RollupsMended()
        if plan.parts:
            self.told(
                f"compares the rows of {plan.records:,} records with the log, and fills what is not there"
            )
            rows = await self._fill(plan, database)
        if self.target.rolled_up:
            numbers = range(self.log.partitions)
            places = [Partition(topic, number) for topic in self.target.rolled_up for number in numbers]
            rollups = await fill_rollups(database, places, plan.excerpt, self.told)
        found = await self._proof(plan)
        return BackfillOutcome(plan, rows, rollups, found, self._skipped, time.monotonic() - started_s)

    async def _fill(self, plan: BackfillPlan, database: Database) -> Filled:
        self._letters = await lettered(self.reader, self.codec)
        filling = Filling(database, self.codec, self.log, plan.excerpt, self._judge)
        filled, at = Filled(), plan.starts
        for topic in self.target.topics:
            wanted = {
                part.place.number: Range(part.start, part.end)
                for part in plan.parts
                if part.place.topic == topic
            }
            async with aclosing(self.reader.read(topic, wanted)) as batches:
                async for number, records in batches:
                    place = Partition(topic, number)
                    await self._expect(place, at[place], records)
                    filled.add(await filling.fill(place, records))
                    at[place] = records[-1].offset + 1
                    self.further(len(records))
        return filled

    async def _expect(self, place: Partition, start: int, records: Sequence[LogRecord]) -> None:
        """LogStartGoneError when retention has taken what was to be read."""
        if records[0].offset > start:
            readable = (await self.reader.ranges(place.topic))[place.number]
            if readable.start > start:
                raise start_gone(place, start, readable.start)

    def _judge(self, place: Partition, refused: Sequence[Refused]) -> None:
        """A record that was refused before, by a worker or by the history, is part of history; another is news."""
        name = self.log.full_name(place.topic)
        for one in refused:
            offset, error = one.record.offset, one.error
            if (name, place.number, offset) in self._letters:
                continue
            bad = BadRecord(name, place.number, offset, error.reason, error.detail, was_lettered=False)
            if not self.options.skips_bad:
                raise BadRecordError(
                    f"{bad}; neither has a worker made a dead letter of it, nor the history refused it. Mend the cause and run it "
                    "again, or go on with such records in the table `refused` with --skip-bad"
                )
            self._skipped.append(bad)

    async def _proof(self, plan: BackfillPlan) -> HistoryFound:
        self.told("what was filled is compared with the log once more, by other code")
        only = OnlyOf(plan.excerpt, plan.starts, self.target.rolled_up)
        proof = HistoryProof(
            self.log, self.history, self.codec, self.proving(), self.reader, kept_since_us=0, only=only
        )
        return await proof.verify(range(self.log.partitions))
