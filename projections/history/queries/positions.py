"""How far the history has come, and waiting for it to come further."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection

from events.positions import Partition, PositionVector
from projections.errors import LaggingError
from projections.history.queries.reader import HistoryReader


async def positions(history: HistoryReader, topics: Collection[str]) -> dict[Partition, int]:
    """The next offset of every partition of these topics that was ever taken."""
    rows = await history.rows(
        "select topic, partition, next_offset from checkpoints where topic = any($1)", [list(topics)]
    )
    return {Partition(row["topic"], row["partition"]): row["next_offset"] for row in rows}


async def reach(history: HistoryReader, wanted: PositionVector, timeout_s: float, poll_s: float) -> None:
    """Returns once the history holds all below the positions; LaggingError when it does not in time."""
    topics = {partition.topic for partition in wanted}
    give_up_s = time.monotonic() + timeout_s
    while topics:
        held = await positions(history, topics)
        lag = {
            partition: offset - held.get(partition, 0)
            for partition, offset in wanted.items()
            if held.get(partition, 0) < offset
        }
        if not lag:
            return
        if time.monotonic() >= give_up_s:
            raise LaggingError(
                f"the history did not reach {', '.join(map(str, sorted(lag)))} within {timeout_s:g} s: ask again, "
                "or without at_least; it follows the log by `interlock sink`",
                lag=lag,
            )
        await asyncio.sleep(poll_s)
