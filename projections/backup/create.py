"""A backup made: a point of the log, the archive once it reaches that far, and a copy of it, file by file.

A file that the backup before has as well, with the same hash, is linked instead: one file on the disk with two names. So every
backup is whole by itself, and an incremental one takes the room of what is new.
"""

from __future__ import annotations

import asyncio
import hashlib
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from events.log_ends import LogEnds
from events.positions import Partition, PositionVector
from events.settings import LogSettings
from projections.archive import files
from projections.archive.layout import MANIFESTS, manifest_name, partition_folder, places_in
from projections.archive.manifest import DamagedManifestError, Manifest, to_bytes
from projections.archive.restore_plan import BeginningGoneError, Part, faults, part_to
from projections.archive.shelf import Shelf
from projections.backup.errors import ArchiveBehindError, BackupError, DamagedBackupError
from projections.backup.manifest import Backup, BackupFile, Kind, Parent, Point
from projections.backup.store import ARCHIVE, BackupStore, id_at

LOOKS_EVERY_S = 0.2
NAMED_PLACES = 5
TRIES = 5
"""So often a partition is looked at anew when its small segments are merged while they are copied."""

CHUNK_BYTES = 2**20
WHOLE = (
    ". No log can be put back from it any more: keep the backups that were made before, and have no retention policy delete from "
    "the archive (`store: archive`) that backups are made of"
)


@dataclass(frozen=True, slots=True)
class Making:
    """What a backup is made from and by whom. `parent` is the backup whose files may be linked."""

    archive: Path
    log: LogSettings
    store: BackupStore
    interlock: str
    parent: Backup | None


async def reach(archive: Path, log: LogSettings, positions: PositionVector, within_s: float) -> None:
    """Returns once the archive holds all below the positions.

    ArchiveBehindError when it does not in time; BackupError when it holds more than the log: it is that of another one.
    """
    give_up_s = time.monotonic() + within_s
    while behind := await asyncio.to_thread(_behind, archive, positions):
        if time.monotonic() >= give_up_s:
            named = ", ".join(f"{place} at {at} of {positions[place]}" for place, at in behind[:NAMED_PLACES])
            raise ArchiveBehindError(
                f"the archive in {archive} did not reach the log's end within {within_s:g} s ({named}): does `interlock sink` "
                "write it? INTERLOCK_ARCHIVE__SEGMENT_AGE_S says how long it may take, --wait how long it is waited for"
            )
        await asyncio.sleep(LOOKS_EVERY_S)
    held = await asyncio.to_thread(lambda: {place: _reached(archive, place) for place in places_in(archive)})
    async with LogEnds(log) as ends:
        now = await ends.ends([place for place in held if place in positions])
    for place, reached in held.items():
        if reached > now.get(place, 0):
            raise BackupError(
                f"the archive in {archive} has {place} up to {reached}, and the log at {log.bootstrap} ends at "
                f"{now.get(place, 0)}: it is the archive of another log"
            )


def copy(making: Making, point: Point, told: Callable[[int, int], None]) -> Backup:
    """Copy the archive up to the point. `told` gets bytes that are done, and of how many. Waits for the disk.

    The store is locked by the caller. Raises DamagedBackupError when the archive is not what was written, BackupError.
    """
    name, store = id_at(point.captured_us), making.store
    if name in store.ids():
        raise BackupError(f"there is a backup {name} already")
    with store.begun(name) as partial:
        work = _Copying(making, partial / ARCHIVE, told)
        work.run(point.positions)
        backup = Backup(
            id=name,
            kind=Kind.FULL if making.parent is None else Kind.INCREMENTAL,
            parent=None if making.parent is None else Parent(making.parent.id, making.parent.hash),
            point=point,
            interlock=making.interlock,
            topic_prefix=making.log.topic_prefix,
            group_id=making.log.group_id,
            files=tuple(file for taken in work.taken.values() for file in taken),
        )
        store.finish(partial, backup)
    return backup


def parts_of(archive: Path, positions: PositionVector) -> list[Part]:
    """What an archive holds up to the positions. DamagedBackupError when no log could be put back from it."""
    parts = whole_parts(archive, positions)
    for part in parts:
        if part.archived_to < part.end:
            raise DamagedBackupError(
                f"the archive of {part.place} ends at {part.archived_to}, before {part.end}"
            )
    return parts


