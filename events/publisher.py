"""Append events to the log: bounded, acknowledged by all in-sync replicas, answered with positions."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Self

from aiokafka import AIOKafkaProducer
from aiokafka.errors import (
    KafkaConnectionError,
    KafkaError,
    MessageSizeTooLargeError,
    UnknownError,
    UnsupportedVersionError,
)

from events.catalogue import TOPIC_OF_EVENT
from events.codec import Codec
from events.envelope import Event
from events.errors import BackpressureError, EventsError, EventTooLargeError, LogUnavailableError
from events.partitioner import partition_of
from events.positions import Position
from events.settings import LogSettings

Header = tuple[str, bytes]
BATCH_BYTES = 512 * 1024
ROOM_WAIT_S = 0.5


def wall_clock_ms() -> int:
    """Milliseconds since the epoch by this machine's clock."""
    return time.time_ns() // 1_000_000


@dataclass(frozen=True, slots=True)
class Encoded:
    """One record to append, already in bytes. `topic` is the short name; without a timestamp it gets the clock's."""

    topic: str
    key: bytes
    value: bytes
    timestamp_ms: int | None = None
    headers: tuple[Header, ...] = ()


class PartlyAppendedError(EventsError):
    """Some records of one append were acknowledged and some were not; `positions` has None for the latter.

    Appending all of them again is safe: events keep their ids, and a duplicate is dropped by the folds.
    """

    def __init__(self, positions: list[Position | None], cause: str) -> None:
        failed = sum(position is None for position in positions)
        super().__init__(f"{failed} of {len(positions)} records were not acknowledged: {cause}")
        self.positions = positions


