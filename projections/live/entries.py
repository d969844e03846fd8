"""What the cache holds: decoded values, least recently used out first, bounded in bytes and in age. No I/O."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from enum import Enum
from typing import Final

from projections.live.kind import Kind
from projections.live.slots import Slot

ENTRY_BYTES = 256
"""Counted for each entry beside its key and encoded value, so that many small ones are bounded too."""


class Missing(Enum):
    """The one value that says: not known here."""

    MISSING = "MISSING"


MISSING: Final = Missing.MISSING


class _Cell:
    """Entries of one kind and slot hold the same cell; they all end when it does."""

    __slots__ = ("live",)

    def __init__(self) -> None:
        self.live = True


class Entries:
    """Values by (kind, id). The clock counts nanoseconds and never goes back."""

    def __init__(self, max_bytes: int, clock_ns: Callable[[], int]) -> None:
        self._max_bytes = max_bytes
        self._clock_ns = clock_ns
        self._entries: OrderedDict[tuple[str, str], tuple[object, int, _Cell, int]] = OrderedDict()
        self._cells: dict[tuple[str, Slot], _Cell] = {}
        self.bytes_held = 0

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, kind: str, state_id: str) -> object:
        """The value, which is then the most recently used, or MISSING."""
        key = (kind, state_id)
        entry = self._entries.get(key)
        if entry is None:
            return MISSING
        if entry[1] > self._clock_ns() and entry[2].live:
            self._entries.move_to_end(key)
            return entry[0]
        self.drop(kind, state_id)
        return MISSING

    def put(
        self, kind: Kind[object], state_id: str, slot: Slot, value: object, encoded_bytes: int
    ) -> set[str]:
        """Keep a value for its kind's time to live. Returns the kinds of which something had to go for it."""
        self.drop(kind.name, state_id)
        size = ENTRY_BYTES + len(kind.name) + len(state_id) + encoded_bytes
        if size > self._max_bytes:
            return {kind.name}
        cell = self._cells.setdefault((kind.name, slot), _Cell())
        self._entries[kind.name, state_id] = (value, self._clock_ns() + kind.ttl_ns, cell, size)
        self.bytes_held += size
        lessened = set()
        while self.bytes_held > self._max_bytes:
            oldest = next(iter(self._entries))
            self.drop(*oldest)
            lessened.add(oldest[0])
        return lessened

    def drop(self, kind: str, state_id: str) -> None:
        """Forget one value; it may be unknown."""
        entry = self._entries.pop((kind, state_id), None)
        if entry is not None:
            self.bytes_held -= entry[3]

    def drop_kind(self, kind: str, slot: Slot) -> None:
        """Forget all of a kind in a slot, however many, at once; their room is freed when they are next met."""
        cell = self._cells.pop((kind, slot), None)
        if cell is not None:
            cell.live = False

    def clear(self) -> None:
        """Forget everything."""
        self._entries.clear()
        self._cells.clear()
        self.bytes_held = 0
