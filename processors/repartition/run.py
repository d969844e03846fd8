"""The whole of it: carry what there is while the old deployment goes on, wait until it stands still, carry the rest, prove."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from events.broker import create_topics, partition_counts
from events.codec import open_codec
from events.group_offsets import GroupOffsets
from events.log_ends import LogEnds
from events.positions import Partition
from events.publisher import Publisher, wall_clock_ms
from events.reader import LogReader
from events.settings import LogSettings
from processors.rebuild.archived_log import log_with
from processors.rebuild.bad_records import BadRecord
from processors.rebuild.errors import BadRecordError
from processors.rebuild.handover import sealed
from processors.rebuild.pace import Pace
from processors.repartition.carrying import Carrying, Logs
from processors.repartition.errors import NotStillError
from processors.repartition.new_live import NewLive, compare_deployments
from processors.repartition.plan import EARLY, ORDER, CarryPlan, plan_carrying
from processors.repartition.standstill import OldDeployment
from processors.repartition.whereabouts import LETTERS, Known, letters_of_old, read_back
from projections.live.digest import Comparison
from projections.live.generations import Generations
from projections.live.lock import GenerationLock
from projections.live.slots import FOLDED_TOPICS, TENANT_LEAD, TOPICS_OF_LEAD, Slot
from projections.live.store import LiveStore
from projections.settings import LiveSettings

SETTLED_MS = 60_000
"""Records of the last minute are left to the last pass: until then, older ones may come to other partitions."""
NEAR_RECORDS = 2_000
MOST_ROUNDS = 8


@dataclass(frozen=True, slots=True)
class Names:
    """One deployment, as far as its workers know it."""

    log: LogSettings
    live: LiveSettings

    @property
    def slots(self) -> list[Slot]:
        """All of its slots."""
        return [Slot(lead, number) for lead in TOPICS_OF_LEAD for number in range(self.log.partitions)]


@dataclass(frozen=True, slots=True)
class Options:
    """How it goes. `archive` is the folder of the old log's archive; `wait_s` how long the old deployment may take to stand still."""

    archive: Path | None = None
    max_events_per_s: int | None = None
    wait_s: float = 600.0


@dataclass(frozen=True, slots=True)
class Proof:
    """What was carried and what came of it. `records` is by topic: of the old log, and of the new one.

    `states` compares both live states, `folded` the new one with a naive fold of the new log. `bad` are records that were passed
    over as the old workers had done.
    """

    records: Mapping[str, tuple[int, int]]
    appended: int
    states: Comparison
    folded: Comparison
    bad: tuple[BadRecord, ...]
    took_s: float
    still_s: float

    @property
    def is_equal(self) -> bool:
        """Whether the new deployment is the old one."""
        counts = all(old == new for old, new in self.records.values())
        return counts and self.states.is_equal and self.folded.is_equal