class Publisher:
    """One producer to the log. An append returns when the log has acknowledged it: that is the durability point."""

    def __init__(self, settings: LogSettings, codec: Codec, clock_ms: Callable[[], int] = wall_clock_ms) -> None:
        self._settings = settings
        self._codec = codec
        self._clock_ms = clock_ms
        self._producer: AIOKafkaProducer | None = None
        self._in_flight_events = 0
        self._room = asyncio.Condition()

    async def __aenter__(self) -> Self:
        wanted = self._settings.idempotent
        try:
            self._producer = await self._start(idempotent=wanted is not False)
        except (UnknownError, UnsupportedVersionError):
            if wanted:
                raise LogUnavailableError("the broker has no idempotent producer: unset INTERLOCK_LOG__IDEMPOTENT") from None
            self._producer = await self._start(idempotent=False)
        return self

    async def _start(self, *, idempotent: bool) -> AIOKafkaProducer:
        settings = self._settings
        producer = AIOKafkaProducer(
            bootstrap_servers=settings.bootstrap,
            acks="all",
            enable_idempotence=idempotent,
            linger_ms=settings.linger_ms,
            max_batch_size=BATCH_BYTES,
            max_request_size=settings.max_event_bytes + 64 * 1024,
            request_timeout_ms=int(settings.request_timeout_s * 1000),
        )
        try:
            await asyncio.wait_for(producer.start(), settings.request_timeout_s)
        except BaseException as error:
            await producer.stop()
            if isinstance(error, (KafkaConnectionError, TimeoutError, OSError)):
                raise LogUnavailableError(f"no broker answers at {settings.bootstrap}: {error!r}") from error
            raise
        return producer

    async def __aexit__(self, *_: object) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            await producer.stop()

    @property
    def in_flight_events(self) -> int:
        """Records that wait for their acknowledgement."""
        return self._in_flight_events

    async def append(self, events: Sequence[Event], headers: tuple[Header, ...] = ()) -> list[Position]:
        """Append events of any types; their positions in the same order.

        Each position is the *next* offset after its event: a projection that has reached it has folded the event.
        Raises BackpressureError when the buffer stays full, LogUnavailableError when nothing was acknowledged in time,
        PartlyAppendedError when only some were.
        """
        return await self.append_encoded([self.encode(event, headers) for event in events])

    def encode(self, event: Event, headers: tuple[Header, ...] = ()) -> Encoded:
        """The record of an event."""
        topic = TOPIC_OF_EVENT[type(event)]
        return Encoded(topic.name, topic.key_of(event).encode(), self._codec.encode(event), None, headers)

    async def append_encoded(self, records: Sequence[Encoded]) -> list[Position]:
        """Append records as they are; see `append`. Records of one partition keep their order."""
        largest = max((len(record.value) for record in records), default=0)
        if largest > self._settings.max_event_bytes:
            raise EventTooLargeError(
                f"an event of {largest} bytes is over the limit of {self._settings.max_event_bytes}; make it smaller"
            )
        async with self._reserved(len(records)):
            return await self._send(records)

    @asynccontextmanager
    async def _reserved(self, count: int) -> AsyncIterator[None]:
        limit = self._settings.max_in_flight_events
        async with self._room:
            try:
                await asyncio.wait_for(
                    self._room.wait_for(lambda: self._in_flight_events == 0 or self._in_flight_events + count <= limit),
                    ROOM_WAIT_S,
                )
            except TimeoutError:
                raise BackpressureError(
                    f"{self._in_flight_events} events wait for the log already; try again", retry_after_s=1.0
                ) from None
            self._in_flight_events += count
        try:
            yield
        finally:
            async with self._room:
                self._in_flight_events -= count
                self._room.notify_all()

    async def _send(self, records: Sequence[Encoded]) -> list[Position]:
        by_partition: dict[tuple[str, int], list[int]] = {}
        for index, record in enumerate(records):
            partition = partition_of(record.key, await self._partitions(record.topic))
            by_partition.setdefault((record.topic, partition), []).append(index)
        positions: list[Position | None] = [None] * len(records)
        outcomes = await asyncio.gather(
            *(
                self._send_partition(topic, partition, indexes, records, positions)
                for (topic, partition), indexes in by_partition.items()
            ),
            return_exceptions=True,
        )
        failures = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
        if failures:
            self._raise_failure(failures[0], positions)
        return [position for position in positions if position is not None]

    def _raise_failure(self, failure: BaseException, positions: list[Position | None]) -> None:
        if not isinstance(failure, (KafkaError, TimeoutError, OSError)):
            raise failure
        if isinstance(failure, MessageSizeTooLargeError):
            raise EventTooLargeError(f"the log refused the size of a record: {failure}") from failure
        if any(position is not None for position in positions):
            raise PartlyAppendedError(positions, repr(failure)) from failure
        raise LogUnavailableError(
            f"the log did not acknowledge within {self._settings.request_timeout_s} s: {failure!r}"
        ) from failure

    async def _partitions(self, topic: str) -> int:
        full_name = self._settings.full_name(topic)
        try:
            found = await asyncio.wait_for(
                self._running.partitions_for(full_name), self._settings.request_timeout_s
            )
        except (KafkaError, TimeoutError, OSError) as error:
            raise LogUnavailableError(f"topic {full_name} cannot be reached: {error!r}") from error
        return len(found)

    async def _send_partition(
        self,
        topic: str,
        partition: int,
        indexes: list[int],
        records: Sequence[Encoded],
        positions: list[Position | None],
    ) -> None:
        """Send one partition's records in order, as few batches as fit, and note their positions."""
        todo = 0
        while todo < len(indexes):
            batch = self._running.create_batch()
            first = todo
            while todo < len(indexes):
                record = records[indexes[todo]]
                timestamp_ms = self._clock_ms() if record.timestamp_ms is None else record.timestamp_ms
                if batch.append(
                    timestamp=timestamp_ms, key=record.key, value=record.value, headers=list(record.headers)
                ) is None:
                    break
                todo += 1
            if todo == first:
                raise EventTooLargeError(f"a record of {len(records[indexes[todo]].value)} bytes fits in no batch")
            batch.close()
            acknowledged = await self._running.send_batch(
                batch, self._settings.full_name(topic), partition=partition
            )
            metadata = await asyncio.wait_for(acknowledged, self._settings.request_timeout_s)
            for place, index in enumerate(indexes[first:todo]):
                positions[index] = Position(topic, partition, metadata.offset + place + 1)

    @property
    def _running(self) -> AIOKafkaProducer:
        if self._producer is None:
            raise LogUnavailableError("the publisher is not started: use `async with Publisher(...)`")
        return self._producer
