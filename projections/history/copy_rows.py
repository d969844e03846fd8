"""Rows of PostgreSQL's binary COPY, all of a column at once.

A row is its number of columns (16 bits), then for each a length (32 bits, -1 for null) and its bytes, big-endian. Columns
whose length varies come first. They are moved in chunks of one size, because that costs no more than to move a few bytes:
what is written beyond the end of a text is what comes next in the row, and is written after it. Columns of one length come
last, as a block that is at least as long as a chunk, so that none reaches into the next row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from projections.history.avro_columns import PADDING, Bytes, Ints, Mask, Some

HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER = b"\xff\xff"
CHUNK = 64
_SMALL_CHUNK = 32
_LENGTH = 4
assert CHUNK <= PADDING


@dataclass(slots=True)
class TextColumn:
    """Bytes in a source that has at least 4 before the first and a chunk after the last; a length of -1 is null."""

    source: Bytes
    starts: Ints
    lengths: Ints


@dataclass(slots=True)
class ReadyColumns:
    """Some columns side by side as bytes of COPY, their lengths included; in a source with a chunk after the last."""

    source: Bytes
    starts: Ints
    lengths: Ints
    columns: int


@dataclass(slots=True)
class MaybeNumberColumn:
    """Integers of 8 bytes, some of them null."""

    values: Ints
    null: Mask


@dataclass(slots=True)
class NumberColumn:
    """Integers of 4 or 8 bytes."""

    values: Ints
    width: int


@dataclass(slots=True)
class BytesColumn:
    """The same bytes in each row, or as many in each."""

    values: bytes | Bytes


Varying = ReadyColumns | TextColumn | MaybeNumberColumn
Fixed = NumberColumn | BytesColumn


def copy_rows(varying: Sequence[Varying], fixed: Sequence[Fixed], count: int) -> bytes:
    """So many rows, without what a COPY begins and ends with. The columns are those that vary, then the fixed ones."""
    block = _block(fixed, count)
    length_of_block = block.shape[1]
    assert length_of_block >= CHUNK, "a chunk would reach into the next row"
    sizes = np.full(count, 2 + length_of_block, np.int64)
    of_varying = [_sizes(column) for column in varying]
    for of_column in of_varying:
        sizes += of_column
    ends = np.cumsum(sizes)
    out = np.empty(int(ends[-1]), np.uint8)
    at = ends - sizes
    number = sum(column.columns if isinstance(column, ReadyColumns) else 1 for column in varying) + len(fixed)
    anywhere(out, ">i2")[at] = number
    at += 2
    for column, of_column in zip(varying, of_varying, strict=True):
        match column:
            case ReadyColumns():
                _write_chunks(column, out, at, 0)
            case TextColumn():
                _write_text(column, out, at)
            case MaybeNumberColumn():
                _write_number(column, out, at)
        at += of_column
    anywhere(out, f"V{length_of_block}")[at] = _items(block)
    return out.tobytes()


def anywhere(held: Bytes, dtype: str) -> npt.NDArray[Any]:
    """The bytes as items of a type, one beginning at every byte."""
    kind = np.dtype(dtype)
    return np.ndarray((len(held) - kind.itemsize + 1,), kind, buffer=held, strides=(1,))  # type: ignore[call-overload, no-any-return, unused-ignore]


def text_of_copy(text: bytes | None) -> bytes:
    """A column of text in one row."""
    return b"\xff" * _LENGTH if text is None else len(text).to_bytes(_LENGTH) + text


def _sizes(column: Varying) -> Ints:
    match column:
        case ReadyColumns():
            return column.lengths
        case TextColumn():
            return np.maximum(column.lengths, 0) + _LENGTH
        case MaybeNumberColumn():
            return np.where(column.null, _LENGTH, _LENGTH + 8)


def _write_text(column: TextColumn, out: Bytes, at: Ints) -> None:
    """The length goes over what stands before the text in its source."""
    starts, lengths = column.starts, column.lengths
    longest = int(lengths.max(initial=0))
    chunk = _SMALL_CHUNK if longest <= _SMALL_CHUNK - _LENGTH else CHUNK
    source, target = anywhere(column.source, f"V{chunk}"), anywhere(out, f"V{chunk}")
    first = source[starts - _LENGTH]
    _inside(first, 0, ">i4")[:] = lengths
    target[at] = first
    if longest > chunk - _LENGTH:
        _write_chunks(column, out, at + _LENGTH, chunk - _LENGTH)


def _write_chunks(column: TextColumn | ReadyColumns, out: Bytes, at: Ints, done: int) -> None:
    """What comes after so many bytes of each; `at` is where the first ones are, or go."""
    source, target = anywhere(column.source, f"V{CHUNK}"), anywhere(out, f"V{CHUNK}")
    for start in range(done, int(column.lengths.max(initial=0)), CHUNK):
        further = column.lengths > start
        left: Some = slice(None) if further.all() else np.flatnonzero(further)
        target[at[left] + start] = source[column.starts[left] + start]


def _write_number(column: MaybeNumberColumn, out: Bytes, at: Ints) -> None:
    items = np.empty(len(column.values), f"V{_LENGTH + 8}")
    _inside(items, 0, ">i4")[:] = np.where(column.null, -1, 8)
    _inside(items, _LENGTH, ">i8")[:] = column.values
    anywhere(out, items.dtype.str)[at] = items


def _block(fixed: Sequence[Fixed], count: int) -> Bytes:
    """The columns of one length, with their lengths: a row of bytes for each row."""
    widths = [column.width if isinstance(column, NumberColumn) else _width(column) for column in fixed]
    block = np.empty((count, sum(widths) + _LENGTH * len(fixed)), np.uint8)
    items, at = _items(block), 0
    for column, width in zip(fixed, widths, strict=True):
        _inside(items, at, ">i4")[:] = width
        at += _LENGTH
        match column:
            case NumberColumn():
                _inside(items, at, f">i{width}")[:] = column.values
            case BytesColumn(bytes(same)):
                block[:, at : at + width] = np.frombuffer(same, np.uint8)
            case BytesColumn(values):
                block[:, at : at + width] = values
        at += width
    return block


def _width(column: BytesColumn) -> int:
    return len(column.values) if isinstance(column.values, bytes) else column.values.shape[1]


def _items(block: Bytes) -> npt.NDArray[Any]:
    return block.view(f"V{block.shape[1]}")[:, 0]


def _inside(items: npt.NDArray[Any], at: int, dtype: str) -> npt.NDArray[Any]:
    """The numbers that begin at a byte of each item."""
    return np.ndarray(
        (len(items),), np.dtype(dtype), buffer=items, offset=at, strides=(items.dtype.itemsize,)
    )  # type: ignore[call-overload, no-any-return, unused-ignore]
