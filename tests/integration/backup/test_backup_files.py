"""Backups as files: made, linked, removed, damaged, killed amid their making, and laid out as an archive."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from events.settings import LogSettings
from projections.archive.chain import Fault, read_chain
from projections.archive.compact import compact
from projections.archive.reading import read_segment
from projections.archive.settings import ArchiveSettings
from projections.archive.shelf import Shelf
from projections.archive.verify import verify
from projections.backup.create import Making, copy, parts_of
from projections.backup.errors import BackupError, DamagedBackupError
from projections.backup.lay_out import lay_out
from projections.backup.manifest import Point
from projections.backup.store import BackupStore
from projections.backup.verify import Verifier
from tests.integration.archive.archiving import damage, data_files, manifests_in
from tests.integration.backup.site import FIRST_US, backed_up, ends
from tests.integration.restore.site import FIRST, archived


@pytest.fixture
async def archive(tmp_path: Path) -> Path:
    """Three segments of ten records each."""
    await archived(tmp_path / "archive", range(30))
    return tmp_path / "archive"


@pytest.fixture
def store(tmp_path: Path) -> BackupStore:
    """An empty one."""
    return BackupStore(tmp_path / "backups")


def test_an_incremental_backup_links_what_its_parent_has_and_needs_nothing_of_it(
    archive: Path, store: BackupStore
) -> None:
    """One file on the disk with two names; with the parent removed, the backup is as whole as before."""
    parent = backed_up(archive, store, ends(12))
    child = backed_up(archive, store, ends(30))
    assert child.parent is not None
    assert (child.parent.id, child.parent.sha256) == (parent.id, parent.hash)
    assert [file.linked for file in child.files] == [True] * 4 + [False] * 2
    assert 0 < child.copied < child.size
    linked = child.files[0].path
    assert (store.archive_of(child.id) / linked).samefile(store.archive_of(parent.id) / linked)
    assert not any(file.linked for file in backed_up(archive, store, ends(30), full=True).files)
    with store.locked():
        store.remove(parent.id)
    assert Verifier(store).damage_of(child.id) == []
    [part] = parts_of(store.archive_of(child.id), child.point.positions)
    assert (part.end, part.archived_to) == (30, 30)


def test_of_the_newest_that_are_kept_none_is_damaged(archive: Path, store: BackupStore) -> None:
    """A backup whose manifest cannot be read does not count; removing is by age, and ends with so many whole ones."""
    names = [backed_up(archive, store, ends(30)).id for _ in range(4)]
    (store.folder / "0-of-somebody-else").mkdir()
    damage(store.folder / names[2] / "backup.json", lambda content: content.reverse())
    assert store.surplus(2) == names[:1]
    assert store.surplus(3) == []
    assert store.surplus(1) == names[:3]


def test_whatever_is_altered_is_found_and_named(archive: Path, store: BackupStore) -> None:
    """A byte of a file or manifest, a file that is shorter, gone or too many, and another parent."""
    parent, child = backed_up(archive, store, ends(12)), backed_up(archive, store, ends(30))
    held = store.archive_of(child.id)
    data, manifest = data_files(held)[2], manifests_in(held)[2]
    added, told = data.with_name("added.avro"), store.folder / child.id / "backup.json"
    cases: list[tuple[Callable[[], object], Path, Fault]] = [
        (
            lambda: damage(data, lambda content: content.__setitem__(-30, content[-30] ^ 1)),
            data,
            Fault.ALTERED,
        ),
        (lambda: damage(data, lambda content: content.pop()), data, Fault.TORN),
        (data.unlink, data, Fault.MISSING),
        (lambda: damage(manifest, lambda content: content.__setitem__(9, 0)), manifest, Fault.ALTERED),
        (lambda: added.write_bytes(b"x"), added, Fault.ALTERED),
        (lambda: told.write_bytes(told.read_bytes().replace(b"usage-0", b"usage-x")), told, Fault.ALTERED),
        (
            lambda: damage(told, lambda content: content.pop()),
            told,
            Fault.ALTERED,
        ),
    ]
    assert Verifier(store).damage_of(child.id) == []
    whole = store.folder.with_name("whole")
    shutil.copytree(store.folder, whole)
    for alter, file, fault in cases:
        alter()
        found = [(one.file, one.fault) for one in Verifier(store).damage_of(child.id)]
        assert found == [(str(file.relative_to(store.folder)), fault)]
        shutil.rmtree(store.folder)
        shutil.copytree(whole, store.folder)
    shutil.rmtree(store.folder / parent.id)
    assert backed_up(archive, BackupStore(store.folder.with_name("other")), ends(11)).id == parent.id
    shutil.copytree(store.folder.with_name("other") / parent.id, store.folder / parent.id)
    [other] = Verifier(store).damage_of(child.id)
    assert other.fault is Fault.BROKEN_CHAIN


def test_one_backup_is_made_at_a_time(archive: Path, store: BackupStore) -> None:
    """The second is refused, and removes nothing that the first has begun."""
    backed_up(archive, store, ends(30))
    with store.locked(), store.begun("20260101T000000000Z") as begun:
        with pytest.raises(BackupError, match="is being made in"), store.locked():
            raise AssertionError
        assert begun.is_dir()


async def test_segments_merged_while_they_are_copied_are_taken_as_merged(
    archive: Path, store: BackupStore
) -> None:
    """The archive goes on being compacted: the partition is begun anew, and the backup is whole."""
    compacted: list[int] = []

    def compact_once(*_: int) -> None:
        if not compacted:
            compacted.append(1)
            asyncio.run(compact(ArchiveSettings(folder=archive), lambda _: None))

    def make() -> str:
        making = Making(archive, LogSettings(), store, "0.1.0", None)
        with store.locked():
            return copy(making, Point(FIRST_US, ends(30), {}), compact_once).id

    name = await asyncio.to_thread(make)
    assert len(data_files(store.archive_of(name))) == 1
    assert Verifier(store).damage_of(name) == []


def test_an_archive_that_is_no_whole_log_is_not_backed_up(archive: Path, store: BackupStore) -> None:
    """Its beginning retired, a file altered, or too short: said at once, and nothing is listed."""
    with pytest.raises(DamagedBackupError, match="ends at 30, before 31"):
        backed_up(archive, store, ends(31))
    altered = data_files(archive)[1]
    damage(altered, lambda content: content.__setitem__(-30, content[-30] ^ 1))
    with pytest.raises(DamagedBackupError, match=altered.name):
        backed_up(archive, store, ends(30))
    shelf = Shelf(archive, FIRST)
    shelf.retire(read_chain(shelf).segments[0])
    with pytest.raises(DamagedBackupError, match="begins at 10: retention took"):
        backed_up(archive, store, ends(30))
    assert store.ids() == []
    assert [path.name for path in store.folder.iterdir()] == ["lock"]


async def test_a_backup_laid_out_is_an_archive_that_ends_at_its_point(
    archive: Path, store: BackupStore, tmp_path: Path
) -> None:
    """The segment that goes beyond it is cut; a folder with anything in it is refused."""
    backup = backed_up(archive, store, ends(17))
    target, held = ArchiveSettings(folder=tmp_path / "new"), store.archive_of(backup.id)
    await lay_out(backup, held, target, LogSettings(), lambda *_: None)
    [found] = await verify(target, lambda *_: None)
    assert (found.next_offset, found.segments, found.findings) == (17, 2, ())
    before, after = Shelf(archive, FIRST), Shelf(tmp_path / "new", FIRST)
    records = [one for segment in read_chain(before).segments for one in read_segment(before, segment)]
    assert [one for segment in read_chain(after).segments for one in read_segment(after, segment)] == records[
        :17
    ]
    with pytest.raises(BackupError, match="is not empty"):
        await lay_out(backup, held, target, LogSettings(), lambda *_: None)
