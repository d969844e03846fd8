"""The Faust transport that delivers a partition's fetched records as one event.

Stock Faust hands each record through a queue, a task and an acknowledgement of its own; here all that a fetch brought
for a partition travels as one `RecordBatch`. Where reading begins is said by the projections' checkpoints, not by the
group's committed offsets, which are kept for lag tools only.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, cast

import faust
from aiokafka import AIOKafkaConsumer
from aiokafka.cluster import ClusterMetadata
from aiokafka.coordinator.assignors.abstract import AbstractPartitionAssignor
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment, ConsumerProtocolMemberMetadata
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, AppT, ConsumerMessage, EventT, Message

from events.reader import LogRecord

FETCH_WAIT_MS = 10
"""Longest long poll. aiokafka keeps one fetch in flight per broker: a partition that was just read is asked for again
only when the long poll for the idle others has ended, so this bounds what an idle partition adds to the latency."""


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

    def from_offset(self, offset: int) -> RecordBatch:
        """What is left of it from an offset on; there has to be something."""
        kept = [record for record in self.records if record.offset >= offset]
        return RecordBatch(self.topic, self.partition, kept)


class BatchSchema(faust.Schema):
    """Passes a batch through undecoded: what its bytes mean is the business of the fold."""

    def compile(self, app: AppT[Any], **_: Any) -> Callable[..., Awaitable[EventT[Any]]]:
        """The function that makes an event of a message."""

        async def decode(message: Message, *, propagate: bool = False) -> EventT[Any]:
            return app.create_event(message.key, message.value, message.headers, message)

        return decode


class CopartitionedAssignor(AbstractPartitionAssignor):
    """Gives partition p of every topic to the same member, so that a slot has one owner."""

    name = "interlock-copartitioned"
    version = 0

    @classmethod
    def assign(
        cls, cluster: ClusterMetadata, members: Mapping[str, ConsumerProtocolMemberMetadata]
    ) -> dict[str, ConsumerProtocolMemberAssignment]:
        """Partition p goes to member p modulo their number, in the order of their ids."""
        ordered = sorted(members)
        topics = sorted({topic for member in members.values() for topic in member.subscription})
        given: dict[str, dict[str, list[int]]] = {member: {} for member in ordered}
        for topic in topics:
            for partition in sorted(cluster.partitions_for_topic(topic) or ()):
                given[ordered[partition % len(ordered)]].setdefault(topic, []).append(partition)
        return {
            member: ConsumerProtocolMemberAssignment(cls.version, sorted(shares.items()), b"")
            for member, shares in given.items()
        }

    @classmethod
    def metadata(cls, topics: Iterable[str]) -> ConsumerProtocolMemberMetadata:
        """What a member says of itself when it joins."""
        return ConsumerProtocolMemberMetadata(cls.version, list(topics), b"")

    @classmethod
    def on_assignment(cls, assignment: ConsumerProtocolMemberAssignment) -> None:
        """Nothing is kept between generations."""


class _ConsumerThread(driver.AIOKafkaConsumerThread):
    def _create_worker_consumer(self, transport: Any) -> AIOKafkaConsumer:
        conf = self.app.conf
        self._assignor = CopartitionedAssignor
        return AIOKafkaConsumer(
            client_id=conf.broker_client_id,
            group_id=conf.id,
            bootstrap_servers=driver.server_list(transport.url, transport.default_port),
            partition_assignment_strategy=[CopartitionedAssignor],
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            max_poll_records=conf.broker_max_poll_records,
            max_partition_fetch_bytes=conf.consumer_max_fetch_size,
            fetch_max_wait_ms=FETCH_WAIT_MS,
            request_timeout_ms=int(conf.broker_request_timeout * 1000),
            session_timeout_ms=int(conf.broker_session_timeout * 1000),
            rebalance_timeout_ms=int(conf.broker_rebalance_timeout * 1000),
            heartbeat_interval_ms=int(conf.broker_heartbeat_interval * 1000),
            max_poll_interval_ms=int((conf.broker_max_poll_interval or 300) * 1000),
            metadata_max_age_ms=conf.consumer_metadata_max_age_ms,
        )


class BatchConsumer(driver.Consumer):
    """Consumer whose messages are whole batches. `on_assigned` is told of the partitions instead of a seek."""

    on_assigned: Callable[[set[TP]], Awaitable[None]]

    def _new_consumer_thread(self) -> _ConsumerThread:
        return _ConsumerThread(self, loop=self.loop, beacon=self.beacon)

    async def _getmany(self, active_partitions: set[TP] | None, timeout: float) -> Any:
        fetched = await super()._getmany(active_partitions, timeout)
        return {tp: [RecordBatch(tp.topic, tp.partition, records)] for tp, records in fetched.items() if records}

    def _to_message(self, tp: TP, record: RecordBatch) -> ConsumerMessage:
        last = record.records[-1]
        return ConsumerMessage(
            record.topic,
            record.partition,
            last.offset,
            last.timestamp / 1000.0,
            last.timestamp_type,
            (),
            None,
            record,
            None,
            0,
            len(record.records),
            tp,
            generation_id=self.app.consumer_generation_id,
        )

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        """Offsets within a batch are no gaps."""

    def _new_offset(self, tp: TP) -> int | None:
        """Commit bookkeeping by whole batches: after the newest acknowledged one."""
        acked = self._acked[tp]
        if not acked:
            return None
        newest = max(acked)
        acked.clear()
        self._acked_index[tp].clear()
        return int(newest) + 1

    async def perform_seek(self) -> None:
        """Called by Faust when partitions were assigned: the slots open, and seek when they know where."""
        await self.on_assigned(set(self.assignment()))

    def hold(self, partitions: Iterable[TP]) -> None:
        """Stop fetching partitions until `resume_at`."""
        self.pause_partitions(set(partitions) & set(self.assignment()))

    async def resume_at(self, offsets: Mapping[TP, int]) -> None:
        """Go on with partitions from the given offsets; those that are no longer assigned are passed over."""
        kept = {tp: offset for tp, offset in offsets.items() if tp in self.assignment()}
        for tp in kept:
            self._read_offset[tp] = None
            self._committed_offset[tp] = None
        await self._thread.seek_wait(kept)
        self.resume_partitions(set(kept))


class BatchTransport(driver.Transport):
    """Faust's aiokafka transport with batches for messages."""

    Consumer = BatchConsumer


def consumer_of(app: faust.App) -> BatchConsumer:
    """The consumer of an app that runs on this transport."""
    return cast(BatchConsumer, app.consumer)
