"""A log whose beginning retention took: the archive is folded up to where the log begins, and then the log."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from events.positions import Partition
from events.until import UntilPositions
from processors.rebuild.archived_log import ArchivedLog
from processors.rebuild.building import Options
from processors.rebuild.errors import ArchiveUnusableError, LogStartGoneError
from projections.archive.sink import ArchiveSink
from projections.archive.source import ArchiveSource
from tests.integration.archive.archiving import archive_log, manifests_in, settings_of
from tests.integration.log import everything
from tests.integration.rebuild.site import LOST, built, generations_of, lose_the_beginning, rebuilt
from tests.integration.restore.site import FIRST, SECOND, archived
from tests.integration.rig import Rig
from tests.integration.traffic import Traffic


@pytest.mark.kafka
async def test_a_log_that_lost_its_beginning_is_rebuilt_with_its_archive(rig: Rig, tmp_path: Path) -> None:
    """Refused without it; with it every key is equal, also of what came after the archive, and as of an earlier time."""
    whole = {topic: await everything(rig.reader, topic) for topic in LOST}
    archive = settings_of(tmp_path / "archive")
    await archive_log(ArchiveSink(archive, rig.log), rig.log)
    await rig.append(*Traffic(rig).some(50))
    await rig.folded()
    await lose_the_beginning(rig)
    with pytest.raises(
        LogStartGoneError, match=r"begins at [0-9]+, .* `interlock rebuild live --archive DIR`"
    ):
        await rebuilt(rig)
    source = ArchivedLog(rig.log, ArchiveSource(tmp_path / "archive"))
    for topic, by_number in whole.items():
        again = await everything(source, topic)
        for number, records in by_number.items():
            assert [
                (one.offset, one.timestamp, one.key, one.value) for one in again[number][: len(records)]
            ] == [(one.offset, one.timestamp, one.key, one.value) for one in records]
    options = Options(archive=tmp_path / "archive")
    outcome = await rebuilt(rig, options)
    assert [str(one) for one in outcome.comparison.differences] == []
    assert outcome.is_live
    await rig.append(*Traffic(rig).some(20))
    await rig.folded()
    past = await built(rig, UntilPositions({Partition("usage", 0): 20}), options)
    assert past.positions[Partition("usage", 0)] == 20
    assert await generations_of(rig).live() == outcome.plan.generation


@pytest.mark.any_broker
@pytest.mark.kafka
async def test_an_archive_of_another_log_or_a_damaged_or_short_one_is_refused(
    rig: Rig, tmp_path: Path
) -> None:
    """Before anything is folded; the live generation stays."""
    await archived(tmp_path / "short", range(3), places=(FIRST, SECOND))
    await archived(tmp_path / "other", range(5_000), places=(FIRST, SECOND), at_once=5_000)
    archive = settings_of(tmp_path / "archive")
    await archive_log(ArchiveSink(archive, rig.log), rig.log)
    await lose_the_beginning(rig)
    with pytest.raises(ArchiveUnusableError, match="it is the archive of another log"):
        await rebuilt(rig, Options(archive=tmp_path / "other"))
    with pytest.raises(LogStartGoneError, match="up to where the log begins"):
        await rebuilt(rig, Options(archive=tmp_path / "short"))
    manifests_in(tmp_path / "archive")[0].write_bytes(b"{}")
    with pytest.raises(ArchiveUnusableError, match="interlock archive verify"):
        await rebuilt(rig, Options(archive=tmp_path / "archive"))
    assert await generations_of(rig).live() == 1


@pytest.mark.kafka
async def test_a_time_is_found_in_the_archive_and_in_the_log(rig: Rig, tmp_path: Path) -> None:
    """The first record that is not older, wherever it lies."""
    archive = settings_of(tmp_path / "archive")
    await archive_log(ArchiveSink(archive, rig.log), rig.log)
    before = await everything(rig.reader, "usage")
    await lose_the_beginning(rig)
    source = ArchivedLog(rig.log, ArchiveSource(tmp_path / "archive"))
    for number, records in before.items():
        for record in (records[0], records[len(records) // 2], records[-1]):
            found = (await source.offsets_at("usage", record.timestamp))[number]
            assert records[found].timestamp == record.timestamp
    ends = {number: records[-1].offset + 1 for number, records in before.items()}
    assert await source.offsets_at("usage", time.time_ns() // 1_000_000 + 60_000) == ends
