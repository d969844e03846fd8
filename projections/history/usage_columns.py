"""Usage to PostgreSQL without a Python object per field: records to rows of binary COPY."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from events.envelope import MAX_TIME_US, OutcomeKind
from events.reader import LogRecord
from projections.history.avro_columns import PADDING, Bytes, ColumnReader, Columns, Ints, Mask, Numbers, Texts
from projections.history.copy_rows import Column, NumberColumn, TextColumn, WordsColumn, copy_rows
from projections.history.database import POSTGRES_EPOCH_US
from projections.history.tables import Table
from projections.history.usage_calls import LARGEST_SUMMED, SUMMED, Callers, UsageCalls

EMPTY_JSONB = b"\x01{}"
ID_BYTES = 36
_DASHES = np.array([8, 13, 18, 23])
_DIGITS = np.delete(np.arange(ID_BYTES), _DASHES)
_NIBBLES = np.full(256, 255, np.uint8)
_NIBBLES[np.frombuffer(b"0123456789abcdef", np.uint8)] = np.arange(16)


@dataclass(slots=True)
class UsageBlock:
    """Some records of a batch. Those that are `odd` are in nothing else, are not counted, and go the general way."""

    odd: Mask
    ids: set[str]
    rows: bytes


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
        self._callers = Callers()

    def calls(self) -> UsageCalls:
        """What blocks of a batch are counted in."""
        return UsageCalls(self._kinds, self._callers)

    def block(
        self,
        partition: int,
        records: Sequence[LogRecord],
        seen: Sequence[Collection[str]],
        calls: UsageCalls,
    ) -> UsageBlock:
        """Rows of the records that are not odd; they are in `calls` then. Odd are those, too, whose event was seen."""
        columns = self._reader.read([record.value for record in records])
        texts, words = _ids(columns)
        _mark_extreme(columns)
        ids = _fresh_ids(columns, texts, seen)
        good = np.flatnonzero(~columns.odd)
        if not len(good):
            return UsageBlock(columns.odd, set(), b"")
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
        calls.add(columns, good)
        return UsageBlock(columns.odd, ids, copy_rows([*told, *on_the_log]))

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
    for name in SUMMED:
        values = _numbers(columns, name).values
        columns.odd |= (values > LARGEST_SUMMED) | (values < -LARGEST_SUMMED)
