"""Records of the old log appended to the new one: each once, in the order of its old partition, with what names places translated."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from typing import NamedTuple, Self

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from events.carried import Place, with_origin
from events.catalogue import TOPICS
from events.codec import Codec
from events.errors import InvalidEventError, LogUnavailableError
from events.header_names import Header
from events.lane import Lane, Part
from events.positions import Partition
from events.producer import open_producer, stop_producer
from events.publisher import wall_clock_ms
from events.reader import LogReader, LogRecord, Range
from events.settings import LogSettings
from processors.rebuild.pace import Pace
from processors.repartition.merged import Ticked, merged
from processors.repartition.placing import placed
from processors.repartition.translate import TRANSLATED, Whereabouts, translated
from processors.repartition.whereabouts import Known


class Carried(NamedTuple):
    """A record as it is appended to the new log."""

    key: bytes | None
    value: bytes | None
    timestamp_ms: int
    headers: tuple[Header, ...]


@dataclass(frozen=True, slots=True)
class Logs:
    """The log that is carried and the one that it is carried into. `reader` reads the old one, with its archive if there is one."""

    old: LogSettings
    new: LogSettings
    reader: LogReader
    old_codec: Codec
    new_codec: Codec


@dataclass(slots=True)
class Carrying:
    """Carries topic after topic. `next_offsets` is how far each old partition was read, `clocks_ms` its fold's clock there.

    `moved` is given how many records more were dealt with.
    """

    logs: Logs
    known: Known
    pace: Pace
    moved: Callable[[int], None]
    producer: AIOKafkaProducer

    next_offsets: dict[Partition, int] = field(default_factory=dict)
    clocks_ms: dict[Partition, int] = field(default_factory=dict)
    records: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))
    """Of the old log, by topic: carried, now or before."""
    appended: int = 0
    _lanes: dict[tuple[str, int], Lane] = field(default_factory=dict)

    @classmethod
    @asynccontextmanager
    async def opened(
        cls, logs: Logs, known: Known, pace: Pace, moved: Callable[[int], None]
    ) -> AsyncIterator[Self]:
        """With a producer of its own."""
        producer = await open_producer(logs.new)
        carrying = cls(logs, known, pace, moved, producer)
        try:
            yield carrying
        finally:
            await asyncio.gather(*(lane.close() for lane in carrying._lanes.values()))
            await stop_producer(producer)

    async def carry(self, topic: str, ends: Mapping[int, int], before_ms: int | None = None) -> int:
        """Carry a topic's partitions up to these ends, or up to the first record of each whose clock is not before a time.

        How many were carried. LogUnavailableError: not all of them were acknowledged; the next run goes on from what was.
        """
        places = {number: Partition(topic, number) for number in ends}
        wanted = {
            number: Range(self.next_offsets.get(place, 0), ends[number]) for number, place in places.items()
        }
        clocks_ms = {number: self.clocks_ms.get(place, 0) for number, place in places.items()}
        dealt = 0
        async with aclosing(merged(self.logs.reader, topic, wanted, clocks_ms)) as chunks:
            async for chunk in chunks:
                some = [one for one in chunk if before_ms is None or one.clock_ms < before_ms]
                step = self.pace.most(len(some)) or 1
                for first in range(0, len(some), step):
                    await self._append(topic, some[first : first + step])
                dealt += len(some)
                if len(some) < len(chunk):
                    break
        if before_ms is None:
            self.next_offsets.update({places[number]: end for number, end in ends.items()})
        return dealt

    async def _append(self, topic: str, chunk: Sequence[Ticked]) -> None:
        """Those that do not lie there yet, one batch under way in each partition; then all of them are noted."""
        parts: dict[int, tuple[list[Place], list[Carried]]] = {}
        for clock_ms, record in chunk:
            number, carried = self._carried(topic, record, clock_ms)
            origin = Place(record.partition, record.offset)
            if not self.known.is_carried(topic, origin, number):
                origins, records = parts.setdefault(number, ([], []))
                origins.append(origin)
                records.append(carried)
        await self.pace.take(sum(len(records) for _, records in parts.values()))
        sent = {number: Part(records) for number, (_, records) in parts.items()}
        for number, part in sent.items():
            self._lane(topic, number).put(part)
        try:
            await asyncio.gather(*(part.done for part in sent.values()))
        except (KafkaError, OSError, TimeoutError) as error:
            raise LogUnavailableError(
                f"{self.logs.new.full_name(topic)} did not take what was carried ({error!r}); run it again, it goes on"
            ) from error
        for number, part in sent.items():
            for origin, offset in zip(parts[number][0], part.offsets, strict=True):
                self.known.note(topic, origin, Place(number, offset))
        for clock_ms, record in chunk:
            place = Partition(topic, record.partition)
            self.next_offsets[place], self.clocks_ms[place] = record.offset + 1, clock_ms
        self.records[topic] += len(chunk)
        self.appended += sum(len(part.records) for part in sent.values())
        self.moved(len(chunk))

    def _carried(self, topic: str, record: LogRecord, clock_ms: int) -> tuple[int, Carried]:
        key, value = record.key, record.value
        if topic in TRANSLATED:
            key, value = self._translated(topic, record)
        number, key = self._placed(record, key)
        origin = Place(record.partition, record.offset)
        return number, Carried(key, value, clock_ms, with_origin(record.headers, origin))

    def _translated(self, topic_name: str, record: LogRecord) -> tuple[bytes | None, bytes | None]:
        """Key and value. Bytes that are no event stay as they are."""
        topic = TOPICS[topic_name]
        try:
            event = self.logs.old_codec.decode(topic, record.value)
        except InvalidEventError:
            return record.key, record.value
        there, _ = self._placed(record, record.key)

        def outcomes(offset: int) -> int:
            return self.known.outcomes_offset(record.partition, there, offset)

        said = translated(event, Whereabouts(self.logs.old, self.logs.new, self.known.lettered, outcomes))
        if said == event:
            return record.key, record.value
        has_its_key = record.key == topic.key_of(event).encode()
        return topic.key_of(said).encode() if has_its_key else record.key, self.logs.new_codec.encode(said)

    def _placed(self, record: LogRecord, key: bytes | None) -> tuple[int, bytes | None]:
        return placed(record.key, key, record.partition, self.logs.old.partitions, self.logs.new.partitions)

    def _lane(self, topic: str, number: int) -> Lane:
        lane = self._lanes.get((topic, number))
        if lane is None:
            full_name = self.logs.new.full_name(topic)
            lane = Lane(self.producer, full_name, number, wall_clock_ms, self.logs.new)
            self._lanes[topic, number] = lane
        return lane
