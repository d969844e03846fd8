"""Reading a real log by ranges and times."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from embedded.ports import free_port
from events.broker import create_topics
from events.errors import LogUnavailableError, UnknownTopicError
from events.positions import Position
from events.publisher import Encoded, Publisher
from events.reader import LogReader, Range
from events.settings import LogSettings
from tests.integration.conftest import LogSettingsFactory
from tests.integration.late_batch import LateBatch
from tests.integration.log import CODEC, everything, usage


@pytest.fixture
async def settings(make_log_settings: LogSettingsFactory) -> LogSettings:
    made = make_log_settings(partitions=1)
    await create_topics(made)
    return made


@pytest.fixture
async def publisher(settings: LogSettings) -> AsyncIterator[Publisher]:
    async with Publisher(settings, CODEC) as started:
        yield started


@pytest.fixture
def reader(settings: LogSettings) -> LogReader:
    return LogReader(settings)


async def fill(publisher: Publisher, count: int, step_ms: int = 1000) -> None:
    """Records 0, 1, 2 ... at 0 s, 1 s, 2 s ... in batches of 10."""
    for first in range(0, count, 10):
        await publisher.append_encoded(
            [
                Encoded("usage", b"acme", str(number).encode(), number * step_ms)
                for number in range(first, min(first + 10, count))
            ]
        )


async def test_an_empty_topic_holds_nothing(reader: LogReader) -> None:
    """It begins and ends at 0, has no time, and reading it ends at once."""
    assert await reader.ranges("usage") == {0: Range(0, 0)}
    assert await reader.ends("usage") == {0: 0}
    assert await reader.offsets_at("usage", 0) == {0: 0}
    assert await everything(reader, "usage") == {}


@pytest.mark.parametrize("start, end", [(0, 25), (0, 1), (24, 25), (7, 13), (10, 20), (5, 5), (9, 3)])
async def test_a_range_is_read_whole_and_no_further(
    reader: LogReader, publisher: Publisher, start: int, end: int
) -> None:
    """From the middle of a batch into the middle of another; an empty or backward range is nothing."""
    await fill(publisher, 25)
    held = await everything(reader, "usage", {0: Range(start, end)})
    assert [record.offset for record in held.get(0, [])] == list(range(start, end))
    assert [record.value for record in held.get(0, [])] == [
        str(number).encode() for number in range(start, end)
    ]


async def test_a_batch_that_shows_later_than_the_one_above_it_is_not_left_out(
    reader: LogReader, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is read once and for all, as by a rebuild or a proof, has it in its place."""
    await fill(publisher, 50)
    late = LateBatch(monkeypatch)
    held = await everything(reader, "usage")
    assert late.left_out is not None
    assert [record.offset for record in held[0]] == list(range(50))


async def test_ranges_of_several_partitions_are_read_side_by_side(
    make_log_settings: LogSettingsFactory,
) -> None:
    """Each to its own end; a partition that was not asked for is left alone."""
    settings = make_log_settings(partitions=4)
    await create_topics(settings)
    reader = LogReader(settings)
    async with Publisher(settings, CODEC) as publisher:
        await publisher.append([usage(f"tenant-{number}") for number in range(200)])
    ends = await reader.ends("usage")
    wanted = {0: Range(1, ends[0]), 2: Range(0, ends[2] - 1), 3: Range(0, 0)}
    held = await everything(reader, "usage", wanted)
    assert {number: (records[0].offset, records[-1].offset + 1) for number, records in held.items()} == {
        0: (1, ends[0]),
        2: (0, ends[2] - 1),
    }


@pytest.mark.parametrize(
    "time_ms, offset",
    [(0, 0), (1, 1), (999, 1), (1000, 1), (1001, 2), (12_000, 12), (24_000, 24), (24_001, 25)],
)
async def test_a_time_is_found_by_the_records_own_timestamps(
    reader: LogReader, publisher: Publisher, time_ms: int, offset: int
) -> None:
    """The first record that is not older; the end when all are."""
    await fill(publisher, 25)
    assert await reader.offsets_at("usage", time_ms) == {0: offset}


async def test_records_of_one_time_are_all_found(reader: LogReader, publisher: Publisher) -> None:
    """Of equal timestamps the first counts."""
    await fill(publisher, 25, step_ms=0)
    assert await reader.offsets_at("usage", 0) == {0: 0}
    assert await reader.offsets_at("usage", 1) == {0: 25}


