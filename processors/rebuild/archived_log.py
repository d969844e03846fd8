"""The log with its archive in front: records that the log no longer holds are read from there."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import aclosing, contextmanager
from pathlib import Path

from events.positions import Partition
from events.reader import Batch, LogReader, LogRecord, Range
from events.settings import LogSettings
from processors.rebuild.errors import ArchiveUnusableError
from projections.archive.record_digest import RecordDigest
from projections.archive.source import ArchiveSource
from projections.errors import ProjectionError


class ArchivedLog(LogReader):
    """Reads as a LogReader does. The log is asked first; of the archive, what is before the log's beginning.

    Where both have the first record of the log, it has to be the same one: else ArchiveUnusableError, as when the archive is
    damaged. Where the archive ends before the log begins, the partition begins where the log does.
    """

    def __init__(self, settings: LogSettings, archive: ArchiveSource) -> None:
        super().__init__(settings)
        self._log = LogReader(settings)
        self._archive = archive
        self._archived: dict[str, dict[int, Range]] = {}
        self._compared: set[Partition] = set()

    async def ranges(self, topic: str) -> dict[int, Range]:
        """What can be read of each partition: from where the archive begins, if it reaches up to the log."""
        held = await self._log.ranges(topic)
        archived = await self._before(topic, held)
        return {number: Range(archived.get(number, there).start, there.end) for number, there in held.items()}

    async def offsets_at(self, topic: str, time_ms: int) -> dict[int, int]:
        """First offset of each partition whose record is not older than the time; its end when there is none."""
        held = await self._log.ranges(topic)
        offsets = await self._log.offsets_at(topic, time_ms)
        archived = await self._before(topic, held)
        with _usable():
            before = await self._archive.offsets_at(topic, time_ms) if archived else {}
        return offsets | {
            number: before[number] for number, there in archived.items() if before[number] < there.end
        }

    async def read(self, topic: str, wanted: Mapping[int, Range]) -> AsyncGenerator[Batch, None]:
        """The records of the ranges in order within a partition: first those of the archive, then those of the log."""
        archived = await self._before(topic, await self._log.ranges(topic))
        earlier = {
            number: Range(asked.start, min(asked.end, archived[number].end))
            for number, asked in wanted.items()
            if number in archived and asked.start < archived[number].end
        }
        if earlier:
            with _usable():
                async with aclosing(self._archive.read(topic, earlier)) as batches:
                    async for batch in batches:
                        yield batch
        later = {
            number: Range(max(asked.start, earlier[number].end), asked.end) if number in earlier else asked
            for number, asked in wanted.items()
        }
        async with aclosing(self._log.read(topic, later)) as batches:
            async for batch in batches:
                yield batch

    async def _before(self, topic: str, held: Mapping[int, Range]) -> dict[int, Range]:
        """Of the partitions whose beginning the log has lost and the archive has: what is before the log's beginning."""
        if not any(there.start for there in held.values()):
            return {}
        archived = await self._archived_of(topic, held)
        found = {
            number: Range(archived[number].start, there.start)
            for number, there in held.items()
            if number in archived and archived[number].start < there.start <= archived[number].end
        }
        for number, before in found.items():
            place = Partition(topic, number)
            if place not in self._compared and before.end < min(archived[number].end, held[number].end):
                await self._compare(place, before.end)
                self._compared.add(place)
        return found

    async def _archived_of(self, topic: str, held: Mapping[int, Range]) -> dict[int, Range]:
        """What the archive holds: looked up again only when the log's beginning has moved on beyond that."""
        known = self._archived.get(topic)
        if known is None or any(
            there.start > known[number].end for number, there in held.items() if number in known
        ):
            with _usable():
                known = self._archived[topic] = await self._archive.ranges(topic)
        return known

    async def _compare(self, place: Partition, offset: int) -> None:
        one = {place.number: Range(offset, offset + 1)}
        with _usable():
            archived = await _digest(self._archive.read(place.topic, one))
        if archived != await _digest(self._log.read(place.topic, one)):
            raise ArchiveUnusableError(
                f"the record {place}:{offset} of the archive is not the one of the log: it is the archive of another log"
            )


async def _digest(reading: AsyncGenerator[Batch, None]) -> str:
    digest, records = RecordDigest(), list[LogRecord]()
    async with aclosing(reading) as batches:
        async for _, some in batches:
            records += some
    digest.add(records)
    return digest.text


@contextmanager
def _usable() -> Iterator[None]:
    """What the archive raises, said as a rebuild says it."""
    try:
        yield
    except (ProjectionError, OSError) as error:
        raise ArchiveUnusableError(f"the archive cannot be read: {error}") from error


def log_with(settings: LogSettings, archive: Path | None) -> LogReader:
    """A reader of the log, with the archive of that folder in front when one is named."""
    return LogReader(settings) if archive is None else ArchivedLog(settings, ArchiveSource(archive))
