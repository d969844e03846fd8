"""A real Postgres for the tests of the history, and records as the log would hand them over."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count
from typing import Any

import asyncpg

from events.catalogue import TOPIC_OF_EVENT
from events.envelope import Event
from events.positions import Partition
from events.reader import LogRecord
from events.settings import LogSettings
from projections.history.settings import HistorySettings
from projections.history.sink import HistorySink
from tests.integration.log import CODEC

USAGE = Partition("usage", 0)
LOG = LogSettings(partitions=1)
_SCHEMAS = count(1)


@dataclass(frozen=True, slots=True)
class Record:
    """A record as it lies on the log."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()


def record(event: Event, offset: int, partition: int = 0) -> Record:
    """The event's record; its timestamp is the event's time."""
    topic = TOPIC_OF_EVENT[type(event)]
    return Record(
        f"interlock.{topic.name}",
        partition,
        offset,
        event.occurred_at // 1000,
        topic.key_of(event).encode(),
        CODEC.encode(event),
    )


def records(events: Iterable[Event], start: int = 0, partition: int = 0) -> list[LogRecord]:
    """Their records, one after the other."""
    return [record(event, offset, partition) for offset, event in enumerate(events, start)]


@dataclass(frozen=True, slots=True)
class Place:
    """One schema of the server."""

    settings: HistorySettings

    @asynccontextmanager
    async def sink(self, log: LogSettings = LOG) -> AsyncIterator[HistorySink]:
        """A sink of its own, as another process would have."""
        sink = HistorySink(self.settings, CODEC, log)
        try:
            yield sink
        finally:
            await sink.close()

    async def ask(self, sql: str, *arguments: object) -> list[dict[str, Any]]:
        """The rows of a question, asked on a connection of its own."""
        session = await asyncpg.connect(
            self.settings.postgres_dsn, server_settings={"search_path": self.settings.schema_name}
        )
        try:
            return [dict(row) for row in await session.fetch(sql, *arguments)]
        finally:
            await session.close()

    async def value(self, sql: str, *arguments: object) -> Any:
        """The one value of a question."""
        ((value,),) = [row.values() for row in await self.ask(sql, *arguments)]
        return value


def place_on(address: str, **changed: object) -> Place:
    """A schema that no other test has."""
    values = {"postgres_dsn": address, "schema_name": f"test{next(_SCHEMAS)}", **changed}
    return Place(HistorySettings.model_validate(values))
