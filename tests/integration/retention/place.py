"""A log, a history and an archive of a test's own, filled with usage over months, and retention let loose on them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from textwrap import indent
from typing import Any

import asyncpg

from embedded.postgres import PostgresServer
from events.action_audited import ActionAudited
from events.broker import create_topics
from events.catalogue import TOPICS
from events.envelope import Event, OutcomeKind
from events.positions import Partition
from events.publisher import Publisher
from events.reader import LogReader
from events.settings import LogSettings
from events.usage_recorded import UsageRecorded
from projections.archive.settings import ArchiveSettings
from projections.archive.sink import ArchiveSink
from projections.audit import Audit
from projections.history.settings import HistorySettings
from projections.history.sink import HistorySink
from projections.retention.apply import Outcome, apply
from projections.retention.audit import SOURCE, Journal
from projections.retention.inventory import Stores, planned
from projections.retention.policy import Policies
from projections.retention.policy_file import parse_policies
from projections.retention.settings import RetentionSettings
from projections.retention.steps import Plan
from projections.sink import Sink
from tests.integration.log import CODEC, everything, usage

DAY_US = 86_400_000_000
NOW_US = 1_700_000_000_000_000
"""2023-11-14 22:13:20 UTC."""

_SCHEMAS = count(1)


def policies(*texts: str) -> Policies:
    """Policies given as their keys, in YAML."""
    items = [indent(text.strip(), "    ") for text in texts]
    joined = "\n".join(f"  - name: p{number}\n{item}" for number, item in enumerate(items))
    return parse_policies(f"version: 1\npolicies:\n{joined}\n", "test.yaml")


def usage_at(days_ago: float, tenant: str = "acme", **changed: Any) -> UsageRecorded:
    """A call of so many days ago."""
    return usage(tenant, occurred_at=NOW_US - int(days_ago * DAY_US), **changed)


def usage_over_months() -> list[Event]:
    """Calls of three tenants on each third day of 200, with all that the columns can hold."""
    return [
        usage_at(
            days,
            tenant,
            outcome=OutcomeKind.SUCCESS if days % 2 else OutcomeKind.TIMEOUT,
            cost_nano_usd=None if days % 5 == 0 else days * 1_000_003,
            user=f"ü-{days % 7}" if days % 4 else None,
            input_tokens=days,
            latency_ms=days * 10,
            attributes={"Zürich": "ja'; --"} if days % 3 == 0 else {},
        )
        for days in range(0, 200, 3)
        for tenant in ("acme", "bank-1", "globex")
    ]


@dataclass(slots=True)
class Place:
    """What one test works on."""

    log: LogSettings
    history: HistorySettings
    archive: ArchiveSettings
    retention: RetentionSettings
    publisher: Publisher
    history_sink: HistorySink
    archive_sink: ArchiveSink
    connection: asyncpg.Connection[asyncpg.Record]
    more_sinks: list[Sink] = field(default_factory=list)

    @property
    def stores(self) -> Stores:
        return Stores(
            self.history,
            self.archive,
            self.log,
            self.retention,
            sinks=(self.history_sink, self.archive_sink, *self.more_sinks),
        )

    async def append(self, events: Sequence[Event]) -> None:
        """To the log."""
        await self.publisher.append(events)

    async def feed(self, sink: Sink) -> None:
        """Write to a sink what the log holds beyond it, and have it made durable."""
        reader = LogReader(self.log)
        for topic in ("usage", "audit"):
            for number, records in (await everything(reader, topic)).items():
                start = await sink.open(Partition(topic, number))
                fresh = [record for record in records if record.offset >= start]
                if fresh:
                    await sink.write(Partition(topic, number), start, fresh)
        await sink.drain()

    async def fill(self, events: Sequence[Event]) -> None:
        """Append, and write to history and archive."""
        await self.append(events)
        await self.feed(self.history_sink)
        await self.feed(self.archive_sink)

    async def plan(self, wanted: Policies, now_us: int = NOW_US) -> Plan:
        return (await planned(self.stores, wanted, now_us))[0]

    async def apply(
        self,
        found: Plan,
        progress: Callable[[Outcome], None] = lambda _: None,
        publisher: Publisher | None = None,
    ) -> list[Outcome]:
        """Carry a plan out."""
        audit = Audit(SOURCE, "ops", publisher or self.publisher, LogReader(self.log), CODEC, lambda: NOW_US)
        return await apply(self.stores, found, Journal(audit), progress)

    async def rows(self, table: str = "usage") -> list[asyncpg.Record]:
        """All rows of a table, in order of the log."""
        order = "log_partition, log_offset" if table == "usage" else "1, 2, 3, 4, 5, 6, 7"
        return await self.connection.fetch(f"SELECT * FROM {table} ORDER BY {order}")

    async def audit(self) -> list[ActionAudited]:
        """Every audit event once, in the order of the log."""
        found = await everything(LogReader(self.log), "audit")
        events: dict[str, ActionAudited] = {}
        for records in found.values():
            for record in records:
                event = CODEC.decode(TOPICS["audit"], record.value or b"")
                assert isinstance(event, ActionAudited)
                events.setdefault(event.event_id, event)
        return list(events.values())


@asynccontextmanager
async def place(server: PostgresServer, log: LogSettings, folder: Path) -> AsyncIterator[Place]:
    """Empty, with its topics made; what happened years ago counts, and what is to happen in a hundred."""
    log = log.model_copy(update={"max_event_age_days": 36_500, "max_event_ahead_s": 100 * 366 * 86_400})
    history = HistorySettings(postgres_dsn=server.address, schema_name=f"retained{next(_SCHEMAS)}")
    archive = ArchiveSettings(folder=folder / "archive", segment_bytes=64 * 2**10)
    await create_topics(log)
    async with AsyncExitStack() as resources:
        publisher = await resources.enter_async_context(Publisher(log, CODEC))
        history_sink = HistorySink(history, CODEC, log)
        resources.push_async_callback(history_sink.close)
        archive_sink = ArchiveSink(archive, log)
        resources.push_async_callback(archive_sink.close)
        connection = await asyncpg.connect(
            server.address, server_settings={"search_path": history.schema_name, "timezone": "UTC"}
        )
        resources.push_async_callback(connection.close)
        retention = RetentionSettings(exports=folder / "exports")
        yield Place(log, history, archive, retention, publisher, history_sink, archive_sink, connection)
