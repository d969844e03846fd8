"""One partition of the archive on the disk: its manifests, and who may add to them."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep

import orjson

from events.positions import Partition
from projections.archive import files
from projections.archive.layout import (
    DATA_ENDING,
    MANIFESTS,
    PARTIAL,
    first_of,
    manifest_name,
    partition_folder,
)
from projections.archive.manifest import DamagedManifestError, Manifest, from_bytes, to_bytes
from projections.errors import FencedError, StaleCheckpointError

EPOCH = "epoch"
BEGIN = "begin"
LOCK = "lock"
LOCKED_WITHIN_S = 30.0
LOCK_POLL_S = 0.005


@dataclass(frozen=True, slots=True)
class Head:
    """Where the next segment begins, the hash that it names as the one before it, and a digest of the record before it."""

    next_offset: int
    tail: str | None
    digest: str | None = None


EMPTY = Head(0, None)


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to add to a partition, until somebody takes a later one."""

    owner: str
    epoch: int


@dataclass(frozen=True, slots=True)
class Shelf:
    """A partition's folder. Its methods wait for the disk; OSError when that fails."""

    archive: Path
    place: Partition

    @property
    def folder(self) -> Path:
        """Of the partition."""
        return partition_folder(self.archive, self.place)

    @property
    def manifests(self) -> Path:
        """Folder of the manifests."""
        return self.folder / MANIFESTS

    def claim(self, owner: str) -> tuple[Claim, Head]:
        """Take the partition over from whoever has it, and remove what was begun and not finished."""
        files.make_folders(self.manifests)
        with self.locked():
            head = self.head()
            last = self._last()
            epoch = max(self._epoch().epoch, last.epoch if last else 0) + 1
            claim = Claim(owner, epoch)
            files.put(self.manifests / EPOCH, [orjson.dumps({"epoch": epoch, "owner": owner})])
            for path in self._unfinished(head):
                files.discard(path)
        return claim, head

    def add(self, claim: Claim, head: Head, manifest: Manifest) -> Head:
        """Make a segment, whose files are there, part of the archive.

        FencedError when another claim was taken; StaleCheckpointError when the archive does not end at the head.
        """
        with self.locked():
            newest = self._epoch()
            if newest != claim:
                raise FencedError(
                    f"the archive of {self.place} is written by {newest.owner}, epoch {newest.epoch}",
                    owner=newest.owner,
                    epoch=newest.epoch,
                )
            if self.head() != head:
                raise StaleCheckpointError(f"the archive of {self.place} does not end at {head.next_offset}")
            try:
                files.put_new(self.manifests / manifest_name(manifest.first_offset), to_bytes(manifest))
            except FileExistsError:
                raise StaleCheckpointError(
                    f"the archive of {self.place} has a segment at {manifest.first_offset} already"
                ) from None
        return Head(manifest.next_offset, manifest.tail, manifest.digest)

    def head(self) -> Head:
        """Read without a claim. DamagedManifestError when the last manifest was altered."""
        last = self._last()
        return Head(last.next_offset, last.tail, last.digest) if last else EMPTY

    def begin(self) -> Head:
        """Where the oldest segment begins, and the hash that it names as the one before it: retention took that."""
        try:
            found = orjson.loads((self.manifests / BEGIN).read_bytes())
        except FileNotFoundError:
            return EMPTY
        try:
            return Head(int(found["next_offset"]), str(found["tail"]))
        except (ValueError, KeyError, TypeError) as error:
            raise DamagedManifestError(
                f"{self.manifests / BEGIN} does not say where it begins: {error!r}"
            ) from None

    def retire(self, oldest: Manifest) -> None:
        """Take the oldest segment out of the archive, which from then on begins where that one ended.

        StaleCheckpointError when it is not the oldest, or the only one: the newest says where the archive goes on.
        """
        with self.locked():
            firsts = self.firsts()
            if oldest.first_offset != self.begin().next_offset or oldest.first_offset == firsts[-1]:
                raise StaleCheckpointError(
                    f"{self.place} does not begin with the segment at {oldest.first_offset}"
                )
            head = {"next_offset": oldest.next_offset, "tail": oldest.tail}
            files.put(self.manifests / BEGIN, [orjson.dumps(head)])
        self.sweep()

    def sweep(self) -> None:
        """Remove what is left of segments that were retired: files first, for the manifest names them."""
        begin = self.begin().next_offset
        if begin == 0:
            return
        with self.locked():
            for first in self.firsts():
                if first < begin and (manifest := self.manifest(first)).next_offset <= begin:
                    for file in manifest.files:
                        (self.folder / file.path).unlink(missing_ok=True)
                    (self.manifests / manifest_name(first)).unlink()

    def firsts(self) -> list[int]:
        """First offsets in the names of the manifests, in order."""
        try:
            names = [path.name for path in self.manifests.iterdir()]
        except FileNotFoundError:
            return []
        return sorted(first for name in names if (first := first_of(name)) is not None)

    def manifest(self, first: int) -> Manifest:
        """The manifest of that name; DamagedManifestError when it was altered."""
        path = self.manifests / manifest_name(first)
        name = str(path.relative_to(self.archive))
        manifest = from_bytes(name, path.read_bytes())
        if (manifest.place, manifest.first_offset) != (self.place, first):
            raise DamagedManifestError(f"{name} is that of {manifest.place} from {manifest.first_offset} on")
        return manifest

    def replace(self, manifest: Manifest) -> None:
        """Put a manifest in the place of the one that begins at the same offset. Only under the lock."""
        files.put(self.manifests / manifest_name(manifest.first_offset), [to_bytes(manifest)])

    def forget(self, firsts: Iterable[int]) -> None:
        """Remove manifests whose segments another one holds. Only under the lock."""
        for first in firsts:
            (self.manifests / manifest_name(first)).unlink(missing_ok=True)
        files.sync_folder(self.manifests)

    def data_files(self) -> Iterator[Path]:
        """All files of segments, whether they belong to a manifest or not."""
        return (path for path in self.folder.rglob(f"*{DATA_ENDING}") if not path.name.startswith(PARTIAL))

    def _unfinished(self, head: Head) -> Iterator[Path]:
        """Files of segments that would have followed the head, and those that were not even whole."""
        for path in self.folder.rglob("*"):
            begins = path.name[:20] >= f"{head.next_offset:020d}"
            if path.name.startswith(PARTIAL) or (path.suffix == DATA_ENDING and begins):
                yield path

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Nobody else adds to the partition, takes it over or merges its segments meanwhile."""
        handle = os.open(self.manifests / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            deadline = monotonic() + LOCKED_WITHIN_S
            while not _taken(handle):
                if monotonic() > deadline:
                    raise TimeoutError(f"{self.folder} is locked by another process")
                sleep(LOCK_POLL_S)
            yield
        finally:
            os.close(handle)

    def _last(self) -> Manifest | None:
        """The one with the highest first offset. If a merged one has taken its place, both end alike."""
        firsts = self.firsts()
        return self.manifest(firsts[-1]) if firsts else None

    def _epoch(self) -> Claim:
        try:
            found = orjson.loads((self.manifests / EPOCH).read_bytes())
            return Claim(str(found["owner"]), int(found["epoch"]))
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return Claim("nobody", 0)


def _taken(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
