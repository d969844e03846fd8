"""One sink at work: a member of a consumer group of the sink's own, so that no store waits for another.

Where reading begins is said by the sink, not by the group's committed offsets; those are the durable positions, for lag.
Whatever goes wrong with a partition, its batch is let go, and it is opened again from where the store says, after a pause
that grows: nothing is held meanwhile but the lag.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

import structlog
from aiokafka import ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import IllegalStateError, KafkaError
from aiokafka.structs import OffsetAndMetadata

from events.consumer_stop import stop_consumer
from events.errors import LogUnavailableError
from events.log_ends import LogEnds
from events.overlapping_consumer import OverlappingConsumer
from events.positions import Partition
from events.reader import LogReader, LogRecord
from events.settings import LogSettings
from processors import metrics
from processors.retry import until_done
from processors.sinks.places import Places
from processors.sinks.same_log import SameLog
from projections.errors import FencedError, LogReplacedError, SinkUnavailableError, StaleCheckpointError
from projections.sink import Sink
from projections.tip import Tip, is_elsewhere, tip_of

FETCH_BYTES = 8 * 2**20
RESPONSE_BYTES = 16 * 2**20
"""All that a fetch brings of a partition is one batch: 24,000 calls or more. While a part of it stays with the consumer, the next
fetch asks for the other partitions alone, and when these have nothing, what the first one still has waits as long as they do."""
FETCH_WAIT_MS = 1_000
POLL_MS = 250
AT_ONCE = 4
TICK_S = 1.0
GROUP_ANSWERS_WITHIN_S = 5.0
DRAIN_WITHIN_S = 8.0
LONGEST_WRITE_MS = 300_000
HEARTBEATS_PER_SESSION = 6

_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class SinkRunner:
    """Writes the log to one sink. Any number may run for it, in as many processes: the group shares the partitions."""

    settings: LogSettings
    sink: Sink
    _places: Places = field(default_factory=Places)
    _quiet: asyncio.Lock = field(default_factory=asyncio.Lock)
    _turns: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE))
    _stopping: asyncio.Event = field(default_factory=asyncio.Event)
    _committed: dict[Partition, int] = field(default_factory=dict)

    def stop(self) -> None:
        """Write what the log holds, make it durable, and return from `run`; all of it within a bound."""
        self._stopping.set()

    async def run(self) -> None:
        """Until `stop`, or cancelled. A log or a store that is away is waited for."""
        consumer = await until_done("log", self._join)
        try:
            async with LogEnds(self.settings) as ends:
                while not self._stopping.is_set():
                    await self._round(consumer, ends)
                try:
                    async with asyncio.timeout(DRAIN_WITHIN_S):
                        await self._drain(consumer, ends)
                except (TimeoutError, LogUnavailableError) as error:
                    _log.warning("stopped behind the log", sink=self.sink.name, why=repr(error))
        finally:
            await stop_consumer(consumer)

    async def _join(self) -> OverlappingConsumer:
        settings = self.settings
        consumer = OverlappingConsumer(
            bootstrap_servers=settings.bootstrap,
            group_id=group_of(settings, self.sink.name),
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            max_partition_fetch_bytes=FETCH_BYTES,
            fetch_max_bytes=RESPONSE_BYTES,
            fetch_max_wait_ms=FETCH_WAIT_MS,
            request_timeout_ms=int(settings.request_timeout_s * 1000),
            session_timeout_ms=int(settings.session_timeout_s * 1000),
            heartbeat_interval_ms=int(settings.session_timeout_s * 1000 / HEARTBEATS_PER_SESSION),
            max_poll_interval_ms=LONGEST_WRITE_MS,
        )
        try:
            await consumer.start()
        except (KafkaError, OSError) as error:
            await stop_consumer(consumer)
            raise LogUnavailableError(f"no broker answers at {settings.bootstrap}: {error!r}") from error
        consumer.subscribe(
            [settings.full_name(topic) for topic in self.sink.topics], listener=_Listener(self, consumer)
        )
        return consumer

    async def on_assigned(self, consumer: OverlappingConsumer, given: Collection[TopicPartition]) -> None:
        """Nothing is fetched before the sink has said from where."""
        async with self._quiet:
            for partition in self._places.held:
                await self.sink.release(partition)
            self._committed.clear()
            self._places.assign(self._partition(place) for place in given)
            consumer.pause(*given)
        metrics.SINK_PARTITIONS.labels(self.sink.name).set(len(given))

    async def _round(self, consumer: OverlappingConsumer, ends: LogEnds) -> None:
        """Open what is due, write what is there, and now and then close what is due by age."""
        async with self._quiet:
            due = self._places.due(_now_s())
            await asyncio.gather(*(self._open(consumer, ends, partition) for partition in due))
        try:
            found = await consumer.getmany(timeout_ms=POLL_MS)
        except KafkaError as error:
            _log.warning("the log cannot be read", sink=self.sink.name, why=repr(error))
            await asyncio.sleep(POLL_MS / 1000)
            return
        async with self._quiet:
            fetched = consumer.over_known_connections(found)
            await asyncio.gather(
                *(self._write(consumer, self._partition(place), some) for place, some in fetched.items())
            )
            await self._close_due(consumer)
        await self._tell_group(consumer)

    async def _open(self, consumer: OverlappingConsumer, ends: LogEnds, partition: Partition) -> None:
        try:
            async with self._turns:
                offset, tip = await self._position(partition, ends)
            place = self._place(partition)
            consumer.seek_overlapping(place, offset)
            consumer.resume(place)
            self._places.opened(partition, offset, tip)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is told, and the others go on
            await self._lose(consumer, partition, error)

    async def _position(self, partition: Partition, ends: LogEnds) -> tuple[int, Tip | None]:
        """Where to read on, and the last record that the store has."""
        offset, tip = await self.sink.open(partition), self.sink.tip(partition)
        await SameLog(self.sink.name, LogReader(self.settings), ends).check(partition, offset, tip)
        return offset, tip

    async def _write(
        self, consumer: OverlappingConsumer, partition: Partition, records: Sequence[LogRecord]
    ) -> None:
        place = self._places.held.get(partition)
        if place is None or place.next_offset is None:
            return
        start = place.next_offset
        if is_elsewhere(place.tip, records):
            detail = f"before {start} of {partition} lies another record than was written"
            await self._lose(consumer, partition, LogReplacedError(detail))
            return
        records = records[1:] if records[0].offset == start - 1 else records
        if not records:
            return
        if records[0].offset != start and self._places.is_news(partition, records[0].offset):
            consumer.seek_overlapping(self._place(partition), start)
            return
        if records[0].offset < start:
            detail = f"{partition} is read from {records[0].offset} on, though {start} was asked for: the log is shorter"
            await self._lose(consumer, partition, LogReplacedError(detail))
            return
        try:
            async with self._turns:
                durable = await self.sink.write(partition, start, records)
        except Exception as error:  # noqa: BLE001 - as above
            await self._lose(consumer, partition, error)
            return
        metrics.SINK_RECORDS.labels(self.sink.name, partition.topic).inc(len(records))
        self._places.advanced(partition, tip_of(records[-1]), durable)

    async def _lose(self, consumer: OverlappingConsumer, partition: Partition, error: Exception) -> None:
        pause_s = self._places.lost(partition, _now_s())
        cause = next((name for kind, name in _CAUSES.items() if isinstance(error, kind)), "defect")
        metrics.SINK_REOPENED.labels(self.sink.name, cause).inc()
        _log.warning(
            "a sink opens a partition again",
            sink=self.sink.name,
            partition=str(partition),
            why=str(error) or repr(error),
            pause_s=pause_s,
            exc_info=error if cause == "defect" else None,
        )
        try:
            consumer.pause(self._place(partition))
            await self.sink.release(partition)
        except (IllegalStateError, SinkUnavailableError) as also:
            _log.info("let go of a partition", sink=self.sink.name, partition=str(partition), why=repr(also))

    async def _close_due(self, consumer: OverlappingConsumer) -> None:
        try:
            self._places.made_durable(await self.sink.tick())
        except SinkUnavailableError as error:
            _log.warning("a sink cannot close what is due", sink=self.sink.name, why=str(error))
        except (FencedError, StaleCheckpointError) as error:
            # Which partition it was shows when they are opened: without new records nothing else would.
            for partition in [
                one for one, place in self._places.held.items() if place.next_offset is not None
            ]:
                await self._lose(consumer, partition, error)

    async def _tell_group(self, consumer: OverlappingConsumer) -> None:
        """The durable positions, for lag; what fails is told again with the next."""
        durable = self._places.durable
        if durable == self._committed:
            return
        offsets: dict[TopicPartition, Any] = {
            self._place(partition): OffsetAndMetadata(offset, "") for partition, offset in durable.items()
        }
        try:
            async with asyncio.timeout(GROUP_ANSWERS_WITHIN_S):
                await consumer.commit(offsets)
        except (KafkaError, IllegalStateError, TimeoutError, OSError) as error:
            _log.info("positions not told to the group, will be again", sink=self.sink.name, why=repr(error))
        else:
            self._committed = durable

    async def _drain(self, consumer: OverlappingConsumer, ends: LogEnds) -> None:
        held = list(self._places.held)
        wanted = await ends.ends(held) if held else {}
        while self._places.behind(wanted):
            await self._round(consumer, ends)
        async with self._quiet:
            self._places.made_durable(await self.sink.drain())
        await self._tell_group(consumer)

    def _place(self, partition: Partition) -> TopicPartition:
        return TopicPartition(self.settings.full_name(partition.topic), partition.number)

    def _partition(self, place: TopicPartition) -> Partition:
        return Partition(self.settings.short_name(place.topic), place.partition)


def group_of(settings: LogSettings, sink_name: str) -> str:
    """The consumer group of a sink."""
    return f"{settings.group_id}-{sink_name}"


class _Listener(ConsumerRebalanceListener):
    def __init__(self, runner: SinkRunner, consumer: OverlappingConsumer) -> None:
        self._runner = runner
        self._consumer = consumer

    async def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        """What was theirs is let go when the new assignment is known."""

    async def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        await self._runner.on_assigned(self._consumer, assigned)


_CAUSES: dict[type[Exception], str] = {
    SinkUnavailableError: "unavailable",
    LogUnavailableError: "log",
    LogReplacedError: "log_replaced",
    FencedError: "fenced",
    StaleCheckpointError: "stale",
}


def _now_s() -> float:
    return asyncio.get_running_loop().time()
