"""What the tests of the archive share: logs with all sorts of records, and the archive that a sink makes of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import aclosing
from pathlib import Path

from aiokafka import AIOKafkaProducer

from events.breaker_overridden import BreakerOverridden, OverrideMode
from events.catalogue import TOPICS
from events.envelope import Event
from events.header_names import Header
from events.ids import uuid7
from events.positions import Partition
from events.publisher import Publisher
from events.reader import LogReader, LogRecord
from events.settings import LogSettings
from projections.archive.settings import ArchiveSettings
from projections.archive.sink import ArchiveSink
from tests.integration.log import CODEC, NOW_US, everything, usage
from tests.raw_batches import Raw, batch_of, produce

DAY_MS = 86_400_000
Plain = tuple[int, int, bytes | None, bytes | None, tuple[Header, ...]]
Log = dict[Partition, list[Plain]]


def settings_of(folder: Path, **changed: object) -> ArchiveSettings:
    """An archive in a folder."""
    return ArchiveSettings.model_validate({"folder": folder, **changed})


def plain(record: LogRecord) -> Plain:
    """All that a record is, to compare."""
    return record.offset, record.timestamp, record.key, record.value, tuple(record.headers)


async def whole_log(settings: LogSettings) -> Log:
    """Every record of every topic."""
    reader = LogReader(settings)
    found: Log = {}
    for topic in TOPICS:
        for number, records in (await everything(reader, topic)).items():
            found[Partition(topic, number)] = [plain(record) for record in records]
    return found


async def append_events(settings: LogSettings, count: int, *, tenants: int = 5) -> None:
    """Usage of several tenants, and an override for each hundred."""
    events: list[Event] = [
        usage(f"tenant-{number % tenants}", error="zu langsam – ü" if number % 7 == 0 else None)
        for number in range(count)
    ]
    events += [
        BreakerOverridden(
            event_id=uuid7(NOW_US, number.to_bytes(10, "big")),
            occurred_at=NOW_US,
            source="operator",
            tenant="",
            provider=f"provider-{number}",
            mode=OverrideMode.METRICS_ONLY,
            actor="ops",
            reason="a test",
        )
        for number in range(count // 100)
    ]
    async with Publisher(settings, CODEC) as publisher:
        for first in range(0, len(events), 500):
            await publisher.append(
                events[first : first + 500], (("traceparent", b"00-1"),) if first == 500 else ()
            )


async def append_odd_records(settings: LogSettings) -> None:
    """What no codec of ours would write, and what lies on another day; among whole events."""
    whole = CODEC.encode(usage("acme"))
    odd: Sequence[tuple[bytes | None, bytes | None, list[Header], int]] = [
        (None, None, [], 0),
        (b"", b"", [], 1),
        (b"acme", whole[:-1], [], 2),
        (b"acme", whole + b"!", [("a", b""), ("a", b"2"), ("ü", bytes(range(256)))], 3),
        (b"acme", b"\0\0\0\0\1rest", [], 1_700_000_000_000),
        (b"\xff", whole, [], 1_700_000_000_001),
        (b"acme", whole, [("trace", b"1")], 1_700_000_000_000 + 3 * DAY_MS),
        (b"acme", whole, [("\udcff\\xff", b"1"), ("\\-", None), ("", None)], 1_700_000_000_000),
        (b"acme", whole.replace(b"gateway", b"gat\xff\xfe\xfdy"), [], 1_700_000_000_000),
        (b"acme", bytes(70_000), [], 1_700_000_000_000 + 4 * DAY_MS),
    ]
    batch = batch_of([Raw(key, value, headers, time_ms) for key, value, headers, time_ms in odd])
    async with AIOKafkaProducer(bootstrap_servers=settings.bootstrap, enable_idempotence=False) as producer:
        await produce(producer, settings.full_name("usage"), 1, batch)


async def archive_log(
    sink: ArchiveSink, settings: LogSettings, *, drained: bool = True
) -> dict[Partition, int]:
    """Bring the archive up to the log's end; the durable positions."""
    reader = LogReader(settings)
    for topic in TOPICS:
        ranges = await reader.ranges(topic)
        places = {Partition(topic, number): held for number, held in ranges.items()}
        starts = {place: await sink.open(place) for place in places}
        wanted = {place.number: type(held)(starts[place], held.end) for place, held in places.items()}
        async with aclosing(reader.read(topic, wanted)) as batches:
            async for number, records in batches:
                place = Partition(topic, number)
                await sink.write(place, starts[place], records)
                starts[place] = records[-1].offset + 1
    if drained:
        await sink.drain()
    return await sink.positions()


def damage(path: Path, change: Callable[[bytearray], object]) -> None:
    """Alter a file."""
    content = bytearray(path.read_bytes())
    change(content)
    path.write_bytes(content)


def data_files(folder: Path, topic: str = "usage") -> list[Path]:
    """The files of a topic's segments, in order of partition and offset."""
    return sorted(folder.glob(f"topic={topic}/partition=*/day=*/**/*.avro"))


def manifests_in(folder: Path, topic: str = "usage") -> list[Path]:
    """The manifests of a topic, in order of partition and offset."""
    return sorted(folder.glob(f"topic={topic}/partition=*/_manifests/*.json"))
