"""The rollups of one log partition in Postgres: read through a bounded memory, written as absolute sums.

A row names the log partition that it sums (adjustments lie under -1 - p, see `writer_of`), so it has one writer, whose epoch the transaction has checked: what is
remembered is what is stored. Sums and sketches are merged here, where that costs a tenth of what it costs in SQL.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import asyncpg
import numpy as np
import orjson

from projections.history.avro_columns import Ints
from projections.history.database import Connection
from projections.history.rollup_memory import RollupMemory
from projections.history.rollup_sums import Sums, columns_of, every_grain
from projections.history.rollups import KEY_COLUMNS, SUM_COLUMNS, Grain, Key, Rollup, Rollups
from projections.history.sketch import decode

_GIVEN = (*KEY_COLUMNS, *SUM_COLUMNS, "latency_sketch")
"""What each row has an array element of; the log partition is the same in all."""

_TYPES = ("bigint", *("text" for _ in KEY_COLUMNS[1:]), *("bigint" for _ in SUM_COLUMNS), "bytea")
_SUMS_AT = range(len(KEY_COLUMNS), len(_GIVEN) - 1)


def _quoted(names: Sequence[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)


_KEY = _quoted((*KEY_COLUMNS, "log_partition"))
_SET = ", ".join(f'"{name}" = excluded."{name}"' for name in (*SUM_COLUMNS, "latency_sketch"))
_TIME = "timestamptz 'epoch' + bucket * interval '1 microsecond'"
_WANTED = (
    f"(SELECT {_TIME} AS bucket, {_quoted(KEY_COLUMNS[1:])} "
    f"FROM unnest({', '.join(f'${at}::{sql_type}[]' for at, sql_type in enumerate(_TYPES[:6], start=2))}) "
    f"AS given ({_quoted(KEY_COLUMNS)})) AS wanted"
)
_SELECT = {
    grain: f"SELECT {_quoted(_GIVEN)} FROM {grain.table} JOIN {_WANTED} USING ({_quoted(KEY_COLUMNS)}) "
    "WHERE log_partition = $1"
    for grain in Grain
}
_DELETE = {
    grain: f"DELETE FROM {grain.table} AS held USING {_WANTED} WHERE log_partition = $1 AND "
    + " AND ".join(f'held."{name}" = wanted."{name}"' for name in KEY_COLUMNS)
    for grain in Grain
}


def _sent(at: int) -> str:
    """The type of a column; integers are sent as text, which costs asyncpg far less than to look at each of an array."""
    return "text::bigint" if _TYPES[at] == "bigint" else _TYPES[at]


def _as_sent(at: int, array: Sequence[object]) -> object:
    return f"{{{orjson.dumps(array).decode()[1:-1]}}}" if _TYPES[at] == "bigint" else array


@lru_cache(maxsize=256)
def _upsert(grain: Grain, nothing: frozenset[int]) -> str:
    """SQL that writes rows from an array per column; of the columns with those numbers all is 0, and none is given."""
    given = [at for at in range(len(_GIVEN)) if at not in nothing]
    arrays = ", ".join(f"${number}::{_sent(at)}[]" for number, at in enumerate(given, start=2))
    told = ", ".join("0" if at in nothing else f'"{name}"' for at, name in enumerate(_GIVEN[1:], start=1))
    names = _quoted([_GIVEN[at] for at in given])
    return (
        f"INSERT INTO {grain.table} (log_partition, {_quoted(_GIVEN)}) SELECT $1::integer, {_TIME}, {told} "
        f"FROM unnest({arrays}) AS given ({names}) ON CONFLICT ({_KEY}) DO UPDATE SET {_SET}"
    )


async def stored_in(
    connection: Connection, grain: Grain, partition: int, buckets: tuple[str, tuple[object, ...]]
) -> Rollups:
    """What is stored of a log partition, where a condition on rollups holds; its arguments begin with $2."""
    condition, arguments = buckets
    sql = f"SELECT {_quoted(_GIVEN)} FROM {grain.table} WHERE log_partition = $1 AND {condition}"
    return _rollups_of(await connection.fetch(sql, partition, *arguments))


def _rollups_of(rows: Iterable[asyncpg.Record]) -> Rollups:
    """Rows of a rollup's table."""
    return {
        (row["bucket"], *(row[name] for name in KEY_COLUMNS[1:])): Rollup(
            [row[name] for name in SUM_COLUMNS], decode(row["latency_sketch"])
        )
        for row in rows
    }


