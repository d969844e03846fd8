"""Rebuild the live state as a new generation: plan, fold, catch up, stand still, compare, cut over."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from events.codec import Codec
from events.publisher import Publisher
from events.reader import LogReader
from events.settings import LogSettings
from processors.folds import fold_factories
from processors.rebuild.bad_records import BadRecord, NothingAppended, lettered
from processors.rebuild.compare import compare
from processors.rebuild.handover import sealed
from processors.rebuild.kept_past import KeptPast
from processors.rebuild.pace import Pace
from processors.rebuild.plan import NOMINAL_EVENTS_PER_S, Plan, parts_of
from processors.rebuild.progress import Progress
from processors.rebuild.slot_rebuild import SlotRebuild
from processors.rebuild.target import Target, settled
from processors.slot_runner import Ports
from projections.live.digest import Comparison
from projections.live.generations import Generations, Known, Stage
from projections.live.lock import GenerationLock
from projections.live.slots import TOPICS_OF_LEAD, Slot
from projections.live.store import LiveStore
from projections.settings import LiveSettings

NEAR_RECORDS = 2_000
"""So far behind the live generation, it is stopped for the rest."""
MOST_ROUNDS = 8
PACED_ROUNDS = 3
"""A pace below that of the live traffic would never come near: after these it is lifted."""


@dataclass(frozen=True, slots=True)
class Options:
    """How a rebuild goes. `keep` is how many generations are left in the end, the live one among them."""

    parallel: int = 2
    max_events_per_s: int | None = None
    skips_bad: bool = False
    keep: int = 2
    anew: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a rebuild has ended. `still_s` is how long the live generation stood still for the barrier."""

    plan: Plan
    comparison: Comparison
    folded: int
    took_s: float
    still_s: float
    skipped: tuple[BadRecord, ...]
    dropped: tuple[int, ...]

    @property
    def is_live(self) -> bool:
        """Whether the new generation was equal, and is live now."""
        return self.comparison.is_equal


