"""The log goes away and comes back: errors within their bounds, and recovery without a restart of the client."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import aclosing, suppress
from itertools import count

import pytest
from aiokafka.errors import KafkaError, OutOfOrderSequenceNumber, ProducerFenced

from embedded.ports import free_port
from events.broker import create_topics
from events.errors import EventsError, LogUnavailableError
from events.lane import Lane
from events.partitioner import partition_of
from events.publisher import Encoded, PartlyAppendedError, Publisher
from events.reader import LogReader, Range
from events.settings import LogSettings
from tests.integration.conftest import Broker, log_server
from tests.integration.log import CODEC, begun, everything, until, until_it_works, usage
from tests.integration.stopped import stop

BOUND_S = 1.5
SLACK_S = 20.0
_PREFIXES = count(1)


@pytest.fixture(scope="module")
async def shared_server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Broker]:
    async with log_server(tmp_path_factory.mktemp("faults")) as running:
        yield running


@pytest.fixture
async def server(shared_server: Broker) -> Broker:
    """A broker that a test may kill: the next one starts it again."""
    if shared_server.child.exit_code is not None:
        await shared_server.start()
    return shared_server


@pytest.fixture
async def settings(server: Broker) -> LogSettings:
    prefix = f"faults-{next(_PREFIXES)}."
    made = LogSettings(bootstrap=server.address, topic_prefix=prefix, partitions=2, request_timeout_s=BOUND_S)
    await until_it_works(lambda: create_topics(made), LogUnavailableError)
    return made


@pytest.fixture
def patient(settings: LogSettings) -> LogSettings:
    """The same topics, for who waits for a busy machine."""
    return settings.model_copy(update={"request_timeout_s": SLACK_S})


async def test_a_killed_broker_is_unavailable_within_the_bound_and_found_again(
    server: Broker, settings: LogSettings
) -> None:
    """Each append ends in time; when the broker is back the same publisher goes on."""
    async with Publisher(settings, CODEC) as publisher:
        await publisher.append([usage()])
        await server.kill()
        for _ in range(2):
            async with asyncio.timeout(BOUND_S + SLACK_S):
                with pytest.raises(LogUnavailableError, match="did not acknowledge"):
                    await publisher.append([usage()])
        assert publisher.in_flight_events == 0
        await server.start()
        await until_it_works(lambda: create_topics(settings), LogUnavailableError)
        [position] = await until_it_works(lambda: publisher.append([usage()]), LogUnavailableError)
        reader = LogReader(settings)
        assert (await reader.ends("usage"))[position.partition] >= position.offset


async def test_a_broker_that_hangs_is_unavailable_within_the_bound(
    server: Broker, settings: LogSettings
) -> None:
    """It accepts connections and answers nothing; once it goes on, so do the appends."""
    async with Publisher(settings, CODEC) as publisher:
        await publisher.append([usage()])
        await stop(server.child)
        try:
            async with asyncio.timeout(BOUND_S + SLACK_S):
                with pytest.raises(LogUnavailableError):
                    await publisher.append([usage()])
                with pytest.raises(LogUnavailableError):
                    await LogReader(settings).ends("usage")
        finally:
            server.child.send(signal.SIGCONT)
        await until_it_works(lambda: publisher.append([usage()]), LogUnavailableError)


async def test_a_publisher_closes_while_the_broker_is_away(server: Broker, settings: LogSettings) -> None:
    """What was not acknowledged is given up; closing does not wait for it."""
    async with asyncio.timeout(30):
        async with Publisher(settings, CODEC) as publisher:
            await publisher.append([usage()])
            await server.kill()
            with pytest.raises(LogUnavailableError):
                await publisher.append([usage()])


async def test_an_append_under_way_ends_when_the_publisher_closes(
    server: Broker, settings: LogSettings
) -> None:
    """Nobody waits for ever on a publisher that is gone."""
    publisher = Publisher(settings, CODEC)
    await publisher.__aenter__()
    await stop(server.child)
    try:
        append = begun(publisher.append([usage()]))
        await until(lambda: publisher.in_flight_events)
        async with asyncio.timeout(30):
            await publisher.__aexit__(None, None, None)
            with pytest.raises(LogUnavailableError):
                await append
    finally:
        server.child.send(signal.SIGCONT)


async def test_a_publisher_without_a_broker_does_not_start() -> None:
    """The error names the address."""
    address = f"127.0.0.1:{free_port()}"
    settings = LogSettings(bootstrap=address, request_timeout_s=BOUND_S)
    async with asyncio.timeout(BOUND_S + SLACK_S):
        with pytest.raises(LogUnavailableError, match=address):
            async with Publisher(settings, CODEC):
                pass


async def test_what_was_acknowledged_before_a_failure_is_told(
    patient: LogSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One partition fails, the other does not: the positions say which events lie on the log."""
    failing = partition_of(b"acme", 2)
    send = Lane._send

    async def refuse_one(self: Lane, batch: object) -> int:
        if self._partition == failing:
            raise OSError("the wire is cut")
        return await send(self, batch)

    monkeypatch.setattr(Lane, "_send", refuse_one)
    tenants = [f"tenant-{number}" for number in range(10)]
    async with Publisher(patient, CODEC) as publisher:
        with pytest.raises(PartlyAppendedError, match="the wire is cut") as caught:
            await publisher.append([usage(tenant) for tenant in tenants])
    told = [position is not None for position in caught.value.positions]
    assert told == [partition_of(tenant.encode(), 2) != failing for tenant in tenants]
    assert (await LogReader(patient).ends("usage"))[1 - failing] == sum(told)


