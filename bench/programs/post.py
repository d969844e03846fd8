"""A gateway's side of appending: POST /v1/events in batches, several requests at once."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from dataclasses import asdict

import httpx
import orjson
import uvloop

from api.rfc3339 import format_time_us
from bench.usage_records import usage_events
from events.money import format_usd
from events.usage_recorded import UsageRecorded

CONCURRENT = 4
MEDIA_TYPE = {"content-type": "application/cloudevents-batch+json"}
ENVELOPE = ("event_id", "occurred_at", "source", "tenant", "correlation_id", "causation_id")


def cloud_event(event: UsageRecorded) -> dict[str, object]:
    """As a gateway would write it: what it does not know is left out."""
    data = {
        name: value
        for name, value in asdict(event).items()
        if value not in (None, {}) and name not in ENVELOPE
    }
    data["cost_usd"] = format_usd(data.pop("cost_nano_usd"))
    return {
        "specversion": "1.0",
        "type": "UsageRecorded",
        "id": event.event_id,
        "source": event.source,
        "time": format_time_us(event.occurred_at),
        "tenant": event.tenant,
        "correlationid": event.correlation_id,
        "data": data,
    }


async def post(url: str, count: int, batch: int) -> dict[str, float]:
    """Post so many events; an answer other than 202 is an error."""
    items = [cloud_event(event) for event in usage_events(count, time.time_ns() // 1000)]
    bodies = [orjson.dumps(items[start : start + batch]) for start in range(0, count, batch)]
    bytes_per_event = sum(len(body) for body in bodies) / count
    del items
    async with httpx.AsyncClient(base_url=url, timeout=30.0) as client:

        async def send_all() -> None:
            while bodies:
                answer = await client.post("/v1/events", content=bodies.pop(), headers=MEDIA_TYPE)
                if answer.status_code != httpx.codes.ACCEPTED:
                    raise RuntimeError(f"{answer.status_code}: {answer.text[:500]}")

        started_s = time.monotonic()
        async with asyncio.TaskGroup() as tasks:
            for _ in range(CONCURRENT):
                tasks.create_task(send_all())
        wall_s = time.monotonic() - started_s
    return {"events": count, "wall_s": wall_s, "bytes_per_event": bytes_per_event}


if __name__ == "__main__":
    print(json.dumps(uvloop.run(post(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))))