@dataclass(slots=True)
class Rebuild:
    """One rebuild of the live state. `follower` is a store that follows the live generation."""

    log: LogSettings
    follower: LiveStore
    codec: Codec
    publisher: Publisher
    options: Options
    progress: Progress
    told: Callable[[str], None]
    """Is given a line at each phase."""

    reader: LogReader = field(init=False)
    generations: Generations = field(init=False)
    slots: tuple[Slot, ...] = field(init=False)

    def __post_init__(self) -> None:
        self.reader = LogReader(self.log)
        self.generations = Generations(self.follower.connection, self._live_settings.namespace)
        self.slots = tuple(
            Slot(lead, number) for lead in TOPICS_OF_LEAD for number in range(self.log.partitions)
        )

    @property
    def _live_settings(self) -> LiveSettings:
        return self.follower.settings

    async def plan(self) -> Plan:
        """What would be done now. Nothing is changed by it."""
        live = await self.generations.live()
        generation, resumed = await self._number(live)
        async with self._store(live) as old:
            ends = {slot: held.next_offsets for slot, held in (await old.checkpoints(self.slots)).items()}
        return await self._plan(live, generation, resumed, ends)

    async def run(self) -> Outcome:
        """Do it. LockedError when another command works on the generations."""
        async with GenerationLock(self.follower.connection, self._live_settings.namespace) as lock:
            return await lock.during(lambda: self._run(lock.token))

    async def _run(self, token: str) -> Outcome:
        started_s = time.monotonic()
        live = await self.generations.live()
        await self._note_the_end_of_one_that_was_killed(live)
        if self.options.anew:
            await self._drop_unfinished(live)
        generation, resumed = await self._number(live)
        await self.generations.note(generation, Known(Stage.BUILDING, live, _now_us()))
        async with self._store(live) as old, self._store(generation) as new:
            targets = await self._settled(old, token)
            ends = {slot: target.next_offsets for slot, target in targets.items()}
            plan = await self._plan(live, generation, resumed, ends)
            for part in plan.parts:
                self.progress.expect(part.slot, part.topic, part.start, part.end)
            begun = "goes on with" if resumed else "builds"
            self.told(f"{begun} generation {generation} beside {live}: {plan.records:,} records to fold")
            judge = NothingAppended(await lettered(self.reader, self.codec), self.options.skips_bad)
            rebuilds = self._rebuilds(new, judge, token)
            await self._come_near(old, rebuilds, targets, token)
            rate = int(self.progress.folded / max(0.001, time.monotonic() - started_s))
            comparison, still_s = await self._barrier(old, new, rebuilds, token, plan)
        stage = Stage.EQUAL if comparison.is_equal else Stage.DIFFERENT
        await self.generations.note(generation, Known(stage, live, _now_us(), rate))
        dropped = await self._prune() if comparison.is_equal else ()
        took_s = time.monotonic() - started_s
        skipped = tuple(judge.skipped.values())
        return Outcome(plan, comparison, self.progress.folded, took_s, still_s, skipped, dropped)

    async def _come_near(
        self,
        old: LiveStore,
        rebuilds: Mapping[Slot, SlotRebuild],
        targets: Mapping[Slot, Target],
        token: str,
    ) -> None:
        """Fold up to the captured positions, then what has come meanwhile, until little is left."""
        for number in range(MOST_ROUNDS):
            await self._reach(rebuilds, targets)
            reached, targets = targets, await self._settled(old, token)
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
            await self._reach(rebuilds, targets)
            comparison = await compare(old, new, self.slots)
            if comparison.is_equal:
                await self.generations.cut_over(token, plan.live, plan.generation)
        return comparison, time.monotonic() - started_s

    async def _settled(self, old: LiveStore, token: str) -> dict[Slot, Target]:
        targets = await asyncio.gather(*(settled(old, slot, self.publisher, token) for slot in self.slots))
        return dict(zip(self.slots, targets, strict=True))

    async def _reach(self, rebuilds: Mapping[Slot, SlotRebuild], targets: Mapping[Slot, Target]) -> None:
        """All slots, as many at once as is wished; the first error ends them all."""
        turns = asyncio.Semaphore(self.options.parallel)

        async def reach(slot: Slot) -> None:
            async with turns:
                await rebuilds[slot].reach(targets[slot])

        try:
            async with asyncio.TaskGroup() as group:
                for slot in self.slots:
                    group.create_task(reach(slot))
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from None

    def _rebuilds(self, new: LiveStore, judge: NothingAppended, token: str) -> dict[Slot, SlotRebuild]:
        async def unknown(topic: str, partition: int) -> int:
            raise AssertionError(f"{topic}-{partition} has no target")

        ports = Ports(self.log, new, judge, self.reader, token, unknown, lambda *_: None, is_rebuild=True)
        pasts = {slot: KeptPast(self.log, self.codec, self.reader, slot.partition) for slot in self.slots}
        factories = fold_factories(pasts.__getitem__, new)
        pace = Pace(self.options.max_events_per_s)
        return {
            slot: SlotRebuild(slot, factories[slot.lead], ports, pasts[slot], pace, self.progress)
            for slot in self.slots
        }

    async def _plan(
        self, live: int, generation: int, resumed: bool, ends: Mapping[Slot, Mapping[str, int]]
    ) -> Plan:
        async with self._store(generation) as new:
            starts = {slot: held.next_offsets for slot, held in (await new.checkpoints(self.slots)).items()}
        known = await self.generations.known()
        noted = [one.events_per_s for one in known.values() if one.events_per_s]
        rate = noted[-1] if noted else NOMINAL_EVENTS_PER_S
        if self.options.max_events_per_s is not None:
            rate = min(rate, self.options.max_events_per_s)
        parts = await parts_of(self.reader, self.slots, starts, ends)
        return Plan(live, generation, resumed, parts, rate, bool(noted))

    async def _number(self, live: int) -> tuple[int, bool]:
        """The generation to build, and whether it was begun before: the newest that was begun beside the live one."""
        unfinished = await self._unfinished(live)
        if unfinished and not self.options.anew:
            return unfinished[-1], True
        return await self.generations.next_free(), False

    async def _unfinished(self, live: int) -> list[int]:
        known = await self.generations.known()
        return [number for number, one in known.items() if one.stage is Stage.BUILDING and number != live]

    async def _note_the_end_of_one_that_was_killed(self, live: int) -> None:
        """Right after its cut-over: what is live was found equal."""
        known = (await self.generations.known()).get(live)
        if known is not None and known.stage is Stage.BUILDING:
            await self.generations.note(live, replace(known, stage=Stage.EQUAL))

    async def _drop_unfinished(self, live: int) -> None:
        for number in await self._unfinished(live):
            await self.generations.drop(number)

    async def _prune(self) -> tuple[int, ...]:
        """Drop all but the live generation and the newest of the others, so that as many are left as are to be kept."""
        live = await self.generations.live()
        others = [number for number in await self.generations.held() if number != live]
        dropped = tuple(others[: max(0, len(others) - (self.options.keep - 1))])
        for number in dropped:
            await self.generations.drop(number)
        return dropped

    def _store(self, generation: int) -> LiveStore:
        return LiveStore(self._live_settings.model_copy(update={"generation": generation}))


def _between(before: Mapping[Slot, Target], now: Mapping[Slot, Target]) -> int:
    """Records that lie between two vectors."""
    return sum(
        max(0, offset - before[slot].next_offsets.get(topic, 0))
        for slot, target in now.items()
        for topic, offset in target.next_offsets.items()
    )


def _now_us() -> int:
    return time.time_ns() // 1000
