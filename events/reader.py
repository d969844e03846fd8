"""Read the log by ranges: partitions, from and to offsets or times, and where a topic begins and ends now."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Protocol, TypeVar

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from events.catalogue import topic_named
from events.consumer_stop import stop_consumer
from events.errors import LogUnavailableError
from events.header_names import Header
from events.high_watermarks import high_watermarks
from events.positions import Partition
from events.settings import LogSettings
from events.tolerant_records import TolerantConsumer

T = TypeVar("T")
POLL_MS = 200
NEW_TOPIC_WAIT_S = 1.0
NEW_TOPIC_POLL_S = 0.05
READ_RECORDS = 5_000
FETCH_BYTES = 8 * 2**20
FETCH_WAIT_MS = 1_000


class LogRecord(Protocol):
    """A record as it lies on the log; aiokafka's ConsumerRecord is one. `topic` is the full name."""

    @property
    def topic(self) -> str: ...
    @property
    def partition(self) -> int: ...
    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int:
        """Milliseconds since the epoch, as the producer or the broker set it."""
        ...

    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Sequence[Header]:
        """Names that are not UTF-8 hold surrogates; see events/header_names.py."""
        ...


Batch = tuple[int, list[LogRecord]]
"""Partition number, and records of it in order."""


@dataclass(frozen=True, slots=True)
class Range:
    """Offsets [start, end) of one partition."""

    start: int
    end: int


