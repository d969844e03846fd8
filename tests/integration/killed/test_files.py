"""Commands on files killed at each of their steps: what is there is whole, and the next run ends the work."""

from __future__ import annotations

from pathlib import Path

import pytest

from events.broker import create_topics
from events.group_offsets import GroupOffsets
from events.positions import Partition
from events.settings import LogSettings
from projections.archive.chain import read_chain
from projections.archive.reading import read_segment
from projections.archive.shelf import Shelf
from projections.archive.sink import ArchiveSink
from projections.archive.verify import verify
from projections.backup.store import BackupStore
from projections.backup.verify import Verifier
from tests.e2e.console import Console
from tests.integration.archive.archiving import append_events, archive_log, settings_of, whole_log
from tests.integration.conftest import LogSettingsFactory
from tests.integration.restore.site import FIRST, SEND, archived, console

PUT = "projections.archive.files:put"
STORE = "projections.backup.store:BackupStore"
SHELF = "projections.archive.shelf:Shelf"
PLACES = tuple(Partition("usage", number) for number in range(6))


@pytest.fixture
async def log(log_settings: LogSettings, tmp_path: Path) -> LogSettings:
    """A log, and its archive."""
    await create_topics(log_settings)
    await append_events(log_settings, 300)
    sink = ArchiveSink(settings_of(tmp_path / "archive"), log_settings)
    await archive_log(sink, log_settings)
    await sink.close()
    return log_settings


async def test_a_backup_killed_at_each_of_its_steps_is_whole_or_none(
    log: LogSettings, tmp_path: Path
) -> None:
    """Also while an old one is removed; what lies about is gone with the next."""
    operator, store = console(tmp_path, log), BackupStore(tmp_path / "backups")
    create = ("backup", "create", "--to", "backups", "--archive", "archive", "--keep", "1", "--json")
    for moment, backups in (
        (f"after {PUT}", 0),
        (f"after {STORE}.finish", 1),
        ("before shutil:rmtree", 1),
    ):
        await operator.killed(moment, *create)
        assert len(store.ids()) == backups, moment
        assert [Verifier(store).damage_of(name) for name in store.ids()] == [[]] * backups
    made = (await operator.succeeds(*create)).json
    assert store.ids() == [made["id"]]
    assert sorted(path.name for path in store.folder.iterdir()) == [made["id"], "lock"]


async def test_a_restore_killed_at_each_of_its_steps_goes_on(
    log: LogSettings, make_log_settings: LogSettingsFactory, tmp_path: Path
) -> None:
    """Amid the appends, while it proves what it has put back, and before the group is told."""
    async with GroupOffsets(log) as groups:
        await groups.commit(log.group_id, {FIRST: 7})
    operator = console(tmp_path, log)
    await operator.succeeds("backup", "create", "--to", "backups", "--archive", "archive")
    other = make_log_settings(group_id=f"{log.topic_prefix}other")
    successor = console(tmp_path, other)
    restore = ("backup", "restore", "--from", "backups", "--json")
    for moment in (
        f"after {SEND} 2",
        "before projections.archive.restore_proof:prove 2",
        "before projections.backup.restore:tell_group",
    ):
        await successor.killed(moment, *restore)
    done = (await successor.succeeds(*restore)).json
    assert (done["appended"], done["equal"]) == (0, True)
    assert await whole_log(other) == await whole_log(log)
    async with GroupOffsets(other) as groups:
        assert (await groups.committed(other.group_id, [FIRST]))[FIRST] == 7


async def test_an_archive_that_is_being_merged_is_whole_at_each_step(tmp_path: Path) -> None:
    """Every record once, whichever of the files of a merged one and of those that it replaces are there."""
    await archived(tmp_path / "archive", range(40), places=PLACES)
    shelves = [Shelf(tmp_path / "archive", place) for place in PLACES]

    def offsets() -> list[list[int]]:
        chains = [(shelf, read_chain(shelf).segments) for shelf in shelves]
        return [
            [record.offset for segment in segments for record in read_segment(shelf, segment)]
            for shelf, segments in chains
        ]

    operator = Console(tmp_path)
    compact = ("archive", "compact", "--folder", "archive")
    for moment in (
        f"after {PUT}",
        f"after {SHELF}.replace",
        f"after {SHELF}.forget",
        "after projections.archive.files:discard",
    ):
        await operator.killed(moment, *compact)
        assert offsets() == [list(range(40))] * len(PLACES), moment
        found = await verify(settings_of(tmp_path / "archive"), lambda *_: None)
        assert not [finding for one in found for finding in one.findings], moment
    await operator.succeeds(*compact)
    assert offsets() == [list(range(40))] * len(PLACES)
    assert [len(shelf.firsts()) for shelf in shelves] == [1] * len(PLACES)
    assert [len(list(shelf.data_files())) for shelf in shelves] == [1] * len(PLACES)
