"""The rollups of one log partition in Postgres: read through a bounded memory, written as absolute sums.

A row names the log partition that it sums, so it has one writer, whose epoch the transaction has checked: what is
remembered is what is stored. Sums and sketches are merged here, where that costs a tenth of what it costs in SQL.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from projections.history.database import Connection
from projections.history.rollups import KEY_COLUMNS, SUM_COLUMNS, Grain, Key, Rollup, Rollups, coarser
from projections.history.sketch import decode, encode

MAX_BIGINT = 2**63 - 1
_COLUMNS = (*KEY_COLUMNS, "log_partition", *SUM_COLUMNS, "latency_sketch")
_TYPES = (
    "timestamptz",
    *("text" for _ in KEY_COLUMNS[1:]),
    "integer",
    *("bigint" for _ in SUM_COLUMNS),
    "bytea",
)


def _quoted(names: Sequence[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)


_KEY = _quoted((*KEY_COLUMNS, "log_partition"))
_SET = ", ".join(f'"{name}" = excluded."{name}"' for name in (*SUM_COLUMNS, "latency_sketch"))
_SELECT = {
    grain: f"SELECT {_quoted((*KEY_COLUMNS, *SUM_COLUMNS, 'latency_sketch'))} FROM {grain.table} "
    f"JOIN unnest({', '.join(f'${at}::{sql_type}[]' for at, sql_type in enumerate(_TYPES[:6], start=1))}) "
    f"AS wanted ({_quoted(KEY_COLUMNS)}) USING ({_quoted(KEY_COLUMNS)}) WHERE log_partition = $7"
    for grain in Grain
}


_SUMS_AT = range(len(KEY_COLUMNS) + 1, len(_COLUMNS) - 1)


@lru_cache(maxsize=256)
def _upsert(grain: Grain, nothing: frozenset[int]) -> str:
    """SQL that writes rows from an array per column; of the columns with those numbers all is 0, and none is given."""
    given = [at for at in range(len(_COLUMNS)) if at not in nothing]
    arrays = ", ".join(f"${number}::{_TYPES[at]}[]" for number, at in enumerate(given, start=1))
    told = ", ".join("0" if at in nothing else f'"{name}"' for at, name in enumerate(_COLUMNS))
    names = _quoted([_COLUMNS[at] for at in given])
    return (
        f"INSERT INTO {grain.table} ({_quoted(_COLUMNS)}) SELECT {told} FROM unnest({arrays}) AS given ({names}) "
        f"ON CONFLICT ({_KEY}) DO UPDATE SET {_SET}"
    )


@dataclass(slots=True)
class RollupStore:
    """The rollup rows of one log partition, since it was opened. `kept` bounds how many are remembered."""

    partition: int
    kept: int
    _current: dict[tuple[Grain, Key], Rollup] = field(default_factory=dict)
    _previous: dict[tuple[Grain, Key], Rollup] = field(default_factory=dict)

    def forget(self) -> None:
        """The transaction did not commit, or may not have."""
        self._current, self._previous = {}, {}

    async def add(self, connection: Connection, by_minute: Rollups) -> None:
        """Count a batch in every grain. When this or its transaction fails, `forget` has to be called."""
        for grain in Grain:
            more = by_minute if grain is Grain.MINUTE else coarser(by_minute, grain)
            if more:
                await self._add(connection, grain, more)

    async def _add(self, connection: Connection, grain: Grain, more: Rollups) -> None:
        await self._load(connection, grain, more)
        totals: list[tuple[Key, Rollup]] = []
        for key in sorted(more):
            held = self._current.get((grain, key))
            if held is None:
                self._current[grain, key] = held = more[key].copy()
            else:
                held.add(more[key])
            totals.append((key, held))
        arrays = self._arrays(totals)
        nothing = frozenset(at for at in _SUMS_AT if not any(arrays[at]))
        given = (array for at, array in enumerate(arrays) if at not in nothing)
        await connection.execute(_upsert(grain, nothing), *given)
        if len(self._current) > self.kept // 2:
            self._previous, self._current = self._current, {}

    async def _load(self, connection: Connection, grain: Grain, keys: Collection[Key]) -> None:
        """Have in memory what is stored of these rows."""
        missing: list[Key] = []
        for key in keys:
            if (grain, key) in self._current:
                continue
            held = self._previous.pop((grain, key), None)
            if held is None:
                missing.append(key)
            else:
                self._current[grain, key] = held
        if not missing:
            return
        for row in await connection.fetch(_SELECT[grain], *zip(*missing, strict=True), self.partition):
            sums = [row[name] for name in SUM_COLUMNS]
            stored = (row["bucket"], *(row[name] for name in KEY_COLUMNS[1:]))
            self._current[grain, stored] = Rollup(sums, decode(row["latency_sketch"]))

    def _arrays(self, totals: Sequence[tuple[Key, Rollup]]) -> list[Sequence[object]]:
        """One array per column."""
        keys = list(zip(*(key for key, _ in totals), strict=True))
        sums = [_storable(column) for column in zip(*(rollup.sums for _, rollup in totals), strict=True)]
        sketches = [encode(rollup.latencies) for _, rollup in totals]
        return [*keys, [self.partition] * len(totals), *sums, sketches]


def _storable(column: Sequence[int]) -> Sequence[int]:
    """A sum beyond 64 bits (9.2 billion dollars) stays at the end of their range."""
    if min(column) >= -MAX_BIGINT and max(column) <= MAX_BIGINT:
        return column
    return [max(-MAX_BIGINT, min(MAX_BIGINT, value)) for value in column]
