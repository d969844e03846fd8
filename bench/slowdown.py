"""How much slower live folding is while a throttled `interlock rebuild live` runs beside it.

A worker folds one backlog; the rebuild beside it is stopped and let go on in turns of two seconds, by signals. What else
happens on the machine falls on both alike. Folding a backlog at full speed is the hardest case: the worker never waits.
"""

from __future__ import annotations

import asyncio
import signal
import time
from dataclasses import dataclass
from statistics import median
from typing import Any

from bench.fold import WITHIN_S, fold, folded
from bench.lab import POLL_S, Lab, Program
from bench.report import Row, show
from bench.usage_records import PER_SECOND, append_all, monthly_budgets, usage_records
from events.codec import Codec
from events.publisher import Publisher
from events.registry import FolderRegistry
from events.settings import LogSettings
from projections.live.keys import FIRST_GENERATION
from projections.live.store import LiveStore
from projections.settings import LiveSettings

EVENTS = 2_000_000
FOLDED_BEFORE = 300_000
"""What the rebuild has to go through: a minute at its pace, longer than it is let run."""
PARTITIONS = 4
PACE_PER_S = 5_000
TURN_S = 2.0
"""A worker commits some thousand events at once, so a turn is long beside that."""


@dataclass(frozen=True, slots=True)
class _Turn:
    """What the worker did in one turn, and how many usage events the rebuild folded in it."""

    events: int
    cpu_s: float
    wall_s: float
    rebuilt: int


async def run(lab: Lab, events: int = EVENTS) -> dict[str, Any]:
    """The figures; `live_slowdown` is by the clock."""
    log, live = await lab.settings("slowdown", PARTITIONS)
    await _fill(lab, log, live, events)
    new = live.model_copy(update={"generation": FIRST_GENERATION + 1})
    async with (
        LiveStore(live) as old,
        LiveStore(new) as built,
        lab.interlock(log, live, "rebuild", "live", "--max-events-per-s", str(PACE_PER_S)) as rebuild,
    ):
        await _more_than(built, 0, rebuild)
        async with lab.interlock(log, live, "work") as worker:
            await _more_than(old, FOLDED_BEFORE, worker)
            alone, beside = await _take_turns(old, built, worker, rebuild, FOLDED_BEFORE + events)
    if len(alone) < 2:
        raise RuntimeError("all was folded before each had its turns: give it more events")
    return _figures(events, alone, beside)


async def _fill(lab: Lab, log: LogSettings, live: LiveSettings, events: int) -> None:
    """What the rebuild goes through, folded, and then the backlog."""
    codec = Codec(FolderRegistry())
    count = FOLDED_BEFORE + events
    start_us = time.time_ns() // 1000 - count * 1_000_000 // PER_SECOND
    records = usage_records(codec, count, start_us)
    async with Publisher(log, codec) as publisher:
        await publisher.append(monthly_budgets(start_us))
        await append_all(publisher, (next(records) for _ in range(FOLDED_BEFORE)))
        await fold(lab, log, live)
        await append_all(publisher, records)


async def _more_than(store: LiveStore, count: int, folding: Program) -> None:
    """Returns once that many usage events are folded, and some."""
    async with asyncio.timeout(WITHIN_S):
        while await folded(store, "usage", "usage", PARTITIONS) <= count:
            folding.check()
            await asyncio.sleep(POLL_S)


async def _take_turns(
    old: LiveStore, built: LiveStore, worker: Program, rebuild: Program, end: int
) -> tuple[list[_Turn], list[_Turn]]:
    """The turns without the rebuild and those with it, until the backlog is folded; the last one is no whole one."""
    alone: list[_Turn] = []
    beside: list[_Turn] = []
    while True:
        is_beside = len(beside) < len(alone)
        rebuild.check()
        rebuild.child.send(signal.SIGCONT if is_beside else signal.SIGSTOP)
        begun, rebuilt, used = await _position(old), await _position(built), worker.used
        await asyncio.sleep(TURN_S)
        worker.check()
        done, spent = await _position(old), worker.used.since(used)
        if done >= end:
            return alone, beside
        turn = _Turn(done - begun, spent.cpu_s, spent.wall_s, await _position(built) - rebuilt)
        (beside if is_beside else alone).append(turn)


async def _position(store: LiveStore) -> int:
    return await folded(store, "usage", "usage", PARTITIONS)


def _slowdown(alone: list[float], beside: list[float]) -> float:
    """Each turn with the rebuild by the mean of those around it, so that a drift falls on neither; the median of that."""
    turns = zip(alone, beside, alone[1:], strict=False)
    return 1 - median(2 * rate / (before + after) for before, rate, after in turns)


def _figures(events: int, alone: list[_Turn], beside: list[_Turn]) -> dict[str, Any]:
    turns = {"alone": alone, "beside": beside}
    per_s = {name: [one.events / one.wall_s for one in each] for name, each in turns.items()}
    per_core = {name: [one.events / one.cpu_s for one in each] for name, each in turns.items()}
    by_clock, by_cpu = _slowdown(**per_s), _slowdown(**per_core)
    rebuilt = median(one.rebuilt / one.wall_s for one in beside)
    show(
        f"live folding beside a rebuild of {PACE_PER_S:,} events/s, {PARTITIONS} partitions, {len(beside)} turns",
        [
            *(
                Row(name, median(per_s[name]), "events/s", f"{median(per_core[name]):,.0f} events/s/core")
                for name in turns
            ),
            Row("the rebuild", rebuilt, "events/s"),
            Row("slower by the clock", by_clock * 100, "%", f"{by_cpu * 100:.1f} % by CPU time"),
        ],
    )
    return {
        "events": events,
        "turns": len(beside),
        "pace_per_s": PACE_PER_S,
        "rebuilt_per_s": round(rebuilt),
        **{f"{name}_per_s": round(median(rates)) for name, rates in per_s.items()},
        **{f"{name}_per_core": round(median(rates)) for name, rates in per_core.items()},
        "live_slowdown": round(by_clock, 3),
        "live_slowdown_per_core": round(by_cpu, 3),
    }