@dataclass(slots=True)
class Repartition:
    """One carrying. `moved` is given (done, total, done by this run), `told` a line at each phase."""

    old: Names
    new: Names
    options: Options
    told: Callable[[str], None]
    moved: Callable[[int, int, int], None]
    reader: LogReader = field(init=False)

    def __post_init__(self) -> None:
        self.reader = log_with(self.old.log, self.options.archive)

    async def plan(self) -> CarryPlan:
        """What would be carried now. Nothing is changed by it."""
        return await plan_carrying(self.old.log, self.new.log, self.reader)

    async def run(self) -> Proof:
        """Do it, or go on with it. LockedError when another command works on the old generations, this one again among them."""
        plan = await self.plan()
        if plan.refused is not None:
            raise plan.refused
        await create_topics(self.new.log)
        async with (
            LiveStore(self.old.live) as old,
            LiveStore(self.new.live) as new,
            GenerationLock(old.connection, self.old.live.namespace) as lock,
            GenerationLock(new.connection, self.new.live.namespace) as other,
        ):
            return await lock.during(
                lambda: other.during(lambda: self._run(plan, lock.token, new, other.token))
            )

    async def _run(self, plan: CarryPlan, token: str, new: LiveStore, new_token: str) -> Proof:
        started_s = time.monotonic()
        logs = Logs(
            self.old.log, self.new.log, self.reader, open_codec(self.old.log), open_codec(self.new.log)
        )
        known = Known()
        there = await partition_counts(self.old.log)
        if LETTERS.name in there:
            known.expect(await letters_of_old(self.reader, logs.old_codec, self.old.log))
        carried = await read_back(LogReader(self.new.log), self.new.log, ORDER, known)
        self.told(
            f"{plan.left:,} records to carry into {self.new.log.topic_prefix}*, {carried:,} are there already"
        )
        total, done = sum(one.records for one in plan.topics), 0

        def moved(records: int) -> None:
            nonlocal done
            done += records
            self.moved(min(done, total), total, done)

        topics = [topic for topic in ORDER if topic in there]
        async with (
            Carrying.opened(logs, known, Pace(self.options.max_events_per_s), moved) as carrying,
            NewLive.opened(self.new.log, new, logs.new_codec, known, new_token) as live,
        ):
            await self._carry_early(carrying, live, [topic for topic in topics if topic in EARLY])
            return await self._at_standstill(carrying, live, topics, token, started_s)

    async def _carry_early(self, carrying: Carrying, live: NewLive, topics: list[str]) -> None:
        """While all traffic goes on, until little comes with each pass. Spend is folded and proved as far as it goes."""
        for _ in range(MOST_ROUNDS):
            before_ms = wall_clock_ms() - SETTLED_MS
            ends = {topic: await LogReader(self.old.log).ends(topic) for topic in topics}
            dealt = [await carrying.carry(topic, ends[topic], before_ms) for topic in topics]
            there = {
                Partition(topic, number): end
                for topic in TOPICS_OF_LEAD[TENANT_LEAD]
                for number, end in carrying.known.ends[topic].items()
                if topic in EARLY
            }
            try:
                await live.fold_to(there)
                await live.prove()
            except BadRecordError:
                self.told("a record that is refused has no dead letter yet: what follows it is folded later")
            if sum(dealt) <= NEAR_RECORDS:
                return

    async def _at_standstill(
        self, carrying: Carrying, live: NewLive, topics: list[str], token: str, started_s: float
    ) -> Proof:
        """The last pass. The old slots are sealed meanwhile, so that no timer of a worker moves anything."""
        old = self.old
        self.told("stop all producers and the API of the old deployment now; leave its workers on")
        async with (
            LogEnds(old.log) as ends,
            LiveStore(old.live) as follower,
            Publisher(old.log, carrying.logs.old_codec) as publisher,
        ):
            generation = await Generations(follower.connection, old.live.namespace).live()
            async with LiveStore(old.live.model_copy(update={"generation": generation})) as store:
                deployment = OldDeployment(old.log, ends, store, old.slots, topics)
                while True:
                    await deployment.stands_still(self.options.wait_s, self.told)
                    async with sealed(store, old.slots, publisher, token):
                        at = await deployment.log_ends()
                        if await deployment.behind(at):
                            continue
                        proof = await self._proved(carrying, live, at, store, started_s)
                        if await deployment.log_ends() != at:
                            raise NotStillError(
                                "more was appended to the old log meanwhile: stop all producers, and run it again; it goes on"
                            )
                    return proof

    async def _proved(
        self,
        carrying: Carrying,
        live: NewLive,
        at: Mapping[Partition, int],
        store: LiveStore,
        started_s: float,
    ) -> Proof:
        """Carry the rest up to these ends, fold it, and compare."""
        self.told("the old deployment stands still: the last records, then every state is compared")
        new, still_s = self.new, time.monotonic()
        await self._carry_rest(carrying, at)
        new_ends = {
            Partition(topic, number): end
            for topic in ORDER
            for number, end in (await LogReader(new.log).ends(topic)).items()
        }
        records = {
            topic: (
                carrying.records[topic],
                sum(end for place, end in new_ends.items() if place.topic == topic),
            )
            for topic in ORDER
        }
        decided = {place: end for place, end in new_ends.items() if place.topic in FOLDED_TOPICS}
        async with GroupOffsets(new.log) as group:
            await group.commit(new.log.group_id, decided)
        bad = await live.fold_to(new_ends)
        self.told("every key is compared with the old live state, and with a naive fold of the new log")
        states = await compare_deployments(
            store, self.old.slots, live.states, new.slots, self.old.log.topic_prefix
        )
        folded = await live.prove()
        now_s = time.monotonic()
        return Proof(records, carrying.appended, states, folded, bad, now_s - started_s, now_s - still_s)

    async def _carry_rest(self, carrying: Carrying, at: Mapping[Partition, int]) -> None:
        topics = dict.fromkeys(place.topic for place in at)
        if LETTERS.name in topics:
            carrying.known.expect(await letters_of_old(self.reader, carrying.logs.old_codec, self.old.log))
        for topic in topics:
            if topic == LETTERS.name:
                await carrying.known.find_lettered(LogReader(self.new.log), self.new.log)
            ends = {place.number: end for place, end in at.items() if place.topic == topic}
            await carrying.carry(topic, ends)
