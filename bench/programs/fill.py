"""Fills the usage topic with so many events, quicker than they are folded. Record time begins now."""

from __future__ import annotations

import sys
import time

import uvloop

from bench.usage_records import append_all, monthly_budgets, usage_records
from events.codec import Codec
from events.publisher import Publisher
from events.registry import FolderRegistry
from events.settings import LogSettings


async def fill(log: LogSettings, count: int) -> None:
    """Append budgets, then usage."""
    codec = Codec(FolderRegistry())
    start_us = time.time_ns() // 1000
    async with Publisher(log, codec) as publisher:
        await publisher.append(monthly_budgets(start_us))
        await append_all(publisher, usage_records(codec, count, start_us))


if __name__ == "__main__":
    uvloop.run(fill(LogSettings.model_validate_json(sys.argv[1]), int(sys.argv[2])))
