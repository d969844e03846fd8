"""A history of a test's own on a real PostgreSQL, filled with events, and an API that reads it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from embedded.postgres import PostgresServer
from events.catalogue import TOPIC_OF_EVENT
from events.codec import Codec
from events.envelope import Event
from events.positions import Partition
from events.reader import LogRecord
from events.registry import open_registry
from events.settings import LogSettings
from projections.history.settings import HistorySettings
from projections.history.sink import HistorySink

ONE_PARTITION = LogSettings(partitions=1)
_SCHEMAS = count(1)


@dataclass(frozen=True, slots=True)
class Record:
    """A record as the log would give it."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()


@dataclass(slots=True)
class HistoryPlace:
    """Events go in as the sink writes them, all of a topic as partition 0 of it."""

    settings: HistorySettings
    sink: HistorySink
    codec: Codec
    _next: dict[Partition, int] = field(default_factory=dict)

    async def add(self, *events: Event, appended_us: int | None = None) -> None:
        """Append events; each is on the log at the time when it occurred unless another is said."""
        by_topic: dict[str, list[Event]] = {}
        for event in events:
            by_topic.setdefault(TOPIC_OF_EVENT[type(event)].name, []).append(event)
        for topic, some in by_topic.items():
            place = Partition(topic, 0)
            start = await self._start(place)
            records = [
                Record(
                    f"test.{topic}",
                    0,
                    start + at,
                    (event.occurred_at if appended_us is None else appended_us) // 1000,
                    TOPIC_OF_EVENT[type(event)].key_of(event).encode(),
                    self.codec.encode(event),
                )
                for at, event in enumerate(some)
            ]
            await self.write(place, start, records)

    async def write(self, place: Partition, start: int, records: Sequence[LogRecord]) -> None:
        """Write records of the log."""
        self._next[place] = await self.sink.write(place, start, records)

    async def _start(self, place: Partition) -> int:
        if place not in self._next:
            self._next[place] = await self.sink.open(place)
        return self._next[place]


@asynccontextmanager
async def history_place(
    server: PostgresServer, log: LogSettings = ONE_PARTITION, **settings: Any
) -> AsyncIterator[HistoryPlace]:
    """An empty history in a schema of its own."""
    found = HistorySettings(
        postgres_dsn=server.address, schema_name=f"history{next(_SCHEMAS)}", connect_timeout_s=5.0, **settings
    )
    codec = Codec(open_registry(None, "test.", None))
    sink = HistorySink(found, codec, log)
    try:
        yield HistoryPlace(found, sink, codec)
    finally:
        await sink.close()
