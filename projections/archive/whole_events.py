"""Which of many values are whole Avro records of one schema, found for all of them at once.

Field by field, each step moves the places of all values with a few array operations, which costs a twentieth of reading
them one by one. What is rare (a long list, a ten-byte integer) is left undecided, and read by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from events.schema_types import kind_of, named_types

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Step = Callable[["_Walk", Ints, Ints], Ints]
"""Moves the places of the values of those numbers over one type, and marks those that are undecided."""

PADDING = bytes(16)
MOST_ITEMS = 64
MOST_BLOCKS = 4
INT_BITS, LONG_BITS = 32, 63
_US_PER_DAY = 86_400_000_000
_FIRST_US, _LAST_US = -719_162 * _US_PER_DAY, 2_932_897 * _US_PER_DAY
_RANGES = {
    "timestamp-micros": (_FIRST_US, _LAST_US),
    "timestamp-millis": (_FIRST_US // 1000, _LAST_US // 1000),
}
"""Years 1 to 9999: a time outside would keep readers in some languages from the whole file."""


@dataclass(frozen=True, slots=True)
class Found:
    """For each value whether it is surely a whole event, and the text fields that were asked for."""

    whole: Bools
    texts: dict[str, list[str | None]]


@dataclass(slots=True)
class _Walk:
    """One look at many values. `continued` counts the bytes over 127 that integers have; `spans` are where texts lie."""

    data: bytes
    raw: NDArray[np.uint8]
    undecided: Bools
    wanted: dict[str, tuple[Ints, Ints]] = field(default_factory=dict)
    continued: int = 0
    spans: list[tuple[Ints, Ints, Ints]] = field(default_factory=list)

    def index(self, rows: Ints, at: Ints, bits: int) -> tuple[Ints, Ints]:
        """An integer still in zigzag."""
        first = self.raw.take(at, mode="clip").astype(np.int64)
        at = at + 1
        more = np.flatnonzero(first > 0x7F)
        if not more.size:
            return first, at
        self.continued += more.size
        first &= 0x7F
        for shift in range(7, bits, 7):
            byte = self.raw.take(at[more], mode="clip").astype(np.int64)
            at[more] += 1
            first[more] |= (byte & 0x7F) << shift
            more = more[byte > 0x7F]
            self.continued += more.size
            if not more.size:
                break
        if more.size:
            self.undecided[rows[more]] = True
        if bits < LONG_BITS and int(first.max()) >> bits:
            self.undecided[rows[first >> bits != 0]] = True
        return first, at

    def check_texts(self, skipped: int) -> None:
        """Texts are UTF-8. Mostly no byte over 127 is left beside those of integers, and so all texts are ASCII."""
        if int(np.count_nonzero(self.raw > 0x7F)) == self.continued + skipped:
            return
        high = np.zeros(len(self.data) + 1, np.uint32)
        np.cumsum(self.raw >> 7, out=high[1:], dtype=np.uint32)
        for rows, at, after in self.spans:
            found = high.take(after, mode="clip") != high.take(np.minimum(at + 1, after), mode="clip")
            for number in np.flatnonzero(found).tolist():
                _check_text(self, int(rows[number]), int(at[number]), int(after[number]))


class WholeEvents:
    """Made for one schema. UnsupportedSchemaError when it has a type that events have no use for."""

    def __init__(self, plain: Any, definition: Any, texts: Sequence[str] = ()) -> None:
        self._named = named_types(plain)
        self._texts = texts
        self._open: list[str] = []
        self._step = self._record(definition, definition["fields"], top=True)

    def find(self, values: Sequence[bytes], lengths: Ints, skipped: int) -> Found:
        """Look at the values after their first `skipped` bytes, which are the same in all."""
        data = b"".join(values) + PADDING
        raw = np.frombuffer(data, np.uint8)
        ends = np.cumsum(lengths)
        walk = _Walk(data, raw, lengths < skipped)
        rows = np.arange(len(values), dtype=np.int64)
        at = self._step(walk, rows, ends - lengths + skipped)
        walk.check_texts(len(values) * sum(byte > 0x7F for byte in values[0][:skipped]))
        whole = ~walk.undecided & (at == ends)
        return Found(whole, {name: _texts(walk, name, whole) for name in self._texts})

    def _of(self, schema: Any) -> Step:
        if isinstance(schema, str) and schema in self._named:
            schema = self._named[schema]
        kind = kind_of(schema)
        if kind in _SIMPLE and not (isinstance(schema, dict) and schema.get("logicalType") in _RANGES):
            return _SIMPLE[kind]
        match kind:
            case "long":
                return _time(*_RANGES[schema["logicalType"]])
            case "union":
                return _union([self._of(branch) for branch in schema])
            case "enum":
                return _enum(len(schema["symbols"]))
            case "record":
                return self._record(schema, schema["fields"])
            case "array":
                return _items(self._of(schema["items"]))
            case "map":
                value = self._of(schema["values"])
                return _items(lambda walk, rows, at: value(walk, rows, _text(walk, rows, at)))
        raise UnsupportedSchemaError(f"events have no use for the Avro type {kind}")

    def _record(self, schema: Any, fields: Any, *, top: bool = False) -> Step:
        if schema["name"] in self._open:
            raise UnsupportedSchemaError(f"{schema['name']} holds itself")
        self._open.append(schema["name"])
        steps = [
            _kept(one["name"], self._of(one["type"]))
            if top and one["name"] in self._texts
            else self._of(one["type"])
            for one in fields
        ]
        self._open.pop()

        def step(walk: _Walk, rows: Ints, at: Ints) -> Ints:
            for each in steps:
                at = each(walk, rows, at)
            return at

        return step


class UnsupportedSchemaError(ValueError):
    """A schema that no event of ours would have: its values are read one by one."""


def _kept(name: str, inner: Step) -> Step:
    def step(walk: _Walk, rows: Ints, at: Ints) -> Ints:
        after = inner(walk, rows, at)
        walk.wanted[name] = (at, after)
        return after

    return step


def _texts(walk: _Walk, name: str, whole: Bools) -> list[str | None]:
    """The text of a field that is a string, else None."""
    if name not in walk.wanted:
        return [None] * len(whole)
    starts, ends = walk.wanted[name]
    found: list[str | None] = []
    for start, end, good in zip(starts.tolist(), ends.tolist(), whole.tolist(), strict=True):
        size = 1 if end - start <= 64 else 2
        found.append(
            walk.data[start + size : end].decode(errors="replace")
            if good and size <= end - start <= 8_193
            else None
        )
    return found


def _nothing(walk: _Walk, rows: Ints, at: Ints) -> Ints:  # noqa: ARG001 - a step like the others
    return at


def _boolean(walk: _Walk, rows: Ints, at: Ints) -> Ints:
    walk.undecided[rows[walk.raw.take(at, mode="clip") > 1]] = True
    return at + 1


def _int(walk: _Walk, rows: Ints, at: Ints) -> Ints:
    return walk.index(rows, at, INT_BITS)[1]


def _long(walk: _Walk, rows: Ints, at: Ints) -> Ints:
    return walk.index(rows, at, LONG_BITS)[1]


def _float(walk: _Walk, rows: Ints, at: Ints) -> Ints:  # noqa: ARG001
    return at + 4


def _double(walk: _Walk, rows: Ints, at: Ints) -> Ints:  # noqa: ARG001
    return at + 8


def _bytes(walk: _Walk, rows: Ints, at: Ints) -> Ints:
    doubled, at = walk.index(rows, at, INT_BITS)
    if (doubled & 1).any():
        walk.undecided[rows[doubled & 1 != 0]] = True
    return at + (doubled >> 1)


def _text(walk: _Walk, rows: Ints, at: Ints) -> Ints:
    """As bytes; looked at again when all are known."""
    after = _bytes(walk, rows, at)
    walk.spans.append((rows, at, after))
    return after


def _check_text(walk: _Walk, row: int, at: int, after: int) -> None:
    if after > len(walk.data):
        return
    while walk.data[at] > 0x7F and at < after:
        at += 1
    try:
        walk.data[at + 1 : after].decode()
    except UnicodeDecodeError:
        walk.undecided[row] = True


_SIMPLE: dict[str, Step] = {
    "null": _nothing,
    "boolean": _boolean,
    "int": _int,
    "long": _long,
    "float": _float,
    "double": _double,
    "bytes": _bytes,
    "string": _text,
}


def _time(first: int, last: int) -> Step:
    def step(walk: _Walk, rows: Ints, at: Ints) -> Ints:
        doubled, at = walk.index(rows, at, LONG_BITS)
        number = (doubled >> 1) ^ -(doubled & 1)
        outside = (number < first) | (number >= last)
        if outside.any():
            walk.undecided[rows[outside]] = True
        return at

    return step


def _enum(symbols: int) -> Step:
    def step(walk: _Walk, rows: Ints, at: Ints) -> Ints:
        doubled, at = walk.index(rows, at, INT_BITS)
        if (doubled & 1).any() or int(doubled.max(initial=0)) >= 2 * symbols:
            walk.undecided[rows[(doubled & 1 != 0) | (doubled >= 2 * symbols)]] = True
        return at

    return step


def _union(branches: Sequence[Step]) -> Step:
    def step(walk: _Walk, rows: Ints, at: Ints) -> Ints:
        doubled, at = walk.index(rows, at, INT_BITS)
        decided = 0
        for number, branch in enumerate(branches):
            if branch is _nothing:
                decided += rows.size - int(np.count_nonzero(doubled - 2 * number))
                continue
            chosen = np.flatnonzero(doubled == 2 * number)
            decided += chosen.size
            if not chosen.size:
                continue
            if chosen.size == rows.size:
                return branch(walk, rows, at)
            at[chosen] = branch(walk, rows[chosen], at[chosen])
        if decided != rows.size:
            walk.undecided[rows[(doubled & 1 != 0) | (doubled >= 2 * len(branches))]] = True
        return at

    return step


def _items(item: Step) -> Step:
    """Blocks of a count and so many items, until a count of 0."""

    def step(walk: _Walk, rows: Ints, at: Ints) -> Ints:
        at, live = at.copy(), np.arange(rows.size, dtype=np.int64)
        for _ in range(MOST_BLOCKS):
            doubled, at[live] = walk.index(rows[live], at[live], LONG_BITS)
            odd = (doubled & 1 != 0) | (doubled > 2 * MOST_ITEMS)
            walk.undecided[rows[live[odd]]] = True
            going = (doubled > 0) & ~odd
            live, counts = live[going], doubled[going] >> 1
            for number in range(int(counts.max(initial=0))):
                chosen = live[counts > number]
                at[chosen] = item(walk, rows[chosen], at[chosen])
            if not live.size:
                return at
        walk.undecided[rows[live]] = True
        return at

    return step
