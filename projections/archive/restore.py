"""The whole archive put back into an empty log: the same partitions, offsets, keys, values, headers and times."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain as chained
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from events.catalogue import TOPICS
from events.errors import LogUnavailableError
from events.positions import Partition
from events.producer import open_producer, stop_producer
from events.reader import LogReader
from events.settings import LogSettings
from projections.archive.chain import Chain, Finding, read_chain
from projections.archive.layout import places_in
from projections.archive.manifest import Manifest
from projections.archive.reading import read_segment
from projections.archive.records import ArchivedRecord
from projections.archive.settings import ArchiveSettings
from projections.archive.shelf import Shelf
from projections.errors import ProjectionError

AT_ONCE = 2


class CannotRestoreError(ProjectionError):
    """The archive does not make up a whole log, or the log has no room for it: nothing was appended, or say what was."""


class LogNotEmptyError(CannotRestoreError):
    """The log holds records already."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How much of the archive lies on the log again."""

    records: int
    of_records: int


@dataclass(frozen=True, slots=True)
class Restored:
    """What was put back: the next offset of each partition, and how many records and bytes of keys and values in all."""

    ends: Mapping[Partition, int]
    records: int
    log_bytes: int


async def restore(
    archive: ArchiveSettings, log: LogSettings, progress: Callable[[Progress], None]
) -> Restored:
    """Append all that the archive holds to a log whose topics exist and are empty.

    Raises LogNotEmptyError; CannotRestoreError when offsets are missing, a file is not what was written, a partition is not
    there, or a record came to lie at another offset; LogUnavailableError. After an error while records are appended the
    log is a part of what it was: throw it away.
    """
    if archive.folder is None:
        raise CannotRestoreError("no folder of an archive: set INTERLOCK_ARCHIVE__FOLDER")
    folder = archive.folder
    shelves = {place: Shelf(folder, place) for place in places_in(folder)}
    chains = await asyncio.to_thread(lambda: {place: read_chain(shelf) for place, shelf in shelves.items()})
    chains = {place: chain for place, chain in chains.items() if chain.segments or chain.findings}
    _check_chains(chains.values())
    await _check_log(log, chains)
    work = _Restoring(log, progress, sum(_records(chain) for chain in chains.values()))
    await work.run([(shelves[place], chain) for place, chain in chains.items()])
    return Restored(
        {place: chain.next_offset for place, chain in chains.items()},
        work.done,
        sum(segment.log_bytes for chain in chains.values() for segment in chain.segments),
    )


def _records(chain: Chain) -> int:
    return sum(segment.records for segment in chain.segments)


def _check_chains(chains: Collection[Chain]) -> None:
    findings: list[Finding] = [finding for chain in chains for finding in chain.findings]
    if findings:
        named = "; ".join(f"{one.file}: {one.detail}" for one in findings[:5])
        raise CannotRestoreError(
            f"{len(findings)} faults in the archive, see `interlock archive verify`: {named}"
        )
    for chain in chains:
        for segment in chain.segments:
            missing = segment.next_offset - segment.first_offset - segment.records
            if missing:
                raise CannotRestoreError(
                    f"of {chain.place} the log itself lacked {missing} records between {segment.first_offset} and "
                    f"{segment.next_offset} (transactions or deletion), so later ones would get other offsets"
                )


async def _check_log(log: LogSettings, chains: Mapping[Partition, Chain]) -> None:
    reader = LogReader(log)
    for topic in TOPICS:
        ranges = await reader.ranges(topic)
        if held := sorted(number for number, there in ranges.items() if there.end):
            raise LogNotEmptyError(
                f"{topic} at {log.bootstrap} holds records already, in the partitions {held}: an archive is restored into "
                "an empty log only"
            )
        wanted = {place.number for place in chains if place.topic == topic}
        if absent := sorted(wanted - ranges.keys()):
            raise CannotRestoreError(
                f"{topic} has no partitions {absent}, and the archive does: create it with as many as it had"
            )


@dataclass(slots=True)
class _Restoring:
    """The appends of one restore."""

    log: LogSettings
    progress: Callable[[Progress], None]
    of_records: int
    done: int = 0

    async def run(self, sources: Sequence[tuple[Shelf, Chain]]) -> None:
        turns = asyncio.Semaphore(AT_ONCE)
        producer = await open_producer(self.log)
        try:
            async with asyncio.TaskGroup() as tasks:
                for shelf, chain in sources:
                    tasks.create_task(self._append_all(producer, turns, shelf, chain))
        except* ProjectionError as errors:
            raise CannotRestoreError(str(errors.exceptions[0])) from errors.exceptions[0]
        except* (KafkaError, OSError, TimeoutError) as errors:
            raise LogUnavailableError(
                f"the log at {self.log.bootstrap} did not take the archive: {errors.exceptions[0]!r}"
            ) from errors.exceptions[0]
        finally:
            await stop_producer(producer)

    async def _append_all(
        self, producer: AIOKafkaProducer, turns: asyncio.Semaphore, shelf: Shelf, chain: Chain
    ) -> None:
        async with turns:
            expected = 0
            for segment in chain.segments:
                records = await asyncio.to_thread(_all_of, shelf, segment)
                if [record.offset for record in records] != list(range(expected, segment.next_offset)):
                    raise CannotRestoreError(f"{shelf.place}: a file does not hold what its manifest says")
                expected = await self._append(producer, shelf.place, records)

    async def _append(
        self, producer: AIOKafkaProducer, place: Partition, records: Sequence[ArchivedRecord]
    ) -> int:
        """Append records in batches, one after the other; the offset after the last."""
        left = iter(records)
        carried = next(left, None)
        while carried is not None:
            batch = producer.create_batch()
            first, count = carried.offset, 0
            for record in chained([carried], left):
                carried = record
                if not _put(batch, record):
                    break
                count += 1
            else:
                carried = None
            if not count:
                raise CannotRestoreError(f"{place}: the record at {first} is too large for the producer")
            await self._send(producer, place, batch, first)
            self.done += count
            self.progress(Progress(self.done, self.of_records))
        return records[-1].offset + 1 if records else 0

    async def _send(self, producer: AIOKafkaProducer, place: Partition, batch: Any, first: int) -> None:
        batch.close()
        async with asyncio.timeout(self.log.request_timeout_s):
            full_name = self.log.full_name(place.topic)
            acknowledged = await producer.send_batch(batch, full_name, partition=place.number)
            offset = (await acknowledged).offset
        if offset != first:
            raise CannotRestoreError(
                f"{place}: the record that was at {first} came to lie at {offset}: somebody else appends"
            )


def _all_of(shelf: Shelf, segment: Manifest) -> list[ArchivedRecord]:
    return list(read_segment(shelf, segment))


def _put(batch: Any, record: ArchivedRecord) -> bool:
    """Whether the batch had room for it."""
    put = batch.append(
        timestamp=record.timestamp, key=record.key, value=record.value, headers=list(record.headers)
    )
    return put is not None
