"""Who called: the few fields that most records share, known by their bytes, read and laid out for COPY once for each caller."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from events.reader import LogRecord
from projections.history.avro_columns import PADDING, Bytes, Columns, Ints, Texts
from projections.history.copy_rows import ReadyColumns, anywhere, text_of_copy

Words = npt.NDArray[np.uint64]

Counts = Callable[[int, LogRecord], bool]
"""Whether a record of a partition is one that counts."""

Names = tuple[str, str, str, str, str]
"""Tenant, provider, model, region, user; what is absent is empty text."""

NAMED = ("tenant", "provider", "model", "region", "user")
KEPT = 20_000
_PIECE = 64
_MOST_PIECES = 8
"""A tenant has one, and the fields from provider on the rest. What is longer is left to the general way."""

_MASKS = np.tril(np.full((_PIECE + 1, _PIECE), 255, np.uint8), -1).view(f"V{_PIECE}")[:, 0]
"""Of a piece only so many bytes."""

_FACTORS = np.random.default_rng(7).integers(0, 2**64, (_MOST_PIECES, _PIECE // 8), np.uint64) | np.uint64(1)
"""Callers that come to the same by these are told apart all the same: the second one goes the general way."""


@dataclass(frozen=True, slots=True)
class CallerFields:
    """Which fields of a schema tell a caller: the tenant, and the run of texts that begins with the provider.

    `spans` are the first field of each of the two and the one that follows it.
    """

    names: tuple[str, ...]
    spans: tuple[tuple[str, str], tuple[str, str]]

    @classmethod
    def of_schema(cls, schema: Any) -> CallerFields:
        """ValueError when the fields that the rollups tell apart do not stand together."""
        kinds = {one["name"]: one["type"] for one in schema["fields"]}
        order = [*kinds, ""]
        run = []
        for name in order[order.index("provider") : -1]:
            if kinds[name] not in ("string", ["null", "string"]):
                break
            run.append(name)
        names = ("tenant", *run)
        if not set(names) >= set(NAMED) or order[-2] in names:
            raise ValueError("a caller's fields do not stand together")
        after = dict(pairwise(order))
        return cls(names, (("tenant", after["tenant"]), ("provider", after[run[-1]])))


class Callers:
    """Numbers of callers, from 0 on, in the order in which they were seen. They stay until this is left for another one."""

    def __init__(self, fields: CallerFields) -> None:
        self.names: list[Names] = []
        self.fields = fields
        self._numbers: dict[int, int] = {}
        self._told = np.zeros((_MOST_PIECES, 64), f"V{_PIECE}")
        self._keys: list[bytes | None] = []
        self._ready = bytearray()
        self._starts: list[int] = []
        self._ends: list[int] = []
        self._laid_out: tuple[Bytes, Ints, Ints] | None = None

    @property
    def full(self) -> bool:
        """Whether it is time for another one."""
        return len(self.names) >= KEPT

    def numbers(self, columns: Columns, partition: int, records: Sequence[LogRecord], counts: Counts) -> Ints:
        """The caller of each record; of one that is odd any. Odd are those, too, that cannot be told by their bytes.

        A caller of a partition is known from the first record of it that `counts`; the key of all others is the same.
        """
        told, hashes = self._read(columns)
        hashes += np.uint64(partition)
        get = self._numbers.get
        numbers = np.array([get(one, -1) for one in hashes.tolist()])
        for at in np.flatnonzero((numbers < 0) & ~columns.odd).tolist():
            found = self._numbers.get(int(hashes[at]))
            if found is not None:
                numbers[at] = found
            elif counts(partition, records[at]):
                numbers[at] = self._number(columns, at, told, int(hashes[at]))
                self._keys.append(records[at].key)
        columns.odd |= numbers < 0
        numbers[numbers < 0] = 0
        if not self._keys:
            return numbers
        keyed = zip(numbers.tolist(), records, strict=True)
        others = [at for at, (number, record) in enumerate(keyed) if record.key != self._keys[number]]
        columns.odd[others] = True
        for known, piece in zip(self._told, told, strict=False):
            other = _words(known[numbers]) != piece
            if other.any():
                columns.odd |= other.any(axis=1)
        return numbers

    def columns(self, numbers: Ints) -> ReadyColumns:
        """The fields of callers in the form of COPY."""
        if self._laid_out is None:
            starts = np.array(self._starts, np.int64)
            source = np.frombuffer(self._ready + bytes(PADDING), np.uint8)
            self._laid_out = source, starts, np.array(self._ends, np.int64) - starts
        source, starts, lengths = self._laid_out
        return ReadyColumns(source, starts[numbers], lengths[numbers], len(self.fields.names))

    def _read(self, columns: Columns) -> tuple[list[Words], Words]:
        """The bytes of each caller, a piece of them at a time and zeros after their end, and a number made of them."""
        told: list[Words] = []
        hashes = np.zeros(len(columns.odd), np.uint64)
        for (first, after), most in zip(self.fields.spans, (1, _MOST_PIECES - 1), strict=True):
            starts = columns.places[first]
            lengths = columns.places[after] - starts
            columns.odd |= lengths > most * _PIECE
            lengths = np.where(columns.odd, 0, lengths)
            for done in range(0, max(int(lengths.max()), 1), _PIECE):
                at = np.minimum(starts + done, len(columns.buffer) - _PIECE)
                piece = _words(anywhere(columns.buffer, f"V{_PIECE}")[at])
                piece &= _words(_MASKS[np.clip(lengths - done, 0, _PIECE)])
                hashes += piece @ _FACTORS[len(told)]
                told.append(piece)
        return told, hashes

    def _number(self, columns: Columns, record: int, told: Sequence[Words], told_hash: int) -> int:
        """The number of a caller that is a new one."""
        number = self._numbers[told_hash] = len(self.names)
        if number == self._told.shape[1]:
            self._told = np.concatenate((self._told, np.zeros_like(self._told)), axis=1)
        for known, piece in zip(self._told, told, strict=False):
            known[number] = piece[record].tobytes()
        self._laid_out = None
        tenant, provider, model, region, user = (columns.text(name, record) for name in NAMED)
        self.names.append((tenant, provider, model, region, user))
        self._starts.append(len(self._ready))
        for name in self.fields.names:
            self._ready += text_of_copy(_bytes(columns, name, record))
        self._ends.append(len(self._ready))
        return number


def _words(pieces: npt.NDArray[np.void]) -> Words:
    return pieces.view(np.uint64).reshape(-1, _PIECE // 8)


def _bytes(columns: Columns, name: str, record: int) -> bytes | None:
    found = columns.fields[name]
    assert isinstance(found, Texts), f"{name} is a text in every schema"
    start, length = int(found.starts[record]), int(found.lengths[record])
    return None if length < 0 else columns.blob[start : start + length]
