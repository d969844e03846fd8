"""The rollups of usage made anew from the rows: day by day, each partition of a day in a transaction of its own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from events.positions import Partition
from processors.rebuild.errors import RowsGoneError
from projections.history.database import Database
from projections.history.excerpt import DAY_US, Excerpt
from projections.history.rollup_mender import (
    RollupsMended,
    days_held,
    mend_rollups,
    without_first_rows,
)

SINKS_TURN_S = 1.0
"""A sink that was made to open a partition anew writes at least as long before it is made to again."""

LINES = 10
"""How often it is told how far it is, about."""


async def fill_rollups(
    database: Database, places: Sequence[Partition], excerpt: Excerpt, told: Callable[[str], None]
) -> RollupsMended:
    """Have the rollups of whole days be what the rows of these places come to. `told` gets a line now and then."""
    done = RollupsMended()
    free_at_s = dict.fromkeys(places, 0.0)
    days = (await days_held(database, excerpt)).days
    for number, day in enumerate(days):
        if number % max(1, len(days) // LINES) == 0:
            told(f"makes the rollups anew from the rows where they differ: day {number + 1} of {len(days)}")
        for place in places:
            await asyncio.sleep(max(0.0, free_at_s[place] - time.monotonic()))
            mended = await mend_rollups(database, place, day)
            if mended.changed:
                free_at_s[place] = time.monotonic() + SINKS_TURN_S
            done.add(mended)
    return done


async def rows_gone(database: Database, excerpt: Excerpt) -> list[RowsGoneError]:
    """Why rollups of a time cannot be made of the rows alone: retention takes the oldest rows and leaves the rollups."""
    held = await days_held(database, excerpt)
    if held.days and (places := await without_first_rows(database, "adjustments")):
        return [
            RowsGoneError(
                f"the history has no row of the first record of {', '.join(map(str, places))}: retention may have taken "
                "adjustments that the rollups sum up. Have their rows filled first: `interlock backfill history.adjustments`, "
                "then make those of calls anew by `interlock backfill history.usage`"
            )
        ]
    a_day_ago = time.time_ns() // 1000 - DAY_US
    whole_from_us = a_day_ago if held.oldest_us is None else min(a_day_ago, held.oldest_us)
    if not held.days or held.days[0].from_us > whole_from_us:
        return []
    first_day = datetime.fromtimestamp((whole_from_us // DAY_US + 1) * DAY_US // 1_000_000, UTC)
    return [
        RowsGoneError(
            "retention may have taken rows that the rollups of that time sum up: begin with "
            f"--from {first_day:%Y-%m-%dT%H:%M:%SZ}, or have the rows filled as well: `interlock backfill history.usage`"
        )
    ]
