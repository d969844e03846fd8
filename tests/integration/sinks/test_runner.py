"""What drives a sink: every record of the log arrives once and in order, whatever the store, the group or the log do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from aiokafka import AIOKafkaProducer
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from events import tolerant_records
from events.broker import create_topics
from events.group_offsets import GroupOffsets
from events.log_ends import LogEnds
from events.positions import Partition
from events.publisher import Publisher
from events.settings import LogSettings
from processors.sinks.runner import SinkRunner, group_of
from tests.integration.conftest import LogSettingsFactory
from tests.integration.late_batch import LateBatch
from tests.integration.log import CODEC, usage
from tests.integration.sinks.kept import KeepingSink, Store
from tests.raw_batches import Raw, batch_of, produce

KEPT_WITHIN_S = 30.0
LOOK_EVERY_S = 0.02


@pytest.fixture
async def settings(make_log_settings: LogSettingsFactory) -> LogSettings:
    """A log of its own with its topics, and a session short enough to see a member being missed."""
    made = make_log_settings(session_timeout_s=2.0)
    made = made.model_copy(update={"group_id": made.topic_prefix.rstrip(".")})
    await create_topics(made)
    return made


@asynccontextmanager
async def running(settings: LogSettings, sink: KeepingSink) -> AsyncIterator[SinkRunner]:
    """A runner at work; it is stopped in order when the block is left."""
    runner = SinkRunner(settings, sink)
    task = asyncio.create_task(runner.run())
    try:
        yield runner
        runner.stop()
        await task
    finally:
        task.cancel()
        await asyncio.wait([task])


@asynccontextmanager
async def cancelled(settings: LogSettings, sink: KeepingSink) -> AsyncIterator[None]:
    """A runner at work that is not left the time to end in order."""
    task = asyncio.create_task(SinkRunner(settings, sink).run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def append(settings: LogSettings, count: int) -> list[bytes]:
    """So many usage events of five tenants; their values."""
    events = [usage(tenant=f"tenant-{number % 5}") for number in range(count)]
    async with Publisher(settings, CODEC) as publisher:
        await publisher.append(events)
    return [CODEC.encode(event) for event in events]


async def until(holds: Callable[[], bool]) -> None:
    """Wait until it holds."""
    async with asyncio.timeout(KEPT_WITHIN_S):
        while True:
            if holds():
                return
            await asyncio.sleep(LOOK_EVERY_S)


async def until_kept(store: Store, count: int) -> None:
    """Wait until the store has so many values."""
    await until(lambda: sum(map(len, store.values.values())) >= count)


def kept(store: Store) -> list[bytes]:
    """All values, sorted: partitions have no order among each other."""
    return sorted(value for values in store.values.values() for value in values)


async def test_every_record_arrives_once_and_the_group_knows_how_far(settings: LogSettings) -> None:
    """The committed offsets of the sink's group are what is durable, so lag is known without the store."""
    store = Store()
    values = await append(settings, 300)
    async with running(settings, KeepingSink(store)):
        await until_kept(store, 300)
        values += await append(settings, 200)
        await until_kept(store, 500)
    assert kept(store) == sorted(values)
    places = [Partition("usage", number) for number in range(settings.partitions)]
    async with GroupOffsets(settings) as groups, LogEnds(settings) as ends:
        committed = await groups.committed(group_of(settings, "kept"), places)
        assert committed == await ends.ends(places)


