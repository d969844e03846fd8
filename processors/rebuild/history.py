"""Rebuild the history as another schema: write, prove, come near, stand still for the last records, make it live."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from events.catalogue import TOPICS
from events.positions import Partition
from processors.rebuild.bad_records import BadRecord, lettered
from processors.rebuild.errors import LogEndsEarlyError
from processors.rebuild.history_judge import HistoryJudge
from processors.rebuild.store_plan import StorePart, StorePlan, parts_of_store, plan_store
from processors.rebuild.store_rebuild import StoreRebuild
from processors.rebuild.store_writing import StoreWriting
from processors.rebuild.trial import Trial
from processors.verify.history import HistoryFound, HistoryProof
from projections.history.beside import Beside, beside, next_of
from projections.history.session import session_of
from projections.history.settings import HistorySettings
from projections.history.side_by_side import MonthCompared, side_by_side
from projections.history.sink import HistorySink

NOMINAL_RECORDS_PER_S = 8_000
"""Written and proved, on one core."""


@dataclass(frozen=True, slots=True)
class HistoryOutcome:
    """How a rebuild has ended. `found` is the proof of the new schema; `months` lay it beside the one before.

    `still_s` is how long the sinks waited. `has_before`: what was live is kept for the way back.
    """

    plan: StorePlan
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
class HistoryRebuild(StoreRebuild):
    """One rebuild of the history."""

    history: HistorySettings
    trial: Trial[HistorySettings] | None = None

    async def plan(self) -> StorePlan:
        """What would be done now. Nothing is changed by it, and another command may be at work."""
        async with session_of(self.history, "interlock-plan") as session:
            return await self._planned(Beside(session, self.history))

    async def run(self) -> HistoryOutcome:
        """Do it. SchemaBusyError when another command works on this history."""
        sink = HistorySink(next_of(self.history), self.codec, self.log)
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
        self.total = plan.records + plan.to_prove
        begun = "goes on with" if plan.resumed else "builds"
        self.told(f"{begun} the schema {schemas.built}: {plan.records:,} records to write")
        letters = await lettered(self.reader, self.codec)
        judge = HistoryJudge(self.log, schemas, letters, self.options.skips_bad)
        writing = StoreWriting(self.reader, sink, self.options.shorter, self.further, judge.judge)

        async def ends() -> Mapping[Partition, int]:
            """Where the live one is; without one, where the log ended."""
            return plan.ends | await schemas.positions(schemas.live)

        await writing.open(plan.ends)
        await self.come_near(writing, ends)
        found = await self._proof()
        still_s, months = 0.0, list[MonthCompared]()
        if found.comparison.is_equal:
            await schemas.analyze(schemas.built)
            await schemas.drop(schemas.before)
            await self.come_near(writing, ends)
            still_s, months = await self._switch(schemas, writing)
        took_s = time.monotonic() - started_s
        has_before = await schemas.is_there(schemas.before)
        return HistoryOutcome(
            plan, found, months, writing.written, took_s, still_s, judge.skipped, has_before
        )

    async def _planned(self, schemas: Beside) -> StorePlan:
        built = {} if self.options.anew else await schemas.positions(schemas.built)
        live = await schemas.positions(schemas.live)
        parts = await parts_of_store(TOPICS, self.straight, self.archived, built, live)
        refusals = other_log(parts, live)
        return plan_store(self.options, parts, NOMINAL_RECORDS_PER_S, resumed=bool(built), refusals=refusals)

    async def _proof(self) -> HistoryFound:
        self.told("every row is compared with its record")
        built = next_of(self.history)
        proof = HistoryProof(self.log, built, self.codec, self.proving(), self.reader, kept_since_us=0)
        return await proof.verify(range(self.log.partitions))

    async def _switch(self, schemas: Beside, writing: StoreWriting) -> tuple[float, list[MonthCompared]]:
        """Nobody writes while the last records are written and the names change."""
        self.lift_pace()
        async with side_by_side(self.history) as both:
            started_s = time.monotonic()
            async with schemas.standing_still() as live:
                await writing.reach(live)
                await both.begin()
                if self.trial is not None:
                    await self.trial(self.history, next_of(self.history))
                await schemas.make_live()
            still_s = time.monotonic() - started_s
            self.told("the new schema is live; it is laid beside the one before")
            return still_s, await both.months()


def other_log(parts: Sequence[StorePart], live: Mapping[Partition, int]) -> Iterator[LogEndsEarlyError]:
    """Why this is not the log that the history was written from, if it is not."""
    ends = {part.place: part.on_log.end for part in parts}
    for place, reach in live.items():
        if reach > ends.get(place, 0):
            yield LogEndsEarlyError(
                f"the history holds {place} up to {reach}, and the log ends at {ends.get(place, 0)}: it is another log. Give it "
                "its log back (an archive restores it), or drop the schema to have another history"
            )
    for part in parts:
        if part.start > part.on_log.end:
            yield LogEndsEarlyError(
                f"the schema that was begun holds {part.place} up to {part.start}, and the log ends at {part.on_log.end}: it was "
                "begun from another log; begin again with --anew"
            )
