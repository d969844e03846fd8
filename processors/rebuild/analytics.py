"""Rebuild the analytics as another set of collections: write, prove, come near, make it live by one write.

Nobody stands still: a document is absolute, so a set that is live may be anywhere, and the sink goes on from its checkpoints.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

from events.log_ends import LogEnds
from events.positions import Partition
from processors.rebuild.errors import LogEndsEarlyError
from processors.rebuild.rebuild import MOST_ROUNDS
from processors.rebuild.store_plan import StorePlan, parts_of_store, plan_store
from processors.rebuild.store_rebuild import StoreRebuild
from processors.rebuild.store_writing import StoreWriting
from processors.rebuild.trial import Trial
from processors.sinks.same_log import SameLog
from processors.verify.analytics import AnalyticsProof
from processors.verify.analytics_group import AnalyticsFound
from projections.analytics.beside import Beside, SetsLock, beside
from projections.analytics.checkpoints import Checkpoint
from projections.analytics.sets import Sets, set_of
from projections.analytics.settings import AnalyticsSettings
from projections.analytics.sink import AnalyticsSink
from projections.errors import FencedError, LogReplacedError, StaleCheckpointError
from projections.lock import LockLostError

TOPICS = AnalyticsSink.topics
NOMINAL_RECORDS_PER_S = 500
"""Written and proved, when most records make documents of their own: Chroma is what takes long."""


@dataclass(frozen=True, slots=True)
class AnalyticsPlan:
    """`number` is the set to be built, beside `live`."""

    sets: Sets
    number: int
    store: StorePlan


@dataclass(frozen=True, slots=True)
class AnalyticsOutcome:
    """How a rebuild has ended. `found` is the proof of the new set; `before` and `now` are its documents by collection.

    `has_before`: what was live is kept for the way back.
    """

    plan: AnalyticsPlan
    found: AnalyticsFound
    before: Mapping[str, int]
    now: Mapping[str, int]
    written: int
    took_s: float
    has_before: bool

    @property
    def is_live(self) -> bool:
        """Whether the new set was equal to the log, and is live now."""
        return self.found.comparison.is_equal


@dataclass(slots=True)
class AnalyticsRebuild(StoreRebuild):
    """One rebuild of the analytics."""

    analytics: AnalyticsSettings
    trial: Trial[AnalyticsSettings] | None = None

    async def plan(self) -> AnalyticsPlan:
        """What would be done now. Nothing is changed by it, and another command may be at work."""
        async with beside(self.analytics) as sets:
            return await self._planned(sets)

    async def run(self) -> AnalyticsOutcome:
        """Do it. LockedError when another command works on these analytics, LockLostError when another has taken over."""
        async with beside(self.analytics) as sets, SetsLock(sets.chroma, self.analytics) as lock:
            try:
                return await lock.during(lambda: self._run(sets))
            except (FencedError, StaleCheckpointError) as error:
                raise LockLostError(
                    f"{error}; another rebuild has taken over, or what this one had built was deleted: run it again"
                ) from error

    async def _run(self, sets: Beside) -> AnalyticsOutcome:
        started_s = time.monotonic()
        plan = await self._planned(sets)
        if plan.store.refusals:
            raise plan.store.refusals[0]
        if self.options.anew:
            await sets.drop(plan.sets.built)
        await sets.build(plan.number)
        self.total = plan.store.records + plan.store.to_prove
        begun = "goes on with" if plan.store.resumed else "builds"
        self.told(f"{begun} set {plan.number} of the collections: {plan.store.records:,} records to write")
        sink = AnalyticsSink(set_of(self.analytics, plan.number), self.codec, self.log)
        try:
            writing = StoreWriting(self.reader, sink, self.options.shorter, self.further)
            await writing.open(plan.store.ends)
            await self.come_near(writing, self._log_ends)
            found = await self._proof(plan.number)
            before = await sets.counts(plan.sets.live)
            has_before = False
            if found.comparison.is_equal:
                await sets.drop(plan.sets.before)
                await self._switch(sets, plan, writing)
                has_before = (await sets.sets()).before is not None
        finally:
            await sink.close()
        now = await sets.counts(plan.number)
        took_s = time.monotonic() - started_s
        return AnalyticsOutcome(plan, found, before, now, writing.written, took_s, has_before)

    async def _planned(self, sets: Beside) -> AnalyticsPlan:
        named = await sets.sets()
        built = {} if self.options.anew else await sets.checkpoints(named.built)
        positions = {place: one.next_offset for place, one in built.items()}
        parts = await parts_of_store(TOPICS, self.straight, self.archived, positions, {})
        refusals = await self._other_log(
            "the set that was begun", built, "begin again with --anew to have it built of this log"
        )
        if not self.options.shorter:
            live = await sets.checkpoints(named.live)
            refusals += await self._other_log(
                "the live set", live, "build one of this log alone with --shorter"
            )
        store = plan_store(self.options, parts, NOMINAL_RECORDS_PER_S, resumed=bool(built), refusals=refusals)
        number = named.free if named.built is None else named.built
        return AnalyticsPlan(named, number, store)

    async def _other_log(
        self, name: str, held: Mapping[Partition, Checkpoint], else_do: str
    ) -> list[LogEndsEarlyError]:
        """Why this is not the log that a set was made from, if it is not."""
        refusals = []
        async with LogEnds(self.log) as ends:
            same = SameLog(name, self.straight, ends)
            for place, one in sorted(held.items()):
                try:
                    await same.check(place, one.next_offset, one.tip)
                except LogReplacedError as error:
                    refusals.append(LogEndsEarlyError(f"{error}; or {else_do}"))
        return refusals

    async def _proof(self, number: int) -> AnalyticsFound:
        self.told("every document is compared with what the log says")
        built = set_of(self.analytics, number)
        proof = AnalyticsProof(self.log, built, self.codec, self.reader, self.proving())
        return await proof.verify(range(self.log.partitions))

    async def _switch(self, sets: Beside, plan: AnalyticsPlan, writing: StoreWriting) -> None:
        """Once the new set has all that the live one has, so that no answer goes back."""
        self.lift_pace()
        await self.come_near(writing, self._log_ends)

        for _ in range(MOST_ROUNDS):
            on_log, live = await self._log_ends(), await sets.checkpoints(plan.sets.live)
            ends = {place: min(one.next_offset, on_log.get(place, 0)) for place, one in live.items()}
            if not writing.behind(ends):
                break
            await writing.reach(ends)
        if self.trial is not None:
            await self.trial(set_of(self.analytics, plan.sets.live), set_of(self.analytics, plan.number))
        await sets.make_live(plan.number)
        self.told("the new set is live; the sink goes over to it within seconds")

    async def _log_ends(self) -> Mapping[Partition, int]:
        places = [Partition(topic, number) for topic in TOPICS for number in range(self.log.partitions)]
        async with LogEnds(self.log) as ends:
            return await ends.ends(places)
