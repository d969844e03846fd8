# ruff: noqa: SLF001 - Faust and aiokafka have no public handle on fetching, seeking and acknowledging.
"""The Faust transport that delivers a partition's fetched records as one event.

Stock Faust hands each record through a queue, a task and an acknowledgement of its own; here all that a fetch brought
for a partition travels as one `RecordBatch`. Where reading begins is said by the projections' checkpoints, not by the
group's committed offsets, which are kept for lag tools only.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from inspect import isawaitable
from itertools import pairwise
from typing import Any, cast

import faust
import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import IllegalStateError, KafkaError
from aiokafka.structs import OffsetAndMetadata
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, AppT, ConsumerMessage, EventT, Message

from events.consumer_stop import STOP_WITHIN_S, stop_consumer
from events.errors import LogUnavailableError
from events.overlapping_consumer import OverlappingConsumer
from events.reader import LogRecord
from processors.assignor import CopartitionedAssignor

MAX_RESPONSE_BYTES = 16 * 2**20
CREATE_TIME = 0
GROUP_ANSWERS_WITHIN_S = 5.0
NOTHING_TO_FETCH_S = 0.01
LEAST_FETCH_WAIT_MS, IDLE_FETCH_WAIT_MS = 10, 50
MOST_FETCH_WAIT_MS = 8_000
"""A waiting fetch is not woken by the embedded broker: it looks when half of what is left of the time has passed, and again. So the
long poll is short, and longer when nothing has come for a second, for both processes have to work for each. The broker takes the
same figure as a deadline for reading, and answers with nothing when a partition of many small batches takes longer: then it is
doubled."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class RecordBatch:
    """Consecutive records of one partition, as one fetch brought them; never empty. `topic` is the full name."""

    topic: str
    partition: int
    records: list[LogRecord]

    @property
    def start(self) -> int:
        """Offset of the first record."""
        return int(self.records[0].offset)

    @property
    def end(self) -> int:
        """Next offset after the last record."""
        return int(self.records[-1].offset) + 1

    @property
    def has_holes(self) -> bool:
        """Whether offsets are missing between its records."""
        return self.records[-1].offset - self.start != len(self.records) - 1

    def unbroken(self) -> list[RecordBatch]:
        """Its parts without a hole."""
        begins = [
            at for at, (one, after) in enumerate(pairwise(self.records), 1) if after.offset != one.offset + 1
        ]
        bounds = pairwise([0, *begins, len(self.records)])
        return [RecordBatch(self.topic, self.partition, self.records[first:last]) for first, last in bounds]

    def cut(self, start: int, at: int) -> list[RecordBatch]:
        """What is left of it from `start` on, in two parts when `at` lies within."""
        before = [record for record in self.records if start <= record.offset < at] if at > start else []
        after = (
            self.records
            if self.start >= max(start, at)
            else [r for r in self.records if r.offset >= max(start, at)]
        )
        return [RecordBatch(self.topic, self.partition, part) for part in (before, after) if part]

    def first(self, count: int) -> RecordBatch:
        """Its first records; itself when it has no more."""
        if count == len(self.records):
            return self
        return RecordBatch(self.topic, self.partition, self.records[:count])


class BatchSchema(faust.Schema[Any, Any]):
    """Passes a batch through undecoded: what its bytes mean is the business of the fold."""

    def compile(self, app: AppT, **_: Any) -> Callable[..., Awaitable[EventT[Any]]]:
        """The function that makes an event of a message."""

        async def decode(message: Message, **_: bool) -> EventT[Any]:
            return app.create_event(message.key, message.value, message.headers, message)

        return decode


