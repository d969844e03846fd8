"""Many Avro records of one flat schema at once: arrays by field instead of a dict per record, at a tenth of the cost.

Every step reads one field of all records. What it cannot be sure of it leaves to the general reader: a record is marked
odd when it is damaged, of another schema, or holds an array, a map or a text that is not plain ASCII.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from events.schema_types import kind_of, named_types

Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
Bytes = npt.NDArray[np.uint8]
Some = Ints | slice
"""Which records are meant: by their numbers, or all."""

PADDING = 64
"""Bytes that there are beyond the last text of a buffer, at least."""

_VARINT_BYTES = 10
_LAST_SHORT = 0x7F
_PRESENT = 2
_ALL = slice(None)
_OF_ONE_BYTE = np.array([number >> 1 ^ -(number & 1) for number in range(256)], np.int64)
_SCALARS = frozenset({"string", "enum", "int", "long", "array", "map"})


@dataclass(slots=True)
class Texts:
    """Where the text of each record lies in the buffer; a length of -1 is null."""

    starts: Ints
    lengths: Ints


@dataclass(slots=True)
class Numbers:
    """Values, and which of them are null (then 0)."""

    values: Ints
    null: Mask


@dataclass(slots=True)
class Columns:
    """The fields of records that lie one after the other in `buffer`. `places` is where each field began."""

    buffer: Bytes
    blob: bytes
    fields: dict[str, Texts | Numbers]
    places: dict[str, Ints]
    odd: Mask

    def text(self, name: str, record: int) -> str:
        """The text of one record that is not odd; empty when it is null."""
        field = self.fields[name]
        assert isinstance(field, Texts), f"{name} is no text"
        start = int(field.starts[record])
        return self.blob[start : start + max(int(field.lengths[record]), 0)].decode("ascii")

    def spans(self, first: str, after: str, of: Some) -> Iterable[tuple[int, int]]:
        """Where the bytes of some records lie from one field up to another that follows it."""
        return zip(self.places[first][of].tolist(), self.places[after][of].tolist(), strict=True)


@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    kind: str
    nullable: bool
    symbols: int = 0


class ColumnReader:
    """Reads records of one schema. An enum is a number: the index of its symbol; of an array or a map nothing is told."""

    def __init__(self, header: bytes, schema: Any) -> None:
        named = named_types(schema)
        self._header = np.frombuffer(header, np.uint8)
        self._fields = [_field(one["name"], one["type"], named) for one in schema["fields"]]
        self._padding = PADDING + len(header) + (1 + _VARINT_BYTES) * len(self._fields)

    def read(self, values: Sequence[bytes | None]) -> Columns:
        """Of each record all fields, or that it is odd."""
        held = [value or b"" for value in values]
        blob = b"".join(held)
        buffer = np.frombuffer(blob + bytes(self._padding), np.uint8)
        ends = np.cumsum(np.fromiter(map(len, held), np.int64, len(held)))
        at = np.concatenate((np.zeros(1, np.int64), ends[:-1]))
        head = buffer[at[:, None] + np.arange(len(self._header))]
        cursor = _Cursor(buffer, at + len(self._header), ends, (head != self._header).any(axis=1))
        fields: dict[str, Texts | Numbers] = {}
        places: dict[str, Ints] = {}
        for field in self._fields:
            places[field.name] = cursor.at
            fields[field.name] = cursor.field(field)
        cursor.odd |= cursor.at != ends
        unplain = _unplain(buffer)
        told = len(held) * _count_unplain(self._header) + _count_unplain(*cursor.told) + self._padding
        # When all records are sound, every byte that is in no text was told.
        if cursor.odd.any() or np.count_nonzero(unplain) != told:
            _mark_unplain(unplain, fields.values(), cursor.odd)
        return Columns(buffer, blob, fields, places, cursor.odd)


class _Cursor:
    """A place in each record, that never goes backwards. Beyond the end of its record it only goes on by numbers."""

    def __init__(self, buffer: Bytes, at: Ints, ends: Ints, odd: Mask) -> None:
        self._buffer = buffer
        self._ends = ends
        self.at = at
        self.odd = odd
        self.told: list[Bytes] = []
        """Every byte that was read, but for those in texts."""

    def field(self, field: _Field) -> Texts | Numbers:
        """The field of all records."""
        if not field.nullable:
            return self._value(field, _ALL)
        branch = self._byte(self.at)
        self.at = self.at + 1
        present = branch == _PRESENT
        if not present.all():
            self.odd |= (branch != 0) & ~present
            return self._value(field, np.flatnonzero(present))
        return self._value(field, _ALL)

    def _value(self, field: _Field, of: Some) -> Texts | Numbers:
        if field.kind == "string":
            return self._texts(of)
        if field.kind in ("array", "map"):
            self._mark(self._byte(self.at[of]) != 0, of)
            self._move(of, self.at[of] + 1)
            return Texts(self.at, np.zeros(len(self.at), np.int64))
        values = self._numbers(of)
        if field.kind == "int":
            self._mark(values + 2**31 >> 32 != 0, of)
        elif field.kind == "enum":
            self._mark((values < 0) | (values >= field.symbols), of)
        null = np.zeros(len(self.at), np.bool_)
        if isinstance(of, slice):
            return Numbers(values, null)
        null = ~null
        null[of] = False
        return Numbers(self._spread(values, of, 0), null)

    def _texts(self, of: Some) -> Texts:
        lengths = self._numbers(of)
        starts = self.at
        left = np.maximum(self._ends[of] - starts[of], 0)
        beyond = lengths.view(np.uint64) > left.view(np.uint64)  # as those below 0 are, too
        if beyond.any():
            self._mark(beyond, of)
            lengths[beyond] = 0
        self._move(of, starts[of] + lengths)
        return Texts(starts, lengths if isinstance(of, slice) else self._spread(lengths, of, -1))

    def _numbers(self, of: Some) -> Ints:
        """Zigzag integers of one byte to ten, of those records that have one."""
        at = self.at[of]
        first = self._byte(at)
        at = at + 1
        values = _OF_ONE_BYTE[first]
        more = first > _LAST_SHORT
        if more.any():
            which: Some = _ALL if more.all() else np.flatnonzero(more)
            raw, ends, beyond = self._long(first[which], at[which])
            values[which] = (raw >> np.uint64(1)).view(np.int64) ^ -(raw & np.uint64(1)).view(np.int64)
            at[which] = ends
            if beyond.any():
                too_long = np.zeros(len(first), np.bool_)
                too_long[which] = beyond
                self._mark(too_long, of)
        self._move(of, at)
        return values

    def _long(self, first: Bytes, at: Ints) -> tuple[npt.NDArray[np.uint64], Ints, Mask]:
        """Numbers of more than one byte, before they are unfolded: where they end, and which need more than 64 bits."""
        raw = (first & np.uint8(0x7F)).astype(np.uint64)
        at, beyond = at.copy(), np.zeros(len(at), np.bool_)
        going: Some = _ALL
        for number in range(1, _VARINT_BYTES):
            here = at[going]
            byte = self._byte(here)
            at[going] = here + 1
            raw[going] |= (byte & np.uint8(0x7F)).astype(np.uint64) << np.uint64(7 * number)
            if number == _VARINT_BYTES - 1:
                beyond[going] = byte > 1
            more = byte > _LAST_SHORT
            if not more.any():
                break
            if not more.all():
                going = np.flatnonzero(more) if isinstance(going, slice) else going[more]
        return raw, at, beyond

    def _byte(self, at: Ints) -> Bytes:
        byte = self._buffer[at]
        self.told.append(byte)
        return byte

    def _move(self, of: Some, at: Ints) -> None:
        """Who holds the places from before still has them."""
        if not isinstance(of, slice):
            some, at = at, self.at.copy()
            at[of] = some
        self.at = at

    def _spread(self, values: Ints, of: Ints, otherwise: int) -> Ints:
        spread = np.full(len(self.at), otherwise, np.int64)
        spread[of] = values
        return spread

    def _mark(self, odd: Mask, of: Some) -> None:
        if odd.any():
            self.odd[of] |= odd


def _unplain(held: Bytes) -> Mask:
    """NUL, and what is beyond ASCII."""
    return (held - 1) > 0x7E


def _count_unplain(*held: Bytes) -> int:
    return int(np.count_nonzero(_unplain(np.concatenate(held))))


def _mark_unplain(unplain: Mask, fields: Iterable[Texts | Numbers], odd: Mask) -> None:
    """Texts with a NUL or beyond ASCII are left to the general reader, which says whether they are UTF-8."""
    before = np.zeros(len(unplain) + 1, np.int32)
    np.cumsum(unplain, dtype=np.int32, out=before[1:])
    for field in fields:
        if isinstance(field, Texts):
            ends = field.starts + np.maximum(field.lengths, 0)
            odd |= before[ends] > before[field.starts]


def _field(name: str, avro: Any, named: dict[str, Any]) -> _Field:
    """ValueError for a type that this reader does not know."""
    branches = avro if isinstance(avro, list) else [avro]
    if isinstance(avro, list) and (len(avro) != 2 or avro[0] != "null"):  # the index of a value is 1
        raise ValueError(f"{name} is a union of other than null and one type")
    value = branches[-1]
    value = named.get(value, value) if isinstance(value, str) else value
    kind = kind_of(value)
    if kind not in _SCALARS:
        raise ValueError(f"{name} is of the type {kind}")
    return _Field(name, kind, len(branches) > 1, len(value["symbols"]) if kind == "enum" else 0)
