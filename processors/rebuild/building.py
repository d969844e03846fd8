"""What building any generation needs: where the live one is, what is to be folded, and the folding, slot by slot."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from events.codec import Codec
from events.publisher import Publisher
from events.reader import LogReader
from events.settings import LogSettings
from processors.folds import fold_factories
from processors.rebuild.archived_log import log_with
from processors.rebuild.bad_records import NothingAppended, lettered
from processors.rebuild.kept_past import KeptPast
from processors.rebuild.pace import Pace
from processors.rebuild.plan import NOMINAL_EVENTS_PER_S, Plan, parts_of
from processors.rebuild.progress import Progress
from processors.rebuild.slot_rebuild import SlotRebuild
from processors.rebuild.target import Target, settled
from processors.slot_runner import Ports
from projections.live.generations import Generations
from projections.live.slots import TOPICS_OF_LEAD, Slot
from projections.live.store import LiveStore
from projections.settings import LiveSettings


@dataclass(frozen=True, slots=True)
class Options:
    """How a rebuild goes. `keep` is how many generations are left in the end, the live one among them.

    `archive` is the folder of the log's archive, for what the log no longer holds.
    """

    parallel: int = 2
    max_events_per_s: int | None = None
    skips_bad: bool = False
    keep: int = 2
    anew: bool = False
    archive: Path | None = None


@dataclass(slots=True)
class Building:
    """A generation that is to be built. `follower` is a store that follows the live one."""

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
        self.reader = log_with(self.log, self.options.archive)
        self.generations = Generations(self.follower.connection, self.live_settings.namespace)
        self.slots = tuple(
            Slot(lead, number) for lead in TOPICS_OF_LEAD for number in range(self.log.partitions)
        )

    @property
    def live_settings(self) -> LiveSettings:
        """Of the store that follows the live generation."""
        return self.follower.settings

    def store(self, generation: int) -> LiveStore:
        """Another one, of that generation for good."""
        return LiveStore(self.live_settings.model_copy(update={"generation": generation}))

    async def ends_of(self, generation: int) -> dict[Slot, Mapping[str, int]]:
        """The next offsets of each slot of a generation, by topic."""
        async with self.store(generation) as store:
            return {slot: held.next_offsets for slot, held in (await store.checkpoints(self.slots)).items()}

    async def settled(self, old: LiveStore, token: str) -> dict[Slot, Target]:
        """Where the live generation is, with all that it has derived on the log."""
        targets = await asyncio.gather(*(settled(old, slot, self.publisher, token) for slot in self.slots))
        return dict(zip(self.slots, targets, strict=True))

    async def planned(
        self, live: int, generation: int, resumed: bool, ends: Mapping[Slot, Mapping[str, int]]
    ) -> Plan:
        """What has to be folded to come to those offsets. Raises as `parts_of` does."""
        known = await self.generations.known()
        noted = [one.events_per_s for one in known.values() if one.events_per_s]
        rate = noted[-1] if noted else NOMINAL_EVENTS_PER_S
        if self.options.max_events_per_s is not None:
            rate = min(rate, self.options.max_events_per_s)
        parts = await parts_of(self.reader, self.slots, await self.ends_of(generation), ends)
        return Plan(live, generation, resumed, parts, rate, bool(noted))

    def begin(self, plan: Plan, what: str) -> None:
        """Say what is begun, and expect what is planned."""
        for part in plan.parts:
            self.progress.expect(part.slot, part.topic, part.start, part.end)
        begun = "goes on with" if plan.resumed else "builds"
        self.told(f"{begun} generation {plan.generation} {what}: {plan.records:,} records to fold")

    async def judge(self) -> NothingAppended:
        """What takes the place of the publisher."""
        return NothingAppended(await lettered(self.reader, self.codec), self.options.skips_bad)

    def rebuilds(
        self, new: LiveStore, judge: NothingAppended, token: str, pasts: Mapping[Slot, KeptPast]
    ) -> dict[Slot, SlotRebuild]:
        """One for each slot."""

        async def unknown(topic: str, partition: int) -> int:
            raise AssertionError(f"{topic}-{partition} has no target")

        ports = Ports(self.log, self.codec, new, judge, self.reader, token, unknown, lambda *_: None)
        factories = fold_factories(pasts.__getitem__, new)
        pace = Pace(self.options.max_events_per_s)
        return {
            slot: SlotRebuild(slot, factories[slot.lead], ports, pasts[slot], pace, self.progress)
            for slot in self.slots
        }

    async def reach(self, rebuilds: Mapping[Slot, SlotRebuild], targets: Mapping[Slot, Target]) -> None:
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

    def rate_since(self, started_s: float) -> int:
        """Events a second that were folded since then, by the monotonic clock."""
        return int(self.progress.folded / max(0.001, time.monotonic() - started_s))


def now_us() -> int:
    """Microseconds since the epoch, for notes."""
    return time.time_ns() // 1000
