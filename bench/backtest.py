"""How quickly a backtest goes over a log: breakers, budgets and prices decided again, beside decoding alone (the raw limit).

Both read the same usage records of the same broker, in processes of their own. The backtest reads what workers derived of
them too, and decides under a policy in which every breaker, every price and some budgets are others; its rate is all
records read by the CPU seconds from the first read to the outcome.
"""

from __future__ import annotations

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
ROUNDS = 3


async def run(lab: Lab) -> dict[str, Any]:
    """The figures; `backtest_events_per_s` is events per second and core."""
    codec = Codec(FolderRegistry())
    start_us = time.time_ns() // 1000 - EVENTS * 1_000_000 // PER_SECOND
    log, live = await lab.settings("backtest", PARTITIONS)
    async with Publisher(log, codec) as publisher:
        await publisher.append(monthly_budgets(start_us))
        await append_all(publisher, list(usage_records(codec, EVENTS, start_us)))
    await fold(lab, log, live)
    decoded: list[float] = []
    tested: list[float] = []
    peaks: list[int] = []
    for _ in range(ROUNDS):
        async with lab.program("decode", log.model_dump_json()) as program:
            result = await program.result()
        decoded.append(result["events"] / result["cpu_s"])
        async with lab.program("backtest", log.model_dump_json()) as program:
            outcome = await program.result()
        if not outcome["is_reproduced"]:
            raise RuntimeError("the recorded settings do not lead to what is on the log")
        tested.append(outcome["events"] / outcome["cpu_s"])
        peaks.append(outcome["peak_mib"])
    show(
        f"backtest, {PARTITIONS} partitions",
        [
            Row("decode", median(decoded), "events/s/core", "the raw limit"),
            Row("backtest", median(tested), "events/s/core", f"{max(peaks)} MiB at the most"),
        ],
    )
    return {
        "events": EVENTS,
        "decode_per_core": round(median(decoded)),
        "backtest_events_per_s": round(median(tested)),
        "backtest_vs_decode": round(median(tested) / median(decoded), 3),
        "backtest_peak_mib": max(peaks),
    }
