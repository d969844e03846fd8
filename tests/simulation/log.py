"""The log in memory, and a reader and a publisher of it for one process.

Partitions, offsets, timestamps and headers are as a broker keeps them. An append may be cut off before or after it took
effect, may succeed in some partitions only, and may be written twice by a client that tries again.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import replace
from random import Random
from typing import Any

from aiokafka.structs import ConsumerRecord

from events.catalogue import TOPICS
from events.codec import Codec
from events.errors import LogUnavailableError
from events.partitioner import partition_of
from events.positions import Partition, Position
from events.publisher import Encoded, Header, PartlyAppendedError, Publisher
from events.reader import LogReader, LogRecord, Range
from events.settings import LogSettings
from tests.simulation.process import Process
from tests.simulation.virtual_time import now_us


class MemoryLog:
    """All topics, by short name, and what the consumer group has acknowledged."""

    def __init__(self, settings: LogSettings) -> None:
        self.settings = settings
        self.partitions: dict[str, list[list[LogRecord]]] = {
            topic: [[] for _ in range(settings.partitions)] for topic in TOPICS
        }
        self.acknowledged: dict[Partition, int] = {}
        self._waiting: defaultdict[tuple[str, int], list[asyncio.Future[None]]] = defaultdict(list)

    def append(self, topic: str, partition: int, record: LogRecord) -> int:
        """Write a record; its offset."""
        held = self.partitions[topic][partition]
        held.append(
            changed(record, topic=self.settings.full_name(topic), partition=partition, offset=len(held))
        )
        self.wake(topic, partition)
        return len(held) - 1

    def end(self, topic: str, partition: int) -> int:
        """High watermark."""
        return len(self.partitions[topic][partition])

    def read(self, topic: str, partition: int, start: int, end: int) -> list[LogRecord]:
        """Records [start, end) that are there."""
        return self.partitions[topic][partition][start:end]

    def records(self, topic: str) -> list[LogRecord]:
        """All records of a topic, partition by partition."""
        return [record for held in self.partitions[topic] for record in held]

    async def changes(self, topic: str, partition: int) -> None:
        """Wait for the next record of a partition, or to be woken."""
        waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[topic, partition].append(waiting)
        await waiting

    def wake(self, topic: str, partition: int) -> None:
        """Let those who wait for a change look again."""
        for waiting in self._waiting.pop((topic, partition), []):
            if not waiting.done():
                waiting.set_result(None)


class MemoryReader(LogReader):
    """Reads the log for one process."""

    def __init__(self, log: MemoryLog, process: Process, random: Random) -> None:
        self._log = log
        self._process = process
        self._random = random

    async def ranges(self, topic: str) -> dict[int, Range]:
        """As LogReader.ranges; nothing is ever deleted from this log."""
        return await self._process.call(
            f"log ranges {topic}",
            lambda: {number: Range(0, len(held)) for number, held in enumerate(self._log.partitions[topic])},
            LogUnavailableError,
        )

    async def read(
        self, topic: str, wanted: Mapping[int, Range]
    ) -> AsyncGenerator[tuple[int, list[LogRecord]], None]:
        """As LogReader.read."""
        places = {number: held.start for number, held in wanted.items() if held.start < held.end}
        while places:
            number = self._random.choice(list(places))
            start = places[number]
            stop = min(wanted[number].end, start + self._random.choice((1, 7, 50, 1000)))
            yield (
                number,
                await self._process.call(
                    f"log read {topic}", self._slice(topic, number, start, stop), LogUnavailableError
                ),
            )
            places[number] = stop
            if stop >= wanted[number].end:
                del places[number]

    def _slice(self, topic: str, number: int, start: int, stop: int) -> Callable[[], list[LogRecord]]:
        return lambda: self._log.read(topic, number, start, stop)


class MemoryPublisher(Publisher):
    """Appends for one process. A batch may be written `twice`, that share of times, by a client that tries again."""

    def __init__(self, log: MemoryLog, codec: Codec, process: Process, random: Random, twice: float) -> None:
        super().__init__(log.settings, codec, lambda: now_us() // 1000)
        self._log = log
        self._process = process
        self._random = random
        self._twice = twice

    async def append_encoded(self, records: Sequence[Encoded]) -> list[Position]:
        """As Publisher.append_encoded: partitions side by side, each in order and in batches of any size."""
        places: dict[tuple[str, int], list[int]] = {}
        for index, record in enumerate(records):
            partition = partition_of(record.key, self._log.settings.partitions)
            places.setdefault((record.topic, partition), []).append(index)
        positions: list[Position | None] = [None] * len(records)
        outcomes = await asyncio.gather(
            *(
                self._send_partition(topic, number, indexes, records, positions)
                for (topic, number), indexes in places.items()
            ),
            return_exceptions=True,
        )
        failures = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
        for failure in failures:
            if not isinstance(failure, LogUnavailableError):
                raise failure
        if failures and any(positions):
            raise PartlyAppendedError(positions, repr(failures[0]))
        if failures:
            raise failures[0]
        return [position for position in positions if position is not None]

    async def _send_partition(
        self,
        topic: str,
        partition: int,
        indexes: list[int],
        records: Sequence[Encoded],
        positions: list[Position | None],
    ) -> None:
        todo = list(indexes)
        while todo:
            batch = todo[: self._random.choice((1, 3, 100))]
            todo = todo[len(batch) :]
            first = await self._process.call(
                f"log append {topic}",
                self._writing(partition, [records[index] for index in batch]),
                LogUnavailableError,
            )
            for place, index in enumerate(batch):
                positions[index] = Position(topic, partition, first + place + 1)

    def _writing(self, partition: int, records: list[Encoded]) -> Callable[[], int]:
        times = 2 if self._random.random() < self._twice else 1
        return lambda: [self._write(partition, records) for _ in range(times)][-1]

    def _write(self, partition: int, records: list[Encoded]) -> int:
        offsets = [
            self._log.append(
                record.topic,
                partition,
                record_of(record.key, record.value, record.timestamp_ms, record.headers),
            )
            for record in records
        ]
        return offsets[0]


def changed(record: LogRecord, **fields: Any) -> LogRecord:
    """The record with other fields."""
    assert isinstance(record, ConsumerRecord)
    other: LogRecord = replace(record, **fields)
    return other


def record_of(
    key: bytes | None, value: bytes | None, timestamp_ms: int | None = None, headers: Sequence[Header] = ()
) -> LogRecord:
    """A record that is not on the log yet; anything may stand in it, as a broken producer would write it."""
    record: LogRecord = ConsumerRecord(
        topic="",
        partition=-1,
        offset=-1,
        timestamp=now_us() // 1000 if timestamp_ms is None else timestamp_ms,
        timestamp_type=0,
        key=key,
        value=value,
        checksum=None,
        serialized_key_size=len(key or b""),
        serialized_value_size=len(value or b""),
        headers=tuple(headers),
    )
    return record
