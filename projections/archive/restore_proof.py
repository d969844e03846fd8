"""Whether the log holds what the archive does: both are read, and their digests compared.

The archive's files are held to the SHA-256 of their manifests when they are read, so a log with the same digest holds what was
archived, to the byte.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from events.positions import Partition
from events.reader import LogReader, LogRecord, Range
from events.settings import LogSettings
from projections.archive.avro_file import DamagedFileError
from projections.archive.reading import read_log, read_segment
from projections.archive.record_digest import RecordDigest
from projections.archive.records import ArchivedRecord
from projections.archive.restore_plan import CannotRestoreError, Part

AT_ONCE = 2


@dataclass(frozen=True, slots=True)
class Proved:
    """The records [0, next_offset) of a partition. `differs` says where both part ways, if they do."""

    place: Partition
    next_offset: int
    archive_sha256: str
    log_sha256: str
    differs: str | None

    @property
    def is_equal(self) -> bool:
        """Whether the log has what the archive has."""
        return self.differs is None


async def prove(
    parts: Sequence[Part],
    ends: Mapping[Partition, int],
    log: LogSettings,
    progress: Callable[[int], None],
) -> list[Proved]:
    """Compare the records [0, end) of each partition that is named. `progress` gets how many more were compared.

    Raises LogUnavailableError; CannotRestoreError when a file of the archive is damaged.
    """
    wanted = [part for part in parts if part.place in ends]
    reader, turns = LogReader(log), asyncio.Semaphore(AT_ONCE)
    held = {topic: await reader.ranges(topic) for topic in {part.place.topic for part in wanted}}

    async def one(part: Part) -> Proved:
        async with turns:
            on_log = held[part.place.topic].get(part.place.number, Range(0, 0))
            return await _compared(reader, part, ends[part.place], on_log, progress)

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(part)) for part in wanted]
    except ExceptionGroup as failed:
        first = failed.exceptions[0]
        raise (CannotRestoreError(str(first)) if isinstance(first, DamagedFileError) else first) from None
    return [task.result() for task in tasks]


async def _compared(
    reader: LogReader, part: Part, end: int, held: Range, progress: Callable[[int], None]
) -> Proved:
    archived, on_log, differs = RecordDigest(), RecordDigest(), None
    for segment in part.segments(0, end):
        wanted = Range(segment.first_offset, min(segment.next_offset, end))
        theirs = await asyncio.to_thread(
            lambda: [one for one in read_segment(part.shelf, segment) if one.offset < wanted.end]  # noqa: B023
        )
        there = Range(max(wanted.start, held.start), min(wanted.end, held.end))
        ours = await read_log(reader, part.place, there)
        archived.add(theirs)
        on_log.add(ours)
        if differs is None and archived.text != on_log.text:
            differs = _where(theirs, ours)
        progress(len(theirs))
    return Proved(part.place, end, archived.text, on_log.text, differs)


def _where(theirs: Sequence[ArchivedRecord], ours: Sequence[LogRecord]) -> str:
    """The first record that is not the same."""
    by_offset = {record.offset: record for record in ours}
    for record in theirs:
        other = by_offset.get(record.offset)
        if other is None:
            return f"the log has no record at {record.offset}"
        alone, its = RecordDigest(), RecordDigest()
        alone.add([record])
        its.add([other])
        if alone.text != its.text:
            return f"the record at {record.offset} is another one"
    return "the log has records between them that the archive has not"
