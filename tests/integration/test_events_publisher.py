"""Appending to a real log: order, positions, bounds."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from events.broker import create_topics
from events.catalogue import TOPICS
from events.errors import BackpressureError, EventTooLargeError, LogUnavailableError
from events.partitioner import partition_of
from events.positions import Position
from events.publisher import Encoded, Publisher
from events.reader import LogReader
from events.settings import LogSettings
from tests.integration.conftest import LogSettingsFactory
from tests.integration.log import CODEC, begun, everything, until, usage


@pytest.fixture
async def settings(log_settings: LogSettings) -> LogSettings:
    await create_topics(log_settings)
    return log_settings


@pytest.fixture
async def publisher(settings: LogSettings) -> AsyncIterator[Publisher]:
    async with Publisher(settings, CODEC) as started:
        yield started


@pytest.fixture
def reader(settings: LogSettings) -> LogReader:
    return LogReader(settings)


async def test_a_position_is_the_next_offset(publisher: Publisher, reader: LogReader) -> None:
    """A projection that has reached the position has folded the event: it is one past where the event lies."""
    [first] = await publisher.append([usage("acme")])
    [second] = await publisher.append([usage("acme")])
    partition = partition_of(b"acme", 2)
    assert (first, second) == (Position("usage", partition, 1), Position("usage", partition, 2))
    assert (await reader.ends("usage"))[partition] == 2


async def test_events_lie_where_their_positions_say(publisher: Publisher, reader: LogReader) -> None:
    """Many tenants in one append: each event is found just below its position, under its tenant's key."""
    events = [usage(f"tenant-{number % 7}", input_tokens=number) for number in range(500)]
    positions = await publisher.append(events)
    held = await everything(reader, "usage")
    for event, position in zip(events, positions, strict=True):
        record = held[position.partition][position.offset - 1]
        assert record.offset == position.offset - 1
        assert record.key == event.tenant.encode()
        assert CODEC.decode(TOPICS["usage"], record.value) == event


async def test_a_partition_keeps_the_order_of_an_append(publisher: Publisher, reader: LogReader) -> None:
    """Also when it takes several batches: 3 MiB of one tenant."""
    records = [Encoded("usage", b"acme", number.to_bytes(4, "big") + bytes(10_000)) for number in range(300)]
    positions = await publisher.append_encoded(records)
    [held] = (await everything(reader, "usage")).values()
    assert [record.value for record in held] == [record.value for record in records]
    assert [position.offset for position in positions] == list(range(1, 301))


async def test_appends_at_once_are_all_kept_and_each_in_order(
    publisher: Publisher, reader: LogReader
) -> None:
    """A thousand requests of one event each, and some of many, side by side: they share batches, nothing is mixed up."""
    appends = [[usage(f"tenant-{number}")] for number in range(1000)]
    appends += [[usage("busy", request_id=f"{turn}:{number}") for number in range(50)] for turn in range(20)]
    answers = await asyncio.gather(*(publisher.append(events) for events in appends))
    held = await everything(reader, "usage")
    assert sum(len(records) for records in held.values()) == 2000
    for events, positions in zip(appends, answers, strict=True):
        assert positions == sorted(positions, key=lambda position: position.offset)
        for event, position in zip(events, positions, strict=True):
            record = held[position.partition][position.offset - 1]
            assert CODEC.decode(TOPICS["usage"], record.value) == event


async def test_what_a_record_carries_is_kept(publisher: Publisher, reader: LogReader) -> None:
    """Headers in order with their duplicates, and a timestamp of long ago."""
    headers = (("traceparent", b"00-1"), ("empty", b""), ("traceparent", b"00-2"))
    await publisher.append_encoded([Encoded("usage", b"acme", b"value", 1_234_567_890_123, headers)])
    [[record]] = (await everything(reader, "usage")).values()
    assert tuple(record.headers) == headers
    assert record.timestamp == 1_234_567_890_123


async def test_a_record_without_a_time_gets_the_clocks(settings: LogSettings, reader: LogReader) -> None:
    """The clock is an argument."""
    async with Publisher(settings, CODEC, clock_ms=lambda: 42) as publisher:
        await publisher.append([usage()])
    [[record]] = (await everything(reader, "usage")).values()
    assert record.timestamp == 42


