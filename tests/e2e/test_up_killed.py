"""`interlock up` killed with events that its archive does not have: the next start loses them, and nothing else."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import orjson
import pytest

from projections.analytics.settings import AnalyticsSettings
from tests.cloud_events import usage
from tests.e2e.console import Console, Up, running
from tests.integration.analytics.records import documents
from tests.integration.live_server import eventually

CAUGHT_UP_WITHIN_S = 60.0
STORES = {"history", "analytics"}


@pytest.fixture
def console(tmp_path: Path) -> Console:
    """A user whose archive is closed when everything is stopped in order, and not before."""
    return Console(
        tmp_path,
        {
            "INTERLOCK_LOG__SESSION_TIMEOUT_S": "2",
            "INTERLOCK_ARCHIVE__SEGMENT_AGE_S": "3600",
            "INTERLOCK_ANALYTICS__FLUSH_AFTER_S": "0.2",
        },
    )


async def publish(console: Console, up: Up, events: list[dict[str, Any]]) -> None:
    """Append them, and wait until history and analytics have all that the log holds."""
    lines = b"\n".join(orjson.dumps(event) for event in events)
    await console.succeeds("events", "publish", "-", "--json", stdin=lines)
    async with httpx.AsyncClient(base_url=up.addresses["api"], timeout=30) as http:

        async def caught_up() -> bool:
            sinks = (await http.get("/v1/status")).raise_for_status().json()["sinks"]
            return {one["sink"] for one in sinks if one["lag"] == 0} >= STORES

        await eventually(caught_up, CAUGHT_UP_WITHIN_S)


async def in_history(up: Up) -> tuple[set[str], dict[str, int]]:
    """Ids of the rows of usage, and the calls of each grain's rollups."""
    connection = await asyncpg.connect(up.addresses["history"])
    try:
        ids = {str(row["event_id"]) for row in await connection.fetch("SELECT event_id FROM interlock.usage")}
        calls = {
            grain: await connection.fetchval(f"SELECT sum(calls)::bigint FROM interlock.usage_by_{grain}")
            for grain in ("minute", "hour", "day")
        }
    finally:
        await connection.close()
    return ids, calls


async def in_analytics(up: Up) -> Counter[str]:
    """Calls by model, as the documents say."""
    calls: Counter[str] = Counter()
    for one in await documents(AnalyticsSettings(chroma_url=up.addresses["analytics"])):
        calls[str(one.metadata["model"])] += int(one.metadata["calls"])
    return calls


async def test_a_kill_leaves_no_hole_where_the_stores_were_ahead_of_the_archive(console: Console) -> None:
    """The stores had seen events that are lost; as many and more come to lie at their offsets, and all are counted."""
    kept = [usage("acme", model="kept") for _ in range(10)]
    lost = [usage("acme", model="lost") for _ in range(5)]
    later = [usage("acme", model="later") for _ in range(20)]
    async with running(console) as up:
        await publish(console, up, kept)
        up.interrupt()
        assert (await up.ended()).code == 0
    async with running(console) as up:
        await publish(console, up, lost)
        assert await in_analytics(up) == {"kept": 10, "lost": 5}
        assert len((await in_history(up))[0]) == 15
        up.process.kill()
        await up.process.wait()
        assert not up.left()
    async with running(console) as up:
        await publish(console, up, later)
        ids, calls = await in_history(up)
        assert ids == {event["id"] for event in kept + later}
        assert calls == dict.fromkeys(("minute", "hour", "day"), 30)
        assert await in_analytics(up) == {"kept": 10, "later": 20}
        up.interrupt()
        said = (await up.ended()).err
    assert "rows were taken back from the history" in " ".join(said.split())
    assert "the analytics are built anew" in " ".join(said.split())
