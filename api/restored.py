"""The log of `interlock up`: in memory while it runs, and put back from the archive at each start."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from api.settings import Settings
from events.settings import LogSettings
from projections.archive.compact import compact
from projections.archive.layout import places_in
from projections.archive.restore import Progress, restore
from projections.archive.settings import ArchiveSettings

SEGMENT_AGE_S = 5.0
"""What the log had in so many seconds before is lost with the machine; an ordered stop loses nothing."""

SAID_EVERY_S = 5.0


def archive_of(settings: Settings, data: Path) -> ArchiveSettings:
    """The archive of a log that is in memory: below the data folder, closed often, unless it was set otherwise."""
    given = settings.archive
    age_s = given.segment_age_s if "segment_age_s" in given.model_fields_set else SEGMENT_AGE_S
    return given.model_copy(update={"folder": given.folder or data / "archive", "segment_age_s": age_s})


async def restore_log(archive: ArchiveSettings, log: LogSettings, say: Callable[[str], None]) -> None:
    """Put the archive back into the new log. CannotRestoreError when it is damaged or no whole log."""
    if archive.folder is None or not places_in(archive.folder):
        say("the servers are up; the log is a new and empty one")
        return
    begun_s = said_s = time.monotonic()
    # Large files are read quickly, and come to lie on the log in large batches.
    await compact(archive, lambda _: None)

    def progress(now: Progress) -> None:
        nonlocal said_s
        if time.monotonic() - said_s > SAID_EVERY_S:
            said_s = time.monotonic()
            say(f"{now.records:,} of {now.of_records:,} records are back on the log")

    restored = await restore(archive, log, progress)
    took_s = time.monotonic() - begun_s
    say(f"the servers are up; {restored.records:,} records were put back on the log in {took_s:.1f} s")
