"""A backup laid out as the folder of an archive that ends at the backup's point: `interlock up` begins from there.

Whole segments are copied. The one that reaches beyond the point of its partition is cut: its records below are archived anew.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

from events.settings import LogSettings
from projections.archive import files
from projections.archive.layout import MANIFESTS, PARTIAL, manifest_name, partition_folder
from projections.archive.manifest import Manifest
from projections.archive.reading import read_segment
from projections.archive.restore_plan import Part
from projections.archive.settings import ArchiveSettings
from projections.archive.sink import ArchiveSink
from projections.backup.create import parts_of
from projections.backup.errors import BackupError
from projections.backup.manifest import Backup


async def lay_out(
    backup: Backup, held: Path, settings: ArchiveSettings, log: LogSettings, told: Callable[[int, int], None]
) -> None:
    """Write the archive `settings.folder` out of the one that the backup holds. Killed, it leaves nothing of that name.

    BackupError when there is anything already. `told` gets records that are done, and of how many.
    """
    folder = settings.folder
    assert folder is not None
    check_free(folder)
    files.make_folders(folder.parent)
    partial = folder.with_name(f"{PARTIAL}{uuid4().hex}")
    partial.mkdir()
    sink = ArchiveSink(settings.model_copy(update={"folder": partial}), log)
    try:
        done = 0
        for part in parts_of(held, backup.point.positions):
            await _lay_out_partition(part, partial, sink)
            done += part.end
            told(done, backup.records)
        await sink.drain()
        partial.rename(folder)
        files.sync_folder(folder.parent)
    finally:
        await sink.close()
        if partial.exists():
            shutil.rmtree(partial)


def check_free(folder: Path) -> None:
    """BackupError when there is anything in the folder."""
    if folder.exists() and any(folder.iterdir()):
        raise BackupError(
            f"{folder} is not empty: a backup is laid out in a new folder only; move that one away"
        )


async def _lay_out_partition(part: Part, archive: Path, sink: ArchiveSink) -> None:
    folder = partition_folder(archive, part.place)
    files.make_folders(folder / MANIFESTS)
    segments = list(part.segments(0, part.end))
    cut = [segment for segment in segments if segment.next_offset > part.end]
    for segment in segments[: len(segments) - len(cut)]:
        await asyncio.to_thread(_copy, part.shelf.folder, folder, segment)
    for segment in cut:
        records = await asyncio.to_thread(lambda: list(read_segment(part.shelf, segment)))  # noqa: B023
        start = await sink.open(part.place)
        await sink.write(part.place, start, [one for one in records if one.offset < part.end])


def _copy(source: Path, target: Path, segment: Manifest) -> None:
    for name in (
        *(file.path for file in segment.files),
        f"{MANIFESTS}/{manifest_name(segment.first_offset)}",
    ):
        files.make_folders((target / name).parent)
        files.put(target / name, [(source / name).read_bytes()])
