"""The archive without a log: its names, manifests, and what a write that breaks off leaves behind."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from events.positions import Partition
from events.settings import LogSettings
from projections.archive import files
from projections.archive.chain import Fault, read_chain
from projections.archive.compact import compact, runs
from projections.archive.layout import data_name, day_name, day_of, manifest_name, part_name, places_in
from projections.archive.manifest import DamagedManifestError, DataFile, Manifest, from_bytes, to_bytes
from projections.archive.reading import read_segment
from projections.archive.records import ArchivedRecord
from projections.archive.settings import ArchiveSettings
from projections.archive.shelf import Shelf
from projections.archive.sink import ArchiveSink
from projections.archive.verify import verify
from projections.tip import tip_of
from tests.integration.log import CODEC, NOW_US, usage

PLACE = Partition("usage", 0)
DAY_MS = 86_400_000
NOW_MS = NOW_US // 1000


class CutError(BaseException):
    """The process ends here."""


def records(first: int, count: int, time_ms: int = NOW_MS) -> list[ArchivedRecord]:
    """Events of usage."""
    return [
        ArchivedRecord("usage", 0, offset, time_ms, b"acme", CODEC.encode(usage(request_id=str(offset))), ())
        for offset in range(first, first + count)
    ]


def sink_of(folder: Path, **changed: object) -> ArchiveSink:
    """A sink of an archive in a folder."""
    return ArchiveSink(settings_of(folder, **changed), LogSettings())


def settings_of(folder: Path, **changed: object) -> ArchiveSettings:
    """An archive in a folder."""
    return ArchiveSettings.model_validate({"folder": folder, **changed})


def archived(folder: Path) -> list[int]:
    """Offsets that can be read back, in order."""
    shelf = Shelf(folder, PLACE)
    return [record.offset for one in read_chain(shelf).segments for record in read_segment(shelf, one)]


@contextmanager
def cut_after(monkeypatch: pytest.MonkeyPatch, steps: int) -> Iterator[Callable[[], bool]]:
    """End the process before the step of that number of what is done on the disk; asks whether it came so far."""
    left = steps
    reached = False

    def counted(step: Callable[..., object]) -> Callable[..., object]:
        def run(*arguments: object, **named: object) -> object:
            nonlocal left, reached
            if left == 0:
                reached = True
                raise CutError
            left -= 1
            return step(*arguments, **named)

        return run

    with monkeypatch.context() as patch:
        patch.setattr(files, "_written", counted(files._written))
        patch.setattr(files, "sync_folder", counted(files.sync_folder))
        patch.setattr(files, "discard", counted(files.discard))
        patch.setattr(Path, "rename", counted(Path.rename))
        patch.setattr(Path, "hardlink_to", counted(Path.hardlink_to))
        patch.setattr(Path, "unlink", counted(Path.unlink))
        yield lambda: reached


def written(folder: Path) -> list[Path]:
    """Files of segments, and manifests."""
    return [*folder.rglob("*.avro"), *folder.rglob("*.json")]


async def findings_in(folder: Path) -> list[str]:
    """What is wrong with the archive."""
    return [
        one.detail for part in await verify(settings_of(folder), lambda *_: None) for one in part.findings
    ]


async def test_any_cut_of_writing_a_segment_leaves_a_whole_archive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The segment is there whole or not at all, and the next owner goes on from where that is."""
    steps, reached = 0, True
    while reached:
        folder = tmp_path / str(steps)
        sink = sink_of(folder)
        await sink.write(PLACE, await sink.open(PLACE), records(0, 10))
        await sink.drain()
        await sink.write(PLACE, 10, records(10, 10))
        with cut_after(monkeypatch, steps) as was_reached:
            with suppress(CutError):
                await sink.drain()
            reached = was_reached()
        assert archived(folder) in (list(range(10)), list(range(20)))
        assert await findings_in(folder) == []
        following = sink_of(folder)
        start = await following.open(PLACE)
        assert start in (10, 20)
        await following.write(PLACE, start, records(start, 30 - start))
        await following.drain()
        assert archived(folder) == list(range(30))
        assert not list(folder.rglob(".partial-*"))
        steps += 1
    assert steps > 6


