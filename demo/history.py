"""The history as it stands in Postgres at the end, asked with SQL of its own. Waits until it has caught up with the log."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

import asyncpg

from demo.errors import BrokenRunError
from events.positions import Partition

LOOK_EVERY_S = 0.1


@dataclass(frozen=True, slots=True)
class HistoryState:
    """Rows by topic, and the hourly rollups by tenant: calls, and cost in nano-USD."""

    rows: Mapping[str, int]
    calls: Mapping[str, int]
    spend: Mapping[str, int]


async def read_history(
    dsn: str, schema: str, topics: tuple[str, ...], ends: Mapping[Partition, int], within_s: float
) -> HistoryState:
    """Ask once the checkpoints are at those ends. BrokenRunError when they do not get there in time."""
    connection = await asyncpg.connect(dsn, server_settings={"search_path": f'"{schema}"'})
    try:
        await _caught_up(connection, ends, within_s)
        rows = {
            topic: await connection.fetchval(f'select count(*) from "{topic.replace("-", "_")}"')  # noqa: S608
            for topic in topics
        }
        rollups = await connection.fetch(
            "select tenant, sum(calls)::bigint as calls, sum(cost_nano_usd)::bigint as cost from usage_by_hour group by 1"
        )
    finally:
        await connection.close()
    return HistoryState(
        rows,
        {row["tenant"]: row["calls"] for row in rollups},
        {row["tenant"]: row["cost"] for row in rollups},
    )


async def _caught_up(connection: asyncpg.Connection, ends: Mapping[Partition, int], within_s: float) -> None:
    deadline = asyncio.get_running_loop().time() + within_s
    while True:
        held = {
            Partition(row["topic"], row["partition"]): row["next_offset"]
            for row in await connection.fetch("select topic, partition, next_offset from checkpoints")
        }
        late = [partition for partition, end in ends.items() if end and held.get(partition, 0) < end]
        if not late:
            return
        if asyncio.get_running_loop().time() > deadline:
            raise BrokenRunError(
                f"the history was not at the log's end {within_s:g} s after the traffic: {late[0]} is at "
                f"{held.get(late[0], 0)} of {ends[late[0]]}"
            )
        await asyncio.sleep(LOOK_EVERY_S)
