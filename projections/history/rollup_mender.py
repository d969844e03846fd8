"""Rollups of one day and one log partition made anew from its rows, where they are not what the rows come to.

Calls and what corrects them have rollup rows of their own, so those of a topic follow from its rows alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from events.positions import Partition
from projections.history import checkpoints
from projections.history.database import Connection, Database
from projections.history.excerpt import Excerpt
from projections.history.months import ROLLUP_TABLES, create_months, month_of
from projections.history.rollup_store import RollupStore, stored_in
from projections.history.rollup_sums import bounded, columns_of
from projections.history.rollups import (
    TALLIES,
    Bucket,
    Grain,
    Key,
    Rollup,
    Rollups,
    coarser,
    merge,
    writer_of,
)
from projections.history.tables import table_name

ROWS_AT_ONCE = 5_000


@dataclass(slots=True)
class _Sums:
    """What the rows of a day come to by minute, up to an offset, and where the rollups say otherwise."""

    told: Rollups = field(default_factory=dict)
    end: int = 0
    rows: int = 0
    differing: dict[Grain, Rollups] = field(default_factory=dict)
    extra: dict[Grain, list[Key]] = field(default_factory=dict)

    @property
    def wrong(self) -> list[tuple[Grain, Key]]:
        sides: tuple[Mapping[Grain, Iterable[Key]], ...] = (self.differing, self.extra)
        return [(grain, key) for side in sides for grain, keys in side.items() for key in keys]


@dataclass(slots=True)
class RollupsMended:
    """How many rows of rollups were looked at, how many of them were written anew or removed, and in which buckets."""

    rows: int = 0
    changed: int = 0
    buckets: set[Bucket] = field(default_factory=set)

    def add(self, other: RollupsMended) -> None:
        """Count another day."""
        self.rows += other.rows
        self.changed += other.changed
        self.buckets |= other.buckets


async def mend_rollups(
    database: Database, place: Partition, day: Excerpt, whole_from_us: int = 0
) -> RollupsMended:
    """Have the rollups of a day be what its rows come to; `place` is a partition of a topic that is rolled up.

    No bucket that begins before `whole_from_us` is touched: not all rows that it sums up are there. Summed up without a
    lock, for rows and rollups are written in one transaction. Only when something differs the sink is kept waiting, for as
    long as it takes to add what has come since, and made to forget what it remembers of the sums.
    """
    sums = _Sums()
    async with database.connection() as connection:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            await _sum_up(connection, place, day, sums, whole_from_us)
        if not sums.wrong:
            return RollupsMended(sums.rows)
    async with database.connection() as connection:
        await create_months(connection, ROLLUP_TABLES, [month_of(day.from_us)])
        async with connection.transaction():
            await checkpoints.fence(connection, place)
            await _sum_up(connection, place, day, sums, whole_from_us)
            await _write(connection, place, sums)
    return RollupsMended(sums.rows, len(sums.wrong), {(grain, key[0]) for grain, key in sums.wrong})


@dataclass(frozen=True, slots=True)
class DaysHeld:
    """Days from the first to the last of which there is a row or a rollup, and when the oldest call of a row happened."""

    days: Sequence[Excerpt]
    oldest_us: int | None


async def days_held(database: Database, excerpt: Excerpt) -> DaysHeld:
    """The days of an excerpt that there is anything of."""
    ends = " UNION ALL ".join(f"SELECT min(bucket), max(bucket) FROM {table}" for table in ROLLUP_TABLES)
    async with database.connection() as connection:
        of_rows = {
            topic: await _ends(
                connection,
                f"SELECT min({tally.called_at}), max({tally.called_at}) FROM {table_name(topic)}",
            )
            for topic, tally in TALLIES.items()
        }
        of_sums = await _ends(connection, f"SELECT min(min), max(max) FROM ({ends}) AS one")
    oldest_us, _ = of_rows["usage"]
    times_us = [each for both in (*of_rows.values(), of_sums) for each in both if each is not None]
    if not times_us:
        return DaysHeld((), None)
    from_us, to_us = max(excerpt.from_us, min(times_us)), min(excerpt.to_us, max(times_us) + 1)
    return DaysHeld(tuple(replace(excerpt, from_us=from_us, to_us=to_us).whole_days().days()), oldest_us)


async def without_first_rows(database: Database, topic: str) -> list[Partition]:
    """Partitions of a topic that the history has taken records of, the first of which is neither a row nor refused."""
    async with database.connection() as connection:
        return [
            Partition(topic, row["partition"])
            for row in await connection.fetch(
                f"""SELECT partition FROM checkpoints AS held WHERE topic = $1 AND next_offset > 0
                AND NOT EXISTS (SELECT FROM {table_name(topic)} WHERE log_partition = partition AND log_offset = 0)
                AND NOT EXISTS (SELECT FROM refused WHERE refused.topic = $1 AND log_partition = partition AND log_offset = 0)
                ORDER BY partition""",
                topic,
            )
        ]


async def _ends(connection: Connection, sql: str) -> tuple[int | None, int | None]:
    row = await connection.fetchrow(sql)
    assert row is not None, "an aggregate has a row"
    return row[0], row[1]


async def _sum_up(
    connection: Connection, place: Partition, day: Excerpt, sums: _Sums, whole_from_us: int
) -> None:
    """Add the rows that are not in the sums yet, and compare them with the rollups."""
    counted = TALLIES[place.topic]
    start, sums.end = sums.end, (await checkpoints.positions(connection)).get(place, 0)
    condition, arguments = day.where(counted.called_at, 4)
    names = ", ".join(f'"{name}"' for name in counted.columns)
    sql = (
        f"SELECT {names} FROM {table_name(place.topic)} "
        f"WHERE log_partition = $1 AND log_offset >= $2 AND log_offset < $3 AND {condition}"
    )
    cursor = await connection.cursor(sql, place.number, start, sums.end, *arguments)
    tally = counted(counted.columns)
    while rows := await cursor.fetch(ROWS_AT_ONCE):
        merge(sums.told, tally.by_minute(map(tuple, rows)))
    sums.rows = 0
    for grain in Grain:
        told = {
            key: Rollup(bounded(one.sums), one.latencies) for key, one in coarser(sums.told, grain).items()
        }
        held = await stored_in(connection, grain, writer_of(place), day.where("bucket", 2))
        sums.rows += len(told.keys() | held.keys())
        whole = {key for key in told.keys() | held.keys() if key[0] >= whole_from_us}
        sums.differing[grain] = {key: told[key] for key in whole & told.keys() if held.get(key) != told[key]}
        sums.extra[grain] = sorted(whole - told.keys())


async def _write(connection: Connection, place: Partition, sums: _Sums) -> None:
    store = RollupStore(writer_of(place), 0)
    for grain, keys in sums.extra.items():
        if keys:
            await store.remove(connection, grain, keys)
    wrong = {grain: columns_of(rollups) for grain, rollups in sums.differing.items() if rollups}
    await store.put(connection, wrong)
