"""What the tests of backups share: archives and stores of backups made without a log."""

from __future__ import annotations

from pathlib import Path

from events.positions import Partition, PositionVector
from events.settings import LogSettings
from projections.backup.create import Making, copy
from projections.backup.manifest import Backup, Point
from projections.backup.store import BackupStore

FIRST_US = 1_795_281_040_000_000
"""When the first backup is made; each other one a minute later."""


def ends(*offsets: int) -> dict[Partition, int]:
    """Positions of the partitions of usage, from 0 on."""
    return {Partition("usage", number): offset for number, offset in enumerate(offsets)}


def backed_up(archive: Path, store: BackupStore, positions: PositionVector, *, full: bool = False) -> Backup:
    """One more backup of that archive."""
    store.folder.mkdir(exist_ok=True)
    with store.locked():
        parent = None if full else store.newest()
        making = Making(archive, LogSettings(), store, "0.1.0", parent)
        point = Point(FIRST_US + len(store.ids()) * 60_000_000, positions, {})
        return copy(making, point, lambda *_: None)