async def test_nothing_to_append_is_no_trouble(publisher: Publisher) -> None:
    """An empty outbox."""
    assert await publisher.append([]) == []


async def test_an_event_over_the_limit_is_refused_before_it_is_sent(
    publisher: Publisher, reader: LogReader
) -> None:
    """Key and headers count too, and nothing of that append is sent."""
    limit = publisher._settings.max_event_bytes
    for too_large in (
        Encoded("usage", b"acme", bytes(limit)),
        Encoded("usage", bytes(limit), b"value"),
        Encoded("usage", b"acme", b"value", None, (("x", bytes(limit)),)),
    ):
        with pytest.raises(EventTooLargeError, match=f"over the limit of {limit}"):
            await publisher.append_encoded([Encoded("usage", b"acme", b"small"), too_large])
    assert sum((await reader.ends("usage")).values()) == 0


async def test_an_event_of_the_limit_passes(publisher: Publisher, reader: LogReader) -> None:
    """What the settings allow the topics take."""
    value = bytes(publisher._settings.max_event_bytes - len(b"acme"))
    await publisher.append_encoded([Encoded("usage", b"acme", value)])
    [[record]] = (await everything(reader, "usage")).values()
    assert record.value == value


@pytest.mark.kafka
async def test_a_size_that_only_the_log_refuses_is_said(make_log_settings: LogSettingsFactory) -> None:
    """The topics were made for smaller events than these settings send: no retry mends that."""
    small = make_log_settings(max_event_bytes=2**16)
    await create_topics(small)
    async with Publisher(small.model_copy(update={"max_event_bytes": 2**20}), CODEC) as publisher:
        with pytest.raises(EventTooLargeError, match="the log refused"):
            await publisher.append_encoded([Encoded("usage", b"acme", bytes(2**19))])


async def test_more_than_may_wait_is_told_to_come_back(make_log_settings: LogSettingsFactory) -> None:
    """Full means backpressure: the rest is refused with a time, and what was let in is acknowledged."""
    settings = make_log_settings(max_in_flight_events=10, linger_ms=1000)
    await create_topics(settings)
    async with Publisher(settings, CODEC) as publisher:
        first = begun(publisher.append([usage() for _ in range(10)]))
        await until(lambda: publisher.in_flight_events == 10)
        with pytest.raises(BackpressureError, match="10 events") as refused:
            await publisher.append([usage()])
        assert refused.value.retry_after_s > 0
        assert len(await first) == 10
        assert publisher.in_flight_events == 0
        assert len(await publisher.append([usage()])) == 1


async def test_an_append_larger_than_all_that_may_wait_goes_alone(
    make_log_settings: LogSettingsFactory,
) -> None:
    """A bound on what waits is no bound on what one caller may bring: it is let in when nothing else waits."""
    settings = make_log_settings(max_in_flight_events=10)
    await create_topics(settings)
    async with Publisher(settings, CODEC) as publisher:
        assert len(await publisher.append([usage() for _ in range(50)])) == 50


async def test_a_publisher_that_is_not_started_says_so(settings: LogSettings) -> None:
    """As a log that is away: the caller's way to handle it is the same."""
    publisher = Publisher(settings, CODEC)
    with pytest.raises(LogUnavailableError, match="not started"):
        await publisher.append([usage()])


@pytest.mark.kafka
async def test_an_unknown_topic_is_unavailable_within_the_bound(
    make_log_settings: LogSettingsFactory,
) -> None:
    """The topics were never created: the append ends, and says what was missing."""
    settings = make_log_settings(request_timeout_s=1.0)
    async with Publisher(settings, CODEC) as publisher, asyncio.timeout(20):
        with pytest.raises(LogUnavailableError):
            await publisher.append([usage()])


async def test_waiting_fills_batches(make_log_settings: LogSettingsFactory) -> None:
    """With `linger_ms` appends that come within it are acknowledged together, in the order in which they came."""
    settings = make_log_settings(linger_ms=1000)
    await create_topics(settings)
    async with Publisher(settings, CODEC) as publisher:
        appends = [asyncio.create_task(publisher.append([usage()])) for _ in range(3)]
        done, _ = await asyncio.wait(appends, timeout=0.5)
        assert not done
        assert [position.offset for append in appends for position in await append] == [1, 2, 3]