@dataclass(frozen=True, slots=True)
class _Statement:
    sql: str
    arguments: tuple[object, ...]


@dataclass(slots=True)
class RollupStore:
    """The rollup rows of one writer, since it was opened. `kept` bounds how many are remembered.

    A batch is counted, in one go or in several, and then written. When one of these or the transaction fails, `forget` has
    to be called.
    """

    partition: int
    kept: int
    _current: RollupMemory = field(default_factory=RollupMemory)
    _previous: RollupMemory = field(default_factory=RollupMemory)
    _touched: dict[Grain, dict[Key, int]] = field(default_factory=dict)
    _unread: dict[Grain, list[Key]] = field(default_factory=dict)
    _statements: list[_Statement] | None = None

    def forget(self) -> None:
        """The transaction did not commit, or may not have."""
        self._current, self._previous = RollupMemory(), RollupMemory()
        self._touched, self._unread, self._statements = {}, {}, None

    async def add(self, connection: Connection, by_minute: Rollups) -> None:
        """Count a batch in every grain, and write it."""
        self.count(every_grain(by_minute))
        await self.write(connection)

    def count(self, by_grain: Mapping[Grain, Sums]) -> None:
        """Count calls in memory. Rows that are not remembered are read when it is written, and added then."""
        self._statements = None
        for grain, more in by_grain.items():
            if more.keys:
                self._current.add(self._places(grain, more.keys), more)

    def prepare(self) -> None:
        """Have the statements ready, while Postgres does something else."""
        if not self._unread:
            self._statements = [self._statement(grain, touched) for grain, touched in self._touched.items()]

    async def write(self, connection: Connection) -> None:
        """Write what was counted."""
        for grain, keys in self._unread.items():
            await self._read(connection, grain, keys)
        self._unread = {}
        if self._statements is None:
            self.prepare()
        for one in self._statements or ():
            await connection.execute(one.sql, *one.arguments)
        self._touched, self._statements = {}, None
        if self._current.used > self.kept // 2:
            self._previous, self._current = self._current, RollupMemory()

    async def put(self, connection: Connection, by_grain: Mapping[Grain, Sums]) -> None:
        """Write sums as they are, whatever is stored. Of a store that remembers nothing."""
        self.count(by_grain)
        self._unread = {}
        await self.write(connection)

    async def remove(self, connection: Connection, grain: Grain, keys: Sequence[Key]) -> None:
        """Rows that sum up no call. Of a store that remembers nothing."""
        await connection.execute(_DELETE[grain], self.partition, *zip(*keys, strict=True))

    def _places(self, grain: Grain, keys: Sequence[Key]) -> Ints:
        current, previous = self._current.places[grain], self._previous.places[grain]
        touched = self._touched.setdefault(grain, {})
        for key in keys:
            place = current.get(key)
            if place is None:
                place = self._current.new(grain, key)
                theirs = previous.pop(key, None)
                if theirs is None:
                    self._unread.setdefault(grain, []).append(key)
                else:
                    self._current.take(self._previous, theirs, place)
            touched[key] = place
        return np.array([current[key] for key in keys], np.int64)

    async def _read(self, connection: Connection, grain: Grain, keys: Sequence[Key]) -> None:
        """Add what is stored of rows that were not remembered."""
        stored = _rollups_of(await connection.fetch(_SELECT[grain], self.partition, *zip(*keys, strict=True)))
        if stored:
            self._current.add(self._places(grain, list(stored)), columns_of(stored))

    def _statement(self, grain: Grain, touched: Mapping[Key, int]) -> _Statement:
        keys = sorted(touched, key=touched.__getitem__)
        at = np.array([touched[key] for key in keys], np.int64)
        arrays: list[Sequence[object]] = [*zip(*keys, strict=True), *self._current.sums(at)]
        nothing = frozenset(number for number in _SUMS_AT if not any(arrays[number]))
        given = (_as_sent(number, array) for number, array in enumerate(arrays) if number not in nothing)
        return _Statement(_upsert(grain, nothing), (self.partition, *given, self._current.sketches(at)))
