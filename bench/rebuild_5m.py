"""How long the live state of five million usage events takes to rebuild: `interlock rebuild live` as it is typed.

The time is the command's, from its start to its end: reading its settings, folding, comparing every key, cutting over.
The embedded broker holds the log in memory, some 260 bytes an event.
"""

from __future__ import annotations

import json
from typing import Any

from bench.fold import fold
from bench.lab import Lab
from bench.report import Row, show

EVENTS = 5_000_000
PARTITIONS = 4
WITHIN_S = 1_800.0
MIB = 2**20


async def run(lab: Lab, events: int = EVENTS) -> dict[str, Any]:
    """The figures; `rebuild_5m_s` is among them when it was five million events."""
    log, live = await lab.settings("rebuild-5m", PARTITIONS)
    async with lab.program("fill", log.model_dump_json(), str(events)) as filling:
        filled = await filling.spent(WITHIN_S)
    await fold(lab, log, live, WITHIN_S)
    async with lab.interlock(log, live, "rebuild", "live", "--json") as command:
        spent = await command.spent(WITHIN_S)
        outcome = command.document
    if not outcome["equal"] or not outcome["made_live"]:
        raise RuntimeError(f"the rebuild differs: {json.dumps(outcome['differences'])[:2000]}")
    show(
        f"rebuild of {events:,} usage events, {PARTITIONS} partitions",
        [
            Row("from start to end", spent.wall_s, "s", "proved equal and made live"),
            Row("by the clock", events / spent.wall_s, "events/s"),
            Row("by its CPU time", events / spent.cpu_s, "events/s/core"),
            Row("most memory", spent.peak_bytes / MIB, "MiB"),
            Row("live stood still", outcome["still_s"], "s"),
        ],
    )
    return {
        "events": events,
        **({"rebuild_5m_s": round(spent.wall_s, 1)} if events == EVENTS else {}),
        "wall_s": round(spent.wall_s, 1),
        "events_per_s": round(events / spent.wall_s),
        "events_per_core": round(events / spent.cpu_s),
        "peak_mib": round(spent.peak_bytes / MIB),
        "still_s": outcome["still_s"],
        "filled_s": round(filled.wall_s, 1),
    }
