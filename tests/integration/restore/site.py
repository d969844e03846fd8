"""What the tests of restoring share: archives made without a log, and the command as an operator types it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from events.positions import Partition
from events.settings import LogSettings
from projections.archive.records import ArchivedRecord
from projections.archive.settings import ArchiveSettings
from projections.archive.sink import ArchiveSink
from tests.e2e.console import Console
from tests.integration.crew import environment_of
from tests.integration.log import CODEC, usage

BEGAN_MS = 1_700_000_000_000
VALUE = CODEC.encode(usage())
FIRST, SECOND = Partition("usage", 0), Partition("usage", 1)
SEND = "projections.archive.restore:_Restoring._send"
"""What appends a batch, for commands that are killed there."""


async def archived(
    folder: Path, times_ms: Sequence[int], *, places: Sequence[Partition] = (FIRST,), at_once: int = 10
) -> ArchiveSettings:
    """An archive of usage with these times after the beginning, a segment for each `at_once` records."""
    settings = ArchiveSettings(folder=folder)
    sink = ArchiveSink(settings, LogSettings())
    for place in places:
        await sink.open(place)
        for first in range(0, len(times_ms), at_once):
            rows = [
                ArchivedRecord(place.topic, place.number, offset, BEGAN_MS + after_ms, b"acme", VALUE, ())
                for offset, after_ms in enumerate(times_ms[first : first + at_once], first)
            ]
            await sink.write(place, first, rows)
            await sink.drain()
    await sink.close()
    return settings


def console(folder: Path, log: LogSettings) -> Console:
    """An operator who has named that log."""
    return Console(folder, environment_of("LOG", log))
