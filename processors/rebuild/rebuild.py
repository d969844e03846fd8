"""Rebuild the live state as a new generation: plan, fold, catch up, stand still, compare, cut over."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

from processors.rebuild.bad_records import BadRecord
from processors.rebuild.building import Building, now_us
from processors.rebuild.compare import compare
from processors.rebuild.errors import NotProvedError
from processors.rebuild.handover import sealed
from processors.rebuild.kept_past import KeptPast
from processors.rebuild.pace import Pace
from processors.rebuild.plan import Plan
from processors.rebuild.progress import Progress
from processors.rebuild.slot_rebuild import SlotRebuild
from processors.rebuild.target import Target
from processors.rebuild.trial import Trial
from processors.verify.live import verify_live
from projections.live.digest import Comparison
from projections.live.generations import Known, Stage
from projections.live.lock import GenerationLock
from projections.live.slots import Slot
from projections.live.store import LiveStore
from projections.settings import LiveSettings

NEAR_RECORDS = 2_000
"""So far behind the live generation, it is stopped for the rest."""
MOST_ROUNDS = 8
PACED_ROUNDS = 3
"""A pace below that of the live traffic would never come near: after these it is lifted."""
NAMED = 3


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a rebuild has ended. `still_s` is how long the live generation stood still for the barrier.

    `is_live`: the new generation was equal, or has stood its trial, and is live now.
    """

    plan: Plan
    comparison: Comparison
    folded: int
    took_s: float
    still_s: float
    skipped: tuple[BadRecord, ...]
    dropped: tuple[int, ...]
    is_live: bool


