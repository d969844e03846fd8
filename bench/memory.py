"""Whether a worker's memory stays flat: five million usage events through one worker, its memory sampled on the way.

Record time goes on as `PER_SECOND` says, so the duplicate horizon (two slices of five minutes) is full after three
million events: until then a worker remembers ever more ids, from then on as many as it forgets. Takes some minutes.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

from bench.fold import folded
from bench.lab import Lab
from bench.report import Row, show
from bench.usage_records import PER_SECOND
from processors.dedupe import SLICE_MS
from projections.live.store import LiveStore

EVENTS = 5_000_000
EVERY = 500_000
WITHIN_S = 1_800.0
LOOK_EVERY_S = 0.25
HORIZON_FULL_AT = 2 * SLICE_MS // 1000 * PER_SECOND
MIB = 2**20


async def run(lab: Lab) -> dict[str, Any]:
    """The figures, MiB by millions of events; `growth_when_full` is the last by the first after the horizon was full."""
    log, live = await lab.settings("memory", 1)
    samples: dict[int, int] = {}
    started_s = time.monotonic()
    async with (
        LiveStore(live) as store,
        lab.program("fill", log.model_dump_json(), str(EVENTS)),
        lab.interlock(log, live, "work") as worker,
    ):
        async with asyncio.timeout(WITHIN_S):
            while (done := await folded(store, "usage", "usage", 1)) < EVENTS:
                samples.setdefault(done // EVERY * EVERY, worker.rss_bytes)
                worker.check()
                await asyncio.sleep(LOOK_EVERY_S)
        samples[EVENTS] = worker.rss_bytes
        cpu_s = worker.used.cpu_s
    full = [rss for done, rss in sorted(samples.items()) if done >= HORIZON_FULL_AT]
    growth = full[-1] / full[0]
    show(
        f"memory of a worker over {EVENTS:,} events",
        [Row(f"{done / 1e6:.1f} million", rss / MIB, "MiB") for done, rss in sorted(samples.items())]
        + [Row("the last / when the horizon was full", growth, "")],
    )
    return {
        "rss_mib": {str(done): round(rss / MIB, 1) for done, rss in sorted(samples.items())},
        "growth_when_full": round(growth, 3),
        "events_per_core": round(EVENTS / cpu_s),
        "wall_s": round(time.monotonic() - started_s),
    }
