"""Damage to an archive is found and named, and mended out of the log; merging keeps all of it provable."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from events.broker import create_topics
from events.positions import Partition
from events.settings import LogSettings
from projections.archive.chain import Fault, Finding
from projections.archive.compact import compact
from projections.archive.rebuild import rebuild
from projections.archive.restore import restore
from projections.archive.settings import ArchiveSettings, Codec, Layout
from projections.archive.sink import ArchiveSink
from projections.archive.verify import verify
from tests.integration.archive.archiving import (
    append_events,
    append_odd_records,
    archive_log,
    damage,
    data_files,
    manifests_in,
    settings_of,
    whole_log,
)
from tests.integration.conftest import LogSettingsFactory

pytestmark = pytest.mark.any_broker

ROUNDS = 5


@pytest.fixture
async def log(make_log_settings: LogSettingsFactory) -> LogSettings:
    """A log of one partition for each topic."""
    settings = make_log_settings()
    await create_topics(settings)
    return settings


async def in_segments(log: LogSettings, archive: ArchiveSettings) -> None:
    """Some segments of usage in each partition."""
    sink = ArchiveSink(archive, log)
    for number in range(ROUNDS):
        await append_events(log, 60)
        if number == 1:
            await append_odd_records(log)
        await archive_log(sink, log)


async def findings(archive: ArchiveSettings) -> list[Finding]:
    """What is wrong with the archive."""
    return [finding for one in await verify(archive, lambda *_: None) for finding in one.findings]


async def same_as_restored(
    archive: ArchiveSettings, log: LogSettings, make_log_settings: LogSettingsFactory
) -> bool:
    """Whether the archive restores to the log."""
    other = make_log_settings()
    await create_topics(other)
    await restore(archive, other, lambda _: None)
    return await whole_log(other) == await whole_log(log)


def cut_short(content: bytearray) -> None:
    """As a torn write leaves it."""
    del content[len(content) // 2 :]


def flip(content: bytearray) -> None:
    """One bit in the middle."""
    content[len(content) // 2] ^= 1


DAMAGES: dict[str, tuple[Callable[[Path], object], Fault]] = {
    "torn": (lambda path: damage(path, cut_short), Fault.TORN),
    "altered": (lambda path: damage(path, flip), Fault.ALTERED),
    "missing": (lambda path: path.unlink(), Fault.MISSING),
}


@pytest.mark.parametrize("kind", DAMAGES)
async def test_a_damaged_file_is_named_and_comes_back_to_the_byte(
    log: LogSettings, tmp_path: Path, kind: str
) -> None:
    """Out of the log; the manifest stays as it was and proves it."""
    archive = settings_of(tmp_path)
    await in_segments(log, archive)
    assert await findings(archive) == []
    path = data_files(tmp_path)[2]
    before, chain = path.read_bytes(), [one.read_bytes() for one in manifests_in(tmp_path)]
    spoil, fault = DAMAGES[kind]
    spoil(path)
    [found] = await findings(archive)
    assert (found.fault, found.file) == (fault, str(path.relative_to(tmp_path)))
    [done] = await rebuild(archive, log, [found])
    assert done.refused is None
    assert path.read_bytes() == before
    assert [one.read_bytes() for one in manifests_in(tmp_path)] == chain
    assert await findings(archive) == []


@pytest.mark.parametrize("number", [0, 2, ROUNDS - 1])
@pytest.mark.parametrize("kind", ["torn", "altered", "missing"])
async def test_a_damaged_manifest_is_named_and_comes_back_to_the_byte(
    log: LogSettings, tmp_path: Path, kind: str, number: int
) -> None:
    """Its hash in the next one tells that it is the same; the last that is missing is as if never archived."""
    archive = settings_of(tmp_path)
    await in_segments(log, archive)
    path = manifests_in(tmp_path)[number]
    before = path.read_bytes()
    DAMAGES[kind][0](path)
    found = await findings(archive)
    if kind == "missing" and number == ROUNDS - 1:
        assert found == []
        return
    assert str(path.relative_to(tmp_path)) in {one.file for one in found}
    assert [one.refused for one in await rebuild(archive, log, found)] == [None]
    assert await findings(archive) == []
    assert path.read_bytes() == before


@pytest.mark.parametrize("layout", list(Layout))
async def test_merged_segments_are_fewer_and_restore_to_the_same_log(
    log: LogSettings, make_log_settings: LogSettingsFactory, tmp_path: Path, layout: Layout
) -> None:
    """Merged twice, with more archived between; every file and the whole chain verify."""
    archive = settings_of(tmp_path, layout=layout)
    await in_segments(log, archive)
    before = len(manifests_in(tmp_path))
    done = await compact(archive, lambda _: None)
    assert all(one.refused is None for one in done)
    assert len(manifests_in(tmp_path)) < before
    assert await findings(archive) == []
    await in_segments(log, archive)
    await compact(archive, lambda _: None)
    assert await findings(archive) == []
    assert await same_as_restored(archive, log, make_log_settings)


async def test_a_damaged_merged_file_is_built_anew(
    log: LogSettings, make_log_settings: LogSettingsFactory, tmp_path: Path
) -> None:
    """It comes out as another file; what the replaced manifests say of its records is still true of it."""
    archive = settings_of(tmp_path, codec=Codec.DEFLATE)
    await in_segments(log, archive)
    await compact(archive, lambda _: None)
    path = data_files(tmp_path)[0]
    damage(path, flip)
    [found] = await findings(archive)
    assert [one.refused for one in await rebuild(archive, log, [found])] == [None]
    assert await findings(archive) == []
    assert await same_as_restored(archive, log, make_log_settings)


async def test_another_log_does_not_mend_an_archive(
    log: LogSettings, make_log_settings: LogSettingsFactory, tmp_path: Path
) -> None:
    """Its records are not those that were archived: the damaged file stays, and so does what is said of it."""
    archive = settings_of(tmp_path)
    await in_segments(log, archive)
    await compact(archive, lambda _: None)
    other = make_log_settings()
    await create_topics(other)
    for _ in range(2 * ROUNDS):
        await append_events(other, 60)
    damage(data_files(tmp_path)[0], flip)
    found = await findings(archive)
    [done] = await rebuild(archive, other, found)
    assert done.refused is not None
    assert await findings(archive) == found


async def test_merging_goes_on_beside_a_writer(log: LogSettings, tmp_path: Path) -> None:
    """The writer's next segment follows the merged one."""
    archive = settings_of(tmp_path)
    sink = ArchiveSink(archive, log)
    await in_segments(log, archive)
    place = Partition("usage", 0)
    assert await sink.open(place) > 0
    for _ in range(3):
        await append_events(log, 60)
        await asyncio.gather(archive_log(sink, log), compact(archive, lambda _: None))
    assert await findings(archive) == []
    ends = await sink.positions()
    assert ends[place] == len((await whole_log(log))[place])
