"""A log archived, and put back into another one."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

import fastavro
import pytest
from avro.datafile import DataFileReader
from avro.io import DatumReader

from events.broker import create_topics
from events.positions import Partition
from events.publisher import Publisher
from projections.archive.restore import Progress, restore
from projections.archive.restore_plan import CannotRestoreError, LogNotEmptyError
from projections.archive.settings import Codec, Layout
from projections.archive.sink import ArchiveSink
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
from tests.integration.log import CODEC, usage


@pytest.mark.parametrize("layout", list(Layout))
async def test_a_restored_log_is_the_same_to_the_byte(
    make_log_settings: LogSettingsFactory, tmp_path: Path, layout: Layout
) -> None:
    """Offsets, times, keys, values, headers; also what is no event, and what lies on other days."""
    first, second = make_log_settings(), make_log_settings()
    for settings in (first, second):
        await create_topics(settings)
    await append_events(first, 1_200)
    await append_odd_records(first)
    archive = settings_of(tmp_path, layout=layout)
    sink = ArchiveSink(archive, first)
    ends = await archive_log(sink, first)
    seen: list[Progress] = []
    restored = await restore(archive, second, seen.append)
    log = await whole_log(first)
    assert log == await whole_log(second)
    assert {place: end for place, end in ends.items() if end} == {
        place: records[-1][0] + 1 for place, records in log.items()
    }
    assert restored.ends == {place: len(records) for place, records in log.items()}
    assert seen[-1] == Progress(restored.records, restored.records)
    assert restored.records == sum(map(len, log.values()))


async def test_archiving_goes_on_over_a_restored_log(
    make_log_settings: LogSettingsFactory, tmp_path: Path
) -> None:
    """Stop, start, and again: each time the archive is where it was, and takes what is new."""
    archive = settings_of(tmp_path)
    lengths = []
    for _ in range(3):
        settings = make_log_settings()
        await create_topics(settings)
        await restore(archive, settings, lambda _: None)
        await append_events(settings, 150)
        await archive_log(ArchiveSink(archive, settings), settings)
        lengths.append(sum(map(len, (await whole_log(settings)).values())))
    assert lengths == [151, 302, 453]


@pytest.mark.any_broker
@pytest.mark.parametrize("codec", list(Codec))
async def test_the_files_are_read_by_others_as_they_are(
    make_log_settings: LogSettingsFactory, tmp_path: Path, codec: Codec
) -> None:
    """fastavro, and the reference library where it knows the codec; the event is a record, not bytes."""
    settings = make_log_settings()
    await create_topics(settings)
    await append_events(settings, 300)
    await append_odd_records(settings)
    await archive_log(ArchiveSink(settings_of(tmp_path, codec=codec), settings), settings)
    files = data_files(tmp_path)
    rows: list[Any] = [row for path in files for row in fastavro.reader(BytesIO(path.read_bytes()))]
    log = await whole_log(settings)
    assert sorted((row["timestamp_ms"], row["offset"]) for row in rows) == sorted(
        (record[1], record[0])
        for place, records in log.items()
        if place.topic == "usage"
        for record in records
    )
    events = [row["event"] for row in rows if row["event"] is not None]
    assert len(events) == 300 + 3
    assert {event["tenant"] for event in events} >= {"tenant-0", "tenant-4", "acme"}
    if codec in (Codec.NULL, Codec.DEFLATE):
        theirs: list[Any] = [
            row for path in files for row in DataFileReader(BytesIO(path.read_bytes()), DatumReader())
        ]
        assert [row["event"] for row in theirs] == [row["event"] for row in rows]


async def test_a_log_that_holds_records_is_left_alone(
    make_log_settings: LogSettingsFactory, tmp_path: Path
) -> None:
    """One record more than was archived is enough."""
    settings = make_log_settings()
    await create_topics(settings)
    await append_events(settings, 10)
    archive = settings_of(tmp_path)
    await archive_log(ArchiveSink(archive, settings), settings)
    async with Publisher(settings, CODEC) as publisher:
        await publisher.append([usage()])
    before = await whole_log(settings)
    with pytest.raises(LogNotEmptyError, match="usage"):
        await restore(archive, settings, lambda _: None)
    assert await whole_log(settings) == before


async def test_a_log_with_fewer_partitions_is_refused(
    make_log_settings: LogSettingsFactory, tmp_path: Path
) -> None:
    """Keys would lie elsewhere; nothing is appended."""
    four, two = make_log_settings(partitions=4), make_log_settings()
    for settings in (four, two):
        await create_topics(settings)
    await append_events(four, 100, tenants=40)
    archive = settings_of(tmp_path)
    await archive_log(ArchiveSink(archive, four), four)
    with pytest.raises(CannotRestoreError, match=r"no partitions \[2, 3\]"):
        await restore(archive, two, lambda _: None)
    assert await whole_log(two) == {}


@pytest.mark.any_broker
async def test_what_is_missing_of_an_archive_is_named(
    make_log_settings: LogSettingsFactory, tmp_path: Path
) -> None:
    """A segment that is gone, and a file that was altered: the log stays without what came after."""
    settings, empty = make_log_settings(partitions=1), make_log_settings(partitions=1)
    for one in (settings, empty):
        await create_topics(one)
    archive = settings_of(tmp_path)
    sink = ArchiveSink(archive, settings)
    for _ in range(3):
        async with Publisher(settings, CODEC) as publisher:
            await publisher.append([usage()])
        await archive_log(sink, settings)
    data = data_files(tmp_path)[1]
    damage(data, lambda content: content.__setitem__(-20, content[-20] ^ 1))
    with pytest.raises(CannotRestoreError, match=data.name):
        await restore(archive, empty, lambda _: None)
    assert len((await whole_log(empty)).get(Partition("usage", 0), [])) <= 1
    manifests_in(tmp_path)[0].unlink()
    with pytest.raises(CannotRestoreError, match="no segment has the offsets from 0 to before 1"):
        await restore(archive, empty, lambda _: None)
