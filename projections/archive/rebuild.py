"""Damaged segments built anew out of the log, where it still holds their offsets.

The same records give the same file to the byte, so mostly the manifest stays and proves it. A merged segment, or one made by
another version of a compressor, comes out as another file with the same records: it gets a manifest that holds the old one,
and what that says of the records is checked. Only where a manifest itself is lost is there nothing to check against but its
hash in the next one.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, replace

from events.positions import Partition
from events.reader import LogReader, LogRecord, Range
from events.settings import LogSettings
from projections.archive.avro_file import AvroFile, DamagedFileError
from projections.archive.chain import Fault, Finding, read_chain
from projections.archive.encoding import Forms
from projections.archive.layout import day_of
from projections.archive.manifest import DamagedManifestError, Manifest
from projections.archive.reading import read_log
from projections.archive.segment import Closed, Segment
from projections.archive.settings import ArchiveSettings, Codec, Layout
from projections.archive.shelf import Shelf
from projections.archive.sink import forms_of
from projections.archive.verify import check_content
from projections.errors import SinkUnavailableError

REBUILDABLE = (Fault.TORN, Fault.ALTERED, Fault.MISSING)
_EPOCH = re.compile(r"-e([0-9]+)\.avro$")


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What became of a damaged range of offsets. `refused` says why it stays as it is, if so."""

    place: Partition
    first_offset: int
    next_offset: int
    refused: str | None = None


async def rebuild(settings: ArchiveSettings, log: LogSettings, findings: Sequence[Finding]) -> list[Rebuilt]:
    """Build anew what the findings name. Raises LogUnavailableError when the log cannot be asked."""
    if settings.folder is None:
        raise SinkUnavailableError("no folder of an archive: set INTERLOCK_ARCHIVE__FOLDER")
    reader, done = LogReader(log), []
    extents = {
        (one.place, one.first_offset, one.next_offset)
        for one in findings
        if one.fault in REBUILDABLE and one.first_offset < one.next_offset
    }
    with ThreadPoolExecutor(2, "archive-compressor") as compressor:
        for place, first, end in sorted(extents):
            held = await reader.range_of(place)
            if held.start > first or held.end < end:
                refused = f"the log holds {held.start} to before {held.end} only"
                done.append(Rebuilt(place, first, end, refused))
                continue
            records = await read_log(reader, place, Range(first, end))
            work = _Rebuilding(Shelf(settings.folder, place), settings, log, compressor)
            done.append(await asyncio.to_thread(work.run, first, end, records))
    return done


@dataclass(frozen=True, slots=True)
class _Rebuilding:
    """One range of one partition. Waits for the disk."""

    shelf: Shelf
    settings: ArchiveSettings
    log: LogSettings
    compressor: Executor

    def run(self, first: int, end: int, records: Sequence[LogRecord]) -> Rebuilt:
        with self.shelf.locked():
            try:
                before = self.shelf.manifest(first)
            except (FileNotFoundError, DamagedManifestError):
                before = None
            if before is not None and before.next_offset != end:
                return Rebuilt(self.shelf.place, first, end, "the archive has changed meanwhile")
            try:
                if before is not None:
                    self._files_anew(before, records)
                else:
                    self._manifest_anew(first, end, records)
            except (DamagedFileError, OSError) as error:
                return Rebuilt(self.shelf.place, first, end, str(error))
        return Rebuilt(self.shelf.place, first, end)

    def _files_anew(self, before: Manifest, records: Sequence[LogRecord]) -> None:
        layout = next((part.split("=")[0] for file in before.files if (part := file.part)), Layout.PLAIN)
        settings = self.settings.model_copy(
            update={"codec": Codec(before.codec), "zstd_level": before.level, "layout": Layout(layout)}
        )
        closed = self._closed(before, settings, records)
        if closed.manifest.files == before.files:
            closed.put(self.shelf.folder)
            return
        anew = closed.manifest.standing_for((before,))
        for file, chunks in zip(anew.files, closed.contents.values(), strict=True):
            read = AvroFile.of(file.path, b"".join(chunks))
            check_content(anew, file, b"".join(block.content for block in read.blocks()))
        closed.put(self.shelf.folder)
        self.shelf.replace(anew)

    def _manifest_anew(self, first: int, end: int, records: Sequence[LogRecord]) -> None:
        segments = read_chain(self.shelf).segments
        before = next((one for one in segments if one.next_offset == first), None)
        after = next((one for one in segments if one.first_offset == end), None)
        if before is None and first:
            raise DamagedFileError(f"the segment before {first} has to be rebuilt first")
        previous = before.tail if before else None
        told = after.leaves[0].previous if after else None
        made = [self._made(first, previous, epoch, records) for epoch in self._epochs(first, end)]
        closed = next((one for one in made if one.manifest.hash == told), made[0])
        if told is not None and closed.manifest.hash != told:
            closed = replace(closed, manifest=replace(closed.manifest, mends=told))
        closed.put(self.shelf.folder)
        self.shelf.replace(closed.manifest)

    def _epochs(self, first: int, end: int) -> list[int]:
        """Those that files of the range tell of, by which a lost manifest comes out as it was."""
        names = (path.name for path in self.shelf.data_files())
        found = {
            int(match[1])
            for name in names
            if name.startswith(f"{first:020d}-{end:020d}-") and (match := _EPOCH.search(name))
        }
        return sorted(found) or [0]

    def _made(self, first: int, previous: str | None, epoch: int, records: Sequence[LogRecord]) -> Closed:
        segment = self._segment(first, day_of(records[0].timestamp), previous, self.settings)
        segment.add(records)
        return segment.closed(epoch)

    def _closed(self, before: Manifest, settings: ArchiveSettings, records: Sequence[LogRecord]) -> Closed:
        """The segment as it was closed at first, unless several were merged."""
        day = day_of(records[0].timestamp)
        segment = self._segment(before.first_offset, day, before.leaves[0].previous, settings)
        segment.add(records)
        return segment.closed(before.epoch)

    def _segment(self, first: int, day: int, previous: str | None, settings: ArchiveSettings) -> Segment:
        place = self.shelf.place
        forms: Forms = forms_of(settings, self.log)[place.topic]
        return Segment(place, first, day, previous, 0.0, settings, forms, self.compressor)
