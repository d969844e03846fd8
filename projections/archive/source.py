"""The archive read as the log is: what it holds of each partition, where a time lies, and the records of ranges."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from events.reader import Batch, LogRecord, Range
from projections.archive.chain import Chain, read_chain
from projections.archive.layout import places_in
from projections.archive.manifest import Manifest
from projections.archive.reading import read_segment
from projections.archive.shelf import Shelf
from projections.errors import ProjectionError

READ_RECORDS = 5_000


class DamagedArchiveError(ProjectionError):
    """Segments are missing, or not what was written: `interlock archive verify` names them all."""


@dataclass(frozen=True, slots=True)
class ArchiveSource:
    """Reads a folder that an archive sink writes. Nothing is written, also while the sink goes on.

    Raises DamagedArchiveError for a partition whose segments are no whole chain; DamagedFileError while a file is read that
    is not to the byte what was written.
    """

    folder: Path

    async def ranges(self, topic: str) -> dict[int, Range]:
        """What is archived of each partition: from where retention has left it to begin, to the last segment's end."""
        chains = await asyncio.to_thread(self._chains, topic)
        return {
            number: Range(chain.segments[0].first_offset, chain.next_offset)
            for number, (_, chain) in chains.items()
            if chain.segments
        }

    async def offsets_at(self, topic: str, time_ms: int) -> dict[int, int]:
        """First offset of each partition whose record is not older than the time; its end when there is none."""
        chains = await asyncio.to_thread(self._chains, topic)
        return {
            number: await asyncio.to_thread(offset_at, shelf, chain, time_ms)
            for number, (shelf, chain) in chains.items()
        }

    async def read(self, topic: str, wanted: Mapping[int, Range]) -> AsyncGenerator[Batch, None]:
        """The records of the ranges, partition by partition. Offsets that the archive does not hold are passed over."""
        chains = await asyncio.to_thread(self._chains, topic)
        for number, held in wanted.items():
            if number not in chains:
                continue
            shelf, chain = chains[number]
            for segment in chain.segments:
                if segment.next_offset <= held.start or segment.first_offset >= held.end:
                    continue
                records = _within(shelf, segment, held)
                while batch := await asyncio.to_thread(_some, records):
                    yield number, batch

    def _chains(self, topic: str) -> dict[int, tuple[Shelf, Chain]]:
        found = {}
        for place in places_in(self.folder):
            if place.topic != topic:
                continue
            shelf = Shelf(self.folder, place)
            chain = read_chain(shelf)
            if chain.findings:
                first = chain.findings[0]
                raise DamagedArchiveError(
                    f"the archive of {place} is damaged: {first.file}: {first.detail}; see `interlock archive verify`"
                )
            found[place.number] = shelf, chain
        return found


def _within(shelf: Shelf, segment: Manifest, held: Range) -> Iterator[LogRecord]:
    return (record for record in read_segment(shelf, segment) if held.start <= record.offset < held.end)


def _some(records: Iterator[LogRecord]) -> list[LogRecord]:
    return list(islice(records, READ_RECORDS))


def offset_at(shelf: Shelf, chain: Chain, time_ms: int) -> int:
    """Only the segment in which the time lies is read."""
    for segment in chain.segments:
        if segment.last_timestamp_ms >= time_ms:
            later = (record.offset for record in read_segment(shelf, segment) if record.timestamp >= time_ms)
            return next(later, segment.next_offset)
    return chain.next_offset
