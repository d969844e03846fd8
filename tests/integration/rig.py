"""A log and a live store for workers, and what a test does with them: append, wait until all is folded, compare."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from typing import Any, Self, cast

import orjson
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from events.broker import create_topics
from events.catalogue import TOPICS
from events.codec import Codec
from events.dead_letters import Letter, read_letters
from events.envelope import Event
from events.errors import EventsError
from events.header_names import Header
from events.log_ends import LogEnds
from events.positions import Partition, Position
from events.publisher import Publisher
from events.reader import LogReader, LogRecord, Range
from events.registry import open_registry
from events.settings import LogSettings
from processors.app import run_worker
from processors.verify.settings import VerifySettings
from projections.errors import ProjectionError
from projections.live.slots import TOPICS_OF_LEAD, Slot, slot_of
from projections.live.spend import NOTHING, SpendDay, Spent, spend_id
from projections.live.store import LiveStore
from projections.settings import LiveSettings
from tests.integration.live_server import asked_again
from tests.integration.log import delete_topics
from tests.raw_batches import produce
from tests.simulation.cluster import Cluster
from tests.simulation.log import MemoryLog
from tests.simulation.properties import PROPERTIES, Evidence

FOLDED_WITHIN_S = 60.0
STOPPED_WITHIN_S = 30.0
ANSWERED_WITHIN_S = 10.0
_RIGS = count(1)
NOT_STATES = ("meta", "outbox", "index", "permits")


def settings_of_worker(address: str, **changed: object) -> LogSettings:
    """Topics and a group of its own on a broker, and a session short enough to see a worker being missed."""
    name = f"rig{os.getpid()}-{next(_RIGS)}"
    values: dict[str, object] = {
        "bootstrap": address,
        "topic_prefix": f"{name}.",
        "group_id": name,
        "partitions": 2,
        "session_timeout_s": 2.0,
        "request_timeout_s": 5.0,
    }
    return LogSettings.model_validate(values | changed)


@dataclass(slots=True)
class Traces:
    """What the naive folds of the simulation look at, read back from real servers."""

    settings: LogSettings
    codec: Codec
    log: MemoryLog
    live: dict[str, dict[str, bytes]]

    def states(self) -> dict[str, dict[str, bytes]]:
        """All states by slot and key."""
        return self.live


class Rig:
    """The clients of one test's log and live store."""

    def __init__(self, log: LogSettings, live: LiveSettings) -> None:
        self.log = log
        self.live = live
        self.codec = Codec(open_registry(log.registry_url, log.topic_prefix, log.schemas_folder))
        self.reader = LogReader(log)
        self.slots = [Slot(lead, number) for lead in TOPICS_OF_LEAD for number in range(log.partitions)]
        self._partitions = [partition for slot in self.slots for partition in slot.partitions]
        self._resources = AsyncExitStack()

    async def __aenter__(self) -> Self:
        await create_topics(self.log)
        self._resources.push_async_callback(delete_topics, self.log.bootstrap, self.log.topic_prefix)
        enter = self._resources.enter_async_context
        self.publisher = await enter(Publisher(self.log, self.codec))
        self.ends = await enter(LogEnds(self.log))
        # The test itself is no fault to be found: it waits for an answer however briefly its worker does.
        patient = self.live.model_copy(update={"command_timeout_s": ANSWERED_WITHIN_S})
        self.store = await enter(LiveStore(patient))
        self._raw = AIOKafkaProducer(
            bootstrap_servers=self.log.bootstrap,
            max_request_size=64 * 2**20,
            max_batch_size=2**20,
            request_timeout_ms=10_000,
        )
        await self._raw.start()
        self._resources.push_async_callback(self._raw.stop)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._resources.aclose()

    async def append(self, *events: Event) -> list[Position]:
        """Append events as a producer does."""
        return await self.publisher.append(events)

    async def append_raw(
        self,
        topic: str,
        partition: int,
        *,
        key: bytes | None,
        value: bytes | None,
        headers: Sequence[Header] = (),
        timestamp_ms: int | None = None,
    ) -> int:
        """Append any bytes to any partition, as no producer of ours would; the record's offset."""
        sent = await self._raw.send_and_wait(
            self.log.full_name(topic),
            value,
            key=key,
            partition=partition,
            headers=list(headers),
            timestamp_ms=timestamp_ms,
        )
        return int(sent.offset)

    async def append_raw_batch(self, topic: str, partition: int, batch: bytes | bytearray) -> int:
        """Append a batch as it is, damaged or not; the offset of its first record."""
        return await produce(self._raw, self.log.full_name(topic), partition, batch)

    async def append_batch(self, topic: str, partition: int, values: Sequence[bytes]) -> None:
        """Append values without keys as one batch, which one fetch brings whole."""
        batch = self._raw.create_batch()
        for value in values:
            assert batch.append(key=None, value=value, timestamp=None) is not None
        batch.close()
        await (await self._raw.send_batch(batch, self.log.full_name(topic), partition=partition))

    async def delete_below(self, topic: str, partition: int, offset: int) -> None:
        """Take the oldest records off the log, as its retention does in time."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self.log.bootstrap)
        await admin.start()
        try:
            place = TopicPartition(self.log.full_name(topic), partition)
            await admin.delete_records({place: RecordsToDelete(before_offset=offset)})
        finally:
            await admin.close()

    async def behind(self) -> list[str]:
        """What is not folded yet, or derived and not on the log yet; empty when nothing is left to do."""
        checkpoints = await self.store.checkpoints(self.slots)
        ends = await self.ends.ends(self._partitions)
        found = [
            f"{slot} has published {checkpoint.published_seq} of {checkpoint.outbox_seq}"
            for slot, checkpoint in checkpoints.items()
            if checkpoint.published_seq != checkpoint.outbox_seq
        ]
        for slot in self.slots:
            for partition in slot.partitions:
                at = checkpoints[slot].next_offsets.get(partition.topic, 0)
                if at != ends[partition]:
                    found.append(f"{slot} is at {at} of {ends[partition]} in {partition.topic}")
        return found

    async def folded(self, within_s: float = FOLDED_WITHIN_S) -> None:
        """Return when all of the log is folded and all that follows from it as well; AssertionError if not in time."""
        left, asked_s = ["nothing was asked"], time.monotonic()
        try:
            async with asyncio.timeout(within_s):
                while left := await self._left():
                    asked_s = await asked_again(asked_s)
        except TimeoutError:
            raise AssertionError(f"not folded within {within_s} s: {left}") from None

    async def folded_to(self, slot: Slot, topic: str, offset: int) -> None:
        """Return when a slot has folded a topic up to an offset, whatever the others do."""
        async with asyncio.timeout(FOLDED_WITHIN_S):
            asked_s = time.monotonic()
            while (await self.store.checkpoints([slot]))[slot].next_offsets.get(topic, 0) < offset:
                asked_s = await asked_again(asked_s)

    async def _left(self) -> list[str]:
        try:
            return await self.behind()
        except (EventsError, ProjectionError) as error:
            return [str(error)]

    async def state(self, slot: Slot, key: str) -> dict[str, Any] | None:
        """One live state as its JSON document; None when there is none."""
        raw = (await self.store.read(slot, [key])).get(key)
        return None if raw is None else orjson.loads(raw)

    async def spent(self, tenant: str, node: str = "tenant") -> Spent:
        """What the live store says of a node of a tenant for this UTC day and the one before: midnight may be just over."""
        today, spent = int(datetime.now(UTC).timestamp()) // 86_400, NOTHING
        for day in (today - 1, today):
            state_id = spend_id(tenant, node, day)
            slot, key = slot_of("spend", state_id, self.log.partitions), f"spend:{state_id}"
            for raw in (await self.store.read(slot, [key])).values():
                spent = spent.plus(SpendDay.from_json(raw).total)
        return spent

    async def records(self, topic: str) -> dict[int, list[LogRecord]]:
        """All records of a topic by partition."""
        found: dict[int, list[LogRecord]] = {number: [] for number in range(self.log.partitions)}
        ends = await self.ends.ends([Partition(topic, number) for number in found])
        wanted = {place.number: Range(0, end) for place, end in ends.items()}
        async for number, records in self.reader.read(topic, wanted):
            found[number] += records
        return found

    async def events(self, topic: str) -> list[Any]:
        """All events of a topic that can be read, partition by partition."""
        return [
            self.codec.decode(TOPICS[topic], record.value)
            for records in (await self.records(topic)).values()
            for record in records
        ]

    async def letters(self) -> list[Letter]:
        """All dead letters."""
        return await read_letters(self.reader, self.codec)

    async def violations(self) -> list[str]:
        """In what the live states, the derived events and the dead letters differ from naive folds of the log."""
        log = MemoryLog(self.log)
        for topic in TOPICS:
            for number, records in (await self.records(topic)).items():
                for record in records:
                    assert log.append(topic, number, record) == record.offset
        traces = Traces(self.log, self.codec, log, await self._states())
        evidence = Evidence.of(cast("Cluster", traces))
        return [f"{rule.__name__}: {wrong}" for rule in PROPERTIES for wrong in rule(evidence)]

    async def _states(self) -> dict[str, dict[str, bytes]]:
        found: dict[str, dict[str, bytes]] = {}
        for slot in self.slots:
            prefix = self.store.keyspace.prefix(slot)
            keys = [key.removeprefix(prefix) for key in await self.store.connection.keys_with_prefix(prefix)]
            states = sorted(key for key in keys if key.partition(":")[0] not in NOT_STATES)
            found[str(slot)] = await self.store.read(slot, states)
        return found

    async def folded_ends(self) -> dict[Partition, int]:
        """Where each folded partition ends, those without records left out."""
        return {place: end for place, end in (await self.ends.ends(self._partitions)).items() if end}

    async def committed(self) -> dict[Partition, int]:
        """What the group has committed."""
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self.log.bootstrap, group_id=self.log.group_id, enable_auto_commit=False
        )
        await consumer.start()
        try:
            found = {
                place: await consumer.committed(TopicPartition(self.log.full_name(place.topic), place.number))
                for place in self._partitions
            }
        finally:
            await consumer.stop()
        return {place: offset for place, offset in found.items() if offset}

    async def members(self) -> int:
        """How many the group believes that it has."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self.log.bootstrap)
        await admin.start()
        try:
            [answer] = await admin.describe_consumer_groups([self.log.group_id])
        finally:
            await admin.close()
        [(*_, members)] = [group[:6] for group in answer.groups]
        return len(members)

    async def lag(self) -> int:
        """Records that the group has not folded, by what it has committed."""
        ends, committed = await self.folded_ends(), await self.committed()
        return sum(end - committed.get(place, 0) for place, end in ends.items())

    async def owners(self) -> dict[str, str]:
        """By slot, who acquired it last."""
        return {str(slot): held.owner for slot, held in (await self.store.checkpoints(self.slots)).items()}

    @asynccontextmanager
    async def worker(self, verify: VerifySettings | None = None) -> AsyncIterator[asyncio.Task[None]]:
        """A worker in this process, which at the end still has to run, and then stops when it is told to."""
        working = asyncio.create_task(run_worker(self.log, self.live, verify=verify))
        try:
            yield working
            if working.done():
                working.result()
                raise AssertionError("the worker stopped by itself")
        finally:
            working.cancel()
            await asyncio.wait([working], timeout=STOPPED_WITHIN_S)
            assert working.done(), "the worker does not stop"
