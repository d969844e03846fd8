"""Append events to the log: bounded, acknowledged by all in-sync replicas, answered with positions."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Self

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, MessageSizeTooLargeError, RecordListTooLargeError

from events.catalogue import TOPIC_OF_EVENT, Topic
from events.codec import Codec
from events.compiled_reader import Record
from events.encoded import Encoded
from events.envelope import Event
from events.errors import EventsError, EventTooLargeError, LogUnavailableError
from events.header_names import Header
from events.in_flight import InFlight
from events.lane import Lane, Part
from events.partitioner import partition_of
from events.positions import Position
from events.producer import is_final, open_producer, stop_producer
from events.settings import LogSettings

__all__ = ["Encoded", "Header", "PartlyAppendedError", "Publisher", "wall_clock_ms"]

Place = tuple[str, int]
"""Short name of a topic, and a partition of it."""


def wall_clock_ms() -> int:
    """Milliseconds since the epoch by this machine's clock."""
    return time.time_ns() // 1_000_000


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

    def __init__(
        self, settings: LogSettings, codec: Codec, clock_ms: Callable[[], int] = wall_clock_ms
    ) -> None:
        self._settings = settings
        self._codec = codec
        self._clock_ms = clock_ms
        self._producer: AIOKafkaProducer | None = None
        self._lanes: dict[Place, Lane] = {}
        self._broken = False
        self._renewing = asyncio.Lock()
        self._in_flight = InFlight(settings.max_in_flight_events, settings.max_in_flight_bytes)

    async def __aenter__(self) -> Self:
        self._producer = await open_producer(self._settings)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._close()

    async def _close(self) -> None:
        producer, self._producer = self._producer, None
        lanes, self._lanes = self._lanes, {}
        await asyncio.gather(*(lane.close() for lane in lanes.values()))
        if producer is not None:
            await stop_producer(producer)

    async def _renew(self) -> None:
        """A producer that met an error it does not get over refuses everything from then on: take another."""
        async with self._renewing:
            if self._broken:
                await self._close()
                self._producer = await open_producer(self._settings)
                self._broken = False

    @property
    def in_flight_events(self) -> int:
        """Records that wait for their acknowledgement."""
        return self._in_flight.records

    async def append(self, events: Sequence[Event], headers: tuple[Header, ...] = ()) -> list[Position]:
        """Append events of any types; their positions in the same order.

        Each position is the *next* offset after its event: a projection that has reached it has folded the event.
        Raises BackpressureError when the buffer stays full, LogUnavailableError when nothing was acknowledged in time,
        PartlyAppendedError when only some were. What was not acknowledged may still come to lie on the log.
        """
        return await self.append_encoded([self.encode(event, headers) for event in events])

    def encode(self, event: Event, headers: tuple[Header, ...] = ()) -> Encoded:
        """The record of an event."""
        topic = TOPIC_OF_EVENT[type(event)]
        return Encoded(topic.name, topic.key_of(event).encode(), self._codec.encode(event), None, headers)

    def encode_record(self, topic: Topic, record: Record, headers: tuple[Header, ...]) -> Encoded:
        """The same of an event's plain values, one for each field: the event itself need not be made."""
        key = str(record[topic.key_field]).encode()
        return Encoded(topic.name, key, self._codec.encode_record(topic, record), None, headers)

    async def append_encoded(self, records: Sequence[Encoded]) -> list[Position]:
        """Append records as they are; see `append`. Records of one partition keep their order."""
        sizes = [record.size for record in records]
        if max(sizes, default=0) > self._settings.max_event_bytes:
            raise EventTooLargeError(
                f"an event of {max(sizes)} bytes is over the limit of {self._settings.max_event_bytes}; make it smaller"
            )
        async with self._in_flight.hold(len(records), sum(sizes)):
            return await self._send(records)

    async def _send(self, records: Sequence[Encoded]) -> list[Position]:
        positions: list[Position | None] = [None] * len(records)
        sent: list[tuple[Place, list[int], Part]] = []
        try:
            async with asyncio.timeout(self._settings.request_timeout_s):
                if self._broken:
                    await self._renew()
                for place, indexes in (await self._places(records)).items():
                    part = Part([records[index] for index in indexes])
                    self._lane(place).put(part)
                    sent.append((place, indexes, part))
                outcomes = await asyncio.gather(*(part.done for _, _, part in sent), return_exceptions=True)
            failures = [outcome for outcome in outcomes if outcome is not None]
        except (KafkaError, TimeoutError, OSError) as error:
            failures = [error]
        for (topic, partition), indexes, part in sent:
            for index, offset in zip(indexes, part.offsets, strict=False):
                positions[index] = Position(topic, partition, offset + 1)
        if failures:
            self._raise_failure(failures, positions)
        return [position for position in positions if position is not None]

    async def _places(self, records: Sequence[Encoded]) -> dict[Place, list[int]]:
        """Indexes in `records` by topic and partition, in order."""
        producer = self._running
        counts = {
            topic: len(await producer.partitions_for(self._settings.full_name(topic)))
            for topic in {record.topic for record in records}
        }
        places: dict[Place, list[int]] = {}
        for index, record in enumerate(records):
            place = (record.topic, partition_of(record.key, counts[record.topic]))
            places.setdefault(place, []).append(index)
        return places

    def _lane(self, place: Place) -> Lane:
        lane = self._lanes.get(place)
        if lane is None:
            full_name = self._settings.full_name(place[0])
            lane = Lane(self._running, full_name, place[1], self._clock_ms, self._settings)
            self._lanes[place] = lane
        return lane

    def _raise_failure(self, failures: list[BaseException], positions: list[Position | None]) -> None:
        """The worst of what happened: what no retry mends, then what was partly done, then that nothing was."""
        for failure in failures:
            if isinstance(failure, (MessageSizeTooLargeError, RecordListTooLargeError)):
                raise EventTooLargeError(f"the log refused the size of a record: {failure!r}") from failure
        self._broken = self._broken or any(is_final(failure) for failure in failures)
        cause = failures[0]
        if any(position is not None for position in positions):
            raise PartlyAppendedError(positions, repr(cause)) from cause
        raise LogUnavailableError(
            f"the log did not acknowledge within {self._settings.request_timeout_s} s: {cause!r}"
        ) from cause

    @property
    def _running(self) -> AIOKafkaProducer:
        if self._producer is None:
            raise LogUnavailableError("the publisher is not started: use `async with Publisher(...)`")
        return self._producer