@pytest.mark.embedded
async def test_header_names_and_damage_stop_no_other_partition(
    settings: LogSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Names that are not UTF-8 are read; at a damaged batch its partition waits, is tried again, and the others go on."""
    monkeypatch.setattr(tolerant_records, "AGAIN_AFTER_S", 0.05)
    store = Store()
    odd, damaged = (batch_of([Raw(b"a", b"1", [("\udcff", b"")]), Raw(b"a", b"2")]) for _ in range(2))
    damaged[-1] ^= 1
    damaged_at = f"{settings.full_name('usage')}-0: the batch at offset 2 is damaged"
    async with AIOKafkaProducer(bootstrap_servers=settings.bootstrap, enable_idempotence=False) as producer:
        for topic, batch in (("usage", odd), ("usage", damaged), ("health", odd)):
            await produce(producer, settings.full_name(topic), 0, batch)
        with capture_logs() as logged:
            async with cancelled(settings, KeepingSink(store)):
                await until_kept(store, 4)
                await produce(producer, settings.full_name("health"), 0, odd)
                await until_kept(store, 6)
                await until(lambda: sum(damaged_at in line.get("why", "") for line in logged) > 1)
    assert {str(place): values for place, values in store.values.items() if values} == {
        "usage-0": [b"1", b"2"],
        "health-0": [b"1", b"2"] * 2,
    }


async def test_what_a_fetch_brought_is_one_batch(settings: LogSettings) -> None:
    """A rest that stays with the consumer would wait for as long as partitions without records do."""
    store = Store()
    events = [usage(tenant="acme")] * 20_000
    async with Publisher(settings, CODEC) as publisher:
        await publisher.append(events)
    async with running(settings, KeepingSink(store)):
        await until_kept(store, len(events))
    assert store.writes <= 2


async def test_a_record_that_shows_later_than_the_one_above_it_is_not_left_out(
    settings: LogSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With several producers at once, the embedded broker now and then answers a fetch like that."""
    store, late = Store(), LateBatch(monkeypatch)
    values = [value for _ in range(5) for value in await append(settings, 20)]
    async with running(settings, KeepingSink(store)):
        await until_kept(store, 100)
    assert late.left_out is not None
    assert kept(store) == sorted(values)


async def test_a_stop_keeps_all_that_the_log_held(settings: LogSettings) -> None:
    """Also what was appended just before it."""
    store = Store()
    async with running(settings, KeepingSink(store)):
        first = await append(settings, 50)
        await until_kept(store, 50)
        first += await append(settings, 400)
    assert kept(store) == sorted(first)


async def test_a_store_that_is_away_is_caught_up_with_and_keeps_no_other_waiting(
    settings: LogSettings,
) -> None:
    """No restart: the lag grows, and goes."""
    away, there = Store(), Store()
    async with running(settings, KeepingSink(away)), running(settings, KeepingSink(there, name="other")):
        values = await append(settings, 100)
        await until_kept(away, 100)
        away.away = True
        values += await append(settings, 100)
        await until_kept(there, 200)
        assert len(kept(away)) == 100
        away.away = False
        await until_kept(away, 200)
    assert kept(away) == kept(there) == sorted(values)


async def test_a_lost_reply_doubles_nothing(settings: LogSettings) -> None:
    """The store has the batch, and the sink was not told: it asks where the store is before it goes on."""
    store = Store(lose_replies=3)
    async with running(settings, KeepingSink(store)):
        values = await append(settings, 100)
        await until_kept(store, 100)
        values += await append(settings, 100)
        await until_kept(store, 200)
    assert kept(store) == sorted(values)


async def test_members_come_and_go_and_nothing_is_lost_or_doubled(settings: LogSettings) -> None:
    """Two processes share the partitions; what one held when it left, the other goes on with."""
    store = Store()
    values = await append(settings, 200)
    async with running(settings, KeepingSink(store)):
        await until_kept(store, 200)
        async with running(settings, KeepingSink(store)):
            values += await append(settings, 300)
            await until_kept(store, 500)
        values += await append(settings, 100)
        await until_kept(store, 600)
    assert kept(store) == sorted(values)


async def test_a_store_ahead_of_the_log_is_not_written(settings: LogSettings) -> None:
    """It holds events that this log never had: going on would leave a hole where they differ."""
    store = Store(
        values={Partition("usage", number): [b"older"] * 9 for number in range(settings.partitions)}
    )
    async with cancelled(settings, KeepingSink(store)):
        await append(settings, 4)
        async with Publisher(settings, CODEC) as publisher:
            await publisher.append([usage()])
        await until(lambda: len(store.epochs) >= len(store.values))
    assert all(values == [b"older"] * 9 for place, values in store.values.items() if place.topic == "usage")


async def test_a_store_of_another_log_is_not_written_when_this_one_has_grown_past_it(
    make_log_settings: LogSettingsFactory, settings: LogSettings
) -> None:
    """Its last record is another one here: the records in its place would be left out in silence."""
    store = Store()
    async with running(settings, KeepingSink(store)):
        before = await append(settings, 20)
        await until_kept(store, 20)
    other = make_log_settings(session_timeout_s=2.0)
    other = other.model_copy(update={"group_id": other.topic_prefix.rstrip(".")})
    await create_topics(other)
    await append(other, 50)
    seen = _replaced()
    async with cancelled(other, KeepingSink(store)):
        await until(lambda: _replaced() >= seen + len(store.tips))
    assert kept(store) == sorted(before)


def _replaced() -> float:
    """How often a partition was opened again because the log is another one."""
    found = REGISTRY.get_sample_value(
        "interlock_sink_reopened_total", {"sink": "kept", "cause": "log_replaced"}
    )
    return found or 0.0
