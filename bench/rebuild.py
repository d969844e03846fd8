"""How quickly the live state is rebuilt: `interlock rebuild live` beside decoding alone (the raw limit).

Both read the same usage records of the same broker, in processes of their own. The rebuild reads what was derived of them too,
folds, commits, compares every key at the barrier and cuts over; its rate is usage records by the CPU seconds of all that.
"""

from __future__ import annotations

import json
import time
from statistics import median
from typing import Any

from bench.fold import fold
from bench.lab import Lab
from bench.report import Row, show
from bench.usage_records import PER_SECOND, append_all, monthly_budgets, usage_records
from events.codec import Codec
from events.publisher import Publisher
from events.registry import FolderRegistry

EVENTS = 300_000
PARTITIONS = 4
ROUNDS = 2


async def run(lab: Lab) -> dict[str, Any]:
    """The figures; `rebuild_vs_decode` is events per second and core of a rebuild by those of decoding."""
    codec = Codec(FolderRegistry())
    start_us = time.time_ns() // 1000 - EVENTS * 1_000_000 // PER_SECOND
    log, live = await lab.settings("rebuild", PARTITIONS)
    async with Publisher(log, codec) as publisher:
        await publisher.append(monthly_budgets(start_us))
        await append_all(publisher, list(usage_records(codec, EVENTS, start_us)))
    await fold(lab, log, live)
    decoded: list[float] = []
    rebuilt: list[float] = []
    walls: list[float] = []
    stills: list[float] = []
    for _ in range(ROUNDS):
        async with lab.program("decode", log.model_dump_json()) as program:
            result = await program.result()
        decoded.append(result["events"] / result["cpu_s"])
        async with lab.program("rebuild", log.model_dump_json(), live.model_dump_json()) as program:
            outcome = await program.result()
        if not outcome["equal"]:
            raise RuntimeError(f"the rebuild differs: {json.dumps(outcome)[:2000]}")
        rebuilt.append(EVENTS / outcome["cpu_s"])
        walls.append(outcome["took_s"])
        stills.append(outcome["still_s"])
    show(
        f"rebuild, {PARTITIONS} partitions",
        [
            Row("decode", median(decoded), "events/s/core", "the raw limit"),
            Row("rebuild", median(rebuilt), "events/s/core", f"{median(walls):.1f} s, proved equal"),
        ],
    )
    return {
        "events": EVENTS,
        "decode_per_core": round(median(decoded)),
        "rebuild_per_core": round(median(rebuilt)),
        "rebuild_wall_s": round(median(walls), 2),
        "rebuild_still_s": round(median(stills), 3),
        "rebuild_vs_decode": round(median(rebuilt) / median(decoded), 3),
    }
