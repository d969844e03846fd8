"""A worker process: the production runner and folds of the slots that it was given, and a consumer that feeds them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random

from events.codec import Codec
from events.errors import LogUnavailableError
from events.positions import Partition
from events.reader import LogRecord
from events.settings import LogSettings
from processors.backlog import Fetched
from processors.batching import RecordBatch
from processors.fold import Fold
from processors.health.agent import ProviderFold
from processors.recorded import Past
from processors.slot_runner import Ports, SlotRunner
from processors.slot_task import SlotTask
from processors.usage.agent import TenantFold
from projections.live.slots import TENANT_LEAD, TOPICS_OF_LEAD, Slot, slot_of_partition
from projections.live.store import LiveStore
from projections.settings import LiveSettings
from tests.simulation.log import MemoryLog, MemoryPublisher, MemoryReader
from tests.simulation.process import Killed, Process
from tests.simulation.redis import MemoryConnection, MemoryRedis

ACKNOWLEDGED_WITHIN_S = 1.5
"""The consumer tells the group what it has acknowledged once in a while, and forgets it when killed."""


@dataclass(frozen=True, slots=True)
class Site:
    """What all workers share. `owns` says whether the group takes an acknowledgement of the slot from a worker."""

    settings: LogSettings
    codec: Codec
    log: MemoryLog
    redis: MemoryRedis
    random: Random
    owns: Callable[[str, Slot], bool]
    stopped: Callable[[str, Slot, BaseException], None]


@dataclass(slots=True)
class _Consumer:
    """Reads the topics of one slot from where it is told; None: held."""

    positions: dict[str, int | None]
    moved: asyncio.Event = field(default_factory=asyncio.Event)

    def move(self, offsets: Mapping[str, int]) -> None:
        self.positions.update(offsets)
        self.moved.set()

    def hold(self) -> None:
        self.positions = dict.fromkeys(self.positions)


class Worker:
    """One process. It is killed with all its tasks; what its ports still try then raises Killed."""

    def __init__(self, process: Process, site: Site, twice: float) -> None:
        self.process = process
        self._site = site
        self._tasks: dict[Slot, list[asyncio.Task[None]]] = {}
        store = LiveStore(LiveSettings())
        store.connection = MemoryConnection(site.redis, process)
        publisher = MemoryPublisher(site.log, site.codec, process, site.random, twice)
        reader = MemoryReader(site.log, process, site.random)
        self._ports = Ports(
            site.settings,
            site.codec,
            store,
            publisher,
            reader,
            process.name,
            self._committed,
            self._acknowledge,
        )

    @property
    def slots(self) -> set[Slot]:
        """The slots that this worker believes to own."""
        return set(self._tasks)

    def own(self, slot: Slot) -> None:
        """The group gives a slot to this worker."""
        if slot in self._tasks or not self.process.alive:
            return
        consumer = _Consumer(dict.fromkeys(TOPICS_OF_LEAD[slot.lead]))

        async def position(_: Slot, offsets: Mapping[str, int]) -> None:
            consumer.move(offsets)
            for topic in offsets:
                self._site.log.wake(topic, slot.partition)

        runner = SlotRunner(slot, self._new_fold, self._ports)
        task = SlotTask(runner, position, lambda _: consumer.hold())
        running = asyncio.ensure_future(task.run())
        running.add_done_callback(lambda done: self._ended(slot, done))
        fetches = [
            asyncio.ensure_future(self._fetch(slot, topic, consumer, task)) for topic in consumer.positions
        ]
        for fetch in fetches:
            fetch.add_done_callback(_forget)
        self._tasks[slot] = [running, *fetches]

    def disown(self, slot: Slot) -> None:
        """The group tells this worker that a slot is another's now."""
        for task in self._tasks.pop(slot, []):
            task.cancel()

    def end(self) -> None:
        """Nothing of this worker runs any more."""
        for slot in list(self._tasks):
            self.disown(slot)

    def _new_fold(self, slot: Slot) -> Fold:
        past = Past(self._site.settings, self._site.codec, self._ports.reader, slot.partition)
        if slot.lead == TENANT_LEAD:
            return TenantFold(slot, past, self._ports.store)
        return ProviderFold(slot, past, self._ports.store)

    async def _committed(self, topic: str, partition: int) -> int:
        return await self.process.call(
            "group committed",
            lambda: self._site.log.acknowledged.get(Partition(topic, partition), 0),
            LogUnavailableError,
        )

    async def _fetch(self, slot: Slot, topic: str, consumer: _Consumer, task: SlotTask) -> None:
        """Hand batches of any size to the slot, in order from each position. What was under way arrives late."""
        site = self._site
        while True:
            position = consumer.positions[topic]
            if position is None:
                consumer.moved.clear()
                await consumer.moved.wait()
                continue
            if site.log.end(topic, slot.partition) <= position:
                await site.log.changes(topic, slot.partition)
                continue
            size = site.random.choice((1, 2, 5, 20, 100, 1000))
            try:
                records = await self.process.call(
                    f"fetch {topic}", self._read(topic, slot.partition, position, size), ConnectionError
                )
            except ConnectionError:
                continue
            if consumer.positions[topic] == position:
                consumer.positions[topic] = position + len(records)
            elif site.random.random() < 0.5:
                continue
            batch = RecordBatch(site.settings.full_name(topic), slot.partition, records)
            await task.backlog.put(Fetched(topic, batch, self._acknowledging(slot, topic, batch.end)))

    def _read(self, topic: str, partition: int, start: int, size: int) -> Callable[[], list[LogRecord]]:
        return lambda: self._site.log.read(topic, partition, start, start + size)

    def _acknowledging(self, slot: Slot, topic: str, end: int) -> Callable[[], None]:
        return lambda: self._acknowledge(topic, slot.partition, end)

    def _acknowledge(self, topic: str, partition: int, offset: int) -> None:
        place = Partition(topic, partition)

        def tell_group() -> None:
            if self.process.alive and self._site.owns(self.process.name, slot_of_partition(place)):
                acknowledged = self._site.log.acknowledged
                acknowledged[place] = max(offset, acknowledged.get(place, 0))

        delay_s = self._site.random.uniform(0.0, ACKNOWLEDGED_WITHIN_S)
        asyncio.get_running_loop().call_later(delay_s, tell_group)

    def _ended(self, slot: Slot, running: asyncio.Task[None]) -> None:
        error = None if running.cancelled() else running.exception()
        if error is not None and not isinstance(error, Killed):
            self._site.stopped(self.process.name, slot, error)


def _forget(task: asyncio.Task[None]) -> None:
    if not task.cancelled():
        task.exception()
