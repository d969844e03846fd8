"""How quickly usage is folded: a real worker beside decoding alone (the raw limit) and a stock Faust agent (the peer).

All three read the same records of the same broker, in turns. Events per second and core are events by CPU seconds of the
process, all its threads; the join of the group is in neither.
"""

from __future__ import annotations

import asyncio
import time
from statistics import median
from typing import Any

from bench.lab import POLL_S, Lab, Used
from bench.report import Row, show
from bench.usage_records import PER_SECOND, append_all, monthly_budgets, usage_records
from events.codec import Codec
from events.publisher import Encoded, Publisher
from events.reader import LogReader
from events.registry import FolderRegistry
from events.settings import LogSettings
from projections.live.slots import Slot
from projections.live.store import LiveStore
from projections.settings import LiveSettings

EVENTS = 300_000
FAUST_EVENTS = 12_000
ROUNDS = 2
WITHIN_S = 120.0


async def run(lab: Lab) -> dict[str, Any]:
    """The figures; `fold_vs_decode` is the lower one of one partition and of four."""
    codec = Codec(FolderRegistry())
    start_us = time.time_ns() // 1000 - EVENTS * 1_000_000 // PER_SECOND
    records = list(usage_records(codec, EVENTS, start_us))
    figures: dict[str, Any] = {
        "events": EVENTS,
        "record_bytes": sum(len(one.value) for one in records) // EVENTS,
    }
    for partitions in (1, 4):
        figures[f"partitions_{partitions}"] = await _compare(lab, codec, records, start_us, partitions)
    compared = [figures["partitions_1"], figures["partitions_4"]]
    figures["fold_vs_decode"] = min(one["fold_vs_decode"] for one in compared)
    figures["fold_vs_stock_faust"] = min(one["fold_vs_stock_faust"] for one in compared)
    return figures


async def _compare(
    lab: Lab, codec: Codec, records: list[Encoded], start_us: int, partitions: int
) -> dict[str, Any]:
    """Rounds of decode, fold, stock Faust. Each round has a log of its own: what one derived, no other finds."""
    found: dict[str, list[dict[str, float]]] = {"decode": [], "fold": [], "stock_faust": []}
    for number in range(ROUNDS):
        log, live = await lab.settings(f"fold-{partitions}-{number}", partitions)
        async with Publisher(log, codec) as publisher:
            await publisher.append(monthly_budgets(start_us))
            await append_all(publisher, records)
        settings = log.model_dump_json()
        found["decode"].append(await _result(lab, "decode", settings))
        found["fold"].append(await fold(lab, log, live))
        found["stock_faust"].append(await _result(lab, "stock_faust", settings, str(FAUST_EVENTS)))
    rates = {name: _rates(results) for name, results in found.items()}
    show(
        f"fold, {partitions} partition{'s' if partitions > 1 else ''}",
        [
            Row(name, per_core, "events/s/core", f"{wall:,.0f} events/s")
            for name, (per_core, wall) in rates.items()
        ],
    )
    per_core = {name: rate for name, (rate, _) in rates.items()}
    return {
        **{f"{name}_per_core": round(rate) for name, rate in per_core.items()},
        **{f"{name}_per_s": round(wall) for name, (_, wall) in rates.items()},
        "fold_vs_decode": round(per_core["fold"] / per_core["decode"], 3),
        "fold_vs_stock_faust": round(per_core["fold"] / per_core["stock_faust"], 1),
    }


def _rates(results: list[dict[str, float]]) -> tuple[float, float]:
    """Medians of events per CPU second and per second."""
    return (
        median(one["events"] / one["cpu_s"] for one in results),
        median(one["events"] / one["wall_s"] for one in results),
    )


async def _result(lab: Lab, name: str, *arguments: str) -> dict[str, float]:
    async with lab.program(name, *arguments) as program:
        result: dict[str, float] = await program.result()
        return result


async def fold(
    lab: Lab, log: LogSettings, live: LiveSettings, within_s: float = WITHIN_S
) -> dict[str, float]:
    """Let a worker fold all that is left, from its first commit of usage until its outcomes are folded too."""
    ends = await LogReader(log).ends("usage")
    async with (
        LiveStore(live) as store,
        lab.interlock(log, live, "work") as worker,
    ):
        deadline = time.monotonic() + within_s
        before = await folded(store, "usage", "usage", log.partitions)
        first: tuple[int, Used] | None = None
        while (done := await folded(store, "usage", "usage", log.partitions)) < sum(ends.values()):
            worker.check()
            if time.monotonic() > deadline:
                raise TimeoutError(f"{done} of {sum(ends.values())} events were folded in {within_s:g} s")
            if done > before and first is None:
                first = done, worker.used
            await asyncio.sleep(POLL_S)
        outcomes = sum((await LogReader(log).ends("outcomes")).values())
        while await folded(store, "health", "outcomes", log.partitions) < outcomes:
            worker.check()
            await asyncio.sleep(POLL_S)
        if first is None:
            raise RuntimeError("all was folded between two looks: give it more events")
        used = worker.used.since(first[1])
        return {"events": done - first[0], "cpu_s": used.cpu_s, "wall_s": used.wall_s}


async def folded(store: LiveStore, lead: str, topic: str, partitions: int) -> int:
    """How many records of a topic the checkpoints have passed."""
    held = await store.checkpoints(Slot(lead, number) for number in range(partitions))
    return sum(checkpoint.next_offsets.get(topic, 0) for checkpoint in held.values())
