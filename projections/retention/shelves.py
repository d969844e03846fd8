"""The archive and the folder of exports as retention sees them: segments that are whole, and files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from projections.archive.chain import read_chain
from projections.archive.compact import runs
from projections.archive.layout import PARTIAL, places_in
from projections.archive.manifest import Manifest
from projections.archive.settings import ArchiveSettings
from projections.archive.shelf import Shelf
from projections.retention.holdings import Segment, StoredFile
from projections.retention.policy import Store
from projections.retention.selection import Span

PARQUET = ".parquet"


def segments(archive: ArchiveSettings) -> tuple[Segment, ...]:
    """What the archive holds: manifests that are whole, whose files are there with their lengths."""
    if archive.folder is None:
        return ()
    return tuple(
        segment
        for place in places_in(archive.folder)
        for segment in _of_place(archive, Shelf(archive.folder, place))
    )


def _of_place(archive: ArchiveSettings, shelf: Shelf) -> Iterator[Segment]:
    manifests = read_chain(shelf).segments
    loose = {manifest.first_offset for run in runs(manifests, archive.segment_bytes) for manifest in run}
    for manifest in manifests:
        if all(_has(shelf.folder / file.path, file.bytes) for file in manifest.files):
            yield Segment(
                shelf.place,
                Span(manifest.first_offset, manifest.next_offset),
                manifest.last_timestamp_ms * 1000,
                manifest.records,
                sum(file.bytes for file in manifest.files),
                shelf.folder,
                tuple(_held(leaf) for leaf in manifest.leaves),
                packed=manifest.first_offset not in loose,
            )


def files(archive: ArchiveSettings, exports: Path | None) -> tuple[StoredFile, ...]:
    """Exports, and what an interrupted write has left in the archive or among the exports."""
    found = []
    for folder in (archive.folder, exports):
        if folder is not None:
            found += list(_files(Store.LEFTOVERS, folder, f"{PARTIAL}*"))
    if exports is not None:
        found += list(_files(Store.EXPORTS, exports, f"*{PARQUET}"))
    return tuple(found)


def _files(store: Store, folder: Path, pattern: str) -> Iterator[StoredFile]:
    for path in sorted(folder.rglob(pattern)):
        try:
            about = path.stat()
        except FileNotFoundError:
            continue
        name = path.relative_to(folder).as_posix()
        yield StoredFile(store, path, name, about.st_size, about.st_mtime_ns // 1000)


def _held(leaf: Manifest) -> Span:
    """What the log had lost by then is missing at a segment's begin: its records are at most the last of its offsets."""
    return Span(max(leaf.first_offset, leaf.next_offset - leaf.records), leaf.next_offset)


def _has(path: Path, size: int) -> bool:
    try:
        return path.stat().st_size == size
    except OSError:
        return False
