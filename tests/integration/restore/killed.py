"""A restore that is killed amid its appends: `python -m tests.integration.restore.killed FOLDER RECORDS`."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

from api.settings import load_settings
from events.broker import create_topics
from projections.archive.restore import Progress, restore
from projections.archive.settings import ArchiveSettings


async def main(folder: Path, most: int) -> None:
    """Restore, and die without a word once so many records are acknowledged."""

    def progress(at: Progress) -> None:
        if at.records >= most:
            os.kill(os.getpid(), signal.SIGKILL)

    log = load_settings().log
    await create_topics(log)
    await restore(ArchiveSettings(folder=folder), log, progress)


asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
