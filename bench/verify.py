"""What it costs to prove the live state: `interlock verify live` at full speed, and the part of a core that a worker gives it."""

from __future__ import annotations

import json
import time
from typing import Any

from bench.fold import fold
from bench.lab import Lab
from bench.report import Row, show
from bench.usage_records import PER_SECOND, append_all, monthly_budgets, usage_records
from events.codec import Codec
from events.publisher import Publisher
from events.registry import FolderRegistry

EVENTS = 100_000
PARTITIONS = 4
SECONDS = 45.0


async def run(lab: Lab) -> dict[str, Any]:
    """The figures; `verify_core_share` is CPU by time of a worker's proof, all that it does included."""
    codec = Codec(FolderRegistry())
    start_us = time.time_ns() // 1000 - EVENTS * 1_000_000 // PER_SECOND
    log, live = await lab.settings("verify", PARTITIONS)
    async with Publisher(log, codec) as publisher:
        await publisher.append(monthly_budgets(start_us))
        await append_all(publisher, list(usage_records(codec, EVENTS, start_us)))
    await fold(lab, log, live)
    async with lab.interlock(log, live, "verify", "live", "--json") as program:
        await program.child.finish(SECONDS)
        whole = program.document
    if not whole["equal"]:
        raise RuntimeError(f"the live state differs: {json.dumps(whole['differences'])[:2000]}")
    async with lab.program("verify", log.model_dump_json(), live.model_dump_json(), str(SECONDS)) as program:
        watched = await program.result()
    if watched["slots"]["different"] or watched["slots"]["failed"]:
        raise RuntimeError(f"a slot could not be proved: {json.dumps(watched)}")
    rate = whole["folded"] / whole["took_s"]
    show(
        f"verify, {PARTITIONS} partitions",
        [
            Row("interlock verify live", rate, "events/s", f"{whole['took_s']:.1f} s, found equal"),
            Row(
                "beside a worker",
                watched["core_share"] * 100,
                "% of a core",
                f"{watched['records']:,.0f} records",
            ),
        ],
    )
    return {
        "verify_events_per_s": round(rate),
        "verify_core_share": round(watched["core_share"], 4),
        "verify_records_per_s": round(watched["records"] / SECONDS),
    }
