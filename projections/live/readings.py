"""Reads under way, and what was invalidated meanwhile: such an answer may be given, but not be kept."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from projections.live.slots import Slot


@dataclass(slots=True, eq=False)
class Reading:
    """One read under way."""

    _keys: set[str] = field(default_factory=set)
    _kinds: set[tuple[str, Slot]] = field(default_factory=set)
    overtaken: bool = False
    """Everything was dropped meanwhile."""

    def is_stale(self, key: str, slot: Slot) -> bool:
        """True when the `kind:id` may have changed after it was read."""
        return self.overtaken or key in self._keys or (key.partition(":")[0], slot) in self._kinds


class Readings:
    """The reads that are under way now."""

    def __init__(self) -> None:
        self._open: set[Reading] = set()

    @contextmanager
    def open(self) -> Iterator[Reading]:
        """Around a read and the keeping of its answer."""
        reading = Reading()
        self._open.add(reading)
        try:
            yield reading
        finally:
            self._open.discard(reading)

    def invalidate(self, key: str) -> None:
        """The `kind:id` changed."""
        for reading in self._open:
            reading._keys.add(key)  # noqa: SLF001 - the two classes are one concept

    def invalidate_kind(self, kind: str, slot: Slot) -> None:
        """Any state of the kind in the slot may have changed."""
        for reading in self._open:
            reading._kinds.add((kind, slot))  # noqa: SLF001

    def invalidate_all(self) -> None:
        """Anything may have changed."""
        for reading in self._open:
            reading.overtaken = True
