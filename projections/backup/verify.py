"""Whether a backup is what was written: every file to the byte, none missing and none more, and a whole log up to its point."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from projections.archive.chain import Fault
from projections.backup.create import parts_of
from projections.backup.errors import BackupNotFoundError, DamagedBackupError
from projections.backup.manifest import Backup, BackupFile
from projections.backup.store import MANIFEST, BackupStore


@dataclass(frozen=True, slots=True)
class Damage:
    """What is wrong with a file of a backup; its path is below the store's folder."""

    file: str
    fault: Fault
    detail: str


@dataclass(slots=True)
class Verifier:
    """Reads backups of one store. A file that several share is read once."""

    store: BackupStore
    _digests: dict[tuple[int, int], str] = field(init=False, default_factory=dict)

    def damage_of(self, name: str) -> list[Damage]:
        """All that is wrong with the backup of that name. BackupNotFoundError; waits for the disk."""
        manifest = f"{name}/{MANIFEST}"
        try:
            backup = self.store.read(name)
        except DamagedBackupError as error:
            return [Damage(manifest, Fault.ALTERED, str(error))]
        found = [*self._other_parent(backup, manifest), *self._files(backup)]
        if not found:
            try:
                parts_of(self.store.archive_of(name), backup.point.positions)
            except DamagedBackupError as error:
                found.append(Damage(manifest, Fault.BROKEN_CHAIN, str(error)))
        return found

    def _other_parent(self, backup: Backup, manifest: str) -> Iterator[Damage]:
        """The backup before may be gone; when it is there, it has to be the one that it was."""
        if backup.parent is None:
            return
        try:
            parent = self.store.read(backup.parent.id)
        except BackupNotFoundError:
            return
        except DamagedBackupError as error:
            yield Damage(f"{backup.parent.id}/{MANIFEST}", Fault.ALTERED, str(error))
            return
        if parent.hash != backup.parent.sha256:
            detail = f"it does not name the hash of {parent.id}, which it says it follows"
            yield Damage(manifest, Fault.BROKEN_CHAIN, detail)

    def _files(self, backup: Backup) -> Iterator[Damage]:
        folder = self.store.archive_of(backup.id)
        for file in backup.files:
            yield from self._file(folder, file)
        listed = {file.path for file in backup.files}
        for path in sorted(folder.rglob("*")):
            if path.is_file() and path.relative_to(folder).as_posix() not in listed:
                yield Damage(self._name(path), Fault.ALTERED, "the backup has no such file")

    def _file(self, folder: Path, file: BackupFile) -> Iterator[Damage]:
        path = folder / file.path
        try:
            held = path.stat()
        except FileNotFoundError:
            yield Damage(self._name(path), Fault.MISSING, "it is missing")
            return
        if held.st_size != file.bytes:
            yield Damage(self._name(path), Fault.TORN, f"it has {held.st_size} bytes of {file.bytes}")
            return
        inode = held.st_dev, held.st_ino
        if inode not in self._digests:
            with path.open("rb") as content:
                self._digests[inode] = hashlib.file_digest(content, "sha256").hexdigest()
        if self._digests[inode] != file.sha256:
            yield Damage(self._name(path), Fault.ALTERED, "its SHA-256 is not the one that was written")

    def _name(self, path: Path) -> str:
        return str(path.relative_to(self.store.folder))
