"""A full disk, a failing folder, a second owner, a killed process: nothing is lost, nothing is there twice."""

from __future__ import annotations

import asyncio
import resource
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from events.broker import create_topics
from events.positions import Partition
from events.reader import LogReader, LogRecord
from events.settings import LogSettings
from projections.archive.restore import restore
from projections.archive.sink import ArchiveSink
from projections.archive.verify import verify
from projections.errors import FencedError, SinkUnavailableError, StaleCheckpointError
from tests.integration.archive.archiving import (
    append_events,
    archive_log,
    data_files,
    manifests_in,
    settings_of,
    whole_log,
)
from tests.integration.conftest import LogSettingsFactory
from tests.integration.log import everything, until

pytestmark = pytest.mark.any_broker

PLACE = Partition("usage", 0)


@pytest.fixture
async def log(make_log_settings: LogSettingsFactory) -> LogSettings:
    """A log with 3,000 events of usage in one partition."""
    settings = make_log_settings(partitions=1)
    await create_topics(settings)
    await append_events(settings, 3_000)
    return settings


@pytest.fixture
async def records(log: LogSettings) -> list[LogRecord]:
    """Those of usage."""
    return (await everything(LogReader(log), "usage"))[0]


@contextmanager
def full_disk(most_bytes: int) -> Iterator[None]:
    """No file of this process grows beyond so many bytes, as on a disk without room."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)


async def assert_whole(folder: Path, log: LogSettings, make: LogSettingsFactory) -> None:
    """The archive verifies, and restores to the log."""
    archive = settings_of(folder)
    assert [one.findings for one in await verify(archive, lambda *_: None) if one.findings] == []
    other = make(partitions=1)
    await create_topics(other)
    await restore(archive, other, lambda _: None)
    assert await whole_log(other) == await whole_log(log)


async def test_a_full_disk_is_said_and_nothing_is_lost(
    log: LogSettings, records: list[LogRecord], make_log_settings: LogSettingsFactory, tmp_path: Path
) -> None:
    """What was gathered is kept and written once there is room; no torn file stays."""
    sink = ArchiveSink(settings_of(tmp_path), log)
    assert await sink.open(PLACE) == 0
    assert await sink.write(PLACE, 0, records[:1_000]) == 0
    with full_disk(4_096):
        with pytest.raises(SinkUnavailableError, match="File too large"):
            await sink.drain()
        assert data_files(tmp_path) == manifests_in(tmp_path) == []
        assert await sink.write(PLACE, 1_000, records[1_000:1_500]) == 0
    assert await sink.drain() == {PLACE: 1_500}
    assert (await archive_log(sink, log))[PLACE] == 3_000
    await assert_whole(tmp_path, log, make_log_settings)


async def test_a_disk_that_is_full_when_a_segment_is_gives_the_batch_back(
    log: LogSettings, records: list[LogRecord], make_log_settings: LogSettingsFactory, tmp_path: Path
) -> None:
    """The partition has to be opened again, and is read on from the last manifest."""
    sink = ArchiveSink(settings_of(tmp_path, segment_bytes=65_536), log)
    await sink.open(PLACE)
    with full_disk(16_384), pytest.raises(SinkUnavailableError):
        await sink.write(PLACE, 0, records)
    with pytest.raises(StaleCheckpointError):
        await sink.write(PLACE, 3_000, records[:1])
    await archive_log(sink, log)
    await assert_whole(tmp_path, log, make_log_settings)


async def test_a_folder_that_is_away_is_unavailable(log: LogSettings, tmp_path: Path) -> None:
    """A file lies where it should be; once that is gone the sink opens."""
    (tmp_path / "archive").write_text("in the way")
    sink = ArchiveSink(settings_of(tmp_path / "archive"), log)
    with pytest.raises(SinkUnavailableError):
        await sink.open(PLACE)
    (tmp_path / "archive").unlink()
    assert await sink.open(PLACE) == 0


async def test_a_second_owner_fences_the_first(
    log: LogSettings, records: list[LogRecord], make_log_settings: LogSettingsFactory, tmp_path: Path
) -> None:
    """The first has gathered records that the second archives; it cannot write over them."""
    first, second = (ArchiveSink(settings_of(tmp_path), log) for _ in range(2))
    await first.open(PLACE)
    await first.write(PLACE, 0, records[:2_000])
    await second.open(PLACE)
    await second.write(PLACE, 0, records[:1_500])
    assert await second.drain() == {PLACE: 1_500}
    assert await first.drain() == {}
    with pytest.raises(StaleCheckpointError):
        await first.write(PLACE, 2_000, records[2_000:])
    assert (await second.positions())[PLACE] == 1_500
    await archive_log(second, log)
    await assert_whole(tmp_path, log, make_log_settings)


async def test_a_zombie_that_wrote_its_file_cannot_add_it(
    log: LogSettings, records: list[LogRecord], tmp_path: Path
) -> None:
    """Between its file and its manifest another one took over: the file is no part of the archive."""
    zombie, owner = (ArchiveSink(settings_of(tmp_path), log) for _ in range(2))
    await zombie.open(PLACE)
    await zombie.write(PLACE, 0, records[:2_000])
    held = zombie._places[PLACE]
    assert held.segment is not None
    closed = held.segment.closed(held.claim.epoch)
    closed.put(held.shelf.folder)
    await owner.open(PLACE)
    await owner.write(PLACE, 0, records)
    with pytest.raises(FencedError):
        held.shelf.add(held.claim, held.head, closed.manifest)
    assert await owner.drain() == {PLACE: 3_000}


@pytest.mark.parametrize("seed", range(4))
async def test_a_killed_archiver_leaves_a_whole_archive(
    log: LogSettings, make_log_settings: LogSettingsFactory, tmp_path: Path, seed: int
) -> None:
    """SIGKILL after so many files appeared, three times over; the next one goes on, and at the end nothing is missing."""
    for kill in range(3):
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.integration.archive.archiver", log.model_dump_json(), str(tmp_path)
        )
        seen = entries(tmp_path)
        try:
            await until(grown(tmp_path, seen + 2 + 3 * kill + seed, process), 30)
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()
        found = [
            one for part in await verify(settings_of(tmp_path), lambda *_: None) for one in part.findings
        ]
        assert found == []
    await archive_log(ArchiveSink(settings_of(tmp_path), log), log)
    await assert_whole(tmp_path, log, make_log_settings)


def grown(folder: Path, count: int, process: asyncio.subprocess.Process) -> Callable[[], bool]:
    """Whether a folder has so many entries by now, or nobody adds any more."""
    return lambda: process.returncode is not None or entries(folder) >= count


def entries(folder: Path) -> int:
    """How many files and folders there are."""
    return len(list(folder.rglob("*")))
