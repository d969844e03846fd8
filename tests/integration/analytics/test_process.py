"""`interlock sink analytics` as a process: killed again and again under load, it ends up with every call once."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest

from bench.usage_records import usage_events
from embedded.process import Child, Launch
from events.broker import create_topics
from events.publisher import Publisher
from events.settings import LogSettings
from projections.analytics.settings import AnalyticsSettings
from projections.errors import SinkUnavailableError
from tests.integration.analytics.records import documents, naive_totals, sink_at, totals_of
from tests.integration.conftest import LogSettingsFactory
from tests.integration.live_server import eventually
from tests.integration.log import CODEC

pytestmark = pytest.mark.any_broker

KILLS = 4
CAUGHT_UP_WITHIN_S = 60.0


@asynccontextmanager
async def process(log: LogSettings, settings: AnalyticsSettings, folder: Path) -> AsyncIterator[Child]:
    """The sink as it is run; killed when the block is left."""
    environment = dict(os.environ) | {
        "INTERLOCK_LOG__BOOTSTRAP": log.bootstrap,
        "INTERLOCK_LOG__TOPIC_PREFIX": log.topic_prefix,
        "INTERLOCK_LOG__GROUP_ID": log.group_id,
        "INTERLOCK_LOG__PARTITIONS": str(log.partitions),
        "INTERLOCK_LOG__SESSION_TIMEOUT_S": "2",
        "INTERLOCK_ANALYTICS__CHROMA_URL": settings.chroma_url or "",
        "INTERLOCK_ANALYTICS__COLLECTION_PREFIX": settings.collection_prefix,
        "INTERLOCK_ANALYTICS__FLUSH_AFTER_S": "0.1",
    }
    argv = [sys.executable, "-m", "api.cli", "sink", "analytics"]
    child = await Child.spawn("sink", Launch(argv, environment), folder / "sink.log")
    try:
        yield child
    finally:
        await child.kill()


async def test_a_killed_sink_neither_loses_nor_doubles(
    make_log_settings: LogSettingsFactory, settings: AnalyticsSettings, tmp_path: Path
) -> None:
    """Every part of the load is followed by a SIGKILL while it is being written."""
    log = make_log_settings(session_timeout_s=2.0)
    log = log.model_copy(update={"group_id": log.topic_prefix.rstrip(".")})
    await create_topics(log)
    events = list(usage_events(4_000, time.time_ns() // 1000))
    observer = sink_at(settings)

    async def durable() -> int:
        try:
            positions = await observer.positions()
        except SinkUnavailableError:
            return 0
        return sum(offset for place, offset in positions.items() if place.topic == "usage")

    async def further(before: int) -> bool:
        return await durable() > before

    async with Publisher(log, CODEC) as publisher:
        for part in range(KILLS):
            before = await durable()
            async with process(log, settings, tmp_path):
                await publisher.append(events[part * 1_000 : (part + 1) * 1_000])
                await eventually(partial(further, before), CAUGHT_UP_WITHIN_S)
    async with process(log, settings, tmp_path):
        await eventually(partial(further, len(events) - 1), CAUGHT_UP_WITHIN_S)
    await observer.close()
    assert totals_of(await documents(settings)) == naive_totals(events)
