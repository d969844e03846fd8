"""The archive as the source of a backtest."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from pathlib import Path

import pytest

from api.backtest.document import Document, document
from events.positions import Partition
from events.reader import LogRecord, Range
from processors.backtest.outcome import Outcome
from projections.archive.settings import ArchiveSettings
from projections.archive.sink import ArchiveSink
from projections.archive.source import ArchiveSource, DamagedArchiveError
from tests.backtest_source import backtest, history
from tests.simulation.log import MemoryLog
from tests.simulation.virtual_time import START_US

AT_ONCE = 40


@pytest.fixture(scope="module")
def log() -> MemoryLog:
    """What the workers of a seed have left."""
    return history(40)


@pytest.fixture
def folder(log: MemoryLog, tmp_path: Path) -> Path:
    """The same in an archive of many segments."""
    asyncio.run(archived(log, tmp_path))
    return tmp_path


async def archived(log: MemoryLog, folder: Path) -> None:
    """Write all of the log, a segment for each few records."""
    sink = ArchiveSink(ArchiveSettings(folder=folder), log.settings)
    for topic, partitions in log.partitions.items():
        for number, records in enumerate(partitions):
            place = Partition(topic, number)
            await sink.open(place)
            for first in range(0, len(records), AT_ONCE):
                await sink.write(place, first, records[first : first + AT_ONCE])
                await sink.drain()
    await sink.close()


def told(outcome: Outcome) -> Document:
    """Without the empty partitions, of which an archive does not know."""
    found = document(outcome)
    return found | {"read": {name: held for name, held in found["read"].items() if held != [0, 0]}}


@pytest.mark.parametrize("begins_us", [None, START_US + 60_000_000])
def test_the_archive_tells_what_the_log_does(log: MemoryLog, folder: Path, begins_us: int | None) -> None:
    """The same records, so the same outcome, also of a part of the time."""
    source = ArchiveSource(folder)
    by_log = backtest(log, from_us=begins_us)
    by_archive = backtest(log, from_us=begins_us, source=source)
    assert told(by_archive) == told(by_log)
    assert by_archive.is_reproduced
    assert by_archive.counted.usage


def test_a_range_is_read_across_segments(log: MemoryLog, folder: Path) -> None:
    """From the middle of one to the middle of another, each record as it lay on the log."""
    number = max(range(log.settings.partitions), key=lambda at: log.end("usage", at))
    wanted = Range(AT_ONCE // 2, AT_ONCE * 2 + 3)

    async def read() -> list[LogRecord]:
        async with aclosing(ArchiveSource(folder).read("usage", {number: wanted})) as batches:
            return [record async for _, records in batches for record in records]

    found = asyncio.run(read())
    assert [record.offset for record in found] == list(range(wanted.start, wanted.end))
    assert [record.value for record in found] == [
        record.value for record in log.read("usage", number, wanted.start, wanted.end)
    ]


def test_an_archive_with_a_hole_is_refused(folder: Path) -> None:
    """It names the partition, and where to look."""
    manifests = sorted(folder.glob("topic=usage/partition=0/_manifests/*.json"))
    manifests[1].unlink()
    with pytest.raises(DamagedArchiveError, match=r"usage-0 is damaged: .*interlock archive verify"):
        asyncio.run(ArchiveSource(folder).ranges("usage"))
