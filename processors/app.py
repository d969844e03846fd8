"""The only place where agents, topics and stores are wired: a worker as one Faust app."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any, cast

import faust
import structlog
from faust.tables.manager import TableManager
from faust.types import TP, StreamT
from yarl import URL

from events.codec import open_codec
from events.publisher import Publisher
from events.reader import LogReader
from events.settings import LogSettings
from processors.backlog import MOST_RECORDS
from processors.batching import BatchSchema, BatchTransport, consumer_of
from processors.folds import fold_factories
from processors.recorded import Past
from processors.slot_runner import Ports
from processors.slot_table import SlotTable
from processors.verify.settings import VerifySettings
from processors.verify.watch import Watch
from projections.live.slots import FOLDED_TOPICS, Slot
from projections.live.store import LiveStore
from projections.settings import LiveSettings

MAX_FETCH_BYTES = 2 * 2**20
STREAM_BUFFER_BATCHES = 8
HEARTBEATS_PER_SESSION = 6

_log = structlog.get_logger(__name__)


class _App(faust.App):
    """Faust makes folders for its tables where the process was started; there are no tables here."""

    def _create_directories(self) -> None:
        """Nothing is kept in files, so a worker runs in a folder that it may not write to."""


class _NoTables(TableManager):
    """Faust gives tables a second to be defined before any partition is asked for; there are none to wait for."""

    async def on_start(self) -> None:
        await self._update_channels()
        await self.recovery.start()


def create_app(settings: LogSettings) -> faust.App:
    """A Faust app on the batch transport, with no tables, no web server and no topics of its own."""
    brokers = [URL(f"kafka://{address.strip()}") for address in settings.bootstrap.split(",")]
    app = _App(
        settings.group_id,
        broker=brokers,
        store="memory://",
        TableManager=_NoTables,
        topic_disable_leader=True,
        web_enabled=False,
        stream_wait_empty=False,
        stream_buffer_maxsize=STREAM_BUFFER_BATCHES,
        broker_max_poll_records=MOST_RECORDS,
        consumer_max_fetch_size=MAX_FETCH_BYTES,
        broker_session_timeout=settings.session_timeout_s,
        broker_heartbeat_interval=settings.session_timeout_s / HEARTBEATS_PER_SESSION,
        broker_rebalance_timeout=10.0,
        broker_request_timeout=30.0,
        broker_commit_interval=1.0,
    )
    app.transport = BatchTransport(brokers, app)
    return app


async def run_worker(
    log: LogSettings,
    live: LiveSettings,
    ready: Callable[[], None] | None = None,
    verify: VerifySettings | None = None,
) -> None:
    """Run one worker until cancelled; any number may run. Raises what it had to stop for.

    With `verify` it proves its slots beside folding them.
    """
    codec = open_codec(log)
    owner = f"{socket.gethostname()}:{os.getpid()}"
    async with AsyncExitStack() as resources:
        publisher = await resources.enter_async_context(Publisher(log, codec))
        store = await resources.enter_async_context(LiveStore(live))
        app = create_app(log)

        async def committed(topic: str, partition: int) -> int:
            return await consumer_of(app).committed_offset(TP(log.full_name(topic), partition))

        def acknowledge(topic: str, partition: int, offset: int) -> None:
            consumer_of(app).acknowledge(TP(log.full_name(topic), partition), offset)

        ports = Ports(log, codec, store, publisher, LogReader(log), owner, committed, acknowledge)

        def past_of(slot: Slot) -> Past:
            return Past(log, codec, ports.reader, slot.partition)

        table = SlotTable(app, ports, fold_factories(past_of, store))
        _wire(app, table, log)
        resources.push_async_callback(app.stop)
        # Slots end first: they use all the rest.
        resources.push_async_callback(table.close)
        if verify is not None and verify.share:
            watch = Watch(verify, log, live, codec, publisher, lambda: table.owned)
            watching = asyncio.create_task(watch.run(), name="verify")
            resources.push_async_callback(_ended, watching)
        await _serve(app, ready)


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])


def _wire(app: faust.App, table: SlotTable, settings: LogSettings) -> None:
    for name in sorted(FOLDED_TOPICS):
        topic = app.topic(settings.full_name(name), schema=BatchSchema(), acks=True)

        async def agent(stream: StreamT[Any]) -> None:
            async for event in cast("faust.Stream[Any]", stream).noack().events():
                await table.put(event)

        app.agent(topic, name=f"interlock-{name}")(agent)

    @app.on_partitions_revoked.connect(weak=False)
    async def on_revoked(_app: faust.App, revoked: set[TP], **_: Any) -> None:
        await table.on_revoked(revoked)

    consumer_of(app).on_assigned = table.on_assigned


async def _serve(app: faust.App, ready: Callable[[], None] | None) -> None:
    app.finalize()
    app.discover()
    await app.start()
    if ready is not None:
        ready()
    await app.wait_until_stopped()
    if app.crash_reason is not None:
        raise app.crash_reason
