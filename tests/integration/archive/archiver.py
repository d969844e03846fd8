"""A process that archives a log in many small segments: `python -m tests.integration.archive.archiver LOG FOLDER`."""

from __future__ import annotations

import asyncio
import sys
from contextlib import aclosing
from pathlib import Path

from events.positions import Partition
from events.reader import LogReader, Range
from events.settings import LogSettings
from projections.archive.sink import ArchiveSink
from tests.integration.archive.archiving import settings_of

RECORDS = 100


async def main() -> None:
    """Archive what the log holds of usage, a segment for each RECORDS."""
    log, folder = LogSettings.model_validate_json(sys.argv[1]), Path(sys.argv[2])
    sink, reader, place = ArchiveSink(settings_of(folder), log), LogReader(log), Partition("usage", 0)
    start = await sink.open(place)
    end = (await reader.ends("usage"))[0]
    async with aclosing(reader.read("usage", {0: Range(start, end)})) as batches:
        async for _, records in batches:
            for first in range(0, len(records), RECORDS):
                some = records[first : first + RECORDS]
                await sink.write(place, some[0].offset, some)
                await sink.drain()


if __name__ == "__main__":
    asyncio.run(main())
