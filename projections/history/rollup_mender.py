"""Rollups of one day and one log partition of usage made anew from the rows, where they are not what the rows come to.

What adjustments add lies in rows of their own, and is left alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from events.positions import Partition
from projections.history import checkpoints
from projections.history.database import Connection, Database
from projections.history.excerpt import Excerpt
from projections.history.months import ROLLUP_TABLES, create_months, month_of
from projections.history.rollup_store import RollupStore, stored_in
from projections.history.rollup_sums import bounded, columns_of
from projections.history.rollups import Grain, Key, Rollup, Rollups, UsageTally, coarser, merge

ROWS_AT_ONCE = 5_000
_NAMES = ", ".join(f'"{name}"' for name in UsageTally.columns)


@dataclass(slots=True)
class _Sums:
    """What the rows of a day come to by minute, up to an offset, and where the rollups say otherwise."""

    told: Rollups = field(default_factory=dict)
    end: int = 0
    rows: int = 0
    differing: dict[Grain, Rollups] = field(default_factory=dict)
    extra: dict[Grain, list[Key]] = field(default_factory=dict)

    @property
    def wrong(self) -> int:
        return sum(map(len, self.differing.values())) + sum(map(len, self.extra.values()))


@dataclass(slots=True)
class RollupsMended:
    """How many rows of rollups were looked at, and how many of them were written anew or removed."""

    rows: int = 0
    changed: int = 0

    def add(self, other: RollupsMended) -> None:
        """Count another day."""
        self.rows += other.rows
        self.changed += other.changed


async def mend_rollups(database: Database, place: Partition, day: Excerpt) -> RollupsMended:
    """Have the rollups of a day be what its rows come to.

    Summed up without a lock, for rows and rollups are written in one transaction. Only when something differs the sink is kept
    waiting, for as long as it takes to add what has come since, and made to forget what it remembers of the sums.
    """
    sums = _Sums()
    async with database.connection() as connection:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            await _sum_up(connection, place, day, sums)
        if not sums.wrong:
            return RollupsMended(sums.rows)
    async with database.connection() as connection:
        await create_months(connection, ROLLUP_TABLES, [month_of(day.from_us)])
        async with connection.transaction():
            await checkpoints.fence(connection, place)
            await _sum_up(connection, place, day, sums)
            await _write(connection, place, sums)
    return RollupsMended(sums.rows, sums.wrong)


@dataclass(frozen=True, slots=True)
class DaysHeld:
    """Days from the first to the last of which there is a row or a rollup, and when the oldest event of a row happened."""

    days: Sequence[Excerpt]
    oldest_us: int | None


async def days_held(database: Database, excerpt: Excerpt) -> DaysHeld:
    """The days of an excerpt that there is anything of."""
    ends = " UNION ALL ".join(f"SELECT min(bucket), max(bucket) FROM {table}" for table in ROLLUP_TABLES)
    async with database.connection() as connection:
        oldest_us, newest_us = await _ends(connection, "SELECT min(occurred_at), max(occurred_at) FROM usage")
        first_us, last_us = await _ends(connection, f"SELECT min(min), max(max) FROM ({ends}) AS one")
    times_us = [each for each in (oldest_us, newest_us, first_us, last_us) if each is not None]
    if not times_us:
        return DaysHeld((), None)
    from_us, to_us = max(excerpt.from_us, min(times_us)), min(excerpt.to_us, max(times_us) + 1)
    return DaysHeld(tuple(replace(excerpt, from_us=from_us, to_us=to_us).whole_days().days()), oldest_us)


async def _ends(connection: Connection, sql: str) -> tuple[int | None, int | None]:
    row = await connection.fetchrow(sql)
    assert row is not None, "an aggregate has a row"
    return row[0], row[1]


async def _sum_up(connection: Connection, place: Partition, day: Excerpt, sums: _Sums) -> None:
    """Add the rows that are not in the sums yet, and compare them with the rollups."""
    start, sums.end = sums.end, (await checkpoints.positions(connection)).get(place, 0)
    condition, arguments = day.where("occurred_at", 4)
    sql = (
        f"SELECT {_NAMES} FROM usage WHERE log_partition = $1 AND log_offset >= $2 AND log_offset < $3 "
        f"AND {condition}"
    )
    cursor = await connection.cursor(sql, place.number, start, sums.end, *arguments)
    tally = UsageTally(UsageTally.columns)
    while rows := await cursor.fetch(ROWS_AT_ONCE):
        merge(sums.told, tally.by_minute(map(tuple, rows)))
    sums.rows = 0
    for grain in Grain:
        by_grain = coarser(sums.told, grain)
        told = {key: Rollup(bounded(one.sums), one.latencies) for key, one in by_grain.items()}
        held = await stored_in(connection, grain, place.number, day.where("bucket", 2))
        sums.rows += len(told.keys() | held.keys())
        sums.differing[grain] = {key: one for key, one in told.items() if held.get(key) != one}
        sums.extra[grain] = sorted(held.keys() - told.keys())


async def _write(connection: Connection, place: Partition, sums: _Sums) -> None:
    for grain, keys in sums.extra.items():
        if keys:
            await RollupStore(place.number, 0).remove(connection, grain, keys)
    wrong = {grain: columns_of(rollups) for grain, rollups in sums.differing.items() if rollups}
    await RollupStore(place.number, 0).put(connection, wrong)