def whole_parts(archive: Path, positions: PositionVector) -> list[Part]:
    """The same as far as the archive goes by now. DamagedBackupError when it is damaged, or has lost its beginning."""
    try:
        parts = [part_to(Shelf(archive, place), end) for place, end in sorted(positions.items()) if end]
    except DamagedManifestError as error:
        raise DamagedBackupError(str(error)) from None
    for refusal in faults(parts):
        raise DamagedBackupError(f"{refusal}{WHOLE if isinstance(refusal, BeginningGoneError) else ''}")
    return parts


def _behind(archive: Path, positions: PositionVector) -> list[tuple[Partition, int]]:
    found = [(place, _reached(archive, place)) for place in sorted(positions) if positions[place]]
    return [(place, reached) for place, reached in found if reached < positions[place]]


def _reached(archive: Path, place: Partition) -> int:
    try:
        return Shelf(archive, place).head().next_offset
    except DamagedManifestError as error:
        raise DamagedBackupError(f"{error}: see `interlock archive verify`") from None


class _MergedError(Exception):
    """What was to be copied was merged into another file meanwhile."""


@dataclass(slots=True)
class _Copying:
    """The files of one backup. `folder` becomes its archive."""

    making: Making
    folder: Path
    told: Callable[[int, int], None]
    taken: dict[Partition, list[BackupFile]] = field(default_factory=dict)
    done_bytes: int = 0
    of_bytes: int = 0
    _of_parent: set[tuple[str, int, str]] = field(init=False)

    def __post_init__(self) -> None:
        parent = self.making.parent
        self._of_parent = {(one.path, one.bytes, one.sha256) for one in parent.files} if parent else set()

    def run(self, positions: PositionVector) -> None:
        files.make_folders(self.folder)
        parts = parts_of(self.making.archive, positions)
        self.of_bytes = sum(one.size for part in parts for one in part.segments(0, part.end))
        for part in parts:
            self._take_partition(part, TRIES)

    def _take_partition(self, part: Part, tries: int) -> None:
        done_bytes, self.taken[part.place] = self.done_bytes, []
        try:
            for segment in part.segments(0, part.end):
                self._take_segment(part.place, segment)
        except _MergedError as error:
            if tries == 1:
                raise DamagedBackupError(f"{error}: see `interlock archive verify`") from None
            self.done_bytes = done_bytes
            shutil.rmtree(partition_folder(self.folder, part.place))
            [now] = parts_of(self.making.archive, {part.place: part.end})
            self._take_partition(now, tries - 1)

    def _take_segment(self, place: Partition, segment: Manifest) -> None:
        """Files first, as the archive writes them."""
        root = partition_folder(Path(), place)
        for file in segment.files:
            source = self.making.archive / root / file.path
            self._take(place, root / file.path, file.bytes, file.sha256, _checked(source, file.sha256))
            self.done_bytes += file.bytes
            self.told(self.done_bytes, self.of_bytes)
        raw = to_bytes(segment)
        name = root / MANIFESTS / manifest_name(segment.first_offset)
        self._take(place, name, len(raw), hashlib.sha256(raw).hexdigest(), [raw])

    def _take(self, place: Partition, path: Path, size: int, sha256: str, chunks: Iterable[bytes]) -> None:
        target = self.folder / path
        files.make_folders(target.parent)
        linked = self._linked(path, size, sha256)
        if not linked:
            files.put(target, chunks)
        self.taken[place].append(BackupFile(path.as_posix(), size, sha256, linked))

    def _linked(self, path: Path, size: int, sha256: str) -> bool:
        """Whether the parent has the same file, and the file system can give it a second name."""
        parent = self.making.parent
        if parent is None or (path.as_posix(), size, sha256) not in self._of_parent:
            return False
        held = self.making.store.archive_of(parent.id) / path
        try:
            if held.stat().st_size != size:
                return False
            (self.folder / path).hardlink_to(held)
        except OSError:
            return False
        return True


def _checked(path: Path, sha256: str) -> Iterator[bytes]:
    """The bytes of a file of the archive, which have to be those of its manifest."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while chunk := file.read(CHUNK_BYTES):
                digest.update(chunk)
                yield chunk
    except FileNotFoundError:
        raise _MergedError(f"{path} is missing") from None
    if digest.hexdigest() != sha256:
        raise DamagedBackupError(
            f"{path} was altered: its SHA-256 is not the one of its manifest; `interlock archive verify --rebuild` mends it"
        )