class LogReader:
    """Reads topics by short name, with no group and no commit. Each read has a connection of its own.

    Iterations hold that connection: leave one early only through `contextlib.aclosing`.
    """

    def __init__(self, settings: LogSettings) -> None:
        self._settings = settings

    async def ranges(self, topic: str) -> dict[int, Range]:
        """What each partition holds now: its first offset and its high watermark."""
        async with self._consumer(topic) as (consumer, places):
            return await self._held(consumer, places)

    async def ends(self, topic: str) -> dict[int, int]:
        """High watermark of each partition: the offset that the next append gets."""
        return {partition: held.end for partition, held in (await self.ranges(topic)).items()}

    async def range_of(self, place: Partition) -> Range:
        """What the log holds of one partition; nothing when it has none of that number."""
        return (await self.ranges(place.topic)).get(place.number, Range(0, 0))

    async def offsets_at(self, topic: str, time_ms: int) -> dict[int, int]:
        """First offset of each partition whose record is not older than the time; its end when there is none.

        Searched by halving over the records' own timestamps: a broker may answer ListOffsets by its own clock (the
        embedded one does). Timestamps are taken to rise with the offsets.
        """
        async with self._consumer(topic) as (consumer, places):
            held = await self._held(consumer, places)
            consumer.assign(places)
            consumer.pause(*places)
            return {
                place.partition: await self._search(consumer, place, held[place.partition], time_ms)
                for place in places
            }

    async def _search(
        self, consumer: AIOKafkaConsumer, place: TopicPartition, held: Range, time_ms: int
    ) -> int:
        low, high = held.start, held.end
        consumer.resume(place)
        while low < high:
            middle = (low + high) // 2
            consumer.seek(place, middle)
            record: LogRecord = await self._bounded(consumer.getone(place))
            if record.timestamp >= time_ms:
                high = middle
            else:
                low = record.offset + 1
        consumer.pause(place)
        return low

    async def read(self, topic: str, wanted: Mapping[int, Range]) -> AsyncGenerator[Batch, None]:
        """The records of the ranges, in order within a partition, as (partition, records).

        Offsets that the log no longer holds are passed over. Raises LogUnavailableError when no record comes for
        `request_timeout_s` though a range is not finished.
        """
        open_ranges = {number: held for number, held in wanted.items() if held.start < held.end}
        if not open_ranges:
            return
        async with self._consumer(topic) as (consumer, known):
            places = {place.partition: place for place in known if place.partition in open_ranges}
            if absent := open_ranges.keys() - places.keys():
                raise LogUnavailableError(f"topic {topic} has no partition {sorted(absent)}")
            consumer.assign(list(places.values()))
            for number, held in open_ranges.items():
                consumer.seek(places[number], held.start)
            async for batch in self._drain(consumer, open_ranges, places):
                yield batch

    async def _drain(
        self, consumer: TolerantConsumer, open_ranges: dict[int, Range], places: dict[int, TopicPartition]
    ) -> AsyncGenerator[Batch, None]:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._settings.request_timeout_s
        while open_ranges:
            fetched = await consumer.getmany(
                *(places[number] for number in open_ranges), timeout_ms=POLL_MS, max_records=READ_RECORDS
            )
            if not fetched and loop.time() > deadline:
                raise LogUnavailableError(
                    f"no record came for {self._settings.request_timeout_s} s; still to read: {open_ranges}"
                )
            if not fetched:
                _check_damage(consumer)
            for place, records in fetched.items():
                end = open_ranges[place.partition].end
                within = records if records[-1].offset < end else [r for r in records if r.offset < end]
                if within:
                    yield place.partition, within
            if fetched:
                # Counted from when the caller is done with them: it may take its time.
                deadline = loop.time() + self._settings.request_timeout_s
            for number in list(open_ranges):
                if await self._bounded(consumer.position(places[number])) >= open_ranges[number].end:
                    del open_ranges[number]
                    consumer.pause(places[number])

    async def tail(self, topic: str, starts: Mapping[int, int]) -> AsyncGenerator[Batch, None]:
        """Records from the given offsets on, for as long as the caller iterates; a partition without one from 0.

        Raises LogUnavailableError when the broker no longer answers.
        """
        loop = asyncio.get_running_loop()
        async with self._consumer(topic) as (consumer, places):
            consumer.assign(places)
            for place in places:
                consumer.seek(place, starts.get(place.partition, 0))
            ask_at = loop.time() + self._settings.request_timeout_s
            while True:
                fetched = await consumer.getmany(timeout_ms=POLL_MS, max_records=READ_RECORDS)
                for place, records in fetched.items():
                    yield place.partition, records
                if not fetched:
                    _check_damage(consumer)
                if not fetched and loop.time() < ask_at:
                    continue
                if not fetched:
                    # A quiet log and one that is away look the same to a fetch.
                    await self._bounded(consumer.end_offsets(places))
                ask_at = loop.time() + self._settings.request_timeout_s

    async def _held(self, consumer: AIOKafkaConsumer, places: list[TopicPartition]) -> dict[int, Range]:
        starts = await self._bounded(consumer.beginning_offsets(places))
        ends = await self._bounded(high_watermarks(consumer, places))
        return {place.partition: Range(starts[place], ends[place]) for place in places}

    @asynccontextmanager
    async def _consumer(self, topic: str) -> AsyncIterator[tuple[TolerantConsumer, list[TopicPartition]]]:
        full_name = self._settings.full_name(topic_named(topic).name)
        consumer = TolerantConsumer(
            bootstrap_servers=self._settings.bootstrap,
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            fetch_max_wait_ms=1000,
            max_partition_fetch_bytes=FETCH_BYTES,
            request_timeout_ms=int(self._settings.request_timeout_s * 1000),
        )
        try:
            await self._bounded(consumer.start())
            yield consumer, await self._places(consumer, full_name)
        except (KafkaError, OSError) as error:
            raise LogUnavailableError(
                f"the log at {self._settings.bootstrap} cannot be read: {error!r}"
            ) from error
        finally:
            await stop_consumer(consumer)

    async def _places(self, consumer: AIOKafkaConsumer, full_name: str) -> list[TopicPartition]:
        """The topic's partitions. A client hears of topics only when it asks, and a broker of a new one a moment after its
        creation was answered.
        """
        deadline, pause_s = asyncio.get_running_loop().time() + NEW_TOPIC_WAIT_S, 0.0
        while not (numbers := consumer.partitions_for_topic(full_name)):
            if asyncio.get_running_loop().time() > deadline:
                raise LogUnavailableError(
                    f"no topic {full_name} at {self._settings.bootstrap}: create it with `interlock topics create`"
                )
            await asyncio.sleep(pause_s)
            pause_s = NEW_TOPIC_POLL_S
            # The public calls answer from what the client has heard already.
            await self._bounded(consumer._client.force_metadata_update())  # noqa: SLF001
        return [TopicPartition(full_name, number) for number in sorted(numbers)]

    async def _bounded(self, awaitable: Awaitable[T]) -> T:
        try:
            async with asyncio.timeout(self._settings.request_timeout_s):
                return await awaitable
        except TimeoutError as error:
            raise LogUnavailableError(
                f"the log did not answer within {self._settings.request_timeout_s} s"
            ) from error


def _check_damage(consumer: TolerantConsumer) -> None:
    if consumer.damage is not None:
        raise LogUnavailableError(consumer.damage)
