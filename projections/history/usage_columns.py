"""Usage to PostgreSQL without a Python object per field: records to rows of binary COPY, and to sums by the minute."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from events.envelope import FAILURES, MAX_TIME_US, OutcomeKind
from events.reader import LogRecord
from projections.history.avro_columns import PADDING, Bytes, ColumnReader, Columns, Ints, Mask, Numbers, Texts
from projections.history.copy_rows import Column, NumberColumn, TextColumn, WordsColumn, copy_rows
from projections.history.database import POSTGRES_EPOCH_US
from projections.history.rollups import OTHER_OUTCOMES, Key, Rollup, Rollups
from projections.history.sketch import bucket_of
from projections.history.tables import Table

MINUTE_US = 60_000_000
EMPTY_JSONB = b"\x01{}"
ID_BYTES = 36
LARGEST_SUMMED = 2**48
"""A figure beyond it is left to the general way, so that no sum of a batch can overflow."""

_SUMMED = ("input_tokens", "output_tokens", "cached_input_tokens", "cost_nano_usd", "latency_ms")
_DASHES = np.array([8, 13, 18, 23])
_DIGITS = np.delete(np.arange(ID_BYTES), _DASHES)
_NIBBLES = np.full(256, 255, np.uint8)
_NIBBLES[np.frombuffer(b"0123456789abcdef", np.uint8)] = np.arange(16)
_TABLE_MS = 16_384
_BUCKETS = np.array([bucket_of(ms) for ms in range(_TABLE_MS)], np.int64)


NAMES_KEPT = 100_000

Caller = tuple[int, bytes, bytes]
"""A minute, and who called what then: the bytes of the tenant, and those from provider to user."""


@dataclass(slots=True)
class UsageBlock:
    """Some records of a batch. Those that are `odd` are in nothing else, and go the general way."""

    odd: Mask
    ids: set[str]
    rows: bytes
    rollups: Rollups


class UsageColumns:
    """Made once for the table and its schema. ValueError when the schema has what it does not know."""

    def __init__(self, table: Table, header: bytes, schema: Any) -> None:
        self._reader = ColumnReader(header, schema)
        self._columns = [(column.name, column.sql_type) for column in table.fields]
        order = [one["name"] for one in schema["fields"]]
        if not set(order[order.index("provider") : order.index("api_key")]) >= {"model", "region", "user"}:
            raise ValueError("a caller's fields do not stand together")
        (outcome,) = [one["type"] for one in schema["fields"] if one["name"] == "outcome"]
        self._kinds = [OutcomeKind(symbol) for symbol in outcome["symbols"]]
        constants = [*(kind.encode() for kind in self._kinds), EMPTY_JSONB]
        self._constants = np.frombuffer(b"".join(constants) + bytes(PADDING), np.uint8)
        self._lengths = np.array([len(one) for one in constants])
        self._starts = np.cumsum(self._lengths) - self._lengths
        self._names: dict[tuple[bytes, bytes], tuple[str, str, str, str, str]] = {}

    def block(
        self, partition: int, records: Sequence[LogRecord], seen: Sequence[Collection[str]]
    ) -> UsageBlock:
        """Rows and sums of the records that are not odd. Odd are those, too, whose event was seen."""
        columns = self._reader.read([record.value for record in records])
        texts, words = _ids(columns)
        _mark_extreme(columns)
        ids = _fresh_ids(columns, texts, seen)
        good = np.flatnonzero(~columns.odd)
        if not len(good):
            return UsageBlock(columns.odd, set(), b"", {})
        count = len(records)
        on_the_log = [
            NumberColumn(np.full(len(good), partition), 4),
            NumberColumn(np.fromiter((record.offset for record in records), np.int64, count)[good], 8),
            NumberColumn(
                np.fromiter((record.timestamp for record in records), np.int64, count)[good] * 1000
                - POSTGRES_EPOCH_US,
                8,
            ),
        ]
        told = [self._column(columns, name, sql_type, words, good) for name, sql_type in self._columns]
        return UsageBlock(columns.odd, ids, copy_rows([*told, *on_the_log]), self._rollups(columns, good))

    def _column(
        self, columns: Columns, name: str, sql_type: str, words: npt.NDArray[np.uint64], good: Ints
    ) -> Column:
        if sql_type == "uuid":
            return WordsColumn(words[good])
        if sql_type == "jsonb":
            return self._constant(np.full(len(good), len(self._kinds)))
        field = columns.fields[name]
        if isinstance(field, Texts):
            return TextColumn(columns.buffer, field.starts[good], field.lengths[good])
        if sql_type == "text":
            return self._constant(field.values[good])
        if name == "occurred_at":
            return NumberColumn(field.values[good] - POSTGRES_EPOCH_US, 8)
        null = field.null[good]
        return NumberColumn(field.values[good], 8, null if null.any() else None)

    def _constant(self, which: Ints) -> TextColumn:
        return TextColumn(self._constants, self._starts[which], self._lengths[which])

    def _rollups(self, columns: Columns, good: Ints) -> Rollups:
        """Sums by minute and caller."""
        callers, members, groups = _groups(columns, good)
        size = len(members)
        sums = np.zeros((len(_SUMMED), size), np.int64)
        for held, name in zip(sums, _SUMMED, strict=True):
            np.add.at(held, groups, _numbers(columns, name).values[good])
        calls = np.bincount(groups, minlength=size)
        unpriced = np.bincount(groups[_numbers(columns, "cost_nano_usd").null[good]], minlength=size)
        kinds = np.bincount(
            groups * len(self._kinds) + _numbers(columns, "outcome").values[good],
            minlength=size * len(self._kinds),
        ).reshape(size, len(self._kinds))
        by_kind = {kind: kinds[:, at] for at, kind in enumerate(self._kinds)}
        failures = np.sum([by_kind[kind] for kind in FAILURES], axis=0)
        inputs, outputs, cached, costs, latencies = sums
        table = np.column_stack(
            [
                calls,
                by_kind[OutcomeKind.SUCCESS],
                failures,
                *(by_kind[kind] for kind in OTHER_OUTCOMES),
                inputs,
                outputs,
                cached,
                costs,
                unpriced,
                latencies,
            ]
        ).tolist()
        sketches = _sketches(_numbers(columns, "latency_ms").values[good], groups, size)
        rollups: Rollups = {}
        for caller, member, of_group, counts in zip(callers, members, table, sketches, strict=True):
            rollup = Rollup(of_group, counts)
            held_rollup = rollups.setdefault(self._key(columns, caller, member), rollup)
            if held_rollup is not rollup:
                held_rollup.add(rollup)
        return rollups

    def _key(self, columns: Columns, caller: Caller, record: int) -> Key:
        """Names of callers are remembered, a bounded number of them."""
        minute, *raw = caller
        told = (raw[0], raw[1])
        names = self._names.get(told)
        if names is None:
            if len(self._names) >= NAMES_KEPT:
                self._names.clear()
            tenant, provider, model, region, user = (
                columns.text(name, record) for name in ("tenant", "provider", "model", "region", "user")
            )
            names = self._names[told] = (tenant, provider, model, region, user)
        return (minute * MINUTE_US, *names)


def _numbers(columns: Columns, name: str) -> Numbers:
    field = columns.fields[name]
    assert isinstance(field, Numbers), f"{name} is a number in every schema of usage"
    return field


def _ids(columns: Columns) -> tuple[Bytes, npt.NDArray[np.uint64]]:
    """Each event_id as 36 characters and as 16 bytes. One that is not in canonical spelling is odd."""
    field = columns.fields["event_id"]
    assert isinstance(field, Texts), "event_id is a text in every schema"
    columns.odd |= field.lengths != ID_BYTES
    starts = np.where(columns.odd, 0, field.starts)
    texts = columns.buffer[starts[:, None] + np.arange(ID_BYTES)]
    nibbles = _NIBBLES[texts[:, _DIGITS]]
    columns.odd |= (nibbles > 15).any(axis=1) | (texts[:, _DASHES] != ord("-")).any(axis=1)
    binary = np.ascontiguousarray(nibbles[:, 0::2] << 4 | nibbles[:, 1::2])
    return texts, binary.view(np.uint64)


def _fresh_ids(columns: Columns, texts: Bytes, seen: Sequence[Collection[str]]) -> set[str]:
    """The ids of records that are not odd; a record whose id was seen, here or before, is odd from now on."""
    good = np.flatnonzero(~columns.odd)
    text = texts[good].tobytes().decode("ascii")
    ids = [text[at : at + ID_BYTES] for at in range(0, len(text), ID_BYTES)]
    fresh = set(ids)
    if len(fresh) == len(ids) and all(fresh.isdisjoint(held) for held in seen):
        return fresh
    fresh = set()
    for record, event_id in zip(good.tolist(), ids, strict=True):
        if event_id in fresh or any(event_id in held for held in seen):
            columns.odd[record] = True
        else:
            fresh.add(event_id)
    return fresh


def _mark_extreme(columns: Columns) -> None:
    """Times that are none, and figures that are too large to be summed in a batch."""
    times = _numbers(columns, "occurred_at").values
    columns.odd |= (times < 0) | (times > MAX_TIME_US)
    for name in _SUMMED:
        values = _numbers(columns, name).values
        columns.odd |= (values > LARGEST_SUMMED) | (values < -LARGEST_SUMMED)


def _groups(columns: Columns, good: Ints) -> tuple[list[Caller], list[int], Ints]:
    """Which calls share a minute and a caller: the groups, of each one record, and of each call its group.

    Two groups may have the same key: a caller is told by the bytes from provider to user, teams between them included.
    """
    blob = columns.blob
    minutes = (_numbers(columns, "occurred_at").values[good] // MINUTE_US).tolist()
    tenants = columns.spans("tenant", "correlation_id", good)
    callers = columns.spans("provider", "api_key", good)
    numbers: dict[Caller, int] = {}
    groups = [
        numbers.setdefault((minute, blob[tenant:tenant_end], blob[caller:caller_end]), len(numbers))
        for minute, (tenant, tenant_end), (caller, caller_end) in zip(minutes, tenants, callers, strict=True)
    ]
    found = np.array(groups)
    _, first = np.unique(found, return_index=True)
    return list(numbers), good[first].tolist(), found


def _sketches(latencies_ms: Ints, groups: Ints, size: int) -> list[dict[int, int]]:
    """The sketch of each group."""
    buckets = _BUCKETS[np.clip(latencies_ms, 0, _TABLE_MS - 1)]
    for at in np.flatnonzero(latencies_ms >= _TABLE_MS).tolist():
        buckets[at] = bucket_of(int(latencies_ms[at]))
    entries, counts = np.unique(groups * 1024 + buckets, return_counts=True)
    sketches: list[dict[int, int]] = [{} for _ in range(size)]
    for group, bucket, count in zip(
        (entries >> 10).tolist(), (entries & 1023).tolist(), counts.tolist(), strict=True
    ):
        sketches[group][bucket] = count
    return sketches
