"""A folder of backups. One is there when its folder has its name, which it gets once all of it is on the disk.

20261121T165408123Z/backup.json
20261121T165408123Z/archive/topic=usage/partition=3/...      as in the archive
.partial-20261121T170000456Z/...                             being written, being removed, or left by a kill
lock
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from projections.archive import files
from projections.archive.layout import PARTIAL
from projections.backup.errors import BackupError, BackupNotFoundError, DamagedBackupError
from projections.backup.manifest import Backup, from_bytes, to_bytes

MANIFEST = "backup.json"
ARCHIVE = "archive"
LOCK = "lock"
_ID = re.compile(r"[0-9]{8}T[0-9]{9}Z")
_LEFT = re.compile(re.escape(PARTIAL) + _ID.pattern)


@dataclass(frozen=True, slots=True)
class BackupStore:
    """Its methods wait for the disk; OSError when that fails."""

    folder: Path

    def ids(self) -> list[str]:
        """Names of the backups, oldest first, whether they are whole or not. What else lies there is not the store's."""
        if not self.folder.is_dir():
            raise BackupNotFoundError(
                f"no folder of backups at {self.folder}: `interlock backup create --to` makes one"
            )
        return sorted(path.name for path in self.folder.iterdir() if _ID.fullmatch(path.name))

    def read(self, name: str) -> Backup:
        """The manifest of that backup. BackupNotFoundError; DamagedBackupError when it was altered."""
        if name not in self.ids():
            raise BackupNotFoundError(
                f"no backup {name} in {self.folder}: `interlock backup list` names them"
            )
        path = self.folder / name / MANIFEST
        try:
            backup = from_bytes(str(path), path.read_bytes())
        except FileNotFoundError:
            raise DamagedBackupError(f"{path} is missing") from None
        if backup.id != name:
            raise DamagedBackupError(f"{path} is the manifest of {backup.id}")
        return backup

    def newest(self) -> Backup | None:
        """The last one; None while there is none."""
        names = self.ids() if self.folder.is_dir() else []
        return self.read(names[-1]) if names else None

    def chosen(self, name: str | None) -> Backup:
        """The one of that name, else the newest. BackupNotFoundError when there is none."""
        if name is not None:
            return self.read(name)
        newest = self.newest()
        if newest is None:
            raise BackupNotFoundError(f"no backup in {self.folder}: `interlock backup create --to` makes one")
        return newest

    def archive_of(self, name: str) -> Path:
        """The archive that a backup holds."""
        return self.folder / name / ARCHIVE

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Nobody else makes or removes a backup meanwhile; what a killed one left is removed. BackupError when one does."""
        try:
            files.make_folders(self.folder)
            handle = os.open(self.folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise BackupError(f"{self.folder} cannot be a folder of backups: {error}") from error
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise BackupError(f"a backup is being made in {self.folder} by another process") from None
            for left in [path for path in self.folder.iterdir() if _LEFT.fullmatch(path.name)]:
                shutil.rmtree(left)
            yield
        finally:
            os.close(handle)

    @contextmanager
    def begun(self, name: str) -> Iterator[Path]:
        """A folder for a new backup, that is removed unless it was finished. Only under the lock."""
        partial = self.folder / f"{PARTIAL}{name}"
        partial.mkdir()
        try:
            yield partial
        finally:
            if partial.exists():
                shutil.rmtree(partial)

    def finish(self, partial: Path, backup: Backup) -> None:
        """Make a backup, whose files are there, one of the store's."""
        for folder, _, _ in os.walk(partial / ARCHIVE, topdown=False):
            files.sync_folder(Path(folder))
        files.put(partial / MANIFEST, [to_bytes(backup)])
        partial.rename(self.folder / backup.id)
        files.sync_folder(self.folder)

    def whole(self) -> list[Backup]:
        """Those whose manifests are whole, oldest first."""
        found = []
        for name in self.ids():
            with suppress(DamagedBackupError):
                found.append(self.read(name))
        return found

    def surplus(self, keep: int) -> list[str]:
        """Names of those that are older than the `keep` newest ones whose manifests are whole. No backup needs another."""
        kept = [backup.id for backup in self.whole()][-keep:] if keep else []
        return [name for name in self.ids() if not keep or (kept and name < kept[0])]

    def remove(self, name: str) -> None:
        """Remove a backup; killed meanwhile, it is none any more. Only under the lock."""
        partial = self.folder / f"{PARTIAL}{name}"
        (self.folder / name).rename(partial)
        files.sync_folder(self.folder)
        shutil.rmtree(partial)


def id_at(time_us: int) -> str:
    """Names sort by time, to the millisecond."""
    moment = datetime.fromtimestamp(time_us // 1_000_000, UTC)
    return f"{moment:%Y%m%dT%H%M%S}{time_us // 1000 % 1000:03d}Z"
