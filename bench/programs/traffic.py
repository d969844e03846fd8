"""Gateways in the background: usage at a steady rate, a few events to an append, until it is ended."""

from __future__ import annotations

import asyncio
import sys
import time
from itertools import islice

import uvloop

from bench.usage_records import usage_events
from events.codec import Codec
from events.publisher import Publisher
from events.registry import FolderRegistry
from events.settings import LogSettings

APPENDS_PER_S = 100
LONGEST_S = 600


async def send(log: LogSettings, events_per_s: int) -> None:
    """Append evenly; events that came too late are not made up for."""
    events = usage_events(events_per_s * LONGEST_S, time.time_ns() // 1000)
    async with Publisher(log, Codec(FolderRegistry())) as publisher:
        while chunk := list(islice(events, events_per_s // APPENDS_PER_S)):
            await publisher.append(chunk)
            await asyncio.sleep(1 / APPENDS_PER_S)


if __name__ == "__main__":
    uvloop.run(send(LogSettings.model_validate_json(sys.argv[1]), int(sys.argv[2])))
