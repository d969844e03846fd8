"""Small closed segments merged into larger ones, while the archive goes on.

The steps are such that the archive is whole after each: the merged file; its manifest in the place of the first one that it
replaces, from when on the others count as held by it; then these are removed, then their files. What a crash leaves behind,
the next run removes. The records' bytes are taken over as they are, so what the replaced manifests say of them stays true.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass

import orjson

from events.positions import Partition
from projections.archive import files
from projections.archive.avro_file import DamagedFileError
from projections.archive.chain import Chain, read_chain
from projections.archive.layout import places_in
from projections.archive.manifest import Manifest
from projections.archive.reading import open_file
from projections.archive.segment import Blocks, Closed, Extent, FileKey, made_file
from projections.archive.settings import ArchiveSettings
from projections.archive.shelf import Shelf
from projections.errors import SinkUnavailableError

MOST_REPLACED = 1_000
"""Manifests that one may hold: it has to be read at a restore."""


@dataclass(frozen=True, slots=True)
class Compacted:
    """What became of a partition; `merged` are segments whose place another took. `refused` says why nothing was done, if so."""

    place: Partition
    segments_before: int
    segments_after: int
    bytes_before: int
    bytes_after: int
    merged: int
    refused: str | None = None


async def compact(settings: ArchiveSettings, progress: Callable[[Compacted], None]) -> list[Compacted]:
    """Merge in every partition what lies side by side in one day, up to `segment_bytes`."""
    if settings.folder is None:
        raise SinkUnavailableError("no folder of an archive: set INTERLOCK_ARCHIVE__FOLDER")
    done = []
    with ThreadPoolExecutor(2, "archive-compressor") as compressor:
        for place in places_in(settings.folder):
            shelf = Shelf(settings.folder, place)
            done.append(await asyncio.to_thread(compact_partition, shelf, settings, compressor))
            progress(done[-1])
    return done


def compact_partition(shelf: Shelf, settings: ArchiveSettings, compressor: Executor) -> Compacted:
    """As `compact`, of one partition. Waits for the disk."""
    before = read_chain(shelf)
    if before.findings:
        return _outcome(shelf.place, before, before, "it is damaged: see `interlock archive verify`")
    try:
        for run in runs(before.segments, settings.segment_bytes):
            with shelf.locked():
                _check_unchanged(shelf, run)
                _merge(shelf, run, settings, compressor)
        with shelf.locked():
            _tidy(shelf)
    except (OSError, DamagedFileError) as error:
        return _outcome(shelf.place, before, read_chain(shelf), str(error))
    return _outcome(shelf.place, before, read_chain(shelf), None)


def runs(segments: Sequence[Manifest], segment_bytes: int) -> Iterator[Sequence[Manifest]]:
    """Segments to merge: side by side, of one day, and together not larger than a full one."""
    run: list[Manifest] = []
    for segment in segments:
        fits = (
            run
            and segment.day == run[0].day
            and sum(one.size for one in run) + segment.size <= segment_bytes
            and sum(len(one.leaves) for one in run) + len(segment.leaves) <= MOST_REPLACED
        )
        if run and not fits:
            if len(run) > 1:
                yield run
            run = []
        run.append(segment)
    if len(run) > 1:
        yield run


def _check_unchanged(shelf: Shelf, run: Sequence[Manifest]) -> None:
    """Nobody else has merged these meanwhile."""
    now = {segment.first_offset: segment for segment in read_chain(shelf).segments}
    if any(now.get(segment.first_offset) != segment for segment in run):
        raise BlockingIOError(f"{shelf.folder} is being merged by another process")


def _merge(shelf: Shelf, run: Sequence[Manifest], settings: ArchiveSettings, compressor: Executor) -> None:
    closed = merged(shelf, run, settings, compressor)
    closed.put(shelf.folder)
    shelf.replace(closed.manifest)


def merged(shelf: Shelf, run: Sequence[Manifest], settings: ArchiveSettings, compressor: Executor) -> Closed:
    """One segment with the records of several. DamagedFileError when one of their files is not what was written."""
    first, last = run[0], run[-1]
    extent = Extent(
        shelf.place, first.day, first.first_offset, last.next_offset, max(one.epoch for one in run)
    )
    blocks: dict[FileKey, Blocks] = {}
    schemas: dict[int, bytes] = {}
    for file in (file for segment in run for file in segment.files):
        read = open_file(shelf, file)
        schemas[file.schema_id] = read.facts["avro.schema"].encode()
        sync = hashlib.sha256(f"{first.hash}/{last.hash}/{file.part}/{file.schema_id}".encode()).digest()[:16]
        fresh = Blocks(settings.codec, settings.zstd_level, sync, compressor)
        into = blocks.setdefault((file.part, file.schema_id), fresh)
        for block in read.blocks():
            into.add_block(block)
    made = [
        made_file(extent, part, schema_id, orjson.loads(schemas[schema_id]), into)
        for (part, schema_id), into in sorted(blocks.items())
    ]
    manifest = Manifest(
        topic=first.topic,
        partition=first.partition,
        day=first.day,
        first_offset=first.first_offset,
        next_offset=last.next_offset,
        first_timestamp_ms=min(one.first_timestamp_ms for one in run),
        last_timestamp_ms=max(one.last_timestamp_ms for one in run),
        records=sum(one.records for one in run),
        undecoded=sum(one.undecoded for one in run),
        log_bytes=sum(one.log_bytes for one in run),
        codec=settings.codec.value,
        level=settings.zstd_level,
        epoch=extent.epoch,
        files=tuple(file for file, _ in made),
        previous=first.previous,
        digest=last.digest,
    )
    return Closed(manifest.standing_for(tuple(run)), {file.path: chunks for file, chunks in made})


def _tidy(shelf: Shelf) -> None:
    """Remove what a merged segment holds, and files that belong to nothing and never will. Only under the lock."""
    chain = read_chain(shelf)
    if chain.findings:
        return
    if chain.replaced:
        shelf.forget(chain.replaced)
    held = {shelf.folder / file.path for segment in chain.segments for file in segment.files}
    for path in list(shelf.data_files()):
        # What begins where the archive ends may be on its way into it.
        if path not in held and path.name[:20] < f"{chain.next_offset:020d}":
            files.discard(path)


def _outcome(place: Partition, before: Chain, after: Chain, refused: str | None) -> Compacted:
    return Compacted(
        place,
        len(before.segments),
        len(after.segments),
        sum(segment.size for segment in before.segments),
        sum(segment.size for segment in after.segments),
        len({one.first_offset for one in before.segments} - {one.first_offset for one in after.segments}),
        refused,
    )
