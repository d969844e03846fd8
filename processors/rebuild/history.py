"""Rebuild the history as another schema: write, prove, come near, stand still for the last records, make it live."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from events.codec import Codec
from events.positions import Partition
from events.reader import LogReader
from events.settings import LogSettings
from processors.rebuild.archived_log import ArchivedLog
from processors.rebuild.bad_records import BadRecord, lettered
from processors.rebuild.history_plan import HistoryOptions, HistoryPlan, plan_history
from processors.rebuild.history_writing import HistoryWriting
from processors.rebuild.pace import Pace
from processors.rebuild.paced_log import PacedLog
from processors.rebuild.rebuild import MOST_ROUNDS, NEAR_RECORDS, PACED_ROUNDS
from processors.verify.history import HistoryFound, HistoryProof
from projections.archive.source import ArchiveSource
from projections.history.beside import Beside, beside, next_of, session_of
from projections.history.settings import HistorySettings
from projections.history.side_by_side import MonthCompared, side_by_side
from projections.history.sink import HistorySink


@dataclass(frozen=True, slots=True)
class HistoryOutcome:
    """How a rebuild has ended. `found` is the proof of the new schema; `months` lay it beside the one before.

    `still_s` is how long the sinks waited. `has_before`: what was live is kept for the way back.
    """

    plan: HistoryPlan
    found: HistoryFound
    months: Sequence[MonthCompared]
    written: int
    took_s: float
    still_s: float
    skipped: Sequence[BadRecord]
    has_before: bool

    @property
    def is_live(self) -> bool:
        """Whether the new schema was equal to the log, and is live now."""
        return self.found.comparison.is_equal


@dataclass(slots=True)
class HistoryRebuild:
    """One rebuild. `told` gets a line at each phase, `moved` (done, total, done) in records, those of the proof included."""

    log: LogSettings
    history: HistorySettings
    codec: Codec
    options: HistoryOptions
    told: Callable[[str], None]
    moved: Callable[[int, int, int], None]
    _straight: LogReader = field(init=False)
    _reader: PacedLog = field(init=False)
    _done: int = field(init=False, default=0)
    _total: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        archive = self.options.archive
        self._straight = LogReader(self.log)
        within = self._straight if archive is None else ArchivedLog(self.log, ArchiveSource(archive))
        self._reader = PacedLog(self.log, within, Pace(self.options.max_records_per_s))

    async def plan(self) -> HistoryPlan:
        """What would be done now. Nothing is changed by it, and another command may be at work."""
        async with session_of(self.history, "interlock-plan") as session:
            return await self._planned(Beside(session, self.history))

    async def run(self) -> HistoryOutcome:
        """Do it. SchemaBusyError when another command works on this history."""
        sink = HistorySink(next_of(self.history), self.codec)
        try:
            async with beside(self.history) as schemas:
                return await self._run(schemas, sink)
        finally:
            await sink.close()

    async def _run(self, schemas: Beside, sink: HistorySink) -> HistoryOutcome:
        started_s = time.monotonic()
        plan = await self._planned(schemas)
        if plan.refusals:
            raise plan.refusals[0]
        if self.options.anew:
            await schemas.drop(schemas.built)
        self._total = plan.records + plan.to_prove
        begun = "goes on with" if plan.resumed else "builds"
        self.told(f"{begun} the schema {schemas.built}: {plan.records:,} records to write")
        letters = await lettered(self._reader, self.codec)
        writing = HistoryWriting(self.log, self._reader, sink, schemas, self.options, letters, self._further)
        planned = {part.place: part.end for part in plan.parts}
        await writing.open(planned)
        await self._come_near(schemas, writing, planned)
        found = await self._proof()
        still_s, months = 0.0, list[MonthCompared]()
        if found.comparison.is_equal:
            await schemas.analyze(schemas.built)
            await schemas.drop(schemas.before)
            await self._come_near(schemas, writing, planned)
            still_s, months = await self._switch(schemas, writing)
        took_s = time.monotonic() - started_s
        has_before = await schemas.is_there(schemas.before)
        return HistoryOutcome(
            plan, found, months, writing.written, took_s, still_s, writing.skipped, has_before
        )

    async def _planned(self, schemas: Beside) -> HistoryPlan:
        built = {} if self.options.anew else await schemas.positions(schemas.built)
        live = await schemas.positions(schemas.live)
        return await plan_history(self.options, self._straight, self._reader, built, live)

    async def _come_near(
        self, schemas: Beside, writing: HistoryWriting, planned: dict[Partition, int]
    ) -> None:
        """Up to where the live one is, until little comes in meanwhile; without one, to where the log ended."""
        for number in range(MOST_ROUNDS):
            if number == PACED_ROUNDS:
                self._lift_pace()
            ends = planned | await schemas.positions(schemas.live)
            left = writing.behind(ends)
            await writing.reach(ends)
            if left <= NEAR_RECORDS:
                return

    async def _proof(self) -> HistoryFound:
        self.told("every row is compared with its record")
        before = self._done

        def told(done: int, _: int) -> None:
            self._further(before + done - self._done)

        proof = HistoryProof(self.log, next_of(self.history), self.codec, told, self._reader, kept_since_us=0)
        return await proof.verify(range(self.log.partitions))

    async def _switch(self, schemas: Beside, writing: HistoryWriting) -> tuple[float, list[MonthCompared]]:
        """Nobody writes while the last records are written and the names change."""
        self._lift_pace()
        async with side_by_side(self.history) as both:
            started_s = time.monotonic()
            async with schemas.standing_still() as live:
                await writing.reach(live)
                await both.begin()
                await schemas.make_live()
            still_s = time.monotonic() - started_s
            self.told("the new schema is live; it is laid beside the one before")
            return still_s, await both.months()

    def _lift_pace(self) -> None:
        if self._reader.pace.events_per_s is not None:
            self.told("goes as fast as it can from here on, to come near the live history")
        self._reader.pace = Pace(None)

    def _further(self, records: int) -> None:
        self._done += records
        self.moved(min(self._done, self._total), self._total, self._done)
