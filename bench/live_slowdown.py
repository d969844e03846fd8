"""How much slower live folding is while a throttled `interlock rebuild live` runs beside it.

A worker folds backlogs of the same size, alone and beside the rebuild, in turns; the rebuild has as much to go through and
is ended when the worker is done. Folding a backlog at full speed is the hardest case: nothing of the machine is left over.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from statistics import median
from typing import Any

from bench.fold import WITHIN_S, fold, folded
from bench.lab import POLL_S, Lab
from bench.report import Row, show
from bench.usage_records import PER_SECOND, append_all, monthly_budgets, usage_records
from events.codec import Codec
from events.publisher import Publisher
from events.registry import FolderRegistry
from events.settings import LogSettings
from projections.live.keys import FIRST_GENERATION
from projections.live.store import LiveStore
from projections.settings import LiveSettings

EVENTS = 300_000
PARTITIONS = 4
ROUNDS = 4
LASTS_S = 60
"""How long the rebuild would take at its pace, so 5,000 events a second: longer than a worker joins and folds."""


@dataclass(frozen=True, slots=True)
class _Pair:
    """The worker's figures of one round, and how many events a second the rebuild has folded meanwhile."""

    alone: dict[str, float]
    beside: dict[str, float]
    rebuilt_per_s: float

    def slowdown(self, of: str) -> float:
        """The share by which events per second of the clock (`wall_s`) or of the CPU (`cpu_s`) went down."""
        alone, beside = (one["events"] / one[of] for one in (self.alone, self.beside))
        return 1 - beside / alone


async def run(lab: Lab, events: int = EVENTS) -> dict[str, Any]:
    """The figures; `live_slowdown` is by the clock, the median of the rounds."""
    pace = max(1, events // LASTS_S)
    pairs = [await _round(lab, number, events, pace) for number in range(ROUNDS)]
    rates = {
        f"{name}_{unit}": median(one["events"] / one[of] for one in found)
        for name, found in (
            ("alone", [one.alone for one in pairs]),
            ("beside", [one.beside for one in pairs]),
        )
        for unit, of in (("per_s", "wall_s"), ("per_core", "cpu_s"))
    }
    rebuilt = median(one.rebuilt_per_s for one in pairs)
    by_clock, by_cpu = (median(one.slowdown(of) for one in pairs) for of in ("wall_s", "cpu_s"))
    show(
        f"live folding beside a rebuild of {pace:,} events/s, {PARTITIONS} partitions",
        [
            Row("alone", rates["alone_per_s"], "events/s", f"{rates['alone_per_core']:,.0f} events/s/core"),
            Row(
                "beside", rates["beside_per_s"], "events/s", f"{rates['beside_per_core']:,.0f} events/s/core"
            ),
            Row("the rebuild", rebuilt, "events/s"),
            Row("slower by the clock", by_clock * 100, "%", f"{by_cpu * 100:.1f} % by CPU time"),
        ],
    )
    return {
        "events": events,
        "pace_per_s": pace,
        **{name: round(rate) for name, rate in rates.items()},
        "rebuilt_per_s": round(rebuilt),
        "live_slowdown": round(by_clock, 3),
        "live_slowdown_per_core": round(by_cpu, 3),
        "live_slowdown_rounds": [round(one.slowdown("wall_s"), 3) for one in pairs],
    }


async def _round(lab: Lab, number: int, events: int, pace: int) -> _Pair:
    """On a log of its own; every other round begins with the rebuild, so that neither has always the longer log."""
    codec = Codec(FolderRegistry())
    log, live = await lab.settings(f"slowdown-{number}", PARTITIONS)
    span_us = events * 1_000_000 // PER_SECOND
    start_us = time.time_ns() // 1000 - 3 * span_us
    async with Publisher(log, codec) as publisher:

        async def append(seed: int) -> None:
            records = usage_records(codec, events, start_us + seed * span_us, seed)
            await append_all(publisher, list(records))

        await publisher.append(monthly_budgets(start_us))
        await append(0)
        await fold(lab, log, live)
        await append(1)
        if number % 2:
            beside, rebuilt_per_s = await _beside_a_rebuild(lab, log, live, pace)
            await append(2)
            return _Pair(await fold(lab, log, live), beside, rebuilt_per_s)
        alone = await fold(lab, log, live)
        await append(2)
        return _Pair(alone, *await _beside_a_rebuild(lab, log, live, pace))


async def _beside_a_rebuild(
    lab: Lab, log: LogSettings, live: LiveSettings, pace: int
) -> tuple[dict[str, float], float]:
    """What the worker's fold took, and the events a second of the rebuild from its first commit to the worker's last."""
    new = live.model_copy(update={"generation": FIRST_GENERATION + 1})
    async with (
        LiveStore(new) as store,
        lab.interlock(log, live, "rebuild", "live", "--max-events-per-s", str(pace)) as rebuild,
    ):
        async with asyncio.timeout(WITHIN_S):
            while not (begun := await folded(store, "usage", "usage", PARTITIONS)):
                rebuild.check()
                await asyncio.sleep(POLL_S)
        started_s = time.monotonic()
        found = await fold(lab, log, live)
        rebuild.check()
        rebuilt = await folded(store, "usage", "usage", PARTITIONS) - begun
        return found, rebuilt / (time.monotonic() - started_s)
