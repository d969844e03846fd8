"""The proof that a worker carries on, alone in a process: what it used of a core over some seconds."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from contextlib import suppress

import structlog
import uvloop
from prometheus_client import Counter

from api.cli.garbage import collect_seldom
from events.codec import Codec
from events.publisher import Publisher
from events.registry import FolderRegistry
from events.settings import LogSettings
from processors import metrics
from processors.verify.settings import VerifySettings
from processors.verify.watch import Watch
from projections.live.slots import TOPICS_OF_LEAD, Slot
from projections.settings import LiveSettings

PAUSE_S = 1.0
"""A thirtieth of what a worker has: the cost of beginning with a slot shows."""


async def watch(log: LogSettings, live: LiveSettings, seconds: float) -> dict[str, object]:
    """As a worker does that owns all slots."""
    codec = Codec(FolderRegistry())
    collect_seldom()
    slots = [Slot(lead, number) for lead in TOPICS_OF_LEAD for number in range(log.partitions)]
    async with Publisher(log, codec) as publisher:
        settings = VerifySettings(pause_s=PAUSE_S)
        one = Watch(settings, log, live, codec, publisher, lambda: slots)
        cpu_s, wall_s = time.process_time(), time.monotonic()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await one.run()
        return {
            "core_share": (time.process_time() - cpu_s) / (time.monotonic() - wall_s),
            "records": _count(metrics.VERIFY_RECORDS),
            "slots": {
                name: _count(metrics.VERIFIED.labels(name)) for name in ("equal", "different", "failed")
            },
        }


def _count(counter: Counter) -> float:
    return float(counter._value.get())  # noqa: SLF001 - there is no public handle


if __name__ == "__main__":
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    log, live = LogSettings.model_validate_json(sys.argv[1]), LiveSettings.model_validate_json(sys.argv[2])
    print(json.dumps(uvloop.run(watch(log, live, float(sys.argv[3])))))