async def test_nothing_of_an_append_overtakes_what_failed_before_it(
    patient: LogSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the first of several batches of one append fails, the others are not sent."""
    send = Lane._send
    failures = [OSError("the wire is cut")]

    async def fail_once(self: Lane, batch: object) -> int:
        if failures:
            raise failures.pop()
        return await send(self, batch)

    monkeypatch.setattr(Lane, "_send", fail_once)
    records = [Encoded("usage", b"acme", bytes(10_000)) for _ in range(200)]
    async with Publisher(patient, CODEC) as publisher:
        with pytest.raises(LogUnavailableError, match="the wire is cut"):
            await publisher.append_encoded(records)
        assert sum((await LogReader(patient).ends("usage")).values()) == 0
        assert len(await publisher.append_encoded(records)) == 200


@pytest.mark.parametrize("error", [OutOfOrderSequenceNumber(), ProducerFenced(), KafkaError("unexpected")])
async def test_an_error_that_ends_a_producer_does_not_end_the_publisher(
    patient: LogSettings, error: KafkaError
) -> None:
    """Aiokafka's producer refuses everything after such an error; the publisher takes another one."""
    async with Publisher(patient, CODEC) as publisher:
        await publisher.append([usage()])
        assert publisher._producer is not None
        publisher._producer._message_accumulator.fail_all(error)
        with pytest.raises(LogUnavailableError, match=type(error).__name__):
            await publisher.append([usage()])
        answers = await asyncio.gather(*(publisher.append([usage()]) for _ in range(5)))
        assert sorted(position.offset for [position] in answers) == [2, 3, 4, 5, 6]


async def test_a_cancelled_append_leaves_room_for_others(patient: LogSettings) -> None:
    """A client that hangs up does not hold its place."""
    async with Publisher(patient, CODEC) as publisher:
        append = begun(publisher.append([usage() for _ in range(100)]))
        await until(lambda: publisher.in_flight_events)
        append.cancel()
        with suppress(asyncio.CancelledError):
            await append
        assert publisher.in_flight_events == 0
        assert len(await publisher.append([usage()])) == 1


async def test_a_read_ends_within_the_bound_when_the_broker_goes_away(
    server: Broker, settings: LogSettings
) -> None:
    """In the middle of a range: what came was right, and then there is an error."""
    async with Publisher(settings, CODEC) as publisher:
        await publisher.append([usage() for _ in range(10)])
    reader = LogReader(settings)
    partition = partition_of(b"acme", 2)

    async def read() -> None:
        async with aclosing(reader.read("usage", {partition: Range(0, 20)})) as batches:
            async for _, records in batches:
                assert [record.offset for record in records] == list(range(10))
                await server.kill()

    async with asyncio.timeout(BOUND_S + 2 * SLACK_S):
        with pytest.raises(LogUnavailableError):
            await read()


async def test_a_tail_ends_within_the_bound_when_the_broker_goes_away(
    server: Broker, settings: LogSettings
) -> None:
    """A quiet log and one that is away are told apart."""
    async with Publisher(settings, CODEC) as publisher:
        await publisher.append([usage()])

    async def follow() -> None:
        async with aclosing(LogReader(settings).tail("usage", {})) as batches:
            async for _ in batches:
                await server.kill()

    async with asyncio.timeout(3 * BOUND_S + 2 * SLACK_S):
        with pytest.raises(LogUnavailableError):
            await follow()


@pytest.mark.kafka
async def test_acknowledged_events_outlive_the_broker(
    server: Broker, settings: LogSettings, patient: LogSettings
) -> None:
    """Killed while appends go on and started again: everything that was acknowledged lies where it was said to."""
    kept: dict[tuple[int, int], str] = {}
    async with Publisher(settings, CODEC) as publisher:

        async def append_for_a_while() -> None:
            for _ in range(200):
                event = usage(f"tenant-{len(kept)}")
                with suppress(EventsError):
                    [position] = await publisher.append([event])
                    kept[position.partition, position.offset - 1] = event.event_id

        appending = begun(append_for_a_while())
        await until(lambda: len(kept) >= 50)
        await server.kill()
        await server.start()
        await appending
    assert len(kept) > 50
    held = await everything(LogReader(patient), "usage")
    for (partition, offset), event_id in kept.items():
        value = held[partition][offset].value
        assert value is not None
        assert event_id.encode() in value
