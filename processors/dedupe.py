"""Drop duplicates by event_id over a horizon of record time, the same ones in every replay.

Two generations of ids are kept: the current slice of record time and the one before it, so an id is remembered for one
to two slices. Which ids are remembered at an offset follows from the partition's records alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import orjson

SLICE_MS = 5 * 60 * 1000


@dataclass(frozen=True, slots=True)
class Horizon:
    """Where the two generations begin, so that they can be read back from the log. Offsets of the partition."""

    previous_start: int = 0
    current_start: int = 0
    slice_number: int = 0
    clock_ms: int = 0

    def to_json(self) -> bytes:
        """Canonical bytes."""
        return orjson.dumps(self, option=orjson.OPT_SORT_KEYS)

    @classmethod
    def from_json(cls, raw: bytes) -> Horizon:
        """From its bytes."""
        return cls(**orjson.loads(raw))


@dataclass(slots=True)
class Seen:
    """The remembered ids of one partition. The clock is the greatest record timestamp so far, milliseconds."""

    previous: set[str] = field(default_factory=set)
    current: set[str] = field(default_factory=set)
    horizon: Horizon = field(default_factory=Horizon)

    def turn(self, clock_ms: int, offset: int) -> None:
        """Begin a new slice at an offset when the clock has left the current one."""
        slice_number = clock_ms // SLICE_MS
        held = self.horizon
        if slice_number == held.slice_number:
            return
        following = slice_number == held.slice_number + 1
        self.previous = self.current if following else set()
        self.current = set()
        previous_start = held.current_start if following else offset
        self.horizon = Horizon(previous_start, offset, slice_number, clock_ms)

    def tick(self, timestamp_ms: int, offset: int) -> None:
        """Take the timestamp of the record at an offset: the clock never goes back."""
        clock_ms = max(timestamp_ms, self.horizon.clock_ms)
        self.turn(clock_ms, offset)
        self.at(clock_ms)

    def at(self, clock_ms: int) -> None:
        """Note how far the clock has come."""
        held = self.horizon
        self.horizon = Horizon(held.previous_start, held.current_start, held.slice_number, clock_ms)

    def add(self, event_id: str) -> bool:
        """Remember an id; False when it is a duplicate."""
        if event_id in self.current or event_id in self.previous:
            self.current.add(event_id)
            return False
        self.current.add(event_id)
        return True

    def warm(self, horizon: Horizon, ids: list[tuple[int, str]]) -> None:
        """Take up where another owner left off, with the (offset, event_id) of the horizon's records."""
        self.horizon = horizon
        self.previous = {event_id for offset, event_id in ids if offset < horizon.current_start}
        self.current = {event_id for offset, event_id in ids if offset >= horizon.current_start}