async def test_any_cut_of_merging_leaves_a_whole_archive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The records are there once, before and after each step, and the next run ends the work."""
    steps, reached = 0, True
    while reached:
        folder = tmp_path / str(steps)
        sink = sink_of(folder)
        await sink.open(PLACE)
        for first in range(0, 40, 10):
            await sink.write(PLACE, first, records(first, 10))
            await sink.drain()
        with cut_after(monkeypatch, steps) as was_reached:
            with suppress(CutError):
                await compact(settings_of(folder), lambda _: None)
            reached = was_reached()
        assert archived(folder) == list(range(40))
        assert await findings_in(folder) == []
        await sink.write(PLACE, 40, records(40, 1))
        await sink.drain()
        [done] = await compact(settings_of(folder), lambda _: None)
        assert (done.refused, done.segments_after) == (None, 1)
        assert archived(folder) == list(range(41))
        assert await findings_in(folder) == []
        assert len([path for path in folder.rglob("*.avro") if not path.name.startswith(".")]) == 1
        steps += 1
    assert steps > 8


async def test_every_byte_of_a_manifest_and_of_a_file_counts(tmp_path: Path) -> None:
    """Whatever bit of them is flipped, it is found, and the file is named."""
    sink = sink_of(tmp_path)
    await sink.open(PLACE)
    for first in (0, 5):
        await sink.write(PLACE, first, records(first, 5))
        await sink.drain()
    for path in written(tmp_path):
        whole = path.read_bytes()
        for at in range(0, len(whole), max(1, len(whole) // 60)):
            path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x20]) + whole[at + 1 :])
            found = [
                one for part in await verify(settings_of(tmp_path), lambda *_: None) for one in part.findings
            ]
            assert str(path.relative_to(tmp_path)) in {one.file for one in found}, (path, at)
        path.write_bytes(whole)
    assert await findings_in(tmp_path) == []


async def test_a_day_that_is_over_closes_the_segment(tmp_path: Path) -> None:
    """The records of the next day begin another one; one that comes late stays where the log is."""
    sink = sink_of(tmp_path)
    await sink.open(PLACE)
    days = [*records(0, 3), *records(3, 2, NOW_MS + DAY_MS), *records(5, 1), *records(6, 1, NOW_MS + DAY_MS)]
    assert await sink.write(PLACE, 0, days) == 3
    assert await sink.drain() == {PLACE: 7}
    segments = read_chain(Shelf(tmp_path, PLACE)).segments
    assert [(one.day, one.first_offset, one.next_offset) for one in segments] == [
        ("2023-11-14", 0, 3),
        ("2023-11-15", 3, 7),
    ]


async def test_age_and_size_close_a_segment(tmp_path: Path) -> None:
    """By the clock that is given, and by the bytes that its file would have."""
    now_s = 0.0
    sink = ArchiveSink(settings_of(tmp_path, segment_age_s=60), LogSettings(), lambda: now_s)
    await sink.open(PLACE)
    await sink.write(PLACE, 0, records(0, 3))
    now_s = 59.0
    assert await sink.tick() == {}
    now_s = 60.0
    assert await sink.tick() == {PLACE: 3}
    small = sink_of(tmp_path, segment_bytes=65_536)
    assert await small.open(PLACE) == 3
    assert await small.write(PLACE, 3, records(3, 4_000)) == 4_003


async def test_what_was_gathered_is_forgotten_when_let_go(tmp_path: Path) -> None:
    """And read again from the last manifest on."""
    sink = sink_of(tmp_path)
    await sink.open(PLACE)
    await sink.write(PLACE, 0, records(0, 5))
    await sink.release(PLACE)
    assert await sink.drain() == {}
    assert await sink.open(PLACE) == 0
    assert await sink.positions() == {PLACE: 0}


def manifest(first: int, end: int, previous: str | None) -> Manifest:
    """A segment that nobody wrote."""
    file = DataFile(f"day=2026-01-01/{first}.avro", "", 1, end - first, 100, "aa", 200, "bb")
    return Manifest(
        "usage", 0, "2026-01-01", first, end, 0, 1, end - first, 0, 50, "null", 6, 1, (file,), previous
    )


def put(shelf: Shelf, manifests: Sequence[Manifest]) -> None:
    """Manifests on a shelf, whatever they say."""
    shelf.manifests.mkdir(parents=True, exist_ok=True)
    for one in manifests:
        (shelf.manifests / manifest_name(one.first_offset)).write_bytes(to_bytes(one))


def test_missing_overlapping_and_strange_segments_are_told_apart(tmp_path: Path) -> None:
    """Each by the offsets it is about."""
    shelf = Shelf(tmp_path, PLACE)
    first = manifest(0, 10, None)
    after_gap = manifest(15, 20, first.hash)
    overlapping = manifest(18, 30, after_gap.hash)
    strange = manifest(30, 40, "somebody else's hash")
    put(shelf, [first, after_gap, overlapping, strange])
    found = [(one.fault, one.first_offset, one.next_offset) for one in read_chain(shelf).findings]
    assert found == [(Fault.MISSING, 10, 15), (Fault.OVERLAPPING, 18, 20), (Fault.BROKEN_CHAIN, 30, 30)]


def test_a_manifest_that_was_taken_out_breaks_the_chain(tmp_path: Path) -> None:
    """Also when the offsets are made to fit again."""
    shelf = Shelf(tmp_path, PLACE)
    first = manifest(0, 10, None)
    second = manifest(10, 20, first.hash)
    third = manifest(20, 30, second.hash)
    put(shelf, [first, replace(second, records=9), third])
    assert [one.fault for one in read_chain(shelf).findings] == [Fault.BROKEN_CHAIN]


def test_a_manifest_reads_back_and_no_other_bytes_do() -> None:
    """Not even with another space in them."""
    whole = to_bytes(manifest(0, 10, None))
    assert to_bytes(from_bytes("m", whole)) == whole
    for other in (
        whole + b" ",
        whole[:-1],
        b"{}",
        b"[]",
        b"",
        whole.replace(b'"records": 10', b'"records": 11'),
    ):
        with pytest.raises(DamagedManifestError):
            from_bytes("m", other)


def test_only_what_fits_is_merged() -> None:
    """Side by side, of one day, up to the size of a segment."""
    small = [manifest(number, number + 1, None) for number in range(6)]
    small[4] = replace(small[4], day="2026-01-02")
    small[5] = replace(small[5], day="2026-01-02")
    found = [[one.first_offset for one in run] for run in runs(small, segment_bytes=300)]
    assert found == [[0, 1, 2], [4, 5]]


@pytest.mark.parametrize("name", ["../../etc", "a/b", "", None, "ä" * 300, ".", "a=b", "\0"])
def test_a_tenants_folder_stays_within_the_archive(name: str | None) -> None:
    """Whatever the tenant is called."""
    part = part_name("tenant", name)
    assert "/" not in part
    assert "\0" not in part
    assert part.startswith("tenant=")
    assert len(part) < 255


def test_days_are_named_for_all_times() -> None:
    """Also for times that no calendar has."""
    assert day_name(day_of(NOW_MS)) == "2023-11-14"
    assert day_name(day_of(-(2**63))) == "0001-01-01"
    assert day_name(day_of(2**63 - 1)) == "9999-12-31"


def test_only_partitions_of_ours_are_found(tmp_path: Path) -> None:
    """Other folders may lie beside them."""
    for name in (
        "topic=usage/partition=3",
        "topic=usage/partition=x",
        "topic=../partition=1",
        "else/partition=1",
    ):
        (tmp_path / name / "_manifests").mkdir(parents=True, exist_ok=True)
    assert places_in(tmp_path) == [Partition("usage", 3)]
    assert data_name(1, 2, 3, 4) == "00000000000000000001-00000000000000000002-00000003-e4.avro"


async def test_the_next_owner_learns_which_record_was_the_last(tmp_path: Path) -> None:
    """From the newest manifest, merged or not; one that was closed before manifests said it is as good."""
    whole = records(0, 9)
    for first in (0, 3, 6):
        sink = sink_of(tmp_path)
        await sink.open(PLACE)
        assert sink.tip(PLACE) == (tip_of(whole[first - 1]) if first else None)
        await sink.write(PLACE, first, whole[first : first + 3])
        await sink.drain()
        await sink.close()
    [done] = await compact(settings_of(tmp_path), lambda _: None)
    assert done.merged == 2
    shelf = Shelf(tmp_path, PLACE)
    assert shelf.claim("another")[1].digest == tip_of(whole[-1]).digest
    older = replace(shelf.manifest(0), digest=None)
    shelf.replace(older)
    assert shelf.manifest(0) == older
    sink = sink_of(tmp_path)
    assert await sink.open(PLACE) == 9
    assert sink.tip(PLACE) is None
    await sink.close()