async def test_a_range_beyond_the_end_is_said_within_the_bound(
    make_log_settings: LogSettingsFactory, publisher: Publisher, settings: LogSettings
) -> None:
    """What is there is given; for what does not come there is an error, not silence."""
    await fill(publisher, 3)
    hasty = LogReader(settings.model_copy(update={"request_timeout_s": 1.0}))
    seen: list[int] = []

    async def read() -> None:
        async with aclosing(hasty.read("usage", {0: Range(0, 5)})) as batches:
            async for _, records in batches:
                seen.extend(record.offset for record in records)

    async with asyncio.timeout(20):
        with pytest.raises(LogUnavailableError, match="still to read"):
            await read()
    assert seen == [0, 1, 2]


async def test_a_tail_goes_on_with_what_is_appended(reader: LogReader, publisher: Publisher) -> None:
    """From an offset on: first what is there, then what comes."""
    await fill(publisher, 3)
    seen: list[int] = []
    async with asyncio.timeout(20), aclosing(reader.tail("usage", {0: 1})) as batches:
        async for _, records in batches:
            seen += [record.offset for record in records]
            if len(seen) == 2:
                await publisher.append([usage()])
            if len(seen) == 3:
                break
    assert seen == [1, 2, 3]


async def test_large_records_are_read(reader: LogReader, make_log_settings: LogSettingsFactory) -> None:
    """20 MiB, larger than one fetch is meant to be, between two small ones."""
    settings = make_log_settings(partitions=1, max_event_bytes=24 * 2**20, max_in_flight_bytes=2**26)
    await create_topics(settings)
    values = [b"before", bytes(20 * 2**20), b"after"]
    async with Publisher(settings, CODEC) as publisher:
        await publisher.append_encoded([Encoded("usage", b"acme", value) for value in values])
    held = await everything(LogReader(settings), "usage")
    assert [record.value for record in held[0]] == values


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
async def test_compressed_batches_of_other_producers_are_read(
    reader: LogReader, settings: LogSettings, codec: str
) -> None:
    """A codec that is missing here would stop a worker at the first such batch."""
    producer = AIOKafkaProducer(bootstrap_servers=settings.bootstrap, compression_type=codec)
    await producer.start()
    try:
        for number in range(100):
            await producer.send(settings.full_name("usage"), str(number).encode() * 100, b"acme")
    finally:
        await producer.stop()
    held = await everything(reader, "usage")
    assert [record.value for record in held[0]] == [str(number).encode() * 100 for number in range(100)]


async def test_a_partition_that_is_not_there_is_named(reader: LogReader) -> None:
    """Asking for partition 7 of 1."""
    with pytest.raises(LogUnavailableError, match=r"no partition \[7\]"):
        await everything(reader, "usage", {7: Range(0, 1)})


async def test_a_topic_that_is_not_in_the_catalogue_is_named(reader: LogReader) -> None:
    """A typo is answered without asking the broker, which might make a topic of it."""
    with pytest.raises(UnknownTopicError):
        await reader.ends("usages")


async def test_a_topic_that_was_not_created_is_unavailable(log_settings: LogSettings) -> None:
    """The message says how to create it."""
    async with asyncio.timeout(20):
        with pytest.raises(LogUnavailableError, match="interlock topics create"):
            await LogReader(log_settings).ends("usage")


async def test_an_absent_broker_is_said_within_the_bound() -> None:
    """Nobody listens at the address."""
    reader = LogReader(LogSettings(bootstrap=f"127.0.0.1:{free_port()}", request_timeout_s=1.0))
    async with asyncio.timeout(20):
        with pytest.raises(LogUnavailableError):
            await reader.ends("usage")


@pytest.mark.kafka
async def test_a_deleted_prefix_is_passed_over(
    reader: LogReader, publisher: Publisher, settings: LogSettings
) -> None:
    """Retention took the first records: ranges begin later, and what is asked for is given as far as it is there."""
    await fill(publisher, 25)
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.bootstrap)
    await admin.start()
    try:
        place = TopicPartition(settings.full_name("usage"), 0)
        await admin.delete_records({place: RecordsToDelete(before_offset=12)})
    finally:
        await admin.close()
    assert await reader.ranges("usage") == {0: Range(12, 25)}
    assert await reader.offsets_at("usage", 0) == {0: 12}
    for asked, offsets in (
        (Range(0, 25), range(12, 25)),
        (Range(0, 14), range(12, 14)),
        (Range(0, 5), range(0)),
    ):
        held = await everything(reader, "usage", {0: asked})
        assert [record.offset for record in held.get(0, [])] == list(offsets)


async def test_positions_and_ranges_agree(reader: LogReader, publisher: Publisher) -> None:
    """What an append returns is where the topic ends."""
    [position] = await publisher.append([usage()])
    assert position == Position("usage", 0, (await reader.ends("usage"))[0])
