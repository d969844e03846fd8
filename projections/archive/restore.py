"""The archive put back into an empty log, whole or up to a time: the same partitions, offsets, keys, values, headers and times."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain as chained
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from events.errors import LogUnavailableError
from events.positions import Partition
from events.producer import open_producer, stop_producer
from events.raw_batch import put
from events.settings import LogSettings
from events.until import Until
from projections.archive.manifest import Manifest
from projections.archive.reading import read_segment
from projections.archive.records import ArchivedRecord
from projections.archive.restore_plan import (
    CannotRestoreError,
    LogNotEmptyError,
    Part,
    RestorePlan,
    plan_restore,
)
from projections.archive.restore_proof import prove
from projections.archive.settings import ArchiveSettings
from projections.archive.shelf import Shelf
from projections.errors import ProjectionError

AT_ONCE = 2


@dataclass(frozen=True, slots=True)
class Progress:
    """How much of what is to be restored lies on the log again."""

    records: int
    of_records: int


@dataclass(frozen=True, slots=True)
class Restored:
    """What was put back: the next offset of each partition, how many records were appended, and the bytes of keys and
    values of all that the log holds now.
    """

    ends: Mapping[Partition, int]
    records: int
    log_bytes: int


async def restore(
    archive: ArchiveSettings,
    log: LogSettings,
    progress: Callable[[Progress], None],
    until: Until | None = None,
) -> Restored:
    """Append what the archive holds, as far as it is wanted, to a log whose topics exist.

    The log is empty, or was left by a restore that was broken off: what it holds has to be the archive's first records, and
    what follows is appended. Raises LogNotEmptyError; CannotRestoreError when offsets are missing, a file is not what was
    written, a partition is not there, or a record came to lie at another offset; LogUnavailableError.
    """
    return await carry_out(await plan_restore(archive, log, until), log, progress)


async def carry_out(plan: RestorePlan, log: LogSettings, progress: Callable[[Progress], None]) -> Restored:
    """As `restore`, by a plan that was made before."""
    if plan.refusals:
        raise plan.refusals[0]
    begun = {part.place: part.on_log for part in plan.parts if part.on_log}
    for proved in await prove(plan.parts, begun, log, lambda _: None):
        if not proved.is_equal:
            raise LogNotEmptyError(
                f"{proved.place} at {log.bootstrap} holds records already, and they are not those of the archive "
                f"({proved.differs}): an archive is restored into an empty log only"
            )
    work = _Restoring(log, progress, plan.records)
    await work.run(plan.parts)
    return Restored(
        {part.place: part.end for part in plan.parts}, work.done, sum(part.log_bytes for part in plan.parts)
    )


@dataclass(slots=True)
class _Restoring:
    """The appends of one restore."""

    log: LogSettings
    progress: Callable[[Progress], None]
    of_records: int
    done: int = 0

    async def run(self, parts: Sequence[Part]) -> None:
        turns = asyncio.Semaphore(AT_ONCE)
        producer = await open_producer(self.log)
        try:
            async with asyncio.TaskGroup() as tasks:
                for part in parts:
                    tasks.create_task(self._append_all(producer, turns, part))
        except* ProjectionError as errors:
            raise CannotRestoreError(str(errors.exceptions[0])) from errors.exceptions[0]
        except* (KafkaError, OSError, TimeoutError) as errors:
            raise LogUnavailableError(
                f"the log at {self.log.bootstrap} did not take the archive: {errors.exceptions[0]!r}"
            ) from errors.exceptions[0]
        finally:
            await stop_producer(producer)

    async def _append_all(self, producer: AIOKafkaProducer, turns: asyncio.Semaphore, part: Part) -> None:
        async with turns:
            for segment in part.segments(part.on_log, part.end):
                records = await asyncio.to_thread(_all_of, part.shelf, segment)
                if [record.offset for record in records] != list(
                    range(segment.first_offset, segment.next_offset)
                ):
                    raise CannotRestoreError(f"{part.place}: a file does not hold what its manifest says")
                first = max(0, part.on_log - segment.first_offset)
                await self._append(producer, part.place, records[first : part.end - segment.first_offset])

    async def _append(
        self, producer: AIOKafkaProducer, place: Partition, records: Sequence[ArchivedRecord]
    ) -> None:
        """Append records in batches, one after the other."""
        left = iter(records)
        carried = next(left, None)
        while carried is not None:
            batch = producer.create_batch()
            first, count = carried.offset, 0
            for record in chained([carried], left):
                carried = record
                if not put(batch, record.timestamp, record.key, record.value, record.headers):
                    break
                count += 1
            else:
                carried = None
            if not count:
                raise CannotRestoreError(f"{place}: the record at {first} is too large for the producer")
            await self._send(producer, place, batch, first)
            self.done += count
            self.progress(Progress(self.done, self.of_records))

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
