"""`interlock backup` on a real log: its point, what it waits for, and putting it back into another one."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from events.broker import create_topics
from events.encoded import Encoded
from events.group_offsets import GroupOffsets
from events.partitioner import partition_of
from events.positions import Partition
from events.publisher import Publisher
from events.reader import LogReader
from events.settings import LogSettings
from projections.archive.chain import read_chain
from projections.archive.shelf import Shelf
from projections.archive.sink import ArchiveSink
from projections.backup.create import reach
from projections.backup.errors import ArchiveBehindError, BackupError
from projections.backup.point import capture
from projections.backup.store import BackupStore
from tests.integration.archive.archiving import append_events, archive_log, settings_of, whole_log
from tests.integration.backup.site import backed_up, ends
from tests.integration.conftest import LogSettingsFactory
from tests.integration.log import CODEC
from tests.integration.restore.site import FIRST, SECOND, SEND, archived, console

DERIVED_WITHIN_S = 30


@pytest.fixture
async def log(log_settings: LogSettings) -> LogSettings:
    """A log with usage of several tenants, and some overrides."""
    await create_topics(log_settings)
    await append_events(log_settings, 300)
    return log_settings


async def archive(log: LogSettings, folder: Path) -> None:
    """Bring the archive up to the log's end."""
    sink = ArchiveSink(settings_of(folder), log)
    await archive_log(sink, log)
    await sink.close()


async def test_a_backup_put_back_is_the_log_at_its_point(
    log: LogSettings, make_log_settings: LogSettingsFactory, tmp_path: Path
) -> None:
    """To the byte, without what came after it, and with how far the workers had decided."""
    decided = {FIRST: 7, SECOND: 3}
    async with GroupOffsets(log) as groups:
        await groups.commit(log.group_id, decided)
    before = await whole_log(log)
    other = make_log_settings(group_id=f"{log.topic_prefix}other")
    operator, successor = console(tmp_path, log), console(tmp_path, other)
    await archive(log, tmp_path / "archive")
    planned = await operator.succeeds(
        "backup", "create", "--to", "backups", "--archive", "archive", "--dry-run", "--json"
    )
    assert planned.json["records"] == planned.json["archived"] == sum(map(len, before.values()))
    assert not (tmp_path / "backups").exists()
    made = await operator.succeeds("backup", "create", "--to", "backups", "--archive", "archive", "--json")
    await append_events(log, 20)
    put_back = await successor.succeeds("backup", "restore", "--from", "backups", "--json")
    assert (put_back.json["backup"], put_back.json["equal"]) == (made.json["id"], True)
    assert await whole_log(other) == before
    async with GroupOffsets(other) as groups:
        assert await groups.committed(other.group_id, list(before)) == decided


async def test_an_archive_without_its_beginning_is_refused_at_once(log: LogSettings, tmp_path: Path) -> None:
    """The plan says so as well, and both what to do, before the rest of the archive is waited for."""
    await archive(log, tmp_path / "archive")
    await append_events(log, 100)
    await archive(log, tmp_path / "archive")
    shelf = next(
        shelf
        for shelf in (Shelf(tmp_path / "archive", place) for place in (FIRST, SECOND))
        if len(read_chain(shelf).segments) > 1
    )
    shelf.retire(read_chain(shelf).segments[0])
    await append_events(log, 1)
    operator = console(tmp_path, log)
    for more in ("--dry-run", "--wait=1"):
        ended = await operator.run("backup", "create", "--to", "backups", "--archive", "archive", more)
        assert (ended.code, f"the archive of {shelf.place} begins at" in ended.err) == (1, True)
        assert "`store: archive`" in ended.err
    assert BackupStore(tmp_path / "backups").ids() == []


async def test_a_killed_restore_of_a_backup_goes_on(log_settings: LogSettings, tmp_path: Path) -> None:
    """SIGKILL amid the appends, and the command again: every record below the point once, none beyond it."""
    store = BackupStore(tmp_path / "backups")
    await archived(tmp_path / "archive", range(1_000), places=(FIRST, SECOND), at_once=100)
    backed_up(tmp_path / "archive", store, ends(950, 999))
    operator = console(tmp_path, log_settings)
    command = ("backup", "restore", "--from", "backups", "--json")
    await operator.killed(f"after {SEND} 5", *command)
    left = sum((await LogReader(log_settings).ends("usage")).values())
    assert 500 <= left < 1_949
    done = (await operator.succeeds(*command)).json
    assert (done["appended"], done["equal"]) == (1_949 - left, True)
    assert await LogReader(log_settings).ends("usage") == {0: 950, 1: 999}


async def test_a_point_has_the_source_of_all_that_is_derived(log: LogSettings) -> None:
    """While records are appended to usage, and then to outcomes, no point has more of the outcomes."""
    usage, outcomes = Partition("usage", 0), Partition("outcomes", 0)
    key = next(key for key in (b"a", b"b", b"c", b"d") if partition_of(key, log.partitions) == 0)
    start = (await capture(log)).positions
    async with Publisher(log, CODEC) as publisher:

        async def derive() -> None:
            while True:
                for topic in ("usage", "outcomes"):
                    await publisher.append_encoded([Encoded(topic, key, b"", 1)])

        deriving = asyncio.create_task(derive())
        points = [start]
        async with asyncio.timeout(DERIVED_WITHIN_S):
            while points[-1][outcomes] < start[outcomes] + 100:
                points.append((await capture(log)).positions)
        deriving.cancel()
        await asyncio.wait([deriving])
    told = [(at[usage] - start[usage], at[outcomes] - start[outcomes]) for at in points]
    assert [(source, derived) for source, derived in told if derived > source] == []


async def test_it_waits_for_the_archive_and_no_longer_than_it_may(log: LogSettings, tmp_path: Path) -> None:
    """An archive that is behind is told with the partition; one that the log does not explain is another log's."""
    positions = (await capture(log)).positions
    waiting = asyncio.create_task(reach(tmp_path, log, positions, 30))
    with pytest.raises(ArchiveBehindError, match=r"usage-0 at 0 of \d+"):
        await reach(tmp_path, log, positions, 0)
    assert not waiting.done()
    await archive(log, tmp_path)
    await waiting
    (tmp_path / "other").mkdir()
    await archived(tmp_path / "other", range(1_000), places=(FIRST, SECOND), at_once=1_000)
    with pytest.raises(BackupError, match="it is the archive of another log"):
        await reach(tmp_path / "other", log, {FIRST: 1}, 0)