@dataclass(slots=True)
class Rebuild(Building):
    """One rebuild of the live state.

    Without a trial the new generation has to be equal to the live one. With one it may differ, as another fold makes another
    state: it has to be what a naive fold of the log comes to, and to stand the trial.
    """

    trial: Trial[LiveSettings] | None = None

    async def plan(self) -> Plan:
        """What would be done now. Nothing is changed by it."""
        live = await self.generations.live()
        generation, resumed = await self._number(live)
        return await self.planned(live, generation, resumed, await self.ends_of(live))

    async def run(self) -> Outcome:
        """Do it. LockedError when another command works on the generations."""
        async with GenerationLock(self.follower.connection, self.live_settings.namespace) as lock:
            return await lock.during(lambda: self._run(lock.token))

    async def _run(self, token: str) -> Outcome:
        started_s = time.monotonic()
        live = await self.generations.live()
        await self._note_the_end_of_one_that_was_killed(live)
        if self.options.anew:
            await self._drop_unfinished(live)
        generation, resumed = await self._number(live)
        await self.generations.note(generation, Known(Stage.BUILDING, live, now_us()))
        async with self.store(live) as old, self.store(generation) as new:
            targets = await self.settled(old, token)
            ends = {slot: target.next_offsets for slot, target in targets.items()}
            plan = await self.planned(live, generation, resumed, ends)
            self.begin(plan, f"beside {live}")
            judge = await self.judge()
            pasts = {slot: KeptPast(self.log, self.codec, self.reader, slot.partition) for slot in self.slots}
            rebuilds = self.rebuilds(new, judge, token, pasts)
            await self._come_near(old, rebuilds, targets, token)
            rate = self.rate_since(started_s)
            if self.trial is not None:
                await self._prove(new)
                await self._come_near(old, rebuilds, await self.settled(old, token), token)
            comparison, still_s = await self._barrier(old, new, rebuilds, token, plan)
        is_live = comparison.is_equal or self.trial is not None
        stage = Stage.EQUAL if comparison.is_equal else Stage.DIFFERENT
        await self.generations.note(generation, Known(stage, live, now_us(), rate))
        dropped = await self._prune(live) if is_live else ()
        took_s = time.monotonic() - started_s
        skipped = tuple(judge.skipped.values())
        return Outcome(plan, comparison, self.progress.folded, took_s, still_s, skipped, dropped, is_live)

    async def _prove(self, new: LiveStore) -> None:
        """By other code, while nobody writes the new generation."""
        self.told("every key of the new generation is compared with a naive fold of the log")
        progress = Progress(self.progress.changed)
        found = await verify_live(
            self.log, new.settings, self.codec, progress, self.slots, reader=self.reader
        )
        if not found.comparison.is_equal:
            first = "; ".join(map(str, found.comparison.differences[:NAMED]))
            raise NotProvedError(
                f"generation {found.generation} is not what the log says, in {len(found.comparison.differences):,} keys, and was "
                f"not made live: {first}. The fold and the naive fold of this release do not agree: it is a defect of one of them"
            )

    async def _come_near(
        self,
        old: LiveStore,
        rebuilds: Mapping[Slot, SlotRebuild],
        targets: Mapping[Slot, Target],
        token: str,
    ) -> None:
        """Fold up to the captured positions, then what has come meanwhile, until little is left."""
        for number in range(MOST_ROUNDS):
            await self.reach(rebuilds, targets)
            reached, targets = targets, await self.settled(old, token)
            if _between(reached, targets) <= NEAR_RECORDS:
                return
            if number + 1 == PACED_ROUNDS and self.options.max_events_per_s is not None:
                self.told("the live generation moves on as fast as this pace: it is lifted for what is left")
                for each in rebuilds.values():
                    each.pace = Pace(None)

    async def _barrier(
        self,
        old: LiveStore,
        new: LiveStore,
        rebuilds: Mapping[Slot, SlotRebuild],
        token: str,
        plan: Plan,
    ) -> tuple[Comparison, float]:
        """Both generations at one position vector: compare, and make the new one live when all is equal."""
        self.told("the live generation stands still: the last records, then every key is compared")
        started_s = time.monotonic()
        async with sealed(old, self.slots, self.publisher, token) as targets:
            for each in rebuilds.values():
                each.pace = Pace(None)
                await each.look_again()
            await self.reach(rebuilds, targets)
            comparison = await compare(old, new, self.slots)
            if self.trial is not None:
                await self.trial(old.settings, new.settings)
            if comparison.is_equal or self.trial is not None:
                await self.generations.cut_over(token, plan.live, plan.generation)
            else:
                await self.generations.require_lock(token)
        return comparison, time.monotonic() - started_s

    async def _number(self, live: int) -> tuple[int, bool]:
        """The generation to build, and whether it was begun before: the newest that was begun beside the live one."""
        unfinished = await self._unfinished(live)
        if unfinished and not self.options.anew:
            return unfinished[-1], True
        return await self.generations.next_free(), False

    async def _unfinished(self, live: int) -> list[int]:
        known = await self.generations.known()
        return [
            number
            for number, one in known.items()
            if one.stage is Stage.BUILDING and one.until is None and number != live
        ]

    async def _note_the_end_of_one_that_was_killed(self, live: int) -> None:
        """Right after its cut-over: what is live was found equal, or has stood its trial."""
        known = (await self.generations.known()).get(live)
        if known is not None and known.stage is Stage.BUILDING:
            await self.generations.note(live, replace(known, stage=Stage.EQUAL))

    async def _drop_unfinished(self, live: int) -> None:
        for number in await self._unfinished(live):
            await self.generations.drop(number)

    async def _prune(self, before: int) -> tuple[int, ...]:
        """Drop all but the live generation, the one before, and the newest of the others, as many as are to be kept.

        Those as of a time stay until they are dropped by somebody: they are no way back.
        """
        live, known = await self.generations.live(), await self.generations.known()
        kept = {live, *(number for number, one in known.items() if one.until is not None)}
        others = [number for number in await self.generations.held() if number not in kept]
        others.sort(key=lambda number: (number == before, number))
        dropped = tuple(others[: max(0, len(others) - (self.options.keep - 1))])
        for number in dropped:
            await self.generations.drop(number)
        return dropped


def _between(before: Mapping[Slot, Target], now: Mapping[Slot, Target]) -> int:
    """Records that lie between two vectors."""
    return sum(
        max(0, offset - before[slot].next_offsets.get(topic, 0))
        for slot, target in now.items()
        for topic, offset in target.next_offsets.items()
    )
