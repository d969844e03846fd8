"""Rows of PostgreSQL's binary COPY, all of a column at once.

A row is its number of columns (16 bits), then for each a length (32 bits, -1 for null) and its bytes, big-endian. Bytes are
moved eight at a time; what is written beyond the end of a text is what comes next in the row, and is written after it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from projections.history.avro_columns import Bytes, Ints, Mask

HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER = b"\xff\xff"
_SPARE = 16
_WORD = 8


@dataclass(slots=True)
class TextColumn:
    """Bytes in a source that has at least 8 more after the last; a length of -1 is null."""

    source: Bytes
    starts: Ints
    lengths: Ints


@dataclass(slots=True)
class NumberColumn:
    """Integers of 4 or 8 bytes."""

    values: Ints
    width: int
    null: Mask | None = None


@dataclass(slots=True)
class WordsColumn:
    """Sixteen bytes of each row, as two words in the order of the machine."""

    words: npt.NDArray[np.uint64]


Column = TextColumn | NumberColumn | WordsColumn


def copy_rows(columns: Sequence[Column]) -> bytes:
    """The rows, without what a COPY begins and ends with."""
    lengths = [_lengths(column) for column in columns]
    payloads = [np.maximum(length, 0) for length in lengths]
    sizes = np.sum(payloads, axis=0) + (2 + 4 * len(columns))
    ends = np.cumsum(sizes)
    total = int(ends[-1])
    out = np.empty(total + _SPARE, np.uint8)
    at = ends - sizes
    _anywhere(out, ">i2")[at] = len(columns)
    at = at + 2
    lengths_at, words_at = _anywhere(out, ">i4"), _anywhere(out, "<u8")
    for column, length, payload in zip(columns, lengths, payloads, strict=True):
        lengths_at[at] = length
        at = at + 4
        match column:
            case TextColumn():
                _write_text(column, words_at, at)
            case NumberColumn():
                held = slice(None) if column.null is None else np.flatnonzero(~column.null)
                _anywhere(out, f">i{column.width}")[at[held]] = column.values[held]
            case WordsColumn():
                words_at[at] = column.words[:, 0]
                words_at[at + _WORD] = column.words[:, 1]
        at = at + payload
    return out[:total].tobytes()


def _lengths(column: Column) -> Ints:
    match column:
        case TextColumn():
            return column.lengths
        case NumberColumn():
            whole = np.full(len(column.values), column.width, np.int64)
            if column.null is not None:
                whole[column.null] = -1
            return whole
        case WordsColumn():
            return np.full(len(column.words), 2 * _WORD, np.int64)


def _write_text(column: TextColumn, words_at: npt.NDArray[Any], at: Ints) -> None:
    source, starts, lengths = _anywhere(column.source, "<u8"), column.starts, column.lengths
    done, longest = 0, int(lengths.max(initial=0))
    while done < longest:
        left = np.flatnonzero(lengths > done)
        words_at[at[left] + done] = source[starts[left] + done]
        done += _WORD


def _anywhere(held: Bytes, dtype: str) -> npt.NDArray[Any]:
    """The bytes as numbers of a type, one beginning at every byte."""
    kind = np.dtype(dtype)
    return np.ndarray((len(held) - kind.itemsize + 1,), kind, buffer=held, strides=(1,))  # type: ignore[call-overload, no-any-return, unused-ignore]
