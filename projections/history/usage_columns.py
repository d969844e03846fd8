"""Usage to PostgreSQL without a Python object per field: records to rows of binary COPY."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from events.envelope import OutcomeKind
from events.reader import LogRecord
from projections.history.avro_columns import PADDING, Bytes, ColumnReader, Columns, Mask, Numbers, Some, Texts
from projections.history.copy_rows import (
    BytesColumn,
    Fixed,
    MaybeNumberColumn,
    NumberColumn,
    TextColumn,
    Varying,
    anywhere,
    copy_rows,
)
from projections.history.database import POSTGRES_EPOCH_US
from projections.history.rows import RowReader
from projections.history.tables import LOG_COLUMNS, Column
from projections.history.usage_callers import CallerFields, Callers
from projections.history.usage_calls import LARGEST_SUMMED, SUMMED, UsageCalls
from projections.history.usage_limits import UsageLimits

EMPTY_JSONB = b"\x01{}"
ID_BYTES = 36
TOLD_OTHERWISE = ("event_id", "outcome", "attributes")
"""By their spelling, by the schema, and by being empty."""

_DASHES = np.zeros(ID_BYTES, np.uint8)
_DASHES[[8, 13, 18, 23]] = 1
_DIGITS = np.flatnonzero(_DASHES == 0)
_NIBBLES = np.full(256, 255, np.uint8)
_NIBBLES[np.frombuffer(b"0123456789abcdef-", np.uint8)] = np.arange(17)
"""What a character stands for: a digit for up to 15, the dash for 16, so that one bit tells them apart."""


@dataclass(slots=True)
class UsageBlock:
    """Some records of a batch. Those that are `odd` are in nothing else, are not counted, and go the general way."""

    odd: Mask
    ids: dict[str, int]
    rows: bytes


class UsageColumns:
    """Made once for the general way and the schema. ValueError when the schema has what it does not know."""

    def __init__(self, general: RowReader, header: bytes, schema: Any) -> None:
        self._general = general
        self._reader = ColumnReader(header, schema)
        self._callers = Callers(CallerFields.of_schema(schema))
        of_caller = self._callers.fields.names
        further = [column for column in general.table.fields if column.name not in of_caller]
        told = [column.name for column in further if column.name not in TOLD_OTHERWISE]
        self._limits = UsageLimits(general.log, told)
        self._varying = [column for column in further if _varies(column)]
        self._fixed = [column for column in further if not _varies(column)]
        self.column_names = [
            *self._callers.fields.names,
            *(column.name for column in (*self._varying, *self._fixed)),
            *(name for name, _ in LOG_COLUMNS),
        ]
        (outcome,) = [one["type"] for one in schema["fields"] if one["name"] == "outcome"]
        self._kinds = [OutcomeKind(symbol) for symbol in outcome["symbols"]]
        names = [kind.encode() for kind in self._kinds]
        self._names = np.frombuffer(bytes(PADDING) + b"".join(names) + bytes(PADDING), np.uint8)
        self._lengths = np.array([len(name) for name in names])
        self._starts = PADDING + np.cumsum(self._lengths) - self._lengths

    def calls(self) -> UsageCalls:
        """What blocks of a batch are counted in."""
        if self._callers.full:
            self._callers = Callers(self._callers.fields)
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
        texts, ids_in_bytes = _ids(columns)
        self._limits.mark(columns, records)
        _mark_extreme(columns)
        callers = calls.callers.numbers(columns, partition, records, self._general.counts)
        ids = _fresh_ids(columns, texts, seen)
        good = slice(None) if not columns.odd.any() else np.flatnonzero(~columns.odd)
        offsets = np.array([record.offset for record in records])[good]
        if not len(offsets):
            return UsageBlock(columns.odd, {}, b"")
        times_ms = np.array([record.timestamp for record in records])[good]
        varying = [
            calls.callers.columns(callers[good]),
            *(self._varying_column(columns, column, good) for column in self._varying),
        ]
        fixed = [
            *(_fixed_column(columns, column, ids_in_bytes, good) for column in self._fixed),
            BytesColumn(partition.to_bytes(4)),
            NumberColumn(offsets, 8),
            NumberColumn(times_ms * 1000 - POSTGRES_EPOCH_US, 8),
        ]
        calls.add(columns, good, callers[good])
        return UsageBlock(
            columns.odd,
            dict(zip(ids, offsets.tolist(), strict=True)),
            copy_rows(varying, fixed, len(offsets)),
        )

    def _varying_column(self, columns: Columns, column: Column, good: Some) -> Varying:
        field = columns.fields[column.name]
        if isinstance(field, Texts):
            return TextColumn(columns.buffer, field.starts[good], field.lengths[good])
        if column.sql_type == "text":
            which = field.values[good]
            return TextColumn(self._names, self._starts[which], self._lengths[which])
        return MaybeNumberColumn(field.values[good], field.null[good])


def _varies(column: Column) -> bool:
    """Whether its length does; open attributes are empty here."""
    return column.sql_type == "text" or column.nullable


def _fixed_column(columns: Columns, column: Column, ids: Bytes, good: Some) -> Fixed:
    match column.sql_type:
        case "uuid":
            return BytesColumn(ids[good])
        case "jsonb":
            return BytesColumn(EMPTY_JSONB)
        case "timestamp with time zone":
            return NumberColumn(_numbers(columns, column.name).values[good] - POSTGRES_EPOCH_US, 8)
    return NumberColumn(_numbers(columns, column.name).values[good], 8)


def _numbers(columns: Columns, name: str) -> Numbers:
    field = columns.fields[name]
    assert isinstance(field, Numbers), f"{name} is a number in every schema of usage"
    return field


def _ids(columns: Columns) -> tuple[Bytes, Bytes]:
    """Each event_id as 36 characters and as 16 bytes. One that is not in canonical spelling is odd."""
    field = columns.fields["event_id"]
    assert isinstance(field, Texts), "event_id is a text in every schema"
    columns.odd |= field.lengths != ID_BYTES
    starts = np.where(columns.odd, 0, field.starts)  # there are always as many bytes after it
    texts = anywhere(columns.buffer, f"V{ID_BYTES}")[starts].view(np.uint8).reshape(-1, ID_BYTES)
    nibbles = _NIBBLES[texts]
    misspelt = nibbles >> 4 != _DASHES
    if misspelt.any():
        columns.odd |= misspelt.any(axis=1)
    digits = nibbles[:, _DIGITS]
    return texts, np.bitwise_or(digits[:, 0::2] << 4, digits[:, 1::2], dtype=np.uint8)


def _fresh_ids(columns: Columns, texts: Bytes, seen: Sequence[Collection[str]]) -> list[str]:
    """The ids of records that are not odd, in their order; a record whose id was seen, here or before, is odd from now on."""
    good = np.flatnonzero(~columns.odd)
    text = texts[good].tobytes().decode("ascii")
    ids = [text[at : at + ID_BYTES] for at in range(0, len(text), ID_BYTES)]
    fresh = set(ids)
    if len(fresh) == len(ids) and all(fresh.isdisjoint(held) for held in seen):
        return ids
    fresh = set()
    kept = []
    for record, event_id in zip(good.tolist(), ids, strict=True):
        if event_id in fresh or any(event_id in held for held in seen):
            columns.odd[record] = True
        else:
            fresh.add(event_id)
            kept.append(event_id)
    return kept


def _mark_extreme(columns: Columns) -> None:
    """Figures that are too large to be summed in a batch."""
    for name in SUMMED:
        values = _numbers(columns, name).values
        columns.odd |= (values > LARGEST_SUMMED) | (values < -LARGEST_SUMMED)
