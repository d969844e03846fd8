"""A backup that is killed amid its files: `python -m tests.integration.backup.killed ARCHIVE STORE RECORDS`."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from events.settings import LogSettings
from projections.backup.create import Making, copy
from projections.backup.manifest import Point
from projections.backup.store import BackupStore
from tests.integration.backup.site import FIRST_US, ends


def main(archive: Path, folder: Path, end: int) -> None:
    """Copy, and die without a word once the first file is there."""
    store = BackupStore(folder)
    making = Making(archive, LogSettings(), store, "0.1.0", None)
    with store.locked():
        copy(making, Point(FIRST_US, ends(end), {}), lambda *_: os.kill(os.getpid(), signal.SIGKILL))


main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