class _NoThread(driver.AIOKafkaConsumerThread):
    """The consumer in the loop of its worker.

    Faust gives it a thread and a loop of its own: then each fetch is handed over twice, and both threads wait for the
    interpreter's lock. No batch takes the loop as long as the group waits for a heartbeat.
    """

    def _create_worker_consumer(self, transport: Any) -> AIOKafkaConsumer:
        conf = self.app.conf
        self._assignor = CopartitionedAssignor
        return OverlappingConsumer(
            client_id=conf.broker_client_id,
            group_id=conf.id,
            bootstrap_servers=driver.server_list(transport.url, transport.default_port),
            partition_assignment_strategy=[CopartitionedAssignor],
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            max_poll_records=conf.broker_max_poll_records,
            max_partition_fetch_bytes=conf.consumer_max_fetch_size,
            fetch_max_bytes=MAX_RESPONSE_BYTES,
            fetch_max_wait_ms=LEAST_FETCH_WAIT_MS,
            request_timeout_ms=int(conf.broker_request_timeout * 1000),
            session_timeout_ms=int(conf.broker_session_timeout * 1000),
            rebalance_timeout_ms=int(conf.broker_rebalance_timeout * 1000),
            heartbeat_interval_ms=int(conf.broker_heartbeat_interval * 1000),
            max_poll_interval_ms=int((conf.broker_max_poll_interval or 300) * 1000),
            metadata_max_age_ms=conf.consumer_metadata_max_age_ms,
        )

    async def _fetch_records(
        self,
        consumer: AIOKafkaConsumer,
        active_partitions: set[TP],
        timeout: float | None = None,
        max_records: int | None = None,
    ) -> Any:
        """As Faust does, with a long poll that grows while none come. What comes over another connection overlaps."""
        found = await super()._fetch_records(consumer, active_partitions, timeout, max_records)
        fetched = cast("OverlappingConsumer", consumer).over_known_connections(found)
        fetcher = consumer._fetcher
        wait_ms: int = fetcher._fetch_max_wait_ms
        if not any(_is_behind(consumer, tp) for tp in active_partitions):
            fetcher._fetch_max_wait_ms = LEAST_FETCH_WAIT_MS if fetched else IDLE_FETCH_WAIT_MS
        elif fetched:
            fetcher._fetch_max_wait_ms = max(LEAST_FETCH_WAIT_MS, wait_ms // 2)
        else:
            fetcher._fetch_max_wait_ms = min(MOST_FETCH_WAIT_MS, wait_ms * 2)
        return fetched

    async def start(self) -> None:
        """Called by mode, which would start a thread."""
        self._thread_started.set()
        running = self._thread_running = self.parent_loop.create_future()
        self._serving = asyncio.create_task(self._serve(), name="consumer")
        await asyncio.wait((running, self._serving), return_when=asyncio.FIRST_COMPLETED)
        self._thread_running = None
        if self._serving.done():
            self._serving.result()

    async def call_thread(self, fun: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Called by Faust to hand a call over: here it is a call."""
        result = fun(*args, **kwargs)
        return await result if isawaitable(result) else result

    async def _gather_remaining_tasks(self) -> None:
        """The loop is not this service's own."""

    async def on_thread_stop(self) -> None:
        """Called by mode when the worker stops: leave the group, within a bound."""
        stopping = [asyncio.ensure_future(self.method_queue.stop())]
        if self._consumer is not None:
            stopping.append(asyncio.ensure_future(stop_consumer(self._consumer)))
        await asyncio.wait(stopping, timeout=2 * STOP_WITHIN_S)

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        """Commit what is still assigned. Unlike in Faust, a failure stops no worker: the next commit says it all again."""
        consumer = self._ensure_consumer()
        assigned = self.assignment()
        wanted = {
            TopicPartition(*tp): OffsetAndMetadata(offset, "")
            for tp, offset in offsets.items()
            if tp in assigned
        }
        try:
            async with asyncio.timeout(GROUP_ANSWERS_WITHIN_S):
                await consumer.commit(wanted)
        except (KafkaError, TimeoutError, OSError) as error:
            _log.warning("offsets not committed, will be again", error=repr(error))
            return False
        return True

    async def committed(self, partition: TP) -> int | None:
        """The group's committed offset. LogUnavailableError when the group does not answer in time."""
        try:
            async with asyncio.timeout(GROUP_ANSWERS_WITHIN_S):
                offset: int | None = await self._ensure_consumer().committed(partition)
        except (KafkaError, TimeoutError, OSError) as error:
            raise LogUnavailableError(f"the consumer group does not answer: {error!r}") from error
        return offset

    async def seek_assigned(self, offsets: Mapping[TP, int]) -> set[TP]:
        """Seek those that are still assigned, one record before, and return them."""
        consumer, sought = cast("OverlappingConsumer", self._ensure_consumer()), set()
        for tp, offset in offsets.items():
            try:
                consumer.seek_overlapping(tp, offset)
            except IllegalStateError:
                continue
            sought.add(tp)
        return sought


def _is_behind(consumer: AIOKafkaConsumer, tp: TP) -> bool:
    assigned = consumer._subscription.subscription.assignment
    if tp not in assigned.tps:
        return False
    state = assigned.state_value(tp)
    return bool(state.has_valid_position and (state.highwater or 0) > state.position)


class _AnyOffset(defaultdict[TP, int | None]):
    """Faust drops a message below the newest it has read; here what was folded is told by the slots alone, which may
    well ask to read a partition again.
    """

    def __getitem__(self, _: TP) -> None:
        return None


class BatchConsumer(driver.Consumer):
    """Consumer whose messages are whole batches. `on_assigned` is told of the partitions instead of a seek."""

    on_assigned: Callable[[set[TP]], Awaitable[None]]
    _thread: _NoThread

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._acknowledged: dict[TP, int] = {}
        self._group_has: dict[TP, int] = {}
        self._read_offset = _AnyOffset()

    def _new_consumer_thread(self) -> _NoThread:
        return _NoThread(self, loop=self.loop, thread_loop=self.loop, beacon=self.beacon)

    async def _wait_next_records(self, timeout: float) -> tuple[Any, set[TP]]:
        """As Faust does, but it looks again soon when all partitions are held.

        What was fetched while a rebalance stopped the flow is let go: each slot seeks when it opens. Faust would seek at
        once, for the assignment that is just ending.
        """
        if not self.flow_active:
            await self.wait(self.can_resume_flow.wait())
        active = self._get_active_partitions()
        records: Any = {}
        if active:
            records = await self._getmany(active, timeout)
        else:
            await self.sleep(NOTHING_TO_FETCH_S)
        return (records if self.flow_active else None), active

    async def _getmany(self, active_partitions: set[TP] | None, timeout: float) -> Any:
        fetched = await super()._getmany(active_partitions, timeout)
        return {
            tp: [RecordBatch(tp.topic, tp.partition, records)] for tp, records in fetched.items() if records
        }

    def _to_message(self, tp: TP, record: RecordBatch) -> ConsumerMessage:
        last = record.records[-1]
        return ConsumerMessage(
            record.topic,
            record.partition,
            last.offset,
            last.timestamp / 1000.0,
            CREATE_TIME,
            [],
            None,
            cast("bytes", record),
            None,
            0,
            len(record.records),
            tp,
            generation_id=self.app.consumer_generation_id,
        )

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        """Offsets within a batch are no gaps."""

    def ack(self, message: Any) -> bool:
        """Note that a batch is folded, and so is all before it in its partition."""
        message.acked = True
        self._unacked_messages.discard(message)
        self.acknowledge(message.tp, message.offset + 1)
        return True

    def acknowledge(self, partition: TP, offset: int) -> None:
        """Note that a partition is folded, and all that follows from it published, up to an offset."""
        self._acknowledged[partition] = max(offset, self._acknowledged.get(partition, 0))

    async def commit(self, *_: Any, **__: Any) -> bool:
        """Tell the group how far each partition is folded; never back from where it was."""
        ahead = {
            tp: offset for tp, offset in self._acknowledged.items() if offset > self._group_has.get(tp, 0)
        }
        if not ahead or not await self._thread.commit(ahead):
            return False
        self._group_has.update(ahead)
        return True

    async def commit_and_end_transactions(self) -> None:
        """Called by Faust when the worker stops: a last commit, which a broker that is away does not hold up."""
        await asyncio.wait([asyncio.ensure_future(self.commit())], timeout=STOP_WITHIN_S)

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """What was known of the partitions ends: another member may bring them further."""
        await super().on_partitions_revoked(revoked)
        for tp in revoked:
            self._acknowledged.pop(tp, None)
            self._group_has.pop(tp, None)

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Faust's watch over commits; ours are the lag and the metrics."""

    async def perform_seek(self) -> None:
        """Called by Faust when partitions were assigned: the slots open, and seek when they know where."""
        await self.on_assigned(set(self.assignment()))

    async def committed_offset(self, partition: TP) -> int:
        """The group's committed offset of a partition; 0 when there is none. It is never moved back from here on."""
        committed = await self._thread.call_thread(self._thread.committed, partition) or 0
        self._group_has[partition] = committed
        return int(committed)

    def hold(self, partitions: Iterable[TP]) -> None:
        """Stop fetching partitions until `resume_at`."""
        self.pause_partitions(set(partitions) & set(self.assignment()))

    async def resume_at(self, offsets: Mapping[TP, int]) -> None:
        """Go on with partitions from the given offsets; those that are no longer assigned are passed over."""
        self.resume_partitions(await self._thread.call_thread(self._thread.seek_assigned, offsets))


class BatchTransport(driver.Transport):
    """Faust's aiokafka transport with batches for messages."""

    Consumer = BatchConsumer


def consumer_of(app: faust.App) -> BatchConsumer:
    """The consumer of an app that runs on this transport."""
    return cast("BatchConsumer", app.consumer)
